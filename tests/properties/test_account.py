"""What must hold for the equity curve, the account and the significance of any trades in any market."""

from __future__ import annotations

import math
import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from backtest_kit.core.candles import Candles
from backtest_kit.core.values import MINUTE, Interval
from backtest_kit.reports.account import Account, account
from backtest_kit.reports.equity import EquityCurve, Prices, equity_curve
from backtest_kit.reports.significance import IntervalOf, significance
from backtest_kit.reports.trades import Leg, LegKind, Trade

HOUR = 60 * MINUTE
DAY = 24 * HOUR
START = 1_704_067_200_000
HOURS = 24 * 20
MONEY = ("initial_balance", "final_balance", "fees", "slippage")

money = st.integers(-30_000, 60_000).map(lambda each: each / 100)
price = st.integers(1, 40_000).map(lambda each: each / 100)
share = st.integers(1, 100).map(lambda each: each / 100)


@st.composite
def orders(draw: st.DrawFn, opened_at: int, closed_at: int) -> tuple[Leg, ...]:
    """An entry, then averages and partial exits in order of time, then what is left."""
    cost = float(draw(st.integers(1, 500)))
    legs, basis = [Leg(opened_at, "entry", draw(price), cost)], cost
    for time in sorted(draw(st.lists(st.integers(opened_at, closed_at), max_size=3))):
        kind: LegKind = draw(st.sampled_from(("average", "partial_profit", "partial_close")))
        amount = float(draw(st.integers(1, 300))) if kind == "average" else basis * draw(share)
        legs.append(Leg(time, kind, draw(price), amount))
        basis += amount if kind == "average" else -amount
    return (*legs, Leg(closed_at, "exit", draw(price), basis)) if basis > 0 else tuple(legs)


@st.composite
def trades(draw: st.DrawFn) -> Trade:
    opened_at = START + draw(st.integers(-24, HOURS)) * HOUR + draw(st.integers(0, 59)) * MINUTE
    closed_at = opened_at + draw(st.integers(0, 100)) * 30 * MINUTE
    legs = draw(st.just(()) | orders(opened_at, closed_at))
    cost = sum(leg.cost for leg in legs if leg.is_entry) or 100.0
    pnl = draw(money)
    return Trade(
        symbol=draw(st.sampled_from(("A", "B"))),
        strategy_name="any",
        position=draw(st.sampled_from(("long", "short"))),
        opened_at=opened_at,
        closed_at=closed_at,
        price_open=draw(price),
        price_close=draw(price | st.just(0.0)),
        cost=cost,
        pnl_percent=pnl / cost * 100,
        pnl_cost=pnl,
        close_reason="any",
        trough_pnl_percent=draw(st.none() | st.integers(-150, 0)),
        leverage=float(draw(st.sampled_from((1, 2, 10)))),
        fees=draw(st.integers(0, 500)) / 100,
        slippage=draw(st.integers(0, 500)) / 100,
        legs=legs,
    )


@st.composite
def markets(draw: st.DrawFn) -> tuple[Prices, ...]:
    found = []
    for symbol in draw(st.sampled_from(((), ("A",), ("A", "B")))):
        chance = np.random.default_rng(draw(st.integers(0, 9)))
        close = 100 * np.exp(np.cumsum(chance.normal(0, 0.05, HOURS)))
        close[chance.random(HOURS) < draw(st.sampled_from((0.0, 0.3, 1.0)))] = np.nan
        candles = Candles(Interval.H1, START, close, close, close, close, np.ones(HOURS))
        found.append(Prices(symbol, candles))
    return tuple(found)


samples = st.lists(trades(), max_size=16)


def curve_of(given_trades: list[Trade], market: tuple[Prices, ...], balance: float = 1e5) -> EquityCurve:
    return equity_curve(given_trades, market, START, START + HOURS * HOUR, balance)


@given(samples, markets())
def test_the_curve_ends_at_the_balance_and_all_profits(given_trades: list[Trade], market: tuple[Prices, ...]) -> None:
    isolated = [structs.replace(each, isolated=True) for each in given_trades]  # no market can cost them the account
    found = curve_of(isolated, market, balance=1e7)
    assert math.isclose(found.equity[-1], 1e7 + sum(each.pnl_cost for each in given_trades), rel_tol=1e-12)
    assert found.invested[-1] == found.exposure[-1] == 0
    assert found.equity[0] == 1e7


@given(samples, markets(), st.sampled_from((100.0, 1e3, 1e5)))
def test_the_columns_of_a_curve_are_of_one_length_and_in_their_ranges(
    given_trades: list[Trade], market: tuple[Prices, ...], balance: float
) -> None:
    found = curve_of(given_trades, market, balance)
    assert len({len(getattr(found, name)) for name in found.__struct_fields__}) == 1
    assert (np.diff(found.times) > 0).all()
    assert np.isfinite(found.equity).all()
    assert (found.equity >= 0).all()
    assert (found.invested >= -1e-9).all()
    assert (found.exposure >= -1e-9).all()
    assert ((found.drawdown >= 0) & (found.drawdown <= 100)).all()
    lost = np.flatnonzero(found.equity == 0)
    assert not len(lost) or not found.equity[lost[0] :].any()


@given(samples, markets(), st.sampled_from((100.0, 1e3, 1e5)))
def test_a_figure_of_the_account_is_a_finite_number_or_it_has_a_reason(
    given_trades: list[Trade], market: tuple[Prices, ...], balance: float
) -> None:
    found = account(curve_of(given_trades, market, balance), given_trades)
    for name in Account.__struct_fields__:
        value = getattr(found, name)
        if name != "missing":
            assert (value is None) == bool(found.missing.get(name)), name
            assert value is None or math.isfinite(value), name
    assert 0 <= found.max_drawdown <= 100
    assert 0 <= found.max_drawdown_days <= found.days
    assert found.time_in_market is None or -1e-9 <= found.time_in_market <= 100 + 1e-9


def scaled(each: Trade, by: float) -> Trade:
    legs = tuple(structs.replace(leg, cost=leg.cost * by) for leg in each.legs)
    return structs.replace(
        each,
        cost=each.cost * by,
        pnl_cost=each.pnl_cost * by,
        fees=each.fees * by,
        slippage=each.slippage * by,
        legs=legs,
    )


@given(samples, markets(), st.sampled_from((0.25, 8.0, 1024.0)))
def test_an_account_of_any_size_has_the_same_figures(
    given_trades: list[Trade], market: tuple[Prices, ...], by: float
) -> None:
    larger = [scaled(each, by) for each in given_trades]
    one = account(curve_of(given_trades, market), given_trades)
    other = account(curve_of(larger, market, 1e5 * by), larger)
    for name in Account.__struct_fields__:
        ours, theirs = getattr(one, name), getattr(other, name)
        if isinstance(ours, float):
            expected = ours * by if name in MONEY else ours
            assert math.isclose(expected, theirs, rel_tol=1e-9, abs_tol=1e-9), name
        else:
            assert ours == theirs, name


@given(samples, markets(), st.randoms())
def test_the_order_in_which_trades_are_given_changes_nothing(
    given_trades: list[Trade], market: tuple[Prices, ...], chance: random.Random
) -> None:
    shuffled = given_trades[:]
    chance.shuffle(shuffled)
    one, other = curve_of(given_trades, market), curve_of(shuffled, market)
    for name in ("equity", "invested", "exposure"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-9, atol=1e-6)
    assert significance(given_trades) == significance(shuffled)


@given(samples, markets())
def test_isolated_trades_never_take_more_from_the_account_than_was_put_in(
    given_trades: list[Trade], market: tuple[Prices, ...]
) -> None:
    isolated = [
        structs.replace(
            each,
            legs=(),
            pnl_cost=max(each.pnl_cost, -each.cost),
            pnl_percent=0.0,
            isolated=True,
            fees=min(each.fees, each.cost / 10),  # an entry cannot cost more than the money that it puts in
            slippage=min(each.slippage, each.cost / 10),
        )
        for each in given_trades
    ]
    found = curve_of(isolated, market, balance=1e7)
    assert found.equity.min() >= 1e7 - sum(each.cost for each in isolated) - 1e-6


@given(st.lists(st.integers(-500, 500), max_size=40), st.integers(1, 10**6))
def test_intervals_are_in_order_and_probabilities_within_one(pnls: list[int], trials: int) -> None:
    base = {
        "symbol": "A",
        "strategy_name": "any",
        "position": "long",
        "price_open": 1.0,
        "price_close": 1.0,
        "cost": 1.0,
    }
    given_trades = [
        Trade(**base, opened_at=START, closed_at=START + i, pnl_percent=pnl / 10, pnl_cost=0.0, close_reason="any")  # type: ignore[arg-type]
        for i, pnl in enumerate(pnls)
    ]
    found = significance(given_trades, trials)
    for name in found.__struct_fields__:
        value = getattr(found, name)
        if isinstance(value, IntervalOf):
            assert value.low <= value.high
        elif name not in ("trials", "missing"):
            assert (value is None) == bool(found.missing.get(name))
            assert value is None or (value >= 1 if name == "minimum_track_record_length" else 0 <= value <= 1)
