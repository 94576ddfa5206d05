"""Paper trading: orders that are filled without an exchange, at real prices, with the costs of a real one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from backtest_kit.core.orders import OrderReport, OrderRequest
from backtest_kit.core.position import Fill
from backtest_kit.core.values import Source
from backtest_kit.ports import BrokerAdapter


class PaperBroker(BrokerAdapter):
    """Fills every order at the engine's price, worse by the slippage, for the fee; asked twice, it fills once.

    `fee_percent` and `slippage_percent` are percent, as in the settings of a run, so a paper trade earns what the same
    trade of a backtest does. `filled_percent` below 100 fills entries and the first exit of a position in part, as a
    thin market does.
    `latency_seconds` passes before every answer, by `sleep`. What it has filled is known to this process alone: for a
    new one an order that was never written down has never been made.
    """

    def __init__(
        self,
        *,
        fee_percent: float = 0.1,
        slippage_percent: float = 0.1,
        filled_percent: float = 100.0,
        latency_seconds: float = 0.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._fee, self._slippage, self._filled = fee_percent / 100, slippage_percent / 100, filled_percent / 100
        self._latency, self._sleep = latency_seconds, sleep
        self._fills: dict[str, Fill] = {}
        self._partly_left: set[str] = set()

    async def _fill(self, order: OrderRequest) -> Fill:
        if self._latency:
            await self._sleep(self._latency)
        known = self._fills.get(order.client_order_id)
        if known is not None:
            return known
        price = order.price * (1 + self._slippage if order.side == "buy" else 1 - self._slippage)
        quantity = order.quantity
        if order.kind in ("open", "average_buy"):  # the money is given, so a worse price buys less
            quantity = order.cost * order.signal.leverage / price
        if order.kind in ("open", "average_buy") or order.signal.id not in self._partly_left:
            quantity *= self._filled
        if order.kind == "close":
            self._partly_left.add(order.signal.id)
        fill = Fill(price, quantity, price * quantity * self._fee, (f"paper-{order.client_order_id}",))
        self._fills[order.client_order_id] = fill
        return fill

    on_order_open_commit = _fill
    on_order_close_commit = _fill
    on_partial_profit_commit = _fill
    on_partial_loss_commit = _fill
    on_average_buy_commit = _fill

    async def find_order(self, client_order_id: str, source: Source) -> OrderReport | None:  # noqa: ARG002 - the port's form
        """The order, when this process has filled it."""
        fill = self._fills.get(client_order_id)
        return None if fill is None else OrderReport(client_order_id=client_order_id, status="filled", fill=fill)
