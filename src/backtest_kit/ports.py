"""The contracts between the engine and what is plugged into it.

An object that has the methods fulfils one; nothing is inherited, but a broker's adapter.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Protocol

from msgspec import Struct

from backtest_kit.core.candles import Candles
from backtest_kit.core.events import Event, PositionEvent, SignalScheduled
from backtest_kit.core.orders import ExitReport, OrderReport, OrderRequest
from backtest_kit.core.position import Fill
from backtest_kit.core.values import Interval, Source, Time


class Exchange(Protocol):
    """A source of candles. Only `get_candles` is required.

    `get_candles(symbol, interval, since, limit)` is `def` or `async def`: the candles of `interval` ("1m")
    that open at `since` (epoch ms) or later, oldest first, at most `limit`. It returns a table in any shape
    that `core.rows` reads. It raises what it likes: the engine tries again, then reports. A candle still
    forming may be among the rows; the engine drops it.

    An exchange may also have the following; the engine asks for them by name and does without those that are
    missing:

    * `intervals: frozenset[str] | None`: the intervals that `get_candles` knows; None, or no such attribute:
      unknown.
    * `is_async: bool`: that `get_candles` returns awaitables, where it is not an `async def` itself.
    * `cacheable: bool` (absent: False): whether its closed candles may be kept on disk.
    * `fingerprint: str`: distinguishes sources of the same name on disk.
    * `read(symbol, interval: Interval, start, stop) -> Candles | None`: a source that lives in this process
      answers here, at once: exactly its stored candles that open in [start, stop), NaN rows where some are
      missing between others. None: it has no such symbol or interval. Such a source is neither paged, nor
      tried again, nor cached on disk.
    * `span(symbol, interval: Interval) -> tuple[Time, Time] | None`: from when until when (exclusive) it has
      candles.
    * `symbols() -> Sequence[str]`: the symbols it has.
    * `format_price(symbol, price) -> str`, `format_quantity(symbol, quantity) -> str`: rounded to the
      market's steps.
    * `get_order_book(symbol, depth, start, stop)`: bids and asks as of `stop`.
    * `get_aggregated_trades(symbol, start, stop)`: trades made in [start, stop).
    """

    def get_candles(self, symbol: str, interval: str, since: Time, limit: int) -> Any: ...


class CandleStore(Protocol):
    """Closed candles on disk, shared by every mode and process. What was written first stays.

    `key` names the source (exchange name and fingerprint). `read` returns what is here of [start, stop),
    oldest first, as runs that do not overlap; a stored NaN row is a known gap. `write` adds the candles for
    which nothing is stored yet.
    """

    def read(self, key: str, symbol: str, interval: Interval, start: Time, stop: Time) -> list[Candles]: ...

    def write(self, key: str, symbol: str, candles: Candles) -> None: ...


class Ledger(Protocol):
    """The history of all facts: what was appended stays as it is, in its order. Safe for several processes at once.

    A stream holds what belongs together; its name is free text, with "/" between its parts. `append` adds one event,
    which is durable when it returns; it raises, and adds nothing, when the event could not be read back. `scan` hands
    out the events of a stream from the first on, without holding them all; none for a stream that does not exist. It
    raises DataError where the history is damaged, rather than leave something out. `streams` names all that is there.
    """

    def append(self, stream: str, event: Event) -> None: ...

    def scan(self, stream: str) -> Iterator[Event]: ...

    def streams(self) -> Sequence[str]: ...


class Clock(Protocol):
    """The time that live trading goes by.

    `now` is the wall clock, epoch ms; `monotonic` counts seconds and never jumps; `sleep` waits on it.
    """

    def now(self) -> Time: ...

    def monotonic(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class Disk(Protocol):
    """The few calls of a file system that durable state is made of; paths are relative, with "/" between their parts.

    What was written is only there after a power loss when `sync` has returned for the file, and its name only when
    `sync_folder` has returned for its folder. `rename` replaces what was there, all at once. All raise OSError.
    """

    async def read(self, path: str) -> bytes | None: ...

    async def write(self, path: str, content: bytes) -> None: ...

    async def append(self, path: str, content: bytes) -> None: ...

    async def sync(self, path: str) -> None: ...

    async def sync_folder(self, folder: str) -> None: ...

    async def rename(self, path: str, new_path: str) -> None: ...

    async def remove(self, path: str) -> None: ...

    async def list(self, folder: str) -> Sequence[str]: ...

    async def lock(self, path: str) -> bool:
        """Holds a lock until `unlock` or the end of the process; False where another process holds it."""
        ...

    async def unlock(self, path: str) -> None: ...


class Document(Struct, frozen=True):
    """One piece of state as a store keeps it: its number (1, 2, 3, …), its writer's epoch, and JSON text."""

    sequence: int
    epoch: int
    content: str


class Store(Protocol):
    """Durable state: one document a key, replaced as a whole, and histories that only grow.

    `open` takes the store for this process and returns its epoch, which is higher than any before; it raises
    StoreLockedError while another process holds it. `read` gives the newest document, None where there never was one;
    it raises StateDamagedError, and changes nothing, where it cannot be trusted. `write` makes a document durable
    before it returns; it raises StaleWriteError, and writes nothing, unless the newest has `expected_sequence` (0:
    there is none) and no process of a later epoch has opened the store. `delete` forgets a document under the same
    conditions. `append` adds a line to a history, durable when it returns; `scan` hands out its lines from the first
    on. Keys and streams are free text with "/" between their parts.
    """

    async def open(self, owner: str) -> int: ...

    async def close(self) -> None: ...

    async def read(self, key: str) -> Document | None: ...

    async def write(self, key: str, document: Document, expected_sequence: int) -> None: ...

    async def delete(self, key: str, expected_sequence: int) -> None: ...

    async def keys(self) -> Sequence[str]: ...

    async def append(self, stream: str, line: str) -> None: ...

    def scan(self, stream: str) -> AsyncIterator[str]: ...


class BrokerAdapter:
    """Where orders go. Every method is optional; one that is left out agrees.

    Before anything of a position changes, the hook of that change is called. Returning means that it is done; a
    returned `Fill` becomes the record. Raising refuses: the position stays as it was. `OrderTransientError` says that
    the order was surely not taken: it is asked again at the next tick, with the same client order id and the next
    `attempt`. `OrderRejectedError` refuses for good; an exit becomes a new order. Anything else leaves open whether the
    order was taken. An adapter that offers `find_order` is then asked for the truth. Of any other the order is asked
    again under the same id until it answers, so it has to recognise an id that it has traded already.
    No adapter is ever called in a backtest.
    """

    async def wait_for_init(self) -> None:
        """Called once, before the first tick: connect, load markets, check keys."""

    async def on_order_open_commit(self, order: OrderRequest) -> Fill | None:
        """Enter a position."""

    async def on_order_close_commit(self, order: OrderRequest) -> Fill | None:
        """Leave a position, or what is left of it."""

    async def on_partial_profit_commit(self, order: OrderRequest) -> Fill | None:
        """Sell a part at a profit."""

    async def on_partial_loss_commit(self, order: OrderRequest) -> Fill | None:
        """Sell a part at a loss."""

    async def on_average_buy_commit(self, order: OrderRequest) -> Fill | None:
        """Add to a position."""

    async def on_trailing_stop_commit(self, order: OrderRequest) -> None:
        """The stop has moved."""

    async def on_trailing_take_commit(self, order: OrderRequest) -> None:
        """The take profit has moved."""

    async def on_breakeven_commit(self, order: OrderRequest) -> None:
        """The stop moves to the entry."""

    async def on_order_active_check(self, position: PositionEvent) -> ExitReport | None:
        """Called at every tick while a position is open; an `ExitReport`, or OrderDeletedError, when it is gone."""

    async def on_order_schedule_check(self, signal: SignalScheduled) -> None:
        """Called at every tick while a signal waits; OrderDeletedError when its resting order is gone."""

    async def find_order(self, client_order_id: str, source: Source) -> OrderReport | None:
        """What the exchange knows of an order of ours; None when it knows of none."""
        raise NotImplementedError

    async def cancel_order(self, client_order_id: str, source: Source) -> None:
        """Takes an order of ours back; what has filled stays filled."""
        raise NotImplementedError

    async def open_orders(self, source: Source) -> Sequence[OrderReport]:
        """All orders of ours that are still open on a symbol."""
        raise NotImplementedError

    async def server_time(self) -> Time | None:
        """The exchange's clock, epoch ms; None where it has none to go by."""
        return None
