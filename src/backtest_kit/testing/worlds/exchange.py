"""The simulated exchange: candles, a clock, orders and their fills. Money is what its fills say, and nothing else.

It behaves like the strictest part of each real one: client order ids are unique among open orders only; an order that
was accepted shows in queries a little later; a market order in a thin book fills in part and the rest expires, or goes
on filling for a while; an exit is cut to what is held ("reduce only") or sells whatever it says. A request whose
`not_after` has passed is refused at the gate; what has passed the gate may be matched up to 10 s later.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from backtest_kit.core.orders import ExitReport, OrderReport
from backtest_kit.core.position import Fill
from backtest_kit.core.values import MINUTE, Time
from backtest_kit.testing.worlds.clock import TrueTime
from backtest_kit.testing.worlds.faults import Faults
from backtest_kit.testing.worlds.market import Market, Row
from backtest_kit.testing.worlds.network import Network
from backtest_kit.testing.worlds.referee import Order, Referee, Trade

VISIBLE_SECONDS = 5.0
"""The longest time until an accepted order shows in queries."""

_CANDLE_FAULTS = ("late", "forming", "missing", "fails")
_WATCH_SECONDS = 5.0

RefusalCode: TypeAlias = Literal["stale", "duplicate", "unknown_order", "rejected"]


class Refusal(Exception):  # noqa: N818 - an answer of the exchange, and no failure of it
    """A definite no. "stale": sent after its time; "duplicate": known already; "rejected": for good."""

    def __init__(self, code: RefusalCode, message: str) -> None:
        self.code = code
        super().__init__(f"{code}: {message}")


class ExchangeOdds(Struct, frozen=True, kw_only=True):
    """How often what goes wrong, of 1; `fee` is a share of the turnover, `step` the smallest quantity."""

    partial_fill: float = 0.0
    rejected: float = 0.0
    late_visibility: float = 0.0
    candles: float = 0.0
    fee: float = 0.001
    step: float = 0.0001


class SimExchange:
    """The exchange and its truth. Its `get_candles` implements the port `Exchange`."""

    intervals = frozenset({"1m"})
    is_async = True

    def __init__(
        self,
        truth: TrueTime,
        market: Market,
        network: Network,
        referee: Referee,
        odds: ExchangeOdds | None = None,
        reduce_only: bool = True,
    ) -> None:
        self.truth, self.market, self.network, self.referee = truth, market, network, referee
        self.odds, self.reduce_only = odds if odds is not None else ExchangeOdds(), reduce_only
        self.orders: dict[str, list[Order]] = {}
        self.trades: list[Trade] = []
        self._calls, self._calls_seen = 0, set[int]()
        self._watching = False

    @property
    def faults(self) -> Faults:
        return self.network.faults

    # ---- candles -------------------------------------------------------------------------------------------------

    async def get_candles(self, symbol: str, interval: str, since: Time, limit: int) -> list[Row]:
        """At most `limit` minutes that open at `since` or later; only "1m" is known (ValueError)."""
        if interval != "1m":
            raise ValueError(f"no interval {interval!r} here, only '1m'")
        return list(await self.network.call(lambda: self._candles(symbol, since, limit)))

    def _candles(self, symbol: str, since: Time, limit: int) -> Sequence[Row]:
        now = self.truth.now()
        closed = now - now % MINUTE
        fault = self.faults.at("candles", self.odds.candles, _CANDLE_FAULTS)
        if fault == "fails":
            raise ConnectionError("the candles are not available now")
        until = closed - MINUTE if fault == "late" else closed
        rows = self.market.rows(symbol, since, limit, until)
        if fault == "missing" and rows:
            del rows[self.faults.stream("gap").randrange(len(rows))]
        if fault == "forming" and len(rows) < limit and since <= closed:
            opened, price = self.market.bar(symbol, closed)[0], self.market.price(symbol, now)
            rows.append((closed, opened, max(opened, price), min(opened, price), price, 0.5))
        return rows

    # ---- orders --------------------------------------------------------------------------------------------------

    def admit(self, not_after: Time) -> None:
        """The gate: Refusal for a request that comes after its time (epoch ms, the exchange's clock)."""
        if self.truth.now() > not_after:
            raise Refusal("stale", "the request has come after its time")

    def new_call(self) -> int:
        """A number for a request that sends an order: what carries it twice is the same request, delivered twice."""
        self._calls += 1
        return self._calls

    def accept(self, order: Order) -> OrderReport:
        """The matching engine takes an order: a market order fills now, a stop rests. Refusal where it does not."""
        if order.call in self._calls_seen or any(each.status == "open" for each in self._known(order.client_order_id)):
            raise Refusal("duplicate", f"an order {order.client_order_id} is open, or was sent by this very request")
        self._calls_seen.add(order.call)
        if order.lots <= 0:
            raise Refusal("rejected", "less than the smallest quantity")
        if self.faults.at("order", self.odds.rejected, ("rejected",)):
            raise Refusal("rejected", "insufficient balance")
        if not order.is_entry and order.trigger is None:
            order.lots = self._sellable(order)
        if self.faults.at("visibility", self.odds.late_visibility, ("late",)):
            lag = self.faults.stream("lag").uniform(0.2, VISIBLE_SECONDS * 0.95)
            order.visible_at = self.truth.seconds() + lag
        self.orders.setdefault(order.client_order_id, []).append(order)
        self.referee.accepted(order)
        if order.trigger is not None:
            self._watch()
        else:
            self._match(order)
        return report_of([order], self.odds.step)

    def cancel(self, client_order_id: str, sender: int) -> None:
        """Takes an order back; Refusal("unknown_order") where none of that name is open."""
        open_ones = [order for order in self._known(client_order_id) if order.status == "open"]
        if not open_ones:
            raise Refusal("unknown_order", f"no open order {client_order_id}")
        for order in open_ones:
            self.referee.cancelled(order, sender)
            _end(order)

    def find(self, client_order_id: str) -> OrderReport | None:
        """What a query says of an order: None while it does not show."""
        seen = [order for order in self._known(client_order_id) if order.visible_at <= self.truth.seconds()]
        return report_of(seen, self.odds.step) if seen else None

    def open_orders(self, slot: str = "") -> list[Order]:
        """The orders that may still fill, of one slot or of all, whether a query would show them or not."""
        every = (order for orders in self.orders.values() for order in orders)
        return [order for order in every if order.status == "open" and order.slot == (slot or order.slot)]

    def close_by_hand(self, slot: str) -> None:
        """Somebody sells what a slot holds, in the exchange's own app; resting orders of the slot go with it."""
        holding = self.referee.holding(slot)
        if not holding.lots:
            return
        for order in self.open_orders(slot):
            _end(order)
        symbol, number = slot.split("/", 1)[0], len(self.orders) + 1
        order = Order(
            client_order_id=f"by-hand-{number}", slot=slot, symbol=symbol, kind="by_hand", decision=holding.decision,
            side="sell" if holding.lots > 0 else "buy", asked_at=self.truth.now(), lots=abs(holding.lots), sender=0,
        )  # fmt: skip
        self.orders[order.client_order_id] = [order]
        self._fill(order, order.lots)
        _end(order)
        holding.closed_by_hand = True

    def left_without_us(self, slot: str, decision: str) -> ExitReport | None:
        """How a position was left without the engine, by hand or by its resting stop; None if it was not."""
        if self.referee.holding(slot).lots:
            return None
        theirs = [
            order
            for orders in self.orders.values()
            for order in orders
            if order.slot == slot and order.decision == decision and order.kind in ("by_hand", "stop") and order.trades
        ]
        if not theirs:
            return None
        fill = report_of(theirs, self.odds.step).fill
        assert fill is not None
        return ExitReport("stop_loss" if theirs[-1].kind == "stop" else "closed", fill)

    # ---- matching ------------------------------------------------------------------------------------------------

    def _known(self, client_order_id: str) -> list[Order]:
        return self.orders.get(client_order_id, [])

    def _sellable(self, order: Order) -> int:
        """What an exit may take of what is held."""
        holding = self.referee.holding(order.slot)
        held = max(0, -order.sign * holding.lots)
        if order.lots <= held or not (self.reduce_only or holding.closed_by_hand):
            return order.lots
        if held:
            return held
        raise Refusal("rejected", "there is no position to reduce")

    def _match(self, order: Order) -> None:
        fault = self.faults.at("fill", self.odds.partial_fill, ("partial", "slow"))
        luck = self.faults.stream("part")
        part = luck.randrange(1, order.lots) if fault and order.lots > 1 else order.lots
        self._fill(order, part)
        if fault == "slow" and part < order.lots:
            self.network.later(luck.uniform(0.5, 20.0), lambda: self._finish(order))
        else:
            _end(order)

    def _finish(self, order: Order) -> None:
        """The rest of an order that fills slowly."""
        if order.status != "open":
            return
        rest = order.lots - order.filled
        if not order.is_entry:
            rest = min(rest, max(0, -order.sign * self.referee.holding(order.slot).lots))
        if rest:
            self._fill(order, rest)
        _end(order)

    def _fill(self, order: Order, lots: int) -> None:
        price = round(self.market.price(order.symbol, self.truth.now()), 4)
        cost, number = lots * self.odds.step * price, f"T{len(self.trades) + 1}"
        fee = cost * self.odds.fee
        trade = Trade(number, order.client_order_id, order.side, price, lots, cost, fee, self.truth.now())
        order.trades.append(trade)
        self.trades.append(trade)
        self.referee.filled(order, trade)

    def _watch(self) -> None:
        """Looks after resting stops, as long as there are any."""
        if not self._watching:
            self._watching = True
            self.truth.loop.call_later(_WATCH_SECONDS, self._trigger)

    def _trigger(self) -> None:
        self._watching = False
        for order in self.open_orders():
            if order.trigger is None:
                continue
            beyond = -order.sign * (self.market.price(order.symbol, self.truth.now()) - order.trigger) <= 0
            if beyond:
                order.trigger = None
                self._finish(order)
            else:
                self._watch()


def report_of(orders: Sequence[Order], step: float) -> OrderReport:
    """All orders behind one client order id as one: open while one of them is, and the sum of their fills."""
    trades = [trade for order in orders for trade in order.trades]
    still_open = any(order.status == "open" for order in orders)
    fill = fill_of(trades, step) if trades else None
    return OrderReport(
        client_order_id=orders[-1].client_order_id, status="open" if still_open else orders[-1].status, fill=fill
    )


def fill_of(trades: Sequence[Trade], step: float) -> Fill:
    """Trades as one fill: their mean price, all of their quantity and fees."""
    lots = sum(trade.lots for trade in trades)
    price = sum(trade.price * trade.lots for trade in trades) / lots
    fee = sum(trade.fee for trade in trades)
    return Fill(price, round(lots * step, 10), fee, tuple(trade.id for trade in trades))


def _end(order: Order) -> None:
    """An order is over: it will not fill any further."""
    if order.filled == order.lots:
        order.status = "filled"
    else:
        order.status = "partly_filled" if order.trades else "cancelled"
