"""Jobs on engine time: what runs once an hour, a day, a week, in a backtest as in live.

A job is due at every boundary of its interval (the whole hours of "1h", in UTC). It runs once for a
boundary, however many books pass it, and never for one that lies before the start of its run. When time
jumps over several boundaries the job runs for the latest only. A job that fails is told about and tried
again at the next minute, until it succeeds or its next boundary comes.

Nothing here knows the wall clock: time is what the driver says it is. Both rules above are one comparison:
a job is due while the boundary behind `when` is later than the one that it has last done.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from msgspec import Struct

from backtest_kit.core.values import MINUTE, NEVER, Interval, Mode, Time
from backtest_kit.errors import ConfigError, DuplicateNameError, UnknownNameError


class CronTick(Struct, frozen=True):
    """What a job is told: its name, the engine's time, the symbol it runs for (None: for all), and the mode.

    `boundary` is the opening of the interval that it runs for: the same when it is tried again, so it can
    serve as a key of work done once. `when` is the time that user code may see.
    """

    name: str
    when: Time
    symbol: str | None
    mode: Mode
    boundary: Time


Handler: TypeAlias = Callable[[CronTick], Any]
OnError: TypeAlias = Callable[[Exception, CronTick], None]


class Job(Struct, frozen=True):
    """A handler (`def` or `async def`), how often it runs, and for which symbols: None is once for all."""

    name: str
    interval: Interval
    handler: Handler
    symbols: tuple[str, ...] | None = None


class Schedule:
    """The jobs that are registered. It holds no state of a run: one schedule serves many at a time."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self.revision = 0
        self.on_change: list[Callable[[], None]] = []

    def add(
        self,
        name: str,
        interval: str | Interval,
        handler: Handler,
        symbols: Iterable[str] | str | None = None,
    ) -> Job:
        """Take a job, which runs under way take up too.

        Raises DuplicateNameError, ConfigError, and UnknownNameError for an interval that there is not.
        """
        if name in self._jobs:
            raise DuplicateNameError(f"cron job {name!r} is registered already; remove it first")
        if not callable(handler):
            raise ConfigError(f"the handler of cron job {name!r} must be a function, not {handler!r}")
        chosen = (symbols,) if isinstance(symbols, str) else None if symbols is None else tuple(symbols)
        self._jobs[name] = Job(name, Interval.parse(interval), handler, chosen)
        self._changed()
        return self._jobs[name]

    def remove(self, name: str) -> Job:
        """Forget a job, in runs under way too; raises UnknownNameError."""
        if name not in self._jobs:
            raise UnknownNameError("cron job", str(name), self._jobs)
        job = self._jobs.pop(name)
        self._changed()
        return job

    def _changed(self) -> None:
        """Tells the runs under way, which may have to stop earlier than they thought."""
        self.revision += 1
        for tell in tuple(self.on_change):
            tell()

    def list(self) -> tuple[Job, ...]:
        """All jobs, oldest first."""
        return tuple(self._jobs.values())


class ScheduleRun:
    """The jobs of a schedule in one run, and which boundaries they have done.

    The first boundary that counts is the first one not before `start`. `symbols` are those of the run's
    books: a job for other symbols never comes due. `on_error(error, tick)` is told about every attempt that
    failed.
    """

    def __init__(
        self, schedule: Schedule, *, start: Time, symbols: Iterable[str], mode: Mode, on_error: OnError
    ) -> None:
        self._schedule, self._symbols = schedule, frozenset(symbols)
        self._mode, self._on_error = mode, on_error
        self._slots: list[_Slot] = []
        self._asked, self._due = NEVER, NEVER
        self._follow(start - 1)

    def next_due(self, after: Time) -> Time | None:
        """The first time later than `after` at which `fire` has work, as far as is known; None: never.

        The answer is kept until something fires or the schedule changes, so asking again costs next to
        nothing.
        """
        if self._revision != self._schedule.revision:
            self._follow(after)
        if not self._asked <= after < self._due:
            self._asked, self._due = after, min((each.due(after) for each in self._slots), default=NEVER)
        return self._due if self._due < NEVER else None

    async def fire(self, when: Time) -> None:
        """Run what is due at `when`, one job after the other, in the order in which they were added."""
        if self._revision != self._schedule.revision:
            self._follow(when - 1)
        for slot in tuple(self._slots):
            if slot.is_due(when):
                self._asked = NEVER
                boundary = slot.job.interval.floor(when)
                await self._attempt(slot, CronTick(slot.job.name, when, slot.symbol, self._mode, boundary))

    async def _attempt(self, slot: _Slot, tick: CronTick) -> None:
        slot.tried, slot.running = tick.when, True
        try:
            answer = slot.job.handler(tick)
            if inspect.isawaitable(answer):
                await answer
        except Exception as error:
            self._on_error(error, tick)
        else:
            slot.done = tick.boundary
        finally:
            slot.running = False
            self._asked = NEVER

    def _follow(self, since: Time) -> None:
        """Take over the jobs as they are now: a known one goes on, a new one begins after `since`."""
        known = {(id(slot.job), slot.symbol): slot for slot in self._slots}
        self._slots = [
            known.get((id(job), symbol)) or _Slot(job, symbol, job.interval.floor(since))
            for job in self._schedule.list()
            for symbol in self._symbols_of(job)
        ]
        self._revision, self._asked = self._schedule.revision, NEVER

    def _symbols_of(self, job: Job) -> tuple[str | None, ...]:
        if job.symbols is None:
            return (None,)
        return tuple(symbol for symbol in dict.fromkeys(job.symbols) if symbol in self._symbols)


class _Slot:
    """One job for one symbol (None: for all): the boundary it has last done, and when it was last tried."""

    __slots__ = ("done", "job", "running", "symbol", "tried")

    def __init__(self, job: Job, symbol: str | None, done: Time) -> None:
        self.job, self.symbol, self.done = job, symbol, done
        self.tried, self.running = -NEVER, False

    def is_due(self, when: Time) -> bool:
        return not self.running and when > self.tried and self.job.interval.floor(when) > self.done

    def due(self, after: Time) -> Time:
        """The first time after `after` at which it is due: the next minute while a boundary is undone."""
        boundary = self.job.interval.floor(after)
        if boundary > self.done:
            return Interval.M1.floor(after) + MINUTE
        return max(boundary, self.done) + int(self.job.interval)
