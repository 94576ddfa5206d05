"""Playing one planned backtest to its end, or until Ctrl-C: the first ends the run, the second the process."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from msgspec import Struct

from backtest_kit.app import default
from backtest_kit.cli.failures import INTERRUPTED, say
from backtest_kit.cli.user_code import places
from backtest_kit.core.values import Time
from backtest_kit.engine.listeners import Subscription
from backtest_kit.engine.notices import DoneBacktest, Failure, Progress
from backtest_kit.iteration import Results
from backtest_kit.record import Record
from backtest_kit.reports.tables import minute
from backtest_kit.terminal import NO_BAR

_SHOW_CURSOR = "\x1b[?25h"


class Played(Struct, frozen=True):
    """A run that is over.

    `interrupted_at` is the engine's time (epoch ms) at which Ctrl-C ended it, else None; `failures` counts errors of
    user code that did not end it.
    """

    record: Record
    interrupted_at: Time | None
    failures: int


class Interruption:
    """Ctrl-C during a run: the first raises KeyboardInterrupt where the run is, a second one exits at once."""

    def __init__(self) -> None:
        self.heard = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, self._hear)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        if self.heard:
            if sys.stderr.isatty():
                os.write(2, _SHOW_CURSOR.encode())  # the progress bar had hidden it
            os._exit(INTERRUPTED)
        self.heard = True
        raise KeyboardInterrupt


class Watch:
    """What is seen of a run from outside: how far it has come, and the errors of user code that it survived."""

    def __init__(self, verbose: bool) -> None:
        self.time: Time = 0
        self.failures = 0
        self._verbose = verbose
        self._told: set[tuple[str, str]] = set()

    def see(self, event: Progress | DoneBacktest) -> None:
        self.time = max(self.time, event.time)

    def warn(self, failure: Failure) -> None:
        """A line for each kind of error at each place, with the first of its kind; for every error when verbose."""
        self.failures += 1
        kind = (failure.where, type(failure.error).__name__)
        if self._verbose or kind not in self._told:
            self._told.add(kind)
            text = f"warning: {failure.message} ({failure.source}, {minute(failure.time)})"
            say("\n".join([text, *places(failure.error.__cause__ or failure.error)]))


def play(record: Record, *, quiet: bool = False, verbose: bool = False) -> Played:
    """Runs to the end or to Ctrl-C. `quiet`: no progress bar. What the run raises is raised here."""
    watch, interruption = Watch(verbose), Interruption()
    subscriptions = (Subscription([Progress, DoneBacktest], watch.see), Subscription([Failure], watch.warn))
    with contextlib.ExitStack() as stack:
        for each in subscriptions:
            stack.callback(default.listeners.add(each))
        if quiet:
            stack.enter_context(_no_bar())
        try:
            with interruption.listening():
                for _ in Results(record, default.listeners):
                    if interruption.heard:  # somebody's `except:` has swallowed it
                        break
        except KeyboardInterrupt:
            interruption.heard = True
    interrupted_at = max(watch.time, record.plan.start) if interruption.heard else None
    return Played(record, interrupted_at, watch.failures)


@contextlib.contextmanager
def _no_bar() -> Iterator[None]:
    before = os.environ.get(NO_BAR)
    os.environ[NO_BAR] = "1"
    try:
        yield
    finally:
        os.environ.pop(NO_BAR)
        if before is not None:
            os.environ[NO_BAR] = before
