"""Milestones that positions passed: tenths of the way to their take profit or stop loss, and breakeven.

They come from closed trades, from positions still open, and from the events that told of them; what several of these
know is one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from backtest_kit.core.events import BreakevenReached, Event, LossReached, ProfitReached
from backtest_kit.core.position import Milestone
from backtest_kit.core.values import Side, Time
from backtest_kit.reports.kinds.life import PositionKey, key_of, key_of_trade, position_of, untraded
from backtest_kit.reports.metrics import Line, Metric, lines
from backtest_kit.reports.report import Report, Subject, Table
from backtest_kit.reports.rows import Rows
from backtest_kit.reports.tables import Column, count, minute, price
from backtest_kit.reports.trades import Trade

MilestoneKind: TypeAlias = Literal["profit", "loss", "breakeven"]


class PassedMilestone(Struct, frozen=True, kw_only=True):
    """One milestone of one position: `time` epoch ms, `level` percent of the way (breakeven: 0).

    `price` is the average price that passed it, `price_open` the entry: of a closed trade the effective one of its end.
    """

    time: Time
    symbol: str
    strategy_name: str
    signal_id: str
    position: Side
    kind: MilestoneKind
    level: int
    price: float
    price_open: float


class LevelCount(Struct, frozen=True):
    """How many positions came `level` percent of the way to their take profit, and to their stop loss."""

    level: int
    profit: int
    loss: int


class PartialStatistics(Subject, frozen=True):
    """All milestones of profit and loss in order of time, and how often each level was passed."""

    rows: Rows[PassedMilestone]
    total: int
    profit: int
    loss: int
    levels: tuple[LevelCount, ...]

    def report(self, title: str = "Milestones of profit and loss") -> Report[PassedMilestone]:
        return Report(
            title=title,
            heading="Milestones",
            columns=COLUMNS,
            rows=self.rows,
            empty="No milestone of profit or loss has been passed yet.",
            summary=lines(METRICS, self),
            tables=(Table("By level", LEVEL_COLUMNS, self.levels),),
        )


class BreakevenStatistics(Subject, frozen=True):
    """All positions that came so far that a stop at the entry would cover their costs, in order of time."""

    rows: Rows[PassedMilestone]
    total: int

    def report(self, title: str = "Breakeven") -> Report[PassedMilestone]:
        return Report(
            title=title,
            heading="Positions",
            columns=tuple(each for each in COLUMNS if each.key not in ("kind", "level")),
            rows=self.rows,
            empty="No position has reached breakeven yet.",
            summary=(Line("Positions that reached it", count(self.total)),),
        )


def partial(trades: Sequence[Trade], events: Sequence[Event] = ()) -> PartialStatistics:
    """The milestones of profit and loss."""
    rows = Rows(_passed(trades, events, ("profit", "loss")), PassedMilestone)
    profit = [each.level for each in rows if each.kind == "profit"]
    loss = [each.level for each in rows if each.kind == "loss"]
    levels = tuple(LevelCount(level, profit.count(level), loss.count(level)) for level in sorted({*profit, *loss}))
    return PartialStatistics(rows, len(rows), len(profit), len(loss), levels)


def breakeven(trades: Sequence[Trade], events: Sequence[Event] = ()) -> BreakevenStatistics:
    """The positions that reached breakeven."""
    rows = Rows(_passed(trades, events, ("breakeven",)), PassedMilestone)
    return BreakevenStatistics(rows, len(rows))


_Key: TypeAlias = tuple[PositionKey, MilestoneKind, int]


def _passed(
    trades: Sequence[Trade], events: Sequence[Event], kinds: tuple[MilestoneKind, ...]
) -> list[PassedMilestone]:
    """One row for each position, kind and level, by time; the event knows best, since it knows the entry of then."""
    found: dict[_Key, PassedMilestone] = {}
    for event in events:
        milestone = _told(event)
        if milestone is not None and milestone.kind in kinds:
            _add(found, event, milestone)
    for event in untraded(events, trades).values():
        position = position_of(event)
        for milestone in position.milestones if position is not None else ():
            if milestone.kind in kinds:
                _add(found, event, milestone)
    for trade in trades:
        for milestone in trade.milestones:
            key = (key_of_trade(trade), milestone.kind, milestone.level)
            if milestone.kind in kinds and key not in found:
                found[key] = _of_trade(trade, milestone)
    return sorted(found.values(), key=lambda row: (row.time, row.level))


def _told(event: Event) -> Milestone | None:
    """The milestone that an event tells of, where it tells of one."""
    if type(event) is ProfitReached:
        return Milestone("profit", event.level, event.time, event.price)
    if type(event) is LossReached:
        return Milestone("loss", event.level, event.time, event.price)
    if type(event) is BreakevenReached:
        return Milestone("breakeven", 0, event.time, event.price)
    return None


def _add(found: dict[_Key, PassedMilestone], event: Event, milestone: Milestone) -> None:
    position = position_of(event)
    if position is None:
        return
    key = (key_of(event, position), milestone.kind, milestone.level)
    if key not in found:
        found[key] = PassedMilestone(
            time=milestone.time,
            symbol=event.symbol,
            strategy_name=event.strategy_name,
            signal_id=position.signal.id,
            position=position.signal.position,
            kind=milestone.kind,
            level=milestone.level,
            price=milestone.price,
            price_open=position.effective_price,
        )


def _of_trade(trade: Trade, milestone: Milestone) -> PassedMilestone:
    return PassedMilestone(
        time=milestone.time,
        symbol=trade.symbol,
        strategy_name=trade.strategy_name,
        signal_id=trade.signal_id,
        position=trade.position,
        kind=milestone.kind,
        level=milestone.level,
        price=milestone.price,
        price_open=trade.price_open,
    )


METRICS = (
    Metric("total", "Milestones passed", "", count),
    Metric("profit", "On the way to the take profit", "", count),
    Metric("loss", "On the way to the stop loss", "", count),
)

LEVEL_COLUMNS: tuple[Column[LevelCount], ...] = (
    Column("level", "Level %", lambda row: row.level, count),
    Column("profit", "Towards the take profit", lambda row: row.profit, count),
    Column("loss", "Towards the stop loss", lambda row: row.loss, count),
)

COLUMNS: tuple[Column[PassedMilestone], ...] = (
    Column("time", "Time (UTC)", lambda row: row.time, minute),
    Column("symbol", "Symbol", lambda row: row.symbol),
    Column("strategy_name", "Strategy", lambda row: row.strategy_name),
    Column("signal_id", "Signal", lambda row: row.signal_id),
    Column("position", "Side", lambda row: row.position),
    Column("kind", "Towards", lambda row: row.kind),
    Column("level", "Level %", lambda row: row.level, count),
    Column("price", "Price", lambda row: row.price, price),
    Column("price_open", "Entry", lambda row: row.price_open, price),
)
