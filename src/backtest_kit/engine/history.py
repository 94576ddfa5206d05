"""Candles for a run: from memory, from disk, from the exchange; checked once, and then only cut.

What was loaded is kept as runs of columns, one list a symbol and interval, and answered with views. A request
loads only what is missing: the market's own process at once, others page by page (`candle_pages`). Closed
candles of a cacheable exchange go to the candle store and come from there the next time. Longer candles are
resampled from minutes where the exchange has none.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from inspect import iscoroutinefunction
from threading import Lock
from typing import Any

import numpy as np

from backtest_kit.core.candles import COLUMNS, Candles
from backtest_kit.core.checks import examined, missing_runs
from backtest_kit.core.grid import joined, trimmed
from backtest_kit.core.stamps import iso
from backtest_kit.core.values import Interval, Time
from backtest_kit.engine.candle_pages import (
    Asked,
    CandleSettings,
    LoopNeeded,
    MarketBeginsLaterError,
    Pace,
    Pages,
)
from backtest_kit.errors import ConfigError
from backtest_kit.ports import CandleStore, Exchange

__all__ = ["CandleSettings", "History", "MarketBeginsLaterError"]

_PAGES_KEPT = 32  # pages between two writes to the store: few files, and little lost when a download is broken off
_ON_LOOP, _BLOCKING = Pace(blocking=False), Pace(blocking=True)

_Gap = tuple[Time, Time]


class History:
    """The candles of one exchange.

    `candles` for coroutines, `candles_now` for everybody else; both give read-only views. `on_page(done,
    total)` hears of every page that an exchange has answered. Gaps end a request with DataError, or with
    `on_gap="skip"` are rows of NaN and listed by `gaps`. A missing beginning is MarketBeginsLaterError in
    both cases.
    """

    def __init__(
        self,
        name: str,
        exchange: Exchange,
        settings: CandleSettings,
        store: CandleStore | None = None,
        on_page: Callable[[int, int], None] | None = None,
    ) -> None:
        self.name, self.exchange, self._settings = name, exchange, settings
        self._store = store if getattr(exchange, "cacheable", False) else None
        printed = getattr(exchange, "fingerprint", "")
        self._key = f"{name}-{printed}" if printed else name
        self._read: Callable[..., Candles | None] | None = getattr(exchange, "read", None)
        self._pages = Pages(exchange, settings, on_page)
        self._held: dict[tuple[str, Interval], list[Candles]] = {}
        self._begins: dict[tuple[str, Interval], Time] = {}
        self._gaps: dict[str, set[_Gap]] = {}
        self._native: dict[Interval, bool] = {}
        self._running: dict[Asked, asyncio.Future[Candles]] = {}
        self._lock = Lock()  # a helper thread may add what it loaded while another thread does

    @property
    def is_immediate(self) -> bool:
        """Whether the exchange answers without an event loop, so that `candles_now` has no use for one."""
        asks = self.exchange.get_candles
        return self._read is not None or not (getattr(self.exchange, "is_async", False) or iscoroutinefunction(asks))

    async def candles(self, symbol: str, interval: Interval, start: Time, stop: Time) -> Candles:
        """Exactly the candles that open in [start, stop); both must be opening times of the interval.

        Identical requests at the same time become one. Raises DataError, MarketBeginsLaterError.
        """
        held = self._whole(symbol, interval, start, stop)
        if held is not None:
            return held
        asked = self._asked(symbol, interval, start, stop)
        if self._read is not None:
            return await self._loaded(asked, _ON_LOOP)
        return await self._once(asked)

    def candles_now(self, symbol: str, interval: Interval, start: Time, stop: Time) -> Candles:
        """The same for a caller that cannot await; blocks.

        An exchange that answers asynchronously gets a loop of its own.
        """
        held = self._whole(symbol, interval, start, stop)
        if held is not None:
            return held
        asked = self._asked(symbol, interval, start, stop)
        try:
            self._loaded(asked, _BLOCKING).send(None)
        except StopIteration as done:
            found: Candles = done.value
            return found
        except LoopNeeded:
            return _on_own_loop(self._loaded(asked, _ON_LOOP))
        raise AssertionError("unreachable: nothing suspends when the pace is blocking")

    def doubt_beginnings(self, symbol: str) -> None:
        """Asks anew where a market begins: a page that came incomplete may have looked like its beginning."""
        for key in [each for each in self._begins if each[0] == symbol]:
            del self._begins[key]

    def gaps(self, symbol: str) -> list[_Gap]:
        """The stretches [start, stop) that are missing in what was asked for so far, oldest first."""
        out: list[_Gap] = []
        for start, stop in sorted(self._gaps.get(symbol, ())):
            if out and start <= out[-1][1]:
                out[-1] = (out[-1][0], max(stop, out[-1][1]))
            else:
                out.append((start, stop))
        return out

    def _asked(self, symbol: str, interval: Interval, start: Time, stop: Time) -> Asked:
        if start > stop or interval.floor(start) != start or interval.floor(stop) != stop:
            raise ConfigError(f"{iso(start)} to {iso(stop)} is not a range of whole {interval} candles")
        return Asked(self.name, symbol, interval, start, stop)

    def _whole(self, symbol: str, interval: Interval, start: Time, stop: Time) -> Candles | None:
        """The range as a view where one run holds all of it."""
        for run in self._held.get((symbol, interval), ()):
            if run.start <= start and stop <= run.stop:
                return run.between(start, stop)
        return None

    async def _once(self, asked: Asked) -> Candles:
        """Loads, unless the same is being loaded already on this loop: then waits for that."""
        loop = asyncio.get_running_loop()
        while (running := self._running.get(asked)) is not None and running.get_loop() is loop:
            await asyncio.wait([running])
            if not running.cancelled():  # else whoever loaded was called off, and somebody else has to
                return running.result()
        mine: asyncio.Future[Candles] = loop.create_future()
        self._running[asked] = mine
        try:
            mine.set_result(await self._loaded(asked, _ON_LOOP))
        except Exception as error:
            mine.set_exception(error)
        finally:
            mine.cancel()  # has no effect on a future that is done
            self._running.pop(asked, None)
        return mine.result()

    async def _loaded(self, asked: Asked, pace: Pace) -> Candles:
        """Loads what is missing of the range, and returns all of it."""
        if asked.count == 0:
            return Candles.empty(asked.interval, asked.start)
        begins = self._begins.get((asked.symbol, asked.interval))
        if begins is not None and asked.start < begins:
            raise asked.begins_later(begins)
        if not await self._has(asked, pace):
            await self._resample(asked, pace)
        elif self._read is None:
            await self._fetch(asked, pace)
        return self._complete(asked)

    async def _has(self, asked: Asked, pace: Pace) -> bool:
        """Whether the exchange has candles of this interval. In-process candles are taken over at once."""
        interval = asked.interval
        if self._read is not None:
            return self._take(asked)
        known: frozenset[str] | None = getattr(self.exchange, "intervals", None)
        if interval is Interval.M1 or known is not None:
            return interval is Interval.M1 or str(interval) in (known or ())
        if interval not in self._native:
            if self._whole(asked.symbol, Interval.M1, asked.start, asked.stop) is not None:
                return False
            self._native[interval] = await self._pages.know(asked, pace)
        return self._native[interval]

    async def _resample(self, asked: Asked, pace: Pace) -> None:
        minutes = self._whole(asked.symbol, Interval.M1, asked.start, asked.stop)
        if minutes is None:
            part = Asked(asked.exchange_name, asked.symbol, Interval.M1, asked.start, asked.stop)
            minutes = await self._loaded(part, pace)
        self._keep(asked.symbol, minutes.resampled(asked.interval))

    def _take(self, asked: Asked) -> bool:
        """Takes what is missing from an in-process exchange; False where it has no such candles."""
        assert self._read is not None
        for start, stop in self._missing(asked):
            found = self._read(asked.symbol, asked.interval, start, stop)
            if found is None:
                if asked.interval is Interval.M1:
                    raise asked.error(f"the exchange has none of {asked.symbol}{self._offer()}", start)
                return False
            fault = examined(found, self._settings.price_anomaly_factor).fault
            if fault is not None:
                raise asked.error(
                    f"candle {iso(fault.time)}: {fault.what}; correct or remove it in the data", fault.time
                )
            if not len(found) or found.start > start:
                self._refuse_late_beginning(asked, start)
            self._adopt(asked.symbol, found)
        return True

    def _refuse_late_beginning(self, asked: Asked, start: Time) -> None:
        """Raises where the beginning is missing because the data begin later, or end before."""
        span = getattr(self.exchange, "span", lambda *_: None)(asked.symbol, asked.interval)
        if span is None:
            return
        if start < span[0] < span[1]:
            raise asked.begins_later(span[0])
        text = f"the data reach from {iso(span[0])} to {iso(span[1])}" if span[0] < span[1] else "there are none"
        if asked.start >= span[1]:
            raise asked.error(f"{text}; choose a range inside", asked.start)

    def _offer(self) -> str:
        symbols = list(getattr(self.exchange, "symbols", tuple)())
        return f"; it has {', '.join(map(str, symbols[:10]))}{', …' if len(symbols) > 10 else ''}" if symbols else ""

    async def _fetch(self, asked: Asked, pace: Pace) -> None:
        """Loads from disk, then from the exchange; keeps what arrived, also when it fails halfway."""
        self._recall(asked)
        for start, stop in self._missing(asked):
            part, pages = asked.part(start, stop), list[Candles]()
            try:
                async for page in self._pages.between(part, pace, self._begin(part)):
                    pages.append(page)
                    if len(pages) == _PAGES_KEPT:
                        self._keep_pages(asked.symbol, pages)
            except MarketBeginsLaterError as error:
                self._begins[asked.symbol, asked.interval] = error.available_from
                raise asked.begins_later(error.available_from) from None
            finally:
                self._keep_pages(asked.symbol, pages)

    def _begin(self, asked: Asked) -> Time | None:
        """From when the market is known when nothing before the range is; None when something is."""
        runs = self._held.get((asked.symbol, asked.interval), ())
        if any(run.start < asked.start for run in runs):
            return None
        return min((run.start for run in runs), default=asked.start)

    def _keep_pages(self, symbol: str, pages: list[Candles]) -> None:
        filled = [each for each in pages if len(each)]
        pages.clear()
        if filled:
            run = trimmed(joined(filled))  # a missing end may just not have arrived yet
            self._keep(symbol, run)
            if self._store is not None:
                self._store.write(self._key, symbol, run)

    def _recall(self, asked: Asked) -> None:
        """Takes over what is stored on disk. Known gaps in it are asked for again unless gaps are allowed."""
        if self._store is None:
            return
        for start, stop in self._missing(asked):
            for run in self._store.read(self._key, asked.symbol, asked.interval, start, stop):
                findings = examined(run, self._settings.price_anomaly_factor)
                if findings.fault is not None:
                    continue
                edges = [run.start, *(t for gap in findings.gaps for t in gap), run.stop]
                parts = (
                    [(run.start, run.stop)]
                    if self._settings.on_gap == "skip"
                    else zip(edges[::2], edges[1::2], strict=True)
                )
                for first, last in parts:
                    self._keep(asked.symbol, run.between(first, last))

    def _missing(self, asked: Asked) -> list[tuple[Time, Time]]:
        """The stretches of the range that no run holds."""
        out, at = [], asked.start
        for run in self._held.get((asked.symbol, asked.interval), ()):
            if at < min(run.start, asked.stop):
                out.append((at, min(run.start, asked.stop)))
            at = max(at, run.stop)
        if at < asked.stop:
            out.append((at, asked.stop))
        return out

    def _adopt(self, symbol: str, candles: Candles) -> None:
        """Adds a run of an in-process exchange: what it touches is read anew as one view; joining would copy it all."""
        with self._lock:
            runs = self._held.get((symbol, candles.interval), [])
            near = [run for run in runs if run.start <= candles.stop and candles.start <= run.stop]
            if near and len(candles) and self._read is not None:
                start, stop = min(run.start for run in near), max(run.stop for run in near)
                whole = self._read(symbol, candles.interval, min(start, candles.start), max(stop, candles.stop))
                apart = [run for run in runs if run not in near]
                if whole is not None and whole.start <= start and whole.stop >= stop:
                    self._held[symbol, candles.interval] = sorted([*apart, whole], key=lambda run: run.start)
                    return
        self._keep(symbol, candles)

    def _keep(self, symbol: str, candles: Candles) -> None:
        """Adds a run, joined with those that it touches; what was held already stays."""
        if not len(candles):
            return
        with self._lock:
            apart: list[Candles] = []
            touching: list[Candles] = []
            for run in self._held.get((symbol, candles.interval), ()):
                (apart if run.stop < candles.start or candles.stop < run.start else touching).append(run)
            whole = _merged(touching, candles)
            self._held[symbol, candles.interval] = sorted([*apart, whole], key=lambda run: run.start)

    def _complete(self, asked: Asked) -> Candles:
        """The loaded range; gaps refused or noted. Rows that no run holds are gaps too."""
        found = self._whole(asked.symbol, asked.interval, asked.start, asked.stop)
        if found is None:
            found = _filled(asked, self._held.get((asked.symbol, asked.interval), []))
        gaps = missing_runs(found)
        if gaps and self._settings.on_gap == "raise":
            raise asked.missing(*gaps[0])
        self._gaps.setdefault(asked.symbol, set()).update(gaps)
        return found


def _merged(held: list[Candles], candles: Candles) -> Candles:
    """Held runs and a new one that touches each, as one; where both have a candle, the held one counts."""
    parts, at = [], min([candles.start, *(run.start for run in held)])
    for run in held:
        if at < run.start:
            parts.append(candles.between(at, run.start))
        parts.append(run)
        at = run.stop
    if at < candles.stop:
        parts.append(candles.between(at, candles.stop))
    return joined(parts)


def _filled(asked: Asked, runs: list[Candles]) -> Candles:
    """The range put together from runs, NaN where none is."""
    table = np.full((len(COLUMNS), asked.count), np.nan)
    for run in runs:
        part = run.between(asked.start, asked.stop)
        first = (part.start - asked.start) // int(asked.interval)
        for k, name in enumerate(COLUMNS):
            table[k, first : first + len(part)] = part[name]
    return Candles(asked.interval, asked.start, *table)


def _on_own_loop(request: Coroutine[Any, Any, Candles]) -> Candles:
    """Runs a coroutine to its end on a loop in another thread, because this thread may have a running one."""
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1, thread_name_prefix="candles") as thread:
        return thread.submit(context.run, asyncio.run, request).result()
