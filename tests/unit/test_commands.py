"""Commands on an open position: the table of chapter 8, each row accepted and refused in every way that it names."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from backtest_kit.core.commands import apply_order, objection
from backtest_kit.core.inputs import Decided, Filled, LeaveAtNext, Manage, ManageKind, Refused
from backtest_kit.core.machine import decide, settled
from backtest_kit.core.position import Fill, Position, averaged, opened
from backtest_kit.core.state import Active, Closing, Idle, Opening, Order, Scheduled
from backtest_kit.core.values import Side, Signal, Terms
from tests.properties.markets import SOURCE, START

TERMS = Terms()
SIGNALS: dict[Side, Signal] = {
    "long": Signal("long", 110.0, 90.0, isolated=False, id="s"),
    "short": Signal("short", 90.0, 110.0, isolated=False, id="s"),
}
KINDS: list[ManageKind] = [
    "partial_profit", "partial_loss", "average_buy", "breakeven", "trailing_stop", "trailing_take"
]  # fmt: skip
TWO_ENTRIES = [100.0, 96.0]


def held(side: Side = "long", **parts) -> Position:
    return replace(opened(SIGNALS[side], START, 100.0, TERMS), **parts)


def why(kind: ManageKind, price: float, amount: float = 0.0, position: Position | None = None, **terms) -> str:
    return objection(held() if position is None else position, Manage(kind, START, price, amount), Terms(**terms))


def mirrored(price: float) -> float:
    return 200.0 - price


# Each row: command, price, amount, a part of the objection (empty: accepted). Of a long; a short is its mirror at 100.
TABLE = [
    ("partial_profit", 100.5, 50.0, ""),
    ("partial_profit", 109.5, 100.0, ""),
    ("partial_profit", 100.0, 50.0, "not in profit"),
    ("partial_profit", 99.0, 50.0, "not in profit"),
    ("partial_profit", 110.0, 50.0, "has reached the take profit"),
    ("partial_profit", 111.0, 50.0, "has reached the take profit"),
    ("partial_loss", 99.5, 50.0, ""),
    ("partial_loss", 90.5, 100.0, ""),
    ("partial_loss", 100.0, 50.0, "not in loss"),
    ("partial_loss", 101.0, 50.0, "not in loss"),
    ("partial_loss", 90.0, 50.0, "has reached the stop loss"),
    ("partial_loss", 89.0, 50.0, "has reached the stop loss"),
    ("average_buy", 99.5, 100.0, ""),
    ("average_buy", 100.0, 100.0, "no better than the entry"),
    ("average_buy", 100.5, 100.0, "no better than the entry"),
    ("breakeven", 101.0, 0.0, ""),
    ("breakeven", 100.5, 0.0, "has not reached"),
    ("breakeven", 99.0, 0.0, "has not reached"),
    ("trailing_stop", 100.0, -5.0, ""),
    ("trailing_stop", 95.0, -5.0, ""),
    ("trailing_stop", 94.5, -5.0, "has already passed"),
    ("trailing_stop", 105.0, -12.0, ""),
    ("trailing_stop", 112.0, -20.0, "at or beyond the take profit"),
    ("trailing_stop", 112.0, -21.0, "at or beyond the take profit"),
    ("trailing_stop", 100.0, 0.0, "no tighter"),
    ("trailing_stop", 100.0, 3.0, "no tighter"),
    ("trailing_take", 100.0, -5.0, ""),
    ("trailing_take", 100.0, 5.0, ""),
    ("trailing_take", 105.5, -5.0, "has already passed"),
    ("trailing_take", 85.0, -20.0, "at or beyond the stop"),
    ("trailing_take", 85.0, -21.0, "at or beyond the stop"),
]


@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize(("kind", "price", "amount", "objected"), TABLE)
def test_a_command_is_accepted_or_refused_as_the_table_says(side, kind, price, amount, objected):
    found = why(kind, price if side == "long" else mirrored(price), amount, held(side))
    assert objected in found if objected else found == ""


@pytest.mark.parametrize(("price", "accepted"), [(100.6, True), (100.59, False)])
def test_breakeven_asks_for_twice_all_costs_and_a_rest(price, accepted):
    assert (why("breakeven", price) == "") is accepted


def test_breakeven_asks_for_more_where_more_is_charged():
    assert why("breakeven", 101.0, slippage_percent=0.5, fee_percent=0.1)
    assert not why("breakeven", 101.4, slippage_percent=0.5, fee_percent=0.1)


@pytest.mark.parametrize("stop", [100.0, 100.5, 105.0])
def test_breakeven_leaves_a_stop_alone_that_is_at_the_entry_or_better(stop):
    assert "already stands" in why("breakeven", 107.0, position=held(price_stop_loss=stop))


@pytest.mark.parametrize("take", [100.0, 99.0])
def test_breakeven_is_refused_where_the_take_does_not_stand_beyond_the_entry(take):
    assert "does not stand beyond" in why("breakeven", 101.0, position=held(price_take_profit=take))


def test_an_average_buy_has_to_be_better_than_every_earlier_entry():
    position = averaged(held(), START, 96.0, 100.0, TERMS)
    assert "the entry at 96.0" in why("average_buy", 97.0, 100.0, position)
    assert why("average_buy", 95.0, 100.0, position) == ""


def test_commands_are_judged_by_the_effective_entry():
    position = averaged(held(), START, 96.0, 100.0, TERMS)
    assert position.effective_price < 98.0
    assert why("partial_profit", 98.0, 50.0, position) == ""
    assert "not in loss" in why("partial_loss", 98.0, 50.0, position)


@pytest.mark.parametrize(
    ("switch", "kind", "price", "amount"),
    [
        ("partials_everywhere", "partial_profit", 95.0, 50.0),
        ("partials_everywhere", "partial_loss", 105.0, 50.0),
        ("dca_everywhere", "average_buy", 105.0, 50.0),
        ("trailing_everywhere", "trailing_stop", 100.0, 3.0),
    ],
)
def test_a_switch_drops_the_rule_of_direction_of_its_own_commands_only(switch, kind, price, amount):
    others = {"partials_everywhere", "dca_everywhere", "trailing_everywhere"} - {switch}
    assert why(kind, price, amount, **{switch: True}) == ""
    assert why(kind, price, amount, **dict.fromkeys(others, True)) != ""


@pytest.mark.parametrize(
    ("kind", "price", "amount"),
    [
        ("partial_profit", 110.0, 50.0),
        ("partial_loss", 90.0, 50.0),
        ("trailing_stop", 94.5, -5.0),
        ("trailing_stop", 112.0, -20.0),
        ("trailing_take", 105.5, -5.0),
        ("trailing_take", 85.0, -20.0),
    ],
)
def test_no_switch_lets_a_command_pass_a_level_or_cross_the_levels(kind, price, amount):
    assert why(kind, price, amount, dca_everywhere=True, partials_everywhere=True, trailing_everywhere=True)


def test_the_first_trailing_take_may_go_further_and_a_later_one_only_nearer():
    moved = held(price_take_profit=108.0, take_trailed=True)
    assert "no nearer" in why("trailing_take", 100.0, -1.0, moved)
    assert "no nearer" in why("trailing_take", 100.0, 5.0, moved)
    assert why("trailing_take", 100.0, -3.0, moved) == ""
    assert why("trailing_take", 100.0, 5.0, moved, trailing_everywhere=True) == ""


def test_a_trailing_take_to_where_the_take_stands_is_not_nearer():
    _, _, position = applied("trailing_take", 100.0, -5.0)
    assert "no nearer" in why("trailing_take", 100.0, -5.0, position)


# ---- what an accepted command does -----------------------------------------------------------------------------------


def active(side: Side = "long") -> Active:
    state, _ = settled(Idle(), Decided(START, 100.0, SIGNALS[side]), TERMS, SOURCE)
    assert isinstance(state, Active)
    return state


def applied(kind: ManageKind, price: float, amount: float = 0.0, side: Side = "long"):
    state = active(side)
    after, (event,) = settled(state, Manage(kind, START + 5, price, amount), TERMS, SOURCE)
    assert isinstance(after, Active)
    return state.position, event, after.position


@pytest.mark.parametrize(
    ("side", "kind", "price", "amount", "stop", "take"),
    [
        ("long", "breakeven", 101.0, 0.0, 100.0, 110.0),
        ("short", "breakeven", 99.0, 0.0, 100.0, 90.0),
        ("long", "trailing_stop", 100.0, -8.0, 98.0, 110.0),
        ("long", "trailing_stop", 105.0, -12.0, 102.0, 110.0),
        ("short", "trailing_stop", 100.0, -8.0, 102.0, 90.0),
        ("long", "trailing_take", 100.0, -4.0, 90.0, 106.0),
        ("long", "trailing_take", 100.0, 5.0, 90.0, 115.0),
        ("short", "trailing_take", 100.0, -4.0, 110.0, 94.0),
    ],
)
def test_a_command_moves_its_level_and_nothing_else(side, kind, price, amount, stop, take):
    before, event, after = applied(kind, price, amount, side)
    assert after.price_stop_loss == pytest.approx(stop, rel=1e-12)
    assert after.price_take_profit == pytest.approx(take, rel=1e-12)
    moved = {"price_stop_loss", "price_take_profit", "operations", "stop_trailed", "take_trailed"}
    for field in set(after.__struct_fields__) - moved:
        assert getattr(after, field) == getattr(before, field)
    assert (after.stop_trailed, after.take_trailed) == (kind == "trailing_stop", kind == "trailing_take")
    assert event.position == after


def test_a_trailing_shift_counts_from_the_original_distance_each_time():
    _, _, once = applied("trailing_stop", 105.0, -8.0)
    state, _ = settled(Active(once), Manage("trailing_stop", START, 105.0, -12.0), TERMS, SOURCE)
    assert state.position.price_stop_loss == 102.0


def test_the_event_of_an_accepted_command_says_what_was_asked_and_what_came_of_it():
    before, event, after = applied("partial_profit", 105.0, 25.0)
    assert (event.command, event.price, event.amount, event.accepted, event.reason) == (
        "partial_profit", 105.0, 25.0, True, ""
    )  # fmt: skip
    assert (event.time, event.source, event.position, event.signal) == (START + 5, SOURCE, after, before.signal)
    assert after.held_percent == 75.0


@pytest.mark.parametrize(
    ("kind", "price", "sold"), [("partial_profit", 105.0, "profit"), ("partial_loss", 95.0, "loss")]
)
def test_a_partial_exit_is_written_down_by_its_kind(kind, price, sold):
    _, _, after = applied(kind, price, 40.0)
    assert [(leg.kind, leg.percent, leg.price) for leg in after.exits] == [(sold, 40.0, price)]


def test_parts_are_parts_of_what_is_held_so_no_more_than_all_is_ever_sold():
    state = active()
    for _ in range(30):
        state, (event,) = settled(state, Manage("partial_profit", START, 105.0, 60.0), TERMS, SOURCE)
        assert event.accepted
        assert 0 < state.position.held_percent < 100
        assert sum(leg.basis * leg.percent / 100 for leg in state.position.exits) <= 100.0


def test_selling_the_last_rest_asks_for_the_close_at_the_next_candle():
    state, (event,) = settled(active(), Manage("partial_profit", START + 5, 105.0, 100.0), TERMS, SOURCE)
    assert event.accepted
    assert state.wish == LeaveAtNext("closed", START + 5)


def test_a_position_of_which_all_is_sold_takes_no_further_command():
    state, _ = settled(active(), Manage("partial_profit", START, 105.0, 100.0), TERMS, SOURCE)
    prices = {"partial_profit": 105.0, "partial_loss": 95.0, "average_buy": 95.0, "breakeven": 101.0}
    for kind in KINDS:
        after, (event,) = settled(state, Manage(kind, START, prices.get(kind, 105.0), -4.0), TERMS, SOURCE)
        assert not event.accepted, kind
        assert after is state


# ---- refusals, and answers that take time ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_command_changes_nothing_and_says_why(kind):
    state = active()
    prices = {"partial_profit": 99.0, "partial_loss": 101.0, "average_buy": 101.0, "breakeven": 100.0}
    given = Manage(kind, START + 5, prices.get(kind, 120.0), -40.0)
    after, (event,) = decide(state, given, TERMS, SOURCE)
    assert after is state
    assert (event.command, event.accepted, event.position) == (kind, False, state.position)
    assert event.reason


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "state",
    [
        Idle(),
        Scheduled(SIGNALS["long"], START),
        Opening(SIGNALS["long"], Order("s/1", "open", START, 100.0)),
        Closing(held(), Order("s/2", "close", START, 100.0), "closed"),
    ],
    ids=lambda state: type(state).__name__,
)
def test_where_nothing_is_open_every_command_is_refused(kind, state):
    after, (event,) = decide(state, Manage(kind, START, 101.0, 1.0), TERMS, SOURCE)
    assert after is state
    assert (event.accepted, event.reason) == (False, "nothing is open")


@pytest.mark.parametrize("kind", KINDS)
def test_d8_a_second_command_waits_for_the_answer_to_the_first(kind):
    asking, made = decide(active(), Manage("partial_profit", START, 105.0, 50.0), TERMS, SOURCE)
    assert made == ()
    after, (event,) = decide(asking, Manage(kind, START, 105.0, 50.0), TERMS, SOURCE)
    assert after is asking
    assert event.reason == "an earlier order has no answer yet"


def test_an_accepted_command_is_a_question_first_and_changes_the_position_only_when_answered():
    state = active()
    asking, made = decide(state, Manage("average_buy", START + 5, 95.0, 50.0), TERMS, SOURCE)
    assert made == ()
    assert asking.order == Order("s/2", "average_buy", START + 5, 95.0, 50.0)
    assert asking.position == replace(state.position, operations=2)
    after, (event,) = decide(asking, Filled("s/2", START + 9), TERMS, SOURCE)
    assert (after.order, len(after.position.entries), event.time) == (None, 2, START + 5)


def test_a_command_that_the_broker_refuses_is_dropped_and_its_id_is_spent():
    asking, _ = decide(active(), Manage("average_buy", START, 95.0, 50.0), TERMS, SOURCE)
    after, (event,) = decide(asking, Refused("s/2", START + 9, "no money"), TERMS, SOURCE)
    assert (after.order, after.position.entries) == (None, active().position.entries)
    assert (event.command, event.accepted, event.reason, event.time) == ("average_buy", False, "no money", START + 9)
    again, _ = decide(after, Manage("average_buy", START, 95.0, 50.0), TERMS, SOURCE)
    assert again.order.id == "s/3"


@pytest.mark.parametrize(("quantity", "percent"), [(0.5, 50.0), (0.3, 30.0), (1.0, 100.0), (7.0, 100.0)])
def test_d12_a_partial_exit_sells_what_was_really_filled_and_never_more_than_is_held(quantity, percent):
    order = Order("s/2", "partial_profit", START, 105.0, 50.0)
    after, _ = apply_order(held(), order, Fill(106.0, quantity), TERMS, SOURCE)
    assert after.exits[0].percent == pytest.approx(percent)
    assert after.exits[0].price == 106.0
    assert after.held_percent == pytest.approx(100 - percent)


def test_d12_an_average_buy_puts_in_what_was_really_filled():
    order = Order("s/2", "average_buy", START, 95.0, 100.0)
    after, _ = apply_order(held(), order, Fill(94.0, 0.5, fee=0.1), TERMS, SOURCE)
    assert (after.entries[1].price, after.entries[1].cost) == (94.0, 47.0)
    assert after.coins == 1.5
