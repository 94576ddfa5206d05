"""A market of 300 minutes and a source of it that counts its calls, for the tests of history."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from backtest_kit.core.candles import COLUMNS, Candles
from backtest_kit.core.values import MINUTE, Interval
from backtest_kit.engine.history import History
from backtest_kit.exchanges import DemoExchange

START = 1_704_067_200_000
M1 = Interval.M1
MARKET = DemoExchange(3).get_candles("X", "1m", START, 300)


def at(minute: int) -> int:
    return START + minute * MINUTE


def settings(**changes):
    values = {
        "candle_retry_count": 3,
        "candle_retry_delay_seconds": 0.0,
        "max_candles_per_request": 50,
        "on_gap": "raise",
        "price_anomaly_factor": 1000.0,
    }
    return SimpleNamespace(**{**values, **changes})


def rows_between(since: int, stop: int, candles: Candles = MARKET) -> list[list[float]]:
    found = candles.between(since, stop)
    return [
        [each.timestamp, each.open, each.high, each.low, each.close, each.volume]
        for each in found
        if each.close == each.close
    ]


class Feed:
    """A source that counts its calls; it answers with a function of the sound rows and the call's number."""

    def __init__(self, change=lambda rows, call: rows, candles: Candles = MARKET):
        self.calls: list[tuple[str, int, int]] = []
        self.change, self.market = change, candles

    def get_candles(self, symbol, interval, since, limit):
        self.calls.append((interval, (since - START) // MINUTE, limit))
        if interval != "1m":
            raise NotImplementedError(interval)
        return self.change(rows_between(since, since + limit * MINUTE, self.market), len(self.calls))


def without(*missing: int, candles: Candles = MARKET) -> Candles:
    """The market with minutes missing."""
    columns = [np.array(candles[name], np.float64) for name in COLUMNS]
    for column in columns:
        column[list(missing)] = np.nan
    return Candles(M1, candles.start, *columns)


def asked(feed, first: int, last: int, interval: Interval = M1, **changes) -> Candles:
    return History("feed", feed, settings(**changes)).candles_now("X", interval, at(first), at(last))
