"""What must hold at rest, when nothing goes wrong any more: each takes a scene and says every breach."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from msgspec import Struct, field

from backtest_kit.testing.worlds.deliveries import Deliveries
from backtest_kit.testing.worlds.exchange import SimExchange
from backtest_kit.testing.worlds.referee import Holding


class Report(Struct, frozen=True, kw_only=True):
    """What an engine believes, by slot ("BTCUSDT/my-strategy"): a slot that is missing holds nothing.

    `quantities` are units of the base asset (negative: short), `cash` quote currency that went in less what went out,
    fees counted. `orders` are the client order ids that it knows to rest at the exchange, `unresolved` the number of
    its operations without an outcome, `events` the last number of each stream of events that it has made, `halted` the
    slots that it does not trade until a person has decided.
    """

    quantities: Mapping[str, float] = field(default_factory=dict)
    cash: Mapping[str, float] = field(default_factory=dict)
    orders: frozenset[str] = frozenset()
    unresolved: int = 0
    events: Mapping[str, int] = field(default_factory=dict)
    halted: frozenset[str] = frozenset()


class Scene(Struct, frozen=True):
    """The truth, and what the engine believes (None: no process that lives has shown anything)."""

    exchange: SimExchange
    deliveries: Deliveries
    report: Report | None

    @property
    def belief(self) -> Report:
        return self.report if self.report is not None else Report()

    def slots(self) -> Iterator[tuple[str, Holding]]:
        """Every slot that anybody knows of, and what it truly holds; halted ones are left out."""
        known = {*self.exchange.referee.holdings, *self.belief.quantities, *self.belief.cash}
        return ((slot, self.exchange.referee.holding(slot)) for slot in sorted(known - self.belief.halted))


Invariant: TypeAlias = Callable[[Scene], Iterator[str]]


def an_engine_is_at_work(scene: Scene) -> Iterator[str]:
    if scene.report is None:
        yield "no engine is at work"


def nothing_is_under_way(scene: Scene) -> Iterator[str]:
    if scene.exchange.network.in_flight:
        yield "requests are still under way"


def everything_is_resolved(scene: Scene) -> Iterator[str]:
    if scene.belief.unresolved:
        yield f"unresolved: {scene.belief.unresolved} operations have no outcome"


def the_engine_holds_what_is_held(scene: Scene) -> Iterator[str]:
    """No lost exit: what is at the exchange, the engine knows of; and it invents nothing."""
    step = scene.exchange.odds.step
    for slot, holding in scene.slots():
        believed, held = scene.belief.quantities.get(slot, 0.0), holding.lots * step
        if abs(believed - held) > step / 2:
            what = "lost exit" if not believed else "invented position" if not held else "wrong quantity"
            yield f"{what}: {slot} holds {held:.10g}, the engine believes {believed:.10g}"


def the_engine_counts_the_money(scene: Scene) -> Iterator[str]:
    for slot, holding in scene.slots():
        believed = scene.belief.cash.get(slot, 0.0)
        if abs(believed - holding.cash) > 1e-6 * max(1.0, abs(holding.cash)):
            yield f"wrong money: {slot} has {holding.cash:.8f}, the engine believes {believed:.8f}"


def no_order_is_an_orphan(scene: Scene) -> Iterator[str]:
    for order in scene.exchange.open_orders():
        if order.slot not in scene.belief.halted and order.client_order_id not in scene.belief.orders:
            yield f"orphan order: {order.kind} {order.client_order_id} of {order.slot} rests at the exchange"


def every_event_is_delivered(scene: Scene) -> Iterator[str]:
    for stream, number in sorted(scene.belief.events.items()):
        if scene.deliveries.highest(stream) != number:
            yield f"events: {number} were made in {stream}, {scene.deliveries.highest(stream)} delivered"


AT_REST: tuple[Invariant, ...] = (
    an_engine_is_at_work,
    nothing_is_under_way,
    everything_is_resolved,
    the_engine_holds_what_is_held,
    the_engine_counts_the_money,
    no_order_is_an_orphan,
    every_event_is_delivered,
)


def breaches(scene: Scene, invariants: tuple[Invariant, ...] = AT_REST) -> list[str]:
    """Everything that does not hold."""
    return [breach for invariant in invariants for breach in invariant(scene)]
