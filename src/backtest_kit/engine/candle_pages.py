"""Candles asked from an exchange page by page: called, checked, tried again, and refused with a reason.

A page is what one call of `get_candles` may return. A call that raises, and an answer that cannot be right,
are tried `candle_retry_count` times in all with `candle_retry_delay_seconds` between. What is then still
wrong is a `DataError` that names symbol, interval, range, the first bad candle, the cause and the remedy.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal, Protocol

import numpy as np
from msgspec import Struct

from backtest_kit.core.candles import Candles
from backtest_kit.core.checks import examined, missing_runs
from backtest_kit.core.grid import check_rising, interval_of, laid_out, padded
from backtest_kit.core.rows import rows_of
from backtest_kit.core.stamps import iso
from backtest_kit.core.values import Interval, Time
from backtest_kit.errors import BacktestKitError, DataError, NotEnoughHistoryError
from backtest_kit.ports import Exchange

_UNKNOWN_INTERVAL = (
    NotImplementedError,
    LookupError,
    ValueError,
)  # how a source says that it has no such interval
_NEXT = 'set on_gap="skip" to trade around such gaps, or complete the data'


class CandleSettings(Protocol):
    """The settings that reading candles depends on."""

    @property
    def candle_retry_count(self) -> int: ...
    @property
    def candle_retry_delay_seconds(self) -> float: ...
    @property
    def max_candles_per_request(self) -> int: ...
    @property
    def on_gap(self) -> Literal["raise", "skip"]: ...
    @property
    def price_anomaly_factor(self) -> float: ...


class MarketBeginsLaterError(NotEnoughHistoryError):
    """The candles asked for begin before the market does; `available_from` is its first candle, epoch ms."""

    available_from: Time


class LoopNeeded(Exception):  # noqa: N818 - not a failure: the caller starts a loop and asks again
    """The exchange answers asynchronously, and the caller cannot wait without an event loop."""


class Pace(Struct, frozen=True):
    """How to wait: on the event loop, or by blocking the thread where the caller has no loop."""

    blocking: bool

    async def wait(self, seconds: float) -> None:
        """Lets the time pass."""
        if self.blocking:
            time.sleep(seconds)
        else:
            await asyncio.sleep(seconds)

    async def answer(self, result: Any) -> Any:
        """What a call returned, awaited if need be; LoopNeeded when that takes a loop and there is none."""
        if not inspect.isawaitable(result):
            return result
        if self.blocking:
            if inspect.iscoroutine(result):
                result.close()
            raise LoopNeeded
        return await result


class Asked(Struct, frozen=True):
    """Which candles are wanted: those that open in [start, stop)."""

    exchange_name: str
    symbol: str
    interval: Interval
    start: Time
    stop: Time

    @property
    def count(self) -> int:
        return (self.stop - self.start) // int(self.interval)

    def part(self, start: Time, stop: Time) -> Asked:
        """The same candles in another range."""
        return Asked(self.exchange_name, self.symbol, self.interval, start, stop)

    def error(self, what: str, first_bad: Time | None = None) -> DataError:
        """A DataError about these candles."""
        return DataError(f"{self}: {what}", symbol=self.symbol, interval=str(self.interval), first_bad=first_bad)

    def missing(self, start: Time, stop: Time) -> DataError:
        """A DataError about candles that are not there."""
        count = (stop - start) // int(self.interval)
        more = f" and the {count - 1} after it are" if count > 1 else " is"
        return self.error(f"candle {iso(start)}{more} missing; {_NEXT}", start)

    def begins_later(self, time: Time) -> MarketBeginsLaterError:
        """The error about a market whose first candle opens at `time`."""
        error = MarketBeginsLaterError(
            f"{self}: the market begins at {iso(time)}; start there, or later if earlier candles are read",
            symbol=self.symbol, interval=str(self.interval), first_bad=self.start,
        )  # fmt: skip
        error.available_from = time
        return error

    def __str__(self) -> str:
        span = f"{iso(self.start)} to {iso(self.stop)}"
        return f"{self.symbol} {self.interval} candles of {self.exchange_name} from {span}"


class _Page(Struct, frozen=True):
    """One answer: its candles, perhaps fewer than asked, and the first one beyond what was asked."""

    candles: Candles
    later: Time | None


class Pages:
    """One exchange behind `get_candles`. `on_page(done, total)` hears of every page that has arrived."""

    def __init__(
        self, exchange: Exchange, settings: CandleSettings, on_page: Callable[[int, int], None] | None = None
    ) -> None:
        self._exchange, self._settings, self._on_page = exchange, settings, on_page

    async def between(self, asked: Asked, pace: Pace, begin: Time | None = None) -> AsyncIterator[Candles]:
        """The candles asked for as runs that join, with NaN rows where some are missing and gaps are allowed.

        `begin` says that nothing is known before this range, and a missing beginning is then the market's:
        its value is the first candle known after the range (or `asked.stop`). None: there are candles before,
        so it is a gap. Raises DataError, and MarketBeginsLaterError after the candles that there are.
        """
        size = self._settings.max_candles_per_request * int(asked.interval)
        total = -(-(asked.stop - asked.start) // size)
        empty = False
        for done, start in enumerate(range(asked.start, asked.stop, size), start=1):
            part = asked.part(start, min(asked.stop, start + size))
            begins = done == 1 and begin is not None
            page = await self._page(part, pace, once=empty, begins=begins)
            empty = not len(page.candles)
            if begins and (empty or page.candles.start > start):
                at = await self._beginning(asked, page, pace, begin or asked.start)
                yield page.candles
                raise asked.begins_later(at)
            candles = padded(page.candles, part.start, part.stop)
            gaps = missing_runs(candles)
            if gaps and self._settings.on_gap == "raise":
                raise asked.missing(*gaps[0])
            if self._on_page:
                self._on_page(done, total)
            yield candles

    async def know(self, asked: Asked, pace: Pace) -> bool:
        """Whether the exchange has the interval at all: asks once for the end of the range."""
        count = max(2, min(asked.count, self._settings.max_candles_per_request))
        part = asked.part(asked.stop - count * int(asked.interval), asked.stop)
        try:
            rows = rows_of(await self._called(part, pace))
            return len(rows) > 1 and interval_of(rows) is asked.interval
        except DataError as error:  # a failed call may be a passing one; an answer of another kind is an answer
            return error.__cause__ is not None and not isinstance(error.__cause__, _UNKNOWN_INTERVAL)
        except _UNKNOWN_INTERVAL:
            return False

    async def _beginning(self, asked: Asked, page: _Page, pace: Pace, begin: Time) -> Time:
        """The first candle of a market that the first page does not begin with; halves the other pages."""
        if len(page.candles):
            return page.candles.start
        if page.later is not None:
            return page.later
        size = self._settings.max_candles_per_request * int(asked.interval)
        starts = list(range(asked.start + size, asked.stop, size))
        found = begin if begin > asked.start else None
        low, high = 0, len(starts) - 1
        while low <= high:
            middle = (
                high if found is None else (low + high) // 2
            )  # the last page first: perhaps there is nothing at all
            start = starts[middle]
            answer = await self._page(asked.part(start, min(asked.stop, start + size)), pace, once=True)
            if len(answer.candles):
                found, high = answer.candles.start, middle - 1
            elif middle == len(starts) - 1:
                break
            else:
                low = middle + 1
        if found is None:
            raise asked.error("the exchange has none; check the symbol and the dates", asked.start)
        return found

    async def _page(self, asked: Asked, pace: Pace, *, once: bool = False, begins: bool = False) -> _Page:
        """One page; tried again when it fails, or when it is incomplete in a way that may pass.

        `once`: an incomplete one will do. `begins`: the market may begin inside of it.
        """
        tries = max(1, self._settings.candle_retry_count)
        for left in range(tries - 1, -1, -1):
            try:
                page = self._checked(asked, await self._called(asked, pace))
                if not left or once or self._final(asked, page, begins):
                    return page
            except DataError:
                if not left:
                    raise
            await pace.wait(self._settings.candle_retry_delay_seconds)
        raise AssertionError("unreachable: the last try returns or raises")

    async def _called(self, asked: Asked, pace: Pace) -> Any:
        """What one call returns.

        What it raises becomes a DataError, but for what this package raises on purpose.
        """
        try:
            label, limit = str(asked.interval), asked.count
            return await pace.answer(self._exchange.get_candles(asked.symbol, label, asked.start, limit))
        except (BacktestKitError, LoopNeeded):
            raise
        except Exception as error:
            text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            failed = asked.error(
                f"get_candles failed with {text}; the exchange cannot be reached or refuses", asked.start
            )
            raise failed from error

    def _checked(self, asked: Asked, answer: Any) -> _Page:
        """The candles of an answer; DataError where one is impossible.

        Those beyond the range, the forming one too, are dropped.
        """
        try:
            rows = rows_of(answer)
            check_rising(rows.time)
            inside = int(np.searchsorted(rows.time, asked.stop))
            later = int(rows.time[inside]) if inside < len(rows) else None
            candles = laid_out(rows.rows(0, inside), asked.interval)
        except DataError as error:
            raise asked.error(f"get_candles returned what is not candles: {error}", error.first_bad) from None
        if len(candles) and candles.start < asked.start:
            what = f"get_candles returned {iso(candles.start)}, before since={asked.start}; it must begin there"
            raise asked.error(what, candles.start)
        fault = examined(candles, self._settings.price_anomaly_factor).fault
        if fault is not None:
            raise asked.error(
                f"candle {iso(fault.time)}: {fault.what}; the exchange must return sound candles", fault.time
            )
        return _Page(candles, later)

    def _final(self, asked: Asked, page: _Page, begins: bool) -> bool:
        """Whether asking again cannot add anything: all is there, or later candles are."""
        candles = page.candles
        whole = candles.start == asked.start and candles.stop == asked.stop and not np.isnan(candles.close).any()
        after = page.later is not None or (len(candles) > 0 and candles.stop == asked.stop)
        begins_late = begins and (len(candles) == 0 or candles.start > asked.start)
        return whole or (after and (begins_late or self._settings.on_gap == "skip"))
