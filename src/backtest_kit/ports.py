"""The contracts between the engine and what is plugged into it.

An object that has the methods fulfils one; nothing is inherited.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from backtest_kit.core.candles import Candles
from backtest_kit.core.events import Event
from backtest_kit.core.values import Interval, Time


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
