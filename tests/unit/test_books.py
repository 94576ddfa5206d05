"""Many books on one time line: the order of one tick, who hears what, and that neighbours change nothing."""

from __future__ import annotations

import pytest

import backtest_kit as bk
from backtest_kit.core.events import Committed, SignalClosed, SignalOpened
from backtest_kit.engine.notices import AfterEnd, DoneBacktest
from tests.worlds import at, flat, fresh_world, given, heard, long, minute_of, once, run, walk, without

world = pytest.fixture(autouse=True)(fresh_world)

ORDERS = [("A", "B"), ("B", "A")]


@pytest.fixture(params=[True, False], ids=["fast", "slow"])
def fast_forward(request):
    return request.param


@pytest.fixture(params=ORDERS, ids="".join)
def order(request):
    return list(request.param)


# ---- the order of one tick ----


def test_all_candles_of_a_tick_are_absorbed_before_anybody_is_told(order, fast_forward):
    seen = {}

    def on_close(event):
        seen[event.symbol] = [bk.get_position(symbol) is None for symbol in "AB"]

    given({"A": flat(201, {50: 111}), "B": flat(201, {50: 111})}, frame=(10, 100))
    bk.add_strategy("s", once(long(110, 90)), callbacks={"on_close": on_close})
    run(order, fast_forward=fast_forward)
    assert seen == {"A": [True, True], "B": [True, True]}


def test_a_place_that_a_candle_frees_can_be_taken_at_the_same_tick_whatever_the_order(order, fast_forward):
    given({"A": flat(201, {49: 111}), "B": flat(201)}, frame=(10, 100))
    bk.add_risk("one", validations=bk.at_most_open(1))

    @bk.strategy("s", risk_name="one")
    def get_signal(symbol, when, price):
        return long(110, 90) if (symbol, when) in (("A", at(10)), ("B", at(50))) else None

    events = run(order, fast_forward=fast_forward)
    assert [(event.symbol, event.action, minute_of(event.time)) for event in events[:3]] == [
        ("A", "opened", 10),
        ("A", "closed", 49),
        ("B", "opened", 50),
    ]


def test_books_decide_in_the_order_in_which_they_were_named(order, fast_forward):
    asked = []
    given({"A": flat(100), "B": flat(100)}, frame=(10, 20))
    for name in ("one", "two"):
        bk.add_strategy(name, lambda symbol, when, price: asked.append((bk.get_context().strategy_name, symbol, when)))
    run(order, strategy_name=["two", "one"], fast_forward=fast_forward)
    books = [(name, symbol) for name in ("two", "one") for symbol in order]
    assert asked == [(*book, at(minute)) for minute in range(10, 21) for book in books]


SPOKEN_TO = {"looked at": lambda: bk.get_position("B"), "commanded": lambda: bk.commit_breakeven("B")}


@pytest.mark.parametrize("speak", SPOKEN_TO)
def test_results_stand_in_order_of_time_also_when_another_book_was_spoken_to(speak, order, fast_forward):
    """B closes in minute 50; A speaks to it in that minute's ping, and closes itself before B is asked again."""
    given({"A": flat(201, {55: 111}), "B": flat(201, {50: 111})}, frame=(10, 100))
    bk.add_strategy("s", once(long(110, 90)), interval="1h")
    bk.listen_active_ping(lambda event: SPOKEN_TO[speak](), where=lambda event: event.symbol == "A")
    results = [(event.symbol, minute_of(event.time)) for event in run(order, fast_forward=fast_forward)]
    assert results[2:] == [("B", 50), ("A", 55)]


JOINED = {
    "listen_active_ping": list(range(52, 100)),
    "listen_highest_profit": [60, 61, 62, 63, 64],
    "listen_partial_profit": [64],
}


@pytest.mark.parametrize("listen", JOINED)
def test_a_listener_that_comes_during_a_run_hears_nothing_from_before_of_any_book(listen, order, fast_forward):
    """B's listener brings another one in at minute 52, when A has been open and quiet for a while."""
    seen = []

    def join(event):
        getattr(bk, listen)(lambda later: seen.append((later.symbol, minute_of(later.time), bk.get_context().when)))

    given({"A": flat(201, {20: 101, 30: 104, 60: 105}), "B": flat(201, {50: 103})}, frame=(10, 100))
    bk.add_strategy("s", once(long(110, 90)))
    bk.listen_partial_profit(join, where=lambda event: event.symbol == "B", once=True)
    run(order, fast_forward=fast_forward)
    assert [minute for symbol, minute, _ in seen if symbol == "A" and minute > 51] == JOINED[listen]
    assert min(minute for _, minute, _ in seen) >= 51
    assert all(when == at(minute + 1) for _, minute, when in seen)


def test_a_listener_finds_itself_in_the_book_of_its_event(order, fast_forward, world):
    strangers = []

    def check(event):
        context = bk.get_context()
        if (event.symbol, event.strategy_name) != (context.symbol, context.strategy_name):
            strangers.append((event.action, event.symbol, context.symbol))

    given({"A": walk(300, 1), "B": walk(300, 2)}, frame=(10, 290))
    for name in ("one", "two"):
        bk.add_strategy(
            name,
            lambda symbol, when, price: bk.Signal.bracket("long", price, take_profit_percent=1, stop_loss_percent=1),
        )
    for listen in (bk.listen_signal, bk.listen_before_start, bk.listen_after_end, bk.listen_done_backtest):
        listen(check)
    run(order, strategy_name=["one", "two"], fast_forward=fast_forward)
    assert strangers == []


@pytest.mark.parametrize("interval", ["1m", "15m", "1h"])
def test_a_book_ends_at_the_last_tick_of_the_frame_whenever_it_was_last_asked(interval, order, fast_forward, world):
    ends = heard(world, AfterEnd, DoneBacktest)
    given({"A": flat(301, {20: 111}), "B": flat(301)}, frame=(10, 200))
    bk.add_strategy("s", once(long(110, 90)), interval=interval)
    run(order, fast_forward=fast_forward)
    assert [(event.action, minute_of(event.time)) for event in ends] == [("after_end", 200)] * 2 + [("done", 200)] * 2


# ---- neighbours ----


def test_a_book_that_shares_nothing_trades_among_others_as_it_does_alone(fast_forward):
    tables = {name: walk(900, number) for number, name in enumerate("ABCD")}
    given(tables, frame=(10, 880))

    @bk.strategy("s", interval="5m")
    def get_signal(symbol, when, price):
        candles = bk.get_candles(symbol, "5m", 3) if when >= at(20) else None
        if candles is not None and candles.close[-1] > candles.close[0]:
            return bk.Signal.bracket("long", price, take_profit_percent=0.8, stop_loss_percent=0.8)
        return None

    together = run(list("DBCA"), fast_forward=fast_forward)
    for symbol in tables:
        alone = run(symbol, fast_forward=fast_forward)
        assert [event for event in together if event.symbol == symbol] == alone
        assert len(alone) > 4


def test_two_strategies_on_one_symbol_have_positions_of_their_own(fast_forward, world):
    opened, closed = heard(world, SignalOpened), heard(world, SignalClosed)
    given({"A": flat(201, {50: 103})}, frame=(10, 100))
    bk.add_strategy("near", once(long(102, 98)))
    bk.add_strategy("far", once(long(110, 98)))
    run("A", strategy_name=["near", "far"], fast_forward=fast_forward)
    assert [event.strategy_name for event in opened] == ["near", "far"]
    assert [(event.strategy_name, minute_of(event.time)) for event in closed] == [("near", 50), ("far", 100)]


def test_a_symbol_named_twice_runs_once():
    given({"A": flat(100), "B": flat(100)}, frame=(10, 50))
    bk.add_strategy("s", once(long(102, 98, 3)))
    assert [event.symbol for event in run(["A", "B", "A"]) if event.action == "opened"] == ["A", "B"]


@pytest.mark.parametrize("listens", [False, True], ids=["deaf", "pinged"])
def test_the_edge_of_a_gap_comes_before_anybody_is_told_of_its_tick(listens, order, fast_forward):
    """A's ping of minute 44 finds B's signal cancelled, whose candles are missing from minute 45 on."""
    answers = []
    given({"A": flat(201), "B": without(flat(201), *range(45, 60))}, frame=(10, 100))
    bk.add_strategy("s", lambda symbol, when, price: long(110, 90, price_open=95.0 if symbol == "B" else None))
    bk.listen_active_ping(
        lambda event: answers.append(bk.commit_cancel_scheduled("B").reason),
        where=lambda event: event.symbol == "A" and event.time == at(44),
    )
    if listens:
        bk.listen_schedule_ping(lambda event: None)
    events = run(order, on_gap="skip", fast_forward=fast_forward)
    cancelled = [(event.time, event.reason) for event in events if event.action == "cancelled"]
    assert cancelled[0] == (at(45), "gap")
    assert answers == ["nothing is scheduled"]


def test_a_listener_that_comes_when_a_command_to_another_book_is_told_hears_every_book(order, fast_forward):
    """A commands B at tick 30, when B and C have been open and quiet for a while."""
    seen = []

    def get_signal(symbol, when, price):
        if (symbol, when) == ("A", at(30)):
            bk.commit_breakeven("B")
        return None if symbol == "A" else long(110, 90)

    given({"A": flat(201), "B": flat(201), "C": flat(201)}, frame=(10, 100))
    bk.add_strategy("s", get_signal)
    bk.listen_strategy_commit(
        lambda event: bk.listen_active_ping(lambda ping: seen.append((ping.symbol, minute_of(ping.time)))),
    )
    run(["C", *order], fast_forward=fast_forward)
    symbols = [symbol for symbol in ["C", *order] if symbol != "A"]
    assert seen == [(symbol, minute) for minute in range(30, 100) for symbol in symbols]


def test_a_book_that_was_spoken_to_still_tells_its_candle_to_a_listener_that_comes_then(order, fast_forward):
    """A's listener commands B before another one comes. B tells the candle of minute 30 after A, or has told it."""
    seen = []

    def speak_and_join(event):
        bk.commit_breakeven("B")
        bk.listen_active_ping(lambda ping: seen.append((ping.symbol, minute_of(ping.time))))

    given({"A": flat(201, {30: 105}), "B": flat(201)}, frame=(10, 100))
    bk.add_strategy("s", once(long(110, 90)))
    bk.listen_highest_profit(speak_and_join, where=lambda event: event.symbol == "A", once=True)
    run(order, fast_forward=fast_forward)
    first = 30 if order == ["A", "B"] else 31
    assert [minute for symbol, minute in seen if symbol == "B"] == list(range(first, 100))


COMES = {
    "in a job": lambda come: bk.add_cron("come", come, interval="15m"),
    "with progress": bk.listen_progress,
    "at the edge of a gap": bk.listen_signal_closed,
    "in a ping": bk.listen_active_ping,
}


@pytest.mark.parametrize("comes", COMES)
def test_a_listener_that_comes_during_a_run_takes_no_tick_from_anybody(comes, order, fast_forward):
    """B holds a position up to its gap, and A, which holds nothing, is asked every minute."""
    asked = []

    def get_signal(symbol, when, price):
        asked.append((symbol, minute_of(when)))
        return long(110, 90) if symbol == "B" else None

    given({"A": flat(201), "B": without(flat(201), *range(45, 60))}, frame=(10, 100))
    bk.add_strategy("s", get_signal)
    COMES[comes](lambda event: bk.listen_schedule_ping(lambda later: None))
    run(order, on_gap="skip", fast_forward=fast_forward)
    assert [minute for symbol, minute in asked if symbol == "A"] == list(range(10, 101))


def test_a_command_in_a_ping_has_the_stamp_of_its_candle_also_at_the_edge_of_a_gap(order, fast_forward, world):
    """A's ping of minute 44 commands B, whose candles end then; so does what A's ping finds when a listener comes."""
    answers = heard(world, Committed)
    given({"A": flat(201), "B": without(flat(201), *range(45, 60))}, frame=(10, 100))
    bk.add_strategy("s", once(long(110, 90)))
    bk.listen_signal_closed(
        lambda event: bk.listen_idle_ping(lambda later: None), where=lambda event: event.symbol == "B"
    )
    for symbol in order:
        bk.listen_active_ping(
            lambda event: bk.commit_breakeven("B"),
            where=lambda event, symbol=symbol: (event.symbol, event.time) == (symbol, at(44)),
        )
    run(order, on_gap="skip", fast_forward=fast_forward)
    assert [minute_of(event.time) for event in answers] == [44, 44]
