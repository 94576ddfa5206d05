"""What happens in a world at a time of its own, whoever is doing what: clocks jump, disks fill up, people interfere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from backtest_kit.testing.worlds.clock import SimClock
from backtest_kit.testing.worlds.disk import Platter
from backtest_kit.testing.worlds.exchange import SimExchange
from backtest_kit.testing.worlds.faults import Faults
from backtest_kit.testing.worlds.supervisor import Supervisor

_JUMPS_MS = (-3_600_000, -61_000, -2_000, -500, 500, 2_000, 61_000, 3_600_000)
_DRIFTS_PPM = (-20_000, -500, 500, 20_000)


class Incidents:
    """Lets incidents happen, each at a time drawn from the seed; a plan may leave any of them out."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        faults: Faults,
        clock: SimClock,
        platter: Platter,
        exchange: SimExchange,
        supervisor: Supervisor,
    ) -> None:
        self.loop, self.faults, self.clock, self.platter = loop, faults, clock, platter
        self.exchange, self.supervisor = exchange, supervisor
        self._actions: dict[str, Callable[[], None]] = {
            "jump": self._jump, "drift": self._drift, "fill_up": self._fill_up, "flip_bit": self._flip_bit,
            "by_hand": self._by_hand, "twin": supervisor.start,
        }  # fmt: skip

    def begin(self, incidents: Iterable[tuple[str, int]], seconds: float) -> None:
        """Sets the times of incidents, (name, how many), within the first `seconds`; lets the disk write back."""
        self._write_back()
        for name, count in incidents:
            for _ in range(count):
                when = self.faults.stream(f"time of {name}").uniform(0.05, 0.95) * seconds
                if self.faults.at(name, 1.0, ("happens",)):
                    self.loop.call_later(when, self._happen, name)

    def _happen(self, name: str) -> None:
        self.supervisor.log("incident", name)
        self._actions[name]()

    def _write_back(self) -> None:
        self.platter.write_back()
        self.loop.call_later(self.faults.stream("time of write back").uniform(2.0, 10.0), self._write_back)

    def _jump(self) -> None:
        self.clock.jump(self.faults.stream("jump by").choice(_JUMPS_MS))

    def _drift(self) -> None:
        self.clock.drift(self.faults.stream("drift by").choice(_DRIFTS_PPM))

    def _fill_up(self) -> None:
        self.platter.fill_up()
        self.loop.call_later(self.faults.stream("full for").uniform(10.0, 120.0), self._make_room)

    def _make_room(self) -> None:
        self.platter.capacity = None

    def _flip_bit(self) -> None:
        """The bit is noticed when it is read: all processes start anew."""
        if self.platter.flip_bit():
            self.supervisor.kill_all("after a bit has flipped")

    def _by_hand(self) -> None:
        held = sorted(slot for slot, holding in self.exchange.referee.holdings.items() if holding.lots)
        if held:
            self.exchange.close_by_hand(self.faults.stream("which slot").choice(held))
