"""The parts of the HTML report that are tables of facts: key figures, verdict, months, symbols, costs, the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from backtest_kit.core.events import RiskRejected
from backtest_kit.reports.equity import EquityCurve
from backtest_kit.reports.facts import RunFacts
from backtest_kit.reports.html.tables import (
    Cell,
    escaped,
    facts_list,
    legible,
    number,
    paragraph,
    section,
    share,
    signed,
    table,
)
from backtest_kit.reports.metrics import METRICS
from backtest_kit.reports.months import monthly_returns
from backtest_kit.reports.run import RunData
from backtest_kit.reports.statistics import Statistics
from backtest_kit.reports.tables import NOT_AVAILABLE, minute
from backtest_kit.reports.trades import Trade, total

Row: TypeAlias = tuple[Cell | str, ...]

MOST_ROWS = 250
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SEVERITIES = {"serious": "!!", "warning": "!", "note": "i"}
_HEAT_KEYS = ("total_trades", "win_rate", "avg_pnl", "profit_factor", "sharpe_ratio", "max_drawdown")


def key_figures(run: RunData) -> str:
    """The few numbers that a reader looks for first."""
    account, statistics = run.account, run.statistics
    held = Cell("", "") if account.benchmark_return is None else signed(account.benchmark_return, 2, "%")
    tiles = (
        ("Total return", signed(account.total_return, 2, "%"), f"buy and hold {held.text}" if held.text else ""),
        ("Net profit", signed(account.final_balance - account.initial_balance), f"of {account.initial_balance:,.0f}"),
        (
            "Maximum drawdown",
            number(account.max_drawdown, 2, "%"),
            f"lasted {account.max_drawdown_days:,.1f} days",
        ),
        ("Sharpe ratio", number(account.sharpe_ratio, 2), "daily returns, per year"),
        ("Profit factor", number(statistics.profit_factor, 2), "won for each unit lost"),
        ("Win rate", number(statistics.win_rate, 1, "%"), f"{statistics.win_count} won, {statistics.loss_count} lost"),
        ("Trades", number(statistics.total_trades), f"{signed(statistics.avg_pnl, 2, '%').text} on average"),
        ("Costs", number(account.fees + account.slippage, 2), "fees and slippage"),
    )
    inner = "\n".join(_tile(name, value, note) for name, value, note in tiles)
    return section("summary", "Key figures", f'<dl class="tiles">\n{inner}\n</dl>')


def _tile(name: str, value: Cell, note: str) -> str:
    shown = f'<dd class="{value.look}">{escaped(value.text)}</dd>'
    return f'<div><dt>{name}</dt>{shown}<dd class="aside">{escaped(note)}</dd></div>'


def verdict(run: RunData) -> str:
    """What a professional would notice, in words; the severity stands there as a word as well."""
    found = "\n".join(
        f'<li class="{each.severity}"><span class="badge"><span aria-hidden="true">{_SEVERITIES[each.severity]}</span> '
        f"{each.severity}</span> {escaped(each.text, 1000)}</li>"
        for each in run.findings
    )
    nothing = "No rule found anything to object to. That is no promise: it only means that the usual faults are absent."
    return section(
        "verdict", "What stands out", f'<ul class="findings">\n{found}\n</ul>' if found else paragraph(nothing)
    )


def months(curve: EquityCurve) -> str:
    """The account's return in every month and year, shaded by size."""
    rows = monthly_returns(curve)
    if not rows:
        return ""
    most = max((abs(each) for _, year in rows for each in year[:12] if each is not None), default=0.0)
    heads: Row = ("Year", *(Cell(each, "n") for each in (*_MONTHS, "Year")))
    cells = [_month_row(year, found, most) for year, found in rows]
    return section("months", "Returns by month", table("Return of the account in percent", heads, cells, "months"))


def _month_row(year: int, found: Sequence[float | None], most: float) -> Row:
    return (str(year), *(_shaded(each, most) for each in found[:12]), _percent(found[12]))


def _percent(value: float | None) -> Cell:
    return Cell("", "n") if value is None else signed(value, 2)


def _shaded(value: float | None, most: float) -> Cell:
    """A gain or a loss on a ground in one of four depths, the deepest for `most`."""
    if value is None:
        return Cell("", "n")
    depth = 0 if not most else min(4, int(abs(value) / most * 4 + 0.999))
    ground = f" {'up' if value > 0 else 'down'}{depth}" if depth else ""
    return Cell(signed(value, 2).text, f"n{ground}")


def symbols(run: RunData) -> str:
    """A row for each symbol, and one for all trades as one sample."""
    found = run.heat
    metrics = [each for each in METRICS if each.key in _HEAT_KEYS]
    most = max((abs(each.statistics.total_pnl) for each in found.symbols), default=0.0)
    heads: Row = (
        "Symbol",
        *(Cell(each.title.split(" (", maxsplit=1)[0], "n") for each in metrics),
        Cell("Total profit", "n"),
    )
    rows = [_symbol_row(each.symbol, each.statistics, most) for each in found.symbols]
    rows.append(_symbol_row("all, pooled", found.portfolio, 0.0))
    return section(
        "symbols", "By symbol", table("Symbols, best Sharpe ratio per trade first; profits in percent", heads, rows)
    )


def _symbol_row(name: str, statistics: Statistics, most: float) -> Row:
    texts = [each.text(statistics).replace("-", "−") for each in METRICS if each.key in _HEAT_KEYS]
    cells = [Cell(text, "n none" if text == NOT_AVAILABLE else "n") for text in texts]
    return (legible(name), *cells, _shaded(statistics.total_pnl, most))


def costs(run: RunData) -> str:
    """What the trades made before costs, what the costs took, and what is left; in money, by symbol."""
    by_symbol: dict[str, list[Trade]] = {}
    for each in run.trades:
        by_symbol.setdefault(each.symbol, []).append(each)
    heads: Row = (
        "Symbol",
        *(Cell(each, "n") for each in ("Before costs", "Fees", "Slippage", "Net profit", "Costs of gross")),
    )
    rows = [_cost_row(name, own) for name, own in by_symbol.items()]
    if len(rows) != 1:
        rows.append(_cost_row("all", run.trades))
    return section("costs", "Costs", table("Money in quote currency", heads, rows))


def _cost_row(name: str, trades: Sequence[Trade]) -> Row:
    net, fees, slippage = (total(getattr(each, key) for each in trades) for key in ("pnl_cost", "fees", "slippage"))
    gross = net + fees + slippage
    part = share(fees + slippage, gross) if gross > 0 else NOT_AVAILABLE
    return (legible(name), signed(gross), number(fees, 2), number(slippage, 2), signed(net), Cell(part, "n"))


def ambiguous(run: RunData) -> str:
    """The candles that reached stop and take profit both, and between what the result lies because of them."""
    doubtful = [each for each in run.trades if each.ambiguous]
    if not doubtful:
        text = "No trade was closed on a candle that reached both its stop and its take profit: nothing was guessed."
        return section("ambiguous", "Ambiguous candles", paragraph(text))
    known = [each for each in doubtful if each.pnl_percent_if_ambiguous is not None]
    low = total(each.pnl_cost for each in run.trades)
    other = low + total(_other(each) * each.cost / 100 - each.pnl_cost for each in known)
    worst, best = signed(low).text, signed(other).text
    band = f"Net profit: {worst} if the stop came first (as reported), {best} if the take profit did."
    text = (
        f"{len(doubtful)} of {len(run.trades)} trades were closed on a candle that reached both the stop and the take"
        " profit. Which came first cannot be known from it; this report takes the stop."
    )
    heads: Row = ("Closed (UTC)", "Symbol", "Side", Cell("Stop first %", "n"), Cell("Take first %", "n"))
    rows = [
        (minute(each.closed_at), legible(each.symbol), each.position, signed(each.pnl_percent), signed(_other(each)))
        for each in known[-MOST_ROWS:]
    ]
    shown = table(_last("Ambiguous trades", len(rows), len(known)), heads, rows) if rows else ""
    return section("ambiguous", "Ambiguous candles", paragraph(text), paragraph(band, "band"), shown)


def _other(trade: Trade) -> float:
    return trade.pnl_percent if trade.pnl_percent_if_ambiguous is None else trade.pnl_percent_if_ambiguous


def _last(what: str, shown: int, count: int) -> str:
    return what if shown == count else f"{what}, the last {shown} of {count}"


def signals(run: RunData) -> str:
    """What the strategy was asked and answered, and the signals that were refused, with reasons."""
    counts = facts_list(_signal_counts(run.facts))
    return section("signals", "Rejected and invalid signals", counts, _refused(run), _invalid(run.facts))


def _signal_counts(facts: RunFacts) -> Iterator[tuple[str, Cell]]:
    if facts.is_backtest:
        yield "Decisions", number(facts.decisions)
        yield "No signal", number(facts.no_signal)
        yield "Not enough history", number(facts.not_enough_history)
    yield "Invalid signals", number(facts.invalid_signal_count)
    yield "Refused by risk rules", number(facts.risk_rejections)
    if facts.is_backtest:
        yield "Errors of user code", number(facts.errors)


def _refused(run: RunData) -> str:
    refused = Counter((each.risk_name, each.reason) for each in run.events if isinstance(each, RiskRejected))
    rows = [(legible(name), legible(why), number(times)) for (name, why), times in refused.most_common(MOST_ROWS)]
    return table("Refused by risk rules", ("Rule", "Reason", Cell("Times", "n")), rows) if rows else ""


def _invalid(facts: RunFacts) -> str:
    rows = [(minute(each.time), legible(each.reason, 500)) for each in facts.invalid_signals[:MOST_ROWS]]
    if not rows:
        return ""
    first = f", the first {len(rows)} of {facts.invalid_signal_count}" if facts.invalid_signal_count > len(rows) else ""
    return table(f"Invalid signals{first}", ("Time (UTC)", "What is wrong"), rows)


def run_facts(run: RunData, version: str) -> str:
    """How the run can be made again: its names, settings, the range and the hash of its data, the package."""
    facts = run.facts
    settings = [(legible(name), legible(value)) for name, value in facts.settings.items()]
    shown = (
        table("Settings that differ from the defaults", ("Setting", "Value"), settings, "narrow") if settings else ""
    )
    gaps = [(minute(start), minute(stop)) for start, stop in facts.gaps[:MOST_ROWS]]
    missing = f"Gaps in the candles, {len(gaps)} of {len(facts.gaps)}"
    holes = table(missing, ("From (UTC)", "To (UTC)"), gaps, "narrow") if gaps else ""
    return section("run", "The run", facts_list(_run_pairs(facts, version)), shown, holes)


def _run_pairs(facts: RunFacts, version: str) -> Iterator[tuple[str, Cell | str]]:
    yield "Symbols", _list(facts.symbols)
    yield "Strategies", _list(facts.strategy_names)
    yield "Exchange", legible(facts.exchange_name) or NOT_AVAILABLE
    if facts.is_backtest:
        yield "Frame", legible(facts.frame_name) or NOT_AVAILABLE
    yield "Data range (UTC)", f"{minute(facts.start)} to {minute(facts.stop)}"
    if facts.is_backtest:
        yield from _replayed_pairs(facts)
    yield "Settings", "all defaults" if not facts.settings else f"{len(facts.settings)} differ from the defaults"
    yield "Package version", legible(version) or NOT_AVAILABLE


def _replayed_pairs(facts: RunFacts) -> Iterator[tuple[str, Cell | str]]:
    """What only a backtest counts."""
    if facts.ended_at is not None and facts.ended_at < facts.stop:
        yield "Ended before its stop, at", minute(facts.ended_at)
    yield "Candles of one minute", number(facts.candles)
    yield "Data hash", Cell(legible(facts.data_hash) or NOT_AVAILABLE, "hash")
    yield "Gaps in the candles", number(len(facts.gaps))
    yield "Closed because the frame ended", number(facts.frame_end_closes)
    yield "Duration", f"{facts.duration_seconds:,.2f} s"


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(legible, names)) or NOT_AVAILABLE
