"""The life of a signal as events and trades tell it: whose it is, in which order, and what is not closed yet."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import TypeAlias, TypeVar

from backtest_kit.core.events import (
    Event,
    IdlePing,
    SchedulePing,
    SignalCancelled,
    SignalClosed,
    SignalOpened,
    SignalScheduled,
)
from backtest_kit.core.position import Position
from backtest_kit.core.values import Signal, Time
from backtest_kit.reports.trades import Trade

SomeEvent = TypeVar("SomeEvent", bound=Event)

PositionKey: TypeAlias = tuple[str, str, str, Time]
"""Which position: strategy, symbol, signal id, and when it was opened, since users may use an id again."""

_ORDER: dict[type[Event], int] = {
    IdlePing: 0,
    SignalScheduled: 0,
    SchedulePing: 1,
    SignalOpened: 2,
    SignalCancelled: 4,
    SignalClosed: 5,
}
_WHILE_OPEN = 3
_time = attrgetter("time")


def in_order(events: Iterable[SomeEvent]) -> list[SomeEvent]:
    """The events by time; those of one minute in the order in which a signal lives, equals as they were given."""
    order = _ORDER
    return sorted(events, key=lambda event: (event.time, order.get(type(event), _WHILE_OPEN)))


def in_time(events: Iterable[SomeEvent]) -> list[SomeEvent]:
    """The events by time, equals as they were given."""
    return sorted(events, key=_time)


def signal_of(event: Event) -> Signal | None:
    """The signal that an event speaks of, where it speaks of one."""
    signal: Signal | None = getattr(event, "signal", None)
    if signal is not None:
        return signal
    position = position_of(event)
    return position.signal if position is not None else None


def position_of(event: Event) -> Position | None:
    """The position after an event, where there is one."""
    position: Position | None = getattr(event, "position", None)
    return position


def key_of(event: Event, position: Position) -> PositionKey:
    """Which position an event speaks of."""
    return event.strategy_name, event.symbol, position.signal.id, position.pending_at


def key_of_trade(trade: Trade) -> PositionKey:
    """Which position a trade was."""
    return trade.strategy_name, trade.symbol, trade.signal_id, trade.opened_at


def untraded(events: Iterable[Event], trades: Iterable[Trade]) -> dict[PositionKey, Event]:
    """The latest event of every position of which there is no trade: those still open."""
    closed = {key_of_trade(each) for each in trades}
    latest: dict[PositionKey, Event] = {}
    for event in in_order(events):
        position = position_of(event)
        if position is not None:
            latest[key_of(event, position)] = event
    return {key: event for key, event in latest.items() if key not in closed}
