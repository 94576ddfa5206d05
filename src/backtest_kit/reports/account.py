"""The account as practitioners judge it: figures over time, from a real equity curve.

Ratios are taken from the returns of UTC days, the days without a trade among them, and scaled with 365 days a year:
these markets never close. Where others count 252 days or returns of trades their figures differ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from backtest_kit.core.candles import Floats
from backtest_kit.reports.equity import EquityCurve, daily, returns_of
from backtest_kit.reports.price_profile import DAY
from backtest_kit.reports.trades import Figure, Missing, Trade

MIN_DAYS = 14
YEAR = 365
EPS = 1e-12


class Account(Struct, frozen=True, kw_only=True):
    """What the account did over the whole run; None where the run cannot carry a figure, `missing` says why.

    Money is quote currency. Percentages are of the account. Returns are daily (UTC days), a year has 365 days.

    `cagr` is the growth a year in percent, compounded. `volatility` is the deviation of the daily returns, percent a
    year. `max_drawdown` is the deepest fall from a highest equity, percent, over all steps; `max_drawdown_days` how
    long it took from there until the equity was as high again, or to the end. Exposure is the market value of open
    positions with leverage, in percent of the equity of the moment; `time_in_market` the percentage of the run with at
    least one position. `turnover` is the money traded a year, in and out and with leverage, in mean equities.
    `cost_share` is what fees and slippage took of the profit before costs, percent. `alpha` is percent a year beyond
    `beta` times the return of buying and holding all symbols; `benchmark_return` is that return, percent.
    """

    initial_balance: float
    final_balance: float
    total_return: float
    days: float
    cagr: float | None
    volatility: float | None
    sharpe_ratio: float | None
    sortino_ratio: float | None
    calmar_ratio: float | None
    max_drawdown: float
    max_drawdown_days: float
    average_exposure: float | None
    max_exposure: float | None
    time_in_market: float | None
    turnover: float | None
    fees: float
    slippage: float
    cost_share: float | None
    benchmark_return: float | None
    alpha: float | None
    beta: float | None
    best_day: float | None
    worst_day: float | None
    missing: Mapping[str, str]


def account(curve: EquityCurve, trades: Sequence[Trade]) -> Account:
    """The figures of an equity curve and of the trades that made it."""
    equity, days = curve.equity, float(curve.times[-1] - curve.times[0]) / DAY
    by_day = daily(curve)
    returns = returns_of(by_day.equity)
    lacking, costs = _lacking(by_day), _Costs.of(trades)
    fall, fall_days = _deepest_fall(curve)
    growth = cagr(float(equity[0]), float(equity[-1]), days)
    figures: dict[str, Figure] = {
        "cagr": growth,
        "calmar_ratio": _calmar(growth, fall, lacking),
        **_ratios(returns, lacking),
        **_against_benchmark(curve, by_day.benchmark, returns, lacking),
        **_exposure(curve),
        "time_in_market": _time_in_market(curve, trades),
        "turnover": _turnover(curve, trades, costs.before, days),
        "cost_share": _cost_share(costs),
        "best_day": float(returns.max()) * 100 if len(returns) else _NO_DAY,
        "worst_day": float(returns.min()) * 100 if len(returns) else _NO_DAY,
    }
    said = {name: each for name, each in figures.items() if not isinstance(each, Missing) and math.isfinite(each)}
    reasons = {name: getattr(each, "reason", _TOO_LARGE) for name, each in figures.items() if name not in said}
    return Account(
        initial_balance=float(equity[0]),
        final_balance=float(equity[-1]),
        total_return=float(equity[-1] / equity[0] - 1) * 100,
        days=days,
        max_drawdown=fall,
        max_drawdown_days=fall_days,
        fees=costs.fees,
        slippage=costs.slippage,
        missing=reasons,
        **{name: said.get(name) for name in figures},
    )


_LOST = Missing("the account was lost")
_NO_DAY = Missing("the run has no length")
_NO_BENCHMARK = Missing("no prices were kept")
_STILL_DAYS = Missing("the returns of the days do not differ")
_TOO_LARGE = "too large to be stated"


def cagr(initial: float, final: float, days: float) -> Figure:
    """Compound annual growth rate: `((final / initial)^(365 / days) − 1) · 100`, in percent; −100 for a lost account.

    `days` are counted to the fraction, and there must be 14 (Bacon, Practical Portfolio Performance Measurement and
    Attribution, chapter 2).
    """
    if final <= 0:
        return -100.0
    return _percent_of(YEAR / days * math.log(final / initial)) if days >= MIN_DAYS else _too_few_days(days)


def sharpe_ratio(returns: Floats) -> Figure:
    """`mean / sample deviation · √365` of daily returns, over a riskless rate of 0 (Sharpe, The Sharpe Ratio, 1994)."""
    deviation = float(returns.std(ddof=1))
    return float(returns.mean()) / deviation * math.sqrt(YEAR) if deviation > EPS else _STILL_DAYS


def sortino_ratio(returns: Floats) -> Figure:
    """`mean / downside deviation · √365` of daily returns, against a target of 0.

    The downside deviation is `√(Σ min(r, 0)² / n)`, over all n days (Sortino and Price, Performance Measurement in a
    Downside Risk Framework, 1994).
    """
    downside = math.sqrt(float(np.square(np.minimum(returns, 0)).mean()))
    return float(returns.mean()) / downside * math.sqrt(YEAR) if downside > EPS else Missing("no day lost")


def alpha_beta(returns: Floats, benchmark: Floats) -> tuple[Figure, Figure]:
    """Alpha in percent a year, and beta, of daily returns against those of a benchmark.

    `beta = cov(r, b) / var(b)`; alpha is the mean of `r − beta · b`, compounded over 365 days (Jensen, The Performance
    of Mutual Funds in the Period 1945–1964, with a riskless rate of 0).
    """
    distance = benchmark - benchmark.mean()
    variance = float(np.square(distance).mean())
    if variance <= EPS * EPS:
        return _STILL_BENCHMARK, _STILL_BENCHMARK
    beta = float((distance * (returns - returns.mean())).mean()) / variance
    daily_alpha = float((returns - beta * benchmark).mean())
    if daily_alpha <= -1:
        return Missing("it loses more than everything a day"), beta
    return _percent_of(YEAR * math.log1p(daily_alpha)), beta


def _percent_of(logarithm: float) -> Figure:
    """A growth in percent, of its logarithm."""
    return math.expm1(logarithm) * 100 if logarithm < 700 else Missing(_TOO_LARGE)


_STILL_BENCHMARK = Missing("buying and holding did not move")


def _too_few_days(days: float) -> Missing:
    return Missing(f"needs {MIN_DAYS} days, has {days:.3g}")


def _lacking(by_day: EquityCurve) -> Missing | None:
    """Why no ratio can be taken of the days; None when there are enough."""
    if by_day.equity[-1] <= 0:
        return _LOST
    return _too_few_days(len(by_day.times) - 1) if len(by_day.times) <= MIN_DAYS else None


def _ratios(returns: Floats, lacking: Missing | None) -> dict[str, Figure]:
    if lacking is not None:
        return dict.fromkeys(("volatility", "sharpe_ratio", "sortino_ratio"), lacking)
    return {
        "volatility": float(returns.std(ddof=1)) * math.sqrt(YEAR) * 100,
        "sharpe_ratio": sharpe_ratio(returns),
        "sortino_ratio": sortino_ratio(returns),
    }


def _against_benchmark(
    curve: EquityCurve, by_day: Floats, returns: Floats, lacking: Missing | None
) -> dict[str, Figure]:
    """The return of the benchmark, and alpha and beta against it."""
    if np.isnan(curve.benchmark[-1]):
        return dict.fromkeys(("benchmark_return", "alpha", "beta"), _NO_BENCHMARK)
    held = float(curve.benchmark[-1] / curve.benchmark[0] - 1) * 100
    alpha, beta = (lacking, lacking) if lacking is not None else alpha_beta(returns, returns_of(by_day))
    return {"benchmark_return": held, "alpha": alpha, "beta": beta}


def _calmar(growth: Figure, fall: float, lacking: Missing | None) -> Figure:
    """`CAGR / deepest fall`, both in percent (Young, Calmar Ratio: A Smoother Tool, 1991), over the whole run."""
    if lacking is not None or isinstance(growth, Missing):
        return lacking or growth
    return growth / fall if fall > EPS else Missing("the account never fell")


def _deepest_fall(curve: EquityCurve) -> tuple[float, float]:
    """The deepest fall from a highest equity in percent, and its days from there to recovery, or to the end."""
    falls, equity, times = curve.drawdown, curve.equity, curve.times
    lowest = int(falls.argmax())
    if falls[lowest] <= 0:
        return 0.0, 0.0
    highest = equity[: lowest + 1].max()
    began = np.flatnonzero(equity[: lowest + 1] == highest)[-1]
    recovered = np.flatnonzero(equity[lowest:] >= highest)
    ended = lowest + recovered[0] if len(recovered) else len(equity) - 1
    return float(falls[lowest]), float(times[ended] - times[began]) / DAY


def _exposure(curve: EquityCurve) -> dict[str, Figure]:
    """Mean and highest exposure over the steps at which there was an account, percent of it."""
    alive = curve.equity[1:] > 0
    if not alive.any():
        return dict.fromkeys(("average_exposure", "max_exposure"), _NO_DAY if len(curve.times) == 1 else _LOST)
    shares = curve.exposure[1:][alive] / curve.equity[1:][alive] * 100
    return {"average_exposure": float(shares.mean()), "max_exposure": float(shares.max())}


def _time_in_market(curve: EquityCurve, trades: Sequence[Trade]) -> Figure:
    """The percentage of the run in which at least one trade was open, and the account not lost.

    Taken from the trades, to the minute: steps would not see a trade that opened and closed in one of them.
    """
    times, alive = curve.times, int(np.count_nonzero(curve.equity > 0))
    if len(times) == 1:
        return _NO_DAY
    lost = float(times[min(alive, len(times) - 1)])
    opened = np.minimum(np.array([each.opened_at for each in trades], dtype=np.float64), lost)
    closed = np.minimum(np.array([each.closed_at for each in trades], dtype=np.float64), lost)
    order = np.argsort(opened, kind="stable")
    until = np.maximum.accumulate(closed[order])
    since = np.maximum(opened[order], np.append(-np.inf, until)[:-1])
    return float(np.maximum(until - since, 0.0).sum()) / float(times[-1] - times[0]) * 100


def _turnover(curve: EquityCurve, trades: Sequence[Trade], before_costs: Floats, days: float) -> Figure:
    """All money traded, in and out and with leverage, over the mean equity, a year.

    What came out is what went in and the profit before costs: of a short it is less, for it buys back.
    """
    if days < MIN_DAYS:
        return _too_few_days(days)
    went_in = np.array([each.leverage * each.cost for each in trades])
    signs = np.array([1 if each.position == "long" else -1 for each in trades])
    came_out = np.maximum(went_in + signs * before_costs, 0.0)
    return float((went_in + came_out).sum()) / float(curve.equity.mean()) / (days / YEAR)


class _Costs(Struct, frozen=True, eq=False):
    """What fees and slippage took of all trades together, and the profit of every trade before them, in money."""

    fees: float
    slippage: float
    before: Floats

    @classmethod
    def of(cls, trades: Sequence[Trade]) -> _Costs:
        fees, slippage = [each.fees for each in trades], [each.slippage for each in trades]
        before = np.array([each.pnl_cost for each in trades], dtype=np.float64) + np.array(fees) + np.array(slippage)
        return cls(math.fsum(fees), math.fsum(slippage), before)


def _cost_share(costs: _Costs) -> Figure:
    """Fees and slippage in percent of the profit that all trades together made before them."""
    profit = float(costs.before.sum())
    if profit <= 0:
        return Missing("no profit before costs" if len(costs.before) else "no trades")
    return (costs.fees + costs.slippage) / profit * 100
