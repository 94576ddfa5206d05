"""Listeners and callbacks: order, choice, failures that harm nobody (H3u), commands from inside of them (H5u)."""

from __future__ import annotations

import asyncio
import logging

import pytest

import backtest_kit as bk
from backtest_kit.core.events import SignalOpened
from backtest_kit.engine.notices import Failure
from backtest_kit.registry import STRATEGY_CALLBACKS
from tests.worlds import SYMBOL, WAYS, at, flat, fresh_world, given, heard, long, minute_of, once, run, told

world = pytest.fixture(autouse=True)(fresh_world)

LISTEN = [name for name in bk.__all__ if name.startswith("listen_")]


@pytest.fixture(params=[True, False], ids=["fast", "slow"])
def fast_forward(request):
    return request.param


def trades(count=3, **options):
    """A market in which so many positions of three minutes follow each other."""
    given(flat(100), frame=(10, 10 + 4 * count - 1))
    bk.add_strategy("s", lambda symbol, when, price: long(102, 98, 3), **options)


# ---- order and choice ----


def test_a_listener_gets_its_events_in_order_and_all_of_them(fast_forward):
    trades()
    seen = []
    bk.listen_signal(seen.append)
    run(fast_forward=fast_forward)
    assert [(event.action, minute_of(event.time)) for event in seen[:6]] == [
        ("opened", 10),
        ("active", 10),
        ("active", 11),
        ("active", 12),
        ("closed", 13),
        ("opened", 14),
    ]
    assert [event.action for event in seen].count("closed") == 3


def test_listeners_hear_an_event_in_the_order_in_which_they_subscribed_after_the_callbacks():
    order = []
    trades(1, callbacks={"on_open": lambda event: order.append("callback")})
    bk.listen_signal_opened(lambda event: order.append("first"))
    bk.listen_signal(lambda event: order.append("second") if event.action == "opened" else None)
    bk.listen_signal_opened(lambda event: order.append("third"))
    run()
    assert order == ["callback", "first", "second", "third"]


def test_where_picks_events():
    trades()
    seen = []
    bk.listen_signal(seen.append, where=lambda event: event.action == "closed" and event.time > at(14))
    run()
    assert [(event.action, minute_of(event.time)) for event in seen] == [("closed", 17), ("closed", 21)]


def test_once_ends_after_the_first_event_that_fits():
    trades()
    seen = []
    bk.listen_signal(seen.append, where=lambda event: event.action == "closed", once=True)
    run()
    assert [minute_of(event.time) for event in seen] == [13]
    run()
    assert len(seen) == 1


def test_per_signal_takes_the_first_event_of_every_signal(fast_forward):
    trades()
    seen = []
    bk.listen_active_ping(seen.append, per_signal=True)
    run(fast_forward=fast_forward)
    assert [minute_of(event.time) for event in seen] == [10, 14, 18]


def test_a_decorated_listener_can_still_be_called_and_unsubscribes_when_called_without_an_event():
    trades(1)
    seen = []

    @bk.listen_signal_closed(where=lambda event: True)
    def tell(event):
        """Tells."""
        seen.append(event.action)
        return "told"

    run()
    assert seen == ["closed"]
    assert tell(heard_event()) == "told"
    tell()
    tell()
    run()
    assert seen == ["closed", "opened"]
    assert (tell.__name__, tell.__doc__) == ("tell", "Tells.")


def heard_event():
    class Opened:
        action = "opened"

    return Opened()


def test_what_is_no_function_cannot_listen():
    with pytest.raises(bk.ConfigError, match="function"):
        bk.listen_signal("tell")


@pytest.mark.parametrize("name", LISTEN)
def test_every_way_to_listen_says_what_it_is_for(name):
    function = getattr(bk, name)
    assert function.__name__ == name
    assert len(function.__doc__) > 10
    function(lambda event: None)()


# ---- during a run ----


def test_a_listener_that_comes_during_a_run_hears_from_then_on(fast_forward):
    trades()
    seen = []

    def join(event):
        bk.listen_active_ping(lambda ping: seen.append(minute_of(ping.time)))

    bk.listen_signal_opened(join, where=lambda event: event.time == at(14), once=True)
    run(fast_forward=fast_forward)
    assert seen == [14, 15, 16, 18, 19, 20]


def test_a_listener_that_leaves_during_a_run_hears_nothing_more(fast_forward):
    trades()
    seen = []
    leave = bk.listen_active_ping(lambda ping: seen.append(minute_of(ping.time)))
    bk.listen_signal_closed(lambda event: leave(), once=True)
    run(fast_forward=fast_forward)
    assert seen == [10, 11, 12]


def test_a_listener_that_hands_on_what_an_async_def_returns_is_awaited(fast_forward):
    trades()
    seen = []

    async def write_down(ping):
        await asyncio.sleep(0)
        seen.append(minute_of(ping.time))

    bk.listen_active_ping(lambda ping: write_down(ping))  # noqa: PLW0108
    run(fast_forward=fast_forward)
    assert seen[:3] == [10, 11, 12]


def test_a_listener_may_leave_in_the_middle_of_a_row_of_pings(fast_forward):
    given(flat(201), frame=(10, 100))
    bk.add_strategy("s", once(long(102, 98)))
    seen = []

    def on_ping(event):
        seen.append(minute_of(event.time))
        if len(seen) == 5:
            leave()

    leave = bk.listen_active_ping(on_ping)
    run(fast_forward=fast_forward)
    assert seen == [10, 11, 12, 13, 14]


def test_idle_pings_are_the_ticks_at_which_nothing_is_open_or_decided(fast_forward):
    given(flat(100), frame=(10, 30))
    bk.add_strategy("s", once(long(102, 98, 3), 15), interval="5m")
    seen = []
    bk.listen_idle_ping(lambda event: seen.append(minute_of(event.time)))
    run(fast_forward=fast_forward)
    assert seen == [10, 11, 12, 13, 14, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30]


def test_waiting_is_told_for_every_candle_of_a_scheduled_signal(fast_forward):
    given(flat(201, candles={20: {"low": 98.0}}), frame=(10, 100))
    bk.add_strategy("s", once(long(102, 97, price_open=99.0)))
    seen = []
    bk.listen_schedule_ping(lambda event: seen.append((minute_of(event.time), minute_of(event.scheduled_at))))
    run(fast_forward=fast_forward)
    assert seen == [(minute, 10) for minute in range(10, 20)]


def test_milestones_breakeven_and_extremes_are_told_once_each(fast_forward):
    given(flat(201, {20: 101, 40: 105, 60: 95}), frame=(10, 150))
    bk.add_strategy("s", once(long(110, 90)))
    seen = []
    for listen in (bk.listen_partial_profit, bk.listen_partial_loss, bk.listen_breakeven):
        listen(lambda event: seen.append((event.action, minute_of(event.time), getattr(event, "level", None))))
    peaks, troughs = [], []
    bk.listen_highest_profit(lambda event: peaks.append(minute_of(event.time)))
    bk.listen_max_drawdown(lambda event: troughs.append(minute_of(event.time)))
    run(fast_forward=fast_forward)
    assert [level for action, _, level in seen if action == "partial_profit"] == [10, 20, 30, 40, 50]
    assert [level for action, _, level in seen if action == "partial_loss"] == [10, 20, 30, 40, 50]
    assert [(action, minute) for action, minute, _ in seen if action == "breakeven"] == [("breakeven", 22)]
    assert peaks == [22, 23, 24, 40, 41, 42, 43, 44]
    assert troughs == [62, 63, 64]


# ---- failures ----


@pytest.mark.parametrize("asynchronous", [False, True], ids=["def", "async def"])
def test_h3u_a_failing_listener_is_an_error_event_and_harms_nobody(world, asynchronous, fast_forward):
    trades()
    errors, seen = heard(world, Failure), []

    def broken(event):
        raise RuntimeError(f"no {event.action}")

    async def broken_later(event):
        await asyncio.sleep(0)
        raise RuntimeError(f"no {event.action}")

    bk.listen_signal_closed(broken_later if asynchronous else broken)
    bk.listen_signal_closed(lambda event: seen.append(minute_of(event.time)))
    undisturbed = run(fast_forward=fast_forward)
    assert seen == [13, 17, 21]
    assert [(minute_of(error.time), str(error.error)) for error in errors] == [(minute, "no closed") for minute in seen]
    assert "broken" in errors[0].where
    assert [event.action for event in undisturbed] == ["opened", "closed"] * 3
    assert bk.Backtest.get_data().facts.errors == 3


def test_h3u_a_failing_condition_is_an_error_event_as_well(world):
    trades(1)
    errors = heard(world, Failure)
    bk.listen_signal_closed(lambda event: None, where=lambda event: event.no_such_thing)
    run()
    assert isinstance(errors[0].error, AttributeError)


def test_h3u_an_error_nobody_listens_to_is_in_the_log(caplog):
    trades(1)
    bk.listen_signal_closed(lambda event: 1 / 0)
    with caplog.at_level(logging.ERROR, logger="backtest_kit"):
        run()
    assert "ZeroDivisionError: division by zero" in caplog.text
    assert SYMBOL in caplog.text


def test_h3u_an_error_listener_that_fails_is_in_the_log_and_is_not_asked_about_itself(caplog):
    trades(1)
    bk.listen_error(lambda event: 1 / 0)
    bk.listen_signal_closed(lambda event: {}["missing"])
    with caplog.at_level(logging.ERROR, logger="backtest_kit"):
        assert len(run()) == 2
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("name", ["on_open", "on_active_ping", "on_tick", "on_close"])
def test_h3u_a_failing_callback_is_an_error_event_and_harms_nobody(world, name, fast_forward):
    trades(1, callbacks={name: lambda event: 1 / 0})
    errors = heard(world, Failure)
    assert [event.action for event in run(fast_forward=fast_forward)] == ["opened", "closed"]
    assert len(errors) >= 1
    assert all(isinstance(error.error, ZeroDivisionError) for error in errors)


# ---- async ----


@pytest.mark.parametrize("way", WAYS)
def test_async_listeners_that_really_wait_are_waited_for(way, fast_forward):
    given(flat(201), frame=(10, 60))
    bk.add_strategy("s", once(long(110, 90)))
    seen = []

    @bk.listen_active_ping
    async def on_ping(event):
        await asyncio.sleep(0)
        when = bk.get_context().when
        seen.append((minute_of(event.time), minute_of(when)))
        await asyncio.sleep(0.0001)
        if event.time == at(30):
            assert await bk.commit_close_pending(SYMBOL)

    assert told(run(way=way, fast_forward=fast_forward))[-1] == ("closed", 31, 100.0, "closed")
    assert seen == [(minute, minute + 1) for minute in range(10, 31)]


# ---- commands from inside ----


def test_h5u_a_command_in_a_listener_counts_from_the_next_candle_and_its_event_waits_for_the_others(fast_forward):
    given(flat(201, {15: 105}), frame=(10, 100))
    bk.add_strategy("s", once(long(110, 90)))
    order = []

    def first(event):
        if event.time == at(25):
            order.append("first begins")
            assert bk.commit_partial_profit(SYMBOL, 50)
            assert bk.get_position().held_percent == 50
            order.append("first ends")

    bk.listen_active_ping(first)
    bk.listen_active_ping(lambda event: order.append("second") if event.time == at(25) else None)
    bk.listen_strategy_commit(lambda event: order.append(f"{event.command} told at {minute_of(event.time):g}"))
    run(fast_forward=fast_forward)
    assert order == ["first begins", "first ends", "second", "partial_profit told at 25"]


def test_h5u_a_listener_to_commands_that_commands_itself_is_told_of_it_afterwards(fast_forward):
    given(flat(201, {15: 105}), frame=(10, 100))
    bk.add_strategy("s", once(long(110, 90)))
    seen = []

    def on_commit(event):
        seen.append((event.command, event.amount))
        if len(seen) < 3:
            bk.commit_partial_profit(SYMBOL, 10 * len(seen))
            seen.append("still here")

    bk.listen_strategy_commit(on_commit)
    bk.listen_active_ping(lambda event: bk.commit_partial_profit(SYMBOL, 50), where=lambda event: event.time == at(25))
    run(fast_forward=fast_forward)
    assert seen == [("partial_profit", 50.0), "still here", ("partial_profit", 10.0)]


# ---- callbacks ----


def test_all_callbacks_are_called_with_their_events(fast_forward):
    seen = {name: [] for name in STRATEGY_CALLBACKS}
    given(flat(301, {20: 101, 40: 105, 60: 97, 100: 110.5}), frame=(10, 290))

    @bk.strategy("s", callbacks={name: taking_down(seen[name]) for name in STRATEGY_CALLBACKS})
    def get_signal(symbol, when, price):
        if when == at(10):
            return long(110, 90)
        return long(130, 100, price_open=104.0) if when == at(120) else None

    run(fast_forward=fast_forward, schedule_await_minutes=20, min_stop_loss_distance_percent=0.1)
    first = {name: told(events[:1]) for name, events in seen.items() if name != "on_write"}
    assert first["on_open"] == [("opened", 10, 100.0)]
    assert first["on_close"] == [("closed", 100, 110.0, "take_profit")]
    assert first["on_schedule"] == [("scheduled", 120, 110.5)]
    assert first["on_cancel"] == [("cancelled", 140, 110.5, "timeout")]
    assert first["on_active"] == first["on_active_ping"] == [("active", 10, 100.0)]
    assert first["on_schedule_ping"] == [("waiting", 120, 110.5)]
    assert first["on_partial_profit"][0][:2] == ("partial_profit", 24)
    assert first["on_partial_loss"][0][:2] == ("partial_loss", 63)
    assert first["on_breakeven"][0][:2] == ("breakeven", 22)
    assert first["on_idle"][0][:2] == ("idle", 101)
    kinds = {event.action for event in seen["on_tick"]}
    assert kinds == {"opened", "active", "closed", "idle", "scheduled", "waiting", "cancelled"}
    states = [type(event.state).__name__ for event in seen["on_write"]]
    assert states == ["Active", "Idle", "Scheduled", "Idle"]


def taking_down(events):
    def take_down(event):
        events.append(event)

    return take_down


def test_a_callback_of_one_strategy_hears_nothing_of_another():
    given({"A": flat(100), "B": flat(100)}, frame=(10, 20))
    seen = []
    bk.add_strategy("one", once(long(102, 98, 3)), callbacks={"on_open": seen.append})
    bk.add_strategy("two", once(long(102, 98, 3), 11))
    run(["A", "B"], strategy_name=["one", "two"])
    assert [(event.strategy_name, event.symbol) for event in seen] == [("one", "A"), ("one", "B")]


def test_a_misspelt_callback_says_which_was_meant():
    with pytest.raises(bk.UnknownNameError, match="on_open"):
        bk.add_strategy("s", once(None), callbacks={"on_opened": print})


def test_events_say_whose_they_are(world):
    trades(1)
    opened = heard(world, SignalOpened)
    run()
    event = opened[0]
    names = (event.symbol, event.strategy_name, event.exchange_name, event.frame_name, event.mode)
    assert names == (SYMBOL, "s", "memory", "frame", "backtest")
