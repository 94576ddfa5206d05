"""Rules taken away from the careful engine, one at a time: the world must notice each, or its faults do not bite."""

from __future__ import annotations

import json
import zlib

import pytest

from backtest_kit.errors import OrderRejectedError, OrderTransientError
from backtest_kit.testing.worlds import FAMILIES, Ports, simulate
from tests.simulation.test_worlds_engines import SLOT, Careful


class DoesNotSync(Careful):
    async def persist(self):
        content = json.dumps(self.state).encode()
        await self.ports.disk.write("state.json.tmp", b"%08x" % zlib.crc32(content) + content)
        await self.ports.disk.rename("state.json.tmp", "state.json")
        await self.ports.disk.sync_folder("")


class DoesNotSyncTheFolder(Careful):
    async def persist(self):
        content = json.dumps(self.state).encode()
        await self.ports.disk.write("state.json.tmp", b"%08x" % zlib.crc32(content) + content)
        await self.ports.disk.sync("state.json.tmp")
        await self.ports.disk.rename("state.json.tmp", "state.json")


class WritesInPlace(Careful):
    async def persist(self):
        content = json.dumps(self.state).encode()
        await self.ports.disk.write("state.json", b"%08x" % zlib.crc32(content) + content)
        await self.ports.disk.sync("state.json")


class IgnoresTheDisk(Careful):
    async def persist(self):
        try:
            await super().persist()
        except OSError:
            return


class TakesNotFoundForAbsent(Careful):
    async def resolve(self, op):
        await super().resolve(op | {"not_after": 0})


class ForgetsTheMatchingTime(Careful):
    async def resolve(self, op):
        await super().resolve(op | {"not_after": op["not_after"] - 15_000})


class TakesUnknownForFailed(Careful):
    async def send(self, order):
        try:
            return await super().send(order)
        except Exception:
            return None


class TrustsTheWallClock(Careful):
    async def knows_the_time(self):
        return True

    def order(self, kind, quantity):
        self.offset_ms = self.ports.clock.now() - self.ports.clock.monotonic() * 1000
        return super().order(kind, quantity)

    async def resolve(self, op):
        self.offset_ms = self.ports.clock.now() - self.ports.clock.monotonic() * 1000
        await super().resolve(op)


class TakesNoLock(Careful):
    async def live(self):
        await self.trade()


class BooksWhatWasWished(Careful):
    async def settle(self, kind, fill):
        if fill is not None and kind == "close":
            fill = type(fill)(fill.price, self.state["quantity"], fill.fee)
        await super().settle(kind, fill)


class SendsFirst(Careful):
    async def operate(self, kind):
        order = self.order(kind, self.state["quantity"] or 1.0)
        self.state["op"] = {"id": order.client_order_id, "kind": kind, "not_after": order.not_after}
        try:
            await self.settle(kind, await self.send(order))
        except (OrderTransientError, OrderRejectedError):
            await self.settle(kind, None)
        except Exception:
            await self.persist()


class NeverResolves(Careful):
    async def resolve(self, op):
        return


class ForgetsToTellAgain(Careful):
    async def load(self):
        await super().load()
        self.told = len(self.state["events"])


class IgnoresOthers(Careful):
    async def was_left(self):
        return False


class StartsNumbersAnew(Careful):
    def tell(self):
        while self.told < len(self.state["events"]):
            self.told += 1
            self.ports.emit(SLOT, self.told + 1, self.state["events"][self.told - 1])


MUTANTS = [
    (DoesNotSync, "power"),
    (DoesNotSyncTheFolder, "power"),
    (WritesInPlace, "power"),
    (IgnoresTheDisk, "fsync_eio"),
    (IgnoresTheDisk, "disk_full"),
    (TakesNotFoundForAbsent, "net"),
    (ForgetsTheMatchingTime, "net"),
    (TakesUnknownForFailed, "net"),
    (TrustsTheWallClock, "clock"),
    (TakesNoLock, "two_processes"),
    (BooksWhatWasWished, "net"),
    (SendsFirst, "kill"),
    (NeverResolves, "net"),
    (ForgetsToTellAgain, "kill"),
    (IgnoresOthers, "external"),
    (StartsNumbersAnew, "calm"),
]


def caught_by(kind: type[Careful], family: str, seeds: int) -> int | None:
    """The first seed in which an engine is caught, None when it never is. A halt counts: it lost its own state."""

    async def main(ports: Ports) -> None:
        await kind(ports).live()

    for seed in range(seeds):
        outcome = simulate(main, seed, FAMILIES[family])
        if outcome.violations or outcome.halted:
            return seed
    return None


@pytest.mark.parametrize(("kind", "family"), MUTANTS, ids=lambda each: getattr(each, "__name__", each))
def test_a_rule_that_is_taken_away_is_missed(kind, family):
    assert caught_by(kind, family, 200) is not None
