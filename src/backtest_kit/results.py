"""What a run leaves behind: its trades, its counts, its statistics and its report, also while it is still going on."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from backtest_kit.core.events import SignalClosed
from backtest_kit.core.values import Source
from backtest_kit.engine.backtest import BacktestRun
from backtest_kit.engine.book import Book
from backtest_kit.errors import ConfigError
from backtest_kit.reports.facts import InvalidSignal, RunFacts
from backtest_kit.reports.markdown import backtest_report
from backtest_kit.reports.pooled import heat
from backtest_kit.reports.statistics import METRIC_NAMES, Statistics, compute
from backtest_kit.reports.tables import trades_csv
from backtest_kit.reports.trades import Trade
from backtest_kit.settings import Settings, differing

_KEPT_INVALID = 100


class Plan(Struct, frozen=True):
    """What a run is to do, by name. Times are epoch ms; `settings` are those of the run."""

    symbols: tuple[str, ...]
    strategy_names: tuple[str, ...]
    exchange_name: str
    frame_name: str
    start: int
    stop: int
    settings: Settings

    def fits(
        self, symbol: str | None, strategy_name: str | None, exchange_name: str | None, frame_name: str | None
    ) -> bool:
        """Whether the run has a book of these names; None fits every one."""
        return (
            (symbol is None or symbol in self.symbols)
            and (strategy_name is None or strategy_name in self.strategy_names)
            and exchange_name in (None, self.exchange_name)
            and frame_name in (None, self.frame_name)
        )


class BookResult(Struct, frozen=True):
    """What one book has done so far."""

    symbol: str
    strategy_name: str
    candles: int
    decisions: int
    no_signal: int
    invalid: tuple[InvalidSignal, ...]
    invalid_count: int
    risk_rejections: int
    not_enough_history: int
    errors: int
    gaps: tuple[tuple[int, int], ...]
    closed: tuple[SignalClosed, ...]

    @classmethod
    def of(cls, book: Book) -> BookResult:
        tally, tape = book.tally, book.tape
        return cls(
            symbol=book.source.symbol,
            strategy_name=book.source.strategy_name,
            candles=book.candles_done,
            decisions=tally.decisions,
            no_signal=tally.no_signal,
            invalid=tuple(InvalidSignal(each.time, "; ".join(each.reasons)) for each in tally.invalid),
            invalid_count=tally.invalid_count,
            risk_rejections=tally.risk_rejections,
            not_enough_history=tally.not_enough_history,
            errors=tally.errors,
            gaps=tuple((tape.time(first), tape.time(stop)) for first, stop in book.gaps),
            closed=tuple(tally.closed),
        )


class Record:
    """One run that was started: its plan, and what came of it. Once it has ended its candles are let go."""

    def __init__(self, plan: Plan, run: BacktestRun) -> None:
        self.plan, self.run = plan, run
        self.source = Source(
            ", ".join(plan.symbols), ", ".join(plan.strategy_names), plan.exchange_name, plan.frame_name
        )
        self._books: tuple[BookResult, ...] | None = None

    def finish(self) -> None:
        self._books = self.books()
        self.run.books = []

    def books(self) -> tuple[BookResult, ...]:
        if self._books is not None:
            return self._books
        return tuple(BookResult.of(book) for book in self.run.books)

    def result(self, symbol: str | None = None, strategy_name: str | None = None) -> BacktestResult:
        """The outcome of all books, or of those of one symbol or strategy."""
        books = [
            each
            for each in self.books()
            if symbol in (None, each.symbol) and strategy_name in (None, each.strategy_name)
        ]
        closed = sorted((event for each in books for event in each.closed), key=lambda event: event.time)
        trades = tuple(trade_of(event) for event in closed)
        return BacktestResult(trades, self._facts(books, closed), self.plan.settings.max_report_rows)

    def _facts(self, books: Sequence[BookResult], closed: Sequence[SignalClosed]) -> RunFacts:
        plan = self.plan
        invalid = sorted((each for book in books for each in book.invalid), key=lambda each: each.time)
        return RunFacts(
            symbols=tuple(dict.fromkeys(book.symbol for book in books)) or plan.symbols,
            strategy_names=tuple(dict.fromkeys(book.strategy_name for book in books)) or plan.strategy_names,
            exchange_name=plan.exchange_name,
            frame_name=plan.frame_name,
            start=plan.start,
            stop=plan.stop,
            candles=sum(book.candles for book in books),
            decisions=sum(book.decisions for book in books),
            no_signal=sum(book.no_signal for book in books),
            invalid_signals=tuple(invalid[:_KEPT_INVALID]),
            invalid_signal_count=sum(book.invalid_count for book in books),
            risk_rejections=sum(book.risk_rejections for book in books),
            not_enough_history=sum(book.not_enough_history for book in books),
            ambiguous=sum(event.ambiguous for event in closed),
            gaps=tuple(dict.fromkeys(gap for book in books for gap in book.gaps)),
            frame_end_closes=sum(event.close_reason == "frame_end" for event in closed),
            errors=sum(book.errors for book in books),
            settings=differing(plan.settings),
            duration_seconds=self.run.seconds,
        )


class BacktestResult:
    """Trades and statistics of a run.

    Every metric is an attribute: `result.win_rate`, `result.sharpe_ratio` (None: not sayable).

    `trades` are the closed trades by closing time, `facts` what else happened, `statistics` all metrics with the
    reasons of those missing.
    """

    def __init__(self, trades: tuple[Trade, ...], facts: RunFacts, max_rows: int) -> None:
        self.trades, self.facts, self._max_rows = trades, facts, max_rows
        several = len({trade.symbol for trade in trades}) > 1
        self.statistics: Statistics = heat(trades).portfolio if several else compute(trades)

    def __getattr__(self, name: str) -> Any:
        if name in METRIC_NAMES:
            return getattr(self.statistics, name)
        raise AttributeError(f"a result has no attribute {name!r}")

    def __await__(self) -> Generator[None, None, BacktestResult]:
        return self
        yield

    def to_markdown(self) -> str:
        """The report as markdown."""
        names, symbols = ", ".join(self.facts.strategy_names), ", ".join(self.facts.symbols)
        title = f"Backtest of {names} on {symbols}"
        return backtest_report(title, self.statistics, self.trades, self.facts, self._max_rows)

    def to_csv(self) -> str:
        """The trades as CSV."""
        return trades_csv(self.trades)

    def __repr__(self) -> str:
        return f"BacktestResult({len(self.trades)} trades, total pnl {self.statistics.total_pnl} %)"


def trade_of(event: SignalClosed) -> Trade:
    """The record of a closed position."""
    position, signal = event.position, event.position.signal
    return Trade(
        symbol=event.symbol,
        strategy_name=event.strategy_name,
        position=signal.position,
        opened_at=position.pending_at,
        closed_at=event.time,
        price_open=event.pnl.price_open,
        price_close=event.pnl.price_close,
        cost=event.pnl.invested,
        pnl_percent=event.pnl.percent,
        pnl_cost=event.pnl.cost,
        close_reason=event.close_reason,
        peak_pnl_percent=position.peak.percent,
        trough_pnl_percent=position.trough.percent,
        entries=len(position.entries),
        partials=len(position.exits),
        leverage=signal.leverage,
        note=signal.note,
        signal_id=signal.id,
        ambiguous=event.ambiguous,
        pnl_percent_if_ambiguous=event.alternative.percent if event.alternative else None,
    )


def file_name(strategy_names: Sequence[str], symbols: Sequence[str], most: int = 100) -> str:
    """A name for a report's files: `<strategies>_<symbols>`, with only characters that every file system takes."""
    text = "-".join(strategy_names) + "_" + "-".join(symbols)
    return re.sub(r"[^\w.\-]+", "-", text).strip(".-")[:most] or "report"


def write_whole(path: Path, text: str) -> Path:
    """Writes a text file whole or not at all; makes its folder. Raises ConfigError that names the path."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                file.write(text)
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error
    return path
