"""What is kept of a book in live trading: one document, so that its parts cannot disagree.

A slot is a strategy on a symbol of an exchange. Its document is written as a whole before anything is done to the
outside world, and after every answer of it. Events that nobody has been told of yet are in it, so a restart tells them.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from backtest_kit.core.events import BookEvent, Event
from backtest_kit.core.state import Idle, Order, State
from backtest_kit.core.values import Source, Time
from backtest_kit.errors import StateDamagedError

SCHEMA = 1
Progress: TypeAlias = Literal["asked", "unknown", "refused"]


class Operation(Struct, frozen=True):
    """An order that the broker has been asked for, and has not answered for good.

    "asked": its answer is awaited, or was when the process died; "unknown": something went wrong on the way, and
    whether it was taken has to be found out; "refused": it was not taken, and may be asked again under the same id.
    """

    client_order_id: str
    order: Order
    not_after: Time
    progress: Progress = "asked"


class Slot(Struct, frozen=True, kw_only=True):
    """Everything that a restart needs to know of a book.

    Candles that open before `absorbed_until` are in `state`. `asked` is the bucket of the strategy's interval for which
    it was asked last. `operations` counts the client order ids that were used up. `events` are those that are not told
    for certain, the first of them is number `told + 1`. `quantity` (units, negative when short) and `cash` (quote
    currency, fees counted) are the sums of all fills that a broker has ever named: what the exchange must show, too.
    """

    schema: int = SCHEMA
    source: Source
    state: State = Idle()
    absorbed_until: Time
    asked: Time = -1
    operation: Operation | None = None
    operations: int = 0
    paused: bool = False
    quantity: float = 0.0
    cash: float = 0.0
    told: int = 0
    events: tuple[BookEvent, ...] = ()

    def with_events(self, events: tuple[Event, ...]) -> Slot:
        return replace(self, events=(*self.events, *events)) if events else self

    def after_telling(self, count: int) -> Slot:
        """The slot once its first `count` events have been told."""
        return replace(self, told=self.told + count, events=self.events[count:])


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Slot)


def key_of(source: Source) -> str:
    """The key of a slot's document: `signals/BTCUSDT_sma-cross_binance`."""
    symbol, strategy, exchange = (
        each.replace("%", "%25").replace("_", "%5F").replace("/", "%2F")
        for each in (source.symbol, source.strategy_name, source.exchange_name)
    )
    return f"signals/{symbol}_{strategy}_{exchange}"


def encoded(slot: Slot) -> str:
    """The slot as JSON."""
    return _ENCODER.encode(slot).decode()


def decoded(content: str, source: Source) -> Slot:
    """The slot in a document; raises StateDamagedError where it is none, of a newer version, or somebody else's."""
    where = f"the state of {source}"
    try:
        found = msgspec.json.decode(content, type=dict)
        if found.get("schema", 0) > SCHEMA:
            raise StateDamagedError(f"{where} was written by a newer version of this package: update, then start again")
        slot = _DECODER.decode(content)
    except (msgspec.MsgspecError, ValueError) as error:
        raise StateDamagedError(f"{where} cannot be read: {error}. {WAYS_OUT}") from error
    if slot.source != source:
        raise StateDamagedError(f"{where} is that of {slot.source} in {slot.source.mode} mode: a file was moved here")
    return slot


WAYS_OUT = "Compare with the exchange, then adopt what it holds, or flatten it and delete the file"


def client_order_id(tag: str, source: Source, epoch: int, number: int) -> str:
    """The name of an order at the exchange: 32 hex digits, the first eight of them this installation's own."""
    text = f"{source.mode}\n{key_of(source)}\n{epoch}\n{number}".encode()
    return tag[:8].rjust(8, "0") + blake2b(text, digest_size=12).hexdigest()
