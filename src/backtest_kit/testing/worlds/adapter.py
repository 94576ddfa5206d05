"""The honest broker adapter of a simulated exchange: it does what a careful author of one would do, and no more.

It keeps nothing: after a restart a new one stands in its place. What the exchange refuses for good is an
OrderRejectedError; what it surely has not processed (429, sent after its time) an OrderTransientError; all else that
goes wrong is left as it comes (TimeoutError, ServerError, ConnectionResetError), and its outcome is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from backtest_kit.core.events import PositionEvent, SignalScheduled
from backtest_kit.core.orders import ExitReport, OrderReport, OrderRequest
from backtest_kit.core.position import Fill
from backtest_kit.core.values import Source, Time
from backtest_kit.errors import OrderDeletedError, OrderRejectedError, OrderTransientError
from backtest_kit.ports import BrokerAdapter
from backtest_kit.testing.worlds.exchange import Refusal, SimExchange, report_of
from backtest_kit.testing.worlds.network import RateLimitedError
from backtest_kit.testing.worlds.referee import Order, slot_of


class SimAdapter(BrokerAdapter):
    """Orders of process `sender`, a number that grows with every start of the program.

    `protective`: every entry is followed by a stop that rests at the exchange, which is taken back before an exit.
    """

    def __init__(self, exchange: SimExchange, sender: int = 1, protective: bool = False) -> None:
        self.exchange, self.sender, self.protective = exchange, sender, protective

    async def wait_for_init(self) -> None:
        await self._ask(lambda: None)

    async def on_order_open_commit(self, order: OrderRequest) -> Fill | None:
        fill = await self.send(order)
        if fill is not None:
            await self._protect(order, fill.quantity)
        return fill

    async def on_order_close_commit(self, order: OrderRequest) -> Fill | None:
        await self._unprotect(order.source)
        return await self.send(order)

    async def on_partial_profit_commit(self, order: OrderRequest) -> Fill | None:
        return await self.send(order)

    async def on_partial_loss_commit(self, order: OrderRequest) -> Fill | None:
        return await self.send(order)

    async def on_average_buy_commit(self, order: OrderRequest) -> Fill | None:
        return await self.send(order)

    async def on_trailing_stop_commit(self, order: OrderRequest) -> None:
        await self._move(order)

    async def on_trailing_take_commit(self, order: OrderRequest) -> None:  # noqa: ARG002 - as the port has it
        await self._ask(lambda: None)

    async def on_breakeven_commit(self, order: OrderRequest) -> None:
        await self._move(order)

    async def on_order_active_check(self, position: PositionEvent) -> ExitReport | None:
        slot, decision = slot_of(position.source), position.signal.id
        report: ExitReport | None = await self._ask(lambda: self.exchange.left_without_us(slot, decision))
        return report

    async def on_order_schedule_check(self, signal: SignalScheduled) -> None:  # noqa: ARG002 - as the port has it
        await self._ask(lambda: None)

    async def find_order(
        self,
        client_order_id: str,
        source: Source,  # noqa: ARG002 - as the port has it
    ) -> OrderReport | None:
        found: OrderReport | None = await self._ask(lambda: self.exchange.find(client_order_id))
        return found

    async def cancel_order(self, client_order_id: str, source: Source) -> None:  # noqa: ARG002 - as the port has it
        await self._ask(lambda: self.exchange.cancel(client_order_id, self.sender))

    async def open_orders(self, source: Source) -> Sequence[OrderReport]:
        return list(await self._ask(lambda: self._showing(slot_of(source))))

    async def server_time(self) -> Time | None:
        return int(await self._ask(self.exchange.truth.now))

    async def send(self, order: OrderRequest) -> Fill | None:
        """Sends an order that trades, once, and returns all that it has filled.

        TimeoutError where it goes on filling after the exchange has answered: only a query knows how it ends.
        """
        sent = self._order(order)
        report: OrderReport = await self._ask(
            lambda: self.exchange.accept(sent), lambda: self.exchange.admit(order.not_after)
        )
        if not report.is_final:
            raise TimeoutError(f"{order.client_order_id} is still being filled")
        return report.fill

    async def _ask(self, serve: Callable[[], Any], admit: Callable[[], None] | None = None) -> Any:
        with _as_order_errors():
            return await self.exchange.network.call(serve, admit)

    def _order(self, order: OrderRequest) -> Order:
        return Order(
            client_order_id=order.client_order_id, slot=slot_of(order.source), symbol=order.symbol, side=order.side,
            kind=order.kind, decision=order.signal.id, asked_at=order.time, lots=self._lots(order.quantity),
            sender=self.sender, call=self.exchange.new_call(),
        )  # fmt: skip

    def _lots(self, quantity: float) -> int:
        """Rounded down to the step of the exchange, but for the noise of floating point."""
        return int(quantity / self.exchange.odds.step + 1e-6)

    def _showing(self, slot: str) -> list[OrderReport]:
        now, step = self.exchange.truth.seconds(), self.exchange.odds.step
        return [report_of([order], step) for order in self.exchange.open_orders(slot) if order.visible_at <= now]

    # ---- the stop that rests at the exchange ---------------------------------------------------------------------

    async def _protect(self, order: OrderRequest, quantity: float) -> None:
        """Places the stop of a position. One that cannot be placed is missing, and the engine watches the price."""
        if not self.protective:
            return
        stop = self._order(order)
        stop.client_order_id, stop.kind, stop.trigger = f"{order.client_order_id}-stop", "stop", order.price_stop_loss
        stop.side, stop.lots = "sell" if order.signal.position == "long" else "buy", self._lots(quantity)
        try:
            await self._ask(lambda: self.exchange.accept(stop))
        except Exception:
            self.exchange.faults.counts["unprotected"] += 1

    async def _unprotect(self, source: Source) -> None:
        if not self.protective:
            return
        for stop in await self.open_orders(source):
            await self.cancel_order(stop.client_order_id, source)

    async def _move(self, order: OrderRequest) -> None:
        """A moved stop is a new one: the old one is taken back first."""
        await self._unprotect(order.source)
        if self.protective and order.position is not None:
            await self._protect(order, order.position.coins)
        else:
            await self._ask(lambda: None)


@contextmanager
def _as_order_errors() -> Iterator[None]:
    """What the exchange says, in the words that the engine knows; what may have been done either way passes through."""
    try:
        yield
    except RateLimitedError as limited:
        raise OrderTransientError(str(limited)) from limited
    except Refusal as refusal:
        if refusal.code == "stale":
            raise OrderTransientError(str(refusal)) from refusal
        if refusal.code == "rejected":
            raise OrderRejectedError(str(refusal)) from refusal
        if refusal.code == "unknown_order":
            raise OrderDeletedError(str(refusal)) from refusal
        raise
