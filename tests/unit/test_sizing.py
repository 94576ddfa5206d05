"""How much to buy, by three methods, with a minimum and caps."""

from __future__ import annotations

from math import inf, nan

import pytest

from backtest_kit.core.sizing import Sizing, atr, fixed_percentage, kelly, quantity
from backtest_kit.errors import ConfigError, UnknownNameError


def test_fixed_percentage_loses_its_share_of_the_balance_at_the_stop():
    units = fixed_percentage(10_000, 1, price_open=100, price_stop_loss=95)
    assert units == 20
    assert units * (100 - 95) == 10_000 * 0.01
    assert fixed_percentage(10_000, 1, price_open=95, price_stop_loss=100) == units


def test_kelly_stakes_a_quarter_of_the_full_stake():
    assert kelly(10_000, 100, win_rate=0.6, win_loss_ratio=2) == pytest.approx(10_000 * 0.4 * 0.25 / 100)
    assert kelly(10_000, 100, win_rate=0.6, win_loss_ratio=2, fraction=1) == pytest.approx(40)


@pytest.mark.parametrize(("win_rate", "ratio"), [(0.5, 1), (0.3, 2), (0, 5)])
def test_kelly_without_an_edge_buys_nothing(win_rate, ratio):
    assert kelly(10_000, 100, win_rate, ratio) == 0


def test_atr_counts_two_average_ranges_as_the_risk_of_a_unit():
    assert atr(10_000, 1, average_true_range=2.5) == 20
    assert atr(10_000, 1, average_true_range=2.5, multiple=4) == 10


def test_quantity_follows_the_method_of_its_sizing():
    money = {"balance": 10_000.0, "price_open": 100.0}
    assert quantity(Sizing(method="fixed_percentage"), **money, price_stop_loss=95) == 20
    assert quantity(Sizing(method="kelly"), **money, win_rate=0.6, win_loss_ratio=2) == pytest.approx(10)
    assert quantity(Sizing(method="atr", risk_percent=2), **money, average_true_range=2.5) == 40


@pytest.mark.parametrize(
    ("limits", "units"),
    [
        ({}, 20),
        ({"minimum_quantity": 30}, 30),
        ({"maximum_quantity": 15}, 15),
        ({"maximum_position_percent": 10}, 10),
        ({"maximum_position_percent": 10, "maximum_quantity": 4}, 4),
        ({"minimum_quantity": 30, "maximum_position_percent": 10}, 10),
        ({"minimum_quantity": 30, "maximum_quantity": 25}, 25),
    ],
)
def test_the_minimum_comes_first_and_the_caps_win(limits, units):
    sizing = Sizing(method="fixed_percentage", **limits)
    assert quantity(sizing, balance=10_000, price_open=100, price_stop_loss=95) == units


@pytest.mark.parametrize(
    ("method", "missing"),
    [("fixed_percentage", "price_stop_loss"), ("kelly", "win_rate"), ("atr", "average_true_range")],
)
def test_a_method_names_the_number_that_it_lacks(method, missing):
    with pytest.raises(ConfigError, match=f"{method} sizing needs {missing}"):
        quantity(Sizing(method=method), balance=1, price_open=1)


def test_an_unknown_method_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'kelly'"):
        Sizing(method="kely")


@pytest.mark.parametrize("field", ["risk_percent", "kelly_fraction", "atr_multiple", "maximum_quantity"])
@pytest.mark.parametrize("value", [0, -1, nan, inf, "1", True])
def test_a_sizing_with_a_number_that_cannot_be_is_never_made(field, value):
    with pytest.raises(ConfigError, match=field):
        Sizing(method="atr", **{field: value})


@pytest.mark.parametrize("field", ["minimum_quantity", "maximum_position_percent"])
def test_negative_limits_are_refused(field):
    with pytest.raises(ConfigError, match=field):
        Sizing(method="atr", **{field: -1})


def test_arguments_that_cannot_be_are_named():
    with pytest.raises(ConfigError, match="price_open is nan"):
        kelly(1, nan, 0.5, 1)
    with pytest.raises(ConfigError, match="win_rate is a share from 0 to 1, not 60"):
        kelly(1, 1, 60, 1)
    with pytest.raises(ConfigError, match="balance is a finite number, 0 or more, not -5"):
        fixed_percentage(-5, 1, 100, 95)
    with pytest.raises(ConfigError, match="there is no risk to measure"):
        fixed_percentage(5, 1, 100, 100)


def test_an_empty_account_buys_nothing():
    assert fixed_percentage(0, 1, 100, 95) == atr(0, 1, 2) == kelly(0, 100, 0.6, 2) == 0
