"""Validation never raises, and what it accepts obeys the rules."""

from __future__ import annotations

from decimal import Decimal
from math import isfinite

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from backtest_kit.core.validation import normalised, reasons_against
from backtest_kit.core.values import Signal, Terms

anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.decimals(),
    st.lists(st.integers(), max_size=2),
    st.sampled_from(["long", "short", 10**400, Decimal("sNaN"), Decimal("1e999")]),
)
prices = st.floats(min_value=1e-6, max_value=1e9)
percents = st.floats(min_value=0.001, max_value=50)


@given(st.lists(anything, min_size=11, max_size=11), anything, st.sampled_from([1440, None]))
def test_no_field_makes_it_raise(fields, price, longest):
    signal = Signal(*fields)
    found = reasons_against(signal, price, "BTCUSDT", Terms(max_signal_lifetime_minutes=longest))
    assert all(isinstance(each, str) and each for each in found)
    again = normalised(signal)
    assert reasons_against(again, price, "BTCUSDT", Terms(max_signal_lifetime_minutes=longest)) == () or found


@given(st.sampled_from(["long", "short"]), prices, percents, percents, st.none() | percents)
def test_an_accepted_signal_obeys_every_rule_on_prices(side, price, take, stop, away):
    entry = price if away is None else price * (1 + (away - 25) / 100)
    signal = Signal.bracket(side, entry, take, stop)
    signal = signal if away is None else replace(signal, price_open=entry)
    terms = Terms()
    within = (
        take >= terms.min_take_profit_distance_percent
        and terms.min_stop_loss_distance_percent <= stop <= terms.max_stop_loss_distance_percent
    )
    if not reasons_against(signal, price, "BTCUSDT", terms):
        levels = (signal.price_take_profit, signal.price_stop_loss)
        assert min(levels) < entry < max(levels)
        assert all(isfinite(each) and each > 0 for each in levels)
        assert 100 * abs(levels[0] / entry - 1) >= 0.5 * (1 - 1e-6)
        assert 0.5 * (1 - 1e-6) <= 100 * abs(levels[1] / entry - 1) <= 20 * (1 + 1e-6)
    elif away is None:
        assert not within


@given(prices, percents, percents)
def test_a_short_is_accepted_exactly_when_its_mirrored_long_is(price, take, stop):
    terms = Terms()
    long = reasons_against(Signal.bracket("long", price, take, stop), price, "BTCUSDT", terms)
    short = reasons_against(Signal.bracket("short", price, take, stop), price, "BTCUSDT", terms)
    assert len(long) == len(short)


@given(prices, percents, percents)
def test_normalising_changes_nothing_twice(price, take, stop):
    once = normalised(replace(Signal.bracket("long", price, take, stop), cost=100, leverage=Decimal(2)))
    assert normalised(once) is once
