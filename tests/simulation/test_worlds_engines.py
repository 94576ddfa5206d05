"""The world is proven on three small engines: one that never trades, one that is naive, one that is careful.

The naive one sends first and persists then, and must be caught. The careful one is written ahead: it must come through
every family, or the world blames engines for what they cannot help.
"""

from __future__ import annotations

import json
import zlib
from functools import partial
from typing import Any

import pytest

from backtest_kit.core.events import ActivePing
from backtest_kit.core.orders import OrderKind, OrderRequest
from backtest_kit.core.position import Fill, opened
from backtest_kit.core.values import Signal, Source, Terms
from backtest_kit.errors import OrderRejectedError, OrderTransientError, StateDamagedError, StoreLockedError
from backtest_kit.testing.worlds import FAMILIES, FATES, Ports, Report, simulate, single_faults

SOURCE = Source("BTCUSDT", "small", "simulated", mode="live")
SLOT = "BTCUSDT/small"
TICK_SECONDS, HOLD_SECONDS, REST_SECONDS = 5.0, 30.0, 25.0


async def never_trades(ports: Ports) -> None:
    ports.show(Report)
    while True:
        await ports.clock.sleep(TICK_SECONDS)
        await ports.disk.write("state.json", b"{}")
        await ports.disk.sync("state.json")


class Small:
    """What the naive and the careful engine share: hold one unit for a while, leave it, rest, and again."""

    def __init__(self, ports: Ports) -> None:
        self.ports = ports
        self.state: dict[str, Any] = {
            "quantity": 0.0, "cash": 0.0, "decisions": 0, "orders": 0, "since": 0.0, "op": None, "events": [],
        }  # fmt: skip
        self.offset_ms = 0.0
        ports.show(self.report)

    def report(self) -> Report:
        state = self.state
        return Report(
            quantities={SLOT: state["quantity"]},
            cash={SLOT: state["cash"]},
            unresolved=int(state["op"] is not None),
            events={SLOT: len(state["events"])},
        )

    async def load(self) -> None:
        content = await self.ports.disk.read("state.json")
        if content is not None:
            if content[:8] != b"%08x" % zlib.crc32(content[8:]):
                raise StateDamagedError("state.json is damaged")
            self.state = json.loads(content[8:])

    async def persist(self) -> None:
        disk = self.ports.disk
        content = json.dumps(self.state).encode()
        await disk.write("state.json.tmp", b"%08x" % zlib.crc32(content) + content)
        await disk.sync("state.json.tmp")
        await disk.rename("state.json.tmp", "state.json")
        await disk.sync_folder("")

    def order(self, kind: OrderKind, quantity: float) -> OrderRequest:
        state = self.state
        state["orders"] += 1
        now = int(self.offset_ms + self.ports.clock.monotonic() * 1000)
        return OrderRequest(
            source=SOURCE, client_order_id=f"{self.ports.name}-{state['orders']}", attempt=0, kind=kind,
            side="buy" if kind == "open" else "sell", quantity=quantity, price=100.0, cost=100.0,
            signal=self.signal(), position=None, price_take_profit=200.0, price_stop_loss=1.0, time=now,
            not_after=now + 4000,
        )  # fmt: skip

    def signal(self) -> Signal:
        return Signal("long", 200.0, 1.0, id=f"decision-{self.state['decisions']}")

    def book(self, kind: str, fill: Fill | None) -> None:
        """A fill becomes the record, and an event where a position begins or ends."""
        if fill is None:
            return
        state, before = self.state, self.state["quantity"]
        sign = 1 if kind == "open" else -1
        state["quantity"] = round(before + sign * fill.quantity, 8)
        state["cash"] -= sign * fill.price * fill.quantity + fill.fee
        if not before or not state["quantity"]:
            state["events"].append(f"{'closed' if before else 'opened'} {self.signal().id}")
            state["since"] = self.ports.clock.monotonic()

    async def send(self, order: OrderRequest) -> Fill | None:
        adapter = self.ports.adapter
        hook = adapter.on_order_open_commit if order.kind == "open" else adapter.on_order_close_commit
        return await hook(order)

    def wish(self) -> OrderKind | None:
        """What is to be done now: enter, leave, or nothing."""
        age = self.ports.clock.monotonic() - self.state["since"]
        if self.state["quantity"]:
            return "close" if age > HOLD_SECONDS else None
        return "open" if age > REST_SECONDS else None


class Naive(Small):
    """Sends, then persists; takes what it does not know for what did not happen."""

    async def live(self) -> None:
        await self.load()
        while True:
            await self.ports.clock.sleep(TICK_SECONDS)
            kind = self.wish()
            if not kind:
                continue
            self.state["decisions"] += kind == "open"
            self.offset_ms = self.ports.clock.now() - self.ports.clock.monotonic() * 1000
            try:
                self.book(kind, await self.send(self.order(kind, self.state["quantity"] or 1.0)))
            except Exception:
                continue
            await self.persist()
            self.ports.emit(SLOT, len(self.state["events"]), self.state["events"][-1])


class Careful(Small):
    """Persists, then sends; what has no answer is asked for until there is evidence; events come from the document."""

    told = 0

    async def live(self) -> None:
        if not await self.ports.disk.lock("lock"):
            raise StoreLockedError("another process holds the lock")
        await self.trade()

    async def trade(self) -> None:
        ports = self.ports
        await self.load()
        self.state["since"] = ports.clock.monotonic()
        await self.persist()
        while not await self.knows_the_time():
            await ports.clock.sleep(1.0)
        while True:
            self.tell()
            await self.step()
            self.tell()
            await ports.clock.sleep(TICK_SECONDS)

    async def knows_the_time(self) -> bool:
        try:
            server_time = await self.ports.adapter.server_time()
        except Exception:
            return False
        assert server_time is not None
        self.offset_ms = server_time - self.ports.clock.monotonic() * 1000
        return True

    def tell(self) -> None:
        events = self.state["events"]
        while self.told < len(events):
            self.told += 1
            self.ports.emit(SLOT, self.told, events[self.told - 1])

    async def step(self) -> None:
        if self.state["op"] is not None:
            return await self.resolve(self.state["op"])
        if self.state["quantity"] and await self.was_left():
            return None
        kind = self.wish()
        if kind:
            self.state["decisions"] += kind == "open"
            await self.operate(kind)
        return None

    async def operate(self, kind: OrderKind) -> None:
        order = self.order(kind, self.state["quantity"] or 1.0)
        self.state["op"] = {"id": order.client_order_id, "kind": kind, "not_after": order.not_after}
        await self.persist()
        try:
            fill = await self.send(order)
        except (OrderTransientError, OrderRejectedError):
            fill = None
        except Exception:
            return
        await self.settle(kind, fill)

    async def resolve(self, op: dict[str, Any]) -> None:
        asked_at = self.offset_ms + self.ports.clock.monotonic() * 1000
        try:
            found = await self.ports.adapter.find_order(op["id"], SOURCE)
        except Exception:
            return
        if found is not None and found.is_final:
            await self.settle(op["kind"], found.fill)
        elif found is None and asked_at > op["not_after"] + 17_000:
            await self.settle(op["kind"], None)

    async def settle(self, kind: str, fill: Fill | None) -> None:
        self.book(kind, fill)
        self.state["op"] = None
        await self.persist()

    async def was_left(self) -> bool:
        position = opened(self.signal(), 0, 100.0, Terms())
        ping = ActivePing(source=SOURCE, time=0, price=100.0, position=position, terms=Terms())
        try:
            left = await self.ports.adapter.on_order_active_check(ping)
        except Exception:
            return False
        if left is not None:
            await self.settle("close", left.fill)
        return left is not None


async def naive(ports: Ports) -> None:
    await Naive(ports).live()


async def careful(ports: Ports) -> None:
    await Careful(ports).live()


short = partial(simulate, seconds=200.0)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_engine_that_never_trades_comes_through(family):
    for seed in range(3):
        assert simulate(never_trades, seed, FAMILIES[family]).violations == ()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_careful_engine_comes_through(family):
    trades = 0
    for seed in range(15):
        outcome = simulate(careful, seed, FAMILIES[family])
        assert outcome.violations == (), (seed, outcome.violations)
        trades += outcome.trades
    assert trades > 100


def test_a_naive_engine_is_fine_while_nothing_goes_wrong():
    outcome = simulate(naive)
    assert (outcome.violations, outcome.trades > 10) == ((), True)


@pytest.mark.parametrize("family", ["net", "kill", "power", "mixed"])
def test_a4_a_naive_engine_is_caught(family):
    caught = [seed for seed in range(10) if simulate(naive, seed, FAMILIES[family]).violations]
    assert len(caught) >= 5


def test_a2_a_crash_at_any_one_point_catches_the_naive_and_not_the_careful():
    points = short(careful).counts["point"]
    plans = list(single_faults("point", points, ("kill", "power")))[::7]
    assert all(short(careful, plan=plan).violations == () for plan in plans)
    assert any(short(naive, plan=plan).violations for plan in plans)


def test_d1_any_one_call_may_have_any_fate_for_the_careful_and_not_for_the_naive():
    calls = short(careful).counts["call"]
    plans = list(single_faults("call", calls, FATES))[::5]
    assert all(short(careful, plan=plan).violations == () for plan in plans)
    assert any(short(naive, plan=plan).violations for plan in plans)
