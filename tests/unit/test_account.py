"""The account: figures worked out by hand, and the same ones from a well-kept public library."""

from __future__ import annotations

import math
from collections.abc import Sequence

import empyrical  # type: ignore[import-untyped, import-not-found, unused-ignore]
import numpy as np
import pytest

from backtest_kit.core.candles import Candles, Floats
from backtest_kit.core.values import MINUTE, Interval
from backtest_kit.reports.account import Account, account, alpha_beta, cagr, sharpe_ratio, sortino_ratio
from backtest_kit.reports.equity import EquityCurve, Prices, daily_returns, equity_curve
from backtest_kit.reports.trades import Trade

HOUR = 60 * MINUTE
DAY = 24 * HOUR
START = 1_704_067_200_000


def curve_of(
    equity: Sequence[float] | Floats, benchmark: Sequence[float] | Floats = (), step: int = DAY
) -> EquityCurve:
    """A curve with these values, one a step."""
    values, nothing = np.array(equity, dtype=np.float64), np.zeros(len(equity))
    held = np.array(benchmark, dtype=np.float64) if len(benchmark) else np.full(len(equity), np.nan)
    return EquityCurve(START + np.arange(len(equity)) * step, values, nothing, nothing, held)


def trade(opened_day: float, closed_day: float, pnl: float, **fields: object) -> Trade:
    base: dict[str, object] = {
        "symbol": "BTCUSDT",
        "strategy_name": "test",
        "position": "long",
        "opened_at": START + int(opened_day * DAY),
        "closed_at": START + int(closed_day * DAY),
        "price_open": 100.0,
        "price_close": 100.0 + pnl,
        "cost": 100.0,
        "pnl_percent": pnl,
        "pnl_cost": pnl,
        "close_reason": "closed",
    }
    return Trade(**(base | fields))  # type: ignore[arg-type]


def run(*trades: Trade, days: float = 20, balance: float = 1000.0) -> Account:
    return account(equity_curve(trades, (), START, START + int(days * DAY), balance), trades)


@pytest.fixture(scope="module", params=range(4))
def walks(request: pytest.FixtureRequest) -> tuple[Floats, Floats]:
    """An equity and a benchmark, one value a day, with a tie between them."""
    chance = np.random.default_rng(request.param)
    market = chance.normal(0.001, 0.03, 30 + 200 * request.param)
    own = 0.4 * market + chance.normal(0.0005, 0.01, len(market))
    return tuple(1000 * np.cumprod(np.append(1.0, 1 + each)) for each in (own, market))  # type: ignore[return-value]


def test_ratios_are_those_of_the_public_library(walks: tuple[Floats, Floats]) -> None:
    curve = curve_of(*walks)
    found, returns = account(curve, ()), daily_returns(curve)
    assert found.sharpe_ratio == pytest.approx(empyrical.sharpe_ratio(returns, annualization=365), rel=1e-9)
    assert found.sortino_ratio == pytest.approx(empyrical.sortino_ratio(returns, annualization=365), rel=1e-9)
    assert found.max_drawdown == pytest.approx(-100 * empyrical.max_drawdown(returns), rel=1e-9)
    assert found.cagr == pytest.approx(100 * empyrical.cagr(returns, annualization=365), rel=1e-9)
    assert found.calmar_ratio == pytest.approx(empyrical.calmar_ratio(returns, annualization=365), rel=1e-9)
    assert found.volatility == pytest.approx(100 * empyrical.annual_volatility(returns, annualization=365), rel=1e-9)
    assert found.total_return == pytest.approx(100 * empyrical.cum_returns_final(returns), rel=1e-9)


def test_alpha_and_beta_are_those_of_the_public_library(walks: tuple[Floats, Floats]) -> None:
    found = account(curve_of(*walks), ())
    own, market = (np.diff(each) / each[:-1] for each in walks)
    alpha, beta = empyrical.alpha_beta_aligned(own, market, annualization=365)
    assert (found.alpha, found.beta) == pytest.approx((100 * alpha, beta), rel=1e-9, abs=1e-9)


def test_with_hourly_steps_the_library_agrees_on_days_but_sees_no_fall_within_a_day() -> None:
    chance = np.random.default_rng(9)
    curve = curve_of(1000 * np.cumprod(np.append(1.0, 1 + chance.normal(0, 0.01, 24 * 60))), step=HOUR)
    found, returns = account(curve, ()), daily_returns(curve)
    assert found.sharpe_ratio == pytest.approx(empyrical.sharpe_ratio(returns, annualization=365), rel=1e-9)
    # The library knows the ends of days only; the account was lower between two of them.
    assert found.max_drawdown > -100 * empyrical.max_drawdown(returns)
    assert found.max_drawdown == pytest.approx(-100 * empyrical.max_drawdown(np.diff(curve.equity) / curve.equity[:-1]))


def test_a_part_of_a_day_counts_as_a_day_in_ratios_but_not_in_the_growth_a_year() -> None:
    found = run(trade(1, 2, 50.0), trade(5, 6, -20.0), days=20.5)
    growth = 1.03 ** (365 / 20.5) - 1
    assert found.days == 20.5
    assert found.cagr == pytest.approx(100 * growth)
    # Here the library differs: to it 21 returns are 21 days.
    assert growth > 1.03 ** (365 / 21) - 1


def test_the_deepest_fall_lasts_from_its_highest_point_to_the_recovery() -> None:
    found = account(curve_of([100, 120, 120, 90, 100, 119, 120, 130, 125]), ())
    assert found.max_drawdown == pytest.approx(25.0)
    assert found.max_drawdown_days == 4


def test_a_fall_without_recovery_lasts_to_the_end() -> None:
    found = account(curve_of([100, 120, 110, 90, 100]), ())
    assert (found.max_drawdown, found.max_drawdown_days) == pytest.approx((25.0, 3.0))


def test_an_account_that_never_fell_has_no_ratio_over_its_falls() -> None:
    found = account(curve_of([100 + day for day in range(20)]), ())
    assert (found.max_drawdown, found.max_drawdown_days) == (0, 0)
    assert found.calmar_ratio is None
    assert found.missing["calmar_ratio"] == "the account never fell"
    assert found.missing["sortino_ratio"] == "no day lost"
    assert found.sharpe_ratio is not None


def test_a_flat_account_has_no_sharpe_ratio() -> None:
    found = run(days=20)
    assert found.sharpe_ratio is None
    assert found.missing["sharpe_ratio"] == "the returns of the days do not differ"
    assert (found.total_return, found.cagr, found.volatility, found.average_exposure) == (0, 0, 0, 0)
    assert (found.time_in_market, found.turnover, found.best_day) == (0, 0, 0)
    assert found.missing["cost_share"] == "no trades"


def test_less_than_two_weeks_carry_no_figure_a_year() -> None:
    found = run(trade(1, 2, 5.0), days=13)
    yearly = ("cagr", "volatility", "sharpe_ratio", "sortino_ratio", "calmar_ratio", "turnover")
    assert [getattr(found, name) for name in yearly] == [None] * 6
    assert {found.missing[name] for name in yearly} == {"needs 14 days, has 13"}
    assert found.total_return == pytest.approx(0.5)
    assert found.best_day == pytest.approx(0.5)


def test_two_weeks_are_enough() -> None:
    assert run(trade(1, 2, 5.0), trade(3, 4, -1.0), days=14).sharpe_ratio is not None


def test_a_lost_account_has_lost_everything_and_no_ratios() -> None:
    found = run(trade(0, 2, -1500.0), trade(4, 6, 500.0), days=20)
    assert (found.final_balance, found.total_return, found.cagr) == (0, -100, -100)
    assert (found.max_drawdown, found.max_drawdown_days, found.worst_day) == (100, 18, -100)
    for name in ("volatility", "sharpe_ratio", "sortino_ratio", "calmar_ratio"):
        assert getattr(found, name) is None
        assert found.missing[name] == "the account was lost"
    assert found.time_in_market == pytest.approx(10.0)


def test_an_account_lost_at_once_has_no_exposure() -> None:
    found = run(trade(0, 0.5, -1500.0), days=20)
    assert found.average_exposure is None
    assert found.missing["average_exposure"] == "the account was lost"


def test_a_run_without_length_says_so() -> None:
    found = run(days=0)
    for name in ("best_day", "worst_day", "time_in_market", "max_exposure"):
        assert getattr(found, name) is None
        assert found.missing[name] == "the run has no length"
    assert found.total_return == 0


def test_time_in_the_market_counts_overlapping_trades_once() -> None:
    found = run(trade(1, 5, 1.0), trade(2, 3, 1.0), trade(4, 7, 1.0), trade(10, 12, 1.0), trade(10, 11, 1.0))
    assert found.time_in_market == pytest.approx(100 * (6 + 2) / 20)


def test_exposure_is_percent_of_the_equity_of_the_moment() -> None:
    candles = Candles(Interval.D1, START, *(np.full(20, price) for price in (100.0, 100.0, 100.0, 200.0, 1.0)))
    done = [trade(4.5, 9.5, 100.0)]
    found = account(equity_curve(done, [Prices("BTCUSDT", candles)], START, START + 20 * DAY, 1000.0), done)
    assert found.max_exposure == pytest.approx(100 * 200 / 1100)
    assert found.average_exposure == pytest.approx(100 * 200 / 1100 * 5 / 20)


def test_turnover_is_all_money_traded_over_the_mean_equity_a_year() -> None:
    long, short = trade(0, 20, 10.0, leverage=2.0), trade(0, 20, 10.0, position="short")
    found = run(long, short, days=20, balance=1e6)
    # In 200 and 100, out 210 and, for a short buys back for less, 90.
    assert found.turnover == pytest.approx(600 / 1e6 / (20 / 365), rel=1e-4)


def test_costs_are_a_share_of_the_profit_before_them() -> None:
    found = run(trade(0, 1, 6.0, fees=3.0, slippage=1.0), trade(2, 3, -5.0, fees=1.0))
    assert (found.fees, found.slippage) == (4.0, 1.0)
    assert found.cost_share == pytest.approx(100 * 5 / 6)


def test_there_is_no_share_of_a_profit_that_was_not_made() -> None:
    assert run(trade(0, 1, -5.0, fees=3.0)).missing["cost_share"] == "no profit before costs"


def test_without_prices_there_is_nothing_to_compare_with() -> None:
    found = run(trade(0, 1, 5.0))
    assert [found.benchmark_return, found.alpha, found.beta] == [None] * 3
    assert found.missing["beta"] == "no prices were kept"


def test_a_benchmark_that_stands_still_has_no_beta() -> None:
    found = account(curve_of([100 + day for day in range(20)], [100] * 20), ())
    assert found.benchmark_return == 0
    assert found.missing["alpha"] == found.missing["beta"] == "buying and holding did not move"


def test_an_account_that_is_the_benchmark_has_beta_one_and_no_alpha(walks: tuple[Floats, Floats]) -> None:
    found = account(curve_of(walks[1], walks[1]), ())
    assert found.beta == pytest.approx(1.0)
    assert found.alpha == pytest.approx(0.0, abs=1e-9)


def test_best_and_worst_day_are_percent() -> None:
    found = account(curve_of([100, 110, 99, 99]), ())
    assert (found.best_day, found.worst_day) == pytest.approx((10.0, -10.0))


def test_a_growth_that_no_number_holds_is_not_stated() -> None:
    assert getattr(cagr(1.0, 1e300, 14.0), "reason", "") == "too large to be stated"
    found = account(curve_of([10.0**power for power in range(0, 300, 15)]), ())
    assert found.cagr is None
    assert found.missing["cagr"] == "too large to be stated"


def test_a_daily_loss_beyond_everything_has_no_alpha() -> None:
    market = np.array([0.5, -0.1] * 8)
    alpha, beta = alpha_beta(-30 * market, market)
    assert beta == pytest.approx(-30.0)
    assert alpha == pytest.approx(0.0, abs=1e-6)
    alpha, _ = alpha_beta(np.array([-2.0, -1.0] * 8), market - market.mean())
    assert getattr(alpha, "reason", "") == "it loses more than everything a day"


def test_the_ratios_of_returns_are_those_worked_out_by_hand() -> None:
    returns = np.array([0.02, -0.01] * 10)
    assert sharpe_ratio(returns) == pytest.approx(0.005 / math.sqrt(20 * 0.015**2 / 19) * math.sqrt(365))
    assert sortino_ratio(returns) == pytest.approx(0.005 / math.sqrt(0.0001 / 2) * math.sqrt(365))
