"""The statistics: every metric on samples small enough to check by hand, and the reasons for missing ones."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from backtest_kit.core.values import MINUTE
from backtest_kit.errors import UnknownNameError
from backtest_kit.reports.pooled import heat
from backtest_kit.reports.statistics import METRIC_NAMES, compute, why_missing
from backtest_kit.reports.trades import Trade

DAY = 1440 * MINUTE
START = 1_704_067_200_000


def trade(number: float = 0, pnl: float = 1.0, **fields: object) -> Trade:
    """A trade of four hours on day `number`."""
    base: dict[str, object] = {
        "symbol": "BTCUSDT",
        "strategy_name": "test",
        "position": "long",
        "opened_at": START + int(number * DAY),
        "closed_at": START + int(number * DAY) + 240 * MINUTE,
        "price_open": 100.0,
        "price_close": 100.0 + pnl,
        "cost": 100.0,
        "pnl_percent": pnl,
        "pnl_cost": pnl,
        "close_reason": "take_profit" if pnl > 0 else "stop_loss",
    }
    return Trade(**(base | fields))  # type: ignore[arg-type]


def sample(*pnls: float, **fields: object) -> list[Trade]:
    return [trade(number, pnl, **fields) for number, pnl in enumerate(pnls)]


def every_other_day(*pnls: float) -> list[Trade]:
    return [trade(2 * number, pnl) for number, pnl in enumerate(pnls)]


WON_AND_LOST = (2.0, -1.0) * 5


def test_counts_leave_out_a_trade_that_neither_won_nor_lost() -> None:
    found = compute(sample(1.0, 0.0, -1.0, 3.0))
    assert (found.total_trades, found.win_count, found.loss_count) == (4, 2, 1)
    assert found.win_rate == pytest.approx(200 / 3)


def test_profits_add_up_and_are_not_compounded() -> None:
    found = compute(sample(10.0, 10.0, -5.0))
    assert found.total_pnl == 15.0
    assert found.avg_pnl == 5.0


@pytest.mark.parametrize(("pnls", "middle"), [((3.0, 1.0, 2.0), 2.0), ((4.0, 1.0, 2.0, 3.0), 2.5)])
def test_the_median_is_the_middle_or_the_mean_of_the_two_middle_ones(pnls: Sequence[float], middle: float) -> None:
    assert compute(sample(*pnls)).median_pnl == middle


def test_ratios_of_ten_trades_are_those_worked_out_by_hand() -> None:
    found = compute(every_other_day(*WON_AND_LOST))
    deviation = math.sqrt(10 * 1.5**2 / 9)
    assert found.std_dev == pytest.approx(deviation)
    assert found.sharpe_ratio == pytest.approx(0.5 / deviation)
    assert found.sortino_ratio == pytest.approx(0.5 / math.sqrt(5 / 10))
    assert found.certainty_ratio == 2.0
    assert found.expectancy == pytest.approx(0.5)
    assert found.profit_factor == 2.0
    assert (found.avg_win, found.avg_loss) == (2.0, -1.0)


def test_a_year_is_projected_from_first_opening_to_last_close() -> None:
    found = compute(every_other_day(*WON_AND_LOST))
    days = 18 + 4 / 24
    assert found.trades_per_year == pytest.approx(10 / days * 365)
    assert found.annualized_sharpe_ratio == pytest.approx(found.sharpe_ratio * math.sqrt(10 / days * 365))  # type: ignore[operator]
    final = (1.02 * 0.99) ** 5
    assert found.recovery_factor == pytest.approx((final - 1) * 100 / found.max_drawdown)


def test_a_projection_over_a_hundred_percent_is_withheld() -> None:
    found = compute(every_other_day(*(5.0, -0.5) * 5))
    assert found.expected_yearly_returns is None
    assert "100 % a year" in why_missing(found, "expected_yearly_returns")
    assert why_missing(found, "calmar_ratio") == why_missing(found, "expected_yearly_returns")


def test_an_account_that_outgrows_every_float_is_withheld_and_not_an_error() -> None:
    found = compute(every_other_day(*[1e10] * 30, -1.0))
    assert found.expected_yearly_returns is None
    assert found.recovery_factor == 1000.0


def test_drawdown_counts_the_worst_moment_of_a_trade_that_ended_well() -> None:
    assert compute([trade(pnl=2.0, trough_pnl_percent=-18.0)]).max_drawdown == pytest.approx(18.0)
    assert compute([trade(pnl=2.0, trough_pnl_percent=None)]).max_drawdown == 0.0


def test_drawdown_is_measured_from_the_highest_account() -> None:
    assert compute(sample(100.0, -50.0)).max_drawdown == pytest.approx(50.0)
    assert compute(sample(-10.0, -10.0)).max_drawdown == pytest.approx(19.0)


@pytest.mark.parametrize(
    "last",
    [trade(25, -100.0, price_close=0.0), trade(25, -130.0), trade(25, 5.0, trough_pnl_percent=-100.0)],
    ids=["lost all", "lost more than all", "was lost on the way"],
)
def test_a_lost_account_has_a_drawdown_of_100_and_no_recovery(last: Trade) -> None:
    found = compute([*every_other_day(*WON_AND_LOST), last])
    assert found.max_drawdown == 100.0
    assert found.expected_yearly_returns == -100.0
    assert found.calmar_ratio == -1.0
    assert why_missing(found, "recovery_factor") == "the account was lost"


def test_the_account_follows_closing_times_whatever_the_order_given() -> None:
    trades = every_other_day(50.0, -50.0, 20.0)
    assert compute(trades[::-1]).max_drawdown == compute(trades).max_drawdown == pytest.approx(50.0)


def test_runs_of_winners_and_losers_follow_the_order_given() -> None:
    found = compute(sample(1.0, 2.0, -1.0, 3.0, -2.0, -3.0))
    assert (found.max_win_streak, found.max_loss_streak) == (2, 2)
    assert found.avg_consecutive_win_pnl == 3.0
    assert found.avg_consecutive_loss_pnl == -3.0


def test_a_trade_without_profit_ends_a_run() -> None:
    assert compute(sample(-1.0, 0.0, 0.0, -1.0)).max_loss_streak == 1
    found = compute(sample(1.0, 0.0, 0.0, 1.0))
    assert found.max_win_streak == 1
    assert found.avg_consecutive_win_pnl == 1.0


def test_durations_are_minutes_of_all_of_winners_and_of_losers() -> None:
    long = trade(1, -1.0, closed_at=START + DAY + 480 * MINUTE)
    found = compute([trade(0, 1.0), long])
    assert (found.avg_duration, found.avg_win_duration, found.avg_loss_duration) == (360.0, 240.0, 480.0)


def test_peaks_and_troughs_are_those_of_trades_that_have_one() -> None:
    found = compute([trade(0, peak_pnl_percent=2.0, trough_pnl_percent=-1.0), trade(1, peak_pnl_percent=4.0), trade(2)])
    assert (found.avg_peak_pnl, found.peak_profit_pnl) == (3.0, 4.0)
    assert (found.avg_fall_pnl, found.max_drawdown_pnl) == (-1.0, -1.0)


def test_prices_that_rise_steadily_are_a_bullish_market() -> None:
    rising = [trade(number, price_close=100 * 1.01**number) for number in range(10)]
    found = compute(rising)
    assert found.trend == "bullish"
    assert found.trend_strength == pytest.approx(math.log(1.01) * 100)
    assert found.trend_confidence == pytest.approx(1.0)
    assert found.median_step_size == pytest.approx(1.0)
    assert (found.buyer_pressure, found.seller_pressure, found.pressure_imbalance) == (1.0, 0.0, 1.0)


def test_prices_that_fall_steadily_are_a_bearish_market() -> None:
    found = compute([trade(number, price_close=100 * 0.99**number) for number in range(10)])
    assert found.trend == "bearish"
    assert (found.buyer_strength, found.seller_strength) == (0.0, 1.0)


def test_a_clear_slope_that_is_small_against_the_steps_is_neutral() -> None:
    found = compute([trade(10 * number, price_close=100 * 1.01**number) for number in range(10)])
    assert found.trend == "neutral"


def test_prices_that_come_and_go_are_sideways() -> None:
    found = compute([trade(number, price_close=100.0 + number % 2) for number in range(10)])
    assert found.trend == "sideways"
    assert found.buyer_pressure == pytest.approx(5 / 9)


def test_a_closing_price_of_zero_is_left_out_of_the_profile() -> None:
    steady = [trade(number, price_close=100.0) for number in range(10)]
    assert compute([*steady, trade(10, -100.0, price_close=0.0)]).median_step_size == 0.0
    short = compute([*steady[:9], trade(10, -100.0, price_close=0.0)])
    assert why_missing(short, "trend") == "needs 10 trades, has 9"


def test_closing_prices_beyond_comparison_make_no_profile() -> None:
    found = compute([trade(number, price_close=(1e-308, 1e308)[number % 2]) for number in range(10)])
    assert why_missing(found, "buyer_strength") == "the closing prices lie too far apart to be compared"


@pytest.mark.parametrize(
    ("trades", "metric", "reason"),
    [
        (sample(1.0, -1.0, 1.0, 1.0), "sharpe_ratio", "needs 10 trades, has 4"),
        (sample(*WON_AND_LOST), "trades_per_year", "needs 14 days of trading, has 9.2"),
        (sample(*WON_AND_LOST), "annualized_sharpe_ratio", "needs 14 days of trading, has 9.2"),
        ([trade(n / 3, p) for n, p in enumerate(WON_AND_LOST * 6)], "trades_per_year", "1104 trades a year"),
        (every_other_day(*[1.0] * 10), "sharpe_ratio", "the profits of the trades do not differ"),
        (every_other_day(*[1.0] * 10), "certainty_ratio", "no losing trade"),
        (every_other_day(*[1.0] * 10), "sortino_ratio", "no losing trade"),
        (every_other_day(*[1.0] * 10), "recovery_factor", "the account never fell"),
        (every_other_day(*[-1.0] * 10), "certainty_ratio", "no winning trade"),
        (every_other_day(*[-1.0] * 10), "profit_factor", "no winning trade"),
        (every_other_day(*[1.0, -1e-12] * 5), "profit_factor", "the losses are too small to divide by"),
        (every_other_day(*[1.0, -1e-12] * 5), "certainty_ratio", "the losses are too small to divide by"),
        (every_other_day(*[1.0, -1e-12] * 5), "sortino_ratio", "the losses are too small to divide by"),
        (every_other_day(*[0.0] * 10), "win_rate", "no trade won or lost"),
        (every_other_day(*[0.0] * 10), "expectancy", "no trade won or lost"),
        (every_other_day(*[0.0] * 10), "buyer_pressure", "the closing price never moved"),
        ([trade(0, float(n)) for n in range(1, 11)], "trend", "all trades closed at the same time"),
        (sample(1.0), "avg_peak_pnl", "no trade has a recorded peak"),
        (sample(1.0), "max_drawdown_pnl", "no trade has a recorded trough"),
        ([], "avg_pnl", "no trades"),
        ([], "median_pnl", "no trades"),
        ([], "win_rate", "no trade won or lost"),
    ],
)
def test_a_missing_figure_says_why(trades: list[Trade], metric: str, reason: str) -> None:
    found = compute(trades)
    assert getattr(found, metric) is None
    assert why_missing(found, metric).startswith(reason)


def test_a_figure_that_is_there_has_no_reason_to_be_missing() -> None:
    assert why_missing(compute(sample(1.0)), "total_pnl") == ""


def test_asking_about_an_unknown_metric_offers_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="sharpe_ratio"):
        why_missing(compute([]), "sharp_ratio")


def test_each_missing_figure_has_a_reason_and_no_other_has() -> None:
    for trades in ([], sample(1.0), sample(*WON_AND_LOST), every_other_day(*WON_AND_LOST)):
        found = compute(trades)
        assert set(found.missing) == {each for each in METRIC_NAMES if getattr(found, each) is None}


def test_of_trades_that_close_together_the_last_given_is_followed_first() -> None:
    up, down = trade(0, 50.0, trough_pnl_percent=-20.0), trade(0, -10.0)
    assert compute([up, down]).max_drawdown == pytest.approx(28.0)
    assert compute([down, up]).max_drawdown == pytest.approx(20.0)


def test_a_symbol_row_is_the_statistics_of_its_own_trades() -> None:
    one, two = sample(1.0, -2.0), sample(3.0, symbol="ETHUSDT")
    found = heat([*one, *two])
    assert {row.symbol: row.statistics for row in found.symbols} == {
        "BTCUSDT": compute(one),
        "ETHUSDT": compute(two),
    }


def test_symbols_stand_by_sharpe_ratio_and_those_without_one_last() -> None:
    weak, strong = sample(*(1.0, -0.9) * 5, symbol="WEAK"), sample(*(1.0, -0.1) * 5, symbol="STRONG")
    found = heat([*sample(9.0, symbol="FEW"), *weak, *strong])
    assert [row.symbol for row in found.symbols] == ["STRONG", "WEAK", "FEW"]


def test_pooled_averages_are_weighted_with_the_trades_of_each_symbol() -> None:
    one = sample(1.0, 1.0, -1.0, peak_pnl_percent=2.0)
    two = sample(4.0, symbol="ETHUSDT", peak_pnl_percent=6.0)
    pooled = heat([*one, *two, trade(3, 0.0, symbol="NOPEAK")]).portfolio
    assert pooled.avg_peak_pnl == pytest.approx((2.0 * 3 + 6.0 * 1) / 4)
    assert pooled.avg_consecutive_win_pnl == pytest.approx((2.0 * 3 + 4.0 * 1) / 4)
    assert (pooled.total_trades, pooled.peak_profit_pnl, pooled.max_win_streak) == (5, 6.0, 2)


def test_pooled_ratios_need_ten_trades_of_all_symbols_together() -> None:
    halves = [*sample(*WON_AND_LOST[:5]), *sample(*WON_AND_LOST[5:], symbol="ETHUSDT")]
    found = heat(halves)
    assert all(row.statistics.sharpe_ratio is None for row in found.symbols)
    assert found.portfolio.sharpe_ratio is not None
    assert why_missing(found.portfolio, "trend") == "prices of several symbols are not one series"


def test_pooling_one_symbol_is_that_symbol() -> None:
    trades = every_other_day(*WON_AND_LOST)
    found = heat(trades)
    assert found.portfolio == found.symbols[0].statistics == compute(trades)


def test_pooling_nothing_is_nothing() -> None:
    found = heat([])
    assert found.symbols == ()
    assert found.portfolio.total_trades == 0
    assert why_missing(found.portfolio, "avg_peak_pnl") == "no trades"


@pytest.mark.needs_shared
def test_recorded_results_of_the_reference_are_matched(shared: Path) -> None:
    passed, failed = _conformance().check(shared / "conformance" / "statistics.jsonl.gz")
    assert failed == []
    assert passed >= 45


def _conformance():
    """The checker beside these tests, loaded by its path: `tests` need not be a package for it."""
    path = Path(__file__).parent.parent / "conformance" / "statistics.py"
    spec = importlib.util.spec_from_file_location("conformance_statistics", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
