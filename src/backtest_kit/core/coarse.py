"""What is kept of a run's candles once it has ended: coarse ones for pictures, and a fingerprint of all of them."""

from __future__ import annotations

import numpy as np

from backtest_kit.core.candles import COLUMNS, Candles, Floats
from backtest_kit.core.values import Interval

_MASK = 2**64 - 1
_CHUNK = 16_384  # rows a pass over columns: few enough that temporaries stay in the cache


def coarse(candles: Candles, most: int) -> Candles:
    """The candles in the shortest interval of at most a day of which there are no more than `most`, if there is one.

    Other than `Candles.resampled`, which gives strategies whole candles only, a longer candle is here as soon as one of
    its minutes is, so that a picture shows a market up to its last minute and on both sides of a gap.
    """
    span = candles.stop - candles.start
    lengths = [each for each in Interval if candles.interval <= each <= Interval.D1]
    length = next((each for each in lengths if span <= (most - 1) * int(each)), lengths[-1])
    start, step = length.floor(candles.start), int(length) // int(candles.interval)
    if not len(candles):
        return Candles.empty(length, start)
    before = (candles.start - start) // int(candles.interval)
    firsts = np.maximum(np.arange(-before, len(candles), step), 0)
    lasts = np.append(firsts[1:], len(candles)) - 1
    columns = (
        candles.open[firsts],
        np.fmax.reduceat(candles.high, firsts),
        np.fmin.reduceat(candles.low, firsts),
        candles.close[lasts],
        np.add.reduceat(candles.volume, firsts),
    )
    for row in np.isnan(columns[-1]).nonzero()[0].tolist():
        _mend(columns, row, candles.rows(int(firsts[row]), int(lasts[row]) + 1))
    return Candles(length, start, *columns)


def _mend(columns: tuple[Floats, ...], row: int, candles: Candles) -> None:
    """Makes a longer candle of those that are there; with none it stays missing."""
    known = ~np.isnan(candles.close)
    if known.any():
        opening, _, _, closing, volume = columns
        opening[row], closing[row] = candles.open[known][0], candles.close[known][-1]
        volume[row] = candles.volume[known].sum()


def fingerprint(candles: Candles) -> int:
    """64 bits that change with any bit of any price or volume and with their places; not proof against intent.

    The bits of every number times an odd number of its place, summed modulo 2⁶⁴ (a multiply-shift hash, Dietzfelbinger
    et al. 1997), for about a millisecond a year of minutes.
    """
    sums = dict.fromkeys(COLUMNS, 0)
    for first in range(0, len(candles), _CHUNK):
        last = min(len(candles), first + _CHUNK)
        places = np.arange(first, last, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) | np.uint64(1)
        for name in COLUMNS:
            sums[name] += int((getattr(candles, name)[first:last].view(np.uint64) * places).sum())
    found = candles.start ^ int(candles.interval)
    for each in sums.values():
        found = (found * 0x100000001B3 ^ each) & _MASK
    return found
