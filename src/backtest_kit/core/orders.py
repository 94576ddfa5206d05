"""What is said between the engine and a broker: what is asked for, and what the broker knows of an order."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from backtest_kit.core.inputs import ExitReason, ManageKind
from backtest_kit.core.position import Fill, Position
from backtest_kit.core.values import Signal, Sourced, Time

OrderKind: TypeAlias = ManageKind | Literal["open", "close"]
OrderSide: TypeAlias = Literal["buy", "sell"]
OrderStatus: TypeAlias = Literal["open", "filled", "partly_filled", "cancelled", "rejected"]


class OrderRequest(Sourced, frozen=True, kw_only=True):
    """One order as a broker adapter gets it.

    `client_order_id` names the order for good: an exchange that is asked twice under the same one must not trade twice,
    and the order can be looked up by it. `attempt` counts the refusals before this one, from 0. `quantity` is units of
    the base asset with leverage, before the exchange's rounding, 0 where nothing is traded (a moved level); `price` is
    the engine's price, `cost` the money (quote currency, before leverage) that goes in. `position` is the position
    before the order, None for an entry. After `not_after` (epoch ms, the exchange's clock) it must not be sent.
    """

    client_order_id: str
    attempt: int
    kind: OrderKind
    side: OrderSide
    quantity: float
    price: float
    cost: float
    signal: Signal
    position: Position | None
    price_take_profit: float
    price_stop_loss: float
    reason: ExitReason | None = None
    time: Time
    not_after: Time


class OrderReport(Struct, frozen=True, kw_only=True):
    """What a broker knows of an order: its status, and everything that it has filled so far (None: nothing).

    "open" may still fill; every other status is final. "partly_filled" is final too: the rest will never fill.
    """

    client_order_id: str
    status: OrderStatus
    fill: Fill | None = None
    note: str = ""

    @property
    def is_final(self) -> bool:
        return self.status != "open"


class ExitReport(Struct, frozen=True):
    """A position that has been left at the exchange without the engine's asking: why, and at which real fill."""

    reason: Literal["take_profit", "stop_loss", "liquidation", "closed"]
    fill: Fill
