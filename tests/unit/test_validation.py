"""What a signal may be, rule by rule, and what a strategy may return."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from math import inf, nan

import numpy as np
import pytest
from msgspec.structs import asdict, replace

from backtest_kit.core.validation import normalised, reasons_against, signal_from
from backtest_kit.core.values import Signal, Terms
from backtest_kit.errors import SignalError

LONG = Signal("long", price_take_profit=102.0, price_stop_loss=99.0)
SHORT = Signal("short", price_take_profit=98.0, price_stop_loss=101.0)
UNLIMITED = Terms(max_signal_lifetime_minutes=None)


def reasons(signal: Signal, price: float = 100.0, terms: Terms | None = None) -> tuple[str, ...]:
    return reasons_against(signal, price, "BTCUSDT", terms or Terms())


@pytest.mark.parametrize("signal", [LONG, SHORT], ids=["long", "short"])
def test_a_good_signal_has_no_reasons_against_it(signal):
    assert reasons(signal) == ()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"position": "buy"}, 'position must be "long" or "short", not \'buy\''),
        ({"position": None}, 'position must be "long" or "short", not None'),
        ({"price_take_profit": nan}, "price_take_profit must be a finite number above 0, not nan"),
        ({"price_take_profit": "102"}, "price_take_profit must be a finite number above 0, not '102'"),
        ({"price_take_profit": inf}, "price_take_profit must be a finite number above 0, not inf"),
        ({"price_stop_loss": None}, "price_stop_loss must be a finite number above 0, not None"),
        ({"price_stop_loss": -99.0}, "price_stop_loss must be a finite number above 0, not -99.0"),
        ({"price_stop_loss": True}, "price_stop_loss must be a finite number above 0, not True"),
        ({"price_open": 0}, "price_open must be a finite number above 0, not 0"),
        (
            {"price_take_profit": 99.5},
            "the take profit of a long must stand above its entry, but 99.5 is not above 100",
        ),
        (
            {"price_stop_loss": 101.0},
            "the stop loss of a long must stand below its entry, but 101 is not below 100",
        ),
        ({"price_take_profit": 100.49}, "the take profit is 0.49 % away from the entry, less than 0.5 %"),
        ({"price_stop_loss": 99.51}, "the stop loss is 0.49 % away from the entry, less than 0.5 %"),
        ({"price_stop_loss": 79.0}, "the stop loss is 21 % away from the entry, more than 20 %"),
        ({"minute_estimated_time": 0}, "minute_estimated_time must be a whole number above 0, not 0"),
        ({"minute_estimated_time": 1.5}, "minute_estimated_time must be a whole number above 0, not 1.5"),
        ({"minute_estimated_time": True}, "minute_estimated_time must be a whole number above 0, not True"),
        ({"minute_estimated_time": "60"}, "minute_estimated_time must be a whole number above 0, not '60'"),
        ({"minute_estimated_time": -inf}, "minute_estimated_time must be a whole number above 0, not -inf"),
        (
            {"minute_estimated_time": 1441},
            "minute_estimated_time must be 1440 (max_signal_lifetime_minutes) or less, not 1441",
        ),
        (
            {"minute_estimated_time": None},
            "minute_estimated_time must be 1440 (max_signal_lifetime_minutes) or less, not unlimited",
        ),
        ({"cost": 0.0}, "cost must be a finite number above 0, not 0.0"),
        ({"leverage": inf}, "leverage must be a finite number above 0, not inf"),
        ({"leverage": 10**400}, None),
        ({"isolated": "yes"}, "isolated must be true or false, not 'yes'"),
        ({"id": 7}, "id must be a text, not 7"),
        ({"note": ["x"]}, "note must be a text, not ['x']"),
        ({"symbol": "ETHUSDT"}, "symbol is 'ETHUSDT', but the strategy was asked for 'BTCUSDT'"),
        ({"symbol": 5}, "symbol must be a text, not 5"),
    ],
)
def test_each_broken_rule_is_one_sentence_with_its_numbers(changes, sentence):
    found = reasons(replace(LONG, **changes))
    assert len(found) == 1
    assert sentence is None or found == (sentence,)


def test_a_short_is_judged_as_a_mirrored_long():
    found = reasons(replace(SHORT, price_take_profit=103.0, price_stop_loss=97.0))
    assert found == (
        "the take profit of a short must stand below its entry, but 103 is not below 100",
        "the stop loss of a short must stand above its entry, but 97 is not above 100",
    )


def test_all_reasons_are_given_at_once():
    signal = Signal(
        "up",
        nan,
        -1.0,
        price_open="x",
        minute_estimated_time=0,
        cost=None,
        leverage=0,
        isolated=2,
        symbol="A",
    )
    assert len(reasons(signal)) == 9


def test_a_side_that_is_switched_off_is_refused():
    assert reasons(LONG, terms=Terms(long_enabled=False)) == (
        "long positions are switched off (long_enabled is false)",
    )
    assert reasons(SHORT, terms=Terms(short_enabled=False)) == (
        "short positions are switched off (short_enabled is false)",
    )


@pytest.mark.parametrize("price", [100.0, 43210.98, 0.00001234, 3.3, 7e9])
def test_levels_exactly_on_the_limits_of_distance_pass(price):
    assert reasons(Signal("long", price * 1.005, price * 0.995), price) == ()
    assert reasons(Signal("short", price * 0.995, price * 1.005), price) == ()
    assert reasons(Signal("long", price * 1.005, price * 0.8), price) == ()
    assert reasons(Signal("short", price * 0.995, price * 1.2), price) == ()


def test_a_check_of_distance_whose_setting_is_zero_is_off():
    off = Terms(min_take_profit_distance_percent=0, min_stop_loss_distance_percent=0, max_stop_loss_distance_percent=0)
    assert reasons(Signal("long", 100.0001, 99.9999), terms=off) == ()
    assert reasons(Signal("long", 100.0001, 0.01), terms=off) == ()
    assert len(reasons(Signal("long", 100.0, 100.0), terms=off)) == 2


def test_distances_of_a_limit_entry_are_measured_from_it():
    assert reasons(Signal("long", 100.5, 97.0, price_open=99.0)) == ()
    assert len(reasons(Signal("long", 99.2, 97.0, price_open=99.0))) == 1


@pytest.mark.parametrize(
    ("signal", "price", "accepted"),
    [
        (LONG, 99.0, False),
        (LONG, 102.0, False),
        (SHORT, 101.0, False),
        (replace(LONG, price_open=100.0), 103.0, True),
        (replace(LONG, price_open=100.0), 99.5, True),
        (replace(LONG, price_open=100.0), 99.0, False),
        (replace(SHORT, price_open=100.0), 97.0, True),
        (replace(SHORT, price_open=100.0), 101.5, False),
    ],
)
def test_a_price_that_is_entered_at_stands_strictly_between_the_levels(signal, price, accepted):
    assert (reasons(signal, price) == ()) is accepted


@pytest.mark.parametrize("minutes", [None, inf, 1, 10**9, 60.0, np.int64(5), np.float64(inf)])
def test_without_a_longest_life_every_whole_life_passes(minutes):
    assert reasons(replace(LONG, minute_estimated_time=minutes), terms=UNLIMITED) == ()


def test_a_market_price_that_is_not_known_is_a_reason():
    assert reasons(LONG, nan) == ("the market price must be a finite number above 0, not nan",)


class Unfriendly:
    """A value of user code on which nearly everything fails."""

    def __repr__(self):
        raise RuntimeError("no repr")

    def __bool__(self):
        raise RuntimeError("no truth")

    def __eq__(self, other):
        raise RuntimeError("no equality")

    def __hash__(self):
        raise RuntimeError("no hash")


@pytest.mark.parametrize(
    "garbage", [Unfriendly(), np.array([1.0, 2.0]), [], {}, object(), "x" * 10_000, Decimal("sNaN")]
)
@pytest.mark.parametrize("field", [name for name in Signal.__struct_fields__ if name not in ("id", "note")])
def test_garbage_in_any_field_is_a_short_reason_and_no_exception(field, garbage):
    signal = replace(LONG, **{field: garbage})
    found = reasons(signal)
    assert found
    assert all(len(each) < 200 for each in found)
    assert getattr(normalised(signal), field) is garbage


def test_a_signal_in_exact_types_is_normalised_to_itself():
    assert normalised(LONG) is LONG


def test_numbers_of_other_kinds_are_accepted_and_normalised():
    class Side(str, Enum):  # noqa: UP042 - the older form, whose str() differs from its value
        LONG = "long"

    signal = Signal(
        Side.LONG,
        np.float32(102),
        Decimal(99),
        price_open=np.int64(100),
        minute_estimated_time=np.int32(60),
        cost=50,
        leverage=np.float64(2),
        isolated=np.False_,
        id=None,
        note=None,
        symbol=None,
    )
    assert reasons(signal) == ()
    exact = normalised(signal)
    assert exact == Signal("long", 102.0, 99.0, 100.0, 60, 50.0, 2.0, False)
    assert [type(each) for each in asdict(exact).values()] == [
        str,
        float,
        float,
        float,
        int,
        float,
        float,
        bool,
        str,
        str,
        str,
    ]


def test_an_endless_life_is_normalised_to_none():
    assert normalised(replace(LONG, minute_estimated_time=inf)).minute_estimated_time is None


def test_none_and_a_signal_are_answers_as_they_are():
    assert signal_from(None) is None
    assert signal_from(LONG) is LONG


def test_a_mapping_with_the_field_names_is_a_signal():
    assert signal_from({"position": "long", "price_take_profit": 102.0, "price_stop_loss": 99.0}) == LONG


def test_a_mapping_with_wrong_names_is_refused_with_all_of_them():
    with pytest.raises(SignalError) as caught:
        signal_from({"position": "long", "price_takeprofit": 1.0, 5: 2})
    assert caught.value.reasons == (
        "unknown field 'price_takeprofit'; did you mean 'price_take_profit' or 'price_open' or 'price_stop_loss'?",
        "unknown field 5",
        "missing: price_take_profit, price_stop_loss",
    )


def test_an_empty_mapping_misses_every_field_that_has_no_default():
    with pytest.raises(SignalError, match="missing: position, price_take_profit, price_stop_loss"):
        signal_from({})


@pytest.mark.parametrize(
    ("answer", "shown"),
    [(3.5, "3.5 (float)"), ("long", "'long' (str)"), (True, "True (bool)"), ([], "[] (list)")],
)
def test_anything_else_is_no_answer(answer, shown):
    with pytest.raises(SignalError) as caught:
        signal_from(answer)
    assert caught.value.reasons == (f"a strategy returns a Signal, a mapping or None, not {shown}",)
