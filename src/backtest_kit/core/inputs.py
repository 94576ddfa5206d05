"""All that can happen to a book: a candle closes, a strategy decides, a user commands, a broker answers, a cut."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from backtest_kit.core.position import Fill
from backtest_kit.core.values import Signal, Time

ManageKind: TypeAlias = Literal[
    "partial_profit", "partial_loss", "average_buy", "breakeven", "trailing_stop", "trailing_take"
]
ExitReason: TypeAlias = Literal["take_profit", "stop_loss", "liquidation", "time_expired", "closed", "frame_end", "gap"]
CancelReason: TypeAlias = Literal["timeout", "price_reject", "user", "risk", "refused", "frame_end", "gap"]


class Minute(Struct, frozen=True):
    """A 1-minute candle has closed. `price` is the average price after it; `time` is its opening."""

    time: Time
    open: float
    high: float
    low: float
    price: float


class Decided(Struct, frozen=True):
    """The strategy (or a user) wants this signal, which is valid and admitted.

    `price` is the average price at the tick.
    """

    time: Time
    price: float
    signal: Signal


class Manage(Struct, frozen=True):
    """A command on the open position, at a price. `amount` is percent, cost or shift, by kind; 0 for breakeven."""

    kind: ManageKind
    time: Time
    price: float
    amount: float = 0.0


class LeaveAtNext(Struct, frozen=True):
    """Leave the position at the next candle: the user wants it (`closed`), or an exit order is known to be filled.

    `price` is the reported one; None is the average price (`closed`) or the level (`take_profit`, `stop_loss`).
    """

    reason: Literal["closed", "take_profit", "stop_loss", "liquidation"]
    time: Time
    price: float | None = None
    note: str = ""


class SettleAtNext(Struct, frozen=True):
    """Cancel the scheduled signal at the next candle, or activate it there without waiting for its price."""

    action: Literal["cancel", "activate"]
    time: Time
    note: str = ""


class Queue(Struct, frozen=True):
    """A signal of the user's own, to be opened at the next tick at which the strategy would be asked."""

    time: Time
    signal: Signal


class Filled(Struct, frozen=True):
    """The broker's answer to an order: it is done. `fill` is the real one; None means as the engine modelled it."""

    order_id: str
    time: Time
    fill: Fill | None = None


class Refused(Struct, frozen=True):
    """The broker's answer to an order: no. `final` means that asking again is pointless; else it is asked again."""

    order_id: str
    time: Time
    note: str = ""
    final: bool = False
    reason: Literal["refused", "risk"] = "refused"


class LeftElsewhere(Struct, frozen=True):
    """The position has been left at the exchange without our asking: by a resting order, by hand, by liquidation."""

    reason: Literal["closed", "take_profit", "stop_loss", "liquidation"]
    time: Time
    fill: Fill


class Cut(Struct, frozen=True):
    """The run ends here, or its candles do: what is open is left at the average price, what waits is cancelled."""

    time: Time
    price: float
    reason: Literal["frame_end", "gap"]


Input: TypeAlias = (
    Minute | Decided | Manage | LeaveAtNext | SettleAtNext | Queue | Filled | Refused | LeftElsewhere | Cut
)
