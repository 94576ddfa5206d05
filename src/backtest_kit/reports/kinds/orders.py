"""Every order of every position: what was bought and sold, when, at which price, how much of it.

The prices are those before slippage, as they stand in the legs of a trade.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

from backtest_kit.core.events import Event, SignalClosed
from backtest_kit.core.values import Side, Time
from backtest_kit.reports.kinds.life import position_of, untraded
from backtest_kit.reports.metrics import Metric, lines
from backtest_kit.reports.report import Count, Report, Subject, counted, counts_table
from backtest_kit.reports.rows import Rows
from backtest_kit.reports.tables import Column, count, minute, price, two_digits
from backtest_kit.reports.trades import Leg, LegKind, Trade, legs_of, total


class OrderOfTrade(Struct, frozen=True, kw_only=True):
    """One order: `quantity` units bought or sold at `price` (quote currency per unit), `money` = quantity · price.

    Leverage is in quantity and money; `cost` is the own money that it put in, or let go of. `time` is epoch ms.
    """

    time: Time
    symbol: str
    strategy_name: str
    signal_id: str
    position: Side
    side: Literal["buy", "sell"]
    kind: LegKind
    price: float
    quantity: float
    money: float
    cost: float


class OrderStatistics(Subject, frozen=True, kw_only=True):
    """All orders in order of time; money is quote currency, leverage included.

    `unrecorded` counts trades of old records that do not say which orders they had; none of theirs is in the rows.
    """

    rows: Rows[OrderOfTrade]
    total: int
    buys: int
    sells: int
    bought: float
    sold: float
    by_kind: tuple[Count, ...]
    unrecorded: int

    def report(self, title: str = "Orders") -> Report[OrderOfTrade]:
        return Report(
            title=title,
            heading="Orders",
            columns=COLUMNS,
            rows=self.rows,
            empty="No orders have been made yet." if not self.unrecorded else "No orders were recorded.",
            summary=lines(METRICS, self),
            notes=(f"Trades whose orders were not recorded: {self.unrecorded}.",) if self.unrecorded else (),
            tables=(counts_table("Kind", self.by_kind),),
        )


def orders(trades: Sequence[Trade], events: Sequence[Event] = ()) -> OrderStatistics:
    """The orders of closed trades, and of the positions that `events` know to be open."""
    found = [order for trade in trades for order in _of_trade(trade)]
    found += [order for event in untraded(events, trades).values() for order in _of_position(event)]
    rows = Rows(sorted(found, key=lambda row: row.time), OrderOfTrade)
    bought = [row.money for row in rows if row.side == "buy"]
    sold = [row.money for row in rows if row.side == "sell"]
    return OrderStatistics(
        rows=rows,
        total=len(rows),
        buys=len(bought),
        sells=len(sold),
        bought=total(bought),
        sold=total(sold),
        by_kind=counted(row.kind for row in rows),
        unrecorded=sum(not trade.legs for trade in trades),
    )


class _Owner(Struct, frozen=True):
    """Whose the orders of a position are."""

    symbol: str
    strategy_name: str
    signal_id: str
    position: Side
    leverage: float


def _of_trade(trade: Trade) -> Iterator[OrderOfTrade]:
    owner = _Owner(trade.symbol, trade.strategy_name, trade.signal_id, trade.position, trade.leverage)
    return _orders(owner, trade.legs)


def _of_position(event: Event) -> Iterator[OrderOfTrade]:
    position = position_of(event)
    if position is None:
        return iter(())
    signal = position.signal
    owner = _Owner(event.symbol, event.strategy_name, signal.id, signal.position, signal.leverage)
    if isinstance(event, SignalClosed):
        return _orders(owner, legs_of(position, event.time, event.pnl.price_close))
    return _orders(owner, legs_of(position))


def _orders(owner: _Owner, legs: Sequence[Leg]) -> Iterator[OrderOfTrade]:
    """The legs with their quantities: what leaves takes its share of the units that its money had bought."""
    basis = coins = 0.0
    for leg in legs:
        if leg.is_entry:
            units = leg.cost / leg.price
            basis, coins = basis + leg.cost, coins + units
        else:
            units = coins * leg.cost / basis if basis > 0 else 0.0
            basis, coins = basis - leg.cost, coins - units
        quantity = units * owner.leverage
        yield OrderOfTrade(
            time=leg.time,
            symbol=owner.symbol,
            strategy_name=owner.strategy_name,
            signal_id=owner.signal_id,
            position=owner.position,
            side="buy" if leg.is_entry == (owner.position == "long") else "sell",
            kind=leg.kind,
            price=leg.price,
            quantity=quantity,
            money=quantity * leg.price,
            cost=leg.cost,
        )


METRICS = (
    Metric("total", "Orders", "", count),
    Metric("buys", "Buys", "", count),
    Metric("sells", "Sells", "", count),
    Metric("bought", "Bought for", "", two_digits),
    Metric("sold", "Sold for", "", two_digits),
)


def _significant(value: float) -> str:
    return f"{value:.8g}"


COLUMNS: tuple[Column[OrderOfTrade], ...] = (
    Column("time", "Time (UTC)", lambda row: row.time, minute),
    Column("symbol", "Symbol", lambda row: row.symbol),
    Column("strategy_name", "Strategy", lambda row: row.strategy_name),
    Column("signal_id", "Signal", lambda row: row.signal_id),
    Column("side", "Order", lambda row: row.side),
    Column("kind", "Kind", lambda row: row.kind),
    Column("price", "Price", lambda row: row.price, price),
    Column("quantity", "Quantity", lambda row: row.quantity, _significant),
    Column("money", "Money", lambda row: row.money, two_digits),
    Column("cost", "Own money", lambda row: row.cost, two_digits),
)
