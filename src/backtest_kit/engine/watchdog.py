"""A time limit on user code that costs nothing per call.

A thread looks at the engine's time now and then. While a strategy is being asked and that time does not move for longer
than the limit, the strategy hangs: its task is cancelled (an `await` that never ends), and if that does not help, an
exception is raised in its thread (a loop that never ends). In the main thread a signal wakes it from a sleep; in other
threads a blocking C call ends by itself or not at all.
"""

from __future__ import annotations

import asyncio
import contextlib
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
    """Watches one run. Use as a context manager around it; `watch` and `rest` around the asking of a strategy."""

    def __init__(self, limit_seconds: float) -> None:
        self.limit = limit_seconds
        self.fired = False
        self._watched: Any = None
        self._over = threading.Event()
        self._target = threading.get_ident()
        self._task: asyncio.Task[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._look, name="backtest-kit watchdog", daemon=True)
        self._alarm: Any = None

    def start(self) -> None:
        self._target = threading.get_ident()
        in_main = threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGALRM")
        if in_main and signal.getsignal(signal.SIGALRM) is signal.SIG_DFL:
            self._alarm = signal.signal(signal.SIGALRM, self._wake)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._alarm is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGALRM, self._alarm)
            self._alarm = None

    def watch(self, clock: Any) -> None:
        """From here on `clock.when` has to move; `clock` is the context of the book that is asked."""
        self._target = threading.get_ident()
        with contextlib.suppress(RuntimeError):
            self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self._watched = clock

    def rest(self) -> None:
        self._watched = None

    def _look(self) -> None:
        pause = min(1.0, self.limit / 4)
        seen: tuple[Any, Any] | None = None
        since = 0.0
        while not self._over.wait(pause):
            clock = self._watched
            now = None if clock is None else (clock, clock.when)
            if now is None or seen is None or now[0] is not seen[0] or now[1] != seen[1]:
                seen, since = now, 0.0
                continue
            since += pause
            if since > self.limit:
                self.fired = True
                self._cut_short(since - self.limit > 2 * pause)

    def _cut_short(self, again: bool) -> None:
        """First the gentle way; the second time the exception in the thread."""
        if not again and self._loop is not None and self._task is not None and self._loop.is_running():
            self._loop.call_soon_threadsafe(self._task.cancel)
            return
        if self._watched is None:
            return
        if self._alarm is not None:
            signal.pthread_kill(self._target, signal.SIGALRM)
        else:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._target), ctypes.py_object(Hang))

    def _wake(self, _number: int, _frame: FrameType | None) -> None:
        if self.fired and self._watched is not None:
            raise Hang
