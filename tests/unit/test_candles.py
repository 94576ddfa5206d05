"""Candles as columns: views, cuts, resampling, average price, tape."""

from __future__ import annotations

import numpy as np
import pytest

from backtest_kit.core.candles import Candles, Tape, average_price, average_prices
from backtest_kit.core.values import MINUTE, Interval

START = 1_704_067_200_000  # 2024-01-01T00:00Z, a Monday


def minutes(count: int, start: int = START) -> Candles:
    close = 100 + np.arange(count) % 7 * 0.25
    first = np.concatenate(([100.0], close[:-1]))
    high, low = np.maximum(first, close) + 1, np.minimum(first, close) - 1
    columns = (first, high, low, close, 1.0 + np.arange(count) % 3)
    return Candles(Interval.M1, start, *(np.asarray(each, np.float64) for each in columns))


def test_a_row_number_is_a_time():
    candles = minutes(10)
    assert candles[3].timestamp == START + 3 * MINUTE
    assert candles.time[3] == START + 3 * MINUTE
    assert candles[-1].timestamp == candles.stop - MINUTE


def test_columns_are_read_only_views():
    candles = minutes(10)
    with pytest.raises(ValueError, match="read-only"):
        candles.close[0] = 1.0
    assert np.shares_memory(candles[2:5].close, candles.close)


def test_iterating_gives_the_same_candles_as_indexing():
    candles = minutes(5)
    assert list(candles) == [candles[i] for i in range(5)]


def test_names_reach_the_columns():
    candles = minutes(3)
    assert candles["close"] is candles.close
    assert candles["timestamp"].tolist() == candles.time.tolist()
    with pytest.raises(KeyError):
        candles["colour"]


def test_candles_are_cut_in_steps_of_one():
    with pytest.raises(ValueError, match="steps of one"):
        minutes(10)[::2]


def test_columns_of_unequal_length_are_refused():
    column = np.ones(3)
    with pytest.raises(ValueError, match="differ in length"):
        Candles(Interval.M1, START, column, column, column, column, np.ones(2))


def test_between_gives_what_opens_in_the_range_as_far_as_it_is_here():
    candles = minutes(10)
    assert candles.between(START + MINUTE, START + 3 * MINUTE).time.tolist() == [
        START + MINUTE,
        START + 2 * MINUTE,
    ]
    assert len(candles.between(START - 5 * MINUTE, START)) == 0
    assert len(candles.between(START - 5 * MINUTE, START + 100 * MINUTE)) == 10
    assert candles.between(START + 1, START + 2 * MINUTE).start == START + MINUTE


def test_f12_the_forming_candle_is_not_among_the_closed_ones():
    candles = minutes(10)
    assert len(candles.closed_by(START + 3 * MINUTE)) == 3
    assert len(candles.closed_by(START + 4 * MINUTE - 1)) == 3
    assert len(candles.closed_by(START)) == 0
    assert len(candles.closed_by(START + 1000 * MINUTE)) == 10


def test_resampling_takes_first_highest_lowest_last_and_sum():
    candles = minutes(30)
    longer = candles.resampled(Interval.M15)
    part = candles[:15]
    expected = (part.open[0], part.high.max(), part.low.min(), part.close[-1], part.volume.sum())
    assert len(longer) == 2
    assert (longer[0].open, longer[0].high, longer[0].low, longer[0].close, longer[0].volume) == expected


def test_resampling_leaves_out_longer_candles_that_are_not_whole():
    longer = minutes(40, START + 7 * MINUTE).resampled(Interval.M15)
    assert longer.time.tolist() == [START + 15 * MINUTE, START + 30 * MINUTE]


def test_f2_a_missing_minute_makes_the_longer_candle_missing():
    candles = minutes(45)
    columns = [np.array(candles[name]) for name in ("open", "high", "low", "close", "volume")]
    for column in columns:
        column[20] = np.nan
    longer = Candles(Interval.M1, START, *columns).resampled(Interval.M15)
    assert np.isnan(longer.close).tolist() == [False, True, False]
    assert np.isnan(longer.volume).tolist() == [False, True, False]


def test_weeks_open_on_a_monday():
    longer = minutes(8 * 1440, START - 1440 * MINUTE).resampled(Interval.W1)
    assert longer.time.tolist() == [START]


def test_resampling_to_a_shorter_interval_is_refused():
    with pytest.raises(ValueError, match="cannot be resampled"):
        minutes(30).resampled(Interval.M15).resampled(Interval.M5)


def test_f7_the_average_price_without_volume_is_the_mean_of_the_closes():
    candles = minutes(5)
    silent = Candles(Interval.M1, START, candles.open, candles.high, candles.low, candles.close, np.zeros(5))
    expected = sum(candles.close.tolist()) / 5
    assert average_price(silent) == pytest.approx(expected, rel=1e-15)
    assert average_prices(silent, 5)[4] == average_price(silent)


def test_the_average_price_is_unknown_until_enough_candles_exist():
    prices = average_prices(minutes(10), 5)
    assert np.isnan(prices).tolist() == [True] * 4 + [False] * 6


def test_a_tape_is_made_of_minutes_only():
    with pytest.raises(ValueError, match="1-minute"):
        Tape.of(minutes(30).resampled(Interval.M15), 5)


def test_a_tape_knows_rows_by_time_and_times_by_row():
    tape = Tape.of(minutes(20), 5)
    assert len(tape) == 20
    assert tape.row(tape.time(7)) == 7
