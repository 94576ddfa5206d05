"""Closed trades as a sample: what is known of each, their columns and order, and why a figure over them is missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Literal, TypeAlias

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from backtest_kit.core.candles import Floats, Times
from backtest_kit.core.events import SignalClosed
from backtest_kit.core.position import Milestone, Position, profit
from backtest_kit.core.values import MINUTE, Side, Terms, Time

MIN_TRADES = 10


LegKind: TypeAlias = Literal["entry", "average", "partial_profit", "partial_loss", "partial_close", "exit"]


class Leg(Struct, frozen=True):
    """One order of a trade: money that went in or came out at a price, before slippage.

    `cost` is the money (quote currency, before leverage) that it put in, or, of an exit, how much of the money put in
    it let go of; all legs in and all legs out of a trade add up to the same.
    """

    time: Time
    kind: LegKind
    price: float
    cost: float

    @property
    def is_entry(self) -> bool:
        return self.kind in ("entry", "average")


class Trade(Struct, frozen=True, kw_only=True):
    """One closed trade. Times are epoch ms, prices quote currency per unit, `cost` and `pnl_cost` money.

    `price_open` is the effective entry over all `entries`, `cost` all that was invested. Percentages are of the
    invested money, after costs; `peak_pnl_percent` and `trough_pnl_percent` are the best and the worst while the trade
    was open, None when they were not recorded, with the minutes `peak_at` and `trough_at` and prices.
    `price_take_profit` and `price_stop_loss` are the levels as they stood in the end. `fees` and `slippage` are what
    they took, in money: without them the trade would have made `pnl_cost + fees + slippage`. `legs` are its orders and
    `milestones` what it passed on its way, both in order of time; empty when not recorded. An `isolated` position
    cannot lose more than its own money. `ambiguous`: one candle reached both the stop and the take profit; the stop was
    taken, and `pnl_percent_if_ambiguous` is what the other answer would have given.
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
    isolated: bool = False
    note: str = ""
    signal_id: str = ""
    ambiguous: bool = False
    pnl_percent_if_ambiguous: float | None = None
    price_take_profit: float | None = None
    price_stop_loss: float | None = None
    peak_at: Time | None = None
    peak_price: float | None = None
    trough_at: Time | None = None
    trough_price: float | None = None
    fees: float = 0.0
    slippage: float = 0.0
    legs: tuple[Leg, ...] = ()
    milestones: tuple[Milestone, ...] = ()

    @property
    def duration_minutes(self) -> float:
        return (self.closed_at - self.opened_at) / MINUTE


def trade_of(event: SignalClosed, terms: Terms) -> Trade:
    """The record of a closed position; `terms` are those that it was traded on."""
    position, signal, pnl = event.position, event.position.signal, event.pnl
    fees, slippage = _costs(event, terms)
    return Trade(
        symbol=event.symbol,
        strategy_name=event.strategy_name,
        position=signal.position,
        opened_at=position.pending_at,
        closed_at=event.time,
        price_open=pnl.price_open,
        price_close=pnl.price_close,
        cost=pnl.invested,
        pnl_percent=pnl.percent,
        pnl_cost=pnl.cost,
        close_reason=event.close_reason,
        peak_pnl_percent=position.peak.percent,
        trough_pnl_percent=position.trough.percent,
        entries=len(position.entries),
        partials=len(position.exits),
        leverage=signal.leverage,
        isolated=signal.isolated,
        note=signal.note,
        signal_id=signal.id,
        ambiguous=event.ambiguous,
        pnl_percent_if_ambiguous=event.alternative.percent if event.alternative else None,
        price_take_profit=position.price_take_profit,
        price_stop_loss=position.price_stop_loss,
        peak_at=position.peak.time,
        peak_price=position.peak.price,
        trough_at=position.trough.time,
        trough_price=position.trough.price,
        fees=fees,
        slippage=slippage,
        legs=legs_of(position, event.time, pnl.price_close),
        milestones=position.milestones,
    )


def legs_of(position: Position, closed_at: Time | None = None, price: float = 0.0) -> tuple[Leg, ...]:
    """The orders of a position so far; with the one that closed it, where `closed_at` is given."""
    first, *others = position.entries
    legs = [Leg(first.time, "entry", first.price, first.cost)]
    legs += [Leg(each.time, "average", each.price, each.cost) for each in others]
    kinds: dict[str, LegKind] = {"profit": "partial_profit", "loss": "partial_loss", "close": "partial_close"}
    legs += [Leg(each.time, kinds[each.kind], each.price, each.basis * each.percent / 100) for each in position.exits]
    if len(legs) > 1:
        legs.sort(key=attrgetter("time"))
    if closed_at is not None and position.basis > 0:
        legs.append(Leg(closed_at, "exit", price, position.basis))
    return tuple(legs)


def _costs(event: SignalClosed, terms: Terms) -> tuple[float, float]:
    """What fees and slippage took, in money. A real fill has no modelled slippage, and names its own fee."""
    if not terms.fee_percent and not terms.slippage_percent:
        return 0.0, 0.0
    position, price = event.position, event.pnl.price_close
    net = profit(position, price, terms).cost
    without_fee = profit(position, price, replace(terms, fee_percent=0.0)).cost
    without_both = profit(position, price, replace(terms, fee_percent=0.0, slippage_percent=0.0)).cost
    return without_fee - net, without_both - without_fee


class Sample(Struct, frozen=True, eq=False):
    """Trades as columns of equal length, a row each: all that statistics are computed of.

    Times are epoch ms; `pnl`, `peak` and `trough` are percent, NaN where a peak or trough was not recorded.
    """

    opened_at: Times
    closed_at: Times
    price_close: Floats
    pnl: Floats
    peak: Floats
    trough: Floats

    @classmethod
    def of(cls, trades: Sequence[Trade]) -> Sample:
        return cls(
            np.array([each.opened_at for each in trades], dtype=np.int64),
            np.array([each.closed_at for each in trades], dtype=np.int64),
            np.array([each.price_close for each in trades], dtype=np.float64),
            np.array([each.pnl_percent for each in trades], dtype=np.float64),
            np.array([each.peak_pnl_percent for each in trades], dtype=np.float64),  # numpy reads None as NaN
            np.array([each.trough_pnl_percent for each in trades], dtype=np.float64),
        )

    def __len__(self) -> int:
        return len(self.pnl)

    def rows(self, which: NDArray[np.int64]) -> Sample:
        """The trades of these rows, in this order."""
        return Sample(*(getattr(self, name)[which] for name in self.__struct_fields__))

    def in_closing_order(self) -> Sample:
        """The trades by closing time; of those that closed together the last given comes first."""
        last_first = self.closed_at[::-1]  # the reference keeps its trades in this order and sorts them stably
        return self.rows(len(self) - 1 - np.argsort(last_first, kind="stable"))


class Missing(Struct, frozen=True):
    """The answer of a figure that the sample cannot carry: why there is no number."""

    reason: str


Figure: TypeAlias = float | Missing


def numbered(names: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """The different names as they appear, and of every name given which of them it is."""
    number_of = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return list(number_of), np.array([number_of[name] for name in names], dtype=np.int64)


def too_few(count: int) -> Missing | None:
    """Why a ratio cannot be taken over `count` trades; None when there are enough."""
    return Missing(f"needs {MIN_TRADES} trades, has {count}") if count < MIN_TRADES else None


def total(values: Iterable[float] | Floats) -> float:
    """The sum, added left to right: `sum` rounds differently from Python 3.12 on, and numpy's adds in pairs."""
    column = values if isinstance(values, np.ndarray) else np.fromiter(values, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        sums = np.add.accumulate(column, dtype=np.float64)
    return 0.0 + float(sums[-1]) if len(sums) else 0.0


def mean(values: Sequence[float] | Floats) -> float:
    """The arithmetic mean of at least one value."""
    return total(values) / len(values)


def mean_or(reason: str, values: Sequence[float] | Floats) -> Figure:
    """The mean, or `reason` where there is nothing to average."""
    return mean(values) if len(values) else Missing(reason)


def median(values: Sequence[float] | Floats) -> float:
    """The middle of at least one value; the mean of the two middle ones when their number is even."""
    ranked, half = np.sort(values), len(values) // 2
    return float(ranked[half] if len(ranked) % 2 else (ranked[half - 1] + ranked[half]) / 2)
