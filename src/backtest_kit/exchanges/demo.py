"""A synthetic market without a network: any symbol, any range, the same candles each time.

Every day of a symbol is made by its own generator, seeded by seed, symbol and day, and tied by a Brownian
bridge to the closes of the day before and of the day itself. So a minute does not depend on what was asked
before, nor on where a request is cut. The daily closes are a mean-reverting walk with trends that last for
weeks and volatility that comes in clusters, kept inside a band around a price that is plausible for the
symbol. Volume follows the hour of the day and the size of the move.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
from msgspec import Struct

from backtest_kit.core.candles import Candle, Candles, Floats
from backtest_kit.core.values import MINUTE, Interval, Time
from backtest_kit.errors import ConfigError

_DAY = 1440 * MINUTE
_MINUTES = 1440
_FIRST_DAY, _LAST_DAY = 16_436, 47_482  # 2015-01-01 and 2100-01-01, in days since 1970
_BLOCK = 32  # days made in one go: their columns together stay in the cache
_KNOWN = {
    "BTC": (63_000.0, 0.45),
    "ETH": (2_850.0, 0.34),
    "SOL": (120.0, 0.6),
    "BNB": (450.0, 0.5),
    "XRP": (0.9, 0.7),
}
_TURNOVER = 40e6  # quote currency traded in a usual hour
_REVERSION, _DAILY, _DRIFT, _REGIME_DAYS = 0.008, 0.07, 0.014, 18.0


class _Market(Struct, frozen=True):
    """What does not change about a symbol: its number, its steps, its closes and volatility by day."""

    number: int
    price_digits: int
    quantity_digits: int
    usual_quantity: float
    closes: Floats  # logarithms; the close of day `d` stands at `d − _FIRST_DAY + 1`
    volatility: Floats  # of a whole day, in logarithms


class DemoExchange:
    """A seeded synthetic market of 1-minute candles, 2015 to 2100, for any symbol.

    Longer candles are resampled. The same `seed` and symbol give the same candles for ever. A year of minutes
    takes about 0.15 s. It is for trying things out: by design there is nothing to be earned in it, and
    nothing to be learnt about a real market.
    """

    intervals = frozenset({"1m"})
    cacheable = False

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.fingerprint = f"demo-{seed}"
        self._markets: dict[str, _Market] = {}

    def read(self, symbol: str, interval: Interval, start: Time, stop: Time) -> Candles | None:
        """The minutes that open in [start, stop); None for other intervals."""
        if interval is not Interval.M1:
            return None
        start = max(-(-start // MINUTE) * MINUTE, _FIRST_DAY * _DAY)
        stop = min(-(-stop // MINUTE) * MINUTE, _LAST_DAY * _DAY)
        if start >= stop:
            return Candles.empty(interval, start)
        market = self._market(symbol)
        first, last = start // _DAY, -(-stop // _DAY)
        blocks = [_days(self.seed, market, day, min(last, day + _BLOCK)) for day in range(first, last, _BLOCK)]
        columns = [np.concatenate(parts) if len(parts) > 1 else parts[0] for parts in zip(*blocks, strict=True)]
        return Candles(interval, first * _DAY, *columns).between(start, stop)

    def span(self, _symbol: str, interval: Interval) -> tuple[Time, Time] | None:
        """2015-01-01 to 2100-01-01, for minutes."""
        return (_FIRST_DAY * _DAY, _LAST_DAY * _DAY) if interval is Interval.M1 else None

    def get_candles(self, symbol: str, interval: str, since: Time, limit: int) -> Candles:
        """At most `limit` candles of any interval that open at `since` or later."""
        wanted = Interval.parse(interval)
        first = wanted.floor(since + int(wanted) - 1)
        minutes = self.read(symbol, Interval.M1, first, first + limit * int(wanted))
        assert minutes is not None
        return minutes if wanted is Interval.M1 else minutes.resampled(wanted)

    def format_price(self, symbol: str, price: float) -> str:
        """A price rounded to the symbol's step."""
        return f"{price:.{self._market(symbol).price_digits}f}"

    def format_quantity(self, symbol: str, quantity: float) -> str:
        """A quantity rounded to the symbol's step."""
        return f"{quantity:.{self._market(symbol).quantity_digits}f}"

    def get_order_book(self, symbol: str, depth: int, start: Time, stop: Time) -> dict[str, Any]:
        """Bids and asks, best first, around the last close in [start, stop); the further, the larger."""
        market, candle = self._market(symbol), self._last(symbol, start, stop)
        step = 10.0**-market.price_digits
        sizes = np.round(candle.volume / 20 * (1 + 0.1 * np.arange(depth)), market.quantity_digits).tolist()
        sides = {
            name: [
                {
                    "price": round(candle.close + sign * (k + 1) * step, market.price_digits),
                    "quantity": sizes[k],
                }
                for k in range(depth)
            ]
            for name, sign in (("bids", -1), ("asks", 1))
        }
        return {"symbol": symbol, "timestamp": candle.timestamp + MINUTE, **sides}

    def get_aggregated_trades(self, symbol: str, start: Time, stop: Time) -> list[dict[str, Any]]:
        """Four trades a minute, at its open, extremes and close; their quantities are its volume."""
        minutes = self.read(symbol, Interval.M1, start - start % MINUTE, stop)
        assert minutes is not None
        trades = [trade for candle in minutes for trade in _trades(candle, self._market(symbol).quantity_digits)]
        return [trade for trade in trades if start <= trade["timestamp"] < stop]

    def _last(self, symbol: str, start: Time, stop: Time) -> Candle:
        minutes = self.read(symbol, Interval.M1, max(start, stop - MINUTE) // MINUTE * MINUTE, stop)
        if not minutes:
            raise ConfigError(f"the demo market of {symbol} has no candle before {stop}")
        return minutes[-1]

    def _market(self, symbol: str) -> _Market:
        if symbol not in self._markets:
            self._markets[symbol] = _market(self.seed, symbol)
        return self._markets[symbol]


def _market(seed: int, symbol: str) -> _Market:
    if not isinstance(symbol, str) or not symbol:
        raise ConfigError(f"a symbol is a name such as BTCUSDT, not {symbol!r}")
    number = int.from_bytes(hashlib.blake2b(symbol.upper().encode(), digest_size=6).digest(), "big")
    known = next((band for name, band in _KNOWN.items() if symbol.upper().startswith(name)), None)
    middle, width = known or (float(f"{10 ** (-1 + 3.7 * (number % 1000) / 1000):.2g}"), 0.5)
    digits = max(0, 5 - math.floor(math.log10(middle)))
    volatility, closes = _daily(np.random.default_rng([seed, number]), math.log(middle), width)
    usual = _TURNOVER / 60 / middle
    return _Market(number, digits, max(0, 4 - math.floor(math.log10(usual))), usual, closes, volatility)


def _daily(random: np.random.Generator, middle: float, width: float) -> tuple[Floats, Floats]:
    """The volatility of every day, and the logarithms of the closes, beginning one day earlier.

    The walk `y` reverts to 0, drifts in regimes of some weeks, and steps with clustered volatility; the price
    is `middle · exp(width · tanh(y))`, so it stays in its band.
    """
    count = _LAST_DAY - _FIRST_DAY
    steps, shocks = random.standard_normal(count), random.standard_normal(count)
    turns, drifts = random.random(count), random.integers(-1, 2, count)
    y, cluster, drift = 0.0, 0.0, 0.0
    walk, sizes = [y], []
    for step, shock, turn, new in zip(steps.tolist(), shocks.tolist(), turns.tolist(), drifts.tolist(), strict=True):
        cluster = 0.93 * cluster + 0.18 * shock
        drift = new * _DRIFT if turn < 1 / _REGIME_DAYS else drift
        size = _DAILY * math.exp(cluster - 0.12)
        y = (1 - _REVERSION) * y + drift + size * step
        walk.append(y)
        slope = 1 - math.tanh(y) ** 2  # near the edge of its band a market moves less
        sizes.append(size * width * max(0.4, slope))
    return np.array(sizes), middle + width * np.tanh(np.array(walk))


def _days(seed: int, market: _Market, first: int, last: int) -> tuple[Floats, ...]:
    """The five columns of whole days [first, last), one after another."""
    draws = np.empty((last - first, 4, _MINUTES))
    for i, day in enumerate(range(first, last)):
        np.random.default_rng([seed, market.number, day]).standard_normal(out=draws[i])
    at = slice(first - _FIRST_DAY, last - _FIRST_DAY)
    before, after = market.closes[at, None], market.closes[1:][at, None]
    scale = _minute_volatility(draws[:, 3]) * market.volatility[at, None]
    path = _bridges(draws[:, 0] * scale, scale, before, after)
    prices: Floats = _rounded(np.exp(path), market.price_digits)
    first_price, close = prices[:, :-1], prices[:, 1:]
    reach = np.exp(np.abs(draws[:, 1:3]) * (0.6 * scale)[:, None])
    high = _rounded(np.maximum(first_price, close) * reach[:, 0], market.price_digits)
    low = _rounded(np.minimum(first_price, close) / reach[:, 1], market.price_digits)
    volume = _volumes(market, close, first_price, scale, draws[:, 2])
    return tuple(each.ravel() for each in (first_price, high, low, close, volume))


def _bridges(steps: Floats, scale: Floats, before: Floats, after: Floats) -> Floats:
    """Walks of the given steps, bent to lead from `before` to `after`, the bend spread as the variance."""
    walk = np.cumsum(steps, axis=1)
    spent = np.cumsum(scale * scale, axis=1)
    share = spent / spent[:, -1:]
    inside = before + walk + share * (after - before - walk[:, -1:])
    inside[:, -1:] = after
    return np.concatenate((before, inside), axis=1)


def _minute_volatility(draws: Floats) -> Floats:
    """The volatility of each minute as a share of the day's: busy hours, clusters of twenty minutes."""
    totals = np.cumsum(draws, axis=1)
    clusters = totals.copy()
    clusters[:, 20:] -= totals[:, :-20]
    return np.exp(clusters * (0.35 / math.sqrt(20))) * (_RHYTHM / math.sqrt(_MINUTES))


def _volumes(market: _Market, close: Floats, first_price: Floats, scale: Floats, noise: Floats) -> Floats:
    usual = market.usual_quantity * np.square(_RHYTHM)
    move = np.abs(np.log(close / first_price)) / scale
    volume = usual * (0.35 + 0.8 * move) * np.exp(0.5 * noise) * (scale * 700)
    step: float = 10.0**-market.quantity_digits
    return np.maximum(_rounded(volume, market.quantity_digits), step)


def _rounded(values: Floats, digits: int) -> Floats:
    out: Floats = np.round(values, digits)
    return out


def _trades(candle: Candle, digits: int) -> list[dict[str, Any]]:
    quarter = round(candle.volume / 4, digits)
    quantities = (quarter, quarter, quarter, round(candle.volume - 3 * quarter, digits))
    up = candle.close >= candle.open
    prices = (candle.open, candle.low if up else candle.high, candle.high if up else candle.low, candle.close)
    return [
        {
            "id": candle.timestamp // MINUTE * 4 + k,
            "timestamp": candle.timestamp + k * MINUTE // 4,
            "price": price,
            "quantity": quantity,
            "is_buyer_maker": k > 0 and price < prices[k - 1],
        }
        for k, (price, quantity) in enumerate(zip(prices, quantities, strict=True))
    ]


def _rhythm() -> Floats:
    """How busy each minute of a UTC day is, 1 on average: most when Europe and America are awake."""
    hour = np.arange(_MINUTES) / 60
    shape = 1 + 0.35 * np.exp(-(((hour - 14.5) / 3.0) ** 2)) + 0.15 * np.exp(-(((hour - 8.5) / 2.0) ** 2))
    return np.asarray(shape / shape.mean(), dtype=np.float64)


_RHYTHM = _rhythm()
