"""The account over time: what was in it at every step of a run, open positions at their market price included.

Money is counted as in `core/position.py`. What a position holds is `basis`, the money still in it, and `coins`, what
that money bought without leverage; at a price P it has earned `sign · leverage · (coins · P − basis)` that nobody has
taken yet. An average buy adds to both, a partial exit takes the same share of both.

Fees and slippage are known for a whole trade only. They are spread over its orders in proportion to the money of each,
and the close books whatever is then missing from the trade's `pnl_cost`: once a trade has closed, the curve contains
exactly that.

No step is visited for a trade. Every order is one entry in a column of differences, and a running sum over the steps
makes of them what was held at each. Fields are read from the trades by list comprehensions, which numpy turns into
columns of a given type twice as fast as any iterator.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from backtest_kit.core.candles import Candles, Floats, Times
from backtest_kit.core.values import MINUTE, Time
from backtest_kit.errors import ConfigError
from backtest_kit.reports.price_profile import DAY
from backtest_kit.reports.trades import Leg, Trade, numbered


class Prices(Struct, frozen=True, eq=False):
    """The candles of one symbol as pictures show them, coarse enough that a run is a few thousand of them.

    Their interval divides a day, they begin at a multiple of it; a candle that is missing is a row of NaN.
    """

    symbol: str
    candles: Candles


class EquityPoint(Struct, frozen=True):
    """The account at one moment (epoch ms), in quote currency; `drawdown` is percent below the highest so far."""

    time: Time
    equity: float
    drawdown: float
    invested: float
    exposure: float
    benchmark: float


class EquityCurve(Struct, frozen=True, eq=False):
    """The account at the end of every step, as columns of equal length; times are epoch ms, the rest quote currency.

    Row 0 is the start of the run, with the initial balance. `equity` counts what was paid and earned so far, fees
    included, and open positions at the market price of the moment. `invested` is the money in open positions,
    `exposure` their market value with leverage (always positive), `benchmark` the initial balance put in equal parts
    into all symbols at the start and held, without costs; NaN throughout where no price is known.
    """

    times: Times
    equity: Floats
    invested: Floats
    exposure: Floats
    benchmark: Floats

    @property
    def drawdown(self) -> Floats:
        """How far the equity stands below its highest so far, in percent of that: 0 to 100."""
        highest = np.maximum.accumulate(self.equity)
        return (highest - self.equity) / highest * 100

    def points(self) -> Iterator[EquityPoint]:
        """The same row by row."""
        columns = (self.times, self.equity, self.drawdown, self.invested, self.exposure, self.benchmark)
        return map(EquityPoint, *(each.tolist() for each in columns))


def equity_curve(
    trades: Sequence[Trade], prices: Sequence[Prices], start: Time, stop: Time, initial_balance: float
) -> EquityCurve:
    """The account from `start` to `stop` (epoch ms), or longer where trades opened before or closed after.

    A step is one interval of `prices`, and ends at a multiple of it; the first and the last may be shorter. Positions
    are marked at the close of the step, at the last known price where candles are missing, and at what they cost where
    no price is known at all. Without prices a step is a UTC day, and nothing but what was realised moves the account.

    An isolated position is never marked below the money it holds. An account that reaches 0 was lost: it holds nothing
    from then on, whatever trades follow. Raises ConfigError for an initial balance that is not a positive number.
    """
    if not 0 < initial_balance < math.inf:
        raise ConfigError(f"the initial balance must be a positive number, not {initial_balance!r}")
    times = _step_ends(trades, prices, start, stop)
    orders = _orders(trades, times)
    closes = {each.symbol: _closing_prices(each.candles, times) for each in prices}
    held = np.zeros((3, len(times)))
    for line in _lines(trades, orders):
        held += _marked(line, closes.get(line.symbol), len(times))
    equity = initial_balance + np.cumsum(_by_row(orders.row, orders.earned, len(times))) + held[0]
    if equity.min() <= 0:
        lost = int(np.argmax(equity <= 0))
        equity[lost:], held[:, lost:] = 0.0, 0.0
    return EquityCurve(times, equity, held[1], held[2], _benchmark(prices, closes, times, initial_balance))


def daily(curve: EquityCurve) -> EquityCurve:
    """The curve at its start and at the end of every UTC day.

    The first and the last day may be parts of one: they run from the start of the run and to its end.
    """
    day = (curve.times - 1) // DAY
    kept = np.append(day[1:] != day[:-1], True)
    kept[0] = True
    return EquityCurve(*(getattr(curve, name)[kept] for name in curve.__struct_fields__))


def daily_returns(curve: EquityCurve) -> Floats:
    """What each UTC day made of the equity: its end / the end of the day before − 1.

    A part of a day at either end of the run counts as a day. There is no return of a lost account: the last one is −1.
    """
    return returns_of(daily(curve).equity)


def returns_of(values: Floats) -> Floats:
    """Each value / the one before − 1, for as long as there is something to divide by."""
    before = values[:-1]
    there = len(before) if before.all() else int(np.argmin(before != 0))
    return values[1 : there + 1] / before[:there] - 1


def _step_ends(trades: Sequence[Trade], prices: Sequence[Prices], start: Time, stop: Time) -> Times:
    """The time of every row: the start, every multiple of the step after it, the end."""
    step = min([DAY, *(int(each.candles.interval) for each in prices)])
    opened, closed = [each.opened_at for each in trades], [each.closed_at for each in trades]
    first = min(start, *opened) if trades else start
    end = max(stop, first + MINUTE, *closed) if trades else max(stop, first)
    if end == first:
        return np.array([first], dtype=np.int64)
    between = np.arange(first - first % step + step, end, step, dtype=np.int64)
    return np.concatenate(([first], between, [end])).astype(np.int64)


class _Orders(Struct, frozen=True, eq=False):
    """The orders of all trades as columns: trade after trade its entries and partial exits, then its close.

    `trade` is an index, `row` the step in which the order falls. `coins` and `basis` are what it changed, `coins_held`
    and `basis_held` what was held after it, all without leverage; `earned` is the money that it booked.

    Two have one row a trade: `factor` is its leverage, negative for a short; `cost_rate` what fees and slippage took of
    every unit of money that it moved, in or out.
    """

    trade: NDArray[np.int64]
    row: NDArray[np.int64]
    opens: NDArray[np.bool_]
    closes: NDArray[np.bool_]
    coins: Floats
    basis: Floats
    coins_held: Floats
    basis_held: Floats
    earned: Floats
    factor: Floats
    cost_rate: Floats


_IN = ("entry", "average")


def _orders(trades: Sequence[Trade], times: Times) -> _Orders:
    legs, counts = _before_close(trades)
    trade = np.repeat(np.arange(len(trades)), counts + 1)
    close = np.cumsum(counts + 1) - 1
    closes, opens, enters = np.zeros((3, len(trade)), dtype=np.bool_)
    closes[close] = opens[close - counts] = True
    before = np.flatnonzero(~closes)
    time, (price, cost) = np.empty(len(trade), dtype=np.int64), np.zeros((2, len(trade)))
    time[close] = np.array([each.closed_at for each in trades], dtype=np.int64)
    time[before] = np.array([leg.time for leg in legs], dtype=np.int64)
    price[before] = np.array([leg.price for leg in legs], dtype=np.float64)
    cost[before] = np.array([leg.cost for leg in legs], dtype=np.float64)
    enters[before] = np.array([leg.kind in _IN for leg in legs], dtype=np.bool_)
    row = np.minimum(np.searchsorted(times, time, side="right"), len(times) - 1)
    coins, basis, coins_held, basis_held = _held_through(counts, close - counts, price, cost, enters)
    factor = np.array([each.leverage if each.position == "long" else -each.leverage for each in trades])
    rate = _cost_rate(trades, _by_row(trade[enters], cost[enters], len(trades)))
    gross = np.where(enters, 0.0, factor[trade] * (basis - coins * price))
    earned = np.where(closes, 0.0, gross - rate[trade] * np.abs(basis))
    made = np.array([each.pnl_cost for each in trades], dtype=np.float64)
    earned[close] = made - _by_row(trade, earned, len(trades))
    return _Orders(trade, row, opens, closes, coins, basis, coins_held, basis_held, earned, factor, rate)


def _before_close(trades: Sequence[Trade]) -> tuple[list[Leg], NDArray[np.int64]]:
    """The entries and partial exits of all trades, and how many each has.

    Where no order was recorded, it is one entry of all the money.
    """
    records = [each.legs or (Leg(each.opened_at, "entry", each.price_open, each.cost),) for each in trades]
    legs = [leg for record in records for leg in record]
    counts = np.array([len(record) for record in records], dtype=np.int64)
    is_exit = np.array([leg.kind == "exit" for leg in legs], dtype=np.bool_)
    exits = np.bincount(np.repeat(np.arange(len(trades)), counts)[is_exit], minlength=len(trades))
    return [leg for leg in legs if leg.kind != "exit"], counts - exits


def _held_through(
    counts: NDArray[np.int64], first: NDArray[np.int64], price: Floats, cost: Floats, enters: NDArray[np.bool_]
) -> tuple[Floats, Floats, Floats, Floats]:
    """What every order changed in coins and basis, and what was held after it; the close lets go of the rest.

    All first orders of the trades at once, then all second ones, and so on.
    """
    coins, basis, coins_held, basis_held = np.zeros((4, len(price)))
    now_coins, now_basis = np.zeros(len(counts)), np.zeros(len(counts))
    bought = np.divide(cost, price, out=np.zeros(len(price)), where=price > 0)
    for k in range(int(counts.max(initial=0))):
        who = np.flatnonzero(counts > k)
        at = first[who] + k
        share = np.divide(cost[at], now_basis[who], out=np.ones(len(who)), where=now_basis[who] > cost[at])
        coins[at] = np.where(enters[at], bought[at], -share * now_coins[who])
        basis[at] = np.where(enters[at], cost[at], -share * now_basis[who])
        now_coins[who] += coins[at]
        now_basis[who] += basis[at]
        coins_held[at], basis_held[at] = now_coins[who], now_basis[who]
    coins[first + counts], basis[first + counts] = -now_coins, -now_basis
    return coins, basis, coins_held, basis_held


def _cost_rate(trades: Sequence[Trade], invested: Floats) -> Floats:
    """Fees and slippage of every trade as a share of the money that it moved: in, and out again."""
    costs = np.array([each.fees + each.slippage for each in trades], dtype=np.float64)
    rate: Floats = np.divide(costs, 2 * invested, out=np.zeros(len(trades)), where=invested > 0)
    return rate


def _by_row(row: NDArray[np.int64], amount: Floats, count: int) -> Floats:
    """The amounts of every row added up."""
    sums: Floats = np.bincount(row, amount, count).astype(np.float64, copy=False)
    return sums


class _Line(Struct, frozen=True, eq=False):
    """The orders of one symbol and side.

    `until` is the row of the trade's next order, `change` +1 where it opens and −1 where it closes. `bearable` is the
    share of its basis that an isolated position can lose to the market, costs keep the rest; NaN for any other.
    """

    symbol: str
    sign: int
    row: NDArray[np.int64]
    until: NDArray[np.int64]
    change: Floats
    coins: Floats
    basis: Floats
    coins_held: Floats
    basis_held: Floats
    leverage: Floats
    bearable: Floats


def _lines(trades: Sequence[Trade], orders: _Orders) -> Iterator[_Line]:
    """The orders parted by symbol and side."""
    symbols, symbol_of = numbered([each.symbol for each in trades])
    line = (2 * symbol_of + (orders.factor < 0))[orders.trade]
    order = np.argsort(line, kind="stable")
    edges = np.searchsorted(line[order], np.arange(2 * len(symbols) + 1))
    isolated = np.array([each.isolated for each in trades], dtype=np.bool_)
    bearable = np.where(isolated, 1 - orders.cost_rate, np.nan)
    until, change = np.append(orders.row[1:], 0), orders.opens.astype(np.float64) - orders.closes
    for i, (first, last) in enumerate(pairwise(edges.tolist())):
        own = order[first:last]
        trade = orders.trade[own]
        yield _Line(
            symbols[i // 2],
            -1 if i % 2 else 1,
            orders.row[own],
            until[own],
            change[own],
            orders.coins[own],
            orders.basis[own],
            orders.coins_held[own],
            orders.basis_held[own],
            np.abs(orders.factor[trade]),
            bearable[trade],
        )


def _marked(line: _Line, closes: Floats | None, count: int) -> Floats:
    """At every step, of all open positions of a line: what they have earned, the money in them, their market value."""
    is_open = np.cumsum(_by_row(line.row, line.change, count)) > 0.5
    # Where nothing is open the running sums leave a rest of rounding.
    coins, money, basis = (
        np.where(is_open, np.cumsum(_by_row(line.row, each, count)), 0.0)
        for each in (line.coins * line.leverage, line.basis * line.leverage, line.basis)
    )
    if closes is None:
        return np.stack((np.zeros(count), basis, money))
    value = coins * closes
    earned = line.sign * (value - money) + _borne_by_nobody(line, closes)
    known = np.isfinite(earned)
    return np.stack((np.where(known, earned, 0.0), basis, np.where(known, value, money)))


def _borne_by_nobody(line: _Line, closes: Floats) -> Floats:
    """At every step, what isolated positions would have lost beyond the money they hold.

    Only prices beyond the level at which all of it is gone are looked at: liquidation closes nearly every such
    position first.
    """
    spared = np.zeros(len(closes))
    entry = np.divide(line.basis_held, line.coins_held, out=np.zeros(len(line.row)), where=line.coins_held > 0)
    level = entry * (1 - line.sign * line.bearable / line.leverage)
    against = np.where(np.isfinite(closes), -line.sign * closes, -np.inf)
    reached = (entry > 0) & (line.until > line.row) & (-line.sign * level < against.max())
    near = np.flatnonzero(reached)
    if not len(near):
        return spared
    spans = np.stack((line.row[near], line.until[near]), axis=1).ravel()
    for i in near[np.maximum.reduceat(against, spans)[::2] > -line.sign * level[near]].tolist():
        span = slice(line.row[i], line.until[i])
        beyond = line.sign * (level[i] - closes[span]) * line.coins_held[i] * line.leverage[i]
        spared[span] += np.fmax(beyond, 0.0)
    return spared


def _closing_prices(candles: Candles, times: Times) -> Floats:
    """The last known close by every time; of the candle that contains it, where a time is no multiple of the interval.

    NaN before the first.
    """
    known = np.isfinite(candles.close) & (candles.close > 0)
    if not known.any():
        return np.full(len(times), np.nan)
    last = np.maximum.accumulate(np.where(known, np.arange(len(candles)), -1))
    row = np.minimum(-((candles.start - times) // int(candles.interval)) - 1, len(candles) - 1)
    found = np.where(row >= 0, last[np.maximum(row, 0)], -1)
    return np.where(found >= 0, candles.close[found], np.nan)


def _benchmark(prices: Sequence[Prices], closes: dict[str, Floats], times: Times, balance: float) -> Floats:
    """The balance put in equal parts into every symbol that has a price, at the first open there is, and held."""
    grown = [
        _grown(each.candles, closes[each.symbol], times) for each in prices if np.isfinite(closes[each.symbol]).any()
    ]
    if not grown:
        return np.full(len(times), np.nan)
    held: Floats = balance * np.mean(grown, axis=0)
    return held


def _grown(candles: Candles, closes: Floats, times: Times) -> Floats:
    """What 1 became that bought at the open of the first candle of the run."""
    first = max(0, (int(times[0]) - candles.start) // int(candles.interval))
    tradable = np.flatnonzero(np.isfinite(candles.open[first:]) & (candles.open[first:] > 0))
    if not len(tradable):
        return np.ones(len(times))
    bought = first + int(tradable[0])
    since = times > candles.start + bought * int(candles.interval)
    since[0] = False
    return np.where(since, closes / candles.open[bought], 1.0)
