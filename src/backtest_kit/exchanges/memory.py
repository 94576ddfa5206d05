"""An exchange over data that is in memory: arrays, DataFrames, lists, columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from backtest_kit.core.candles import Candles
from backtest_kit.core.values import Interval
from backtest_kit.errors import ConfigError, UnknownNameError
from backtest_kit.exchanges.rows import Format, TableExchange, candles_of


class MemoryExchange(TableExchange):
    """Candles from tables that the caller holds: `MemoryExchange({"BTCUSDT": frame})`.

    `data` is `{symbol: table}` or `{symbol: {interval: table}}`, with tables in any shape that `core.rows`
    reads. The interval of a table is the smallest step of its rows, or `interval` when given. Columns of
    64-bit floats are used where they lie, not copied: do not change them afterwards. A table is read on first
    use; what is wrong with it is a DataError then.
    """

    def __init__(
        self,
        data: Mapping[str, Any],
        *,
        interval: str | None = None,
        format_price: Format | None = None,
        format_quantity: Format | None = None,
    ) -> None:
        super().__init__(format_price=format_price, format_quantity=format_quantity)
        if not isinstance(data, Mapping) or hasattr(data, "iloc"):
            raise ConfigError(f'data must be a mapping such as {{"BTCUSDT": table}}, not {type(data).__name__}')
        self._data = dict(data)
        self._interval = None if interval is None else Interval.parse(interval)

    def symbols(self) -> Sequence[str]:
        """The symbols of the data, as given."""
        return tuple(self._data)

    def _load(self, symbol: str) -> Mapping[Interval, Candles] | None:
        if symbol not in self._data:
            return None
        table = self._data[symbol]
        by_interval = _by_interval(table)
        if by_interval is None:
            candles = candles_of(table, symbol, self._interval)
            return {candles.interval: candles}
        return {each: candles_of(part, symbol, each) for each, part in by_interval.items()}


def _by_interval(table: object) -> dict[Interval, Any] | None:
    """The parts of `{"1m": table, "1h": table}`; None where the table is a table itself."""
    if not isinstance(table, Mapping) or not table:
        return None
    try:
        return {Interval.parse(each): part for each, part in table.items()}
    except (UnknownNameError, TypeError):
        return None
