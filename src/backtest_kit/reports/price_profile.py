"""The price profile: what the closing prices of the trades say about the market that was traded.

The closing prices, in time order, are read as one thin price series: how large its steps are, which way they
go, and whether the prices follow a trend. It needs ten trades, and the prices of one symbol to mean anything.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import numpy as np
from msgspec import Struct

from backtest_kit.core.candles import Floats
from backtest_kit.reports.trades import Figure, Missing, Sample, mean, median, too_few, total

Trend: TypeAlias = Literal["bullish", "bearish", "neutral", "sideways"]

DAY = 86_400_000
MIN_CONFIDENCE = 0.30
MIN_SLOPE_IN_STEPS = 0.25


class PriceProfile(Struct, frozen=True):
    """The figures of the profile.

    `median_step_size` is percent of the price; pressures are shares of the number of steps, strengths shares
    of the distance walked, both 0–1; `trend_strength` is percent a day, `trend_confidence` the R² of the fit.
    """

    median_step_size: Figure
    buyer_pressure: Figure
    seller_pressure: Figure
    buyer_strength: Figure
    seller_strength: Figure
    pressure_imbalance: Figure
    trend: Trend | Missing
    trend_strength: Figure
    trend_confidence: Figure


@np.errstate(over="ignore", invalid="ignore")
def price_profile(trades: Sample) -> PriceProfile:
    """The profile of trades that stand in closing order; a closing price that is not positive is left out."""
    priced = trades.rows(np.flatnonzero(trades.price_close > 0))
    lacking = too_few(len(priced))
    if lacking is not None:
        return no_profile(lacking)
    closes = priced.price_close
    steps = (closes[1:] - closes[:-1]) / closes[:-1]
    if not math.isfinite(total(np.abs(steps))):
        return no_profile(Missing("the closing prices lie too far apart to be compared"))
    step_percent = median(np.abs(steps)) * 100
    days = (priced.closed_at - priced.closed_at[0]) / DAY
    return PriceProfile(step_percent, *_sides(steps), *_direction(days, closes, step_percent))


def no_profile(why: Missing) -> PriceProfile:
    """The profile of trades that cannot have one."""
    return PriceProfile(*[why] * len(PriceProfile.__struct_fields__))


def _sides(steps: Floats) -> tuple[Figure, Figure, Figure, Figure, Figure]:
    """Pressure of buyers and sellers, strength of buyers and sellers, and the imbalance of the strengths."""
    ups, downs = steps[steps > 0], steps[steps < 0]
    if not len(ups) and not len(downs):
        still = Missing("the closing price never moved")
        return still, still, still, still, still
    pressure = len(ups) / (len(ups) + len(downs))
    strength = total(ups) / total(np.abs(steps))
    return pressure, 1 - pressure, strength, 1 - strength, strength - (1 - strength)


def _direction(days: Floats, closes: Floats, step_percent: float) -> tuple[Trend | Missing, Figure, Figure]:
    """Trend, strength in percent a day, confidence: least squares of the logarithm of the price on days."""
    if days[-1] <= days[0]:
        at_once = Missing("all trades closed at the same time")
        return at_once, at_once, at_once
    slope, confidence = _fit(days, np.log(closes))
    return _trend(slope * 100, confidence, step_percent), slope * 100, confidence


def _fit(x: Floats, y: Floats) -> tuple[float, float]:
    """Slope and R² of the least-squares line through points that differ in `x`; R² is 0 where `y` is flat."""
    dx, dy = x - mean(x), y - mean(y)
    across, along, both = total(dx * dx), total(dy * dy), total(dx * dy)
    return both / across, min(1.0, both * both / (across * along)) if along > 0 else 0.0


def _trend(percent_a_day: float, confidence: float, step_percent: float) -> Trend:
    if confidence < MIN_CONFIDENCE:
        return "sideways"
    if abs(percent_a_day) < MIN_SLOPE_IN_STEPS * step_percent:
        return "neutral"
    return "bullish" if percent_a_day > 0 else "bearish"
