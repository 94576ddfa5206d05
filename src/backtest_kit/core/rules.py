"""Every comparison of a price or a time, once: the same function reads one number or a whole column.

`sign` is +1 for a long and −1 for a short, so no rule is written twice. Of a candle, the worst price is the extreme
against the position (the low of a long, the high of a short), the best one the extreme in its favour. NaN fits no rule.
"""

from __future__ import annotations

from typing import overload

from backtest_kit.core.candles import Floats, Mask
from backtest_kit.core.values import MINUTE, NEVER, Time


@overload
def falls_to(sign: int, price: float, level: float) -> bool: ...
@overload
def falls_to(sign: int, price: Floats, level: float) -> Mask: ...
def falls_to(sign: int, price: float | Floats, level: float) -> bool | Mask:
    """The price stands at the level or on its bad side: a stop is hit, a limit entry is reached."""
    return price <= level if sign > 0 else price >= level


@overload
def rises_to(sign: int, price: float, level: float) -> bool: ...
@overload
def rises_to(sign: int, price: Floats, level: float) -> Mask: ...
def rises_to(sign: int, price: float | Floats, level: float) -> bool | Mask:
    """The price stands at the level or on its good side: a take profit is hit, breakeven is reached."""
    return price >= level if sign > 0 else price <= level


@overload
def gain(sign: int, price: float, entry: float) -> float: ...
@overload
def gain(sign: int, price: Floats, entry: float) -> Floats: ...
def gain(sign: int, price: float | Floats, entry: float) -> float | Floats:
    """How far the price has run in the position's favour, in price units; negative when it ran against it."""
    return sign * (price - entry)


@overload
def is_new_peak(sign: int, price: float, entry: float, peak: float) -> bool: ...
@overload
def is_new_peak(sign: int, price: Floats, entry: float, peak: float) -> Mask: ...
def is_new_peak(sign: int, price: float | Floats, entry: float, peak: float) -> bool | Mask:
    """The price is in profit before costs and better than the best one so far."""
    return price > max(entry, peak) if sign > 0 else price < min(entry, peak)


@overload
def is_new_trough(sign: int, price: float, entry: float, trough: float) -> bool: ...
@overload
def is_new_trough(sign: int, price: Floats, entry: float, trough: float) -> Mask: ...
def is_new_trough(sign: int, price: float | Floats, entry: float, trough: float) -> bool | Mask:
    """The price is in loss before costs and worse than the worst one so far."""
    return price < min(entry, trough) if sign > 0 else price > max(entry, trough)


@overload
def progress_percent(price: float, start: float, goal: float) -> float: ...
@overload
def progress_percent(price: Floats, start: float, goal: float) -> Floats: ...
def progress_percent(price: float | Floats, start: float, goal: float) -> float | Floats:
    """The share of the way from `start` to `goal` that the price has gone, in percent; it may lie outside of 0…100."""
    return (price - start) / (goal - start) * 100


def level_of(progress: float) -> int:
    """The highest milestone (0, 10, … 100) that a progress in percent has reached."""
    return 0 if not progress >= 10 else 100 if progress >= 100 else int(progress // 10) * 10


def shifted(price: float, sign: int, percent: float) -> float:
    """The price that stands `percent` in the position's favour from `price` (negative: against it)."""
    return price * (1 + sign * percent / 100)


def expiry(opened_at: Time, minutes: int | None) -> Time:
    """The opening time of the first candle on which a life of so many minutes is over."""
    return NEVER if minutes is None else opened_at + minutes * MINUTE


def farther_from_stop(sign: int, one: float, other: float) -> float:
    """Of two prices, the one that is better for the position: the higher for a long, the lower for a short.

    Of a stop and a liquidation price it is the one that a falling market meets first.
    """
    return max(one, other) if sign > 0 else min(one, other)


def nearer_to_stop(sign: int, one: float, other: float) -> float:
    """Of two prices, the one that is worse for the position: the lower for a long, the higher for a short."""
    return min(one, other) if sign > 0 else max(one, other)
