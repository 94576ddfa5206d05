"""Candle tables that live in this process: what the memory and the file exchange have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from backtest_kit.core.candles import Candles
from backtest_kit.core.grid import interval_of, laid_out
from backtest_kit.core.rows import rows_of
from backtest_kit.core.stamps import RowError
from backtest_kit.core.values import Interval, Time
from backtest_kit.errors import DataError, UnknownNameError

Format = Callable[[str, float], Any]


class TableExchange:
    """An exchange over whole tables of candles, one a symbol and interval, read on first use and then kept.

    `_load(symbol)` returns the tables of a symbol, None when there is none; `symbols()` the names. Longer
    candles are made of 1-minute ones by the engine where no table has them.
    """

    cacheable = False
    intervals: frozenset[str] | None = None

    def __init__(self, *, format_price: Format | None = None, format_quantity: Format | None = None) -> None:
        self._format_price, self._format_quantity = format_price or _plain, format_quantity or _plain
        self._tables: dict[str, Mapping[Interval, Candles] | None] = {}

    def symbols(self) -> Sequence[str]:
        """The symbols that there are tables for."""
        raise NotImplementedError

    def _load(self, symbol: str) -> Mapping[Interval, Candles] | None:
        raise NotImplementedError

    def _table(self, symbol: str, interval: Interval) -> Candles | None:
        if symbol not in self._tables:
            self._tables[symbol] = self._load(symbol)
        return (self._tables[symbol] or {}).get(interval)

    def read(self, symbol: str, interval: Interval, start: Time, stop: Time) -> Candles | None:
        """The stored candles that open in [start, stop), as views; None where there is no such table."""
        table = self._table(symbol, interval)
        return None if table is None else table.between(start, stop)

    def span(self, symbol: str, interval: Interval) -> tuple[Time, Time] | None:
        """From when until when (exclusive) there are candles; None where there is no such table."""
        table = self._table(symbol, interval)
        return None if table is None else (table.start, table.stop)

    def get_candles(self, symbol: str, interval: str, since: Time, limit: int) -> Candles:
        """At most `limit` candles from `since` on, of minutes where no table has the interval."""
        wanted = Interval.parse(interval)
        stop = since + limit * int(wanted)
        found = self.read(symbol, wanted, since, stop)
        if found is None:
            minutes = self.read(symbol, Interval.M1, since, stop)
            if minutes is None:
                raise UnknownNameError("symbol", symbol, self.symbols())
            return minutes.resampled(wanted)
        return found

    def format_price(self, symbol: str, price: float) -> str:
        """A price as this source writes it."""
        return str(self._format_price(symbol, price))

    def format_quantity(self, symbol: str, quantity: float) -> str:
        """A quantity as this source writes it."""
        return str(self._format_quantity(symbol, quantity))


def candles_of(table: object, symbol: str, interval: Interval | None = None) -> Candles:
    """A table in any shape as candles. The interval is the smallest step of the rows unless it is given.

    Raises DataError naming symbol, interval and the first bad row.
    """
    if isinstance(table, Candles):
        return table
    try:
        rows = rows_of(table)
        step = interval if interval is not None else interval_of(rows)
        return laid_out(rows, step)
    except RowError as error:
        raise _named(error, symbol, interval) from None
    except DataError as error:
        raise DataError(f"{symbol}: {error}", symbol=symbol) from None


def _named(error: RowError, symbol: str, interval: Interval | None) -> DataError:
    label = str(interval or "")
    text = f"{symbol}{' ' + label if label else ''} candles: {error}{_remedy(str(error))}"
    found = RowError(text, row=error.row, first_bad=error.first_bad)
    found.symbol, found.interval = symbol, label
    return found


def _remedy(text: str) -> str:
    if text.startswith("unsorted"):
        return "; sort the rows by time, oldest first"
    if text.startswith("duplicate"):
        return "; drop all but one row of each time"
    return ""


def _plain(_symbol: str, value: float) -> str:
    """Eight digits after the point at most, as the trade writes numbers, and no exponent."""
    text = f"{value:.8f}"
    return text.rstrip("0").rstrip(".")
