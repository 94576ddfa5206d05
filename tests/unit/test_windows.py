"""What a strategy sees: exactly the candles asked for, at the time at which it asks (F7, F10, F12)."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

import backtest_kit as bk
from tests.worlds import (
    COLUMNS,
    MINUTE,
    START,
    SYMBOL,
    approx,
    at,
    fresh_world,
    given,
    in_memory,
    long,
    minute_of,
    naive,
    once,
    rows_of,
    run,
    seen,
    walk,
)

world = pytest.fixture(autouse=True)(fresh_world)

WEEK = 10080
TABLE = walk(4320, seed=7)
INTERVALS = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d")


# ---- exactly what was asked for ----


@pytest.mark.parametrize("interval", INTERVALS)
@pytest.mark.parametrize("limit", [1, 2, 7])
def test_a_window_has_exactly_the_candles_that_have_closed_before_now(interval, limit):
    in_memory(TABLE)
    length = bk.Interval.parse(interval)
    minutes = length.minutes
    limit = min(limit, 2000 // minutes)
    windows = seen(lambda symbol, when, price: (when, bk.get_candles(symbol, interval, limit)), (2873, 2890), "1m")
    for when, window in windows:
        stop = int(minute_of(length.floor(when)))
        wanted = naive(TABLE, stop - limit * minutes, stop, minutes)
        assert window.time.tolist() == wanted["timestamp"]
        assert {name: window[name].tolist() for name in COLUMNS} == {name: wanted[name] for name in COLUMNS}
        assert len(window) == limit


def test_a_week_opens_on_a_monday():
    table = walk(4 * WEEK, seed=1)
    in_memory(table)
    window = seen(lambda symbol, when, price: bk.get_candles(symbol, "1w", 1), (2 * WEEK, 2 * WEEK + 1))[0]
    assert window.time.tolist() == [START + WEEK * MINUTE]  # 2024-01-01 was a Monday
    assert window.close[-1] == table["close"][2 * WEEK - 1]


def test_a_window_is_read_as_columns_as_records_and_as_a_frame():
    in_memory(TABLE)
    window = seen(lambda symbol, when, price: bk.get_candles(symbol, "5m", 4))[-1]
    records = list(window)
    assert [each.close for each in records] == window.close.tolist() == [window[i].close for i in range(4)]
    assert window[-1].timestamp == records[-1].timestamp == int(window.time[-1])
    assert window.to_pandas()["high"].tolist() == window.high.tolist()
    assert window.to_polars()["low"].to_list() == window.low.tolist()
    assert window[1:3].close.tolist() == window.close[1:3].tolist()
    assert window["volume"].tolist() == window.volume.tolist()
    assert window.stop == window.start + 4 * 5 * MINUTE


def test_windows_of_another_symbol_follow_the_same_clock():
    other = walk(4320, seed=8)
    bk.add_exchange("memory", bk.MemoryExchange({SYMBOL: TABLE, "ETHUSDT": other}))
    for when, window in seen(lambda symbol, when, price: (when, bk.get_candles("ETHUSDT", "1m", 3))):
        stop = int(minute_of(when))
        assert window.close.tolist() == other["close"][stop - 3 : stop].tolist()


@pytest.mark.parametrize("minute", [2000, 2001, 2004, 2009, 2014])
def test_raw_candles_take_any_sufficient_combination_and_end_at_now(minute):
    in_memory(TABLE)
    ways = [
        {"limit": 3},
        {"start": at(1990), "end": at(1995)},
        {"start": at(1990), "limit": 3},
        {"limit": 3, "end": at(1999)},
        {"start": at(1990)},
        {"start": "2024-01-02T09:10Z", "end": "2024-01-02T09:15Z"},
    ]

    def look(symbol, when, price):
        return [bk.get_raw_candles(symbol, "1m", **way).time.tolist() for way in ways]

    found = seen(look, (minute, minute))[0]
    spans = [(minute - 3, minute), (1990, 1995), (1990, 1993), (1996, 1999), (1990, minute), (1990, 1995)]
    assert found == [[at(each) for each in range(*span)] for span in spans]


# ---- when user code runs, and what it may see then ----


def test_while_code_runs_for_a_candle_that_candle_is_the_last_one_it_sees():
    pings = []

    def on_ping(event):
        window = bk.get_candles(SYMBOL, "1m", 2)
        pings.append((event.time, bk.get_context().when, int(window.time[-1]), window.close[-1]))

    given(TABLE, frame=(2000, 2030))
    signal = bk.Signal.bracket("long", float(TABLE["close"][1999]), take_profit_percent=15, stop_loss_percent=15)
    bk.add_strategy("s", once(signal, 2000), callbacks={"on_active_ping": on_ping})
    run()
    assert [(time, when, last) for time, when, last, _ in pings] == [
        (at(minute), at(minute + 1), at(minute)) for minute in range(2000, 2030)
    ]
    assert [close for *_, close in pings] == TABLE["close"][2000:2030].tolist()


def test_the_first_ticks_of_a_file_that_starts_with_the_frame_have_no_price_and_are_passed_over():
    asked = []
    given(TABLE, frame=(0, 10))
    bk.add_strategy("s", lambda symbol, when, price: asked.append((minute_of(when), price)))
    run()
    assert [minute for minute, _ in asked] == [5, 6, 7, 8, 9, 10]
    rows = slice(0, 5)
    typical = (TABLE["high"][rows] + TABLE["low"][rows] + TABLE["close"][rows]) / 3
    assert asked[0][1] == approx(float((typical * TABLE["volume"][rows]).sum() / TABLE["volume"][rows].sum()))


def test_f10_a_market_with_too_few_candles_means_no_decision_and_is_counted():
    given(TABLE, frame=(5, 60))
    bk.add_strategy("s", lambda symbol, when, price: long() if bk.get_candles(symbol, "1m", 20).close[0] < 0 else None)
    assert run() == []
    facts = bk.Backtest.get_data().facts
    assert (facts.decisions, facts.not_enough_history, facts.no_signal) == (56, 15, 41)


@pytest.mark.parametrize("limit", [0, -1, 2.5, "5", None])
@pytest.mark.parametrize("before", [None, 5], ids=["first", "later"])
def test_a_limit_that_is_no_whole_number_above_zero_is_refused_the_first_time_and_every_other(limit, before):
    in_memory(TABLE)

    def look(symbol, when, price):
        if before:
            assert len(bk.get_candles(symbol, "15m", before)) == before
        with pytest.raises(bk.ConfigError, match="limit"):
            bk.get_candles(symbol, "15m", limit).close.sum()
        return True

    assert all(seen(look, (2000, 2000)))


@pytest.mark.parametrize("limit", [True, np.int64(5)])
def test_a_limit_in_an_unusual_type_is_taken_or_refused_but_always_alike(limit):
    in_memory(TABLE)

    def look(symbol, when, price):
        try:
            return bk.get_candles(symbol, "15m", limit).close.tolist()
        except bk.ConfigError:
            return "refused"

    first, later = seen(look, (2000, 2001))
    assert first == later


def test_windows_may_be_awaited_gathered_and_read_without_awaiting():
    in_memory(TABLE)
    found = []

    @bk.strategy("s")
    async def get_signal(symbol, when, price):
        awaited = await bk.get_candles(symbol, "1m", 3)
        plain = bk.get_candles(symbol, "1m", 3)
        gathered = await asyncio.gather(*(bk.get_candles(symbol, interval, 3) for interval in ("1m", "5m")))
        deep = await asyncio.gather(*(through_a_task(symbol) for _ in range(3)))
        found.append([each.close.tolist() for each in (awaited, plain, gathered[0], *deep)])

    async def through_a_task(symbol):
        await asyncio.sleep(0)
        return bk.get_candles(symbol, "1m", 3)

    bk.add_frame("frame", start=at(2000), end=at(2005))
    run()
    for number, windows in enumerate(found):
        assert windows == [TABLE["close"][1997 + number : 2000 + number].tolist()] * 6


@pytest.mark.parametrize("asynchronous", [False, True], ids=["def source", "async def source"])
@pytest.mark.parametrize("strategy", ["def", "async def", "callback"])
def test_candles_that_have_to_be_fetched_first_reach_every_kind_of_user_code(asynchronous, strategy):
    other, requests, found = walk(2200, 5), [], []

    def answer(symbol, interval, since, limit):
        requests.append(symbol)
        return rows_of(TABLE if symbol == SYMBOL else other, since, limit) if interval == "1m" else no_such(interval)

    async def answer_later(symbol, interval, since, limit):
        await asyncio.sleep(0)
        return answer(symbol, interval, since, limit)

    def get_signal(symbol, when, price):
        if strategy == "def":
            found.append(bk.get_candles("ETHUSDT", "1m", 5).close.tolist())

    async def get_signal_later(symbol, when, price):
        found.append((await bk.get_candles("ETHUSDT", "1m", 5)).close.tolist())

    def on_idle(event):
        if strategy == "callback":
            found.append(bk.get_candles("ETHUSDT", "1m", 5).close.tolist())

    bk.add_exchange("source", answer_later if asynchronous else answer)
    bk.add_frame("frame", start=at(2000), end=at(2010))
    bk.add_strategy("s", get_signal_later if strategy == "async def" else get_signal, callbacks={"on_idle": on_idle})
    run()
    assert found == [other["close"][1995 + k : 2000 + k].tolist() for k in range(11)]
    assert requests.count("ETHUSDT") <= 2


def no_such(interval: str) -> Any:
    raise ValueError(f"no {interval} candles here")


def test_an_async_strategy_that_forgets_to_await_is_told_so():
    async def answer(symbol, interval, since, limit):
        return rows_of(TABLE, since, limit)

    bk.add_exchange("source", answer)
    bk.add_frame("frame", start=at(2000), end=at(2010))

    @bk.strategy("s")
    async def get_signal(symbol, when, price):
        return bk.get_candles("ETHUSDT", "1m", 5).close[-1]

    with pytest.raises(bk.ContextError, match="await get_candles"):
        run()
