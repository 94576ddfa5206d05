"""A simulated world: an engine under test, and all that it talks to, in one virtual time. One seed is one history.

The engine is an async `main(ports)`. It runs as a process that may be killed, paused, doubled and started again, over a
disk that loses what was not synced, against an exchange that is the referee, through a network that loses, delays and
doubles. After `seconds` nothing goes wrong any more; then everything has to come to rest within `settle_seconds`: what
the engine believes must be what is true.

```python
async def main(ports: Ports) -> None:
    ports.show(lambda: Report())
    while True:
        await ports.clock.sleep(60)

outcome = simulate(main, seed=7, family=KILL)
assert not outcome.violations
```
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeAlias

from msgspec import Struct

from backtest_kit.ports import BrokerAdapter, Clock, Disk, Exchange
from backtest_kit.testing.worlds.adapter import SimAdapter
from backtest_kit.testing.worlds.clock import START, SimClock, TrueTime
from backtest_kit.testing.worlds.deliveries import Deliveries, Delivery
from backtest_kit.testing.worlds.disk import Platter, SimDisk
from backtest_kit.testing.worlds.exchange import SimExchange
from backtest_kit.testing.worlds.families import CALM, Family
from backtest_kit.testing.worlds.faults import Faults, Plan
from backtest_kit.testing.worlds.incidents import Incidents
from backtest_kit.testing.worlds.invariants import Report, Scene, breaches
from backtest_kit.testing.worlds.loop import DeadlockError, LivelockError, VirtualLoop
from backtest_kit.testing.worlds.market import Bar, Market
from backtest_kit.testing.worlds.network import Network
from backtest_kit.testing.worlds.process import Process, guard
from backtest_kit.testing.worlds.referee import Referee
from backtest_kit.testing.worlds.supervisor import Supervisor

MakeAdapter: TypeAlias = Callable[[SimExchange, int], BrokerAdapter]

_SETTLE_SECONDS = 185.0  # W + S + 60 s, one minute until the next tick, and the time of a last restart


class Ports(Struct, frozen=True):
    """All that an engine under test has of the world.

    `emit(stream, number, event)` delivers an event. `show(view)` gives the world a look at what the engine believes;
    `view()` is called at any time, and must only read. `point(label)` names a place in the engine's own code at which
    it may be killed. `name` is the process's own.
    """

    name: str
    clock: Clock
    disk: Disk
    exchange: Exchange
    adapter: BrokerAdapter
    emit: Callable[[str, int, object], None]
    show: Callable[[Callable[[], Report]], None]
    point: Callable[[str], None]


Main: TypeAlias = Callable[[Ports], Coroutine[Any, Any, None]]


class Outcome(Struct, frozen=True):
    """What came of a world: `violations` is empty when all went well.

    `fingerprint` is a hash of everything that happened; `plan` lists the faults that did, and repeats them. `counts`
    are occasions by kind ("point", "call", "sync", …), `tally` faults by name ("call lost_answer"). `halted` is why an
    engine waits for a person, "" where it does not. `lines` is the log, where it was asked for.
    """

    seed: int
    family: str
    fingerprint: str
    violations: tuple[str, ...]
    plan: Plan
    counts: Counter[str]
    tally: Counter[str]
    crashes: int
    processes: int
    trades: int
    seconds: float
    halted: str
    deliveries: tuple[Delivery, ...]
    lines: tuple[str, ...]


class World:
    """One world; `run` lives through it. `paths` scripts prices (`Market`), `adapter` makes each process its adapter.

    With a `plan` nothing goes wrong but what it lists.
    """

    def __init__(
        self,
        main: Main,
        seed: int = 0,
        family: Family = CALM,
        plan: Plan | None = None,
        *,
        seconds: float = 600.0,
        settle_seconds: float = _SETTLE_SECONDS,
        paths: Mapping[str, Sequence[Bar | float]] | None = None,
        volatility: float = 0.002,
        adapter: MakeAdapter = SimAdapter,
        keep_lines: bool = False,
    ) -> None:
        self.main, self.seed, self.family, self.seconds = main, seed, family, seconds
        self.settle_seconds, self.make_adapter, self.keep_lines = settle_seconds, adapter, keep_lines
        self.violations: list[str] = []
        self.lines: list[str] = []
        self._digest = hashlib.blake2b(digest_size=8)
        self._views: dict[Process, Callable[[], Report]] = {}
        self.loop, self.faults = VirtualLoop(seed), Faults(seed, plan, self.log)
        self.truth = TrueTime(self.loop)
        self.clock, self.platter = SimClock(self.truth), Platter(self.faults, family.disk)
        self.network = Network(self.faults, family.call, family.fates)
        self.referee, self.deliveries = Referee(self.blame, self.log), Deliveries(self.blame)
        market = Market(seed, START, volatility, paths)
        reduce_only = self.faults.stream("venue").random() < 0.5
        self.exchange = SimExchange(self.truth, market, self.network, self.referee, family.exchange, reduce_only)
        self.supervisor = Supervisor(
            self.loop, self.faults, self.platter, self._launch, odds=family.point, kinds=family.strikes,
            lost_locks=family.lost_locks, log=self.log, blame=self.blame,
        )  # fmt: skip
        self.incidents = Incidents(
            self.loop, self.faults, self.clock, self.platter, self.exchange, self.supervisor
        )  # fmt: skip

    def log(self, *words: object) -> None:
        """Notes that something has happened."""
        line = " ".join([f"{self.loop.time():.6f}", *map(str, words)])
        self._digest.update(line.encode() + b"\n")
        if self.keep_lines:
            self.lines.append(line)

    def blame(self, breach: str) -> None:
        """Notes that a rule was broken."""
        if breach not in self.violations:
            self.violations.append(breach)
            self.log("violation", breach)

    def run(self) -> Outcome:
        """Lives through the world to its end."""
        try:
            self.loop.run_until_complete(self._live())
        except (DeadlockError, LivelockError) as stuck:
            self.blame(f"{type(stuck).__name__}: {stuck}")
        finally:
            self.supervisor.stopped = True
            outcome = self._outcome()
            self.loop.finish()
        return outcome

    async def _live(self) -> None:
        self.supervisor.start()
        self.incidents.begin(self.family.incidents, self.seconds)
        await asyncio.sleep(self.seconds)
        self._calm_down()
        await self._settle()

    def _calm_down(self) -> None:
        """From now on nothing goes wrong any more."""
        self.log("calm")
        self.faults.over = True
        self.clock.correct()
        for process in self.supervisor.living():
            process.paused_until = min(process.paused_until, self.loop.time())
        self.supervisor.start_if_none_lives()

    async def _settle(self) -> None:
        """Waits until what the engine believes is what is true; what is still wrong at the end is a violation."""
        end = self.loop.time() + self.settle_seconds
        while self._unrest() and self.loop.time() < end:
            await asyncio.sleep(1.0)
        for breach in self._unrest():
            self.blame(breach)

    def _unrest(self) -> list[str]:
        if self.supervisor.halted:
            return []
        shown = [self._views[process] for process in self.supervisor.living() if process in self._views]
        return breaches(Scene(self.exchange, self.deliveries, shown[-1]() if shown else None))

    async def _launch(self, process: Process) -> None:
        await self.main(self._ports(process))

    def _ports(self, process: Process) -> Ports:
        def emit(stream: str, number: int, event: object) -> None:
            process.point("before emit")
            self.log("event", process.name, stream, number, event)
            self.deliveries.take(process.number, stream, number, event)
            process.point("after emit")

        def show(view: Callable[[], Report]) -> None:
            process.check()
            self._views[process] = view

        adapter = self.make_adapter(self.exchange, process.number)
        return Ports(
            process.name,
            guard(self.clock, process, "clock"),
            guard(SimDisk(self.platter, process), process, "disk"),
            guard(self.exchange, process, "exchange"),
            guard(adapter, process, "adapter"),
            emit,
            show,
            process.point,
        )

    def _outcome(self) -> Outcome:
        for owner, failure in self.loop.failures:
            if isinstance(owner, Process) and owner.alive:
                self.blame(f"a task has failed unseen: {type(failure).__name__}: {failure}")
        return Outcome(
            self.seed, self.family.name, self._digest.hexdigest(), tuple(self.violations), dict(self.faults.happened),
            Counter(self.faults.counts), self.faults.tally(), self.supervisor.crashes, len(self.supervisor.processes),
            len(self.exchange.trades), self.loop.time(), self.supervisor.halted, tuple(self.deliveries.all),
            tuple(self.lines),
        )  # fmt: skip


def simulate(main: Main, seed: int = 0, family: Family = CALM, plan: Plan | None = None, **options: Any) -> Outcome:
    """Lives through one world (the options are those of `World`) and returns what came of it."""
    return World(main, seed, family, plan, **options).run()
