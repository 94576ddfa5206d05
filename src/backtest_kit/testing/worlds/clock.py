"""The clock of a simulated machine: its wall clock may jump and drift, its monotonic one does not."""

from __future__ import annotations

import asyncio

from backtest_kit.core.values import Time

START: Time = 1_704_067_200_000
"""When every world begins: 2024-01-01T00:00Z, epoch ms."""


class TrueTime:
    """The time that everybody would agree on, in a world that began at `start` (epoch ms)."""

    def __init__(self, loop: asyncio.AbstractEventLoop, start: Time = START) -> None:
        self.loop, self.start = loop, start

    def seconds(self) -> float:
        """Seconds since the world began."""
        return self.loop.time()

    def now(self) -> Time:
        """Epoch ms, rounded down."""
        return self.start + int(self.loop.time() * 1000 + 1e-6)


class SimClock:
    """What a machine believes the time is. Implements the port `Clock`; all processes of a machine share one."""

    def __init__(self, truth: TrueTime) -> None:
        self.truth = truth
        self._error_ms, self._drift_ppm, self._since = 0.0, 0.0, 0.0

    def now(self) -> Time:
        """The wall clock, epoch ms."""
        return self.truth.now() + round(self._error())

    def monotonic(self) -> float:
        """Seconds since the world began."""
        return self.truth.seconds()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0.0))

    def jump(self, milliseconds: float) -> None:
        """Sets the wall clock forward, or back where negative."""
        self._error_ms += milliseconds

    def drift(self, parts_per_million: float) -> None:
        """From now on the wall clock runs this much too fast; negative: too slow."""
        self._error_ms, self._since = self._error(), self.truth.seconds()
        self._drift_ppm = parts_per_million

    def correct(self) -> None:
        """Sets the wall clock right, and its pace."""
        self._error_ms, self._drift_ppm = 0.0, 0.0

    def _error(self) -> float:
        return self._error_ms + self._drift_ppm * (self.truth.seconds() - self._since) / 1000
