"""What a book tells, and to whom: the callbacks of its strategy first, then all who listen to that kind of event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from backtest_kit.core.events import (
    FACTS,
    Event,
    SignalCancelled,
    SignalClosed,
    SignalOpened,
    SignalScheduled,
)
from backtest_kit.engine.listeners import Listeners, Subscription, wanted_kinds

if TYPE_CHECKING:
    from backtest_kit.engine.context import Context
    from backtest_kit.engine.tally import Tally

_RESULTS = (SignalScheduled, SignalOpened, SignalClosed, SignalCancelled)


class Teller:
    """The voice of one book.

    `wanted` are the notices that somebody listens to, as flags of `Wanted`; `results` wait for the driver.
    """

    def __init__(self, listeners: Listeners, callbacks: Sequence[Subscription], context: Context, tally: Tally) -> None:
        self.listeners = listeners
        self.results: list[Event] = []
        self.wanted = 0
        self._callbacks, self._context, self._tally = callbacks, context, tally
        self._routes: dict[type[Event], tuple[Subscription, ...]] = {}
        self._version = -1
        self.follow()

    @property
    def is_stale(self) -> bool:
        """Whether listeners have come or gone since `follow`."""
        return self._version != self.listeners.version

    def follow(self) -> None:
        """Takes over who listens to what now."""
        self._version = self.listeners.version
        kinds = {kind for each in self._callbacks for kind in each.kinds} | self.listeners.kinds()
        self._routes = {
            kind: (*(each for each in self._callbacks if kind in each.kinds), *self.listeners.of(kind))
            for kind in kinds
        }
        self.wanted = int(wanted_kinds(self._routes))

    def listening(self, kind: type[Event]) -> tuple[Subscription, ...]:
        return self._routes.get(kind, ())

    async def tell_all(self, events: Sequence[Event]) -> None:
        """Tells events in order; facts are kept, results handed to the driver."""
        facts = self._tally.facts
        for event in events:
            kind = type(event)
            if kind in FACTS:
                facts.append(event)
            if kind in _RESULTS:
                self.results.append(event)
                if type(event) is SignalClosed:
                    self._tally.closed.append(event)
            if kind in self._routes:
                await self.tell(event)

    async def tell(self, event: Event) -> None:
        for each in self._routes.get(type(event), ()):
            await self.deliver(each, event)

    async def deliver(self, subscription: Subscription, event: Event) -> None:
        self._context.may_await = subscription.is_async
        await subscription.deliver(event, self.report)

    async def report(self, event: Event, error: Exception, where: str) -> None:
        """An error of a listener or a callback is counted, and becomes an event."""
        self._tally.errors += 1
        await self.listeners.report(event, error, where)
