"""Candles as read-only columns, and the tape that the machine reads: one row a minute, oldest first.

Time is arithmetic: row `i` of a column run opens at `start + i · interval`. A missing candle is a row of NaN, never an
absent row, so that a row number and a time are the same thing everywhere. The look-ahead guard is `Candles.closed_by`:
the only rows that exist at `when` are those whose candle has closed by then.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias, overload

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from backtest_kit.core.values import MINUTE, Interval, Time

Floats: TypeAlias = NDArray[np.float64]
Times: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

COLUMNS = ("open", "high", "low", "close", "volume")
_CHUNK = 16_384  # rows a pass over columns: few enough that temporaries stay in the cache


class Candle(Struct, frozen=True):
    """One candle: opening time in epoch ms (UTC), prices in quote currency, volume in units of its source."""

    timestamp: Time
    open: float
    high: float
    low: float
    close: float
    volume: float


class Candles:
    """A run of candles of one interval as read-only numpy columns of equal length; a slice is a view, no copy.

    `candles.close[-10:].mean()`, `for candle in candles`, `candles[-1].close`, `candles["close"]`.
    """

    __slots__ = ("close", "high", "interval", "low", "open", "start", "volume")

    def __init__(
        self, interval: Interval, start: Time, open: Floats, high: Floats, low: Floats, close: Floats, volume: Floats
    ) -> None:
        self.interval, self.start = interval, start
        self.open, self.high, self.low, self.close, self.volume = (
            _read_only(each) for each in (open, high, low, close, volume)
        )
        if len({len(self.open), len(self.high), len(self.low), len(self.close), len(self.volume)}) != 1:
            raise ValueError("candle columns differ in length")

    @classmethod
    def empty(cls, interval: Interval, start: Time) -> Candles:
        return cls(interval, start, *(np.empty(0) for _ in COLUMNS))

    @property
    def stop(self) -> Time:
        """The time at which the last candle closes: the opening of the first one that is not here."""
        return self.start + len(self.close) * int(self.interval)

    @property
    def time(self) -> Times:
        """Opening times, epoch ms."""
        return np.arange(self.start, self.stop, int(self.interval), dtype=np.int64)

    def __len__(self) -> int:
        return len(self.close)

    def __iter__(self) -> Iterator[Candle]:
        columns = (self.open, self.high, self.low, self.close, self.volume)
        rows = zip(*(each.tolist() for each in columns), strict=True)
        for i, row in enumerate(rows):
            yield Candle(self.start + i * int(self.interval), *row)

    @overload
    def __getitem__(self, key: int) -> Candle: ...
    @overload
    def __getitem__(self, key: slice) -> Candles: ...
    @overload
    def __getitem__(self, key: str) -> Floats | Times: ...
    def __getitem__(self, key: int | slice | str) -> Candle | Candles | Floats | Times:
        if isinstance(key, str):
            if key in COLUMNS:
                column: Floats = getattr(self, key)
                return column
            if key in ("time", "timestamp"):
                return self.time
            raise KeyError(key)
        if isinstance(key, slice):
            first, last, step = key.indices(len(self))
            if step != 1:
                raise ValueError("candles are cut in steps of one")
            return self.rows(first, max(first, last))
        i = range(len(self))[key]
        return Candle(self.start + i * int(self.interval), *(float(self[name][i]) for name in COLUMNS))

    def rows(self, first: int, last: int) -> Candles:
        """The rows [first, last) as views."""
        return Candles(
            self.interval,
            self.start + first * int(self.interval),
            *(getattr(self, name)[first:last] for name in COLUMNS),
        )

    def between(self, start: Time, stop: Time) -> Candles:
        """The candles that open in [start, stop), as far as they are here."""
        first = max(0, -((self.start - start) // int(self.interval)))
        last = max(first, min(len(self), -((self.start - stop) // int(self.interval))))
        return self.rows(first, last)

    def closed_by(self, when: Time) -> Candles:
        """The candles that have closed by `when`; the forming one and all later ones are not among them."""
        return self.rows(0, min(len(self), max(0, (when - self.start) // int(self.interval))))

    def resampled(self, interval: Interval) -> Candles:
        """The same market in longer candles.

        Only whole ones: a longer candle of which a minute lies outside is left out.

        Open of the first, highest high, lowest low, close of the last, sum of volumes left to right. A missing minute
        (NaN) makes the longer candle missing.
        """
        step = int(interval) // int(self.interval)
        if step < 1 or int(interval) % int(self.interval):
            raise ValueError(f"{self.interval} candles cannot be resampled to {interval}")
        start = interval.floor(self.start + int(interval) - 1)
        first = (start - self.start) // int(self.interval)
        count = max(0, (len(self) - first) // step)
        if count == 0:
            return Candles.empty(interval, start)
        shape = slice(first, first + count * step)
        opens, highs, lows, closes, volumes = (getattr(self, name)[shape].reshape(count, step) for name in COLUMNS)
        opening, high, low, close, volume = (
            opens[:, 0].copy(),
            folded_columns(np.maximum, highs),
            folded_columns(np.minimum, lows),
            closes[:, -1].copy(),
            folded_columns(np.add, volumes),
        )
        missing = np.isnan(volume)
        opening[missing] = high[missing] = low[missing] = close[missing] = np.nan
        return Candles(interval, start, opening, high, low, close, volume)

    def __repr__(self) -> str:
        return f"Candles({self.interval}, start={self.start}, rows={len(self)})"


class Tape:
    """One symbol's minutes as the machine reads them. Row `i` is the 1-minute candle that opens at `start + i` minutes.

    `price` is the engine's price after that candle closed: the volume-weighted average of the last `span` candles (NaN
    while fewer exist, or where one of them is missing).
    """

    __slots__ = ("high", "low", "open", "price", "start")

    def __init__(self, start: Time, open: Floats, high: Floats, low: Floats, price: Floats) -> None:
        self.start, self.open, self.high, self.low, self.price = start, open, high, low, price

    @classmethod
    def of(cls, minutes: Candles, span: int) -> Tape:
        """The tape over 1-minute candles whose price averages the last `span` of them."""
        if minutes.interval is not Interval.M1:
            raise ValueError("a tape is made of 1-minute candles")
        return cls(minutes.start, minutes.open, minutes.high, minutes.low, average_prices(minutes, span))

    def __len__(self) -> int:
        return len(self.price)

    def time(self, row: int) -> Time:
        """The opening time of the candle in a row."""
        return self.start + row * MINUTE

    def row(self, time: Time) -> int:
        """The row of the candle that opens at `time`; it may lie outside of the tape."""
        return (time - self.start) // MINUTE


def folded_columns(operation: np.ufunc, table: Floats) -> Floats:
    """One number a row: the columns put together left to right, as a scalar loop would (np.sum rounds otherwise)."""
    out = table[:, 0].copy()
    rows = max(1, _CHUNK // table.shape[1])
    for first in range(0, len(table), rows):
        block, part = table[first : first + rows], out[first : first + rows]
        for k in range(1, table.shape[1]):
            operation(part, block[:, k], out=part)
    return out


def average_prices(candles: Candles, span: int) -> Floats:
    """The volume-weighted average price after every candle, over it and the `span − 1` before it.

    `Σ((high + low + close)/3 · volume) / Σ volume`; the plain mean of the closes where nothing was traded. Added left
    to right, oldest first, as a scalar loop would: a running sum differs in the last bits.
    """
    n = len(candles)
    out = np.full(n, np.nan)
    for first in range(span - 1, n, _CHUNK):
        last = min(n, first + _CHUNK)
        out[first:last] = _averages(candles.rows(first - span + 1, last), span)
    return _read_only(out)


def _averages(candles: Candles, span: int) -> Floats:
    m = len(candles) - span + 1
    volume, close = candles.volume, candles.close
    traded = (candles.high + candles.low + close) / 3 * volume
    value, amount, closes = np.zeros(m), np.zeros(m), np.zeros(m)
    for k in range(span):
        value += traded[k : k + m]
        amount += volume[k : k + m]
    empty = amount == 0
    if not empty.any():
        quotient: Floats = value / amount
        return quotient
    for k in range(span):
        closes += close[k : k + m]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(empty, closes / span, value / amount)


def average_price(candles: Candles) -> float:
    """The volume-weighted average price over all given candles: one row of `average_prices`, to the bit."""
    value = amount = closes = 0.0
    for each in candles:
        value = value + (each.high + each.low + each.close) / 3 * each.volume
        amount = amount + each.volume
        closes = closes + each.close
    return closes / len(candles) if amount == 0 else value / amount


def _read_only(column: Floats) -> Floats:
    view = np.ascontiguousarray(column, dtype=np.float64).view()
    view.flags.writeable = False
    return view
