"""The backtest driver: many books on one time line, the earliest moment first.

A heap holds the next moment of every book, of the jobs on engine time and of the pulse (progress, and a breath for the
event loop). The earliest is lived through up to the moment of the next one, so that all decisions that share a risk
profile are made in the order of time, and a single book runs on undisturbed. See `book.py` for the keys.
"""

from __future__ import annotations

import asyncio
import time as wall
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from heapq import heappop, heappush
from typing import Literal, Protocol, TypeAlias

from msgspec.structs import replace

from backtest_kit.core.events import Event
from backtest_kit.core.values import MINUTE, Source, Time
from backtest_kit.engine import context as ambient
from backtest_kit.engine.book import ABSORB, DECIDE, JOBS, NO_LIMIT, TELL, Book, key_at, tick_and_phase
from backtest_kit.engine.listeners import Listeners
from backtest_kit.engine.notices import DoneBacktest, Failure, Performance, Progress
from backtest_kit.engine.schedule import CronTick, Schedule, ScheduleRun
from backtest_kit.engine.watchdog import Watchdog

Outcome = Literal["finished", "stopped", "interrupted", "failed"]
_BREATH_SECONDS = 0.02
Timed: TypeAlias = Callable[[str, float, int], Awaitable[None]]


class Moments(Protocol):
    """Anything that has a place on the time line."""

    def peek(self) -> int: ...

    async def advance(self, limit: int, /) -> None: ...


class TimeLine:
    """The next moments of all items in a heap. An entry that its item has moved away from is passed over."""

    def __init__(self, items: Sequence[Moments]) -> None:
        self._items = items
        self._heap: list[tuple[int, int]] = []
        self._placed: dict[int, int] = {}
        for number in range(len(items)):
            self.place(number)

    def place(self, number: int) -> None:
        """Puts an item where its next moment is."""
        key = self._items[number].peek()
        if self._placed.get(number) != key:
            self._placed[number] = key
            heappush(self._heap, (key, number))

    def next(self) -> tuple[int, int, int]:
        """Takes out the earliest moment: its item, its key, and the key before which the item may go on undisturbed."""
        while True:
            key, number = heappop(self._heap)
            if self._placed.get(number) != key:
                continue
            del self._placed[number]
            if key != self._items[number].peek():
                self.place(number)
                continue
            while self._heap and self._placed.get(self._heap[0][1]) != self._heap[0][0]:
                heappop(self._heap)
            limit = self._heap[0][0] + (number < self._heap[0][1]) if self._heap else NO_LIMIT
            return number, key, limit


class Pulse:
    """Tells progress, a percent at a time, and lets other tasks of the event loop run every few milliseconds.

    `timed` hears how long each of these percents took.
    """

    def __init__(self, books: Sequence[Book], listeners: Listeners, timed: Timed) -> None:
        ticks = books[0].ticks
        self._first, self._last, self._books, self._listeners = ticks.first, ticks.last, books, listeners
        self._percent = max(1, (ticks.last - ticks.first) // 100)
        self._stride = min(64, self._percent)
        self._row, self._told = ticks.first, ticks.first
        self._timed, self._done = timed, 0
        self._breath = self._since = wall.perf_counter()

    def peek(self) -> int:
        return key_at(self._row, ABSORB) if self._row <= self._last else NO_LIMIT

    async def advance(self, _limit: int, /) -> None:
        now = wall.perf_counter()
        passed = now - self._breath
        if passed > _BREATH_SECONDS:
            self._breath = now
            self._stride = max(1, self._stride // 2)
            await asyncio.sleep(0)
        elif passed < _BREATH_SECONDS / 4:
            self._stride = min(self._percent, self._stride * 2)
        if self._row - self._told >= self._percent or self._row >= self._last:
            self._told = self._row
            await self.tell()
        alive = any(not book.done for book in self._books)
        self._row = min(self._row + self._stride, self._last) if alive and self._row < self._last else self._last + 1

    async def finish(self) -> None:
        """The run is over: 100 percent, unless that has been told."""
        if self._told < self._last:
            self._row = self._told = self._last
            await self.tell()

    async def tell(self) -> None:
        rows = min(self._row, self._last) - self._first
        done, total = rows * len(self._books), (self._last - self._first) * len(self._books)
        book = self._books[0]
        time = book.tape.time(min(self._row, self._last))
        await self._listeners.tell(Progress(joint_source(self._books), time, done, total))
        since, self._since = self._since, wall.perf_counter()
        await self._timed("backtest_step", self._since - since, done - self._done)
        self._done = done


class Jobs:
    """The jobs on engine time, between the candles of a tick and its decisions."""

    def __init__(self, schedule: Schedule, books: Sequence[Book], listeners: Listeners) -> None:
        self._books, self._book, self._listeners = books, books[0], listeners
        self._failed: list[tuple[Exception, CronTick]] = []
        self._when: Time = self._book.tape.time(self._book.ticks.first) - 1
        self._run = ScheduleRun(
            schedule,
            start=self._when + 1,
            symbols=[book.source.symbol for book in books],
            mode=self._book.source.mode,
            on_error=lambda error, tick: self._failed.append((error, tick)),
        )

    def peek(self) -> int:
        due = self._run.next_due(self._now())
        if due is None or due > self._book.tape.time(self._book.ticks.last):
            return NO_LIMIT
        return key_at(self._book.tape.row(due), JOBS)

    def _now(self) -> Time:
        """Jobs that are added during the run begin here: no earlier than the books have come."""
        return max(self._when, *(book.context.when - 1 for book in self._books))

    async def advance(self, _limit: int, /) -> None:
        due = self._run.next_due(self._now())
        if due is None:
            return
        self._when = due
        context = self._book.context
        self._book.catch_up(due)
        context.in_candle = False
        self._book.touch()
        ambient.enter(context)
        await self._run.fire(due)
        for error, tick in self._failed:
            where = f"cron job {tick.name!r}" + (f" on {tick.symbol}" if tick.symbol else "")
            await self._listeners.report_failure(Failure(self._book.source, due, error, where))
        self._failed.clear()


class BacktestRun:
    """One backtest under way: books that share a frame, a time line and a portfolio.

    `prepare` loads candles and makes the books, when the run begins. `results` gives scheduled, opened, cancelled and
    closed events in order. A run is used once.
    """

    def __init__(
        self,
        prepare: Callable[[Watchdog], Awaitable[list[Book]]],
        listeners: Listeners,
        schedule: Schedule,
        timeout_seconds: float,
    ) -> None:
        self._prepare, self._listeners, self._schedule = prepare, listeners, schedule
        self.watchdog = Watchdog(timeout_seconds)
        self.books: list[Book] = []
        self.outcome: Outcome | None = None
        self.is_running = False
        self.seconds = 0.0
        self.timings: list[Performance] = []
        self._stopping: list[Callable[[Book], bool]] = []

    async def results(self) -> AsyncIterator[Event]:
        """Runs, and yields results as they happen. Leaving the loop early stops the run."""
        outer = ambient.running()
        started = wall.perf_counter()
        self.is_running = True
        outcome: Outcome = "stopped"
        self.watchdog.start()
        self._schedule.on_change.append(self._pause)
        self._listeners.on_change.append(self._pause)
        try:
            self.books = await self._prepare(self.watchdog)
            await self._timed("backtest_load", wall.perf_counter() - started, self._candles())
            stopping, self._stopping = self._stopping, []
            for which in stopping:
                self.stop(which)
            for book in self.books:
                await book.begin()
            async for event in self._drive():
                ambient.leave(outer)
                yield event
            outcome = "stopped" if any(book.stopped for book in self.books) else "finished"
        except (KeyboardInterrupt, asyncio.CancelledError):
            outcome = "interrupted"
            raise
        except GeneratorExit:
            raise
        except BaseException:
            outcome = "failed"
            raise
        finally:
            self.watchdog.stop()
            self._schedule.on_change.remove(self._pause)
            self._listeners.on_change.remove(self._pause)
            self.is_running, self.outcome = False, outcome
            self.seconds = wall.perf_counter() - started
            await self._tell_done(outcome)
            ambient.leave(outer)

    def stop(self, which: Callable[[Book], bool] = lambda _: True) -> None:
        """No new signals in the books meant; what is open is watched to its end. May be called from any thread."""
        self._stopping.append(which)
        for book in self.books:
            if which(book):
                book.stop()

    def _renew(self, moment: int, number: int) -> None:
        """Brings all books to the moment (a key) at which item `number` let listeners or jobs come and go."""
        tick, phase = tick_and_phase(moment)
        for each, book in enumerate(self.books):
            told = phase > TELL or (phase == TELL and each <= number)
            book.renew(book.tape.time(tick), told, asked=phase == DECIDE and each < number)

    def _revision(self) -> tuple[int, int]:
        return self._schedule.revision, self._listeners.version

    def _pause(self) -> None:
        """The book that runs now looks again for what comes next."""
        for book in self.books[:1]:
            book.touch()

    async def _drive(self) -> AsyncIterator[Event]:
        books = self.books
        pulse = Pulse(books, self._listeners, self._timed)
        items: list[Moments] = [*books, Jobs(self._schedule, books, self._listeners), pulse]
        touched: list[Book] = []
        for book in books:
            book.touched = touched
        line, revision = TimeLine(items), self._revision()
        left = len(books)
        while left:
            number, moment, limit = line.next()
            await items[number].advance(limit)
            if number < len(books):
                book = books[number]
                for event in book.take_results():
                    yield event
                left -= book.done
            line.place(number)
            if touched and number < len(books):
                moment = books[number].moment  # it may have lived through several
            while touched:  # others have spoken to these books: what they brought about is told, the next moment moved
                if self._revision() != revision:  # jobs or listeners have come or gone, see `_pause`
                    revision = self._revision()
                    self._renew(moment, number)
                    for each in range(len(items)):
                        line.place(each)
                book = touched.pop(0)
                ambient.enter(book.context)
                await book.publish()
                for event in book.take_results():
                    yield event
                line.place(books.index(book))
        await pulse.finish()

    async def _tell_done(self, outcome: Outcome) -> None:
        for book in self.books:
            ambient.enter(book.context)
            await book.teller.tell(DoneBacktest(book.source, book.context.when, len(book.tally.closed), outcome))
        if self.books:
            await self._timed("backtest_run", self.seconds, self._candles())

    def _candles(self) -> int:
        return sum(book.ticks.last - book.ticks.first for book in self.books)

    async def _timed(self, metric: str, seconds: float, count: int) -> None:
        """Keeps how long a part of the run took, over how many candles, and tells it."""
        when = max(book.context.when for book in self.books)
        self.timings.append(Performance(joint_source(self.books), when, metric, seconds * 1000, count))
        await self._listeners.tell(self.timings[-1])


def joint_source(books: Sequence[Book]) -> Source:
    """One source for what concerns all books of a run: their names, joined."""
    first = books[0].source
    symbols = ", ".join(dict.fromkeys(book.source.symbol for book in books))
    strategies = ", ".join(dict.fromkeys(book.source.strategy_name for book in books))
    return replace(first, symbol=symbols, strategy_name=strategies)


def frame_rows(start: Time, stop: Time, step: Time, span: int) -> tuple[int, int]:
    """The rows of the first and the last tick of a frame, on a tape that begins `span` candles before the first."""
    return span, span + (stop - start) // step * (step // MINUTE)
