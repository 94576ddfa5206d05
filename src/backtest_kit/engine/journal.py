"""The journal of live trading: on what it decided, so that a later replay can tell why it decides otherwise.

Facts are in the ledger; this is what they leave out. A start is a line with the code, the parameters and the terms in
force. Every asking of a strategy is a line with the price it saw and a mark of all candles since the line before: no
line for a tick says that the strategy was not asked there. A lost line costs a finding, never a trade.
"""

from __future__ import annotations

import inspect
import logging
import zlib
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from backtest_kit.core.candles import Tape
from backtest_kit.core.events import Event
from backtest_kit.core.values import Source, Terms, Time
from backtest_kit.errors import BacktestKitError
from backtest_kit.ports import Ledger
from backtest_kit.registry import StrategySchema

log = logging.getLogger("backtest_kit")

FOLDER = "journal"
"""Its name in the data folder."""


class Began(Event, frozen=True, tag="began"):
    """A process began to trade a book.

    `version` is that of the package, `code` a mark of the strategy's source ("": not known), `terms` those of trading.
    """

    version: str
    code: str
    params: dict[str, Any]
    terms: dict[str, Any]


class Asked(Event, frozen=True, tag="asked"):
    """A strategy was asked at the tick `time`, at this average price; `candles` marks the minutes of [since, time)."""

    price: float
    since: Time
    candles: int


JournalLine: TypeAlias = Began | Asked


class Journal:
    """Where live books write down what they decide on; `stream_of` names the stream of a book.

    Lines are left to the operating system, so writing one takes no longer than the asking itself.
    """

    def __init__(self, ledger: Ledger, stream_of: Callable[[Source], str]) -> None:
        self._ledger, self._stream_of = ledger, stream_of
        self._since: dict[Source, Time] = {}

    def begin(
        self,
        source: Source,
        time: Time,
        version: str,
        strategy: StrategySchema,
        params: Mapping[str, Any],
        terms: Terms,
    ) -> None:
        """A book begins; candles that open before `time` were lived through by another process, or by none."""
        self._since[source] = time
        self._append(Began(source, time, version, code_mark(strategy), dict(params), terms_of(terms)))

    def ask(self, source: Source, tape: Tape, row: int) -> None:
        """The strategy of a book was asked at the tick of a row."""
        time = tape.time(row)
        since = self._since.get(source, time)
        if self._append(Asked(source, time, float(tape.price[row - 1]), since, candle_mark(tape, since, time))):
            self._since[source] = time

    def _append(self, line: JournalLine) -> bool:
        """Whether the line could be written; where it could not, trading goes on without it."""
        try:
            self._ledger.append(self._stream_of(line.source), line)
        except BacktestKitError as error:
            log.warning("the journal of %s lacks a line: %s", line.source, error)
            return False
        return True


def candle_mark(tape: Tape, start: Time, stop: Time) -> int:
    """A checksum of the minutes of [start, stop) and of the average price after each; another number for others."""
    rows = slice(max(0, tape.row(start)), max(0, tape.row(stop)))
    mark = 0
    for column in (tape.open, tape.high, tape.low, tape.price):
        mark = zlib.crc32(column[rows].tobytes(), mark)
    return mark


def code_mark(strategy: StrategySchema) -> str:
    """A checksum of the source of a strategy's functions, as eight hex digits; "" where there is no source."""
    functions = [strategy.get_signal, *(each for each in (strategy.indicators,) if each is not None)]
    try:
        return f"{zlib.crc32(''.join(map(inspect.getsource, functions)).encode()):08x}"
    except (OSError, TypeError):
        return ""


def terms_of(terms: Terms) -> dict[str, Any]:
    """The terms of trading alone, by name, of settings that hold more than them."""
    return {name: getattr(terms, name) for name in Terms.__struct_fields__}
