"""Live trading in a test: a clock that moves when somebody waits, a store in memory, a broker with a script."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import backtest_kit as bk
from backtest_kit.app import default
from backtest_kit.core.events import Event
from backtest_kit.core.orders import ExitReport, OrderReport, OrderRequest
from backtest_kit.core.position import Fill
from backtest_kit.core.values import Source
from backtest_kit.errors import StaleWriteError
from backtest_kit.live_plan import LiveJob, Plugs, live_job
from backtest_kit.ports import BrokerAdapter, Document
from tests.worlds import MINUTE, at


class HandClock:
    """Time passes only while somebody waits, and then at once; those who wait wake in the order of their times."""

    def __init__(self, minute: float = 10) -> None:
        self._now = float(at(minute))
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def now(self) -> int:
        return int(self._now)

    def monotonic(self) -> float:
        return self._now / 1000

    async def sleep(self, seconds: float) -> None:
        self._count += 1
        mine = (self._now + seconds * 1000, self._count, asyncio.get_running_loop().create_future())
        self._sleepers.append(mine)
        asyncio.get_running_loop().call_soon(self._wake)
        await mine[2]

    def _wake(self) -> None:
        """Moves on to the earliest who waits, once nobody else has anything to do."""
        waiting = sorted((each for each in self._sleepers if not each[2].done()), key=lambda each: each[:2])
        self._sleepers = waiting
        if not waiting:
            return
        if len(asyncio.all_tasks()) > len(waiting) + 1 and self._patience():
            asyncio.get_running_loop().call_soon(self._wake)
            return
        first = waiting.pop(0)
        self._sleepers = waiting
        self._now = max(self._now, first[0])
        first[2].set_result(None)

    _left = 20

    def _patience(self) -> bool:
        self._left = self._left - 1 if self._left else 20
        return bool(self._left)


class DictStore:
    """A store in memory that outlives its process. `dies_at` is the number of the write that never returns."""

    def __init__(self) -> None:
        self.documents: dict[str, Document] = {}
        self.streams: dict[str, list[str]] = {}
        self.epoch = self.writes = 0
        self.dies_at: int | None = None

    async def open(self, owner: str) -> int:
        self.epoch += 1
        return self.epoch

    async def close(self) -> None:
        return None

    async def read(self, key: str) -> Document | None:
        return self.documents.get(key)

    async def write(self, key: str, document: Document, expected_sequence: int) -> None:
        known = self.documents.get(key)
        if (known.sequence if known else 0) != expected_sequence:
            raise StaleWriteError(key)
        self.writes += 1
        if self.writes == self.dies_at:
            raise Killed
        self.documents[key] = document

    async def delete(self, key: str, expected_sequence: int) -> None:
        self.documents.pop(key, None)

    async def keys(self) -> list[str]:
        return sorted(self.documents)

    async def append(self, stream: str, line: str) -> None:
        self.streams.setdefault(stream, []).append(line)

    async def scan(self, stream: str):
        for line in self.streams.get(stream, ()):
            yield line


class Killed(BaseException):
    """The process is no more."""


Script = Callable[[OrderRequest], Fill | None]


class Broker(BrokerAdapter):
    """A broker that trades what it is asked for at the engine's price, unless `script` says otherwise.

    `orders` are all requests in order, `taken` the orders that it really traded, by client id.
    """

    def __init__(self, script: Script | None = None) -> None:
        self.orders: list[OrderRequest] = []
        self.taken: dict[str, Fill] = {}
        self._script = script

    async def _trade(self, order: OrderRequest) -> Fill | None:
        self.orders.append(order)
        if self._script is not None:
            self._script(order)
        return self.take(order)

    def take(self, order: OrderRequest) -> Fill:
        return self.taken.setdefault(order.client_order_id, Fill(order.price, order.quantity, 0.05))

    on_order_open_commit = on_order_close_commit = _trade
    on_partial_profit_commit = on_partial_loss_commit = on_average_buy_commit = _trade

    async def on_order_active_check(self, position: Any) -> ExitReport | None:
        return None


class LookingBroker(Broker):
    """The same, which can be asked what became of an order."""

    async def find_order(self, client_order_id: str, source: Source) -> OrderReport | None:
        fill = self.taken.get(client_order_id)
        return None if fill is None else OrderReport(client_order_id=client_order_id, status="filled", fill=fill)


def traded(
    minutes: float,
    store: DictStore | None = None,
    broker: BrokerAdapter | None = None,
    symbols: Iterable[str] = ("BTCUSDT",),
    clock: HandClock | None = None,
    **settings: Any,
) -> list[Event]:
    """The results of so many minutes of live trading of all that is registered, in one process."""
    return asyncio.run(_traded(minutes, store or DictStore(), broker, list(symbols), clock or HandClock(), settings))


async def _traded(
    minutes: float,
    store: DictStore,
    broker: BrokerAdapter | None,
    symbols: list[str],
    clock: HandClock,
    settings: dict[str, Any],
) -> list[Event]:
    names = [each.name for each in bk.list_strategies()]
    job = live_job(default, Plugs(store, broker, clock), "live", symbols, names, None, **settings)
    found: list[Event] = []
    end = clock.now() + minutes * MINUTE
    trading = asyncio.create_task(_collect(job, found))
    while clock.now() < end and not trading.done():
        await clock.sleep(5)
    if trading.done():
        trading.result()
    trading.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await trading
    return found


async def _collect(job: LiveJob, found: list[Event]) -> None:
    async for event in job.run.results():
        found.append(event)  # noqa: PERF401 - what was found counts, also when this is called off
