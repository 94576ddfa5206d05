"""What the shell states about itself: a run begins, goes on, ends, or something in it fails."""

from __future__ import annotations

from typing import Literal

from backtest_kit.core.events import Event


class BeforeStart(Event, frozen=True, tag="before_start"):
    """A book is about to see its first tick; `time` is that tick."""


class AfterEnd(Event, frozen=True, tag="after_end"):
    """A book has seen its last tick; `time` is that tick."""


class DoneBacktest(Event, frozen=True, tag="done"):
    """A backtest is over for this book: how it ended, and how many trades it closed."""

    trades: int
    outcome: Literal["finished", "stopped", "interrupted", "failed"] = "finished"


class DoneLive(Event, frozen=True, tag="done_live"):
    """Live trading of this book is over: it was stopped, and holds nothing any more."""


class Progress(Event, frozen=True, tag="progress"):
    """How far a run has come: candles done of all books, and all candles there are.

    Several books: their names joined.
    """

    done: int
    total: int

    @property
    def percent(self) -> float:
        return 100.0 if self.total == 0 else self.done / self.total * 100


class Performance(Event, frozen=True, tag="performance"):
    """How long a part of a run took: `metric` says which, `duration_ms` how long, `count` over how many of them."""

    metric: str
    duration_ms: float
    count: int = 1


class Failure(Event, frozen=True, tag="error"):
    """User code failed, and the run went on: `where` names the code, `error` is what it raised."""

    error: Exception
    where: str

    @property
    def message(self) -> str:
        return f"{self.where}: {type(self.error).__name__}: {self.error}"


class RunFailed(Event, frozen=True, tag="exit"):
    """A run in the background has ended by an error."""

    error: BaseException

    @property
    def message(self) -> str:
        return f"{type(self.error).__name__}: {self.error}"


class Written(Event, frozen=True, tag="write"):
    """A book's state has changed and been kept; `state` is the new one."""

    state: object
