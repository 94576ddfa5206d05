"""Markets to measure on: seeded random walks of 1-minute candles, held in memory as numpy columns.

A minute moves by 0.07 % (one standard deviation), as a large coin does; a bracket of 2 % and 1 % then lives for hours.
Every symbol has columns of its own, so that several symbols take as much memory and cache as they would in earnest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

START = 1_704_067_200_000  # 2024-01-01, a Monday: candles of every interval begin here
MINUTE = 60_000
DAY_MINUTES = 1_440
HISTORY_MINUTES = 4 * DAY_MINUTES  # before the frame: enough for the first question of every strategy
_SIGMA = 0.0007
_CHUNK = 16_384  # rows made at a time, so that making a market leaves no mark on the peak of memory

Column = NDArray[Any]


class World:
    """Some symbols over some days, with the history before them. `tables` is what `MemoryExchange` takes."""

    def __init__(self, days: int, symbols: int = 1) -> None:
        self.minutes = days * DAY_MINUTES
        self.candles = self.minutes * symbols
        self.start, self.stop = START, START + self.minutes * MINUTE
        count = HISTORY_MINUTES + self.minutes
        times = START + (np.arange(count, dtype=np.int64) - HISTORY_MINUTES) * MINUTE
        names = [f"COIN{number}USDT" for number in range(symbols)]
        self.tables = {name: {"timestamp": times, **_walk(number, count)} for number, name in enumerate(names)}

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(self.tables)

    def closes(self, minutes: int) -> Column:
        """The closes of the first symbol in candles of so many minutes, history included."""
        return next(iter(self.tables.values()))["close"][minutes - 1 :: minutes].copy()

    @property
    def symbol_bytes(self) -> int:
        """The memory of one symbol's columns, with the times as if they were its own."""
        return sum(column.nbytes for column in next(iter(self.tables.values())).values())


def _walk(number: int, count: int) -> dict[str, Column]:
    """Open, high, low, close and volume of one symbol; `number` is its seed."""
    random = np.random.default_rng([20_240_101, number])
    columns = {name: np.empty(count) for name in ("open", "high", "low", "close", "volume")}
    price = 100.0 * (1 + number)
    for first in range(0, count, _CHUNK):
        rows = slice(first, min(first + _CHUNK, count))
        size = rows.stop - first
        close = price * np.exp(np.cumsum(random.normal(0, _SIGMA, size)))
        opening = np.concatenate(([price], close[:-1]))
        wicks = np.abs(random.normal(0, _SIGMA / 2, (2, size)))
        columns["open"][rows], columns["close"][rows] = opening, close
        columns["high"][rows] = np.maximum(opening, close) * (1 + wicks[0])
        columns["low"][rows] = np.minimum(opening, close) * (1 - wicks[1])
        columns["volume"][rows] = random.lognormal(2.0, 0.8, size)
        price = float(close[-1])
    return columns
