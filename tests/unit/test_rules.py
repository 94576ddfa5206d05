"""The comparisons of the trade, at, above and below each level; both sides."""

from __future__ import annotations

import numpy as np
import pytest

from backtest_kit.core import rules
from backtest_kit.core.values import MINUTE, NEVER


@pytest.mark.parametrize(("sign", "price", "falls", "rises"), [
    (1, 99.0, True, False), (1, 100.0, True, True), (1, 101.0, False, True),
    (-1, 99.0, False, True), (-1, 100.0, True, True), (-1, 101.0, True, False),
])  # fmt: skip
def test_a_level_that_is_touched_exactly_is_reached_from_both_sides(sign, price, falls, rises):
    assert rules.falls_to(sign, price, 100.0) is falls
    assert rules.rises_to(sign, price, 100.0) is rises
    assert rules.falls_to(sign, np.array([price]), 100.0).tolist() == [falls]
    assert rules.rises_to(sign, np.array([price]), 100.0).tolist() == [rises]


@pytest.mark.parametrize(
    ("sign", "price", "gain"), [(1, 103.0, 3.0), (1, 98.0, -2.0), (-1, 103.0, -3.0), (-1, 98.0, 2.0)]
)
def test_a_gain_is_how_far_the_price_ran_in_favour(sign, price, gain):
    assert rules.gain(sign, price, 100.0) == gain


@pytest.mark.parametrize(("sign", "price", "peak", "is_new"), [
    (1, 101.0, 100.0, True), (1, 100.0, 90.0, False), (1, 101.0, 101.0, False), (1, 102.0, 101.0, True),
    (-1, 99.0, 100.0, True), (-1, 100.0, 110.0, False), (-1, 99.0, 99.0, False), (-1, 98.0, 99.0, True),
])  # fmt: skip
def test_a_new_peak_is_better_than_the_entry_and_than_every_price_so_far(sign, price, peak, is_new):
    assert rules.is_new_peak(sign, price, 100.0, peak) is is_new
    assert rules.is_new_trough(-sign, price, 100.0, peak) is is_new


@pytest.mark.parametrize(("price", "start", "goal", "percent"), [
    (105.0, 100.0, 110.0, 50.0), (95.0, 100.0, 90.0, 50.0), (100.0, 100.0, 110.0, 0.0),
    (120.0, 100.0, 110.0, 200.0), (95.0, 100.0, 110.0, -50.0),
])  # fmt: skip
def test_progress_is_the_share_of_the_way_and_may_lie_outside_of_it(price, start, goal, percent):
    assert rules.progress_percent(price, start, goal) == percent


@pytest.mark.parametrize(("progress", "level"), [
    (-50.0, 0), (0.0, 0), (9.999, 0), (10.0, 10), (19.999, 10), (20.0, 20), (99.999, 90), (100.0, 100), (1e300, 100),
    (float("inf"), 100), (float("-inf"), 0), (float("nan"), 0), (np.nextafter(30.0, 0), 20),
])  # fmt: skip
def test_milestones_are_tens_from_0_to_100(progress, level):
    assert rules.level_of(progress) == level


@pytest.mark.parametrize(
    ("sign", "percent", "price"), [(1, 10.0, 110.0), (-1, 10.0, 90.0), (1, -10.0, 90.0), (-1, -10.0, 110.0)]
)
def test_a_price_is_shifted_in_the_favour_of_its_side(sign, percent, price):
    assert rules.shifted(100.0, sign, percent) == pytest.approx(price, rel=1e-15)


def test_a_life_of_so_many_minutes_is_over_at_the_candle_that_opens_then():
    assert rules.expiry(MINUTE, 5) == 6 * MINUTE
    assert rules.expiry(MINUTE, None) == NEVER


def test_of_two_prices_one_is_farther_from_the_stop_and_one_nearer_to_it():
    for one, other in ((90.0, 95.0), (95.0, 90.0)):
        assert (rules.farther_from_stop(1, one, other), rules.nearer_to_stop(1, one, other)) == (95.0, 90.0)
        assert (rules.farther_from_stop(-1, one, other), rules.nearer_to_stop(-1, one, other)) == (90.0, 95.0)
