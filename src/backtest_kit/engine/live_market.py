"""The candles of live trading: the same windows as in a backtest, over a market that goes on.

A symbol's tape grows by the minutes that have closed; rows never change, so a row and a time stay the same thing. What
strategies have asked for once is loaded before they are asked again, so that a `def` strategy need not wait for it.
"""

from __future__ import annotations

import asyncio

import numpy as np

from backtest_kit.core.candles import Candles, Floats, Tape, average_prices
from backtest_kit.core.values import MINUTE, Interval, Time
from backtest_kit.engine.history import History, MarketBeginsLaterError
from backtest_kit.engine.market import Market
from backtest_kit.engine.window import Pane

_ROOM = 2_880  # rows that a tape has in reserve: two days


class GrowingTape:
    """The minutes of one symbol from `start` on, with room for more."""

    def __init__(self, start: Time, span: int) -> None:
        self.start, self._span, self._count = start, span, 0
        self._columns: list[Floats] = [np.empty(_ROOM) for _ in range(4)]

    @property
    def stop(self) -> Time:
        """The opening time of the first minute that is not here."""
        return self.start + self._count * MINUTE

    @property
    def tape(self) -> Tape:
        """The minutes that are here."""
        opens, highs, lows, prices = (each[: self._count] for each in self._columns)
        return Tape(self.start, opens, highs, lows, prices)

    def extend(self, minutes: Candles) -> None:
        """Adds the minutes from `stop` on; `minutes` must begin `span − 1` candles before it, where there are any."""
        new = (minutes.stop - self.stop) // MINUTE
        if new <= 0:
            return
        if self._count + new > len(self._columns[0]):
            room = np.empty(new + _ROOM)
            self._columns = [np.concatenate([each[: self._count], room]) for each in self._columns]
        prices = average_prices(minutes, self._span)
        for column, added in zip(self._columns, (minutes.open, minutes.high, minutes.low, prices), strict=True):
            column[self._count : self._count + new] = added[len(added) - new :]
        self._count += new


class LiveMarket(Market):
    """The candles of one exchange up to now. `stop` is the last minute boundary that `reach` was told of."""

    def __init__(self, history: History, start: Time, span: int) -> None:
        super().__init__(history, start, start, span)
        self._growing: dict[str, GrowingTape] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def follow(self, symbol: str, start: Time, now: Time) -> Tape:
        """The tape of a symbol from `span` minutes before `start` on, up to `now`; raises DataError for bad data."""
        growing = self._growing.get(symbol)
        if growing is None or growing.start > start - self.span * MINUTE:
            self._growing[symbol] = GrowingTape(start - self.span * MINUTE, self.span)
        return await self.reach(symbol, now)

    async def reach(self, symbol: str, now: Time) -> Tape:
        """The tape of a symbol with every minute that has closed by `now`, and all windows asked for before.

        Raises DataError where the exchange does not have them yet.
        """
        try:
            return await self._reach(symbol, now)
        except MarketBeginsLaterError:
            self.history.doubt_beginnings(symbol)
            raise

    async def _reach(self, symbol: str, now: Time) -> Tape:
        lock = self._locks.setdefault(symbol, asyncio.Lock())
        async with lock:
            growing, stop = self._growing[symbol], Interval.M1.floor(now)
            if growing.stop < stop:
                first = max(growing.start, growing.stop - (self.span - 1) * MINUTE)
                growing.extend(await self.history.candles(symbol, Interval.M1, first, stop))
                self.stop = max(self.stop, stop)
            self.tapes[symbol] = growing.tape
            await self._refresh(symbol, now)
            return self.tapes[symbol]

    async def _refresh(self, symbol: str, now: Time) -> None:
        """Lets every window of a symbol that was asked for reach up to now."""
        for (name, label), pane in list(self.panes.items()):
            if name == symbol and isinstance(label, str):
                interval = Interval.parse(label)
                stop = interval.floor(now)
                if pane.stop < stop:
                    self._keep(symbol, await self.history.candles(symbol, interval, pane.start, stop))

    def _keep(self, symbol: str, candles: Candles) -> Pane:
        pane = self.panes[symbol, candles.interval.label] = Pane(candles)
        return pane
