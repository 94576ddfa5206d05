"""Columns equal scalars, cuts equal loops, whatever the candles."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest_kit.core.candles import Candles, average_price, average_prices
from backtest_kit.core.checks import examined, missing_runs
from backtest_kit.core.grid import laid_out
from backtest_kit.core.rows import rows_of
from backtest_kit.core.values import MINUTE, Interval

START = 1_704_067_200_000

prices = st.floats(0.01, 1e5, allow_nan=False)
sound = st.tuples(prices, prices, prices, prices, st.floats(0, 1e9)).map(
    lambda row: [row[0], max(row[:4]), min(row[:4]), row[3], row[4]]
)


def candles_from(rows: list[list[float]], start: int = START) -> Candles:
    table = np.array(rows, dtype=np.float64).reshape(len(rows), 5)
    return Candles(Interval.M1, start, *table.T)


@given(st.lists(sound, min_size=1, max_size=40), st.integers(1, 7))
def test_the_column_of_average_prices_equals_the_scalar_to_the_last_bit(rows, span):
    candles = candles_from(rows)
    column = average_prices(candles, span)
    for i in range(span - 1, len(rows)):
        assert column[i] == average_price(candles[i - span + 1 : i + 1])


@given(st.lists(sound, max_size=40), st.integers(-300, 300))
def test_f12_what_is_closed_has_closed_and_the_next_has_not(rows, seconds):
    candles = candles_from(rows)
    when = START + seconds * 1000 * 10
    closed = candles.closed_by(when)
    assert all(each.timestamp + MINUTE <= when for each in closed)
    assert len(closed) == sum(each.timestamp + MINUTE <= when for each in candles)


@given(st.lists(sound, min_size=1, max_size=60), st.integers(0, 14))
def test_f12_later_candles_change_no_earlier_resampled_one(rows, shift):
    candles = candles_from(rows, START + shift * MINUTE)
    whole = candles.resampled(Interval.M5)
    part = candles[: len(candles) - 1].resampled(Interval.M5)
    assert list(part) == list(whole)[: len(part)]


@given(st.lists(sound, min_size=1, max_size=60))
def test_sound_candles_have_no_fault(rows):
    assert examined(candles_from(rows), float("inf")).fault is None


@given(st.lists(sound, min_size=1, max_size=40), st.data())
def test_f8_the_first_impossible_value_is_found_wherever_it_is(rows, data):
    row = data.draw(st.integers(0, len(rows) - 1))
    column = data.draw(st.integers(0, 4))
    wrong = data.draw(st.sampled_from([float("nan"), float("inf"), -1.0, float("-inf")]))
    rows[row][column] = wrong
    fault = examined(candles_from(rows), 1e12).fault
    assert fault is not None
    assert (fault.row, fault.time) == (row, START + row * MINUTE)


@given(st.sets(st.integers(0, 200), min_size=1, max_size=100))
def test_f2_what_is_not_among_the_rows_is_a_gap_and_nothing_else_is(present):
    rows = [[START + k * MINUTE, 1.0, 2.0, 0.5, 1.5, k] for k in sorted(present)]
    candles = laid_out(rows_of(rows), Interval.M1)
    absent = {k for k in range(min(present), max(present) + 1) if k not in present}
    gaps = missing_runs(candles)
    assert {(t - START) // MINUTE for a, b in gaps for t in range(a, b, MINUTE)} == absent
    assert examined(candles, 1000.0).gaps == gaps
    assert {int(each.volume) for each in candles if each.volume == each.volume} == present


@settings(max_examples=50)
@given(st.lists(sound, min_size=1, max_size=30))
def test_every_shape_of_a_table_is_read_as_the_same_rows(rows):
    stamps = [START + k * MINUTE for k in range(len(rows))]
    table = [[t, *row] for t, row in zip(stamps, rows, strict=True)]
    names = ("timestamp", "open", "high", "low", "close", "volume")
    mappings = [dict(zip(names, row, strict=True)) for row in table]
    columns = {name.upper(): [row[k] for row in table] for k, name in enumerate(names)}
    expected = np.array(rows)
    for shape in (table, mappings, columns, np.array(table), candles_from(rows), list(candles_from(rows))):
        found = rows_of(shape)
        assert found.time.tolist() == stamps
        assert (np.stack([found.open, found.high, found.low, found.close, found.volume], axis=1) == expected).all()
