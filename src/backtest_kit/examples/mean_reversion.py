"""A mean reversion: where the price is stretched far from its mean of a day, it waits with a limit order further out.

It shows columns that are computed once for the whole history (`indicators=`), and an entry that is scheduled: it
becomes a position when the price comes to it, or is cancelled after `schedule_await_minutes`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import backtest_kit as bk

WINDOW = 96  # candles of 15 minutes: one day
LEAST_DEVIATION = 0.004  # of the price: in a quieter market the way to the mean is too short for the costs


def bands(candles: bk.Candles) -> dict[str, NDArray[np.float64]]:
    """Mean and standard deviation of the last `WINDOW` closes, row by row; NaN while there are fewer."""
    padded = np.concatenate((np.full(WINDOW - 1, np.nan), candles.close))
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)
    return {"mean": windows.mean(axis=1), "deviation": windows.std(axis=1)}


@bk.strategy(
    "mean-reversion",
    interval="15m",
    params={"stretch": bk.Param(2.0, low=1.0, high=4.0)},
    indicators=bands,
    indicator_history=WINDOW,
)
def mean_reversion(_symbol: str, _when: int, price: float) -> bk.Signal | None:
    """Against the stretch, half a deviation further out, to the mean. The stop is as far away as the target."""
    context = bk.get_context()
    assert context.indicators is not None
    mean, deviation = (float(context.indicators[name][-1]) for name in ("mean", "deviation"))
    if not deviation > LEAST_DEVIATION * price:  # neither where it is NaN
        return None
    stretch = (price - mean) / deviation
    if abs(stretch) < context.params.stretch:
        return None
    entry = price + (deviation / 2 if stretch > 0 else -deviation / 2)
    return bk.Signal(
        "short" if stretch > 0 else "long",
        price_open=entry,
        price_take_profit=mean,
        price_stop_loss=2 * entry - mean,
        note=f"{stretch:+.1f} deviations from the mean",
    )
