"""Everything that a book can state.

Each event is tagged by `action` and carries only the fields that mean something in it.

`time` is the minute in which it happened (what happens inside candle `t` is stamped `t`, what is decided at a tick `T`
is stamped `T`), so the same candles give the same events, stamps included, in every mode. `source` says whose event it
is.
"""

from __future__ import annotations

from enum import IntFlag
from typing import Literal, TypeAlias

from backtest_kit.core.inputs import CancelReason, ExitReason, ManageKind
from backtest_kit.core.position import Position, Profit, profit
from backtest_kit.core.values import Signal, Sourced, Terms, Time


class Event(Sourced, frozen=True, tag_field="action"):
    """The root of all events: whose it is (`source`, with shortcuts), and when it happened (`time`, epoch ms)."""

    time: Time

    @property
    def action(self) -> str:
        """What kind of event this is, as one word: "opened", "closed", …"""
        return str(self.__struct_config__.tag)


class IdlePing(Event, frozen=True, tag="idle"):
    """A tick at which nothing is open or scheduled, and nothing was decided. `price` is the average price."""

    price: float


class SignalScheduled(Event, frozen=True, tag="scheduled"):
    """A limit entry waits for its price."""

    price: float
    signal: Signal


class SchedulePing(Event, frozen=True, tag="waiting"):
    """A candle on which a scheduled signal went on waiting."""

    price: float
    signal: Signal
    scheduled_at: Time


class SignalCancelled(Event, frozen=True, tag="cancelled"):
    """A signal that never became a position, and why. `price` is the average price."""

    price: float
    signal: Signal
    reason: CancelReason
    note: str = ""

    @property
    def cancelled_at(self) -> Time:
        return self.time


class PositionEvent(Event, frozen=True):
    """An event of an open position. `price` is the price it happened at, `position` the position after it."""

    price: float
    position: Position

    @property
    def signal(self) -> Signal:
        return self.position.signal

    @property
    def opened_at(self) -> Time:
        return self.position.pending_at


class SignalOpened(PositionEvent, frozen=True, tag="opened"):
    """A position was entered at `price`."""


class ActivePing(PositionEvent, frozen=True, tag="active"):
    """A candle on which a position stayed open; `price` is the average price after it."""

    terms: Terms

    @property
    def pnl(self) -> Profit:
        """What leaving at `price` would have made."""
        return profit(self.position, self.price, self.terms)


class SignalClosed(PositionEvent, frozen=True, tag="closed"):
    """A position was left at `price`.

    `ambiguous`: the candle touched stop and take; `alternative` is what the take had paid.
    """

    pnl: Profit
    close_reason: ExitReason
    ambiguous: bool = False
    alternative: Profit | None = None
    note: str = ""

    @property
    def closed_at(self) -> Time:
        return self.time


class HighestProfit(PositionEvent, frozen=True, tag="highest_profit"):
    """The price is better than ever in this position's life, and leaving would pay."""


class MaxDrawdown(PositionEvent, frozen=True, tag="max_drawdown"):
    """The price is worse than ever in this position's life."""


class BreakevenReached(PositionEvent, frozen=True, tag="breakeven"):
    """The price has run far enough that a stop at the entry would cover all costs; once per position."""


class ProfitReached(PositionEvent, frozen=True, tag="partial_profit"):
    """A milestone on the way to the take profit: `level` is 10, 20, … 100 percent of it; each once per position."""

    level: int


class LossReached(PositionEvent, frozen=True, tag="partial_loss"):
    """A milestone on the way to the stop loss: `level` is 10, 20, … 100 percent of it; each once per position."""

    level: int


class Committed(Event, frozen=True, tag="commit"):
    """A command was carried out or refused.

    `amount` is its percent, cost or shift; `reason` says why it was refused.
    """

    command: ManageKind | str
    price: float | None
    amount: float = 0.0
    accepted: bool = True
    reason: str = ""
    position: Position | None = None
    signal: Signal | None = None


class RiskRejected(Event, frozen=True, tag="risk_rejected"):
    """A risk profile refused a signal; `active` is how many positions were open or reserved under it."""

    price: float
    signal: Signal
    risk_name: str
    reason: str
    reason_id: str = ""
    active: int = 0


class SignalInvalid(Event, frozen=True, tag="invalid"):
    """A strategy returned something that is no acceptable signal; `reasons` has all the rules that it breaks."""

    price: float
    reasons: tuple[str, ...]
    signal: Signal | None = None


class OrderAnswered(Event, frozen=True, tag="order"):
    """What came of asking a broker for an order; only live and paper trading ask one.

    `outcome`: "done", "refused" (asked again), "rejected" (for good), "absent" (it never got there), "unknown" (not
    known yet). `price`, `quantity` and `fee` are those of the real fill, None where the broker named none. `alarm` says
    that it has failed so often that a person should look.
    """

    client_order_id: str
    kind: str
    attempt: int
    outcome: Literal["done", "refused", "rejected", "absent", "unknown"]
    price: float | None = None
    quantity: float | None = None
    fee: float | None = None
    note: str = ""
    alarm: bool = False


BookEvent: TypeAlias = (
    IdlePing
    | SignalScheduled
    | SchedulePing
    | SignalCancelled
    | SignalOpened
    | ActivePing
    | SignalClosed
    | HighestProfit
    | MaxDrawdown
    | BreakevenReached
    | ProfitReached
    | LossReached
    | Committed
    | RiskRejected
    | SignalInvalid
    | OrderAnswered
)


FACTS = frozenset(
    (
        SignalScheduled,
        SignalOpened,
        SignalClosed,
        SignalCancelled,
        Committed,
        RiskRejected,
        SignalInvalid,
        OrderAnswered,
    )
)
"""The events that are always made and kept in the ledger; all others are notices of single candles."""


class Wanted(IntFlag):
    """The kinds of notice that somebody listens to. The fast driver may skip a candle that makes none of them."""

    NOTHING = 0
    IDLE_PING = 1
    SCHEDULE_PING = 2
    ACTIVE_PING = 4
    HIGHEST_PROFIT = 8
    MAX_DRAWDOWN = 16
    BREAKEVEN = 32
    PROFIT_LEVEL = 64
    LOSS_LEVEL = 128
    POSITION_CHANGES = HIGHEST_PROFIT | MAX_DRAWDOWN | BREAKEVEN | PROFIT_LEVEL | LOSS_LEVEL
    EVERYTHING = 255


WANTED_BY: dict[type[Event], Wanted] = {
    IdlePing: Wanted.IDLE_PING,
    SchedulePing: Wanted.SCHEDULE_PING,
    ActivePing: Wanted.ACTIVE_PING,
    HighestProfit: Wanted.HIGHEST_PROFIT,
    MaxDrawdown: Wanted.MAX_DRAWDOWN,
    BreakevenReached: Wanted.BREAKEVEN,
    ProfitReached: Wanted.PROFIT_LEVEL,
    LossReached: Wanted.LOSS_LEVEL,
}
"""Which flag stands for which notice; all other events are facts and are always made."""
