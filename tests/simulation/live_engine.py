"""The real live engine as the simulation runs it: over the world's clock, disk, exchange and adapter."""

from __future__ import annotations

from typing import Any

from backtest_kit.app import App
from backtest_kit.core.events import Event
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


async def live(ports: Ports) -> None:
    """One process of the live engine."""
    app = App(Settings())
    app.exchanges.add(ExchangeSchema(EXCHANGE, ports.exchange))
    app.strategies.add(StrategySchema.of(STRATEGY, get_signal, interval="1m"))
    store = FileStore("data", ports.disk)
    plugs = Plugs(store, ports.adapter, ports.clock, lambda _: Told(ports), tag="51515151")
    settings: dict[str, Any] = {"cache_candles": False, "candle_retry_delay_seconds": 1.0}
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
