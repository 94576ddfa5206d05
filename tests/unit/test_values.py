"""The words of the trade: intervals and their grid, signals made in percent, terms, sources."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from backtest_kit.core.values import MINUTE, NEVER, Instrument, Interval, Signal, Source, Terms, sign_of
from backtest_kit.errors import ConfigError, UnknownNameError

HOUR, DAY = 60 * MINUTE, 1440 * MINUTE
NEW_YEAR_2024 = 1_704_067_200_000  # 2024-01-01T00:00Z, a Monday


@pytest.mark.parametrize(("label", "minutes"), [
    ("1m", 1), ("3m", 3), ("5m", 5), ("15m", 15), ("30m", 30), ("1h", 60), ("2h", 120), ("4h", 240), ("6h", 360),
    ("8h", 480), ("12h", 720), ("1d", 1440), ("1w", 10_080),
])  # fmt: skip
def test_an_interval_is_read_from_its_label_and_written_as_it(label, minutes):
    interval = Interval.parse(label)
    assert (interval.minutes, interval.label, str(interval), f"{interval}") == (minutes, label, label, label)
    assert int(interval) == minutes * MINUTE
    assert Interval.parse(interval) is interval


def test_there_are_thirteen_intervals():
    assert len(Interval) == 13


@pytest.mark.parametrize(("label", "near"), [("15min", "15m"), ("1H", "1h"), ("4hours", "4h")])
def test_h8u_an_unknown_interval_names_the_nearest_ones(label, near):
    with pytest.raises(UnknownNameError) as raised:
        Interval.parse(label)
    assert near in raised.value.nearest
    assert repr(near) in str(raised.value)


@pytest.mark.parametrize("wrong", [60_000, None, 5.0])
def test_h8u_a_number_is_no_interval(wrong):
    with pytest.raises(UnknownNameError):
        Interval.parse(wrong)


@pytest.mark.parametrize("interval", Interval)
def test_c5_the_floor_of_a_time_is_the_opening_of_its_candle(interval):
    for time in (0, 1, NEW_YEAR_2024, NEW_YEAR_2024 - 1, NEW_YEAR_2024 + 12_345_678):
        floor = interval.floor(time)
        assert floor <= time < floor + int(interval)
        assert interval.floor(floor) == floor


def test_c5_days_open_at_midnight_utc_and_weeks_on_a_monday():
    wednesday = NEW_YEAR_2024 + 2 * DAY + 5 * HOUR
    assert Interval.D1.floor(wednesday) == NEW_YEAR_2024 + 2 * DAY
    assert Interval.W1.floor(wednesday) == NEW_YEAR_2024
    assert Interval.W1.floor(NEW_YEAR_2024 - 1) == NEW_YEAR_2024 - 7 * DAY


def test_c4_a_day_in_which_clocks_change_is_a_day_like_any_other():
    march_31 = 1_711_843_200_000  # 2024-03-31T00:00Z: clocks in Europe jump at 01:00Z
    assert [Interval.H4.floor(march_31 + k * HOUR) - march_31 for k in (0, 3, 4, 23)] == [0, 0, 4 * HOUR, 20 * HOUR]


def test_sides_have_a_sign():
    assert (sign_of("long"), sign_of("short")) == (1, -1)
    assert (Signal("long", 1.0, 1.0).sign, Signal("short", 1.0, 1.0).sign) == (1, -1)


@pytest.mark.parametrize(("side", "take", "stop"), [("long", 102.0, 99.0), ("short", 98.0, 101.0)])
def test_a_bracket_stands_around_the_price(side, take, stop):
    signal = Signal.bracket(side, 100.0, take_profit_percent=2, stop_loss_percent=1, note="n", cost=50.0)
    assert (signal.price_take_profit, signal.price_stop_loss) == (pytest.approx(take), pytest.approx(stop))
    assert (signal.position, signal.price_open, signal.note, signal.cost) == (side, None, "n", 50.0)


def test_a_bracket_of_a_limit_entry_stands_around_its_price():
    signal = Signal.bracket("long", 100.0, 10, 5, price_open=80.0)
    assert (signal.price_take_profit, signal.price_stop_loss) == (pytest.approx(88.0), pytest.approx(76.0))
    assert signal.price_open == 80.0


def test_a_moonbag_takes_its_profit_far_away():
    signal = Signal.moonbag("short", 100.0, 5.0, minute_estimated_time=None)
    assert (signal.price_take_profit, signal.price_stop_loss) == (pytest.approx(50.0), pytest.approx(105.0))
    assert signal.minute_estimated_time is None


def test_h8u_a_misspelt_field_of_a_signal_names_the_right_one():
    with pytest.raises(UnknownNameError) as raised:
        Signal.bracket("long", 100.0, 2, 1, minute_estimated_tine=5)
    assert raised.value.nearest[0] == "minute_estimated_time"


@pytest.mark.parametrize("wrong", ["LONG", "buy", "", None])
def test_h8u_a_bracket_of_no_known_side_is_refused(wrong):
    with pytest.raises(ConfigError, match="position must be"):
        Signal.bracket(wrong, 100.0, 2, 1)


def test_a_signal_that_says_little_is_a_market_order_for_a_day_and_100():
    signal = Signal("long", 110.0, 90.0)
    assert (signal.price_open, signal.minute_estimated_time, signal.cost) == (None, 1440, 100.0)
    assert (signal.leverage, signal.isolated, signal.id, signal.note, signal.symbol) == (1.0, True, "", "", "")


def test_terms_default_to_what_rests_at_an_exchange_and_fills_honestly():
    terms = Terms()
    assert (terms.exit_rule, terms.fill_rule) == ("touch", "honest")
    assert (terms.slippage_percent, terms.fee_percent, terms.avg_price_candles) == (0.1, 0.1, 5)
    assert (terms.schedule_await_minutes, terms.max_signal_lifetime_minutes) == (120, 1440)
    assert (terms.dca_everywhere, terms.partials_everywhere, terms.trailing_everywhere) == (False, False, False)


def test_breakeven_stands_at_twice_all_costs_and_the_threshold():
    assert Terms().breakeven_percent == pytest.approx(0.6)
    terms = Terms(slippage_percent=1.0, fee_percent=0.5, breakeven_threshold_percent=0.0)
    assert terms.breakeven_percent == 3.0


@pytest.mark.parametrize(
    "value",
    [Signal("long", 2.0, 1.0), Terms(), Source("B", "s", "e", "f", "live"), Instrument("B", Decimal(1), Decimal(1))],
)
def test_values_cannot_be_changed(value):
    with pytest.raises(AttributeError):
        setattr(value, value.__struct_fields__[0], "other")


@pytest.mark.parametrize(
    "value", [Signal("long", 2.0, 1.0, 1.5, None, id="x"), Terms(exit_rule="vwap"), Source("B", "s", "e")]
)
def test_values_come_back_from_text_as_they_were(value):
    assert msgspec.json.decode(msgspec.json.encode(value), type=type(value)) == value


def test_a_source_names_itself():
    assert str(Source("BTCUSDT", "sma", "binance")) == "sma on BTCUSDT at binance"


def test_no_time_comes_after_never():
    assert NEVER > NEW_YEAR_2024 * 1_000
    assert NEVER < 2**63
