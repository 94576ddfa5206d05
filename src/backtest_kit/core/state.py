"""What a book can be in: one of five tagged values, never a set of flags.

```
          decided, at once            filled                 an exit rule
   Idle ───────────────────▶ Opening ────────▶ Active ─────────────────────▶ Closing
    ▲ │                        ▲   │              │ ▲ commands: an order       │
    │ └──▶ Scheduled ──────────┘   │ refused      └─┘ asked, then applied      │ filled
    │        │ price reached       ▼                                           │
    └────────┴─────────────────────┴───────────────────────────────────────────┘
```

An `Order` in a state is a question to the broker that has no answer yet. In a backtest the answer comes at once.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from backtest_kit.core.inputs import ExitReason, LeaveAtNext, ManageKind, SettleAtNext
from backtest_kit.core.position import Position, Profit
from backtest_kit.core.values import Signal, Time


class Order(Struct, frozen=True):
    """One question to the broker. `id` is derived from the signal, so that a replay asks the same; never used twice.

    `price` and `amount` are the engine's wish (`amount`: percent, cost or shift, by kind). `attempt` counts refusals
    that may be asked again; `refused` means that the last answer was such a one and the next candle asks anew.
    """

    id: str
    kind: ManageKind | Literal["open", "close"]
    time: Time
    price: float
    amount: float = 0.0
    attempt: int = 0
    refused: bool = False


class Idle(Struct, frozen=True, tag="idle"):
    """Nothing is open or waits.

    `last_signal_id` is the id of the last position, `queued` a signal of the user's own.
    """

    last_signal_id: str = ""
    queued: Signal | None = None


class Scheduled(Struct, frozen=True, tag="scheduled"):
    """A limit entry waits for its price; `wish` is what the user asked for at the next candle."""

    signal: Signal
    scheduled_at: Time
    last_signal_id: str = ""
    wish: SettleAtNext | None = None


class Opening(Struct, frozen=True, tag="opening"):
    """The broker has been asked to enter. `stopped`: the entry candle ran on into the stop, which follows the entry."""

    signal: Signal
    order: Order
    last_signal_id: str = ""
    from_schedule: bool = False
    stopped: bool = False


class Active(Struct, frozen=True, tag="active"):
    """A position is open.

    `order` is a command that the broker has not answered yet, `wish` an exit for the next candle.
    """

    position: Position
    order: Order | None = None
    wish: LeaveAtNext | None = None


class Closing(Struct, frozen=True, tag="closing"):
    """The broker has been asked to leave.

    `alternative`: the candle also touched the take, which would have paid this.
    """

    position: Position
    order: Order
    reason: ExitReason
    alternative: Profit | None = None
    note: str = ""


State: TypeAlias = Idle | Scheduled | Opening | Active | Closing


def unanswered(state: State) -> Order | None:
    """The order that waits to be asked, if there is one; a refused one waits for the next candle first."""
    if isinstance(state, Opening | Active | Closing) and state.order is not None and not state.order.refused:
        return state.order
    return None
