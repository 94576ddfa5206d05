"""Commands on other books than the own: another symbol, another strategy, from between two results."""

from __future__ import annotations

import pytest

import backtest_kit as bk
from backtest_kit.core.events import ActivePing, Committed, IdlePing
from tests.worlds import SYMBOL, approx, at, flat, fresh_world, given, heard, long, minute_of, once, run, told

world = pytest.fixture(autouse=True)(fresh_world)


@pytest.fixture(params=[True, False], ids=["fast", "slow"])
def fast_forward(request):
    return request.param


# ---- other symbols of the run ----


def pair(command, levels_b=None, order=("A", "B"), minute=25, **settings):
    """Two symbols with a long each; in A's ping of a minute a command is given. Returns results and the answer."""
    answers = []

    def on_ping(event):
        if event.symbol == "A" and event.time == at(minute):
            answers.append(command())

    given({"A": flat(201), "B": flat(201, levels_b)}, frame=(10, 100))
    bk.add_strategy("s", once(long(110, 90)), callbacks={"on_active_ping": on_ping})
    return run(list(order), **settings), answers


@pytest.mark.parametrize("order", [("A", "B"), ("B", "A")])
def test_a_listener_commands_another_symbol_of_its_strategy(order, fast_forward, world):
    commits = heard(world, Committed)
    events, answers = pair(lambda: bk.commit_close_pending("B"), {15: 101}, order, fast_forward=fast_forward)
    closed = [(event.symbol, minute_of(event.time), event.close_reason) for event in events if event.action == "closed"]
    assert closed == [("B", 26, "closed"), ("A", 100, "frame_end")]
    assert [(event.symbol, minute_of(event.time), event.command) for event in commits] == [("B", 25, "close_pending")]
    assert answers == [True]


@pytest.mark.parametrize("order", [("A", "B"), ("B", "A")])
def test_a_command_to_another_symbol_is_made_at_that_symbols_price_of_the_same_minute(order, fast_forward):
    events, answers = pair(
        lambda: bk.commit_partial_profit("B", 50), {15: 101, 23: 104}, order, fast_forward=fast_forward
    )
    (sold,) = next(event for event in events if event.symbol == "B" and event.action == "closed").position.exits
    assert answers == [True]
    assert (sold.price, minute_of(sold.time)) == (approx((2 * 101 + 3 * 104) / 5), 25)


@pytest.mark.parametrize("order", [("A", "B"), ("B", "A")])
def test_a_command_to_another_symbol_comes_after_what_happened_there_in_the_same_minute(order, fast_forward):
    events, answers = pair(lambda: bk.commit_partial_loss("B", 50), {25: 80}, order, fast_forward=fast_forward)
    assert [(answer.accepted, answer.reason) for answer in answers] == [(False, "nothing is open")]
    closed = next(event for event in events if event.symbol == "B" and event.action == "closed")
    assert (minute_of(closed.time), closed.close_reason, closed.position.exits) == (25, "stop_loss", ())


@pytest.mark.parametrize("order", [("A", "B"), ("B", "A")])
def test_a_command_to_another_symbol_costs_that_symbol_no_ping(order, fast_forward, world):
    pings = heard(world, ActivePing)
    pair(lambda: bk.commit_breakeven("B"), None, order, fast_forward=fast_forward)
    assert [minute_of(event.time) for event in pings if event.symbol == "B"] == list(range(10, 100))


@pytest.mark.parametrize("order", [("A", "B"), ("B", "A")])
def test_looking_at_the_position_of_another_symbol_changes_nothing_there(order, fast_forward, world):
    pings = heard(world, ActivePing)
    seen = []
    pair(lambda: seen.append(bk.get_position("B")), {20: 104}, order, fast_forward=fast_forward)
    assert [minute_of(event.time) for event in pings if event.symbol == "B"] == list(range(10, 100))
    assert (seen[0].price, seen[0].minutes_active) == (104.0, 16)
    assert seen[0].peak.price == 104.0


@pytest.mark.parametrize("order", [("A", "B"), ("B", "A")])
def test_a_signal_can_be_made_for_another_symbol_from_the_first_tick_on(order, fast_forward):
    answers = []

    def on_idle(event):
        if event.symbol == "A" and event.time == at(10):
            answers.append(bk.commit_create_signal("B", long(102, 98)))

    given({"A": flat(100), "B": flat(100)}, frame=(10, 40))
    bk.add_strategy("s", once(None), callbacks={"on_idle": on_idle})
    opened = run(list(order), fast_forward=fast_forward)[0]
    assert answers == [True]
    asked_yet = order == ("B", "A")
    assert (opened.symbol, minute_of(opened.time)) == ("B", 11 if asked_yet else 10)


def test_a_symbol_that_is_not_in_the_run_cannot_be_commanded():
    given(flat(100), frame=(10, 20))
    bk.add_strategy("s", lambda symbol, when, price: bk.commit_close_pending("ETHUSDT"))
    with pytest.raises(bk.ContextError, match="runs on BTCUSDT"):
        run()


# ---- from outside: between two results ----


@pytest.mark.parametrize("fast_forward", [True, False])
def test_between_two_results_commands_find_their_book_by_name(fast_forward):
    given(flat(201), frame=(10, 100))
    bk.add_strategy("s", once(long(110, 90)))
    events = []
    for event in bk.Backtest.run(SYMBOL, fast_forward=fast_forward):
        events.append(event)
        if event.action == "opened":
            with pytest.raises(bk.ContextError):
                bk.get_date()
            assert bk.get_position(SYMBOL, strategy_name="s").effective_price == 100
            assert bk.commit_close_pending(SYMBOL, strategy_name="s", exchange_name="memory")
    assert told(events) == [("opened", 10, 100.0), ("closed", 10, 100.0, "closed")]


@pytest.mark.parametrize("order", [("A", "B"), ("B", "A")])
def test_between_two_results_a_command_counts_from_the_time_of_the_last_result(order, fast_forward):
    given({"A": flat(201, {50: 111}), "B": flat(201, {48: 104})}, frame=(10, 100))
    bk.add_strategy("s", once(long(110, 90)))
    closed = []
    for event in bk.Backtest.run(list(order), fast_forward=fast_forward):
        if event.action == "closed":
            closed.append((event.symbol, minute_of(event.time), event.price, event.close_reason))
        if event.action == "closed" and event.symbol == "A":
            position = bk.get_position("B", strategy_name="s")
            assert position.minutes_active in (40, 41)
            assert bk.commit_partial_profit("B", 50, strategy_name="s")
            assert bk.commit_close_pending("B", strategy_name="s")
            sold = bk.get_position("B", strategy_name="s").partials[0]
            assert minute_of(sold.time) in (50, 51)
            assert sold.price > 102
    assert closed[0] == ("A", 50, 110.0, "take_profit")
    assert (closed[1][0], closed[1][3]) == ("B", "closed")
    assert closed[1][1] in (50, 51)


async def test_between_two_results_of_an_async_for_it_is_outside_too():
    given(flat(201), frame=(10, 100))
    bk.add_strategy("s", once(long(110, 90)))
    async for event in bk.Backtest.run(SYMBOL):
        with pytest.raises(bk.ContextError):
            bk.get_symbol()
        if event.action == "opened":
            assert await bk.commit_close_pending(SYMBOL, strategy_name="s")
    assert bk.Backtest.get_data().trades[0].close_reason == "closed"


def test_a_command_from_outside_needs_a_run_and_only_one_that_fits():
    given({"A": flat(100), "B": flat(100)}, frame=(10, 50))
    bk.add_strategy("s", once(long(110, 90)))
    bk.add_strategy("t", once(long(110, 90)))
    with pytest.raises(bk.ConfigError, match="no run under way"):
        bk.commit_close_pending("A", strategy_name="s")
    checked = 0
    for event in bk.Backtest.run(["A", "B"], strategy_name=["s", "t"]):
        if event.action == "opened" and checked == 0:
            checked = 1
            with pytest.raises(bk.ConfigError, match="several runs"):
                bk.commit_close_pending("A")
            with pytest.raises(bk.ConfigError, match="no run"):
                bk.commit_close_pending("C", strategy_name="s")
            with pytest.raises(bk.UnknownNameError, match="'s'"):
                bk.commit_close_pending("A", strategy_name="ss")
            assert bk.commit_close_pending("A", strategy_name="s")
    assert checked == 1


def test_a_finished_run_takes_no_commands():
    given(flat(100), frame=(10, 50))
    bk.add_strategy("s", once(long(110, 90)))
    run()
    with pytest.raises(bk.ConfigError, match="no run under way"):
        bk.commit_close_pending(SYMBOL, strategy_name="s")


def test_a_strategy_may_be_commanded_by_another_of_the_same_run(fast_forward):
    given(flat(201), frame=(10, 100))
    bk.add_strategy("held", once(long(110, 90)))

    @bk.strategy("ruler")
    def get_signal(symbol, when, price):
        if when == at(30):
            assert bk.commit_close_pending(symbol, strategy_name="held")

    events = run(strategy_name=["ruler", "held"], fast_forward=fast_forward)
    assert told(events) == [("opened", 10, 100.0), ("closed", 30, 100.0, "closed")]


def test_an_idle_ping_is_no_place_for_a_position(world):
    pings = heard(world, IdlePing)
    given(flat(100), frame=(10, 12))
    positions = []
    bk.add_strategy("s", once(None), callbacks={"on_idle": lambda event: positions.append(bk.get_position())})
    run()
    assert (positions, len(pings)) == ([None] * 3, 3)
