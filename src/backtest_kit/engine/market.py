"""The candles of one run: loaded through `History`, kept as panes, shown to user code only as far as they have closed.

What is loaded reaches to the end of the run, since a backtest knows it from the start; what user code gets ends at its
`when`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any, NoReturn

import numpy as np

from backtest_kit.core.candles import Candles, Tape
from backtest_kit.core.values import MINUTE, Interval, Time
from backtest_kit.engine.history import History, MarketBeginsLaterError
from backtest_kit.engine.window import CandleWindow, Pane, whole_window
from backtest_kit.errors import ConfigError, ContextError, LookAheadError, NotEnoughHistoryError

_PRELOAD = (
    64  # candles loaded before the first one that was asked for, so that a slightly longer question needs no new page
)


class PendingCandles:
    """Candles that have to be fetched first. `await` gives them; anything else says that an `await` is missing."""

    def __init__(self, load: Callable[[], Coroutine[Any, Any, CandleWindow]]) -> None:
        self._load = load

    def __await__(self) -> Generator[Any, None, CandleWindow]:
        return self._load().__await__()

    def __getattr__(self, name: str) -> NoReturn:
        raise ContextError(f"these candles have to be fetched first: write `await get_candles(…)` before using .{name}")


class Market:
    """Candles of one exchange over one run. `stop` is the time up to which (exclusive) candles belong to the run."""

    def __init__(self, history: History, start: Time, stop: Time, span: int) -> None:
        self.history, self.start, self.stop, self.span = history, start, stop, span
        self.panes: dict[tuple[str, str | Interval], Pane] = {}
        self.tapes: dict[str, Tape] = {}
        self.minutes: dict[str, Candles] = {}
        self._heads: set[tuple[str, str]] = set()

    async def tape(self, symbol: str) -> Tape:
        """The minutes of a symbol from `span` candles before the first tick on; all books of the symbol share it.

        Candles before the first tick may be missing (a file that starts with the frame): the price is NaN then until
        enough have closed. A candle that is missing inside the run raises DataError, or is a gap where `on_gap` is
        "skip".
        """
        if symbol not in self.tapes:
            start = self.start - self.span * MINUTE
            try:
                minutes = await self.history.candles(symbol, Interval.M1, start, self.stop)
            except MarketBeginsLaterError:
                minutes = _padded(await self.history.candles(symbol, Interval.M1, self.start, self.stop), start)
            self.tapes[symbol] = Tape.of(minutes, self.span)
            self.minutes[symbol] = minutes
            self._keep(symbol, minutes)
        return self.tapes[symbol]

    def gaps(self, symbol: str) -> list[tuple[Time, Time]]:
        """Runs of missing minutes inside the run, as (first, end) times."""
        return [
            (max(start, self.start), min(stop, self.stop))
            for start, stop in self.history.gaps(symbol)
            if start < self.stop and stop > self.start
        ]

    def window(self, symbol: str, interval: str | Interval, limit: int, when: Time, may_await: bool) -> Any:
        """The last `limit` candles closed by `when`: at once where loaded, else fetched (see `PendingCandles`)."""
        if type(limit) is not int or limit < 1:
            raise ConfigError(f"limit must be a whole number above 0, not {limit!r}")
        length = Interval.parse(interval)
        stop = length.floor(when)
        return self.between(symbol, length, stop - limit * int(length), stop, may_await)

    def between(self, symbol: str, interval: Interval, start: Time, stop: Time, may_await: bool) -> Any:
        """The candles of [start, stop), aligned; every one of them, or an error that says why not."""
        pane = self.panes.get((symbol, interval.label))
        if pane is not None and (pane.start <= start or (symbol, interval.label) in self._heads) and stop <= pane.stop:
            return self._cut(symbol, pane, start, stop)
        if may_await and not self.history.is_immediate:
            return PendingCandles(lambda: self._load_and_cut(symbol, interval, start, stop))
        first = start - _PRELOAD * int(interval)
        last = max(stop, interval.floor(self.stop))
        try:
            candles = self.history.candles_now(symbol, interval, first, last)
        except MarketBeginsLaterError as short:
            self._heads.add((symbol, interval.label))
            candles = self._from_head(symbol, interval, short, last, self.history.candles_now)
        return self._cut(symbol, self._keep(symbol, candles), start, stop)

    async def _load_and_cut(self, symbol: str, interval: Interval, start: Time, stop: Time) -> CandleWindow:
        first = start - _PRELOAD * int(interval)
        last = max(stop, interval.floor(self.stop))
        try:
            candles = await self.history.candles(symbol, interval, first, last)
        except MarketBeginsLaterError as short:
            self._heads.add((symbol, interval.label))
            head = _head(interval, short, last)
            candles = (
                await self.history.candles(symbol, interval, head, last)
                if head < last
                else Candles.empty(interval, last)
            )
        return self._cut(symbol, self._keep(symbol, candles), start, stop)

    def _from_head(
        self, symbol: str, interval: Interval, short: MarketBeginsLaterError, last: Time, load: Callable[..., Candles]
    ) -> Candles:
        head = _head(interval, short, last)
        return load(symbol, interval, head, last) if head < last else Candles.empty(interval, last)

    def _cut(self, symbol: str, pane: Pane, start: Time, stop: Time) -> CandleWindow:
        first, end = (start - pane.start) // pane.step, (stop - pane.start) // pane.step
        if first < 0:
            have, want = max(0, end), (stop - start) // pane.step
            raise NotEnoughHistoryError(
                f"{symbol} {pane.interval}: {want} candles were asked for, only {have} have closed since the first one",
                symbol=symbol,
                interval=pane.interval.label,
            )
        if pane.gappy and pane.has_gap(first, end):
            raise NotEnoughHistoryError(
                f"{symbol} {pane.interval}: the candles asked for lie across a gap",
                symbol=symbol,
                interval=pane.interval.label,
            )
        return CandleWindow(pane, first, end)

    def _keep(self, symbol: str, candles: Candles) -> Pane:
        """Keeps candles as the pane of their interval; a tape over the same minutes moves onto them, to exist once."""
        pane = self.panes[symbol, candles.interval.label] = Pane(candles)
        tape = self.tapes.get(symbol)
        if (
            candles.interval is Interval.M1
            and tape is not None
            and candles.start <= tape.start
            and tape.open is not candles.open
        ):
            row = (tape.start - candles.start) // MINUTE
            rows = slice(row, row + len(tape))
            tape.open, tape.high, tape.low = candles.open[rows], candles.high[rows], candles.low[rows]
        return pane


def next_candles(market: Market, symbol: str, interval: Interval, start: Time, limit: int) -> CandleWindow:
    """The `limit` candles that follow `start`, for labels made after the fact."""
    return whole_window(market.history.candles_now(symbol, interval, start, start + limit * int(interval)))


def price_at(tape: Tape, when: Time) -> float:
    """The average price that is known at `when`."""
    row = tape.row(when) - 1
    if not 0 <= row < len(tape):
        raise LookAheadError(f"no price is known at {when}")
    return float(tape.price[row])


def _head(interval: Interval, short: MarketBeginsLaterError, last: Time) -> Time:
    """The first whole candle of a market that begins later than what was asked for."""
    return min(last, interval.floor(short.available_from + int(interval) - 1))


def _padded(minutes: Candles, start: Time) -> Candles:
    """The minutes with missing candles in front, from `start` on."""
    missing = np.full((minutes.start - start) // MINUTE, np.nan)
    columns = (minutes.open, minutes.high, minutes.low, minutes.close, minutes.volume)
    return Candles(minutes.interval, start, *(np.concatenate([missing, each]) for each in columns))
