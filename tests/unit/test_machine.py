"""The machine on candles and decisions: every state with every input, the order of tests on a candle, fills by rule.

What brokers answer, and what users wish, is in test_machine_answers.py.
"""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from backtest_kit.core.inputs import (
    Cut,
    Decided,
    Filled,
    LeaveAtNext,
    Manage,
    Minute,
    Queue,
    Refused,
    SettleAtNext,
)
from backtest_kit.core.machine import decide, settled
from backtest_kit.core.position import opened, profit
from backtest_kit.core.state import Active, Closing, Idle, Opening, Order, Scheduled, State, unanswered
from backtest_kit.core.values import MINUTE, Side, Signal, Terms
from tests.properties.markets import EXIT_RULES, FILL_RULES, SOURCE, START, flat

HONEST, LEVEL = Terms(), Terms(fill_rule="level")
LONG = Signal("long", 110.0, 90.0, id="s", isolated=False)
LIMIT = Signal("long", 110.0, 90.0, price_open=98.0, id="s", isolated=False)
ORDER = Order("s/1", "open", START, 100.0, 100.0)

STATES: dict[str, State] = {
    "idle": Idle("r"),
    "scheduled": Scheduled(LIMIT, START, "r"),
    "opening": Opening(LONG, ORDER, "r"),
    "opening refused": Opening(LONG, replace(ORDER, refused=True), "r"),
    "active": Active(opened(LONG, START, 100.0, HONEST)),
    "closing": Closing(opened(LONG, START, 100.0, HONEST), replace(ORDER, id="s/2", kind="close"), "closed"),
    "closing refused": Closing(
        opened(LONG, START, 100.0, HONEST), replace(ORDER, id="s/2", kind="close", refused=True), "closed"
    ),
}
INPUTS = {
    "minute": flat(1, 99.0),
    "decided": Decided(START + MINUTE, 100.0, LONG),
    "manage": Manage("average_buy", START, 95.0, 10.0),
    "leave": LeaveAtNext("closed", START),
    "settle": SettleAtNext("cancel", START),
    "queue": Queue(START, LONG),
    "filled": Filled("s/1", START),
    "closed fill": Filled("s/2", START),
    "foreign fill": Filled("other/1", START),
    "refused": Refused("s/1", START, "no"),
    "closing refused": Refused("s/2", START, "no", final=True),
    "foreign refusal": Refused("other/1", START, "no", final=True),
    "cut": Cut(START, 99.0, "frame_end"),
}

# What each input makes of each state: the tag of the next one ("=": the very same value), and the events.
SAME = "="
TABLE: dict[str, dict[str, tuple[str, str]]] = {
    "idle": {"decided": ("opening", ""), "queue": ("idle", "commit+"), "manage": (SAME, "commit-")},
    "scheduled": {"minute": (SAME, "waiting"), "cut": ("idle", "cancelled"), "settle": ("scheduled", "commit+")},
    "opening": {"filled": ("active", "opened"), "refused": ("opening", ""), "cut": ("idle", "cancelled")},
    "opening refused": {"minute": ("opening", ""), "cut": ("idle", "cancelled")},
    "active": {
        "minute": ("active", "max_drawdown active partial_loss"),
        "manage": ("active", ""),
        "leave": ("active", "commit+"),
        "cut": ("closing", ""),
    },
    "closing": {"closed fill": ("idle", "closed"), "closing refused": ("closing", ""), "cut": ("closing", "")},
    "closing refused": {"minute": ("closing", ""), "cut": ("closing", "")},
}
BY_USERS = ("manage", "leave", "settle", "queue")


@pytest.mark.parametrize("given", INPUTS)
@pytest.mark.parametrize("name", STATES)
def test_every_state_takes_every_input_as_the_table_says(name, given):
    before = STATES[name]
    expected = TABLE[name].get(given, (SAME, "commit-" if given in BY_USERS else ""))
    after, events = decide(before, INPUTS[given], HONEST, SOURCE)
    tag = SAME if after is before else type(after).__name__.lower()
    said = " ".join(
        event.action + ("+" if event.accepted else "-") if event.action == "commit" else event.action
        for event in events
    )
    assert (tag, said) == expected
    assert all(event.source is SOURCE for event in events)


@pytest.mark.parametrize("name", STATES)
def test_only_a_question_that_may_be_asked_now_counts_as_unanswered(name):
    order = unanswered(STATES[name])
    assert (order is not None) is (name in ("opening", "closing"))


# ---- the order of tests on one candle of an open position ------------------------------------------------------------


def active(side: Side = "long", minutes: int | None = 1440, leverage: float = 1.0, stop: float | None = None) -> Active:
    levels = (110.0, 90.0) if side == "long" else (90.0, 110.0)
    signal = Signal(side, levels[0], stop or levels[1], None, minutes, leverage=leverage, isolated=leverage > 1, id="s")
    state, _ = settled(Idle("r"), Decided(START, 100.0, signal), HONEST, SOURCE)
    assert isinstance(state, Active)
    return state


def close_of(state: State, minute: Minute, terms: Terms = HONEST):
    after, events = settled(state, minute, terms, SOURCE)
    assert after == Idle("s")
    assert [event.action for event in events] == ["closed"]
    return events[0]


def turned(minute: Minute) -> Minute:
    """The candle of the mirrored market."""
    return Minute(minute.time, 200 - minute.open, 200 - minute.low, 200 - minute.high, 200 - minute.price)


BOTH = flat(5, 100.0, high=111.0, low=89.0)


@pytest.mark.parametrize(
    ("wish", "minutes", "minute", "reason", "price"),
    [
        (LeaveAtNext("closed", START, note="bye"), 5, BOTH, "closed", 100.0),
        (LeaveAtNext("closed", START, 99.0), 5, BOTH, "closed", 99.0),
        (LeaveAtNext("take_profit", START), 5, BOTH, "take_profit", 110.0),
        (LeaveAtNext("stop_loss", START), 5, BOTH, "stop_loss", 90.0),
        (LeaveAtNext("take_profit", START, 110.5), 5, BOTH, "take_profit", 110.5),
        (LeaveAtNext("stop_loss", START, 89.5), 5, BOTH, "stop_loss", 89.5),
        (None, 5, BOTH, "time_expired", 100.0),
        (None, 4, BOTH, "time_expired", 100.0),
        (None, 6, BOTH, "stop_loss", 90.0),
        (None, None, BOTH, "stop_loss", 90.0),
        (None, 6, flat(5, 100.0, high=110.0), "take_profit", 110.0),
        (None, 6, flat(5, 100.0, low=90.0), "stop_loss", 90.0),
    ],
)
def test_f13_the_first_of_wish_report_time_stop_and_take_ends_the_position(wish, minutes, minute, reason, price):
    event = close_of(replace(active(minutes=minutes), wish=wish), minute)
    assert (event.close_reason, event.price, event.time) == (reason, price, START + 5 * MINUTE)
    assert event.pnl == profit(active(minutes=minutes).position, price, HONEST)
    assert event.note == (wish.note if wish else "")


# exit rule → what the candle does: "stop", "take" or "stay". Prices of the average stand before low and high.
EXITS = [
    ({"price": 100.0, "low": 90.0}, {"touch": "stop", "stop_touch": "stop", "vwap": "stay"}),
    ({"price": 100.0, "low": 90.01}, {"touch": "stay", "stop_touch": "stay", "vwap": "stay"}),
    ({"price": 90.0, "low": 90.0}, {"touch": "stop", "stop_touch": "stop", "vwap": "stop"}),
    ({"price": 90.0, "low": 91.0}, {"touch": "stay", "stop_touch": "stay", "vwap": "stop"}),
    ({"price": 100.0, "high": 110.0}, {"touch": "take", "stop_touch": "stay", "vwap": "stay"}),
    ({"price": 100.0, "high": 109.99}, {"touch": "stay", "stop_touch": "stay", "vwap": "stay"}),
    ({"price": 110.0, "high": 110.0}, {"touch": "take", "stop_touch": "take", "vwap": "take"}),
    ({"price": 110.0, "high": 109.0}, {"touch": "stay", "stop_touch": "take", "vwap": "take"}),
    ({"price": 110.0, "low": 90.0, "high": 110.0}, {"touch": "stop", "stop_touch": "stop", "vwap": "take"}),
    ({"price": 100.0, "low": 90.0, "high": 110.0}, {"touch": "stop", "stop_touch": "stop", "vwap": "stay"}),
]


@pytest.mark.parametrize("fill_rule", FILL_RULES)
@pytest.mark.parametrize("exit_rule", EXIT_RULES)
@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize(("parts", "expected"), EXITS)
def test_each_exit_rule_looks_at_its_own_prices(parts, expected, side, exit_rule, fill_rule):
    minute = flat(5, 100.0, **parts)
    minute = minute if side == "long" else turned(minute)
    after, events = settled(active(side), minute, Terms(exit_rule=exit_rule, fill_rule=fill_rule), SOURCE)
    stop, take = (90.0, 110.0) if side == "long" else (110.0, 90.0)
    found = [(event.close_reason, event.price) for event in events if event.action == "closed"]
    assert found == {"stop": [("stop_loss", stop)], "take": [("take_profit", take)], "stay": []}[expected[exit_rule]]
    assert isinstance(after, Active) is (expected[exit_rule] == "stay")


@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize(
    ("fill_rule", "opening", "price"),
    [("honest", 90.5, 90.0), ("honest", 90.0, 90.0), ("honest", 88.0, 88.0), ("level", 88.0, 90.0)],
)
def test_a_stop_that_the_candle_opened_beyond_fills_at_the_open_under_the_honest_rule(side, fill_rule, opening, price):
    minute = flat(5, 89.0, open=opening, low=85.0, high=91.0)
    minute, price = (minute, price) if side == "long" else (turned(minute), 200 - price)
    event = close_of(active(side), minute, Terms(fill_rule=fill_rule))
    assert (event.close_reason, event.price) == ("stop_loss", price)


@pytest.mark.parametrize("fill_rule", FILL_RULES)
def test_a_take_that_the_candle_opened_beyond_pays_its_level(fill_rule):
    event = close_of(active(), flat(5, 115.0), Terms(fill_rule=fill_rule))
    assert (event.close_reason, event.price) == ("take_profit", 110.0)


@pytest.mark.parametrize(
    ("fill_rule", "stop", "opening", "low", "reason", "price"),
    [
        ("level", 85.0, 100.0, 90.0, "liquidation", 90.3707511315119),
        ("honest", 85.0, 100.0, 90.0, "liquidation", 90.3707511315119),
        ("honest", 85.0, 84.0, 80.0, "liquidation", 90.3707511315119),
        ("honest", 95.0, 92.0, 89.0, "stop_loss", 92.0),
        ("honest", 95.0, 88.0, 80.0, "liquidation", 90.3707511315119),
        ("level", 95.0, 88.0, 80.0, "stop_loss", 95.0),
        ("honest", 95.0, 96.0, 80.0, "stop_loss", 95.0),
    ],
)
def test_e4_an_isolated_position_never_loses_more_than_it_holds(fill_rule, stop, opening, low, reason, price):
    terms = Terms(fill_rule=fill_rule)
    event = close_of(active(leverage=10.0, stop=stop), flat(5, 95.0, open=opening, low=low), terms)
    assert (event.close_reason, event.price) == (reason, pytest.approx(price, rel=1e-12))
    assert event.pnl.percent >= -100 - 1e-9


def test_scenario_19_a_leveraged_long_is_liquidated_before_its_stop():
    event = close_of(active(leverage=10.0, stop=85.0), flat(20, 100.0, low=90.0), LEVEL)
    assert (event.close_reason, event.price) == ("liquidation", 90.3707511315119)
    assert event.pnl.percent == pytest.approx(-99.99999999999997, abs=1e-12)


@pytest.mark.parametrize("side", ["long", "short"])
def test_f13_a_candle_that_touches_both_levels_takes_the_stop_and_says_what_the_take_had_paid(side):
    state = active(side)
    event = close_of(state, BOTH)
    take = state.position.price_take_profit
    assert (event.close_reason, event.ambiguous) == ("stop_loss", True)
    assert event.alternative == profit(state.position, take, HONEST)
    assert event.alternative.percent > 0 > event.pnl.percent


@pytest.mark.parametrize("minute", [flat(5, 100.0, low=90.0), flat(5, 100.0, high=110.0)])
def test_a_candle_that_touches_one_level_is_not_ambiguous(minute):
    event = close_of(active(), minute)
    assert (event.ambiguous, event.alternative) == (False, None)


def test_the_price_of_the_close_is_folded_into_the_peak_of_the_event():
    event = close_of(active(), flat(5, 100.0, high=111.0))
    assert (event.position.peak.price, event.position.peak.time) == (110.0, START + 5 * MINUTE)
    assert event.position.peak.percent == event.pnl.percent


def test_a_candle_on_which_nothing_is_new_leaves_the_very_same_state():
    state = active()
    after, events = settled(state, flat(5, 100.0), HONEST, SOURCE)
    assert after is state
    assert [event.action for event in events] == ["active"]


# ---- decisions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "entry", "price", "fill_rule", "opened_at"),
    [
        ("long", None, 100.0, "honest", 100.0),
        ("long", 101.0, 100.0, "honest", 100.0),
        ("long", 101.0, 100.0, "level", 101.0),
        ("long", 100.0, 100.0, "honest", 100.0),
        ("long", 99.0, 100.0, "honest", None),
        ("long", 99.0, 100.0, "level", None),
        ("short", 99.0, 100.0, "honest", 100.0),
        ("short", 99.0, 100.0, "level", 99.0),
        ("short", 100.0, 100.0, "level", 100.0),
        ("short", 101.0, 100.0, "honest", None),
    ],
)
def test_a_signal_enters_at_once_where_its_price_is_reached_and_else_waits(side, entry, price, fill_rule, opened_at):
    signal = replace(LONG, position=side, price_open=entry)
    state, (event,) = settled(Idle("r"), Decided(START, price, signal), Terms(fill_rule=fill_rule), SOURCE)
    assert event.time == START
    if opened_at is None:
        assert (state, event.action, event.price) == (Scheduled(signal, START, "r"), "scheduled", price)
    else:
        assert (type(state), event.action, event.price) == (Active, "opened", opened_at)
        assert state.position.pending_at == START


# ---- the order of tests on one candle of a scheduled signal ----------------------------------------------------------

WAITING = Scheduled(LIMIT, START, "r")
EVERYTHING = flat(120, 98.5, open=98.5, low=89.0)  # the entry, the stop and the time limit in one candle


@pytest.mark.parametrize(
    ("wish", "minute", "fill_rule", "said"),
    [
        ("cancel", EVERYTHING, "honest", "cancelled user"),
        ("activate", EVERYTHING, "honest", "opened 98.5"),
        ("activate", EVERYTHING, "level", "opened 98.0"),
        (None, EVERYTHING, "honest", "cancelled timeout"),
        (None, replace(EVERYTHING, time=START + 121 * MINUTE), "level", "cancelled timeout"),
        (None, flat(119, 98.5, low=89.0), "level", "cancelled price_reject"),
        (None, flat(119, 98.5, low=90.0), "level", "cancelled price_reject"),
        (None, flat(119, 98.5, low=89.0), "honest", "opened 98.0, closed 90.0 stop_loss"),
        (None, flat(119, 98.5, low=90.0), "honest", "opened 98.0, closed 90.0 stop_loss"),
        (None, flat(119, 98.5, open=90.0, low=89.0), "honest", "cancelled price_reject"),
        (None, flat(119, 98.5, open=89.5, low=89.0), "level", "cancelled price_reject"),
        (None, flat(119, 98.5, low=98.0), "honest", "opened 98.0"),
        (None, flat(119, 98.5, low=97.0, high=120.0), "honest", "opened 98.0"),
        (None, flat(119, 98.5, low=98.01), "honest", "waiting 98.5"),
    ],
)
@pytest.mark.parametrize("side", ["long", "short"])
def test_a_scheduled_signal_is_tested_in_its_order(side, wish, minute, fill_rule, said):
    state = replace(WAITING, wish=wish and SettleAtNext(wish, START, "why"))
    if side == "short":
        minute = turned(minute)
        state = replace(state, signal=Signal("short", 90.0, 110.0, 102.0, isolated=False, id="s"))
    _, events = settled(state, minute, Terms(fill_rule=fill_rule), SOURCE)
    assert ", ".join(told(event, side) for event in events) == said
    assert all(event.time == minute.time for event in events)


def told(event, side: Side) -> str:
    price = event.price if side == "long" else 200 - event.price
    if event.action == "cancelled":
        assert price == 98.5
        assert event.note == ("why" if event.reason == "user" else "")
        return f"cancelled {event.reason}"
    return f"{event.action} {price} {getattr(event, 'close_reason', '')}".strip()


def test_a_cancelled_signal_leaves_the_last_one_remembered():
    state, _ = settled(WAITING, EVERYTHING, HONEST, SOURCE)
    assert state == Idle("r")


def test_an_entry_and_a_liquidation_in_one_candle_are_both_told():
    signal = Signal("long", 110.0, 80.0, price_open=98.0, leverage=10.0, id="s")
    _, (entry, exit_) = settled(Scheduled(signal, START), flat(9, 98.5, low=88.0), HONEST, SOURCE)
    assert (entry.action, exit_.close_reason) == ("opened", "liquidation")
    assert exit_.price == entry.position.liquidation_price
    assert exit_.pnl.percent == pytest.approx(-100.0)


def test_the_candle_of_an_entry_is_not_looked_at_for_the_take():
    state, events = settled(WAITING, flat(9, 98.5, low=98.0, high=115.0), HONEST, SOURCE)
    assert [event.action for event in events] == ["opened"]
    assert type(state) is Active
