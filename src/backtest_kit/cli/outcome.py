"""What a run leaves on the terminal and on disk: the table, the report and the trades; or all of it as JSON."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from msgspec import Struct

from backtest_kit.cli.failures import INTERRUPTED, say
from backtest_kit.cli.play import Played
from backtest_kit.cli.user_code import shown
from backtest_kit.core.values import Time
from backtest_kit.reports.account import Account
from backtest_kit.reports.diagnosis import Finding
from backtest_kit.reports.encoders import json_line
from backtest_kit.reports.facts import RunFacts
from backtest_kit.reports.files import file_name, write_text
from backtest_kit.reports.metrics import METRICS
from backtest_kit.reports.significance import Significance
from backtest_kit.reports.sparkline import prints_blocks, sparkline
from backtest_kit.reports.statistics import Statistics
from backtest_kit.reports.tables import NOT_AVAILABLE, minute, one_line
from backtest_kit.reports.trades import Trade
from backtest_kit.results import BacktestResult

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

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
_MARKS = {"serious": ("!!", "bold red"), "warning": ("!", "yellow"), "note": ("-", "dim")}
_SPARKS = 12  # characters for the course of an account
_NAME, _SENTENCE = 100, 500  # the most characters that a name and a sentence may have
_WIDTH_OF_A_FILE = 120  # characters; what a pipe or a file gets, which has no width of its own


def finish(
    played: Played, dump_folder: str | Path | None, *, as_json: bool, html: bool = False, after: str = ""
) -> None:
    """Prints the result and writes the files (None: no files); exit code 130 where Ctrl-C ended the run.

    With `html` the page is one of the files. The table comes first, so that it is there even if the folder cannot be
    written.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a name that this terminal cannot show must not cost the report
    if not played.record.books():
        say("interrupted before the first candle: there is nothing to report")
        raise typer.Exit(INTERRUPTED)
    if not as_json:
        show(played)
    paths = {} if dump_folder is None else write(played, dump_folder, html)
    if as_json:
        print_json(played, paths)
    for name, path in paths.items() if not as_json else ():
        print(f"{name}: {shown(path)}")
    if played.interrupted_at is not None:
        raise typer.Exit(INTERRUPTED)
    if not as_json and after:
        print(after)


def show(played: Played) -> None:
    """The table on standard output: a row for each strategy and symbol, one for all trades, and notes on it.

    Below it the account, and what the rules of `reports/diagnosis.py` have noticed about all trades together.
    """
    from rich.console import Console
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_FILE, highlight=False)
    rows = list(_rows(played))
    whole = rows[-1][2]
    console.print(_table(rows, console))
    for note in (_CAPTION, _account(whole), *_notes(played, whole)):
        console.print(Text(note))
    if whole.findings:
        console.print(_list(whole.findings))


def _table(rows: Sequence[tuple[str, str, BacktestResult]], console: Console) -> Table:
    """The rows as a table; with the course of the account in each, where the terminal is wide enough for it."""
    from rich.table import Table
    from rich.text import Text

    table, with_equity = Table(), console.width >= _WIDTH_OF_A_FILE
    for title in ("Strategy", "Symbol"):
        table.add_column(title, overflow="fold")
    for title in COLUMNS.values():
        table.add_column(title, justify="right")
    if with_equity:
        table.add_column("Equity", no_wrap=True)
    for number, (strategy_name, symbol, result) in enumerate(rows, start=1):
        names = (Text(one_line(each, _NAME)) for each in (strategy_name, symbol))
        equity = [_equity(result, console)] if with_equity else []
        table.add_row(*names, *_figures(result.statistics), *equity, end_section=number == len(rows) - 1)
    return table


def write(played: Played, dump_folder: str | Path, html: bool = False) -> dict[str, Path]:
    """Writes the report, the page and the trades under `<dump_folder>/backtest/`.

    Those of an interrupted run are marked as partial.
    """
    record = played.record
    data = record.result()
    name = file_name(record.plan.strategy_names, record.plan.symbols)
    text = data.to_markdown()
    if played.interrupted_at is not None:
        name += ".partial"
        title, rest = text.split("\n", 1)
        data.title += f" (partial: {_interrupted(played.interrupted_at)})"
        text = f"{title}\n\n**Partial: {_interrupted(played.interrupted_at)}. {_PARTIAL}**\n{rest}"
    folder = Path(dump_folder) / "backtest"
    trades = write_text(folder / f"{name}.csv", data.to_csv())
    page = {"html": data.html(folder / f"{name}.html")} if html else {}
    return {"report": write_text(folder / f"{name}.md", text), **page, "trades": trades}


def print_json(played: Played, paths: dict[str, Path]) -> None:
    """Everything as one JSON object on standard output: times are epoch ms, figures that cannot be said are null."""
    *books, (_, _, whole) = _rows(played)
    told = _Told(
        outcome=played.record.run.outcome if played.interrupted_at is None else "interrupted",
        interrupted_at=played.interrupted_at,
        facts=whole.facts,
        statistics=whole.statistics,
        account=whole.account,
        significance=whole.significance,
        findings=whole.findings,
        books=[_judged(*each) for each in books],
        trades=whole.trades,
        paths={name: str(path) for name, path in paths.items()},
    )
    text = msgspec.json.format(json_line(told), indent=2).decode()
    sys.stdout.write(text if _prints(text) else json.dumps(json.loads(text), indent=2))
    sys.stdout.write("\n")


class _Told(Struct, frozen=True, kw_only=True):
    """What is printed as JSON, in its order."""

    outcome: str | None
    interrupted_at: Time | None
    facts: RunFacts
    statistics: Statistics
    account: Account
    significance: Significance
    findings: Sequence[Finding]
    books: Sequence[_ToldBook]
    trades: Sequence[Trade]
    paths: dict[str, str]


class _ToldBook(Struct, frozen=True, kw_only=True):
    """One strategy on one symbol: its figures as data, and what was noticed about it."""

    strategy_name: str
    symbol: str
    statistics: Statistics
    account: Account
    significance: Significance
    findings: Sequence[Finding]


def _judged(strategy_name: str, symbol: str, result: BacktestResult) -> _ToldBook:
    return _ToldBook(
        strategy_name=strategy_name,
        symbol=symbol,
        statistics=result.statistics,
        account=result.account,
        significance=result.significance,
        findings=result.findings,
    )


def _prints(text: str) -> bool:
    """Whether standard output, in the encoding that it has, can take the text; JSON can do without all but ASCII."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _rows(played: Played) -> Iterator[tuple[str, str, BacktestResult]]:
    """The result of every book, and of all together in the last row."""
    plan = played.record.plan
    for strategy_name in plan.strategy_names:
        for symbol in plan.symbols:
            yield strategy_name, symbol, played.record.result(symbol, strategy_name)
    yield "all", "", played.record.result()


def _figures(statistics: Statistics) -> Iterator[Text]:
    """The figures of `COLUMNS`; what was earned with a plus, and green or red where there are colours."""
    from rich.text import Text

    metrics: dict[str, Any] = {each.key: each for each in METRICS}
    for key in COLUMNS:
        text = metrics[key].text(statistics)
        earned = statistics.total_pnl if key == "total_pnl" else 0.0
        yield Text(f"+{text}" if earned > 0 else text, style=_colour(earned))


def _colour(earned: float) -> str:
    return "green" if earned > 0 else "red" if earned < 0 else ""


def _equity(result: BacktestResult, console: Console) -> Text:
    """The course of the account that only these trades are made with, in a dozen characters."""
    from rich.text import Text

    line = sparkline(result.curve.equity, _SPARKS, ascii_only=not prints_blocks(console.encoding))
    return Text(line, style=_colour(result.account.total_return))


def _account(whole: BacktestResult) -> str:
    account = whole.account
    balance = f"{account.initial_balance:,.2f} became {account.final_balance:,.2f} ({account.total_return:+.2f} %)"
    sharpe = NOT_AVAILABLE if account.sharpe_ratio is None else f"{account.sharpe_ratio:.2f}"
    drawdown = f"max drawdown {account.max_drawdown:.2f} %"
    return f"Account: {balance}, {drawdown}, Sharpe of daily returns, per year: {sharpe}"


def _list(findings: Sequence[Finding]) -> Table:
    """The findings below each other, each with the mark of its severity in front."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1))
    for each in findings:
        mark, style = _MARKS[each.severity]
        grid.add_row(Text(mark, style=style), Text(one_line(each.text, _SENTENCE)))
    return grid


def _notes(played: Played, whole: BacktestResult) -> Iterator[str]:
    """What a reader of the table must know to judge it, as far as the findings do not say it."""
    facts, found = whole.facts, {each.rule for each in whole.findings}
    if played.interrupted_at is not None:
        yield _interrupted(played.interrupted_at)
    else:
        yield f"{facts.candles} candles of one minute in {facts.duration_seconds:.2f} s"
    if facts.invalid_signals and "invalid_signals" not in found:
        first = facts.invalid_signals[0]
        reason = one_line(first.reason, _SENTENCE)
        yield f"invalid signals: {facts.invalid_signal_count}; the first at {minute(first.time)}: {reason}"
    for count, what, rule in (
        (facts.risk_rejections, "signals refused by risk rules", "risk_rejections"),
        (facts.not_enough_history, "decisions without enough history", "not_enough_history"),
        (
            facts.ambiguous,
            "trades of which one candle reached stop and target (the stop was taken)",
            "ambiguous_candles",
        ),
        (len(facts.gaps), "gaps in the candles", "gaps"),
        (played.failures, "errors of user code that did not end the run", ""),
    ):
        if count and rule not in found:
            yield f"{what}: {count}"
    if facts.settings:
        yield "settings: " + ", ".join(f"{name} = {one_line(value, _NAME)}" for name, value in facts.settings.items())


def _interrupted(time: int) -> str:
    return f"interrupted at {minute(time)}"
