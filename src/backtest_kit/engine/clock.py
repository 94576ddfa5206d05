"""The system's clock, as live trading goes by it."""

from __future__ import annotations

import asyncio
import time

from backtest_kit.core.values import Time


class SystemClock:
    """The wall clock of this machine."""

    def now(self) -> Time:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class FastClock:
    """A clock that runs `speed` times as fast as the real one, from `start` (epoch ms) on: paper trading in a hurry."""

    def __init__(self, start: Time, speed: float) -> None:
        self._start, self._speed, self._since = start, speed, time.monotonic()

    def now(self) -> Time:
        return self._start + int(self.monotonic() * 1000)

    def monotonic(self) -> float:
        return (time.monotonic() - self._since) * self._speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)
