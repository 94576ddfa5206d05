"""A time limit on user code that costs nothing per call.

A thread looks at the engine's time now and then. While a strategy is being asked and that time does not move for longer
than the limit, the strategy hangs: its task is cancelled (an `await` that never ends), and if that does not help, an
exception is raised in its thread (a loop that never ends). In the main thread a signal wakes it from a sleep; in other
threads a blocking C call ends by itself or not at all.
"""

from __future__ import annotations

import asyncio
import ctypes
import signal
import threading
from types import FrameType
from typing import Any


class Hang(BaseException):
    """Raised inside a strategy that takes too long.

    Not an Exception, so that its own `except Exception` does not eat it.
    """


class Watchdog:
    """Watches one run, from `start` to `stop`; `watch` and `rest` stand around every asking of a strategy.

    `fired` is true where what a strategy raised has been raised by the watchdog.
    """

    def __init__(self, limit_seconds: float) -> None:
        self.limit = limit_seconds
        self.fired = False
        self._watched: Any = None
        self._late: tuple[Any, Any] = (None, None)
        self._interrupted = False
        self._over = threading.Event()
        self._target = threading.get_ident()
        self._task: asyncio.Task[Any] | None = None
        self._thread = threading.Thread(target=self._look, name="backtest-kit watchdog", daemon=True)
        self._alarm: Any = None

    def start(self) -> None:
        in_main = threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGALRM")
        if in_main and signal.getsignal(signal.SIGALRM) is signal.SIG_DFL:
            self._alarm = signal.signal(signal.SIGALRM, self._wake)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self.rest()
        if self._alarm is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGALRM, self._alarm)
            self._alarm = None

    def watch(self, clock: Any, awaits: bool) -> None:
        """From here on `clock.when` has to move; `clock` is the context of the book that is asked.

        `awaits` says that its strategy may be suspended, where cancelling its task reaches it.
        """
        self._target, self._task = threading.get_ident(), asyncio.current_task() if awaits else None
        self._watched = clock

    def rest(self) -> None:
        """The strategy has answered: whatever was still on its way to it is called off."""
        self._watched, self.fired = None, False
        if self._interrupted:
            self._interrupted = False
            _call_off(self._target)

    def _look(self) -> None:
        pause = min(1.0, self.limit / 4)
        seen: tuple[Any, Any] = (None, None)
        since = 0.0
        while not self._over.wait(pause):
            clock = self._watched
            now = (None, None) if clock is None else (clock, clock.when)
            if clock is None or now[0] is not seen[0] or now[1] != seen[1]:
                seen, since = now, 0.0
                continue
            since += pause
            if since > self.limit:
                self._late = now
                self._cut_short(gently=since - self.limit <= 2 * pause)

    def _cut_short(self, gently: bool) -> None:
        """Where the strategy awaits, cancels it first; else, or when that did not help, raises in its thread."""
        task = self._task
        if gently and task is not None:
            task.get_loop().call_soon_threadsafe(self._cancel, task, self._late)
        elif self._alarm is not None:
            signal.pthread_kill(self._target, signal.SIGALRM)
        elif self._is_late(self._late):
            self.fired = self._interrupted = True
            _raise_in(self._target, Hang)

    def _cancel(self, task: asyncio.Task[Any], late: tuple[Any, Any]) -> None:
        """On the loop: it may have been blocked for so long that the strategy has answered since."""
        if self._is_late(late):
            self.fired = True
            task.cancel()

    def _wake(self, _number: int, _frame: FrameType | None) -> None:
        if self._is_late(self._late):
            self.fired = True
            raise Hang

    def _is_late(self, late: tuple[Any, Any]) -> bool:
        """Whether the strategy is still being asked for the time for which it was found too slow."""
        return self._watched is not None and self._watched is late[0] and self._watched.when == late[1]


class _CalledOff(BaseException):
    """What is raised in place of a `Hang` that is not wanted any more."""


def _raise_in(thread: int, error: type[BaseException]) -> None:
    """Raises in a thread at its next instruction, in place of what waits to be raised there."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))


def _call_off(thread: int) -> None:
    """Calls off what may still wait to be raised in this thread: something else is raised in its place, and caught.

    Taking it back (an exception of NULL) would leave CPython's mark that something waits: with a tracer such as a
    debugger the interpreter then looks for it for ever (3.11: `DO_TRACING` goes round before its first instruction).
    """
    if thread != threading.get_ident():
        return
    try:
        _raise_in(thread, _CalledOff)
        for _ in range(1000):  # a loop is where the interpreter looks
            pass
    except _CalledOff:
        pass
