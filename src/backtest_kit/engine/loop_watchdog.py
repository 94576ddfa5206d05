"""A time limit on a strategy that shares its event loop with others: its own task is cancelled, nobody else waits."""

from __future__ import annotations

import asyncio
from typing import Any


class LoopWatchdog:
    """Watches one book; `watch` and `rest` stand around every asking of its strategy.

    It reaches a strategy where it awaits. `fired` is true where what the strategy raised was raised by the watchdog.
    """

    def __init__(self, limit_seconds: float) -> None:
        self.limit = limit_seconds
        self.fired = False
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, _clock: Any, _awaits: bool) -> None:
        self.fired = False
        task = asyncio.current_task()
        if task is not None:
            self._timer = asyncio.get_running_loop().call_later(self.limit, self._cut_short, task)

    def rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cut_short(self, task: asyncio.Task[Any]) -> None:
        self.fired = True
        task.cancel()
