"""One run that was started: its plan, and what came of it, also while it is still going on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from operator import attrgetter

from msgspec import Struct

from backtest_kit.core.candles import Candles
from backtest_kit.core.coarse import coarse, fingerprint
from backtest_kit.core.events import Event, SignalClosed
from backtest_kit.core.values import Source, Time
from backtest_kit.engine.backtest import BacktestRun
from backtest_kit.engine.book import Book
from backtest_kit.reports.equity import Prices
from backtest_kit.reports.facts import InvalidSignal, RunFacts
from backtest_kit.reports.kinds.performance import Timing
from backtest_kit.reports.trades import trade_of
from backtest_kit.results import BacktestResult
from backtest_kit.settings import Settings, differing
from backtest_kit.version import __version__

_KEPT_INVALID = 100
_PICTURE_CANDLES = 5_000  # a symbol, in pictures: more cannot be told apart, and make a report heavy


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
    """What one book has done so far. `reached` is how far it has come, epoch ms; `gaps` are those it has met."""

    symbol: str
    strategy_name: str
    reached: Time
    candles: int
    decisions: int
    no_signal: int
    invalid: tuple[InvalidSignal, ...]
    invalid_count: int
    risk_rejections: int
    not_enough_history: int
    errors: int
    gaps: tuple[tuple[int, int], ...]
    events: tuple[Event, ...]
    closed: tuple[SignalClosed, ...]

    @classmethod
    def of(cls, book: Book) -> BookResult:
        tally, tape, reached = book.tally, book.tape, book.context.when
        gaps = ((tape.time(first), tape.time(stop)) for first, stop in book.gaps)
        return cls(
            symbol=book.source.symbol,
            strategy_name=book.source.strategy_name,
            reached=reached,
            candles=min(tape.row(reached), book.ticks.last) - book.ticks.first,
            decisions=tally.decisions,
            no_signal=tally.no_signal,
            invalid=tuple(InvalidSignal(each.time, "; ".join(each.reasons)) for each in tally.invalid),
            invalid_count=tally.invalid_count,
            risk_rejections=tally.risk_rejections,
            not_enough_history=tally.not_enough_history,
            errors=tally.errors,
            gaps=tuple((start, min(stop, reached)) for start, stop in gaps if start < reached),
            events=tuple(tally.facts),
            closed=tuple(tally.closed),
        )


class Record:
    """One run that was started: its plan, and what came of it. Once it has ended its books are let go."""

    def __init__(self, plan: Plan, run: BacktestRun) -> None:
        self.plan, self.run = plan, run
        self.source = Source(
            ", ".join(plan.symbols), ", ".join(plan.strategy_names), plan.exchange_name, plan.frame_name
        )
        self._books: tuple[BookResult, ...] | None = None
        self._minutes: dict[str, Candles] = {}
        self._pictures: dict[str, tuple[Prices, int]] = {}

    @property
    def start(self) -> Time:
        """When the frame begins."""
        return self.plan.start

    def finish(self) -> None:
        """Keeps what the books have done, and lets go of them."""
        self._minutes = self._candles()
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
        pictures = [self._picture(each) for each in dict.fromkeys(book.symbol for book in books)]
        settings = self.plan.settings
        facts = self._facts(books, {prices.symbol: mark for prices, mark in pictures})
        return BacktestResult(
            f"Backtest of {', '.join(facts.strategy_names)} on {', '.join(facts.symbols)}",
            sorted((trade_of(event, settings) for book in books for event in book.closed), key=attrgetter("closed_at")),
            facts,
            events=sorted((event for book in books for event in book.events), key=attrgetter("time")),
            prices=[prices for prices, _ in pictures],
            initial_balance=settings.initial_balance,
            max_rows=settings.max_report_rows,
        )

    def timings(self) -> tuple[Timing, ...]:
        """How long the parts of the run took."""
        return tuple(Timing(each.metric, each.time, each.duration_ms) for each in self.run.timings)

    def _candles(self) -> dict[str, Candles]:
        """The minutes of the frame, by symbol; views of what the exchange or the disk holds."""
        return {
            book.source.symbol: book.market.minutes[book.source.symbol].between(self.plan.start, book.market.stop)
            for book in self.run.books
        }

    def _picture(self, symbol: str) -> tuple[Prices, int]:
        """The candles for pictures and the fingerprint of all; made when first asked for, since most runs are not.

        Candles that no strategy has come to are in neither: it may be a strategy who asks.
        """
        if symbol in self._pictures:
            return self._pictures[symbol]
        has_ended = self._books is not None
        reached = max(book.reached for book in self.books() if book.symbol == symbol)
        minutes = (self._minutes if has_ended else self._candles())[symbol].between(self.plan.start, reached)
        made = Prices(symbol, coarse(minutes, _PICTURE_CANDLES)), fingerprint(minutes)
        if has_ended:
            self._pictures[symbol] = made
            del self._minutes[symbol]
        return made

    def _facts(self, books: Sequence[BookResult], marks: Mapping[str, int]) -> RunFacts:
        plan = self.plan
        invalid = sorted((each for book in books for each in book.invalid), key=attrgetter("time"))
        closed = [event for book in books for event in book.closed]
        return RunFacts(
            symbols=tuple(dict.fromkeys(book.symbol for book in books)) or plan.symbols,
            strategy_names=tuple(dict.fromkeys(book.strategy_name for book in books)) or plan.strategy_names,
            exchange_name=plan.exchange_name,
            frame_name=plan.frame_name,
            start=plan.start,
            stop=plan.stop,
            ended_at=max((book.reached for book in books), default=plan.start),
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
            data_hash=_data_hash(marks),
            version=__version__,
        )


def _data_hash(marks: Mapping[str, int]) -> str:
    """One fingerprint of the candles of all symbols, whatever their order; that of a single one is its own."""
    if len(marks) == 1:
        return "".join(f"{mark:016x}" for mark in marks.values())
    text = "\n".join(f"{mark:016x} {symbol}" for symbol, mark in sorted(marks.items()))
    return blake2b(text.encode(errors="replace"), digest_size=8).hexdigest() if marks else ""
