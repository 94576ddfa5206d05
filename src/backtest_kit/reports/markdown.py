"""The report of a run as Markdown: what was run, what came of it, what to think of it, and the closed trades.

Pure text from facts; where it is written to is not decided here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from backtest_kit.reports.account import Account
from backtest_kit.reports.diagnosis import Finding
from backtest_kit.reports.facts import RunFacts
from backtest_kit.reports.kinds.heat import COLUMNS, HeatStatistics
from backtest_kit.reports.metrics import (
    ACCOUNT_METRICS,
    COST_METRICS,
    METRICS,
    SIGNIFICANCE_METRICS,
    Line,
    lines,
    metrics_table,
)
from backtest_kit.reports.report import bullets, listed
from backtest_kit.reports.run import RunData
from backtest_kit.reports.significance import LEVEL
from backtest_kit.reports.tables import (
    FURTHER_TRADE_COLUMNS,
    NOT_AVAILABLE,
    TRADE_COLUMNS,
    Columns,
    chosen,
    four_digits,
    markdown_table,
    minute,
    plain,
    two_digits,
)
from backtest_kit.reports.trades import Trade, total

MAX_GAPS = 20
MAX_FINDING = 1000  # characters


def backtest_report(run: RunData, columns: Columns[Trade] = None) -> str:
    """The report of a run: heading, facts, findings, metrics, account, costs, significance, symbols, trades.

    It lists the last `run.max_rows` trades; `columns` chooses, orders and adds to their columns, see `chosen`. Without
    trades it says so, and why. Raises UnknownNameError for a column that there is not.
    """
    wanted = chosen(TRADE_COLUMNS, columns, FURTHER_TRADE_COLUMNS)
    parts = [f"# {plain(run.title)}", _run_section(run.trades, run.facts)]
    if not run.trades:
        return _joined([*parts, _nothing_section(run.facts)])
    if run.findings:
        parts.append(_findings_section(run.findings))
    parts += [
        "## Metrics\n\nPer trade, in percent of the money in it.\n\n" + metrics_table(METRICS, run.statistics),
        "## Account\n\nOver time, in percent of the account.\n\n" + metrics_table(ACCOUNT_METRICS, run.account),
        _costs_section(run.trades, run.account),
        f"## Significance\n\n{_INTERVALS}\n\n" + metrics_table(SIGNIFICANCE_METRICS, run.significance),
    ]
    if len({each.symbol for each in run.trades}) > 1:
        parts.append("## By symbol\n\n" + markdown_table(COLUMNS, HeatStatistics.of(run.heat).with_pooled()))
    return _joined([*parts, "## Closed trades\n\n" + listed(wanted, run.trades, run.max_rows)])


_INTERVALS = f"Where a range is given, it holds the true figure with {LEVEL:g} % confidence."


def _findings_section(findings: Sequence[Finding]) -> str:
    return "## What stands out\n\n" + "\n".join(
        f"- {each.severity}: {plain(each.text, MAX_FINDING)}" for each in findings
    )


def _costs_section(trades: Sequence[Trade], account: Account) -> str:
    earned = total(each.pnl_cost for each in trades)
    return "## Costs\n\n" + bullets(
        [
            Line("Profit before costs", two_digits(earned + account.fees + account.slippage)),
            *lines(COST_METRICS, account),
            Line("Profit after costs", two_digits(earned)),
        ]
    )


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
    if facts.ended_at is not None and facts.ended_at < facts.stop:
        yield "Ended before its stop, at", minute(facts.ended_at)
    if facts.data_hash:
        yield "Fingerprint of the candles", plain(facts.data_hash)
    if facts.version:
        yield "Version of the package", plain(facts.version)
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


def _settings(facts: RunFacts) -> str:
    return ", ".join(f"{plain(name)} = {plain(value)}" for name, value in facts.settings.items()) or "none"


def _list(names: Sequence[str]) -> str:
    return ", ".join(plain(each) for each in names) or NOT_AVAILABLE


def _joined(parts: Sequence[str]) -> str:
    return "\n\n".join(parts) + "\n"
