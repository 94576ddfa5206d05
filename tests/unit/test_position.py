"""An open position: the numbers of chapters 7 and 11 of the semantics, entry by entry and part by part."""

from __future__ import annotations

import math

import pytest
from msgspec.structs import replace

from backtest_kit.core.events import Event
from backtest_kit.core.inputs import Decided, Manage, ManageKind
from backtest_kit.core.machine import settled
from backtest_kit.core.position import (
    Extreme,
    Fill,
    Position,
    averaged,
    opened,
    profit,
    profit_percent,
    reduced,
    sum_left,
    with_closing_price,
    with_liquidation,
)
from backtest_kit.core.state import Active, Idle, State
from backtest_kit.core.values import MINUTE, NEVER, Side, Signal, Terms
from tests.properties.markets import SOURCE, START, flat

TERMS = Terms()
REFERENCE = Terms(exit_rule="stop_touch", fill_rule="level")
FREE = Terms(slippage_percent=0.0, fee_percent=0.0)


def held(side: Side = "long", price: float = 100.0, terms: Terms = TERMS, **parts) -> Position:
    far = (price * 1.5, price * 0.5) if side == "long" else (price * 0.5, price * 1.5)
    return opened(Signal(side, *far, id="s", **parts), START, price, terms)


@pytest.mark.parametrize(
    ("side", "leverage", "price", "percent"),
    [
        ("long", 1.0, 110.0, 9.570439560439567),
        ("long", 1.0, 90.0, -10.369640359640359),
        ("long", 1.0, 100.0, -0.39960039960038823),
        ("short", 1.0, 90.0, 9.629639639639656),
        ("short", 1.0, 100.0, -0.40040040040038904),
        ("long", 5.0, 110.0, 47.852197802197836),
        ("long", 1.0, 102.0, 1.5944075924075942),
        ("long", 1.0, 98.0, -2.3936083916083852),
        ("long", 1.0, 100.3, -0.10049920079920224),
        ("short", 1.0, 98.0, 1.6056076076076284),
        ("short", 1.0, 102.0, -2.4064084084083923),
        ("long", 1.0, 105.0, 4.585419580419582),
    ],
)
def test_a_position_opened_at_100_and_left_at_a_price_pays_exactly(side, leverage, price, percent):
    assert profit_percent(held(side, leverage=leverage), price, TERMS) == percent


def test_half_left_at_105_and_the_rest_at_110_pays_both_halves():
    half = reduced(held(), START, 105.0, 50.0, "profit", TERMS)
    assert profit(half, 110.0, TERMS).percent == pytest.approx(7.077929570429574, rel=1e-12)


def test_two_entries_pay_from_their_effective_price():
    two = averaged(held(), START, 95.0, 100.0, TERMS)
    assert two.effective_price == 97.43589743589745
    made = profit(two, 110.0, TERMS)
    assert made.percent == pytest.approx(12.4565037593985, rel=1e-12)
    assert made.cost == pytest.approx(24.913007518797, rel=1e-12)
    assert (made.price_open, made.price_close, made.invested) == (two.effective_price, 110.0, 200.0)


@pytest.mark.parametrize(("side", "level"), [("long", 90.3707511315119), ("short", 109.5708487316879)])
def test_e4_ten_times_leverage_from_100_is_liquidated_at(side, level):
    found = held(side, leverage=10.0).liquidation_price
    assert found == pytest.approx(level, rel=1e-12)
    assert profit_percent(held(side, leverage=10.0), level, TERMS) == pytest.approx(-100.0, rel=1e-9)


def test_e4_the_liquidated_long_of_scenario_19_has_lost_all_its_money():
    position = held(leverage=10.0)
    assert position.liquidation_price == 90.3707511315119
    assert profit_percent(position, 90.3707511315119, TERMS) == pytest.approx(-99.99999999999997, abs=1e-12)


def test_money_without_leverage_cannot_be_lost_by_a_long_above_zero():
    assert held(terms=FREE).liquidation_price is None
    assert held(leverage=10.0, isolated=False).liquidation_price is None
    assert held("short", terms=FREE).liquidation_price == pytest.approx(200.0)


def test_a_position_that_holds_nothing_has_no_liquidation_price():
    sold = reduced(held(leverage=10.0), START, 101.0, 100.0, "profit", TERMS)
    assert sold.liquidation_price is None
    assert with_liquidation(sold, TERMS) is sold


@pytest.mark.parametrize(
    ("side", "stop", "level"),
    [
        ("long", 85.0, 90.3707511315119),
        ("long", 95.0, 95.0),
        ("short", 115.0, 109.5708487316879),
        ("short", 105.0, 105.0),
    ],
)
def test_the_stop_of_an_isolated_position_is_whichever_level_the_market_meets_first(side, stop, level):
    position = replace(held(side, leverage=10.0), price_stop_loss=stop)
    assert position.stop_level == pytest.approx(level, rel=1e-12)
    assert replace(position, liquidation_price=None).stop_level == stop


def test_an_opening_is_the_first_peak_at_nothing_and_the_first_trough_at_the_costs():
    position = held()
    assert position.peak == Extreme(100.0, START, 0.0)
    assert position.trough == Extreme(100.0, START, -0.39960039960038823)
    assert (position.basis, position.coins, position.held_percent, position.operations) == (100.0, 1.0, 100.0, 1)
    assert (position.price_open, position.pending_at, position.expires_at) == (100.0, START, START + 1440 * MINUTE)


def test_a_position_without_a_time_limit_never_expires():
    assert held(minute_estimated_time=None).expires_at == NEVER


def test_an_exit_remembers_what_it_was_taken_from():
    two = averaged(held(), START, 50.0, 100.0, TERMS)
    after = reduced(two, START + 7, 80.0, 25.0, "loss", TERMS)
    (leg,) = after.exits
    assert (leg.time, leg.price, leg.percent, leg.kind) == (START + 7, 80.0, 25.0, "loss")
    assert (leg.basis, leg.entry_price, leg.fill) == (200.0, two.effective_price, None)
    assert (after.basis, after.coins, after.held_percent) == (150.0, 2.25, 75.0)


def test_a_position_of_which_all_is_sold_keeps_the_entry_price_of_its_last_part():
    sold = reduced(averaged(held(), START, 50.0, 100.0, TERMS), START, 80.0, 100.0, "loss", TERMS)
    assert (sold.basis, sold.coins, sold.held_percent) == (0.0, 0.0, 0.0)
    assert sold.effective_price == sold.exits[-1].entry_price == 200 / 3
    assert profit_percent(sold, 1.0, TERMS) == profit_percent(sold, 1000.0, TERMS)


def test_an_average_buy_after_a_part_was_sold_counts_what_is_still_held():
    half = reduced(held(), START, 105.0, 50.0, "profit", TERMS)
    after = averaged(half, START, 80.0, 100.0, TERMS)
    assert (after.basis, after.coins) == (150.0, 1.75)
    assert after.effective_price == 150 / 1.75
    assert after.invested == 200.0


@pytest.mark.parametrize(
    ("percent", "peak", "trough"),
    [
        (-5.0, 0.0, -5.0),
        (-0.1, 0.0, -0.39960039960038823),
        (0.0, 0.0, -0.39960039960038823),
        (3.0, 3.0, -0.39960039960038823),
    ],
)
def test_the_closing_price_is_folded_into_peak_and_trough_by_what_it_pays(percent, peak, trough):
    after = with_closing_price(held(), START + 9, 123.0, percent)
    assert (after.peak.percent, after.trough.percent) == (peak, trough)
    if percent in (-5.0, 3.0):
        assert Extreme(123.0, START + 9, percent) in (after.peak, after.trough)
    else:
        assert after == held()


def test_sums_are_added_from_left_to_right_on_every_python():
    assert sum_left([1e100, 1.0, -1e100]) == 0.0
    assert sum_left([]) == 0.0


# ---- real fills ------------------------------------------------------------------------------------------------------


def test_a_real_fill_of_the_entry_replaces_price_money_and_costs():
    position = opened(Signal("long", 150.0, 50.0, id="s"), START, 100.0, TERMS, Fill(101.0, 0.99, fee=0.5))
    (entry,) = position.entries
    assert (entry.price, entry.cost, position.price_open) == (101.0, 101.0 * 0.99, 101.0)
    assert position.coins == pytest.approx(0.99)
    cash = 0.99 * (110.0 - 101.0) - 0.5 - 0.2
    assert profit(position, 0.0, TERMS, Fill(110.0, 0.99, fee=0.2)).cost == pytest.approx(cash, rel=1e-12)


def test_a_real_fill_of_a_leveraged_entry_puts_in_a_share_of_its_amount():
    position = opened(Signal("long", 150.0, 50.0, leverage=5.0, id="s"), START, 100.0, TERMS, Fill(100.0, 5.0))
    assert position.invested == 100.0
    assert position.coins * 5.0 == 5.0


@pytest.mark.parametrize("leverage", [1.0, 5.0])
def test_a_real_fee_is_paid_once_whatever_the_leverage(leverage):
    signal = Signal("long", 150.0, 50.0, leverage=leverage, isolated=False, id="s")
    position = opened(signal, START, 100.0, TERMS, Fill(100.0, leverage, fee=0.5))
    made = profit(position, 0.0, TERMS, Fill(100.0, leverage, fee=0.25))
    assert made.cost == pytest.approx(-0.75, rel=1e-12)


def test_a_part_that_was_really_filled_pays_what_was_filled():
    position = opened(
        Signal("short", 50.0, 150.0, isolated=False, id="s"), START, 100.0, TERMS, Fill(100.0, 2.0, fee=0.1)
    )
    parted = reduced(position, START, 0.0, 50.0, "profit", TERMS, Fill(90.0, 1.0, fee=0.2))
    assert parted.exits[0].price == 90.0
    made = profit(parted, 0.0, TERMS, Fill(95.0, 1.0, fee=0.3))
    assert made.cost == pytest.approx(10.0 + 5.0 - 0.1 - 0.2 - 0.3, rel=1e-12)
    assert made.price_close == 95.0


# ---- the scenarios about commands (chapter 11, 15–18) ----------------------------------------------------------------


def trade(take: float, stop: float, prices: list[float]) -> tuple[State, list[Event]]:
    """A long from 100 in the reference's rules, and a candle at each price."""
    state, made = settled(Idle(), Decided(START, 100.0, Signal("long", take, stop, id="s")), REFERENCE, SOURCE)
    return carried_on(state, list(made), prices)


def carried_on(state: State, events: list[Event], prices: list[float]) -> tuple[State, list[Event]]:
    for minute, price in enumerate(prices):
        state, made = settled(state, flat(minute, price), REFERENCE, SOURCE)
        events = [*events, *made]
    return state, events


def told(state: State, kind: ManageKind, price: float, amount: float = 0.0):
    state, (event,) = settled(state, Manage(kind, START, price, amount), REFERENCE, SOURCE)
    return state, event


def test_scenario_15_an_average_buy_in_a_fall_and_the_take_profit_after_it():
    state, _ = trade(110.0, 90.0, [95.0])
    state, event = told(state, "average_buy", 95.0, 100.0)
    assert event.accepted
    assert state.position.effective_price == 97.43589743589745
    state, again = told(state, "average_buy", 95.0, 100.0)
    assert not again.accepted
    _, events = carried_on(state, [], [111.0])
    assert events[-1].close_reason == "take_profit"
    assert events[-1].pnl.percent == pytest.approx(12.4565037593985, rel=1e-12)


def test_scenario_16_selling_all_of_it_closes_the_position():
    state, _ = trade(110.0, 90.0, [105.0])
    state, event = told(state, "partial_profit", 105.0, 100.0)
    assert event.accepted
    state, events = carried_on(state, [], [104.0])
    assert type(state) is Idle
    assert events[-1].close_reason == "closed"
    assert events[-1].pnl.percent == 4.585419580419582


def test_scenario_17_a_trailing_stop_only_ever_tightens():
    state, _ = trade(110.0, 90.0, [105.0])
    stops = []
    for shift in (-8.0, -5.0, -12.0):
        state, event = told(state, "trailing_stop", 105.0, shift)
        stops.append((event.accepted, state.position.price_stop_loss))
    assert stops == [(True, 98.0), (False, 98.0), (True, 102.0)]


def test_scenario_18_breakeven_moves_the_stop_to_the_entry_and_it_costs_the_costs():
    state, _ = trade(110.0, 90.0, [101.0])
    state, event = told(state, "breakeven", 101.0)
    assert event.accepted
    assert state.position.price_stop_loss == 100.0
    _, events = carried_on(state, [], [99.0])
    assert (events[-1].close_reason, events[-1].price) == ("stop_loss", 100.0)
    assert events[-1].pnl.percent == -0.39960039960038823


def test_what_a_position_pays_is_a_finite_number_for_every_price_that_can_be():
    for price in (1e-12, 1.0, 1e12):
        assert all(math.isfinite(profit_percent(held(side), price, TERMS)) for side in ("long", "short"))
    assert isinstance(trade(110.0, 90.0, [])[0], Active)
