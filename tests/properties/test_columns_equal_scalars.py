"""A rule read on a column says of each row what it says of one number: so the kernel cannot differ from the machine."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from backtest_kit.core import rules
from backtest_kit.core.candles import Candles, Tape, average_price, average_prices
from backtest_kit.core.events import WANTED_BY, Wanted
from backtest_kit.core.forward import minute_at
from backtest_kit.core.monitor import change_levels, monitored, reaches_breakeven, with_peak, with_trough
from backtest_kit.core.position import Position
from backtest_kit.core.state import Active
from backtest_kit.core.values import Interval
from tests.properties.markets import FIRST, SOURCE, START, markets, worlds

levels = st.one_of(st.floats(0.01, 200), st.integers(1, 200).map(float))
columns = st.lists(st.one_of(levels, st.just(float("nan"))), min_size=1, max_size=30).map(np.array)
signs = st.sampled_from([1, -1])
CHANGES = [Wanted.HIGHEST_PROFIT, Wanted.MAX_DRAWDOWN, Wanted.BREAKEVEN, Wanted.PROFIT_LEVEL, Wanted.LOSS_LEVEL]


def same(column: np.ndarray, scalars: list) -> bool:
    """Equal in every bit; a NaN is equal to a NaN."""
    return column.tobytes() == np.array(scalars, dtype=column.dtype).tobytes()


def with_hits(column: np.ndarray, *exactly: float) -> np.ndarray:
    """The column with the levels themselves, and their next neighbours, as prices."""
    near = [step for level in exactly for step in (np.nextafter(level, 0), level, np.nextafter(level, 1e9))]
    return np.concatenate([column, near])


@pytest.mark.parametrize("rule", [rules.falls_to, rules.rises_to])
@given(sign=signs, column=columns, level=levels)
def test_a_level_is_reached_in_a_column_where_it_is_reached_by_a_number(rule, sign, column, level):
    column = with_hits(column, level)
    assert same(rule(sign, column, level), [rule(sign, float(price), level) for price in column])


@pytest.mark.parametrize("rule", [rules.is_new_peak, rules.is_new_trough])
@given(sign=signs, column=columns, entry=levels, extreme=levels)
def test_a_new_extreme_of_a_column_is_one_of_a_number(rule, sign, column, entry, extreme):
    column = with_hits(column, entry, extreme)
    assert same(rule(sign, column, entry, extreme), [rule(sign, float(price), entry, extreme) for price in column])


@given(columns, levels, levels)
def test_progress_in_a_column_is_progress_of_a_number(column, start, goal):
    if start != goal:
        column = with_hits(column, start, goal)
        found = rules.progress_percent(column, start, goal)
        assert same(found, [rules.progress_percent(float(price), start, goal) for price in column])


@given(signs, columns, levels, levels)
def test_f8_no_rule_fits_a_price_that_is_missing(sign, column, one, other):
    missing = np.isnan(column)
    for rule in (rules.falls_to, rules.rises_to):
        assert not rule(sign, column, one)[missing].any()
    for rule in (rules.is_new_peak, rules.is_new_trough):
        assert not rule(sign, column, one, other)[missing].any()
    assert rules.level_of(float("nan")) == 0


@given(st.floats(-1e6, 1e6))
def test_a_milestone_is_the_highest_ten_that_a_progress_has_reached(progress):
    level = rules.level_of(progress)
    assert level in range(0, 101, 10)
    assert level == 0 or progress >= level
    assert level == 100 or progress < level + 10


def positions_of(world) -> list[Position]:
    """The positions of a life, with all their marks."""
    here = [world.state.position] if isinstance(world.state, Active) else []
    return here + [event.position for event in world.events if event.action == "opened"]


@given(worlds())
def test_breakeven_and_extremes_of_a_position_are_the_same_in_a_column(world):
    for position in positions_of(world):
        column = with_hits(world.tape.price[FIRST:], position.effective_price, position.peak.price)
        assert same(
            reaches_breakeven(position, column, world.terms),
            [reaches_breakeven(position, float(price), world.terms) for price in column],
        )
        loud = rules.is_new_peak(position.sign, column, position.effective_price, position.peak.price)
        for price, is_loud in zip(column, loud, strict=True):
            assert is_loud or with_peak(position, START, float(price), world.terms) is position
        loud = rules.is_new_trough(position.sign, column, position.effective_price, position.trough.price)
        moved = [with_trough(position, START, float(price), world.terms) is not position for price in column]
        assert same(loud, moved)


def notices(position: Position, price: float, world) -> int:
    """The flags of the notices that a candle with this average price makes."""
    minute = minute_at(world.tape, FIRST)
    _, events = monitored(position, replace(minute, price=price), world.terms, SOURCE)
    return sum({WANTED_BY[type(event)] for event in events})


wanted_changes = st.sampled_from(CHANGES) | st.integers(0, Wanted.EVERYTHING).map(Wanted)


@given(worlds(), wanted_changes, st.integers(0, 10), st.integers(0, 10))
def test_between_its_change_levels_a_position_makes_none_of_the_notices_that_are_wanted(world, wanted, ups, downs):
    changes = wanted & Wanted.POSITION_CHANGES
    for drawn in positions_of(world):
        position = replace(drawn, profit_level=ups * 10, loss_level=downs * 10)
        up, down = change_levels(position, wanted, world.terms)
        for price in with_hits(world.tape.price[FIRST:], *(level for level in (up, down) if np.isfinite(level))):
            loud = rules.rises_to(position.sign, price, up) or rules.falls_to(position.sign, price, down)
            assert loud or not notices(position, float(price), world) & changes


@given(worlds(), st.sampled_from([Wanted.BREAKEVEN, Wanted.PROFIT_LEVEL, Wanted.MAX_DRAWDOWN, Wanted.LOSS_LEVEL]))
def test_a_change_level_is_no_nearer_than_it_must_be(world, wanted):
    """A level that stood too near would be right and slow: every candle beyond it is run for nothing."""
    for position in positions_of(world):
        up, down = change_levels(position, wanted, world.terms)
        if wanted in (Wanted.BREAKEVEN, Wanted.PROFIT_LEVEL):
            level, beyond = up, up * (1 + position.sign * 1e-6)
        else:
            level, beyond = down, down * (1 - position.sign * 1e-6)
        assert not np.isfinite(level) or level <= 0 or notices(position, beyond, world) & wanted


def scalar_average(candles: Candles, first: int, last: int) -> float:
    """The average price as the semantics write it, one number after the other."""
    value, amount, closes = 0.0, 0.0, 0.0
    for i in range(first, last):
        value = value + (candles.high[i] + candles.low[i] + candles.close[i]) / 3 * candles.volume[i]
        amount = amount + candles.volume[i]
        closes = closes + candles.close[i]
    return float(closes / (last - first) if amount == 0 else value / amount)


@given(markets(most=60), st.integers(1, 7))
def test_f7_the_average_price_is_the_same_as_column_as_number_and_as_the_formula_is_written(candles, span):
    column = average_prices(candles, span)
    assert np.isnan(column[: span - 1]).all()
    for i in range(span - 1, len(candles)):
        written = scalar_average(candles, i + 1 - span, i + 1)
        assert column[i] == written
        assert average_price(candles.rows(i + 1 - span, i + 1)) == written


@given(markets(least=6, most=60), st.integers(0, 59), st.integers(1, 5))
def test_f2_a_missing_candle_leaves_the_average_prices_that_do_not_see_it(candles, hole, span):
    hole %= len(candles)
    close = candles.close.copy()
    close[hole] = np.nan
    gone = Candles(Interval.M1, START, candles.open, candles.high, candles.low, close, candles.volume)
    column, whole = average_prices(gone, span), average_prices(candles, span)
    assert np.isnan(column[hole : hole + span]).all()
    assert same(column[:hole], list(whole[:hole]))
    assert same(column[hole + span :], list(whole[hole + span :]))


def test_f7_the_average_price_is_the_same_across_the_border_of_two_chunks():
    rng = np.random.default_rng(7)
    n = 65_536 + 50
    low = 100 + rng.random(n)
    parts = (low + 0.5, low + 1, low, low + rng.random(n), np.round(rng.random(n) * 2) * rng.random(n))
    candles = Candles(Interval.M1, START, *parts)
    column = average_prices(candles, 5)
    for i in (4, 5, 65_534, 65_535, 65_536, 65_538, 65_539, 65_540, 65_541, 65_545, n - 1):
        assert column[i] == scalar_average(candles, i - 4, i + 1)


@given(markets())
def test_a_row_of_a_tape_is_the_candle_of_its_time(candles):
    tape = Tape.of(candles, 5)
    for row in range(len(tape)):
        minute = minute_at(tape, row)
        assert (minute.time, tape.row(minute.time)) == (candles[row].timestamp, row)
        assert (minute.open, minute.high, minute.low) == (candles.open[row], candles.high[row], candles.low[row])


def test_wanted_has_a_bit_of_its_own_for_every_notice():
    bits = [flag.value for flag in Wanted]
    assert len(set(bits)) == len(bits) == 8
    assert sum(bits) == Wanted.EVERYTHING
