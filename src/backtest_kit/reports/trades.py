"""Closed trades as a sample: what is known of each, their order, and why a figure over them is missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from operator import add, attrgetter
from typing import TypeAlias

from msgspec import Struct

from backtest_kit.core.values import MINUTE, Side, Time

MIN_TRADES = 10


class Trade(Struct, frozen=True, kw_only=True):
    """One closed trade. Times are epoch ms, prices quote currency per unit, `cost` and `pnl_cost` money.

    `price_open` is the effective entry over all `entries`, `cost` all that was invested. Percentages are of
    the invested money, after costs; `peak_pnl_percent` and `trough_pnl_percent` are the best and the worst
    while the trade was open, None when they were not recorded. `ambiguous`: one candle reached both the stop
    and the take profit; the stop was taken, and `pnl_percent_if_ambiguous` is what the other answer would
    have given.
    """

    symbol: str
    strategy_name: str
    position: Side
    opened_at: Time
    closed_at: Time
    price_open: float
    price_close: float
    cost: float
    pnl_percent: float
    pnl_cost: float
    close_reason: str
    peak_pnl_percent: float | None = None
    trough_pnl_percent: float | None = None
    entries: int = 1
    partials: int = 0
    leverage: float = 1.0
    note: str = ""
    signal_id: str = ""
    ambiguous: bool = False
    pnl_percent_if_ambiguous: float | None = None

    @property
    def duration_minutes(self) -> float:
        return (self.closed_at - self.opened_at) / MINUTE


class Missing(Struct, frozen=True):
    """The answer of a figure that the sample cannot carry: why there is no number."""

    reason: str


Figure: TypeAlias = float | Missing


def in_closing_order(trades: Sequence[Trade]) -> tuple[Trade, ...]:
    """The trades by closing time; of those that closed together the last given comes first."""
    last_first = trades[::-1]  # the reference keeps its trades in this order and sorts them stably
    return tuple(sorted(last_first, key=attrgetter("closed_at")))


def too_few(count: int) -> Missing | None:
    """Why a ratio cannot be taken over `count` trades; None when there are enough."""
    return Missing(f"needs {MIN_TRADES} trades, has {count}") if count < MIN_TRADES else None


def total(values: Iterable[float]) -> float:
    """The sum, added left to right: the built-in `sum` rounds differently from Python 3.12 on."""
    return reduce(add, values, 0.0)


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean of at least one value."""
    return total(values) / len(values)


def mean_or(reason: str, values: Sequence[float]) -> Figure:
    """The mean, or `reason` where there is nothing to average."""
    return mean(values) if values else Missing(reason)


def median(values: Sequence[float]) -> float:
    """The middle of at least one value; the mean of the two middle ones when their number is even."""
    ranked, half = sorted(values), len(values) // 2
    return ranked[half] if len(ranked) % 2 else (ranked[half - 1] + ranked[half]) / 2
