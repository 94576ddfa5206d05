"""The machine over a tape: the scenarios with numbers of chapter 11, and what may be skipped."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from backtest_kit.core.candles import Candles, Tape
from backtest_kit.core.events import ActivePing, HighestProfit, SignalClosed, Wanted
from backtest_kit.core.forward import absorb, fast_forward, heard, minute_at, quiet_until, step_by_step
from backtest_kit.core.inputs import Decided, LeaveAtNext, Minute, SettleAtNext
from backtest_kit.core.machine import settled
from backtest_kit.core.monitor import monitored
from backtest_kit.core.state import Active, Closing, Idle, Opening, Order, Scheduled, State
from backtest_kit.core.values import MINUTE, NEVER, Interval, Signal, Source, Terms
from tests.properties.markets import SOURCE, START

REFERENCE = Terms(exit_rule="stop_touch", fill_rule="level")
HONEST = Terms(exit_rule="stop_touch")
TOUCH = Terms()
LONG = Signal("long", 102.0, 98.0, minute_estimated_time=60, id="s")
SHORT = Signal("short", 98.0, 102.0, minute_estimated_time=60, id="s")
LIMIT = Signal("long", 102.0, 97.0, price_open=99.0, minute_estimated_time=60, id="s")


def market(changes: dict[int, dict[str, float] | float], rows: int = 200) -> Tape:
    """Minutes that stand at 100 with volume 1. A number stands from its minute on, named parts for one candle only."""
    level, names = 100.0, ("open", "high", "low", "close", "volume")
    table = np.empty((rows, 5))
    for minute in range(rows):
        change = changes.get(minute, {})
        level = change if isinstance(change, float) else level
        candle = dict(zip(names, (level, level, level, level, 1.0), strict=True))
        table[minute] = list((candle | (change if isinstance(change, dict) else {})).values())
    return Tape.of(Candles(Interval.M1, START, *table.T), 5)


def life(drive, tape: Tape, signal: Signal, terms: Terms) -> list[str]:
    """What is told of a signal that is decided at minute 10: kind, minute, price, reason."""
    given = Decided(START + 10 * MINUTE, float(tape.price[9]), signal)
    state, made = settled(Idle(), given, terms, SOURCE)
    events = [*made, *drive(state, tape, 10, len(tape), Wanted.NOTHING, terms, SOURCE)[2]]
    return [told(event) for event in events]


def told(event) -> str:
    reason = getattr(event, "close_reason", getattr(event, "reason", ""))
    percent = f" {event.pnl.percent!r}%" if event.action == "closed" else ""
    return f"{event.action} {(event.time - START) // MINUTE} @{event.price!r} {reason}".strip() + percent


WICK = {"high": 110.0, "low": 100.0, "close": 100.0}
SCENARIOS = [
    ("1", {20: 103.0}, LONG, REFERENCE, ["opened 10 @100.0", "closed 23 @102.0 take_profit 1.5944075924075942%"]),
    ("2", {15: {"low": 97.9}}, LONG, REFERENCE, ["opened 10 @100.0", "closed 15 @98.0 stop_loss -2.3936083916083852%"]),
    ("2 exactly", {15: {"low": 98.0}}, LONG, REFERENCE,
     ["opened 10 @100.0", "closed 15 @98.0 stop_loss -2.3936083916083852%"]),
    ("3", {15: {"high": 115.0, "low": 97.9, "close": 115.0, "volume": 100.0}}, LONG, REFERENCE,
     ["opened 10 @100.0", "closed 15 @98.0 stop_loss -2.3936083916083852%"]),
    ("4", {15: WICK}, replace(LONG, minute_estimated_time=20), REFERENCE,
     ["opened 10 @100.0", "closed 30 @100.0 time_expired -0.39960039960038823%"]),
    ("4 with volume", {15: WICK | {"volume": 1000.0}}, replace(LONG, minute_estimated_time=20), REFERENCE,
     ["opened 10 @100.0", "closed 15 @102.0 take_profit 1.5944075924075942%"]),
    ("4 by touch", {15: WICK}, replace(LONG, minute_estimated_time=20), TOUCH,
     ["opened 10 @100.0", "closed 15 @102.0 take_profit 1.5944075924075942%"]),
    ("5", {18: 100.5}, replace(LONG, minute_estimated_time=10), REFERENCE,
     ["opened 10 @100.0", "closed 20 @100.3 time_expired -0.10049920079920224%"]),
    ("6", {20: {"low": 90.0}}, replace(LONG, minute_estimated_time=10), REFERENCE,
     ["opened 10 @100.0", "closed 20 @99.33333333333334 time_expired -1.0642697302697157%"]),
    ("7", {20: 97.0}, SHORT, REFERENCE, ["opened 10 @100.0", "closed 23 @98.0 take_profit 1.6056076076076284%"]),
    ("7 stop", {15: {"high": 102.5}}, SHORT, REFERENCE,
     ["opened 10 @100.0", "closed 15 @102.0 stop_loss -2.4064084084083923%"]),
    ("8", {20: {"low": 98.9}, 22: {"low": 96.9}}, LIMIT, REFERENCE,
     ["scheduled 10 @100.0", "opened 20 @99.0", "closed 22 @97.0 stop_loss -2.413749886477143%"]),
    ("9", {20: {"low": 96.5}}, LIMIT, REFERENCE,
     ["scheduled 10 @100.0", "cancelled 20 @99.76666666666668 price_reject"]),
    ("9 honest", {20: {"low": 96.5}}, LIMIT, HONEST,
     ["scheduled 10 @100.0", "opened 20 @99.0", "closed 20 @97.0 stop_loss -2.413749886477143%"]),
    ("10", {}, LIMIT, REFERENCE, ["scheduled 10 @100.0", "cancelled 130 @100.0 timeout"]),
    ("11", {}, Signal("long", 104.0, 98.0, 101.0, 5, id="s"), REFERENCE,
     ["opened 10 @101.0", "closed 15 @100.0 time_expired -1.3867330689112665%"]),
    ("11 honest", {}, Signal("long", 104.0, 98.0, 101.0, 5, id="s"), HONEST,
     ["opened 10 @100.0", "closed 15 @100.0 time_expired -0.39960039960038823%"]),
    ("19", {20: {"low": 90.0}}, Signal("long", 110.0, 85.0, None, 60, leverage=10.0, id="s"), REFERENCE,
     ["opened 10 @100.0", "closed 20 @90.3707511315119 liquidation -99.99999999999997%"]),
]  # fmt: skip


@pytest.mark.parametrize("drive", [fast_forward, step_by_step])
@pytest.mark.parametrize(
    ("changes", "signal", "terms", "expected"), [s[1:] for s in SCENARIOS], ids=[s[0] for s in SCENARIOS]
)
def test_a_scenario_ends_as_the_semantics_say(drive, changes, signal, terms, expected):
    for found, written in zip(life(drive, market(changes), signal, terms), expected, strict=True):
        assert same(found, written), found


def same(found: str, written: str) -> bool:
    """Equal words; equal numbers, to 1e-9."""
    pairs = zip(found.split(), written.split(), strict=True)
    return all(a == b or number(a) == pytest.approx(number(b), rel=1e-9) for a, b in pairs)


def number(word: str) -> float:
    return float(word.strip("@%"))


@pytest.mark.parametrize("drive", [fast_forward, step_by_step])
def test_scenario_20_a_position_without_a_time_limit_waits_for_its_take_profit(drive):
    signal = Signal("long", 110.0, 90.0, None, None, id="s")
    found = life(drive, market({2500: 111.0}, rows=2600), signal, REFERENCE)
    assert found[-1].startswith("closed 2504 @110.0 take_profit")


# ---- what may be skipped ---------------------------------------------------------------------------------------------

CALM = market({}, rows=400)


def active(minutes: int | None = None, stop: float = 98.0) -> Active:
    signal = replace(LONG, minute_estimated_time=minutes, price_stop_loss=stop)
    state, _ = settled(Idle(), Decided(START + 10 * MINUTE, 100.0, signal), TOUCH, SOURCE)
    assert isinstance(state, Active)
    return state


ORDER = Order("s/2", "average_buy", START, 95.0, 10.0)
POSITION = active().position
WAITING = Scheduled(LIMIT, START + 10 * MINUTE)


@pytest.mark.parametrize(
    ("state", "row"),
    [
        (Idle("r"), 400),
        (Idle("r", LIMIT), 400),
        (WAITING, 130),
        (replace(WAITING, scheduled_at=START - 500 * MINUTE), 10),
        (replace(WAITING, wish=SettleAtNext("cancel", START)), 10),
        (Opening(LONG, ORDER), 10),
        (Opening(LONG, replace(ORDER, refused=True)), 10),
        (Closing(POSITION, ORDER, "closed"), 10),
        (active(), 400),
        (active(minutes=60), 70),
        (active(minutes=1), 11),
        (Active(replace(POSITION, expires_at=START)), 10),
        (Active(replace(POSITION, expires_at=NEVER)), 400),
        (Active(replace(POSITION, expires_at=START + 20 * MINUTE + 1)), 21),
        (replace(active(), wish=LeaveAtNext("closed", START)), 10),
        (replace(active(), order=ORDER), 10),
    ],
)
def test_in_a_calm_market_the_next_loud_row_is_a_matter_of_state_and_time(state, row):
    assert quiet_until(state, CALM, 10, 400, Wanted.EVERYTHING, TOUCH) == row
    assert quiet_until(state, CALM, 10, 10, Wanted.EVERYTHING, TOUCH) == 10
    assert quiet_until(state, CALM, 10, min(row, 15), Wanted.NOTHING, TOUCH) == min(row, 15)


LOUD = market({40: 100.5, 60: 101.0, 80: 99.5, 100: 99.0, 120: 101.5}, rows=140)


@pytest.mark.parametrize(
    ("wanted", "row"),
    [
        (Wanted.NOTHING, 140),
        (Wanted.IDLE_PING, 140),
        (Wanted.SCHEDULE_PING, 140),
        (Wanted.HIGHEST_PROFIT, 44),
        (Wanted.ACTIVE_PING, 41),
        (Wanted.PROFIT_LEVEL, 41),
        (Wanted.BREAKEVEN, 60),
        (Wanted.MAX_DRAWDOWN, 83),
        (Wanted.LOSS_LEVEL, 83),
        (Wanted.BREAKEVEN | Wanted.LOSS_LEVEL, 60),
    ],
)
def test_only_a_notice_that_is_wanted_makes_a_row_loud(wanted, row):
    assert quiet_until(active(), LOUD, 10, 140, wanted, TOUCH) == row


@pytest.mark.parametrize(
    ("flag", "actions"),
    [
        (Wanted.NOTHING, set()),
        (Wanted.HIGHEST_PROFIT, {"highest_profit"}),
        (Wanted.MAX_DRAWDOWN, {"max_drawdown"}),
        (Wanted.BREAKEVEN, {"breakeven"}),
        (Wanted.PROFIT_LEVEL, {"partial_profit"}),
        (Wanted.LOSS_LEVEL, {"partial_loss"}),
        (Wanted.POSITION_CHANGES, {"highest_profit", "max_drawdown", "breakeven", "partial_profit", "partial_loss"}),
    ],
)
def test_a_driver_tells_facts_and_what_is_wanted_and_nothing_else(flag, actions):
    state, row, events = fast_forward(active(minutes=125), LOUD, 10, 140, flag, TOUCH, SOURCE)
    assert (type(state), row) == (Idle, 136)
    assert {event.action for event in events} == actions | {"closed"}


def test_what_is_heard_keeps_its_order():
    _, made = monitored(POSITION, Minute(START, 101.0, 101.0, 101.0, 101.0), TOUCH, SOURCE)
    assert heard(made, Wanted.EVERYTHING) == list(made)
    assert [type(each) for each in heard(made, Wanted.ACTIVE_PING | Wanted.HIGHEST_PROFIT)] == [
        HighestProfit,
        ActivePing,
    ]
    assert heard(made, Wanted.NOTHING) == []


def test_facts_are_heard_by_everybody():
    _, (event,) = settled(active(minutes=1), minute_at(CALM, 11), TOUCH, SOURCE)
    assert heard((event,), Wanted.NOTHING) == [event]
    assert type(event) is SignalClosed


@pytest.mark.parametrize("state", [Idle("r"), WAITING, Opening(LONG, ORDER), active()])
def test_absorbing_nothing_new_gives_back_the_very_same_state(state):
    assert absorb(state, CALM, 10, 100, TOUCH) is state
    assert absorb(state, LOUD, 50, 50, TOUCH) is state


def test_absorbing_keeps_the_first_candle_of_the_best_and_of_the_worst_price():
    state: State = absorb(active(), LOUD, 10, 115, TOUCH)
    assert ((state.position.peak.price, state.position.peak.time), state.position.profit_level) == (
        (101.0, LOUD.time(64)),
        50,
    )
    assert ((state.position.trough.price, state.position.trough.time), state.position.loss_level) == (
        (99.0, LOUD.time(104)),
        50,
    )


def test_a_driver_stops_at_the_row_on_which_its_book_comes_to_rest():
    state, row, events = fast_forward(active(minutes=60), CALM, 10, 400, Wanted.NOTHING, TOUCH, SOURCE)
    assert (type(state), row, len(events)) == (Idle, 71, 1)
    assert fast_forward(state, CALM, row, 400, Wanted.NOTHING, TOUCH, SOURCE) == (state, row, [])


def test_the_source_of_a_run_stands_in_all_of_its_events():
    other = Source("ETHUSDT", "other", "x", "f", "paper")
    _, _, events = fast_forward(active(minutes=125), LOUD, 10, 140, Wanted.POSITION_CHANGES, TOUCH, other)
    assert {event.source for event in events} == {other}
