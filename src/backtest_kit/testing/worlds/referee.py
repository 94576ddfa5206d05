"""The referee: what truly is held and earned, counted from fills alone, and the rules that every fill must keep.

Quantities are lots, whole numbers of the exchange's quantity step, so that nothing is lost in rounding; money is quote
currency. A slot is one strategy on one symbol, "BTCUSDT/my-strategy".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct, field

from backtest_kit.core.orders import OrderKind, OrderSide, OrderStatus
from backtest_kit.core.values import Source, Time

_ENTRIES = ("open", "average_buy")


class Trade(Struct, frozen=True):
    """One fill: `lots` at `price` are `cost`; `cost` and `fee` in quote currency."""

    id: str
    client_order_id: str
    side: OrderSide
    price: float
    lots: int
    cost: float
    fee: float
    time: Time


class Order(Struct, kw_only=True):
    """An order as the exchange keeps it.

    `decision` is the signal that it serves, `asked_at` the engine's time of the wish (epoch ms), `sender` the number of
    the process that sent it, `call` the number of the request. `trigger` is the price at which a resting stop becomes a
    market order. Before `visible_at` (seconds of the world) no query finds it.
    """

    client_order_id: str
    slot: str
    symbol: str
    side: OrderSide
    kind: OrderKind | Literal["stop", "by_hand"]
    decision: str
    asked_at: Time
    lots: int
    sender: int
    call: int = 0
    trigger: float | None = None
    visible_at: float = 0.0
    status: OrderStatus = "open"
    trades: list[Trade] = field(default_factory=list)

    @property
    def filled(self) -> int:
        return sum(trade.lots for trade in self.trades)

    @property
    def is_entry(self) -> bool:
        return self.kind in _ENTRIES

    @property
    def sign(self) -> int:
        return 1 if self.side == "buy" else -1


class Holding(Struct):
    """What a slot holds: lots (negative: short), cash that went in and out, and the decision behind it."""

    lots: int = 0
    cash: float = 0.0
    decision: str = ""
    closed_by_hand: bool = False


class Referee:
    """Counts fills by slot; `blame` is told every breach of a rule, `log` all that happens."""

    def __init__(self, blame: Callable[[str], None], log: Callable[..., None] = lambda *_: None) -> None:
        self.blame, self.log = blame, log
        self.holdings: dict[str, Holding] = {}
        self._wanted: dict[tuple[str, str], int] = {}
        self._entered: dict[tuple[str, str], int] = {}
        self._newest: dict[str, int] = {}

    def holding(self, slot: str) -> Holding:
        return self.holdings.setdefault(slot, Holding())

    def accepted(self, order: Order) -> None:
        """An order has reached the matching engine."""
        self.log("accepted", order.slot, order.kind, order.side, order.lots, order.client_order_id)
        if order.sender < self._newest.get(order.slot, 0):
            self.blame(f"stale process: an order of process {order.sender} after one of {self._newest[order.slot]}")
        self._newest[order.slot] = max(order.sender, self._newest.get(order.slot, 0))
        if order.is_entry:
            wish = _wish(order)
            self._wanted[wish] = max(self._wanted.get(wish, 0), order.lots)

    def cancelled(self, order: Order, sender: int) -> None:
        """Process `sender` has taken an order back."""
        self.log("cancelled", order.slot, order.client_order_id)
        if sender < order.sender:
            self.blame(f"stale process: process {sender} cancelled an order of process {order.sender}")

    def filled(self, order: Order, trade: Trade) -> None:
        """A trade has been made: it is counted, and the rules are checked."""
        self.log("trade", order.slot, order.side, trade.lots, trade.price, order.client_order_id)
        holding = self.holding(order.slot)
        before = holding.lots
        holding.lots += order.sign * trade.lots
        holding.cash -= order.sign * trade.cost + trade.fee
        if order.is_entry:
            self._check_entry(order, trade, holding, before)
        elif abs(holding.lots) > abs(before) or before * holding.lots < 0:
            self.blame(f"oversold: {order.slot} held {before} lots, and {order.kind} left {holding.lots}")

    def _check_entry(self, order: Order, trade: Trade, holding: Holding, before: int) -> None:
        wish = _wish(order)
        self._entered[wish] = self._entered.get(wish, 0) + trade.lots
        if self._entered[wish] > self._wanted[wish]:
            self.blame(f"double entry: {self._entered[wish]} lots where {self._wanted[wish]} were wanted by {wish[1]}")
        if before and holding.decision != order.decision:
            self.blame(f"double entry: {order.decision} on top of {holding.decision} in {order.slot}")
        if abs(holding.lots) < abs(before):
            self.blame(f"an entry of {order.decision} reduced the position of {order.slot}")
        holding.decision, holding.closed_by_hand = order.decision, False


def _wish(order: Order) -> tuple[str, str]:
    """What an entry serves: the decision itself, or one of its additions."""
    at = "" if order.kind == "open" else f" at {order.asked_at}"
    return order.slot, f"{order.decision} {order.kind}{at}"


def slot_of(source: Source) -> str:
    """The slot of a source: "BTCUSDT/my-strategy"."""
    return f"{source.symbol}/{source.strategy_name}"
