"""One event of every kind that a book can state, and trades, with the texts of people who mean harm."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice

from msgspec.structs import replace

from backtest_kit.core.events import (
    ActivePing,
    BreakevenReached,
    Committed,
    Event,
    HighestProfit,
    IdlePing,
    LossReached,
    MaxDrawdown,
    OrderAnswered,
    ProfitReached,
    RiskRejected,
    SchedulePing,
    SignalCancelled,
    SignalClosed,
    SignalInvalid,
    SignalOpened,
    SignalScheduled,
)
from backtest_kit.core.position import Extreme, averaged, opened, profit, reduced
from backtest_kit.core.values import MINUTE, Signal, Source, Terms
from backtest_kit.reports.trades import Leg, Trade

START = 1_704_067_200_000  # 2024-01-01T00:00Z
TERMS = Terms()
HOSTILE = "<img src=x onerror=alert(1)>"
SOURCE = Source("BTCUSDT", HOSTILE, "binance", "january", "live")
SIGNAL = Signal("long", 110.0, 90.0, 100.5, 60, id="s-1", note="=cmd|x\n[x](javascript:alert)", symbol="BTCUSDT")
FRESH = opened(SIGNAL, START, 100.0, TERMS)
POSITION = replace(
    reduced(averaged(FRESH, START + MINUTE, 90.0, 50.0, TERMS), START + 2 * MINUTE, 105.0, 25.0, "profit", TERMS),
    peak=Extreme(106.0, START + 2 * MINUTE, 8.5),
)
LATER = START + 3 * MINUTE

EVENTS: tuple[Event, ...] = (
    IdlePing(SOURCE, START, 100.0),
    SignalScheduled(SOURCE, START, 101.0, SIGNAL),
    SchedulePing(SOURCE, LATER, 101.0, SIGNAL, START),
    SignalCancelled(SOURCE, LATER, 101.0, SIGNAL, "timeout", note="@note"),
    SignalOpened(SOURCE, START, 100.0, FRESH),
    ActivePing(SOURCE, LATER, 104.0, POSITION, TERMS),
    SignalClosed(
        SOURCE, LATER, 90.0, POSITION, profit(POSITION, 90.0, TERMS), "stop_loss", True, profit(POSITION, 110.0, TERMS)
    ),
    HighestProfit(SOURCE, LATER, 106.0, POSITION),
    MaxDrawdown(SOURCE, LATER, 91.0, POSITION),
    BreakevenReached(SOURCE, LATER, 101.0, POSITION),
    ProfitReached(SOURCE, LATER, 103.0, POSITION, 30),
    LossReached(SOURCE, LATER, 97.0, POSITION, 20),
    Committed(SOURCE, LATER, "trailing_stop", 104.0, -1.5, False, "too near", position=POSITION),
    RiskRejected(SOURCE, START, 100.0, SIGNAL, "careful", "three are open", "limit", 3),
    SignalInvalid(SOURCE, START, 100.0, ("stop above entry", "take below entry"), SIGNAL),
    OrderAnswered(SOURCE, START, "bk01", "open", 2, "done", 100.1, 1.0, 0.1, "", False),
)


def many_events(count: int) -> Iterator[Event]:
    """Events of all kinds in turn, made as they are asked for."""
    for number, event in enumerate(islice(cycle(EVENTS), count)):
        yield replace(event, time=START + number * MINUTE)


def trade(**fields: object) -> Trade:
    """A trade of an hour and a half; `fields` are what differs."""
    base: dict[str, object] = {
        "symbol": "BTCUSDT",
        "strategy_name": "sma_cross",
        "position": "long",
        "opened_at": START,
        "closed_at": START + 90 * MINUTE,
        "price_open": 42_123.4,
        "price_close": 0.00001234567,
        "cost": 100.0,
        "pnl_percent": 1.23456789,
        "pnl_cost": 1.23456789,
        "close_reason": "take_profit",
        "legs": (Leg(START, "entry", 42_123.4, 100.0),),
    }
    return Trade(**(base | fields))  # type: ignore[arg-type]
