"""What an open position notices on a candle on which it stays open: kinds, order, what each notice shows."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from backtest_kit.core.monitor import breakeven_price, folded, monitored
from backtest_kit.core.position import Extreme, Position, averaged, opened
from backtest_kit.core.values import MINUTE, Side, Signal, Terms
from tests.properties.markets import SOURCE, START, flat

TERMS = Terms()


def held(side: Side = "long", **parts) -> Position:
    levels = (110.0, 90.0) if side == "long" else (90.0, 110.0)
    return replace(opened(Signal(side, *levels, isolated=False, id="s"), START, 100.0, TERMS), **parts)


def notices(position: Position, price: float, minute: int = 7) -> tuple[Position, list[str]]:
    after, events = monitored(position, flat(minute, price), TERMS, SOURCE)
    return after, [f"{event.action} {getattr(event, 'level', '')}".strip() for event in events]


def distance(side: Side, points: float) -> float:
    return 100.0 + points if side == "long" else 100.0 - points


@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (0.0, ["active"]),
        (0.1, ["active"]),
        (0.5, ["highest_profit", "active"]),
        (0.7, ["highest_profit", "active", "breakeven"]),
        (1.0, ["highest_profit", "active", "breakeven", "partial_profit 10"]),
        (3.5, ["highest_profit", "active", "breakeven", *(f"partial_profit {k}" for k in (10, 20, 30))]),
        (-0.1, ["max_drawdown", "active"]),
        (-1.0, ["max_drawdown", "active", "partial_loss 10"]),
        (-2.5, ["max_drawdown", "active", "partial_loss 10", "partial_loss 20"]),
    ],
)
def test_notices_come_in_their_order_extreme_ping_breakeven_milestones(side, points, expected):
    assert notices(held(side), distance(side, points))[1] == expected


@pytest.mark.parametrize(("points", "action", "count"), [(15.0, "partial_profit", 10), (-15.0, "partial_loss", 10)])
def test_milestones_end_at_a_hundred(points, action, count):
    after, made = notices(held(), distance("long", points))
    assert [each for each in made if each.startswith(action)] == [f"{action} {k}" for k in range(10, 101, 10)]
    assert max(after.profit_level, after.loss_level) == count * 10


@pytest.mark.parametrize("points", [3.5, -2.5])
def test_each_notice_is_made_once(points):
    after, _ = notices(held(), distance("long", points))
    again, made = notices(after, distance("long", points), minute=8)
    assert again is after
    assert made == ["active"]


def test_a_milestone_that_was_passed_is_not_passed_again_after_a_return():
    after, _ = notices(held(), 103.5)
    after, made = notices(after, 101.0)
    assert made == ["active"]
    assert notices(after, 104.0)[1] == ["highest_profit", "active", "partial_profit 40"]


def test_a_profit_before_costs_that_is_none_after_them_is_no_peak():
    after, made = notices(held(), 100.3)
    assert made == ["active"]
    assert after.peak == Extreme(100.0, START, 0.0)


def test_peak_and_trough_say_when_at_which_price_and_what_leaving_would_have_paid():
    up, _ = notices(held(), 110.0, minute=3)
    assert up.peak == Extreme(110.0, START + 3 * MINUTE, 9.570439560439567)
    down, _ = notices(up, 95.0, minute=5)
    assert (down.peak, down.trough.price, down.trough.time) == (up.peak, 95.0, START + 5 * MINUTE)


def test_new_worst_compares_prices_and_not_what_they_pay():
    """At the opening the trough already has the costs in it; a price a little worse is a new worst one all the same."""
    after, made = notices(held(), 99.99)
    assert made == ["max_drawdown", "active"]
    assert after.trough.price == 99.99


def test_a_ping_shows_the_peak_of_its_own_candle_and_no_milestone_of_it():
    _, events = monitored(held(), flat(3, 103.5), TERMS, SOURCE)
    peak, ping, breakeven, *milestones = events
    assert ping.position == peak.position
    assert (ping.position.peak.price, ping.position.profit_level, ping.position.breakeven_reached) == (103.5, 0, False)
    assert breakeven.position.breakeven_reached
    assert (
        [event.position.profit_level for event in milestones] == [event.level for event in milestones] == [10, 20, 30]
    )
    assert ping.pnl.percent == peak.position.peak.percent


@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize("past", [0.0, 2.0])
def test_no_loss_milestone_is_made_once_the_stop_stands_at_the_entry_or_past_it(side, past):
    position = held(side, price_stop_loss=distance(side, past))
    assert notices(position, distance(side, -5.0))[1] == ["max_drawdown", "active"]


def test_no_profit_milestone_is_made_where_the_take_does_not_stand_beyond_the_entry():
    assert "partial_profit" not in " ".join(notices(held(price_take_profit=100.0), 105.0)[1])


def test_distances_count_from_the_effective_entry_and_the_levels_as_they_are_now():
    position = replace(averaged(held(), START, 50.0, 100.0, TERMS), price_take_profit=70.0, price_stop_loss=60.0)
    entry = position.effective_price
    assert notices(position, entry)[1] == ["active"]
    assert notices(position, entry + (70.0 - entry) * 0.55)[1][-1] == "partial_profit 50"
    assert notices(position, entry - (entry - 60.0) * 0.35)[1][-1] == "partial_loss 30"


@pytest.mark.parametrize(("side", "price"), [("long", 100.6), ("short", 99.4)])
def test_breakeven_is_reached_at_its_price_exactly(side, price):
    assert breakeven_price(held(side), TERMS) == pytest.approx(price, rel=1e-12)
    at = breakeven_price(held(side), TERMS)
    assert notices(held(side), at)[0].breakeven_reached
    assert not notices(held(side), distance(side, 0.5999))[0].breakeven_reached


def test_a_span_folds_into_its_best_and_its_worst_price():
    position, prices = held(), [99.0, 104.0, 97.5, 104.0, 97.5, 101.0]
    for minute, price in enumerate(prices):
        position, _ = monitored(position, flat(minute, price), TERMS, SOURCE)
    assert folded(held(), np.array(prices), START, TERMS) == position
    assert (position.profit_level, position.loss_level, position.breakeven_reached) == (40, 20, True)


@pytest.mark.parametrize("price", [100.0, 100.2])
def test_a_span_without_anything_new_leaves_the_very_same_position(price):
    position = held()
    assert folded(position, np.array([100.0, price]), START, TERMS) is position


def test_a_position_remembers_when_it_passed_each_milestone_first():
    position, prices = held(), [99.0, 101.2, 104.0, 97.5, 104.0, 105.0]
    for minute, price in enumerate(prices):
        position, _ = monitored(position, flat(minute, price), TERMS, SOURCE)
    passed = [(each.kind, each.level, (each.time - START) // MINUTE, each.price) for each in position.milestones]
    assert passed == [
        ("loss", 10, 0, 99.0),
        ("breakeven", 0, 1, 101.2),
        ("profit", 10, 1, 101.2),
        *(("profit", level, 2, 104.0) for level in (20, 30, 40)),
        ("loss", 20, 3, 97.5),
        ("profit", 50, 5, 105.0),
    ]
    assert folded(held(), np.array(prices), START, TERMS) == position
