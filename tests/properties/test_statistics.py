"""What must hold for the statistics of any trades at all."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from functools import reduce
from itertools import groupby
from operator import add

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from backtest_kit.reports.pooled import heat
from backtest_kit.reports.statistics import METRIC_NAMES, Equity, compute, equity_walk
from backtest_kit.reports.trades import Sample, Trade, total

DAY = 86_400_000
START = 1_704_067_200_000

percents = st.integers(-120_000, 300_000).map(lambda each: each / 1000)


@st.composite
def trades(draw: st.DrawFn, symbols: tuple[str, ...] = ("A", "B")) -> Trade:
    pnl = draw(percents)
    opened_at = START + draw(st.integers(0, 40)) * DAY // 2
    worst = draw(st.none() | st.integers(-120, 0))
    return Trade(
        symbol=draw(st.sampled_from(symbols)),
        strategy_name="any",
        position="long",
        opened_at=opened_at,
        closed_at=opened_at + draw(st.integers(0, 5)) * DAY // 4,
        price_open=100.0,
        price_close=draw(st.integers(0, 10**8)) / 100,
        cost=100.0,
        pnl_percent=pnl,
        pnl_cost=pnl,
        close_reason="any",
        peak_pnl_percent=draw(st.none() | st.integers(0, 300)),
        trough_pnl_percent=None if worst is None else min(worst, pnl),
    )


samples = st.lists(trades(), max_size=25)


@given(samples)
def test_a_figure_is_a_finite_number_or_it_has_a_reason(given_trades: list[Trade]) -> None:
    for found in (compute(given_trades), heat(given_trades).portfolio):
        for name in METRIC_NAMES:
            value = getattr(found, name)
            assert (value is None) == bool(found.missing.get(name))
            assert value is None or isinstance(value, str) or math.isfinite(value)


@given(samples)
def test_figures_stay_in_their_ranges(given_trades: list[Trade]) -> None:
    found = compute(given_trades)
    assert 0 <= found.max_drawdown <= 100
    assert found.win_count + found.loss_count <= found.total_trades == len(given_trades)
    assert found.win_rate is None or 0 <= found.win_rate <= 100
    assert found.calmar_ratio is None or abs(found.calmar_ratio) <= 1000
    assert found.recovery_factor is None or abs(found.recovery_factor) <= 1000
    assert found.expected_yearly_returns is None or abs(found.expected_yearly_returns) <= 100
    assert found.trades_per_year is None or 0 < found.trades_per_year <= 365
    assert found.trend_confidence is None or 0 <= found.trend_confidence <= 1
    assert found.buyer_pressure is None or found.buyer_pressure + (found.seller_pressure or 0) == 1


@given(st.lists(trades(), max_size=25, unique_by=lambda each: each.closed_at), st.randoms())
def test_only_runs_depend_on_the_order_given(given_trades: list[Trade], chance: random.Random) -> None:
    shuffled = given_trades[:]
    chance.shuffle(shuffled)
    one, other = compute(given_trades), compute(shuffled)
    for name in METRIC_NAMES:
        if "streak" in name or "consecutive" in name:
            continue
        ours, theirs = getattr(one, name), getattr(other, name)
        if isinstance(ours, float) and isinstance(theirs, float):
            assert math.isclose(ours, theirs, rel_tol=1e-6, abs_tol=1e-6), name
        else:
            assert ours == theirs, name


@given(st.lists(trades(symbols=("A",)), min_size=1, max_size=25, unique_by=lambda each: each.closed_at))
def test_one_symbol_pooled_has_the_account_of_that_symbol(given_trades: list[Trade]) -> None:
    ordered = sorted(given_trades, key=lambda each: each.closed_at)
    found = heat(ordered)
    assert found.portfolio.max_drawdown == found.symbols[0].statistics.max_drawdown
    assert found.portfolio.total_pnl == found.symbols[0].statistics.total_pnl


@given(samples)
def test_the_symbols_add_up_to_the_pool(given_trades: list[Trade]) -> None:
    found = heat(given_trades)
    rows = [each.statistics for each in found.symbols]
    assert sum(each.total_trades for each in rows) == found.portfolio.total_trades
    assert sum(each.win_count for each in rows) == found.portfolio.win_count
    assert math.isclose(sum(each.total_pnl for each in rows), found.portfolio.total_pnl, rel_tol=1e-9, abs_tol=1e-9)
    assert found.portfolio.max_win_streak == max((each.max_win_streak for each in rows), default=0)


@given(st.lists(st.floats(allow_nan=False), max_size=300))
def test_a_total_is_added_left_to_right_to_the_last_bit(values: list[float]) -> None:
    by_hand = reduce(add, values, 0.0)
    for found in (total(values), total(iter(values)), total(np.array(values))):
        assert repr(found) == repr(by_hand)  # tells 0.0 from -0.0, and takes NaN for NaN


@given(samples)
def test_the_account_is_the_one_that_is_followed_trade_by_trade(given_trades: list[Trade]) -> None:
    last_first = given_trades[::-1]
    ordered = sorted(last_first, key=lambda each: each.closed_at)
    assert equity_walk(Sample.of(given_trades).in_closing_order()) == _followed(ordered)


@given(st.lists(trades(), min_size=1, max_size=25), st.integers(1, 40))
def test_runs_are_those_that_are_met_trade_by_trade(given_trades: list[Trade], times: int) -> None:
    pnls = [each.pnl_percent for each in given_trades for _ in range(times)]
    found = compute([each for each in given_trades for _ in range(times)])
    runs = [list(run) for sign, run in groupby(pnls, key=np.sign) if sign > 0]
    assert found.max_win_streak == max(map(len, runs), default=0)
    if runs:
        assert found.avg_consecutive_win_pnl is not None
        assert math.isclose(found.avg_consecutive_win_pnl, math.fsum(map(math.fsum, runs)) / len(runs), rel_tol=1e-12)


def _followed(trades: Sequence[Trade]) -> Equity:
    equity, peak, drawdown = 1.0, 1.0, 0.0
    for each in trades:
        lowest = equity * (1 + min(each.trough_pnl_percent or 0.0, 0.0) / 100)
        drawdown = max(drawdown, (peak - lowest) / peak * 100)
        equity *= 1 + each.pnl_percent / 100
        if lowest <= 0 or equity <= 0:
            return Equity(0.0, 100.0, blown=True)
        peak = max(peak, equity)
        drawdown = max(drawdown, (peak - equity) / peak * 100)
    return Equity(equity, drawdown, blown=False)
