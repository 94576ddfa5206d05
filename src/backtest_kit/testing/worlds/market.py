"""A simulated market: the path of the price of each symbol, minute by minute, from a seed or a script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import TypeAlias

from backtest_kit.core.values import MINUTE, Time

Bar: TypeAlias = tuple[float, float, float, float, float]
"""Open, high, low, close, volume of one minute."""

Row: TypeAlias = tuple[Time, float, float, float, float, float]

_HISTORY_MINUTES = 1500


class Market:
    """Prices of any symbol from `_HISTORY_MINUTES` before `start` (epoch ms) on.

    `volatility` is the usual move of a minute, of 1. `paths` scripts the minutes from `start` on: bars, or closing
    prices alone. Before a script its first open stands still, after it its last close does.
    """

    def __init__(
        self,
        seed: int,
        start: Time,
        volatility: float = 0.002,
        paths: Mapping[str, Sequence[Bar | float]] | None = None,
    ) -> None:
        self.seed, self.volatility = seed, volatility
        self.first = start - _HISTORY_MINUTES * MINUTE
        self._bars: dict[str, list[Bar]] = {symbol: _scripted(path) for symbol, path in (paths or {}).items()}
        self._scripted = frozenset(self._bars)
        self._luck: dict[str, Random] = {}

    def bar(self, symbol: str, minute: Time) -> Bar:
        """The minute that opens at `minute`, whether it is over or not."""
        bars = self._bars.setdefault(symbol, [])
        index = (minute - self.first) // MINUTE
        while len(bars) <= index:
            bars.append(self._next(symbol, bars))
        return bars[index]

    def price(self, symbol: str, time: Time) -> float:
        """The price at an instant, on the way from open through both extremes to close."""
        minute = time - time % MINUTE
        opened, high, low, closed, _ = self.bar(symbol, minute)
        stops = (opened, low, high, closed) if opened < closed else (opened, high, low, closed)
        part, share = divmod((time - minute) * 3 / MINUTE, 1)
        here, there = stops[int(part)], stops[int(part) + 1]
        return here + (there - here) * share

    def rows(self, symbol: str, since: Time, limit: int, until: Time) -> list[Row]:
        """At most `limit` minutes that open in [since, until), oldest first."""
        first = max(-(-since // MINUTE) * MINUTE, self.first)
        last = min(first + limit * MINUTE, until)
        return [(minute, *self.bar(symbol, minute)) for minute in range(first, last, MINUTE)]

    def _next(self, symbol: str, bars: list[Bar]) -> Bar:
        if symbol in self._scripted:
            return _still(bars[-1][3])
        luck = self._luck.get(symbol)
        if luck is None:
            luck = self._luck[symbol] = Random(f"{self.seed}/market/{symbol}")
        opened = bars[-1][3] if bars else luck.uniform(20.0, 200.0)
        closed = round(opened * (1 + luck.gauss(0.0, self.volatility)), 4)
        reach = opened * self.volatility
        high = round(max(opened, closed) + reach * luck.random(), 4)
        low = round(min(opened, closed) - reach * luck.random(), 4)
        return opened, max(high, opened), min(low, opened), closed, round(luck.uniform(1.0, 20.0), 3)


def _scripted(path: Sequence[Bar | float]) -> list[Bar]:
    bars: list[Bar] = []
    for each in path:
        if isinstance(each, tuple):
            bars.append(each)
        else:
            opened = bars[-1][3] if bars else each
            bars.append((opened, max(opened, each), min(opened, each), each, 1.0))
    return [_still(bars[0][0])] * _HISTORY_MINUTES + bars


def _still(price: float) -> Bar:
    return price, price, price, price, 1.0
