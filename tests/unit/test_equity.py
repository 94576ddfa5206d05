"""The equity curve: runs so small that every row can be worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from backtest_kit.core.candles import Candles, Floats
from backtest_kit.core.position import averaged, opened, profit, reduced
from backtest_kit.core.values import MINUTE, Interval, Side, Signal, Terms
from backtest_kit.errors import ConfigError
from backtest_kit.reports.equity import EquityCurve, Prices, daily, daily_returns, equity_curve
from backtest_kit.reports.trades import Leg, Trade, legs_of

HOUR = 60 * MINUTE
DAY = 24 * HOUR
START = 1_704_067_200_000
NAN = math.nan


def trade(opened_hour: float, closed_hour: float, pnl: float, **fields: object) -> Trade:
    """A trade of 100 at a price of 100 that made `pnl`, without costs, between two hours of the run."""
    base: dict[str, object] = {
        "symbol": "BTCUSDT",
        "strategy_name": "test",
        "position": "long",
        "opened_at": START + int(opened_hour * HOUR),
        "closed_at": START + int(closed_hour * HOUR),
        "price_open": 100.0,
        "price_close": 100.0 + pnl,
        "cost": 100.0,
        "pnl_percent": pnl,
        "pnl_cost": pnl,
        "close_reason": "closed",
    }
    return Trade(**(base | fields))  # type: ignore[arg-type]


def prices(*closes: float, symbol: str = "BTCUSDT", interval: Interval = Interval.H1, start: int = START) -> Prices:
    """Candles that open where the one before closed; the first opens at 100."""
    close = np.array(closes)
    opening = np.append(100.0, close)[:-1]
    return Prices(symbol, Candles(interval, start, opening, close, close, close, np.ones(len(close))))


def curve_of(
    trades: Sequence[Trade], *market: Prices, hours: float = 4, balance: float = 1000.0, start: int = START
) -> EquityCurve:
    return equity_curve(trades, market, start, START + int(hours * HOUR), balance)


def test_an_open_position_is_marked_at_the_close_of_every_step() -> None:
    found = curve_of([trade(0.5, 2.5, 7.0)], prices(110.0, 90.0, 107.0, 50.0))
    assert found.times.tolist() == [START + hour * HOUR for hour in range(5)]
    assert found.equity.tolist() == pytest.approx([1000, 1010, 990, 1007, 1007])
    assert found.invested.tolist() == [0, 100, 100, 0, 0]
    assert found.exposure.tolist() == pytest.approx([0, 110, 90, 0, 0])


def test_a_short_with_leverage_earns_the_other_way_and_that_many_times() -> None:
    found = curve_of([trade(0, 3.5, -30.0, position="short", leverage=3.0)], prices(110.0, 90.0, 100.0, 110.0))
    assert found.equity.tolist() == pytest.approx([1000, 970, 1030, 1000, 970])
    assert found.invested.tolist() == [0, 100, 100, 100, 0]
    assert found.exposure.tolist() == pytest.approx([0, 330, 270, 300, 0])


def test_costs_are_spread_over_the_orders_and_the_close_books_the_rest() -> None:
    found = curve_of([trade(0, 2.5, -4.0, fees=3.0, slippage=1.0)], prices(100.0, 100.0, 100.0, 100.0))
    assert found.equity.tolist() == pytest.approx([1000, 998, 998, 996, 996])


@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize("leverage", [1.0, 3.0])
def test_the_curve_counts_averages_and_partials_as_the_position_does(side: Side, leverage: float) -> None:
    terms = Terms(fee_percent=0.0, slippage_percent=0.0)
    signal = Signal(side, 200.0 if side == "long" else 20.0, 20.0 if side == "long" else 200.0, leverage=leverage)
    first = opened(signal, START, 100.0, terms)
    second = averaged(first, START + HOUR, 90.0, 50.0, terms)
    third = reduced(second, START + 2 * HOUR, 104.0, 40.0, "profit", terms)
    final = profit(third, 99.0, terms)
    legs = legs_of(third, START + 3 * HOUR, 99.0)
    done = trade(0, 3, final.cost, position=side, leverage=leverage, pnl_percent=final.percent, cost=150.0, legs=legs)
    closes = (95.0, 92.0, 101.0, 99.0)
    expected = [profit(each, price, terms).cost for each, price in zip((first, second, third), closes, strict=False)]
    found = curve_of([done], prices(*closes))
    assert (found.equity - 1000).tolist() == pytest.approx([0.0, *expected, final.cost])
    assert found.invested.tolist() == pytest.approx([0, 100, 150, 90, 0])


def test_a_position_that_partial_exits_have_emptied_holds_nothing() -> None:
    legs = (Leg(START, "entry", 100.0, 100.0), Leg(START + HOUR, "partial_close", 120.0, 100.0))
    found = curve_of([trade(0, 3.5, 20.0, legs=legs)], prices(110.0, 120.0, 500.0, 1.0))
    assert found.equity.tolist() == pytest.approx([1000, 1010, 1020, 1020, 1020])
    assert found.exposure.tolist() == pytest.approx([0, 110, 0, 0, 0])


def test_a_missing_candle_is_marked_at_the_last_known_price() -> None:
    found = curve_of([trade(0, 3.5, 5.0)], prices(110.0, NAN, NAN, 105.0))
    assert found.equity.tolist() == pytest.approx([1000, 1010, 1010, 1010, 1005])


@pytest.mark.parametrize("market", [(NAN, NAN, NAN, NAN), (0.0, -1.0, math.inf, NAN), ()])
def test_a_position_without_any_known_price_counts_at_cost(market: Sequence[float]) -> None:
    found = curve_of([trade(0, 3.5, 5.0, leverage=2.0)], prices(*market))
    assert found.equity.tolist() == [1000, 1000, 1000, 1000, 1005]
    assert found.exposure.tolist() == [0, 200, 200, 200, 0]
    assert np.isnan(found.benchmark).all()


def test_without_prices_a_step_is_a_day_and_the_account_moves_when_a_trade_closes() -> None:
    found = curve_of([trade(1, 30, 5.0), trade(2, 3, 1.0)], hours=60)
    assert found.times.tolist() == [START, START + DAY, START + 2 * DAY, START + 60 * HOUR]
    assert found.equity.tolist() == [1000, 1001, 1006, 1006]
    assert found.invested.tolist() == found.exposure.tolist() == [0, 100, 0, 0]


def test_a_run_that_begins_and_ends_within_a_step_has_shorter_steps_there() -> None:
    found = curve_of([], prices(110.0, 120.0, 130.0), start=START + HOUR // 2, hours=2.25)
    assert ((found.times - START) / HOUR).tolist() == [0.5, 1, 2, 2.25]
    assert found.benchmark.tolist() == pytest.approx([1000, 1100, 1200, 1300])


def test_steps_reach_to_trades_that_opened_before_and_closed_after_the_run() -> None:
    found = curve_of([trade(-2, 1, 5.0), trade(1, 6, 7.0)], prices(100.0, 100.0, 100.0, 100.0))
    assert (found.times[0], found.times[-1]) == (START - 2 * HOUR, START + 6 * HOUR)
    assert (found.equity[0], found.equity[-1]) == (1000, 1012)


def test_a_trade_that_the_end_of_the_frame_closed_is_in_the_last_row() -> None:
    assert curve_of([trade(1, 4, 5.0)], prices(100.0, 100.0, 100.0, 100.0)).equity[-1] == 1005


def test_a_run_without_length_has_one_row_and_with_a_trade_a_second_one() -> None:
    assert curve_of([], hours=0).equity.tolist() == [1000]
    assert curve_of([trade(0, 0, 5.0)], hours=0).equity.tolist() == [1000, 1005]


def test_a_lost_account_stays_at_nothing_whatever_follows() -> None:
    found = curve_of([trade(0, 1, -90.0), trade(2, 3.5, 500.0)], prices(100.0, 100.0, 100.0, 100.0), balance=80.0)
    assert found.equity.tolist() == [80, 80, 0, 0, 0]
    assert found.exposure.tolist() == [0, 100, 0, 0, 0]
    assert found.drawdown.tolist() == [0, 0, 100, 100, 100]


@pytest.mark.parametrize(("side", "price"), [("long", 50.0), ("short", 150.0)])
def test_an_isolated_position_is_never_marked_below_what_it_holds(side: Side, price: float) -> None:
    done = trade(0, 3.5, 5.0, position=side, leverage=4.0, fees=4.0, isolated=True)
    found = curve_of([done, trade(0, 3.5, 0.0, position=side, isolated=True)], prices(price, 100.0, price, 100.0))
    fully = 1000 - 100 - 50
    assert found.equity.tolist() == pytest.approx([1000, fully, 998, fully, 1005])


def test_a_position_that_shares_the_account_is_marked_with_all_that_it_loses() -> None:
    shared = trade(0, 3.5, 5.0, leverage=4.0, trough_pnl_percent=-200.0)
    found = curve_of([shared], prices(50.0, 100.0, 100.0, 100.0))
    assert found.equity.tolist() == pytest.approx([1000, 800, 1000, 1000, 1005])


def test_an_isolated_position_recovers_from_the_basis_of_each_of_its_entries() -> None:
    legs = (Leg(START, "entry", 100.0, 100.0), Leg(START + HOUR, "average", 60.0, 60.0))
    found = curve_of(
        [trade(0, 3.5, 0.0, leverage=2.0, cost=160.0, legs=legs, isolated=True)], prices(40.0, 45.0, 80.0, 80.0)
    )
    assert found.equity.tolist() == pytest.approx([1000, 900, 1000 + 2 * (2 * 45 - 160), 1000, 1000])


def test_the_benchmark_holds_all_symbols_in_equal_parts_from_their_first_open() -> None:
    market = prices(110.0, 120.0, 130.0, 140.0), prices(NAN, NAN, 150.0, 300.0, symbol="ETHUSDT")
    late = Prices("ETHUSDT", _opening(market[1].candles, [NAN, NAN, 100.0, 150.0]))
    found = curve_of([], market[0], late, prices(NAN, NAN, NAN, NAN, symbol="NONE"))
    assert found.benchmark.tolist() == pytest.approx([1000, 1050, 1100, 650 + 750, 700 + 1500])


def test_the_benchmark_waits_where_closes_are_known_but_no_open() -> None:
    market = prices(110.0, 120.0)
    found = curve_of([], Prices("BTCUSDT", _opening(market.candles, [NAN, NAN])), hours=2)
    assert found.benchmark.tolist() == [1000, 1000, 1000]


def _opening(candles: Candles, opens: list[float]) -> Candles:
    close: Floats = candles.close
    return Candles(candles.interval, candles.start, np.array(opens), close, close, close, candles.volume)


def test_days_end_at_midnight_and_the_first_and_last_may_be_parts() -> None:
    found = curve_of(
        [trade(13, 14, 10.0), trade(30, 31, 10.0), trade(50, 50.5, -5.0)], hours=51, start=START + 12 * HOUR
    )
    days = daily(found)
    assert ((days.times - START) / HOUR).tolist() == [12, 24, 48, 51]
    assert days.equity.tolist() == [1000, 1010, 1020, 1015]
    assert daily_returns(found).tolist() == pytest.approx([0.01, 10 / 1010, -5 / 1020])


def test_the_daily_curve_keeps_the_last_step_of_every_day() -> None:
    closes = [100.0 + hour for hour in range(60)]
    found = daily(curve_of([], prices(*closes), hours=60))
    assert ((found.times - START) / HOUR).tolist() == [0, 24, 48, 60]
    assert found.benchmark.tolist() == pytest.approx([1000, 1230, 1470, 1590])


def test_there_is_no_return_after_the_account_was_lost() -> None:
    found = curve_of([trade(1, 2, 100.0), trade(30, 31, -2000.0), trade(60, 61, 50.0)], hours=96)
    assert daily_returns(found).tolist() == pytest.approx([0.1, -1.0])


def test_the_drawdown_is_percent_of_the_highest_so_far() -> None:
    found = curve_of([trade(1, 2, 1000.0), trade(25, 26, -500.0), trade(49, 50, 1500.0)], hours=72)
    assert found.drawdown.tolist() == [0, 0, 25, 0]


def test_years_without_a_trade_are_flat() -> None:
    found = curve_of([trade(0, 1, 5.0), trade(24 * 3650, 24 * 3650 + 1, 5.0)])
    assert len(found.times) == 3652
    assert found.equity[1:-1].tolist() == [1005.0] * 3650
    assert found.equity[-1] == 1010


@pytest.mark.parametrize("balance", [0.0, -1.0, NAN, math.inf])
def test_an_initial_balance_that_is_no_positive_number_is_refused(balance: float) -> None:
    with pytest.raises(ConfigError, match="initial balance must be a positive number"):
        curve_of([], balance=balance)


def test_ten_thousand_trades_end_at_the_sum_of_their_profits() -> None:
    chance = np.random.default_rng(3)
    hours, lengths = chance.uniform(0, 4900, 10_000), chance.uniform(0.1, 90, 10_000)
    pnls, sides = chance.normal(0, 2, 10_000), chance.integers(2, size=10_000)
    done = [
        trade(hour, hour + length, pnl, position=("long", "short")[side], fees=0.1, slippage=0.05)
        for hour, length, pnl, side in zip(hours, lengths, pnls.tolist(), sides.tolist(), strict=True)
    ]
    walk = 100 * np.exp(np.cumsum(chance.normal(0, 0.004, 5000)))
    found = curve_of(done, prices(*walk), hours=5000, balance=1e6)
    assert found.equity[-1] == pytest.approx(1e6 + math.fsum(pnls), rel=1e-12)
    assert found.invested[-1] == found.exposure[-1] == 0.0
