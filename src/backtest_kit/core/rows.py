"""Tables of candles in every shape that sources and users have them in, read into six columns.

A table may be: a list of rows `[time, open, high, low, close, volume]` (what ccxt and exchanges return;
further cells are left alone), a list of mappings or of `Candle`, a `Candles`, a mapping of columns, a numpy
array of six or more columns or with named fields, a pandas or polars DataFrame (pandas: the times may be the
index). Names are read without regard to case, spaces and underscores, with the usual short forms. What is
read here is not yet checked: see `core.grid` and `core.checks`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from backtest_kit.core.candles import COLUMNS, Candle, Candles, Floats, Times
from backtest_kit.core.stamps import RowError, milliseconds
from backtest_kit.errors import DataError

_TIME_NAMES = (
    "timestamp", "opentime", "time", "datetime", "unix", "date", "ts", "t", "starttime", "unixtime",
    "dateutc",
)  # fmt: skip
_VALUE_NAMES = {
    "open": ("open", "o", "openprice"),
    "high": ("high", "h", "highprice", "max"),
    "low": ("low", "l", "lowprice", "min"),
    "close": ("close", "c", "closeprice", "last"),
    "volume": ("volume", "v", "vol", "basevolume", "quantity", "amount", "volumefrom"),
}
_WIDTH = 1 + len(COLUMNS)
_SHAPES = (
    "expected rows [time, open, high, low, close, volume], mappings or Candle objects, a mapping of columns, "
    "a numpy array of six columns, or a pandas or polars DataFrame"
)


class Rows(Struct, frozen=True):
    """Candles as their source gave them: six columns, times in epoch ms, in any order and spacing."""

    time: Times
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    def __len__(self) -> int:
        return len(self.time)

    def rows(self, first: int, last: int) -> Rows:
        """The rows [first, last) as views."""
        return Rows(self.time[first:last], *(getattr(self, name)[first:last] for name in COLUMNS))


def rows_of(table: Any) -> Rows:
    """The six columns of a table in any of the shapes above.

    Raises RowError (a DataError) that says what is wrong with it.
    """
    if isinstance(table, Candles):
        return Rows(table.time, *(getattr(table, name) for name in COLUMNS))
    if isinstance(table, np.ndarray):
        return _of_array(table)
    if isinstance(table, Mapping):
        return _of_names(list(table), table.__getitem__)
    if hasattr(table, "columns") and hasattr(table, "__getitem__"):
        return _of_frame(table)
    if isinstance(table, str | bytes) or not isinstance(table, Iterable):
        raise RowError(f"got {_shown(table)}; {_SHAPES}")
    return _of_records(list(table))


def column_names(names: Sequence[Any]) -> dict[str, Any]:
    """Which of the names is the time and which each of the five values; DataError says what is missing."""
    plain: dict[str, Any] = {}
    for name in names:
        plain.setdefault("".join(filter(str.isalnum, str(name).lower())), name)
    found = {"time": next((plain[each] for each in _TIME_NAMES if each in plain), None)}
    for value, aliases in _VALUE_NAMES.items():
        found[value] = next((plain[each] for each in aliases if each in plain), None)
    if found["volume"] is None:  # "Volume BTC", "Volume USDT": the first one is the base currency's
        found["volume"] = next((each for text, each in plain.items() if text.startswith("volume")), None)
    missing = [each for each in COLUMNS if found[each] is None]
    if missing:
        raise DataError(f"no column for {', '.join(missing)}; the columns are {', '.join(map(str, names))}")
    return found


def is_header(cells: Sequence[str]) -> bool:
    """Whether the cells are names of candle columns rather than a first row."""
    plain = {"".join(filter(str.isalnum, each.lower())) for each in cells}
    return bool(plain & {"open", "o", "openprice"}) or bool(plain & {"close", "c", "closeprice"})


def _of_names(names: Sequence[Any], column: Callable[[Any], Any], index: Any = None) -> Rows:
    found = column_names(names)
    if found["time"] is None and index is None:
        raise RowError(f"no column for the time; the columns are {', '.join(map(str, names))}")
    times = milliseconds(index if found["time"] is None else column(found["time"]))
    return _equal(Rows(times, *(_floats(column(found[name]), name) for name in COLUMNS)))


def _of_frame(frame: Any) -> Rows:
    names = list(frame.columns)
    index = getattr(frame, "index", None)
    dated = index is not None and getattr(index, "dtype", None) is not None and str(index.dtype).startswith("datetime")
    named = index is not None and str(getattr(index, "name", "")).lower() in _TIME_NAMES
    return _of_names(names, lambda name: frame[name], index if dated or named else None)


def _of_array(array: np.ndarray[Any, Any]) -> Rows:
    if array.dtype.names:
        return _of_names(array.dtype.names, lambda name: array[name])
    if array.size == 0:
        return _empty()
    if array.ndim == 1 and array.dtype == object:
        return _of_records(array.tolist())
    if array.ndim != 2 or array.shape[1] < _WIDTH:
        raise RowError(f"got an array of shape {array.shape}; {_SHAPES}")
    return Rows(milliseconds(array[:, 0]), *(_floats(array[:, k], name) for k, name in enumerate(COLUMNS, start=1)))


def _of_records(records: list[Any]) -> Rows:
    if not records:
        return _empty()
    first = records[0]
    if isinstance(first, Mapping):
        return _of_mappings(records)
    if isinstance(first, Candle):
        return _of_objects(records)
    if isinstance(first, list | tuple | np.ndarray):
        return _of_sequences(records)
    if all(hasattr(first, name) for name in ("timestamp", *COLUMNS)):
        return _of_objects(records)
    raise RowError(f"got {_shown(first)} as a row; {_SHAPES}", row=0)


def _of_mappings(records: list[Any]) -> Rows:
    def column(name: Any) -> list[Any]:
        try:
            return [each[name] for each in records]
        except (KeyError, TypeError, IndexError):
            bad = next(row for row, each in enumerate(records) if not isinstance(each, Mapping) or name not in each)
            raise RowError(f"row {bad} has no {name!r}: {_shown(records[bad])}", row=bad) from None

    return _of_names(list(records[0]), column)


def _of_objects(records: list[Any]) -> Rows:
    try:
        table = [[getattr(each, name) for name in ("timestamp", *COLUMNS)] for each in records]
    except AttributeError as error:
        raise RowError(f"a row is not a candle: {error}") from None
    return _of_sequences(table)


def _of_sequences(records: list[Any]) -> Rows:
    try:
        columns = list(zip(*records, strict=True))
    except (ValueError, TypeError):
        columns = []
    if len(columns) < _WIDTH:
        bad = next((row for row, each in enumerate(records) if not _is_row(each, len(records[0]))), 0)
        raise RowError(f"row {bad} is not [time, open, high, low, close, volume]: {_shown(records[bad])}", row=bad)
    return Rows(milliseconds(columns[0]), *(_floats(columns[k], name) for k, name in enumerate(COLUMNS, start=1)))


def _is_row(record: Any, width: int) -> bool:
    return isinstance(record, list | tuple | np.ndarray) and len(record) == width >= _WIDTH


def _floats(column: Any, name: str) -> Floats:
    if hasattr(column, "to_numpy"):
        column = column.to_numpy()
    values = column if isinstance(column, np.ndarray) else np.asarray(column, dtype=_kind(column))
    if values.dtype == np.float64:
        return values
    try:
        if values.dtype.kind not in "iufbSUO":
            raise TypeError
        return values.astype(np.float64)
    except (ValueError, TypeError):
        bad = next((row for row, each in enumerate(values.tolist()) if not _is_float(each)), 0)
        raise RowError(f"row {bad}: {name} {values[bad]!r} is not a number", row=bad) from None


def _kind(column: Any) -> Any:
    return None if {type(each) for each in column} <= {int, float} else object


def _is_float(value: Any) -> bool:
    try:
        float(value)
    except (ValueError, TypeError):
        return False
    return True


def _equal(rows: Rows) -> Rows:
    lengths = {name: len(getattr(rows, name)) for name in ("time", *COLUMNS)}
    if len(set(lengths.values())) != 1:
        raise RowError(f"the columns differ in length: {lengths}")
    return rows


def _empty() -> Rows:
    return Rows(np.empty(0, dtype=np.int64), *(np.empty(0) for _ in COLUMNS))


def _shown(value: Any, most: int = 80) -> str:
    text = repr(value)
    return f"{text[:most]}{'…' if len(text) > most else ''} ({type(value).__name__})"
