"""Rows laid on the grid of an interval: times become row numbers, and rows off the grid are found.

After this a missing candle is a row of NaN. Rows must rise strictly; each must open where a candle of the
interval opens.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backtest_kit.core.candles import COLUMNS, Candles, Floats, Times
from backtest_kit.core.rows import Rows
from backtest_kit.core.stamps import RowError, iso
from backtest_kit.core.values import Interval, Time

# Grid rows for each given row, beyond a free million: more than that is a wrong stamp.
_SPARSE, _SPARSE_FREE = 100, 1_000_000


def interval_of(rows: Rows) -> Interval:
    """The interval of rows: their smallest step; 1m for a single row.

    Raises RowError where no interval has that step.
    """
    if len(rows) < 2:
        return Interval.M1
    check_rising(rows.time)
    steps = np.diff(rows.time)
    at = int(steps.argmin())
    smallest = int(steps[at])
    if smallest not in set(Interval):
        text = f"row {at + 1} ({iso(int(rows.time[at + 1]))}) comes {smallest / 1000:g} s after the one before"
        text += "; no interval is that long"
        raise RowError(text, row=at + 1, first_bad=int(rows.time[at + 1]))
    return Interval(smallest)


def laid_out(rows: Rows, interval: Interval) -> Candles:
    """The rows as candles from the first to the last, NaN where one is missing; views where none is.

    Raises RowError.
    """
    if not len(rows):
        return Candles.empty(interval, 0)
    start, last = int(rows.time[0]), int(rows.time[-1])
    columns = [getattr(rows, name) for name in COLUMNS]
    if interval.floor(start) == start and bool((np.diff(rows.time) == int(interval)).all()):
        return Candles(interval, start, *columns)  # the usual case: every row follows the one before
    check_rising(rows.time)
    check_aligned(rows.time, interval)
    count = (last - start) // int(interval) + 1
    if count > _SPARSE_FREE + _SPARSE * len(rows):
        jump = int(np.diff(rows.time).argmax()) + 1
        text = f"the times jump from {iso(int(rows.time[jump - 1]))} to {iso(int(rows.time[jump]))}"
        raise RowError(text, row=jump, first_bad=int(rows.time[jump]))
    places = (rows.time - start) // int(interval)
    return Candles(interval, start, *(_spread(each, places, count) for each in columns))


def padded(candles: Candles, start: Time, stop: Time) -> Candles:
    """Exactly the rows of [start, stop): views when all are here, else rows of NaN where none is."""
    if candles.start <= start and stop <= candles.stop:
        return candles.between(start, stop)
    inside = candles.between(start, stop)
    count = (stop - start) // int(candles.interval)
    first = (inside.start - start) // int(candles.interval) if len(inside) else 0
    places = np.arange(first, first + len(inside))
    return Candles(candles.interval, start, *(_spread(getattr(inside, name), places, count) for name in COLUMNS))


def joined(runs: Sequence[Candles]) -> Candles:
    """Runs that follow one another as one run; a single one is returned as it is."""
    if len(runs) == 1:
        return runs[0]
    return Candles(
        runs[0].interval, runs[0].start, *(np.concatenate([each[name] for each in runs]) for name in COLUMNS)
    )


def trimmed(candles: Candles) -> Candles:
    """The candles without the missing rows at their end."""
    present = len(candles)
    while present and np.isnan(candles.close[present - 1]):
        present -= 1
    return candles.rows(0, present)


def check_rising(times: Times) -> None:
    """Raises RowError at the first row that does not come after the one before it."""
    steps = np.diff(times)
    if not len(steps) or steps.min() > 0:
        return
    bad = int(np.flatnonzero(steps <= 0)[0]) + 1
    time, before = int(times[bad]), int(times[bad - 1])
    if time == before:
        raise RowError(f"duplicate candle {iso(time)} (row {bad})", row=bad, first_bad=time)
    raise RowError(f"unsorted: {iso(time)} (row {bad}) stands after {iso(before)}", row=bad, first_bad=time)


def check_aligned(times: Times, interval: Interval) -> None:
    """Raises RowError at the first row that does not open where a candle of the interval opens."""
    off = (times - interval.floor(0)) % int(interval)
    if not off.any():
        return
    bad = int(np.flatnonzero(off)[0])
    text = f"{iso(int(times[bad]))} (row {bad}) is not the opening time of a {interval} candle"
    raise RowError(text, row=bad, first_bad=int(times[bad]))


def _spread(column: Floats, places: Times, count: int) -> Floats:
    out = np.full(count, np.nan)
    out[places] = column
    return out
