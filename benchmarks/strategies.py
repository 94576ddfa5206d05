"""The strategies that are measured, each as a user would write it, once `def` and once `async def`; and the same numpy
code bare, in a Python loop over a column that is there already.

Every maker gives a new function, so that no run remembers the one before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import backtest_kit as bk
from benchmarks.worlds import Column

GetSignal = Callable[[str, int, float], Any]
WINDOW = 50  # candles that a strategy asks for

_NEVER = 1.5  # the fast mean never stands half as high again as the slow one


def _bracket(price: float) -> bk.Signal:
    return bk.Signal.bracket("long", price, take_profit_percent=2, stop_loss_percent=1, minute_estimated_time=1440)


# ---- two means in numpy --------------------------------------------------------------------------------------------


def crossing(interval: str) -> GetSignal:
    """Enters where the fast mean rises above the slow one."""
    was_above = True

    def get_signal(symbol: str, _when: int, price: float) -> bk.Signal | None:
        nonlocal was_above
        candles = bk.get_candles(symbol, interval, WINDOW)
        fast, slow = candles.close[-10:].mean(), candles.close[-30:].mean()
        crossed, was_above = fast > slow and not was_above, fast > slow
        return _bracket(price) if crossed else None

    return get_signal


def crossing_async(interval: str) -> GetSignal:
    was_above = True

    async def get_signal(symbol: str, _when: int, price: float) -> bk.Signal | None:
        nonlocal was_above
        candles = await bk.get_candles(symbol, interval, WINDOW)
        fast, slow = candles.close[-10:].mean(), candles.close[-30:].mean()
        crossed, was_above = fast > slow and not was_above, fast > slow
        return _bracket(price) if crossed else None

    return get_signal


def crossing_bare(closes: Column, stops: Iterable[int]) -> int:
    """The same code over the windows that end before each of `stops`; returns how often the means cross."""
    was_above, found = True, 0
    for stop in stops:
        close = closes[stop - WINDOW : stop]
        fast, slow = close[-10:].mean(), close[-30:].mean()
        crossed, was_above = fast > slow and not was_above, fast > slow
        if crossed:
            found += 1
    return found


def waiting(interval: str) -> GetSignal:
    """Computes the same means, for an entry that never comes: it is asked at every tick of its interval."""

    def get_signal(symbol: str, _when: int, price: float) -> bk.Signal | None:
        candles = bk.get_candles(symbol, interval, WINDOW)
        fast, slow = candles.close[-10:].mean(), candles.close[-30:].mean()
        return _bracket(price) if fast > slow * _NEVER else None

    return get_signal


def waiting_async(interval: str) -> GetSignal:
    async def get_signal(symbol: str, _when: int, price: float) -> bk.Signal | None:
        candles = await bk.get_candles(symbol, interval, WINDOW)
        fast, slow = candles.close[-10:].mean(), candles.close[-30:].mean()
        return _bracket(price) if fast > slow * _NEVER else None

    return get_signal


def waiting_bare(closes: Column, stops: Iterable[int]) -> int:
    found = 0
    for stop in stops:
        close = closes[stop - WINDOW : stop]
        fast, slow = close[-10:].mean(), close[-30:].mean()
        if fast > slow * _NEVER:
            found += 1
    return found


# ---- decisions that cost nothing by themselves ---------------------------------------------------------------------


def nothing() -> GetSignal:
    """Returns None at once."""

    def get_signal(_symbol: str, _when: int, _price: float) -> None:
        return None

    return get_signal


def nothing_async() -> GetSignal:
    async def get_signal(_symbol: str, _when: int, _price: float) -> None:
        return None

    return get_signal


def looking(interval: str) -> GetSignal:
    """Asks for candles, touches their closes, and wants nothing."""

    def get_signal(symbol: str, _when: int, _price: float) -> None:
        _close = bk.get_candles(symbol, interval, WINDOW).close

    return get_signal


def looking_async(interval: str) -> GetSignal:
    async def get_signal(symbol: str, _when: int, _price: float) -> None:
        candles = await bk.get_candles(symbol, interval, WINDOW)
        _close = candles.close

    return get_signal


def looking_at(closes: Column) -> GetSignal:
    """The call that `looking` is without the engine: `when` is the row at which the window ends."""

    def get_signal(_symbol: str, when: int, _price: float) -> None:
        _close = closes[when - WINDOW : when]

    return get_signal


def looking_at_async(closes: Column) -> GetSignal:
    async def get_signal(_symbol: str, when: int, _price: float) -> None:
        _close = closes[when - WINDOW : when]

    return get_signal


def call_bare(get_signal: GetSignal, stops: Iterable[int]) -> None:
    for stop in stops:
        get_signal("COIN0USDT", stop, 1.0)


async def await_bare(get_signal: GetSignal, stops: Iterable[int]) -> None:
    for stop in stops:
        await get_signal("COIN0USDT", stop, 1.0)


# ---- entries -------------------------------------------------------------------------------------------------------


def every_column(interval: str) -> GetSignal:
    """Reads all five columns of its candles, and wants nothing."""

    def get_signal(symbol: str, _when: int, _price: float) -> None:
        candles = bk.get_candles(symbol, interval, WINDOW)
        _columns = candles.open, candles.high, candles.low, candles.close, candles.volume

    return get_signal


def always(take_profit_percent: float, stop_loss_percent: float, minutes: int | None) -> GetSignal:
    """Enters whenever it is asked, so that one position follows the other."""

    def get_signal(_symbol: str, _when: int, price: float) -> bk.Signal:
        return bk.Signal.bracket("long", price, take_profit_percent, stop_loss_percent, minute_estimated_time=minutes)

    return get_signal


def moonbag() -> GetSignal:
    """Enters whenever it is asked, with a far take profit and no limit of time."""

    def get_signal(_symbol: str, _when: int, price: float) -> bk.Signal:
        return bk.Signal.moonbag("long", price, stop_loss_percent=20, minute_estimated_time=None)

    return get_signal
