"""Iterating a backtest from any kind of program: `for`, `async for`, in a running loop, several at a time."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

import backtest_kit as bk
from backtest_kit.core.events import ActivePing, SignalClosed, SignalOpened
from backtest_kit.engine.notices import AfterEnd, BeforeStart, DoneBacktest, Performance, Progress
from tests.worlds import (
    SYMBOL,
    WAYS,
    at,
    collected,
    flat,
    fresh_world,
    given,
    heard,
    long,
    minute_of,
    once,
    run,
    told,
    walk,
)

world = pytest.fixture(autouse=True)(fresh_world)

RESULTS = [("opened", 10, 100.0), ("closed", 23, 102.0, "take_profit")]
RULES = {"exit_rule": "stop_touch", "fill_rule": "level"}
WAIT = 10  # seconds until a test that hangs is given up


def one_trade(**options):
    given(flat(201, {20: 103}))
    bk.add_strategy("s", once(long(102, 98, 60)), **options)
    return bk.Backtest.run(SYMBOL, **RULES)


def many_trades(frame=(10, 150)):
    """A strategy that always signals, in a market that stands: a trade of three minutes, every four minutes."""
    given(flat(int(frame[1]) + 10), frame=frame)
    bk.add_strategy("s", lambda symbol, when, price: long(102, 98, 3))
    return bk.Backtest.run(SYMBOL)


# ---- for, async for ----


def test_a_for_loop_in_a_script_gives_the_results():
    assert told(list(one_trade())) == RESULTS


def test_an_async_for_loop_gives_the_results():
    assert told(asyncio.run(collected(one_trade()))) == RESULTS


async def test_a_for_loop_inside_of_a_running_loop_gives_the_results():
    assert told(list(one_trade())) == RESULTS


async def test_an_async_for_loop_inside_of_a_running_loop_gives_the_results():
    assert told([event async for event in one_trade()]) == RESULTS


async def test_a_for_loop_inside_of_a_running_loop_tells_listeners_and_lets_commands_through(world):
    closed = heard(world, SignalClosed)
    given(flat(201, {20: 103}))
    bk.add_strategy("s", once(long(110, 90)))
    for event in bk.Backtest.run(SYMBOL):
        if event.action == "opened":
            assert bk.commit_close_pending(SYMBOL, strategy_name="s")
    assert told(closed) == [("closed", 10, 100.0, "closed")]


async def test_an_error_of_the_strategy_leaves_a_for_loop_inside_of_a_running_loop():
    given(flat(100), frame=(10, 50))
    bk.add_strategy("s", lambda symbol, when, price: 1 / 0)
    with pytest.raises(bk.StrategyError, match="division by zero"):
        list(bk.Backtest.run(SYMBOL))


def test_a_run_happens_while_it_is_iterated_and_not_before():
    asked = []
    given(flat(100), frame=(10, 20))
    bk.add_strategy("s", lambda symbol, when, price: asked.append(when))
    results = bk.Backtest.run(SYMBOL)
    assert (asked, bk.Backtest.list()[0].status) == ([], "waiting")
    list(results)
    assert (len(asked), bk.Backtest.list()[0].status) == (11, "finished")


def test_results_come_one_at_a_time_as_they_happen():
    asked: list[float] = []
    given(flat(60), frame=(10, 50))

    @bk.strategy("s")
    def always(symbol, when, price):
        asked.append(minute_of(when))
        return long(102, 98, 3)

    seen = [(event.action, minute_of(event.time), len(asked)) for event in bk.Backtest.run(SYMBOL)]
    assert seen[:4] == [("opened", 10, 1), ("closed", 13, 1), ("opened", 14, 2), ("closed", 17, 2)]


@pytest.mark.parametrize("again", WAYS)
@pytest.mark.parametrize("first", WAYS)
def test_results_are_iterated_once(first, again):
    results = one_trade()
    consume(results, first)
    with pytest.raises(bk.ContextError, match="again"):
        consume(results, again)


def consume(results, way):
    return list(results) if way == "for" else asyncio.run(collected(results))


def test_leaving_a_for_loop_early_stops_the_run(world):
    done = heard(world, DoneBacktest)
    opened = heard(world, SignalOpened)
    iterator = iter(many_trades())
    assert next(iterator).action == "opened"
    iterator.close()
    assert [event.outcome for event in done] == ["stopped"]
    assert len(opened) == 1
    assert bk.Backtest.list()[0].status == "stopped"


def test_breaking_out_of_a_for_loop_leaves_the_trades_so_far():
    closed = 0
    results = many_trades()
    for event in results:
        closed += event.action == "closed"
        if closed == 3:
            break
    del results
    assert len(bk.Backtest.get_data().trades) == 3


async def test_leaving_an_async_for_loop_early_stops_the_run(world):
    done = heard(world, DoneBacktest)
    results = aiter(many_trades())
    await anext(results)
    await results.aclose()
    assert [event.outcome for event in done] == ["stopped"]


async def test_leaving_a_for_loop_early_inside_of_a_running_loop_ends_its_thread():
    for _ in many_trades():
        break
    assert not [thread for thread in threading.enumerate() if thread.name == "backtest"]


def test_a_finished_run_leaves_no_thread_behind():
    before = threading.active_count()
    list(one_trade())
    deadline = time.monotonic() + WAIT
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


# ---- many at a time ----


async def test_two_runs_in_parallel_do_not_meet(world):
    given({"A": walk(400, 1), "B": walk(400, 2)}, frame=(10, 380))
    seen = {"A": set(), "B": set()}

    @bk.strategy("s")
    async def get_signal(symbol, when, price):
        await asyncio.sleep(0)
        seen[symbol].add((bk.get_symbol(), bk.get_context().when == when, bk.get_average_price() == price))
        if when % (7 * 60_000) == 0:
            return bk.Signal.bracket("long", price, take_profit_percent=1, stop_loss_percent=1)
        return None

    together = await asyncio.gather(*(collected(bk.Backtest.run(symbol)) for symbol in ("A", "B")))
    alone = [await collected(bk.Backtest.run(symbol)) for symbol in ("A", "B")]
    assert together == alone
    assert seen == {"A": {("A", True, True)}, "B": {("B", True, True)}}


async def test_a_run_lets_other_tasks_of_the_loop_breathe():
    given(walk(20_000, 1), frame=(10, 19_000))
    bk.add_strategy("s", lambda symbol, when, price: time.sleep(0.001) if when % 3_000_000 == 0 else None)
    breaths = []

    async def breathe():
        while True:
            breaths.append(time.perf_counter())
            await asyncio.sleep(0)

    task = asyncio.create_task(breathe())
    await asyncio.sleep(0)
    await collected(bk.Backtest.run(SYMBOL))
    task.cancel()
    assert len(breaths) >= 3


async def test_a_cancelled_task_interrupts_the_run_and_keeps_its_trades(world):
    done = heard(world, DoneBacktest)
    given(flat(2000), frame=(10, 1900))
    closed = asyncio.Event()

    @bk.strategy("s")
    async def always(symbol, when, price):
        await asyncio.sleep(0)
        return long(102, 98, 3)

    bk.listen_signal_closed(lambda event: closed.set())
    task = asyncio.create_task(collected(bk.Backtest.run(SYMBOL)))
    await closed.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [event.outcome for event in done] == ["interrupted"]
    assert len(bk.Backtest.get_data().trades) >= 1


# ---- what the run says about itself ----


@pytest.mark.parametrize("fast_forward", [True, False])
def test_a_run_begins_ends_and_is_done_once_for_every_book(fast_forward, world):
    edges = heard(world, BeforeStart, AfterEnd, DoneBacktest)
    given({"A": flat(100), "B": flat(100)}, frame=(10, 50))
    bk.add_strategy("s", once(long(102, 98, 3)))
    run(["A", "B"], fast_forward=fast_forward)
    told_edges = [(event.action, event.symbol, minute_of(event.time)) for event in edges]
    assert told_edges[:2] == [("before_start", "A", 10), ("before_start", "B", 10)]
    assert sorted(told_edges[2:4]) == [("after_end", "A", 50), ("after_end", "B", 50)]
    assert told_edges[4:] == [("done", "A", 50), ("done", "B", 50)]
    assert [(event.trades, event.outcome) for event in edges[4:]] == [(1, "finished"), (1, "finished")]


@pytest.mark.parametrize("fast_forward", [True, False])
@pytest.mark.parametrize("last", [11, 60, 900, 3000])
def test_progress_rises_from_the_start_to_one_hundred_percent(last, fast_forward, world):
    progress = heard(world, Progress)
    given({"A": flat(3010), "B": flat(3010)}, frame=(10, last))
    bk.add_strategy("s", lambda symbol, when, price: long(102, 98, 50), interval="1h")
    run(["A", "B"], fast_forward=fast_forward)
    percents = [event.percent for event in progress]
    assert percents == sorted(set(percents))
    assert percents[-1] == 100.0
    assert all(0 < each <= 100 for each in percents)
    assert len(percents) >= min(90, last - 10)
    assert {event.total for event in progress} == {2 * (last - 10)}
    assert {event.symbol for event in progress} == {"A, B"}


def test_a_run_says_how_long_it_took(world):
    heard_performance = heard(world, Performance)
    list(one_trade())
    load, *steps, whole = heard_performance
    assert (load.metric, load.count) == ("backtest_load", 190)
    assert (whole.metric, whole.count) == ("backtest_run", 190)
    assert {step.metric for step in steps} == {"backtest_step"}
    assert sum(step.count for step in steps) == 190
    assert sum(each.duration_ms for each in (load, *steps)) <= whole.duration_ms


def test_a_run_that_fails_is_done_too(world):
    done = heard(world, DoneBacktest)
    given(flat(100), frame=(10, 50))
    bk.add_strategy("s", lambda symbol, when, price: 1 / 0 if when == at(20) else None)
    with pytest.raises(bk.StrategyError):
        run()
    assert [event.outcome for event in done] == ["failed"]


def test_settings_of_a_run_are_its_own():
    given(flat(201, {20: 103}))
    bk.add_strategy("s", once(long(102, 98, 60)))
    costly, usual = run(slippage_percent=1.0), run()
    assert costly[-1].pnl.percent < usual[-1].pnl.percent
    assert bk.get_config().slippage_percent == 0.1


def test_every_candle_of_an_open_position_is_pinged_once(world):
    pings = heard(world, ActivePing)
    list(one_trade())
    assert [minute_of(event.time) for event in pings] == list(range(10, 23))
