"""The order conversation with a broker: one order is asked for, and what became of it is found out.

**Theory.** Whether an order was taken is known only from the broker. A hook that returns has filled it. A hook that
raises `OrderTransientError` has surely not sent it; `OrderRejectedError` says no for good. Everything else, a time-out
above all, leaves the outcome **unknown**, and a timer is no evidence. Where the adapter can look orders up by our own
id, the truth is asked for until there is evidence: the order is found and has ended, or it is not found although it was
asked for so late that it would have to be there. Where it cannot, the order is asked for again under the same id, which
the adapter promises to recognise.

The gate changes nothing and keeps nothing: what it answers is written down by the book before it counts.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any, Literal

from msgspec import Struct

from backtest_kit.core.events import ActivePing
from backtest_kit.core.orders import ExitReport, OrderReport, OrderRequest
from backtest_kit.core.position import Fill
from backtest_kit.core.values import Source, Time
from backtest_kit.errors import OrderRejectedError, OrderTransientError
from backtest_kit.ports import BrokerAdapter, Clock

HOOKS = {
    "open": "on_order_open_commit",
    "close": "on_order_close_commit",
    "partial_profit": "on_partial_profit_commit",
    "partial_loss": "on_partial_loss_commit",
    "average_buy": "on_average_buy_commit",
    "breakeven": "on_breakeven_commit",
    "trailing_stop": "on_trailing_stop_commit",
    "trailing_take": "on_trailing_take_commit",
}
_SLOW_ANSWER_SECONDS = 1.0
_TRADES = frozenset(("open", "close", "partial_profit", "partial_loss", "average_buy"))


class Bounds(Struct, frozen=True):
    """How long things can take at an exchange, in seconds.

    `validity`: a signed request is refused after it. `settling`: from the exchange's gate to the order showing in
    queries, at the longest. `hook`: how long a hook of the adapter may take.
    """

    validity: float = 5.0
    settling: float = 15.0
    hook: float = 30.0


class Answer(Struct, frozen=True):
    """What became of an order.

    "done": filled (None: as the engine modelled it). "again": surely not taken, to be asked again under the same id.
    "absent": proven never to have been taken. "never": refused for good. "unknown": not known yet.
    """

    kind: Literal["done", "again", "absent", "never", "unknown"]
    fill: Fill | None = None
    note: str = ""


class Gate:
    """The conversation with one broker adapter; None for the adapter: nothing is sent, and everything is agreed."""

    def __init__(self, adapter: BrokerAdapter | None, clock: Clock, bounds: Bounds | None = None) -> None:
        self.adapter, self._clock, self._bounds = adapter, clock, bounds or Bounds()
        self._offset: float | None = None
        self.can_look_up = adapter is not None and type(adapter).find_order is not BrokerAdapter.find_order

    def now(self) -> Time:
        """The exchange's clock, by a counter that never jumps; this machine's clock where the exchange has none."""
        if self._offset is None:
            return self._clock.now()
        return int(self._offset + self._clock.monotonic() * 1000)

    @property
    def not_after(self) -> Time:
        """Until when an order that is asked for now may reach the exchange."""
        return self.now() + int(self._bounds.validity * 1000)

    async def prepare(self) -> None:
        """Lets the adapter get ready, and takes over the exchange's clock. Raises what the adapter raises."""
        if self.adapter is not None:
            await self.adapter.wait_for_init()
            while not await self._take_over_time(self.adapter):
                await self._clock.sleep(_SLOW_ANSWER_SECONDS)

    async def _take_over_time(self, adapter: BrokerAdapter) -> bool:
        """Takes over the exchange's clock; False where its answer took so long that it says little."""
        before = self._clock.monotonic()
        theirs = await adapter.server_time()
        took = self._clock.monotonic() - before
        if theirs is not None and took < _SLOW_ANSWER_SECONDS:
            self._offset = theirs - (before + took / 2) * 1000
        return theirs is None or took < _SLOW_ANSWER_SECONDS

    async def ask(self, request: OrderRequest) -> Answer:
        """Asks for an order, once."""
        if self.adapter is None:
            return Answer("done")
        if self.now() > request.not_after:
            return Answer("again", note="it took too long to get here; it was not sent")
        hook: Callable[[OrderRequest], Coroutine[Any, Any, Fill | None]] = getattr(self.adapter, HOOKS[request.kind])
        try:
            async with asyncio.timeout(self._bounds.hook):
                fill = await hook(request)
        except OrderTransientError as error:
            return Answer("again", note=_said(error))
        except OrderRejectedError as error:
            return Answer("never", note=_said(error))
        except Exception as error:
            return Answer("unknown", note=_said(error))
        return self._judged(fill, request)

    def _judged(self, fill: object, request: OrderRequest) -> Answer:
        if fill is None or request.kind not in _TRADES:
            return Answer("done")
        if isinstance(fill, Fill) and _is_sound(fill):
            return Answer("done", fill)
        note = f"the adapter answered with {fill!r}, which is no fill"
        return Answer("unknown", note=note)

    async def check(self, position: ActivePing) -> ExitReport | None:
        """Whether a position has been left without our asking. Raises what the adapter raises: then it is not known."""
        if self.adapter is None:
            return None
        async with asyncio.timeout(self._bounds.hook):
            return await self.adapter.on_order_active_check(position)

    async def find_out(self, client_order_id: str, source: Source, not_after: Time) -> Answer:
        """What became of an order whose answer is not known."""
        assert self.adapter is not None
        asked_at = self.now()
        try:
            async with asyncio.timeout(self._bounds.hook):
                report = await self.adapter.find_order(client_order_id, source)
        except Exception as error:
            return Answer("unknown", note=_said(error))
        if report is None:
            proven = asked_at > not_after + int(self._bounds.settling * 1000)
            return Answer("absent" if proven else "unknown", note="the exchange does not know of the order")
        return _answer_of(report)


def _answer_of(report: OrderReport) -> Answer:
    if not report.is_final:
        return Answer("unknown", report.fill, "the order is still open")
    if report.fill is not None and report.fill.quantity > 0:
        return Answer("done", report.fill)
    return Answer("never", note=report.note or f"the order was {report.status}")


def _is_sound(fill: Fill) -> bool:
    numbers = (fill.price, fill.quantity, fill.fee)
    return all(isinstance(each, int | float) and math.isfinite(each) for each in numbers) and (
        fill.price > 0 and fill.quantity > 0
    )


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
