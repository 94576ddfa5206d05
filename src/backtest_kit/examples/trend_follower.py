"""A trend follower: it enters when the price leaves the range of the last two days, and lets the stop follow.

It shows a market entry with a bracket, declared parameters, and a callback that manages the open position.
"""

from __future__ import annotations

from typing import Any

import backtest_kit as bk


def follow(event: Any) -> None:
    """Moves the stop as the target comes nearer: at 30 % of the way to the entry, later to half of the gain."""
    if event.level == 30:
        bk.commit_breakeven(event.symbol)
    elif event.level > 30:
        entry = event.position.effective_price
        bk.commit_trailing_stop(event.symbol, stop_price=(entry + event.price) / 2)


@bk.strategy(
    "trend-follower",
    interval="1h",
    params={"range_hours": bk.Param(48, low=6, high=240), "stop_percent": bk.Param(2.0, low=0.5, high=10.0)},
    callbacks={"on_partial_profit": follow},
)
async def trend_follower(symbol: str, _when: int, price: float) -> bk.Signal | None:
    """Long above the highest hour of the range, short below the lowest; the target is three stops away."""
    params = bk.get_context().params
    candles = await bk.get_candles(symbol, "1h", params.range_hours + 1)
    earlier, last = candles[:-1], candles.close[-1]
    if earlier.low.min() <= last <= earlier.high.max():
        return None
    return bk.Signal.bracket(
        "long" if last > earlier.high.max() else "short",
        price,
        take_profit_percent=3 * params.stop_percent,
        stop_loss_percent=params.stop_percent,
        note=f"out of the range of {params.range_hours} hours",
    )
