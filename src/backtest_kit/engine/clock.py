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
