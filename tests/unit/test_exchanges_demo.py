"""The synthetic market: the same for ever, possible, and like a market in what strategies meet."""

from __future__ import annotations

import numpy as np
import pytest

from backtest_kit.core.checks import examined
from backtest_kit.core.values import MINUTE, Interval
from backtest_kit.errors import ConfigError
from backtest_kit.exchanges import DemoExchange

START = 1_704_067_200_000
DAY = 1440 * MINUTE


def month(symbol: str = "BTCUSDT", seed: int = 0):
    return DemoExchange(seed).read(symbol, Interval.M1, START, START + 30 * DAY)


def test_the_same_seed_and_symbol_give_the_same_candles():
    assert np.array_equal(month().close, month().close)
    assert not np.array_equal(month().close, month(seed=1).close)
    assert not np.array_equal(month().close / month().close[0], month("ETHUSDT").close / month("ETHUSDT").close[0])


@pytest.mark.parametrize(
    ("symbol", "low", "high"),
    [("BTCUSDT", 40_000, 100_000), ("ETHUSDT", 2_000, 4_100), ("XYZUSDT", 0.05, 1_000), ("a", 0.05, 1_000)],
)
def test_candles_are_possible_and_prices_plausible(symbol, low, high):
    candles = month(symbol)
    assert len(candles) == 30 * 1440
    findings = examined(candles, 1000.0)
    assert findings.fault is None
    assert findings.gaps == ()
    assert low <= candles.low.min()
    assert candles.high.max() <= high


def test_a_candle_opens_where_the_last_one_closed_also_over_midnight():
    candles = month()
    assert np.array_equal(candles.open[1:], candles.close[:-1])


def test_prices_and_quantities_lie_on_the_steps():
    exchange, candles = DemoExchange(), month()[:500]
    assert all(float(exchange.format_price("BTCUSDT", each.close)) == each.close for each in candles)
    assert all(float(exchange.format_quantity("BTCUSDT", each.volume)) == each.volume for each in candles)


def test_volatility_comes_in_clusters_and_volume_goes_with_it():
    candles = month()
    moves = np.abs(np.diff(np.log(candles.close)))
    assert np.corrcoef(moves[1:], moves[:-1])[0, 1] > 0.1
    assert np.corrcoef(moves, candles.volume[1:])[0, 1] > 0.4


def test_there_are_days_that_trend_and_weeks_that_do():
    year = DemoExchange().read("BTCUSDT", Interval.M1, START, START + 360 * DAY).resampled(Interval.D1)
    weekly = np.abs(np.log(year.close[7:] / year.close[:-7]))
    assert 0.01 < np.diff(np.log(year.close)).std() < 0.08
    assert weekly.max() > 0.1


def test_the_market_begins_in_2015_and_knows_only_minutes():
    exchange = DemoExchange()
    first, last = exchange.span("X", Interval.M1)
    assert exchange.read("X", Interval.M1, first - DAY, first + 2 * MINUTE).start == first
    assert len(exchange.read("X", Interval.M1, first - DAY, first)) == 0
    assert exchange.read("X", Interval.H1, first, last) is None
    assert exchange.span("X", Interval.H1) is None


def test_asked_for_candles_it_gives_no_more_than_the_limit_from_since_on():
    exchange = DemoExchange()
    found = exchange.get_candles("BTCUSDT", "15m", START + MINUTE, 4)
    assert found.time.tolist() == [START + k * 15 * MINUTE for k in range(1, 5)]
    assert found.interval is Interval.M15
    assert exchange.get_candles("BTCUSDT", "1m", START, 3).stop == START + 3 * MINUTE


def test_the_order_book_stands_around_the_last_close():
    book = DemoExchange().get_order_book("BTCUSDT", 5, START, START + 10 * MINUTE)
    close = DemoExchange().get_candles("BTCUSDT", "1m", START + 9 * MINUTE, 1)[0].close
    bids, asks = [each["price"] for each in book["bids"]], [each["price"] for each in book["asks"]]
    assert len(bids) == len(asks) == 5
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < close < asks[0]
    assert book["timestamp"] == START + 10 * MINUTE


def test_trades_are_those_of_the_candle():
    trades = DemoExchange().get_aggregated_trades("BTCUSDT", START, START + 2 * MINUTE)
    candle = DemoExchange().get_candles("BTCUSDT", "1m", START, 1)[0]
    first = [each for each in trades if each["timestamp"] < START + MINUTE]
    prices = [each["price"] for each in first]
    assert (prices[0], max(prices), min(prices), prices[-1]) == (
        candle.open,
        candle.high,
        candle.low,
        candle.close,
    )
    assert sum(each["quantity"] for each in first) == pytest.approx(candle.volume)
    assert len({each["id"] for each in trades}) == len(trades)
    assert all(START <= each["timestamp"] < START + 2 * MINUTE for each in trades)


def test_a_symbol_is_a_name():
    with pytest.raises(ConfigError, match="a symbol is a name"):
        DemoExchange().get_candles("", "1m", START, 1)
