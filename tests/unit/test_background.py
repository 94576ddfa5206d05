"""Runs in the background, as a thread or as a task, and stopping them from anywhere."""

from __future__ import annotations

import asyncio
import threading

import pytest

import backtest_kit as bk
from backtest_kit.core.events import SignalClosed
from backtest_kit.engine.notices import RunFailed
from tests.worlds import (
    SYMBOL,
    flat,
    fresh_world,
    given,
    heard,
    long,
    minute_of,
    once,
    run,
    told,
    within,
)

world = pytest.fixture(autouse=True)(fresh_world)

RESULTS = [("opened", 10, 100.0), ("closed", 23, 102.0, "take_profit")]
RULES = {"exit_rule": "stop_touch", "fill_rule": "level"}
WAIT = 10  # seconds until a test that hangs is given up


def declared():
    """A market and a strategy whose one trade is that of `RESULTS`."""
    given(flat(201, {20: 103}))
    bk.add_strategy("s", once(long(102, 98, 60)))


# ---- in the background ----


def test_background_in_a_script_is_a_thread_that_can_be_waited_for(world):
    closed = heard(world, SignalClosed)
    declared()
    stop = bk.Backtest.background(SYMBOL, **RULES)
    assert stop.wait(WAIT)
    assert told(closed) == RESULTS[1:]
    assert stop.done
    assert bk.Backtest.list()[0].status == "finished"


async def test_background_in_a_running_loop_is_a_task_that_can_be_awaited(world):
    closed = heard(world, SignalClosed)
    declared()
    stop = bk.Backtest.background(SYMBOL, **RULES)
    with pytest.raises(bk.ContextError, match="await"):
        stop.wait(1)
    await asyncio.wait_for(stop, WAIT)
    assert told(closed) == RESULTS[1:]


def test_a_run_in_a_thread_is_stopped_from_outside():
    started, go_on = threading.Event(), threading.Event()
    given(flat(1000), frame=(10, 900))

    @bk.strategy("s")
    def always(symbol, when, price):
        started.set()
        go_on.wait(WAIT)
        return long(102, 98, 3)

    stop = bk.Backtest.background(SYMBOL)
    assert started.wait(WAIT)
    assert bk.Backtest.list()[0].status == "running"
    stop()
    go_on.set()
    assert stop.wait(WAIT)
    data = bk.Backtest.get_data()
    assert len(data.trades) <= 1
    assert bk.Backtest.list()[0].status == "stopped"


async def test_a_run_as_a_task_is_stopped_from_a_listener(world):
    given(flat(1000), frame=(10, 900))
    bk.add_strategy("s", lambda symbol, when, price: long(102, 98, 3))
    stop = bk.Backtest.background(SYMBOL)
    bk.listen_signal_closed(lambda event: stop(), once=True)
    await asyncio.wait_for(stop, WAIT)
    assert len(bk.Backtest.get_data().trades) == 1
    assert bk.Backtest.list()[0].status == "stopped"


def test_a_failed_run_in_a_thread_is_an_exit_event_and_raises_where_it_is_waited_for(world):
    failed = heard(world, RunFailed)
    given(flat(100), frame=(10, 50))
    bk.add_strategy("s", lambda symbol, when, price: 1 / 0)
    stop = bk.Backtest.background(SYMBOL)
    with pytest.raises(bk.StrategyError, match="division by zero"):
        stop.wait(WAIT)
    assert isinstance(failed[0].error, bk.StrategyError)
    assert failed[0].symbol == SYMBOL
    assert bk.Backtest.list()[0].status == "failed"


async def test_a_failed_run_as_a_task_raises_where_it_is_awaited(world):
    failed = heard(world, RunFailed)
    given(flat(100), frame=(10, 50))
    bk.add_strategy("s", lambda symbol, when, price: 1 / 0)
    with pytest.raises(bk.StrategyError, match="division by zero"):
        await bk.Backtest.background(SYMBOL)
    assert len(failed) == 1


# ---- stop ----


@pytest.mark.parametrize("fast_forward", [True, False])
def test_after_a_stop_nothing_is_asked_and_what_is_open_is_watched_to_its_end(fast_forward):
    asked = []
    given(flat(201, {40: 103}))

    @bk.strategy("s")
    def always(symbol, when, price):
        asked.append(minute_of(when))
        return long(102, 98)

    bk.listen_signal_opened(lambda event: bk.Backtest.stop(SYMBOL))
    assert told(run(fast_forward=fast_forward)) == [("opened", 10, 100.0), ("closed", 40, 102.0, "take_profit")]
    assert asked == [10]


@pytest.mark.parametrize("fast_forward", [True, False])
def test_a_stop_cancels_what_waits(fast_forward):
    given(flat(201))
    bk.add_strategy("s", lambda symbol, when, price: long(102, 95, price_open=97.0))
    results = bk.Backtest.run(SYMBOL, fast_forward=fast_forward)
    events = []
    for event in results:
        events.append(event)
        bk.Backtest.stop()
    assert told(events) == [("scheduled", 10, 100.0), ("cancelled", 10, 100.0, "user")]
    assert events[-1].note == "stopped"


def test_a_stop_before_the_first_result_ends_the_run_without_a_decision():
    asked = []
    given(flat(100), frame=(10, 50))
    bk.add_strategy("s", lambda symbol, when, price: asked.append(when))
    results = bk.Backtest.run(SYMBOL)
    bk.Backtest.stop(SYMBOL)
    with within(5):
        assert list(results) == []
    assert asked == []
    assert bk.Backtest.list()[0].status == "stopped"


def test_a_stop_in_the_strategy_itself_is_the_last_it_is_asked():
    asked = []
    given(flat(100), frame=(10, 50))

    @bk.strategy("s")
    def get_signal(symbol, when, price):
        asked.append(minute_of(when))
        if len(asked) == 3:
            bk.Backtest.stop()

    assert run() == []
    assert asked == [10, 11, 12]


def test_a_stop_of_one_symbol_leaves_the_others_alone():
    given({"A": flat(100), "B": flat(100)}, frame=(10, 30))
    bk.add_strategy("s", lambda symbol, when, price: long(102, 98, 3))
    symbols = []
    for event in bk.Backtest.run(["A", "B"]):
        symbols.append((event.symbol, event.action))
        bk.Backtest.stop("A", strategy_name="s")
    assert symbols.count(("A", "opened")) == 1
    assert symbols.count(("B", "opened")) > 3


def test_a_stop_of_what_was_never_run_says_so():
    with pytest.raises(bk.ConfigError, match="no backtest"):
        bk.Backtest.stop("NOBODY")
