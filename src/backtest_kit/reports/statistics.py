"""Statistics: every number of every report, computed here and nowhere else.

Formulas and limits are those of the project's statistics chapter, which follows the published `backtest-kit`
for Node.js; its recorded results are matched to 1e-9. A figure that the sample cannot carry is None, and
`missing` says why: the reason is written at the very place where the number is refused, so the two cannot
disagree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from msgspec import Struct, structs

from backtest_kit.core.candles import Floats
from backtest_kit.core.values import MINUTE
from backtest_kit.errors import UnknownNameError
from backtest_kit.reports.price_profile import DAY, Trend, price_profile
from backtest_kit.reports.trades import (
    Figure,
    Missing,
    Sample,
    Trade,
    mean,
    mean_or,
    median,
    too_few,
    total,
)

MIN_DAYS = 14
MAX_TRADES_PER_YEAR = 365
MAX_YEARLY_PERCENT = 100
CLAMP = 1000.0
EPS = 1e-9


class Statistics(Struct, frozen=True, kw_only=True):
    """What a sample of closed trades amounts to; None where it cannot carry a figure, `missing` says why.

    Profits, deviations, drawdowns and rates are percent (profits add up, they are not compounded); durations
    are minutes; ratios, streaks and counts are plain numbers. `max_drawdown` is the deepest fall of an
    account that puts everything into every trade, open losses included; `max_drawdown_pnl` the worst that a
    single trade looked like. Strengths, pressures and trend: see `price_profile`.
    """

    total_trades: int
    win_count: int
    loss_count: int
    win_rate: float | None
    avg_pnl: float | None
    total_pnl: float
    median_pnl: float | None
    std_dev: float | None
    sharpe_ratio: float | None
    trades_per_year: float | None
    annualized_sharpe_ratio: float | None
    max_drawdown: float
    expected_yearly_returns: float | None
    certainty_ratio: float | None
    expectancy: float | None
    sortino_ratio: float | None
    calmar_ratio: float | None
    recovery_factor: float | None
    profit_factor: float | None
    avg_win: float | None
    avg_loss: float | None
    avg_duration: float | None
    avg_win_duration: float | None
    avg_loss_duration: float | None
    avg_consecutive_win_pnl: float | None
    avg_consecutive_loss_pnl: float | None
    max_win_streak: int
    max_loss_streak: int
    avg_peak_pnl: float | None
    avg_fall_pnl: float | None
    peak_profit_pnl: float | None
    max_drawdown_pnl: float | None
    median_step_size: float | None
    buyer_pressure: float | None
    seller_pressure: float | None
    buyer_strength: float | None
    seller_strength: float | None
    pressure_imbalance: float | None
    trend: Trend | None
    trend_strength: float | None
    trend_confidence: float | None
    missing: Mapping[str, str]


METRIC_NAMES = tuple(each for each in Statistics.__struct_fields__ if each != "missing")


class Equity(Struct, frozen=True):
    """An account of 1 that puts all into every trade: its end, its deepest fall in percent, was it lost."""

    final: float
    drawdown: float
    blown: bool


def compute(trades: Iterable[Trade]) -> Statistics:
    """The statistics of all given trades as one sample.

    The account and the prices are followed by closing time; runs of winners and losers are those of the order
    given.
    """
    return figures_of(Sample.of(tuple(trades)))


def figures_of(trades: Sample) -> Statistics:
    """The same of trades that have been read already."""
    ordered = trades.in_closing_order()
    return settled({**sample_figures(trades, ordered), **structs.asdict(price_profile(ordered))})


def why_missing(statistics: Statistics, metric: str) -> str:
    """Why `metric` is None; empty when it is not. Raises UnknownNameError for a name that is no metric."""
    if metric not in METRIC_NAMES:
        raise UnknownNameError("metric", metric, METRIC_NAMES)
    return statistics.missing.get(metric, "")


def settled(figures: Mapping[str, Any]) -> Statistics:
    """Statistics of figures by name; a `Missing` becomes None, and its reason goes to `missing`."""
    missing = {name: each.reason for name, each in figures.items() if type(each) is Missing}
    return Statistics(**{**figures, **dict.fromkeys(missing)}, missing=missing)


@np.errstate(over="ignore", invalid="ignore")
def sample_figures(trades: Sample, ordered: Sample) -> dict[str, Any]:
    """Every figure but the price profile, by name; `ordered` are the same trades in closing order."""
    pnls = trades.pnl
    wins, losses = pnls[pnls > 0], pnls[pnls < 0]
    equity = equity_walk(ordered)
    return {
        "total_trades": len(pnls),
        "win_count": len(wins),
        "loss_count": len(losses),
        "win_rate": len(wins) / (len(wins) + len(losses)) * 100 if len(wins) or len(losses) else _UNDECIDED,
        "avg_pnl": mean_or("no trades", pnls),
        "total_pnl": total(pnls),
        "median_pnl": median(pnls) if len(pnls) else Missing("no trades"),
        "max_drawdown": equity.drawdown,
        "profit_factor": _profit_factor(wins, losses),
        "avg_win": mean_or(_NO_WIN.reason, wins),
        "avg_loss": mean_or(_NO_LOSS.reason, losses),
        **_ratios(trades, wins, losses, equity),
        **_durations(trades),
        **_streaks(pnls),
        **_extremes(trades),
    }


def equity_walk(trades: Sample) -> Equity:
    """Follow an account of 1 through the trades, each made with the whole account, worst moments included."""
    equity = np.multiply.accumulate(np.append(1.0, 1 + trades.pnl / 100))
    lowest = equity[:-1] * (1 + np.fmin(trades.trough, 0.0) / 100)
    if (equity <= 0).any() or (lowest <= 0).any():
        return _BLOWN
    peak = np.fmax.accumulate(equity)
    falls = np.append((peak[:-1] - lowest) / peak[:-1], (peak - equity) / peak) * 100
    return Equity(float(equity[-1]), float(np.fmax.reduce(falls)), False)


_BLOWN = Equity(0.0, 100.0, True)
_UNDECIDED = Missing("no trade won or lost")
_NO_LOSS, _NO_WIN = Missing("no losing trade"), Missing("no winning trade")
_RATIOS = (
    "std_dev",
    "sharpe_ratio",
    "trades_per_year",
    "annualized_sharpe_ratio",
    "expected_yearly_returns",
    "certainty_ratio",
    "expectancy",
    "sortino_ratio",
    "calmar_ratio",
    "recovery_factor",
)


def _ratios(trades: Sample, wins: Floats, losses: Floats, equity: Equity) -> dict[str, Figure]:
    """The figures that need ten trades: the deviation, rates a year, and what divides by a risk."""
    pnls, lacking = trades.pnl, too_few(len(trades))
    if lacking is not None:
        return dict.fromkeys(_RATIOS, lacking)
    deviation = _sample_deviation(pnls)
    sharpe = mean(pnls) / deviation if deviation > EPS else Missing("the profits of the trades do not differ")
    frequency = _trades_per_year(trades)
    yearly = _yearly(equity, frequency, len(pnls))
    recovered = Missing("the account was lost") if equity.blown else (equity.final - 1) * 100
    return {
        "std_dev": deviation,
        "sharpe_ratio": sharpe,
        "trades_per_year": frequency,
        "annualized_sharpe_ratio": _annualized(sharpe, frequency),
        "expected_yearly_returns": yearly,
        "certainty_ratio": _certainty(wins, losses),
        "expectancy": _expectancy(wins, losses, len(pnls)),
        "sortino_ratio": _sortino(pnls, losses),
        "calmar_ratio": _over_drawdown(yearly, equity),
        "recovery_factor": _over_drawdown(recovered, equity),
    }


def _sample_deviation(values: Floats) -> float:
    distances = values - mean(values)
    return math.sqrt(total(distances * distances) / (len(values) - 1))


def _trades_per_year(trades: Sample) -> Figure:
    days = int(trades.closed_at.max() - trades.opened_at.min()) / DAY
    if days < MIN_DAYS:
        return Missing(f"needs {MIN_DAYS} days of trading, has {days:.1f}")
    rate = len(trades) / days * 365
    if rate > MAX_TRADES_PER_YEAR:
        return Missing(f"{rate:.0f} trades a year are too many to project from (at most {MAX_TRADES_PER_YEAR})")
    return rate


def _annualized(sharpe: Figure, frequency: Figure) -> Figure:
    if isinstance(sharpe, Missing):
        return sharpe
    return frequency if isinstance(frequency, Missing) else sharpe * math.sqrt(frequency)


def _yearly(equity: Equity, frequency: Figure, count: int) -> Figure:
    """What the account would have gained in a year at this pace, in percent, compounded."""
    if isinstance(frequency, Missing):
        return frequency
    if equity.blown:
        return -100.0
    exponent = frequency / count
    if exponent * math.log(equity.final) > 1:  # far over the limit, and possibly over what a float can hold
        return _BEYOND_BELIEF
    percent = (equity.final**exponent - 1) * 100
    return _BEYOND_BELIEF if abs(percent) > MAX_YEARLY_PERCENT else percent


_BEYOND_BELIEF = Missing(f"more than {MAX_YEARLY_PERCENT} % a year: no sample carries such a projection")


def _certainty(wins: Floats, losses: Floats) -> Figure:
    if not len(wins) or not len(losses):
        return _NO_LOSS if len(wins) else _NO_WIN
    loss = abs(mean(losses))
    return mean(wins) / loss if loss > EPS else _LOSSES_TOO_SMALL


def _profit_factor(wins: Floats, losses: Floats) -> Figure:
    if not len(wins) or not len(losses):
        return _NO_LOSS if len(wins) else _NO_WIN
    lost = abs(total(losses))
    return total(wins) / lost if lost > EPS else _LOSSES_TOO_SMALL


_LOSSES_TOO_SMALL = Missing("the losses are too small to divide by")


def _expectancy(wins: Floats, losses: Floats, count: int) -> Figure:
    if not len(wins) and not len(losses):
        return _UNDECIDED
    gain = len(wins) / count * mean(wins) if len(wins) else 0.0
    return gain + (len(losses) / count * mean(losses) if len(losses) else 0.0)


def _sortino(pnls: Floats, losses: Floats) -> Figure:
    """The mean over the downside deviation from zero: it is over every trade, its squares only of losses."""
    downside = math.sqrt(total(losses * losses) / len(pnls))
    if downside > EPS:
        return mean(pnls) / downside
    return _LOSSES_TOO_SMALL if downside > 0 else _NO_LOSS


def _over_drawdown(gain: Figure, equity: Equity) -> Figure:
    """A gain in percent as a multiple of the deepest fall, within ±1000."""
    if isinstance(gain, Missing):
        return gain
    if equity.drawdown <= 0:
        return Missing("the account never fell")
    return max(-CLAMP, min(CLAMP, gain / equity.drawdown))


def _durations(trades: Sample) -> dict[str, Figure]:
    minutes = (trades.closed_at - trades.opened_at) / MINUTE
    return {
        "avg_duration": mean_or("no trades", minutes),
        "avg_win_duration": mean_or(_NO_WIN.reason, minutes[trades.pnl > 0]),
        "avg_loss_duration": mean_or(_NO_LOSS.reason, minutes[trades.pnl < 0]),
    }


def _streaks(pnls: Floats) -> dict[str, Figure]:
    """Runs of winners and of losers: the mean of what a run brought, and the longest. A zero ends a run."""
    signs = np.sign(pnls)
    starts = np.flatnonzero(np.diff(signs, prepend=np.nan))
    sums, lengths = np.add.reduceat(pnls, starts), np.diff(starts, append=len(pnls))
    winning, losing = signs[starts] > 0, signs[starts] < 0
    return {
        "avg_consecutive_win_pnl": mean_or(_NO_WIN.reason, sums[winning]),
        "avg_consecutive_loss_pnl": mean_or(_NO_LOSS.reason, sums[losing]),
        "max_win_streak": int(lengths[winning].max(initial=0)),
        "max_loss_streak": int(lengths[losing].max(initial=0)),
    }


def _extremes(trades: Sample) -> dict[str, Figure]:
    """The best and the worst that trades looked like while they were open: means, and the outermost."""
    peaks, troughs = trades.peak[~np.isnan(trades.peak)], trades.trough[~np.isnan(trades.trough)]
    no_peak, no_trough = "no trade has a recorded peak", "no trade has a recorded trough"
    return {
        "avg_peak_pnl": mean_or(no_peak, peaks),
        "avg_fall_pnl": mean_or(no_trough, troughs),
        "peak_profit_pnl": float(peaks.max()) if len(peaks) else Missing(no_peak),
        "max_drawdown_pnl": float(troughs.min()) if len(troughs) else Missing(no_trough),
    }
