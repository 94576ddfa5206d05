"""Money windows: what was earned today, yesterday and in the last 7 and 31 days, by the time of closing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from backtest_kit.core.values import MINUTE, Time
from backtest_kit.reports.trades import Trade, total

DAY: Time = 1440 * MINUTE


class MoneyWindow(Struct, frozen=True, kw_only=True):
    """The trades that closed in [start, stop), epoch ms.

    `pnl_cost` is money (quote currency), `pnl_percent` the sum of the percentages of the trades, both after costs. A
    trade that made exactly nothing is neither win nor loss.
    """

    start: Time
    stop: Time
    trades: int
    pnl_cost: float
    pnl_percent: float
    wins: int
    losses: int


class MoneyWindows(Struct, frozen=True, kw_only=True):
    """Four windows of whole UTC days up to now; those of 7 and 31 days count today as one of them."""

    today: MoneyWindow
    yesterday: MoneyWindow
    last_7_days: MoneyWindow
    last_31_days: MoneyWindow


def money_windows(trades: Iterable[Trade], now: Time) -> MoneyWindows:
    """What was earned in the days before `now` (epoch ms); trades that close after it are not known yet."""
    tomorrow = now - now % DAY + DAY
    recent = [each for each in trades if tomorrow - 31 * DAY <= each.closed_at <= now]
    return MoneyWindows(
        today=_window(recent, tomorrow - DAY, tomorrow),
        yesterday=_window(recent, tomorrow - 2 * DAY, tomorrow - DAY),
        last_7_days=_window(recent, tomorrow - 7 * DAY, tomorrow),
        last_31_days=_window(recent, tomorrow - 31 * DAY, tomorrow),
    )


def _window(trades: Sequence[Trade], start: Time, stop: Time) -> MoneyWindow:
    own = [each for each in trades if start <= each.closed_at < stop]
    return MoneyWindow(
        start=start,
        stop=stop,
        trades=len(own),
        pnl_cost=total(each.pnl_cost for each in own),
        pnl_percent=total(each.pnl_percent for each in own),
        wins=sum(each.pnl_percent > 0 for each in own),
        losses=sum(each.pnl_percent < 0 for each in own),
    )
