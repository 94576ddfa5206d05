"""The live driver: every book on the wall clock, a tick a minute, beside each other.

A start is: open the store, read every document, let the adapter get ready, and then the first tick, which finds out
about what is not answered and lives through the candles that were missed. Each book waits for its own minute, so one
that is slow or fails delays no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from backtest_kit.core.events import Event
from backtest_kit.core.values import MINUTE, Interval, Time
from backtest_kit.engine.control import ControlFolder, carry_out, hold_back
from backtest_kit.engine.gate import Gate
from backtest_kit.engine.listeners import Listeners
from backtest_kit.engine.live_book import LiveBook
from backtest_kit.engine.notices import DoneLive, Failure, Performance
from backtest_kit.errors import DataError, StoreError
from backtest_kit.ports import Clock

_AFTER_THE_MINUTE_SECONDS = 0.001
_LOOKS_FOR_COMMANDS_SECONDS = 1.0  # of real time, whatever the clock
_LATE_CANDLE_SECONDS = 20.0  # how long a tick waits for the candle that has just closed


class LiveRun:
    """Books that trade on the wall clock, until they are stopped and hold nothing.

    `prepare` reads the documents and makes the books, `release` gives the store up. `results` gives opened, closed and
    cancelled events, and ends only after `stop`. A run is used once.
    """

    def __init__(
        self,
        prepare: Callable[[], Awaitable[list[LiveBook]]],
        release: Callable[[], Awaitable[None]],
        listeners: Listeners,
        clock: Clock,
        gate: Gate,
    ) -> None:
        self._prepare, self._release = prepare, release
        self._listeners, self._clock, self._gate = listeners, clock, gate
        self.books: list[LiveBook] = []
        self.is_running = False
        self._stopping: list[Callable[[LiveBook], bool]] = []
        self._results: asyncio.Queue[Event | BaseException | None] = asyncio.Queue()
        self._control: ControlFolder | None = None
        self._turns: dict[LiveBook, asyncio.Lock] = {}  # held while a book lives through a tick or obeys a command
        self._tasks: dict[LiveBook, asyncio.Task[None]] = {}

    def obey(self, control: ControlFolder) -> None:
        """From its start on the run takes commands from there, and minds the kill switch."""
        self._control = control

    async def results(self) -> AsyncIterator[Event]:
        """Runs, and yields results as they happen. Leaving the loop early ends the process' trading, safely."""
        self.is_running = True
        listening: list[asyncio.Task[None]] = []
        try:
            self.books = await self._prepare()
            self._turns = {book: asyncio.Lock() for book in self.books}
            stopping, self._stopping = self._stopping, []
            for which in stopping:
                self.stop(which)
            if self._control is not None:
                await self._take_commands(self._control)
                listening = [asyncio.create_task(self._listen(self._control))]
            self._tasks = {book: asyncio.create_task(self._live(book)) for book in self.books}
            left = len(self._tasks)
            while left:
                result = await self._results.get()
                if result is None:
                    left -= 1
                elif isinstance(result, BaseException):
                    raise result
                else:
                    yield result
        finally:
            self.is_running = False
            await _ended([*listening, *self._tasks.values()])
            await self._release()

    async def leave(self) -> None:
        """Ends this process' part: every book finishes what it is doing; what is open stays open, and is kept."""
        await asyncio.gather(*(self._leave(book, task) for book, task in self._tasks.items() if not task.done()))

    async def _leave(self, book: LiveBook, task: asyncio.Task[None]) -> None:
        async with self._turns[book]:
            task.cancel()
        self._results.put_nowait(None)

    def stop(self, which: Callable[[LiveBook], bool] = lambda _: True) -> None:
        """No new signals in the books meant; what waits is cancelled; what is open is watched to its end.

        Once all are stopped and hold nothing, the run is over. May be called from any thread.
        """
        self._stopping.append(which)
        for book in self.books:
            if which(book):
                book.stop()

    @property
    def has_begun(self) -> bool:
        """Whether its books have been read and trade."""
        return bool(self._tasks)

    @property
    def is_busy(self) -> bool:
        """Whether a book lives through a tick or obeys a command right now."""
        return any(turn.locked() for turn in self._turns.values())

    async def _listen(self, control: ControlFolder) -> None:
        """Takes commands, second after second."""
        while True:
            await asyncio.sleep(_LOOKS_FOR_COMMANDS_SECONDS)
            await self._take_commands(control)

    async def _take_commands(self, control: ControlFolder) -> None:
        """Carries out what waits, and answers it. A folder that cannot be used is told, and stops nothing."""
        now = Interval.M1.floor(self._gate.now())
        try:
            for number, request in control.waiting():
                try:
                    answer = await carry_out(request, self._turns, now)
                except Exception as error:  # what a book could not write down
                    self._results.put_nowait(error)
                    return
                control.answer(number, answer)
        except (OSError, StoreError) as error:
            await self._listeners.report_failure(Failure(self.books[0].source, now, error, "taking commands"))

    async def _live(self, book: LiveBook) -> None:
        """One book, minute after minute."""
        try:
            await book.begin()
            tick = Interval.M1.floor(self._gate.now())
            while True:
                await self._tick(book, tick)
                if book.stopped and book.is_at_rest:
                    break
                tick = await self._next(tick)
            await book.end()
            await book.teller.tell(DoneLive(book.source, tick))
            self._results.put_nowait(None)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._results.put_nowait(error)

    async def _next(self, last: Time) -> Time:
        """Waits for the next minute boundary, or takes the present one where the last tick took too long."""
        while True:
            now = self._gate.now()
            if now >= last + MINUTE:
                return Interval.M1.floor(now)
            await self._clock.sleep((last + MINUTE - now) / 1000 + _AFTER_THE_MINUTE_SECONDS)

    async def _tick(self, book: LiveBook, tick: Time) -> None:
        """One tick of a book; what goes wrong in it is told, and tried again at the next."""
        began = self._clock.monotonic()
        try:
            await self._candles(book, tick)
            async with self._turns[book]:
                if self._control is not None and (kill := self._control.kill):
                    hold_back(book, kill, tick)
                await book.live_through(book.tape.row(tick))
        except StoreError:  # nothing counts that cannot be written down
            raise
        except Exception as error:
            await self._listeners.report_failure(Failure(book.source, tick, error, "tick"))
        for event in book.take_results():
            self._results.put_nowait(event)
        duration = (self._clock.monotonic() - began) * 1000
        await self._listeners.tell(Performance(book.source, tick, "live_tick", duration))

    async def _candles(self, book: LiveBook, tick: Time) -> None:
        """Lets the tape reach the tick; waits a while for a candle that the exchange does not show yet."""
        began = self._clock.monotonic()
        while True:
            try:
                await book.follow(tick)
                return
            except DataError:
                if self._clock.monotonic() - began > _LATE_CANDLE_SECONDS:
                    raise
                await self._clock.sleep(1.0)


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Calls tasks off and waits until they are."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        try:
            await task
        except (asyncio.CancelledError, Exception):
            continue
