"""Significance: the published examples of its formulas, and intervals against what is known of simple samples."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np
import pytest

from backtest_kit.core.values import MINUTE
from backtest_kit.errors import ConfigError
from backtest_kit.reports.significance import (
    IntervalOf,
    Moments,
    Significance,
    deflated_sharpe_ratio,
    expected_best,
    minimum_track_record_length,
    moments,
    probabilistic_sharpe_ratio,
    significance,
)
from backtest_kit.reports.statistics import compute
from backtest_kit.reports.trades import Missing, Trade

DAY = 1440 * MINUTE
START = 1_704_067_200_000
FIGURES = tuple(each for each in Significance.__struct_fields__ if each not in ("trials", "missing"))


def sample(pnls: Sequence[float]) -> list[Trade]:
    """Trades of a day, one after the other."""
    return [
        Trade(
            symbol="BTCUSDT",
            strategy_name="test",
            position="long",
            opened_at=START + number * DAY,
            closed_at=START + number * DAY + DAY // 2,
            price_open=100.0,
            price_close=100.0 + pnl,
            cost=100.0,
            pnl_percent=pnl,
            pnl_cost=pnl,
            close_reason="closed",
        )
        for number, pnl in enumerate(pnls)
    ]


def drawn(count: int, mean: float = 0.2, seed: int = 1) -> list[float]:
    pnls: list[float] = np.random.default_rng(seed).normal(mean, 1.0, count).tolist()
    return pnls


def shape(sharpe: float, count: int, skewness: float = 0.0, kurtosis: float = 3.0) -> Moments:
    return Moments(count, sharpe, 1.0, skewness, kurtosis)


def width(interval: IntervalOf | None) -> float:
    assert interval is not None
    return interval.high - interval.low


def test_the_deflated_ratio_is_that_of_the_published_example() -> None:
    # Bailey and López de Prado (2014): five years of days, 100 trials, a ratio of 2.5 a year; 250 days make one.
    found = shape(2.5 / math.sqrt(250), 1250, skewness=-3.0, kurtosis=10.0)
    assert math.sqrt(0.5 / 250) * expected_best(100) == pytest.approx(0.1132, abs=5e-5)
    assert deflated_sharpe_ratio(found, 100, variance=0.5 / 250) == pytest.approx(0.9004, abs=5e-5)


@pytest.mark.parametrize(("periods", "years"), [(252, 2.73), (52, 2.83), (12, 3.24)])
def test_the_minimum_length_is_that_of_the_published_example(periods: int, years: float) -> None:
    # Bailey and López de Prado (2012): a ratio of 2 a year against 1, normal returns, 95 %.
    found = minimum_track_record_length(shape(2 / math.sqrt(periods), 100), 1 / math.sqrt(periods))
    assert isinstance(found, float)
    assert found / periods == pytest.approx(years, abs=5e-3)


def test_a_sample_of_the_minimum_length_is_probable_with_that_confidence() -> None:
    length = minimum_track_record_length(shape(0.2, 100, -1.0, 6.0))
    assert isinstance(length, float)
    assert probabilistic_sharpe_ratio(Moments(round(length), 0.2, 1.0, -1.0, 6.0)) == pytest.approx(0.95, abs=1e-3)


def test_losing_tails_make_a_ratio_less_probable() -> None:
    normal, tailed = (probabilistic_sharpe_ratio(each) for each in (shape(0.2, 50), shape(0.2, 50, -2.0, 10.0)))
    assert isinstance(normal, float)
    assert isinstance(tailed, float)
    assert 0.5 < tailed < normal


def test_a_ratio_of_zero_is_as_likely_above_as_below() -> None:
    assert probabilistic_sharpe_ratio(shape(0.0, 50)) == 0.5


def test_one_trial_deflates_nothing_and_more_deflate_more() -> None:
    found = shape(0.3, 50)
    ratios = [deflated_sharpe_ratio(found, trials) for trials in (1, 2, 10, 1000, 10**18)]
    assert ratios[0] == probabilistic_sharpe_ratio(found)
    assert ratios == sorted(ratios, reverse=True)  # type: ignore[type-var]  # all are numbers
    assert len(set(ratios)) == 5


@pytest.mark.parametrize("trials", [2, 10, 100])
def test_the_expected_best_of_several_is_near_that_of_real_draws(trials: int) -> None:
    best = np.random.default_rng(2).normal(size=(20_000, trials)).max(axis=1).mean()
    assert expected_best(trials) == pytest.approx(best, abs=0.06)


def test_no_length_is_enough_for_a_ratio_that_is_not_ahead() -> None:
    assert type(minimum_track_record_length(shape(-0.1, 50))) is Missing
    assert type(minimum_track_record_length(shape(0.1, 50), benchmark=0.1)) is Missing


def test_a_sample_of_two_values_can_have_a_ratio_without_a_deviation() -> None:
    nothing = shape(1.0, 50, skewness=2.0, kurtosis=5.0)
    assert type(probabilistic_sharpe_ratio(nothing)) is Missing
    assert type(minimum_track_record_length(nothing)) is Missing


def test_moments_are_those_of_the_definition() -> None:
    values = [1.0] * 9 + [11.0]
    found = moments(values)
    assert isinstance(found, Moments)
    assert (found.count, found.mean) == (10, 2.0)
    assert found.deviation == pytest.approx(math.sqrt(90 / 9))
    assert found.skewness == pytest.approx((9 * -1 + 729) / 10 / 27)
    assert found.kurtosis == pytest.approx((9 + 6561) / 10 / 81)


def test_the_ratio_is_that_of_the_statistics() -> None:
    trades = sample(drawn(40))
    found = moments([each.pnl_percent for each in trades])
    assert isinstance(found, Moments)
    assert found.sharpe_ratio == pytest.approx(compute(trades).sharpe_ratio)


@pytest.mark.parametrize(
    ("pnls", "reason"),
    [
        ((), "needs 10 trades, has 0"),
        ((1.0,) * 9, "needs 10 trades, has 9"),
        ((1.0,) * 12, "the profits of the trades do not differ"),
    ],
)
def test_a_sample_that_carries_nothing_says_why(pnls: Sequence[float], reason: str) -> None:
    found = significance(sample(pnls))
    assert [getattr(found, name) for name in FIGURES] == [None] * len(FIGURES)
    assert dict(found.missing) == dict.fromkeys(FIGURES, reason)


def test_a_sample_that_carries_everything_misses_nothing() -> None:
    found = significance(sample(drawn(200)), trials=5)
    assert dict(found.missing) == {}
    assert found.trials == 5


def test_wins_alone_have_no_interval_against_losses() -> None:
    found = significance(sample([1.0, 2.0] * 10))
    assert found.win_rate is found.profit_factor is None
    assert found.missing["win_rate"] == found.missing["profit_factor"] == "no losing trade"
    assert found.avg_pnl is not None
    assert significance(sample([-1.0, -2.0] * 10)).missing["win_rate"] == "no winning trade"


def test_a_single_loss_is_too_little_to_bound_the_profit_factor() -> None:
    found = significance(sample([1.0, 2.0] * 10 + [-1.0]))
    assert found.profit_factor is None
    assert found.missing["profit_factor"] == "too many of the drawn samples have nothing to divide by"
    assert found.win_rate is not None
    assert found.win_rate.high == 100


def test_intervals_hold_the_figures_of_the_sample() -> None:
    trades = sample(drawn(150))
    found, figures = significance(trades), compute(trades)
    for name in ("avg_pnl", "win_rate", "sharpe_ratio", "profit_factor"):
        interval = getattr(found, name)
        assert interval.low < getattr(figures, name) < interval.high
        assert interval.level == 95


def test_the_interval_of_the_mean_is_that_of_the_normal_distribution_where_trades_are_independent() -> None:
    pnls = drawn(2000)
    expected = 2 * 1.96 * float(np.std(pnls)) / math.sqrt(2000)
    assert width(significance(sample(pnls)).avg_pnl) == pytest.approx(expected, rel=0.15)


def test_trades_that_repeat_each_other_have_wider_intervals() -> None:
    alone = drawn(300)
    repeated = [pnl for pnl in alone[:60] for _ in range(5)]
    shuffled = repeated[:]
    random.Random(1).shuffle(shuffled)
    assert width(significance(sample(repeated)).avg_pnl) > 1.3 * width(significance(sample(shuffled)).avg_pnl)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    hits = 0
    for seed in range(100):
        interval = significance(sample(drawn(60, mean=0.3, seed=seed))).avg_pnl
        assert interval is not None
        hits += interval.low <= 0.3 <= interval.high
    assert 82 <= hits <= 99


def test_the_chance_of_an_edge_that_is_there_is_small_and_of_none_is_not() -> None:
    edge, none, loss = (significance(sample(drawn(200, mean=mean))).p_value for mean in (0.5, 0.0, -0.5))
    assert edge is not None
    assert none is not None
    assert loss is not None
    assert edge < 0.01 < none < 0.99 < loss <= 1


def test_without_an_edge_the_chance_is_spread_evenly() -> None:
    chances = [significance(sample(drawn(80, mean=0.0, seed=seed))).p_value or 0.0 for seed in range(100)]
    assert 0.4 < float(np.mean(chances)) < 0.6
    assert 1 <= sum(chance < 0.1 for chance in chances) <= 20


def test_the_answer_depends_on_the_seed_alone_and_on_no_order() -> None:
    trades = sample(drawn(50))
    shuffled = trades[:]
    random.Random(5).shuffle(shuffled)
    assert significance(trades) == significance(shuffled) == significance(trades, seed=0)
    assert significance(trades).avg_pnl != significance(trades, seed=1).avg_pnl


def test_less_than_one_trial_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        significance([], trials=0)
