"""Broker adapters that misbehave in one way each, over the same exchange: what a user's adapter may do to an engine.

Each keeps `asked`, every order that it was given. Counters start anew with every start of the program, unless the world
is given one adapter for all of them.
"""

from __future__ import annotations

import asyncio
from typing import Any

from backtest_kit.core.orders import OrderReport, OrderRequest
from backtest_kit.core.position import Fill
from backtest_kit.core.values import Source
from backtest_kit.errors import OrderRejectedError, OrderTransientError
from backtest_kit.testing.worlds.adapter import SimAdapter
from backtest_kit.testing.worlds.exchange import SimExchange


class ScriptedAdapter(SimAdapter):
    """An honest adapter that remembers what it was asked for."""

    def __init__(self, exchange: SimExchange, sender: int = 1) -> None:
        super().__init__(exchange, sender)
        self.asked: list[OrderRequest] = []

    async def send(self, order: OrderRequest) -> Fill | None:
        self.asked.append(order)
        return await super().send(order)


class RefusingAdapter(ScriptedAdapter):
    """Raises `error` for the first `times` orders, and sends none of them; then it is honest."""

    def __init__(self, exchange: SimExchange, sender: int = 1, times: int = 3, error: Exception | None = None) -> None:
        super().__init__(exchange, sender)
        self.times, self.error = times, error if error is not None else OrderTransientError("not now")

    async def send(self, order: OrderRequest) -> Fill | None:
        if len(self.asked) < self.times:
            self.asked.append(order)
            raise self.error
        return await super().send(order)


class ForgetfulAdapter(ScriptedAdapter):
    """Sends every order, and loses the answer of the first `times` of them."""

    def __init__(self, exchange: SimExchange, sender: int = 1, times: int = 1) -> None:
        super().__init__(exchange, sender)
        self.times = times

    async def send(self, order: OrderRequest) -> Fill | None:
        fill = await super().send(order)
        if len(self.asked) <= self.times:
            raise TimeoutError("the answer was lost")
        return fill


class StubbornAdapter(ScriptedAdapter):
    """Refuses every close for good until `seconds` have passed since the first one that was asked for."""

    def __init__(self, exchange: SimExchange, sender: int = 1, seconds: float = 3600.0) -> None:
        super().__init__(exchange, sender)
        self.seconds = seconds
        self._first: float | None = None

    async def on_order_close_commit(self, order: OrderRequest) -> Fill | None:
        now = self.exchange.truth.seconds()
        self._first = now if self._first is None else self._first
        if now < self._first + self.seconds:
            self.asked.append(order)
            raise OrderRejectedError("the wallet is frozen")
        return await super().on_order_close_commit(order)


class HangingAdapter(ScriptedAdapter):
    """Never answers the first `times` orders; `after_sending` says whether the exchange has got them all the same."""

    def __init__(self, exchange: SimExchange, sender: int = 1, times: int = 1, after_sending: bool = False) -> None:
        super().__init__(exchange, sender)
        self.times, self.after_sending = times, after_sending

    async def send(self, order: OrderRequest) -> Fill | None:
        if len(self.asked) >= self.times:
            return await super().send(order)
        if self.after_sending:
            await super().send(order)
        else:
            self.asked.append(order)
        await asyncio.get_running_loop().create_future()
        return None


class NonsenseAdapter(ScriptedAdapter):
    """Sends honestly, and returns `answers` in turn, whatever they are, in place of fills and reports."""

    answers: tuple[Any, ...] = (
        Fill(float("nan"), 1.0), Fill(-5.0, 1.0), Fill(100.0, float("inf")), Fill(100.0, -1.0), "filled", 42, {},
    )  # fmt: skip

    async def send(self, order: OrderRequest) -> Fill | None:
        await super().send(order)
        nonsense: Fill | None = self._nonsense()
        return nonsense

    async def find_order(self, client_order_id: str, source: Source) -> OrderReport | None:
        found: OrderReport | None = await super().find_order(client_order_id, source)
        if len(self.asked) % 2 == 0:
            found = self._nonsense()
        return found

    def _nonsense(self) -> Any:
        return self.answers[len(self.asked) % len(self.answers)]
