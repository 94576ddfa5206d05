"""Worlds for the tests of the shell: markets that are told in a line, and a package in which nothing is registered yet.

The functions of the package speak to one default `App`. `fresh_app` puts a new one in its place for the length of a
`with`, and gives it settings that neither wait nor touch the real folders; `fresh_world` is the same as a fixture.
Minute `m` counts from 2024-01-01T00:00Z, as in the scenarios of the engine's semantics.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backtest_kit as bk
from backtest_kit.app import App, default
from backtest_kit.core.events import (
    ActivePing,
    BreakevenReached,
    Committed,
    Event,
    HighestProfit,
    IdlePing,
    LossReached,
    MaxDrawdown,
    ProfitReached,
    RiskRejected,
    SchedulePing,
    SignalCancelled,
    SignalClosed,
    SignalInvalid,
    SignalOpened,
    SignalScheduled,
)
from backtest_kit.engine.listeners import Subscription
from backtest_kit.engine.notices import AfterEnd, BeforeStart, DoneBacktest, Failure, Written
from backtest_kit.settings import Settings, changed

START = 1_704_067_200_000
MINUTE = 60_000
SYMBOL = "BTCUSDT"
COLUMNS = ("open", "high", "low", "close", "volume")
FACTS = (SignalScheduled, SignalOpened, SignalClosed, SignalCancelled, Committed, RiskRejected, SignalInvalid)
NOTICES = (HighestProfit, MaxDrawdown, BreakevenReached, ProfitReached, LossReached)
PINGS = (IdlePing, SchedulePing, ActivePing)
EDGES = (BeforeStart, AfterEnd, DoneBacktest, Failure, Written)
WAYS = ("for", "async for")

Table = dict[str, Any]


def at(minute: float) -> int:
    """The time of minute `m`."""
    return START + int(minute * MINUTE)


def minute_of(time: int) -> float:
    """The minute that a time is; whole for every stamp of the engine."""
    return (time - START) / MINUTE


# ---- markets ---------------------------------------------------------------------------------------------------------


def flat(
    rows: int, levels: Mapping[int, float] | None = None, candles: Mapping[int, Mapping[str, float]] | None = None
) -> Table:
    """`rows` flat candles at 100 with volume 1; from each minute of `levels` on at that price; some candles changed."""
    price = np.full(rows, 100.0)
    for minute, level in (levels or {}).items():
        price[minute:] = level
    table = {name: price.copy() for name in COLUMNS[:4]} | {"volume": np.ones(rows)}
    for minute, parts in (candles or {}).items():
        for name, value in parts.items():
            table[name][minute] = value
    return {"timestamp": START + MINUTE * np.arange(rows), **table}


def walk(rows: int, seed: int, volatility: float = 0.3, decimals: int = 2, base: float = 100.0) -> Table:
    """A random walk with wicks, small gaps and a few minutes without volume."""
    rng = np.random.default_rng(seed)
    close = np.round(np.maximum(base + np.cumsum(rng.normal(0, volatility, rows)), 1.0), decimals)
    opens = np.round(np.concatenate([[base], close[:-1]]) + rng.normal(0, volatility / 3, rows), decimals)
    opens = np.maximum(opens, 0.5)
    high = np.round(np.maximum(opens, close) + rng.random(rows) * volatility, decimals)
    low = np.round(np.maximum(np.minimum(opens, close) - rng.random(rows) * volatility, 0.1), decimals)
    volume = np.where(rng.random(rows) < 0.1, 0.0, np.round(rng.random(rows) * 10, 3))
    times = START + MINUTE * np.arange(rows)
    return {"timestamp": times, "open": opens, "high": high, "low": low, "close": close, "volume": volume}


def without(table: Table, *minutes: int) -> Table:
    """The table with the candles of some minutes left out."""
    kept = ~np.isin(table["timestamp"], [at(each) for each in minutes])
    return {name: column[kept] for name, column in table.items()}


def naive(table: Table, first: int, stop: int, minutes: int) -> dict[str, list[float]]:
    """Candles of so many minutes, put together one by one from the rows [first, stop): what a window must be."""
    found: dict[str, list[float]] = {name: [] for name in ("timestamp", *COLUMNS)}
    for row in range(first, stop, minutes):
        part = slice(row, row + minutes)
        found["timestamp"].append(int(table["timestamp"][row]))
        found["open"].append(float(table["open"][row]))
        found["high"].append(float(max(table["high"][part])))
        found["low"].append(float(min(table["low"][part])))
        found["close"].append(float(table["close"][row + minutes - 1]))
        total = 0.0
        for volume in table["volume"][part]:
            total += float(volume)
        found["volume"].append(total)
    return found


def rows_of(table: Table, since: int, limit: int) -> list[list[float]]:
    """What an exchange answers that has the table: at most `limit` rows from `since` on."""
    first = int(np.searchsorted(table["timestamp"], since))
    columns = [table[name][first : first + limit].tolist() for name in ("timestamp", *COLUMNS)]
    return [list(row) for row in zip(*columns, strict=True)]


# ---- the package, fresh ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def fresh_app(folder: Path | str = "not-written-to", **settings: object) -> Iterator[App]:
    """A default `App` in which nothing is registered; the one before comes back afterwards."""
    quick = {"cache_candles": False, "candle_retry_delay_seconds": 0.0, "data_folder": folder, "dump_folder": folder}
    before = dict(vars(default))
    vars(default).update(vars(App(changed(Settings(), **{**quick, **settings}))))
    try:
        yield default
    finally:
        vars(default).update(before)


def fresh_world(tmp_path: Path) -> Iterator[App]:
    """The same for a test module: `world = pytest.fixture(autouse=True)(fresh_world)`."""
    with fresh_app(tmp_path) as app:
        yield app


# ---- running ---------------------------------------------------------------------------------------------------------


def given(tables: Table | Mapping[str, Table], frame: tuple[float, float] = (10, 200), interval: str = "1m") -> None:
    """Registers an exchange "memory" over one table (of BTCUSDT) or several, and a frame "frame"."""
    data = {SYMBOL: tables} if "timestamp" in tables else tables
    bk.add_exchange("memory", bk.MemoryExchange(data))
    bk.add_frame("frame", interval=interval, start=at(frame[0]), end=at(frame[1]))


def run(symbols: Any = SYMBOL, way: str = "for", **options: Any) -> list[Any]:
    """All results of a backtest, iterated in one of `WAYS`."""
    results = bk.Backtest.run(symbols, **options)
    if way == "for":
        return list(results)
    return asyncio.run(collected(results))


async def collected(results: Any) -> list[Any]:
    return [event async for event in results]


def in_memory(table: Table) -> None:
    """Registers an exchange "memory" over a table, and no frame yet."""
    bk.add_exchange("memory", bk.MemoryExchange({SYMBOL: table}))


def seen(look: Any, frame: tuple[float, float] = (2000, 2010), interval: str = "1m", **options: Any) -> list[Any]:
    """What `look(symbol, when, price)` returns at every tick of the frame. Nothing is traded."""
    answers: list[Any] = []

    def get_signal(symbol: str, when: int, price: float) -> None:
        answers.append(look(symbol, when, price))

    bk.add_frame("frame", interval=interval, start=at(frame[0]), end=at(frame[1]))
    bk.add_strategy("s", get_signal, interval=interval, **options)
    assert run() == []
    return answers


def heard(app: App, *kinds: type[Event]) -> list[Any]:
    """A list to which every event of these kinds is added when it is told."""
    events: list[Any] = []
    app.listeners.add(Subscription(kinds, events.append))
    return events


def told(events: list[Any]) -> list[tuple[Any, ...]]:
    """Events as (action, minute, price, reason), for tables."""
    return [_told(event) for event in events]


def _told(event: Any) -> tuple[Any, ...]:
    minute = minute_of(event.time)
    shown = (event.action, int(minute) if minute == int(minute) else minute, event.price)
    reason = getattr(event, "close_reason", None) or getattr(event, "reason", None)
    return (*shown, reason) if reason else shown


def long(take: float = 110.0, stop: float = 90.0, minutes: int | None = 1440, **fields: Any) -> bk.Signal:
    return bk.Signal("long", take, stop, minute_estimated_time=minutes, **fields)


def short(take: float = 90.0, stop: float = 110.0, minutes: int | None = 1440, **fields: Any) -> bk.Signal:
    return bk.Signal("short", take, stop, minute_estimated_time=minutes, **fields)


def once(signal: Any, minute: float = 10) -> Any:
    """A strategy that gives a signal at one minute and at no other."""

    def get_signal(symbol: str, when: int, price: float) -> Any:
        return signal if when == at(minute) else None

    return get_signal


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raises where a block of the main thread goes on for longer; for what once did not end at all."""

    def late(number: int, frame: Any) -> None:
        raise AssertionError(f"this has not ended within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def approx(value: float) -> Any:
    """Equal to 1e-12 of it: the numbers of the scenarios are given in full."""
    return pytest.approx(value, rel=1e-12, abs=1e-12)
