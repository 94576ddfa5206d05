"""Whether candles can be true: one pass that finds the first impossible value, and the missing rows.

Clean candles cost a few comparisons a row, made in chunks that stay in the processor's cache; only a chunk
that is not clean is looked at closely. The rules are those of the engine's candle checks: every value finite,
prices above zero, volume not below zero, open and close inside [low, high], no price below a thousandth of
the usual one.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from backtest_kit.core.candles import COLUMNS, Candles, Floats
from backtest_kit.core.values import Time

_CHUNK = 65_536
_MEDIAN_FROM = 5  # candles; of fewer, a median says nothing and the mean is the reference
_PRICES = COLUMNS[:4]


class Fault(Struct, frozen=True):
    """The first impossible candle of a run: its row, its opening time, and what is wrong with it in words."""

    row: int
    time: Time
    what: str


class Findings(Struct, frozen=True):
    """What a pass over candles found: the first fault, and the missing stretches as (start, stop)."""

    fault: Fault | None
    gaps: tuple[tuple[Time, Time], ...]


def examined(candles: Candles, anomaly_factor: float) -> Findings:
    """Looks at every candle. Rows that are NaN in all columns are missing (`gaps`), not faulty.

    The price reference is taken over each run of up to 65,536 rows. The pass ends at the first fault.
    """
    gaps: list[tuple[int, int]] = []
    for first in range(0, len(candles), _CHUNK):
        chunk = candles.rows(first, min(len(candles), first + _CHUNK))
        if _clean(chunk, anomaly_factor):
            continue
        missing = _missing(chunk)
        fault = _first_fault(chunk, ~missing, anomaly_factor)
        _join(gaps, [(first + a, first + b) for a, b in _runs(missing)])
        if fault is not None:
            fault = Fault(first + fault.row, fault.time, fault.what)
            return Findings(fault, _times(candles, gaps))
    return Findings(None, _times(candles, gaps))


def missing_runs(candles: Candles) -> tuple[tuple[Time, Time], ...]:
    """The stretches of missing candles as (start, stop) times."""
    return _times(candles, _runs(np.isnan(candles.close) & np.isnan(candles.open)))


def _clean(chunk: Candles, anomaly_factor: float) -> bool:
    """Whether every row is certainly right.

    A NaN makes every comparison false, so none of them can pass one.
    """
    low, high = chunk.low, chunk.high
    least, most = low.min(), high.max()
    return bool(
        least > 0
        and most < np.inf
        and least * anomaly_factor >= most  # then no price can be below the reference by that factor
        and (low <= chunk.open).all()
        and (chunk.open <= high).all()
        and (low <= chunk.close).all()
        and (chunk.close <= high).all()
        and chunk.volume.min() >= 0
        and chunk.volume.max() < np.inf
    )


def _missing(chunk: Candles) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    missing = np.isnan(chunk.close)
    for name in ("open", "high", "low", "volume"):
        missing = missing & np.isnan(getattr(chunk, name))
    return missing


def _first_fault(chunk: Candles, present: np.ndarray[tuple[int], np.dtype[np.bool_]], factor: float) -> Fault | None:
    floor = _reference(chunk, present) / factor
    bad = np.zeros(len(chunk), dtype=np.bool_)
    for name in COLUMNS:
        bad |= ~np.isfinite(getattr(chunk, name))
    for name in _PRICES:
        price = getattr(chunk, name)
        bad |= (price <= 0) | (price < floor)
    bad |= chunk.volume < 0
    for price in (chunk.open, chunk.close):
        bad |= (price < chunk.low) | (price > chunk.high)
    bad |= chunk.high < chunk.low
    rows = np.flatnonzero(bad & present)
    if not len(rows):
        return None
    row = int(rows[0])
    return Fault(row, chunk.start + row * int(chunk.interval), _words(chunk, row, floor))


def _reference(chunk: Candles, present: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float:
    """The usual price: the upper median of all sound prices; their mean for fewer than five candles."""
    prices: Floats = np.concatenate([getattr(chunk, name)[present] for name in _PRICES])
    prices = prices[np.isfinite(prices) & (prices > 0)]
    if not len(prices):
        return 0.0
    if int(present.sum()) < _MEDIAN_FROM:
        return float(prices.mean())
    return float(np.partition(prices, len(prices) // 2)[len(prices) // 2])


def _words(chunk: Candles, row: int, floor: float) -> str:
    value = {name: float(getattr(chunk, name)[row]) for name in COLUMNS}
    for name in COLUMNS:
        if not np.isfinite(value[name]):
            return f"{name} is {value[name]}"
    for name in _PRICES:
        if value[name] <= 0:
            return f"{name} {value[name]:g} is not above zero"
    if value["volume"] < 0:
        return f"volume {value['volume']:g} is below zero"
    if value["high"] < value["low"]:
        return f"high {value['high']!r} is below low {value['low']!r}"
    for name in ("open", "close"):
        if not value["low"] <= value[name] <= value["high"]:
            return f"{name} {value[name]!r} is outside of low {value['low']!r} and high {value['high']!r}"
    name = min(_PRICES, key=lambda each: value[each])
    return f"{name} {value[name]!r} is far below the others (less than {floor:g}): a price in another unit?"


def _runs(mask: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[tuple[int, int]]:
    """The stretches of True as (first, last) row numbers, last exclusive."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False]))))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _join(runs: list[tuple[int, int]], more: list[tuple[int, int]]) -> None:
    """Adds stretches to earlier ones; one that touches the last continues it."""
    if runs and more and runs[-1][1] == more[0][0]:
        more = [(runs.pop()[0], more[0][1]), *more[1:]]
    runs.extend(more)


def _times(candles: Candles, runs: list[tuple[int, int]]) -> tuple[tuple[Time, Time], ...]:
    step = int(candles.interval)
    return tuple((candles.start + a * step, candles.start + b * step) for a, b in runs)
