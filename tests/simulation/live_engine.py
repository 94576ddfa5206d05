"""The real live engine as the simulation runs it: over the world's clock, disk, exchange and adapter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backtest_kit.app import App
from backtest_kit.commits import (
    commit_average_buy,
    commit_breakeven,
    commit_cancel_scheduled,
    commit_close_pending,
    commit_partial_loss,
    commit_partial_profit,
    commit_trailing_stop,
)
from backtest_kit.core.events import ActivePing, Event, SchedulePing
from backtest_kit.core.values import MINUTE, Signal, Source
from backtest_kit.live_plan import LiveJob, Plugs, live_job
from backtest_kit.registry import ExchangeSchema, StrategySchema
from backtest_kit.settings import Settings
from backtest_kit.stores import FileStore
from backtest_kit.testing.worlds import Ports, Report

SYMBOL, STRATEGY, EXCHANGE = "BTCUSDT", "simulated", "simulated"


class Told:
    """The history of facts, handed to the world as they are delivered."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def count(self, _source: Source) -> int:
        return 0

    async def record(self, event: Event, number: int) -> None:
        self._ports.emit(slot_of(event.source), number, event)


def slot_of(source: Source) -> str:
    """The name of a slot in a world."""
    return f"{source.symbol}/{source.strategy_name}"


def get_signal(_symbol: str, when: int, price: float) -> Signal | None:
    """Both sides in turn, at the market and at a limit, with levels that are reached within minutes."""
    number = when // MINUTE
    sign = 1 if number % 3 else -1
    entry = price * (1 - sign * 0.0005) if number % 4 == 0 else None
    level = entry or price
    return Signal(
        "long" if sign > 0 else "short",
        level * (1 + sign * 0.006),
        level * (1 - sign * 0.006),
        price_open=entry,
        minute_estimated_time=8,
        cost=100.0,
    )


class Hand:
    """Commands that depend on the process as well, as those of a person do: a restart does not give the same again."""

    def __init__(self, process: str) -> None:
        self._shift = len(process) + ord(process[-1])

    def manage(self, ping: ActivePing) -> None:
        """Every kind of command on a position, one a candle."""
        number = ping.time // MINUTE + self._shift
        if number % 2 == 0 and ping.pnl.percent < 0:
            commit_average_buy(SYMBOL, 50.0)
        elif number % 5 == 0:
            commit_breakeven(SYMBOL)
        elif number % 7 == 0:
            commit_trailing_stop(SYMBOL, -0.2)
        elif number % 11 == 0:
            commit_close_pending(SYMBOL)
        elif ping.pnl.percent > 0:
            commit_partial_profit(SYMBOL, 30.0)
        else:
            commit_partial_loss(SYMBOL, 100.0 if number % 3 == 0 else 40.0)

    def give_up(self, ping: SchedulePing) -> None:
        """A limit entry that still waits is taken back on some candles."""
        if (ping.time // MINUTE + self._shift) % 3 == 0:
            commit_cancel_scheduled(SYMBOL)


class LeftOpen(FileStore):
    """The file store of a process that is never told to end: a world ends as a power cut does."""

    async def close(self) -> None:
        return None


async def live(ports: Ports) -> None:
    """One process of the live engine."""
    app = App(Settings())
    app.exchanges.add(ExchangeSchema(EXCHANGE, ports.exchange))
    hand = Hand(ports.name)
    callbacks: dict[str, Callable[..., Any]] = {"on_active_ping": hand.manage, "on_schedule_ping": hand.give_up}
    app.strategies.add(StrategySchema.of(STRATEGY, get_signal, interval="1m", callbacks=callbacks))
    store = LeftOpen("data", ports.disk)
    plugs = Plugs(store, ports.adapter, ports.clock, lambda _: Told(ports), tag="51515151")
    settings: dict[str, Any] = {"cache_candles": False, "candle_retry_delay_seconds": 1.0}
    settings |= {"partials_everywhere": True, "dca_everywhere": True}  # a command is refused only where it cannot be
    job = live_job(app, plugs, "live", SYMBOL, None, None, **settings)
    ports.show(lambda: report(job))
    async for _ in job.run.results():
        pass


def report(job: LiveJob) -> Report:
    """What the engine believes."""
    slots = {slot_of(book.source): book.slot for book in job.run.books}
    return Report(
        quantities={name: slot.quantity for name, slot in slots.items()},
        cash={name: slot.cash for name, slot in slots.items()},
        unresolved=sum(slot.operation is not None for slot in slots.values()),
        events={name: slot.told + len(slot.events) for name, slot in slots.items()},
    )
