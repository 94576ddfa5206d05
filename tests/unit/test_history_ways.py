"""History: longer candles from where they can be had, and requests with and without an event loop."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from backtest_kit.core.candles import COLUMNS
from backtest_kit.core.values import MINUTE, Interval
from backtest_kit.engine.history import History
from backtest_kit.errors import DataError
from backtest_kit.exchanges import DemoExchange, FunctionExchange, MemoryExchange
from tests.unit.candle_feed import M1, MARKET, Feed, asked, at, rows_between, settings


def native(symbol, interval, since, limit):
    """A source that has every interval, made of the market's minutes."""
    length = Interval.parse(interval)
    return MARKET if length is M1 else MARKET.resampled(length).between(since, since + limit * int(length))


def test_longer_candles_are_resampled_where_the_source_has_none_and_asked_for_where_it_has():
    expected = MARKET.resampled(Interval.M15)
    feed = Feed()
    sources = (MemoryExchange({"X": MARKET}), feed, FunctionExchange(native))
    for source in sources:
        found = asked(source, 0, 300, Interval.M15)
        assert all(np.array_equal(found[name], expected[name]) for name in COLUMNS)
    assert [call[0] for call in feed.calls] == ["15m"] + ["1m"] * 6


@pytest.mark.parametrize(
    "answer",
    [
        [],
        rows_between(at(0), at(50)),
        NotImplementedError(),
        KeyError("15m"),
        ValueError("bad interval"),
        LookupError(),
    ],
)
def test_a_source_that_turns_out_to_lack_an_interval_is_asked_for_it_once(answer):
    calls = []

    def get_candles(symbol, interval, since, limit):
        calls.append(interval)
        if interval == "1m":
            return rows_between(since, since + limit * MINUTE)
        if isinstance(answer, Exception):
            raise answer
        return answer

    history = History("feed", FunctionExchange(get_candles), settings())
    history.candles_now("X", Interval.M15, at(0), at(150))
    history.candles_now("X", Interval.M15, at(150), at(300))
    assert calls.count("15m") == 1
    assert calls.count("1m") == 6


def test_intervals_that_a_source_declares_are_not_guessed():
    calls = []

    def get_candles(symbol, interval, since, limit):
        calls.append(interval)
        return (
            native(symbol, interval, since, limit) if interval != "1m" else rows_between(since, since + limit * MINUTE)
        )

    history = History("feed", FunctionExchange(get_candles, intervals=["1m", "1h"]), settings())
    history.candles_now("X", Interval.H1, at(0), at(300))
    assert calls == ["1h"]
    history.candles_now("X", Interval.M15, at(0), at(30))
    assert calls == ["1h", "1m"]


def test_minutes_that_are_here_are_resampled_instead_of_asked():
    feed = Feed()
    history = History("feed", feed, settings())
    history.candles_now("X", M1, at(0), at(300))
    history.candles_now("X", Interval.M15, at(0), at(300))
    assert [call[0] for call in feed.calls] == ["1m"] * 6


def test_f12_a_longer_candle_is_never_made_of_minutes_beyond_the_range():
    history = History("memory", MemoryExchange({"X": MARKET}), settings())
    found = history.candles_now("X", Interval.M15, at(0), at(45))
    assert found.stop == at(45)
    assert found.close.tolist() == [MARKET.close[14], MARKET.close[29], MARKET.close[44]]
    assert len(history._held["X", M1]) == 1
    assert history._held["X", M1][0].stop == at(45)


class SlowFeed(Feed):
    """A feed that has to be waited for."""

    async def get_candles(self, symbol, interval, since, limit):
        await asyncio.sleep(0.001)
        return super().get_candles(symbol, interval, since, limit)


async def test_identical_requests_at_once_become_one():
    feed = SlowFeed()
    history = History("feed", feed, settings())
    found = await asyncio.gather(*(history.candles("X", M1, at(0), at(50)) for _ in range(10)))
    assert len(feed.calls) == 1
    assert all(np.array_equal(each.close, MARKET.close[:50]) for each in found)


async def test_identical_requests_fail_together_and_later_ones_try_afresh():
    feed = SlowFeed(lambda rows, call: rows if call > 3 else [])
    history = History("feed", feed, settings())
    found = await asyncio.gather(*(history.candles("X", M1, at(0), at(50)) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(each, DataError) for each in found)
    assert len(feed.calls) == 3
    assert len(await history.candles("X", M1, at(0), at(50))) == 50


async def test_a_request_that_is_called_off_takes_nobody_with_it():
    feed = SlowFeed()
    history = History("feed", feed, settings())
    first = asyncio.create_task(history.candles("X", M1, at(0), at(50)))
    second = asyncio.create_task(history.candles("X", M1, at(0), at(50)))
    await asyncio.sleep(0)
    first.cancel()
    assert len(await second) == 50
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_an_asynchronous_source_serves_synchronous_callers_inside_a_running_loop():
    history = History("feed", SlowFeed(), settings())
    assert not history.is_immediate
    assert np.array_equal(history.candles_now("X", M1, at(0), at(120)).close, MARKET.close[:120])
    assert np.array_equal((await history.candles("X", M1, at(0), at(200))).close, MARKET.close[:200])


async def test_tries_are_apart_on_the_loop_and_off_it():
    for feed in (
        SlowFeed(lambda rows, call: rows if call % 3 == 0 else []),
        Feed(lambda rows, call: rows if call % 3 == 0 else []),
    ):
        history = History("feed", feed, settings(candle_retry_delay_seconds=0.001))
        assert len(history.candles_now("X", M1, at(0), at(20))) == 20
        assert len(await history.candles("X", M1, at(20), at(40))) == 20
        assert len(feed.calls) == 6


def test_a_function_that_returns_an_awaitable_without_saying_so_is_served_too():
    async def answer(since, limit):
        await asyncio.sleep(0)
        return rows_between(since, since + limit * MINUTE)

    source = FunctionExchange(lambda symbol, interval, since, limit: answer(since, limit))
    assert np.array_equal(asked(source, 0, 60).close, MARKET.close[:60])


def test_sources_in_this_process_and_plain_functions_answer_at_once():
    for source in (MemoryExchange({"X": MARKET}), DemoExchange(), Feed(), FunctionExchange(native)):
        assert History("feed", source, settings()).is_immediate
