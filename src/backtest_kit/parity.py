"""Parity: what was traded live or on paper, decided again by a backtest over the same time, and compared.

Facts come from the ledger; what they leave out comes from the journal, where there is one: the ticks at which the
strategy was asked, marks of the candles it saw, and the code, parameters and terms that were in force. The replay
reads the candles as they are known now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from operator import attrgetter
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from backtest_kit.app import App
from backtest_kit.core.candles import Tape
from backtest_kit.core.events import Event, SignalOpened, SignalScheduled
from backtest_kit.core.values import MINUTE, Interval, Mode, Source, Time
from backtest_kit.engine.clock import SystemClock
from backtest_kit.engine.history import MarketBeginsLaterError
from backtest_kit.engine.journal import FOLDER, Asked, Began, Journal, JournalLine, candle_mark, code_mark
from backtest_kit.errors import ConfigError
from backtest_kit.iteration import Results
from backtest_kit.live_record import LiveRecord
from backtest_kit.registry import FrameSchema, Moment, Registry, parse_time
from backtest_kit.reports.decisions import decisions_of, pairs_of
from backtest_kit.reports.differences import Evidence, differences_of
from backtest_kit.reports.kinds.parity import Difference, ParityStatistics, effects_of
from backtest_kit.reports.rows import Rows
from backtest_kit.reports.trades import total
from backtest_kit.settings import Settings, changed
from backtest_kit.stores import FileLedger, stream_of
from backtest_kit.version import __version__

FRAME = "parity"


class Lived(Struct, frozen=True):
    """What is known of one book in live trading: its facts, and the lines of its journal, each in order."""

    source: Source
    events: tuple[Event, ...]
    began: tuple[Began, ...] = ()
    asked: tuple[Asked, ...] = ()


class Period(Struct, frozen=True):
    """The ticks that are compared, from `start` to `stop`, epoch ms."""

    start: Time
    stop: Time


def journal(data_folder: str | Path) -> Journal:
    """The journal in a data folder, for live books to write to."""
    return Journal(_lines(data_folder), stream_of)


def parity(
    app: App,
    symbol: str | None = None,
    strategy_name: str | None = None,
    exchange_name: str | None = None,
    mode: Mode | None = None,
    start: Moment | None = None,
    stop: Moment | None = None,
    params: Mapping[str, Any] | None = None,
    **settings: object,
) -> ParityStatistics:
    """The differences between live trading of these names, as the ledger has it, and a backtest of the same time.

    `mode` is "live" or "paper"; without one it is live trading, or paper trading where there is none. `start` and
    `stop` narrow the period. Parameters and terms of trading are those of the journal unless they are given. Raises
    ConfigError where nothing of these names was traded, UnknownNameError for a strategy that is not registered.
    """
    record = LiveRecord.read(app.ledger, app.settings, symbol, strategy_name, exchange_name, mode)
    if len({each.exchange_name for each in record.sources}) > 1:
        raise ConfigError("this was traded at several exchanges: say which one with exchange_name")
    within = Period(parse_time(start) if start is not None else 0, parse_time(stop) if stop is not None else 2**62)
    books = [_lived(app, each, record.events) for each in sorted(record.sources, key=stream_of)]
    outcomes = [_compared(app, group, within, params, settings) for group in _groups(app, books)]
    return _statistics(record.sources[0].mode, outcomes)


class _Outcome(Struct, frozen=True):
    """What came of one replay."""

    period: Period
    pairs: int
    differences: tuple[Difference, ...]
    profits: tuple[float, float]
    notes: tuple[str, ...]


def _statistics(mode: str, outcomes: Sequence[_Outcome]) -> ParityStatistics:
    rows = sorted((row for each in outcomes for row in each.differences), key=attrgetter("time"))
    pairs = sum(each.pairs for each in outcomes)
    differing = {(row.symbol, row.strategy_name, row.signal_id, row.time) for row in rows}
    return ParityStatistics(
        rows=Rows(rows, Difference),
        mode=mode,
        start=min(each.period.start for each in outcomes),
        stop=max(each.period.stop for each in outcomes),
        decisions=pairs,
        equal=pairs - len(differing),
        live_profit=total(each.profits[0] for each in outcomes),
        replay_profit=total(each.profits[1] for each in outcomes),
        effects=effects_of(rows),
        notes=tuple(dict.fromkeys(note for each in outcomes for note in each.notes)),
    )


def _groups(app: App, books: Sequence[Lived]) -> list[list[Lived]]:
    """Books that are replayed together: those that may share a risk profile, and every other one alone."""
    shared = [each for each in books if app.strategies.get(each.source.strategy_name).risk_names]
    return [*([shared] if shared else []), *([each] for each in books if each not in shared)]


# ---- what was lived through ----


def _lines(data_folder: str | Path) -> FileLedger:
    return FileLedger(Path(data_folder) / FOLDER, JournalLine, durable=False)


def _lived(app: App, source: Source, events: Iterable[Event]) -> Lived:
    lines = list(_lines(app.settings.data_folder).scan(stream_of(source)))
    return Lived(
        source,
        tuple(each for each in events if each.source == source),
        tuple(each for each in lines if isinstance(each, Began)),
        tuple(each for each in lines if isinstance(each, Asked)),
    )


def _period(app: App, books: Sequence[Lived], within: Period) -> Period:
    """From the first tick at which the strategies were asked and held nothing, to the last that is known."""
    start = max(within.start, min(_first_tick(app, each, within.start) for each in books))
    closed = Interval.M1.floor(SystemClock().now()) - MINUTE
    stop = min(max(map(_last_tick, books)), Interval.M1.floor(within.stop), closed)
    if stop < start:
        raise ConfigError("nothing was decided in this period")
    return Period(start, stop)


def _last_tick(book: Lived) -> Time:
    """How far a book has come for certain, by its facts and its journal."""
    known = [each.known_at for each in decisions_of(book.events)]
    return max([*known, *(each.time for each in book.asked)], default=-1)


def _first_tick(app: App, book: Lived, start: Time) -> Time:
    """Where the replay of a book can begin: it holds nothing there, and its strategy is asked."""
    held = [each for each in decisions_of(book.events) if each.time < start <= each.until]
    free = max([start, *(each.until + MINUTE for each in held)])
    decided = (each.time for each in book.events if isinstance(each, SignalScheduled | SignalOpened))
    ticks = [each for each in ((line.time for line in book.asked) if book.asked else decided) if each >= free]
    interval = app.strategies.get(book.source.strategy_name).interval
    return min(ticks, default=interval.floor(free - 1) + int(interval))


# ---- the replay ----


def _compared(
    app: App,
    books: Sequence[Lived],
    within: Period,
    params: Mapping[str, Any] | None,
    settings: Mapping[str, object],
) -> _Outcome:
    period = _period(app, books, within)
    began = [each for book in books for each in book.began if each.time <= period.start][-1:]
    recorded = {name: value for each in began for name, value in each.terms.items()}
    values = changed(app.settings, **{**recorded, **settings})
    given = params if params is not None else {name: value for each in began for name, value in each.params.items()}
    replayed = _replayed(app, books, period, values, given)
    pairs, rows, profits, notes = 0, [], [], _notes(app, books, period)
    for book in books:
        evidence = _evidence(app, book, period, values)
        known = min(period.stop, _last_tick(book))
        live = [each for each in decisions_of(book.events, known) if each.time >= period.start]
        replay = decisions_of((each for each in replayed if _is_of(each, book)), known)
        found = pairs_of(live, replay, evidence.interval)
        pairs += len(found)
        if evidence.changed:
            spans = f"{len(evidence.changed)} of {len(evidence.asked or ())}"
            notes.append(f"{book.source}: at {spans} ticks it was asked on candles that are others now.")
        rows += differences_of(found, evidence)
        profits.append(tuple(total(each.profit or 0.0 for each in side) for side in (live, replay)))
    earned = total(each[0] for each in profits), total(each[1] for each in profits)
    return _Outcome(period, pairs, tuple(rows), earned, tuple(notes))


def _replayed(
    app: App, books: Sequence[Lived], period: Period, settings: Settings, params: Mapping[str, Any]
) -> tuple[Event, ...]:
    """The facts of a backtest of these books. It is no run that reports would find."""
    world = copy(app)
    world.frames, world.records = Registry("frame"), []
    world.frames.add(FrameSchema(FRAME, Interval.M1, period.start, period.stop + MINUTE))
    symbols = dict.fromkeys(each.source.symbol for each in books)
    names = dict.fromkeys(each.source.strategy_name for each in books)
    terms = asdict(settings) | {"on_error": "continue"}
    record = world.backtest(symbols, names, books[0].source.exchange_name, FRAME, params, **terms)
    for _ in Results(record, world.listeners):
        pass
    return tuple(record.result().events)


def _is_of(event: Event, book: Lived) -> bool:
    return (event.symbol, event.strategy_name) == (book.source.symbol, book.source.strategy_name)


def _evidence(app: App, book: Lived, period: Period, settings: Settings) -> Evidence:
    interval = app.strategies.get(book.source.strategy_name).interval
    asked = [each for each in book.asked if period.start <= each.time <= period.stop]
    if not asked:
        return Evidence(interval, settings)
    tape = _tape(app, book.source, min(asked[0].since, period.start), asked[-1].time, settings)
    spans = tuple((min(each.since, each.time - MINUTE), each.time) for each in asked if not _saw(each, tape))
    return Evidence(interval, settings, frozenset(each.time for each in asked), spans)


def _saw(line: Asked, tape: Tape) -> bool:
    """Whether a strategy was asked on just these candles."""
    now = float(tape.price[tape.row(line.time) - 1])
    return line.price == now and line.candles == candle_mark(tape, line.since, line.time)


def _tape(app: App, source: Source, start: Time, stop: Time, settings: Settings) -> Tape:
    """The candles of a symbol as they are known now, with those that its first price needs."""
    history, span = app.history(source.exchange_name, settings), settings.avg_price_candles
    try:
        minutes = history.candles_now(source.symbol, Interval.M1, start - span * MINUTE, stop)
    except MarketBeginsLaterError:
        minutes = history.candles_now(source.symbol, Interval.M1, start, stop)
    return Tape.of(minutes, span)


def _notes(app: App, books: Sequence[Lived], period: Period) -> list[str]:
    """What a reader has to know besides."""
    notes = []
    for book in books:
        source, began = book.source, [each for each in book.began if each.time <= period.stop]
        if not book.asked:
            notes.append(f"{source}: there is no journal, so what is data or timing may be called fill or code.")
        now = code_mark(app.strategies.get(source.strategy_name))
        if any(each.code and now and each.code != now for each in began):
            notes.append(f"{source}: the code of the strategy has changed since.")
        if any(each.version != __version__ for each in began):
            notes.append(f"{source}: it was traded with another version of this package.")
        if len({repr((each.params, each.terms)) for each in began if each.time > period.start or each is began[0]}) > 1:
            notes.append(f"{source}: parameters or terms of trading were changed within the period.")
    return notes
