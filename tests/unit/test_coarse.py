"""Candles for pictures: no minute is lost in them; and the fingerprint, which no change escapes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest_kit.core.candles import COLUMNS, Candles
from backtest_kit.core.coarse import coarse, fingerprint
from backtest_kit.core.values import MINUTE, Interval

START = 1_704_067_200_000


def minutes(count: int, first: int = 0, missing: tuple[int, ...] = ()) -> Candles:
    close = 100 + np.sin(np.arange(count) * 0.7) * 5
    columns = [close - 0.5, close + 1, close - 1, close, np.arange(count) % 7 + 1.0]
    for column in columns:
        column[list(missing)] = np.nan
    return Candles(Interval.M1, START + first * MINUTE, *columns)


def test_the_shortest_interval_that_is_short_enough_is_taken():
    assert coarse(minutes(50), 50 + 1).interval is Interval.M1
    assert coarse(minutes(60), 30).interval is Interval.M3
    assert coarse(minutes(3000), 4).interval is Interval.D1, "a day is the longest, however many there are"


@given(st.integers(1, 400), st.integers(0, 200), st.integers(2, 90), st.sets(st.integers(0, 399), max_size=30))
def test_every_minute_is_in_the_candle_that_it_belongs_to(count, first, most, gone):
    fine = minutes(count, first, tuple(each for each in gone if each < count))
    made = coarse(fine, most)
    assert made.start % int(made.interval) == 0
    for row, candle in enumerate(made):
        part = fine.between(made.start + row * int(made.interval), made.start + (row + 1) * int(made.interval))
        known = ~np.isnan(part.close)
        if not known.any():
            assert all(np.isnan(made[name][row]) for name in COLUMNS)
            continue
        assert (candle.open, candle.close) == (part.open[known][0], part.close[known][-1])
        assert (candle.high, candle.low) == (part.high[known].max(), part.low[known].min())
        assert candle.volume == pytest.approx(part.volume[known].sum())
    assert made.stop >= fine.stop


def test_no_candles_stay_no_candles():
    assert len(coarse(Candles.empty(Interval.M1, START), 10)) == 0


@given(st.integers(0, 99), st.sampled_from(COLUMNS))
def test_a_change_of_a_single_bit_changes_the_fingerprint(row, name):
    before = minutes(100)
    columns = {each: np.array(getattr(before, each)) for each in COLUMNS}
    columns[name][row] = np.nextafter(columns[name][row], np.inf)
    assert fingerprint(Candles(Interval.M1, START, **columns)) != fingerprint(before)


def test_moved_or_swapped_candles_have_another_fingerprint():
    before = minutes(100)
    swapped = [np.array(getattr(before, each)) for each in COLUMNS]
    for column in swapped:
        column[[3, 4]] = column[[4, 3]]
    assert fingerprint(Candles(Interval.M1, START, *swapped)) != fingerprint(before)
    assert fingerprint(minutes(100, first=1)) != fingerprint(before)
    assert fingerprint(minutes(100)) == fingerprint(before)
