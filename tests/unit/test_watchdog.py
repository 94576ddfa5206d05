"""Strategies that hang (H2u): cut off after their time, with symbol and time in the message; nothing else is harmed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import backtest_kit as bk
from backtest_kit.engine.notices import Failure
from tests.worlds import SYMBOL, WAYS, at, collected, flat, fresh_world, given, heard, long, minute_of, run

world = pytest.fixture(autouse=True)(fresh_world)

LIMIT = 0.1
AGES = 60
WHERE = "'s' on BTCUSDT at 2024-01-01 00:20 UTC did not answer within 0.1 s"


def sleeps(symbol, when, price):
    time.sleep(AGES)


def loops(symbol, when, price):
    stop = time.monotonic() + AGES
    while time.monotonic() < stop:
        pass


async def waits(symbol, when, price):
    await asyncio.sleep(AGES)


async def loops_in_a_task(symbol, when, price):
    loops(symbol, when, price)


async def waits_for_others(symbol, when, price):
    await asyncio.gather(asyncio.sleep(AGES), asyncio.Event().wait())


def swallows(symbol, when, price):
    stop = time.monotonic() + AGES
    while time.monotonic() < stop:
        try:
            time.sleep(0.01)
        except Exception:
            continue


HANGS = [sleeps, loops, waits, loops_in_a_task, waits_for_others, swallows]


def hanging_at(minute, hang, asked):
    """A strategy that hangs at one minute, and signals ten minutes later."""

    async def get_signal_later(symbol, when, price):
        asked.append(minute_of(when))
        return await hang(symbol, when, price) if when == at(minute) else answer(when)

    def get_signal(symbol, when, price):
        asked.append(minute_of(when))
        return hang(symbol, when, price) if when == at(minute) else answer(when)

    def answer(when):
        return long(102, 98, 3) if when == at(minute + 10) else None

    return get_signal_later if asyncio.iscoroutinefunction(hang) else get_signal


def declared(hang, asked, frame=(10, 100), **settings):
    given(flat(200), frame=frame)
    bk.add_strategy("s", hanging_at(20, hang, asked))
    bk.set_config(get_signal_timeout_seconds=LIMIT, **settings)


@pytest.mark.parametrize("hang", HANGS, ids=lambda hang: hang.__name__)
@pytest.mark.parametrize("way", WAYS)
def test_h2u_a_strategy_that_hangs_ends_the_run_with_its_symbol_and_time(hang, way):
    asked = []
    declared(hang, asked)
    began = time.monotonic()
    with pytest.raises(bk.StrategyTimeoutError, match=WHERE):
        run(way=way)
    assert time.monotonic() - began < 5
    assert asked[-1] == 20


@pytest.mark.parametrize("hang", HANGS, ids=lambda hang: hang.__name__)
def test_h2u_the_run_goes_on_after_a_hang_where_errors_may(hang, world):
    asked, errors = [], heard(world, Failure)
    declared(hang, asked, on_error="continue")
    events = run()
    assert [(event.action, minute_of(event.time)) for event in events] == [("opened", 30), ("closed", 33)]
    assert asked[0] == 10
    assert asked[-1] == 100
    assert [(type(error.error), minute_of(error.time)) for error in errors] == [(bk.StrategyTimeoutError, 20)]
    assert bk.Backtest.get_data().facts.errors == 1


@pytest.mark.parametrize("hang", [sleeps, loops, waits], ids=lambda hang: hang.__name__)
def test_h2u_a_cancellation_meant_for_a_hang_does_not_hit_what_follows(hang, world):
    """The strategy hangs once; afterwards the run has long enough to breathe for a cancellation that comes late."""
    asked = []
    declared(hang, asked, on_error="continue")

    async def program():
        results = await collected(bk.Backtest.run(SYMBOL))
        for _ in range(5):
            await asyncio.sleep(0.01)
        return len(results)

    bk.listen_idle_ping(slowly)
    assert asyncio.run(program()) == 2


async def slowly(event):
    await asyncio.sleep(0.001)


@pytest.mark.parametrize("hang", [sleeps, loops, waits], ids=lambda hang: hang.__name__)
def test_h2u_a_program_that_catches_the_error_goes_on_undisturbed(hang):
    declared(hang, [])

    async def program():
        with pytest.raises(bk.StrategyTimeoutError):
            await collected(bk.Backtest.run(SYMBOL))
        for _ in range(5):
            await asyncio.sleep(0.01)
        return "undisturbed"

    assert asyncio.run(program()) == "undisturbed"


@pytest.mark.parametrize("hang", [loops, waits, loops_in_a_task], ids=lambda hang: hang.__name__)
def test_h2u_a_hang_in_a_run_in_another_thread_is_cut_off_too(hang):
    declared(hang, [])
    stop = bk.Backtest.background(SYMBOL)
    with pytest.raises(bk.StrategyTimeoutError, match=WHERE):
        stop.wait(10)


def test_a_debugger_can_trace_what_follows_a_hang():
    """A mark that was left behind let the interpreter go round for ever once a tracer was set."""
    code = textwrap.dedent(
        """
        import sys, threading, time
        import backtest_kit as bk
        bk.set_config(get_signal_timeout_seconds=0.1, cache_candles=False)
        bk.add_exchange("demo", bk.DemoExchange(0))
        bk.add_frame("f", interval="1m", start="2024-01-01", end="2024-01-01T00:10")
        def hangs(symbol, when, price):
            stop = time.monotonic() + 30
            while time.monotonic() < stop:
                pass
        bk.add_strategy("s", hangs)
        def run():
            try:
                list(bk.Backtest.run("BTCUSDT"))
            except bk.StrategyTimeoutError:
                print("cut off")
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        sys.settrace(lambda *_: None)
        (lambda: None)()
        sys.settrace(None)
        print("traced")
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split("\n")[:2] == ["cut off", "traced"]


async def test_h2u_a_hang_in_a_task_of_a_running_loop_is_cut_off_too():
    declared(waits, [])
    with pytest.raises(bk.StrategyTimeoutError, match=WHERE):
        await bk.Backtest.background(SYMBOL)


def test_a_strategy_that_is_slow_but_answers_in_time_is_left_alone():
    given(flat(200), frame=(10, 13))
    bk.add_strategy("s", lambda symbol, when, price: time.sleep(0.15))
    assert run(get_signal_timeout_seconds=0.4) == []
    assert bk.Backtest.get_data().facts.decisions == 4


async def test_a_strategy_is_not_blamed_for_what_the_program_does_between_two_results():
    given(flat(200), frame=(10, 20))
    bk.add_strategy("s", lambda symbol, when, price: long(102, 98, 3))
    events = []
    async for event in bk.Backtest.run(SYMBOL, get_signal_timeout_seconds=0.05):
        events.append(event)
        await asyncio.sleep(0.15)
        if len(events) == 3:
            break
    assert len(events) == 3


def test_a_real_cancellation_is_not_taken_for_a_hang():
    started = threading.Event()
    given(flat(200), frame=(10, 20))

    @bk.strategy("s")
    async def get_signal(symbol, when, price):
        started.set()
        await asyncio.sleep(AGES)

    async def program():
        task = asyncio.create_task(collected(bk.Backtest.run(SYMBOL)))
        while not started.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(program())
    assert bk.Backtest.list()[0].status == "interrupted"
