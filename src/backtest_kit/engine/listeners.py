"""Who wants which event. Every listener has a queue of its own: it gets its events in order and one at a time.

A backtest waits for a listener before it goes on, so that a command given in it counts from the next candle. An event
that arises while a listener is still at work (by its own command, say) waits in its queue. A listener that raises
becomes a `Failure` event and harms nobody else; it stays subscribed.
"""

from __future__ import annotations

import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias

from backtest_kit.core.events import WANTED_BY, Event, Wanted
from backtest_kit.engine.notices import Failure
from backtest_kit.registry import is_async

Handler: TypeAlias = Callable[[Any], Any]
Unsubscribe: TypeAlias = Callable[[], None]
Report: TypeAlias = Callable[[Event, Exception, str], Awaitable[None]]

log = logging.getLogger("backtest_kit")


class Subscription:
    """One listener: what it wants, and what still waits for it.

    `plain` says that nothing stands between an event and the handler, so that a hot loop may call it directly.
    """

    __slots__ = (
        "_busy",
        "_seen",
        "_waiting",
        "cancel",
        "handler",
        "is_async",
        "kinds",
        "name",
        "once",
        "per_signal",
        "plain",
        "where",
    )

    def __init__(
        self,
        kinds: Iterable[type[Event]],
        handler: Handler,
        where: Callable[[Any], bool] | None = None,
        once: bool = False,
        per_signal: bool = False,
    ) -> None:
        self.kinds, self.handler, self.where, self.once, self.per_signal = (
            frozenset(kinds),
            handler,
            where,
            once,
            per_signal,
        )
        self.plain = where is None and not once and not per_signal
        self.is_async = is_async(handler)
        self.name = getattr(handler, "__qualname__", type(handler).__name__)
        self.cancel: Unsubscribe = lambda: None
        self._waiting: deque[Event] = deque()
        self._seen: set[str] = set()
        self._busy = False

    async def deliver(self, event: Event, report: Report) -> None:
        """Hands the event to the listener, after all that came before it."""
        self._waiting.append(event)
        if self._busy:
            return
        self._busy = True
        try:
            while self._waiting:
                await self._call(self._waiting.popleft(), report)
        finally:
            self._busy = False

    async def _call(self, event: Event, report: Report) -> None:
        try:
            if self.where is not None and not self.where(event):
                return
            if self.per_signal and not self._first_of_signal(event):
                return
            if self.once:
                self.cancel()
            answer = self.handler(event)
            if self.is_async or inspect.isawaitable(answer):
                await answer
        except Exception as error:
            await report(event, error, f"listener {self.name}")

    def _first_of_signal(self, event: Event) -> bool:
        signal = getattr(event, "signal", None)
        key = f"{event.source}|{signal.id}" if signal is not None else ""
        if key in self._seen:
            return False
        self._seen.add(key)
        return True


class Listeners:
    """All listeners of an application. `version` changes with every subscription, so that a running book can follow."""

    def __init__(self) -> None:
        self._subscriptions: list[Subscription] = []
        self.version = 0
        self.on_change: list[Callable[[], None]] = []

    def add(self, subscription: Subscription) -> Unsubscribe:
        """Subscribes; the returned function unsubscribes, any number of times."""

        def cancel() -> None:
            if subscription in self._subscriptions:
                self._subscriptions.remove(subscription)
                self._changed()

        subscription.cancel = cancel
        self._subscriptions.append(subscription)
        self._changed()
        return cancel

    def clear(self) -> None:
        self._subscriptions.clear()
        self._changed()

    def _changed(self) -> None:
        """Tells the runs under way, whose next moments depend on who listens."""
        self.version += 1
        for tell in tuple(self.on_change):
            tell()

    def of(self, kind: type[Event]) -> tuple[Subscription, ...]:
        """The listeners that want events of this kind, in the order in which they subscribed."""
        return tuple(each for each in self._subscriptions if kind in each.kinds)

    def kinds(self) -> set[type[Event]]:
        """Every kind of event that somebody listens to."""
        return {kind for each in self._subscriptions for kind in each.kinds}

    async def tell(self, event: Event) -> None:
        for subscription in self.of(type(event)):
            await subscription.deliver(event, self.report)

    async def report(self, event: Event, error: Exception, where: str) -> None:
        """An error in user code becomes an event; one that nobody listens to, or of an error listener, is logged."""
        if isinstance(event, Failure):
            log.error("%s: %s (%s)", where, error, event.source, exc_info=error)
        else:
            await self.report_failure(Failure(event.source, event.time, error, where))

    async def report_failure(self, failure: Failure) -> None:
        """Tells the listeners to errors; the log, when there are none."""
        listening = self.of(Failure)
        if not listening:
            log.error("%s (%s)", failure.message, failure.source, exc_info=failure.error)
        for subscription in listening:
            await subscription.deliver(failure, self.report)


def wanted_kinds(routes: Iterable[type[Event]]) -> Wanted:
    """The notices that somebody listens to, as flags for the fast driver."""
    wanted = Wanted.NOTHING
    for kind in routes:
        wanted |= WANTED_BY.get(kind, Wanted.NOTHING)
    return wanted
