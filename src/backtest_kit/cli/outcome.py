"""What a run leaves on the terminal and on disk: the table, the report and the trades; or all of it as JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import typer

from backtest_kit.cli.failures import INTERRUPTED, say
from backtest_kit.cli.play import Played
from backtest_kit.cli.user_code import shown
from backtest_kit.reports.markdown import METRICS
from backtest_kit.reports.statistics import Statistics
from backtest_kit.reports.tables import minute, plain
from backtest_kit.results import BacktestResult, file_name, write_whole

COLUMNS = {
    "total_trades": "Trades",
    "win_rate": "Win rate",
    "total_pnl": "Total profit",
    "max_drawdown": "Max drawdown",
    "profit_factor": "Profit factor",
    "sharpe_ratio": "Sharpe",
}
_CAPTION = "Profit: percent of the money in a trade, after costs, added up. Drawdown: with all money in every trade."
_PARTIAL = "Positions open then are not in it; frame and candles are stated as they were planned."
_WIDTH_OF_A_FILE = 120  # characters; what a pipe or a file gets, which has no width of its own


def finish(played: Played, dump_folder: str | Path | None, *, as_json: bool, after: str = "") -> None:
    """Prints the result and writes the files (None: no files); exit code 130 where Ctrl-C ended the run.

    The table comes first, so that it is there even if the folder cannot be written.
    """
    if not played.record.books():
        say("interrupted before the first candle: there is nothing to report")
        raise typer.Exit(INTERRUPTED)
    if not as_json:
        show(played)
    paths = {} if dump_folder is None else write(played, dump_folder)
    if as_json:
        print_json(played, paths)
    for name, path in paths.items() if not as_json else ():
        print(f"{name}: {shown(path)}")
    if played.interrupted_at is not None:
        raise typer.Exit(INTERRUPTED)
    if not as_json and after:
        print(after)


def show(played: Played) -> None:
    """The table on standard output: a row for each strategy and symbol, one for all trades, and notes on it."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for title in ("Strategy", "Symbol"):
        table.add_column(title, overflow="fold")
    for title in COLUMNS.values():
        table.add_column(title, justify="right")
    rows = list(_rows(played))
    for strategy_name, symbol, result in rows:
        cells = (strategy_name, symbol, *_figures(result.statistics))
        table.add_row(*map(Text, cells), end_section=result is rows[-2][2])
    console = Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_FILE, highlight=False)
    console.print(table)
    for note in (_CAPTION, *_notes(played, rows[-1][2])):
        console.print(Text(note))


def write(played: Played, dump_folder: str | Path) -> dict[str, Path]:
    """Writes report and trades under `<dump_folder>/backtest/`; those of an interrupted run are marked as partial."""
    record = played.record
    data = record.result()
    name = file_name(record.plan.strategy_names, record.plan.symbols)
    text = data.to_markdown()
    if played.interrupted_at is not None:
        name += ".partial"
        title, rest = text.split("\n", 1)
        text = f"{title}\n\n**Partial: {_interrupted(played.interrupted_at)}. {_PARTIAL}**\n{rest}"
    folder = Path(dump_folder) / "backtest"
    trades = write_whole(folder / f"{name}.csv", data.to_csv())
    return {"report": write_whole(folder / f"{name}.md", text), "trades": trades}


def print_json(played: Played, paths: dict[str, Path]) -> None:
    """Everything as one JSON object on standard output: times are epoch ms, figures that cannot be said are null."""
    *books, (_, _, whole) = _rows(played)
    data = {
        "outcome": played.record.run.outcome if played.interrupted_at is None else "interrupted",
        "interrupted_at": played.interrupted_at,
        "facts": whole.facts,
        "statistics": whole.statistics,
        "books": [
            {"strategy_name": strategy_name, "symbol": symbol, "statistics": result.statistics}
            for strategy_name, symbol, result in books
        ],
        "trades": whole.trades,
        "paths": {name: str(path) for name, path in paths.items()},
    }
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(data), indent=2).decode() + "\n")


def _rows(played: Played) -> Iterator[tuple[str, str, BacktestResult]]:
    """The result of every book, and of all together in the last row."""
    plan = played.record.plan
    for strategy_name in plan.strategy_names:
        for symbol in plan.symbols:
            yield strategy_name, symbol, played.record.result(symbol, strategy_name)
    yield "all", "", played.record.result()


def _figures(statistics: Statistics) -> list[str]:
    metrics: dict[str, Any] = {each.key: each for each in METRICS}
    return [metrics[key].text(statistics) for key in COLUMNS]


def _notes(played: Played, whole: BacktestResult) -> Iterator[str]:
    """What a reader of the table must know to judge it."""
    facts = whole.facts
    if played.interrupted_at is not None:
        yield _interrupted(played.interrupted_at)
    else:
        yield f"{facts.candles} candles of one minute in {facts.duration_seconds:.2f} s"
    if not whole.trades:
        yield f"No trades were closed. Of {facts.decisions} decisions {facts.no_signal} gave no signal."
    if facts.invalid_signals:
        first = facts.invalid_signals[0]
        yield f"invalid signals: {facts.invalid_signal_count}; the first at {minute(first.time)}: {first.reason}"
    for count, what in (
        (facts.risk_rejections, "signals refused by risk rules"),
        (facts.not_enough_history, "decisions without enough history"),
        (facts.ambiguous, "trades of which one candle reached stop and target (the stop was taken)"),
        (len(facts.gaps), "gaps in the candles"),
        (played.failures, "errors of user code that did not end the run"),
    ):
        if count:
            yield f"{what}: {count}"
    if facts.settings:
        yield "settings: " + ", ".join(f"{name} = {plain(value)}" for name, value in facts.settings.items())


def _interrupted(time: int) -> str:
    return f"interrupted at {minute(time)}"
