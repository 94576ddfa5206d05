"""The first report of a backtest as Markdown: what was run, what came of it, and the closed trades.

Pure text from facts; where it is written to is not decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from backtest_kit.reports.facts import RunFacts
from backtest_kit.reports.pooled import Heat, SymbolStatistics, heat
from backtest_kit.reports.statistics import Statistics, why_missing
from backtest_kit.reports.tables import (
    NOT_AVAILABLE,
    TRADE_COLUMNS,
    Column,
    count,
    four_digits,
    markdown_table,
    minute,
    one_digit,
    plain,
    two_digits,
)
from backtest_kit.reports.trades import Trade, total

MAX_ROWS = 250
MAX_GAPS = 20


class Metric(Struct, frozen=True):
    """A metric as a reader meets it: `key` in `Statistics`, plain name, unit, how its number is written."""

    key: str
    title: str
    unit: str
    format: Callable[[Any], str]

    def text(self, statistics: Statistics) -> str:
        """The value with its unit, or N/A."""
        value = getattr(statistics, self.key)
        return NOT_AVAILABLE if value is None else f"{self.format(value)} {self.unit}".rstrip()


METRICS = (
    Metric("total_trades", "Closed trades", "", count),
    Metric("win_count", "Winners", "", count),
    Metric("loss_count", "Losers", "", count),
    Metric("win_rate", "Win rate", "%", two_digits),
    Metric("total_pnl", "Total profit (sum over trades)", "%", four_digits),
    Metric("avg_pnl", "Mean profit per trade", "%", four_digits),
    Metric("median_pnl", "Median profit per trade", "%", four_digits),
    Metric("avg_win", "Mean win", "%", four_digits),
    Metric("avg_loss", "Mean loss", "%", four_digits),
    Metric("std_dev", "Standard deviation per trade", "%", four_digits),
    Metric("max_drawdown", "Maximum drawdown (whole account in every trade)", "%", two_digits),
    Metric("profit_factor", "Profit factor", "", four_digits),
    Metric("expectancy", "Expectancy per trade", "%", four_digits),
    Metric("certainty_ratio", "Mean win / mean loss", "", four_digits),
    Metric("sharpe_ratio", "Sharpe ratio per trade", "", four_digits),
    Metric("annualized_sharpe_ratio", "Sharpe ratio per year", "", four_digits),
    Metric("sortino_ratio", "Sortino ratio per trade", "", four_digits),
    Metric("calmar_ratio", "Calmar ratio", "", four_digits),
    Metric("recovery_factor", "Recovery factor", "", four_digits),
    Metric("expected_yearly_returns", "Expected yearly return", "%", two_digits),
    Metric("trades_per_year", "Trades per year", "", one_digit),
    Metric("avg_duration", "Mean duration", "min", one_digit),
    Metric("avg_win_duration", "Mean duration of winners", "min", one_digit),
    Metric("avg_loss_duration", "Mean duration of losers", "min", one_digit),
    Metric("max_win_streak", "Longest winning streak", "trades", count),
    Metric("max_loss_streak", "Longest losing streak", "trades", count),
    Metric("avg_consecutive_win_pnl", "Mean profit of a winning streak", "%", four_digits),
    Metric("avg_consecutive_loss_pnl", "Mean loss of a losing streak", "%", four_digits),
    Metric("avg_peak_pnl", "Mean best moment of a trade", "%", four_digits),
    Metric("avg_fall_pnl", "Mean worst moment of a trade", "%", four_digits),
    Metric("peak_profit_pnl", "Best moment of any trade", "%", four_digits),
    Metric("max_drawdown_pnl", "Worst moment of any trade", "%", four_digits),
    Metric("median_step_size", "Median step between closing prices", "%", four_digits),
    Metric("buyer_pressure", "Buyer pressure (share of steps up)", "", four_digits),
    Metric("seller_pressure", "Seller pressure (share of steps down)", "", four_digits),
    Metric("buyer_strength", "Buyer strength (share of distance up)", "", four_digits),
    Metric("seller_strength", "Seller strength (share of distance down)", "", four_digits),
    Metric("pressure_imbalance", "Strength of buyers less that of sellers", "", four_digits),
    Metric("trend", "Trend of closing prices", "", plain),
    Metric("trend_strength", "Slope of the trend", "%/day", four_digits),
    Metric("trend_confidence", "Fit of the trend (R²)", "", four_digits),
)
"""Every metric of `Statistics`, in the order in which reports show them."""

_HEAT_KEYS = ("total_trades", "win_rate", "total_pnl", "profit_factor", "sharpe_ratio", "max_drawdown")


def backtest_report(
    title: str, statistics: Statistics, trades: Sequence[Trade], facts: RunFacts, max_rows: int = MAX_ROWS
) -> str:
    """The report: heading, the run, metrics, a row for each of several symbols, the last `max_rows` trades.

    `statistics` are those of all `trades`. Without trades it says so, and why.
    """
    parts = [f"# {plain(title)}", _run_section(trades, facts)]
    if not trades:
        return _joined([*parts, _nothing_section(facts)])
    parts.append("## Metrics\n\n" + metrics_table(statistics))
    if len({each.symbol for each in trades}) > 1:
        parts.append("## By symbol\n\n" + heat_table(heat(trades)))
    return _joined([*parts, _trades_section(trades, max_rows)])


def metrics_table(statistics: Statistics) -> str:
    """Every metric with its plain name, its value and unit, and the reason where there is none."""
    columns: tuple[Column[Metric], ...] = (
        Column("title", "Metric", lambda metric: metric.title),
        Column("value", "Value", lambda metric: metric.text(statistics), str),
        Column("why", "Why not", lambda metric: why_missing(statistics, metric.key)),
    )
    return markdown_table(columns, METRICS)


def heat_table(found: Heat) -> str:
    """One row a symbol and one for all trades pooled into one sample."""
    columns: list[Column[SymbolStatistics]] = [Column("symbol", "Symbol", lambda row: row.symbol)]
    columns += [_heat_column(each) for each in METRICS if each.key in _HEAT_KEYS]
    return markdown_table(columns, [*found.symbols, SymbolStatistics("all, pooled", found.portfolio)])


def _heat_column(metric: Metric) -> Column[SymbolStatistics]:
    return Column(metric.key, metric.title, lambda row: metric.text(row.statistics), str)


def _run_section(trades: Sequence[Trade], facts: RunFacts) -> str:
    return "## Run\n\n" + "\n".join(f"- {name}: {text}" for name, text in _run_lines(trades, facts))


def _run_lines(trades: Sequence[Trade], facts: RunFacts) -> Iterator[tuple[str, str]]:
    yield "Symbols", _list(facts.symbols)
    yield "Strategies", _list(facts.strategy_names)
    yield "Exchange", plain(facts.exchange_name)
    span = f"{minute(facts.start)} to {minute(facts.stop)}"
    yield "Frame", f"{plain(facts.frame_name)}, {span}" if facts.frame_name else span
    yield "Candles", f"{facts.candles} of one minute, in {facts.duration_seconds:.2f} s"
    yield "Decisions", f"{facts.decisions}, of which {facts.no_signal} gave no signal"
    yield "Settings that differ from the defaults", _settings(facts)
    yield from _troubles(facts)
    if facts.ambiguous:
        yield "Ambiguous candles (stop and take profit both reached)", _ambiguous(trades, facts)
    if facts.frame_end_closes:
        yield "Closed because the frame ended", str(facts.frame_end_closes)


def _troubles(facts: RunFacts) -> Iterator[tuple[str, str]]:
    """What was refused, missing or broken; invalid signals and gaps are stated even when there were none."""
    invalid = [f"{minute(each.time)}: {plain(each.reason)}" for each in facts.invalid_signals]
    yield "Invalid signals", _counted(facts.invalid_signal_count, invalid)
    if facts.risk_rejections:
        yield "Signals refused by risk rules", str(facts.risk_rejections)
    if facts.not_enough_history:
        yield "Decisions without enough history", str(facts.not_enough_history)
    if facts.errors:
        yield "Errors of user code that did not end the run", str(facts.errors)
    gaps = [f"{minute(start)} to {minute(stop)}" for start, stop in facts.gaps[:MAX_GAPS]]
    yield "Gaps in the candles", _counted(len(facts.gaps), gaps)


def _counted(number: int, shown: Sequence[str]) -> str:
    """A number and, below it, the things counted, as far as they are shown."""
    rest = [f"and {number - len(shown)} more"] if shown and number > len(shown) else []
    return str(number) + "".join(f"\n  - {each}" for each in (*shown, *rest))


def _ambiguous(trades: Sequence[Trade], facts: RunFacts) -> str:
    known = [each for each in trades if each.ambiguous and each.pnl_percent_if_ambiguous is not None]
    text = f"{facts.ambiguous}; the stop was taken"
    if not known:
        return text
    ours = four_digits(total(each.pnl_percent for each in known))
    other = four_digits(total(each.pnl_percent_if_ambiguous or 0.0 for each in known))
    return f"{text}, which gave {ours} % in all; the take profit would have given {other} %"


def _nothing_section(facts: RunFacts) -> str:
    return "## Result\n\nNo trades were closed.\n\n" + "\n".join(f"- {each}" for each in _why_nothing(facts))


def _why_nothing(facts: RunFacts) -> Iterator[str]:
    if not facts.decisions:
        yield "The strategy was never asked: no decision fell into the frame."
        return
    yield f"The strategy was asked {_times(facts.decisions)} and gave no signal {_times(facts.no_signal)}."
    if facts.not_enough_history:
        yield f"It could not decide for want of history {_times(facts.not_enough_history)}."
    if facts.invalid_signal_count:
        yield f"Its signal was invalid {_times(facts.invalid_signal_count)}."
    if facts.risk_rejections:
        yield f"Risk rules refused its signal {_times(facts.risk_rejections)}."
    if facts.errors:
        yield f"User code failed {_times(facts.errors)}."


def _times(number: int) -> str:
    return {0: "never", 1: "once"}.get(number, f"{number} times")


def _trades_section(trades: Sequence[Trade], max_rows: int) -> str:
    shown = trades[max(0, len(trades) - max_rows) :]
    which = f"All {len(trades)}." if len(shown) == len(trades) else f"The last {len(shown)} of {len(trades)}."
    table = markdown_table(TRADE_COLUMNS, shown)
    return f"## Closed trades\n\n{which} The metrics are over all of them.\n\n{table}"


def _settings(facts: RunFacts) -> str:
    return ", ".join(f"{plain(name)} = {plain(value)}" for name, value in facts.settings.items()) or "none"


def _list(names: Sequence[str]) -> str:
    return ", ".join(plain(each) for each in names) or NOT_AVAILABLE


def _joined(parts: Sequence[str]) -> str:
    return "\n\n".join(parts) + "\n"
