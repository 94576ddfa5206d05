"""Opening times in whatever form a source writes them, as epoch milliseconds UTC.

Whole numbers and floats are seconds, milliseconds, microseconds or nanoseconds, told apart by their size:
10^11 seconds is the year 5138 and 10^11 milliseconds is 1973, so no time after 1973 is ambiguous. Texts are
ISO 8601 (or numbers); a text or datetime without a zone means UTC.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from backtest_kit.core.candles import Times
from backtest_kit.core.values import MINUTE, Time
from backtest_kit.errors import DataError

_SECONDS_BELOW, _MILLISECONDS_BELOW, _MICROSECONDS_BELOW = 1e11, 1e14, 1e17
_OFFSET_LENGTH = len("+00:00")
_LAST_TIME: Time = 253_402_300_800_000  # the year 10000: what lies beyond cannot be written as a date


class RowError(DataError):
    """A row of a table that cannot be read.

    `row` counts data rows from 0; the caller knows file, line and symbol.
    """

    def __init__(self, message: str, *, row: int | None = None, first_bad: Time | None = None) -> None:
        super().__init__(message, first_bad=first_bad)
        self.row = row


def iso(time: Time) -> str:
    """A time as people write it: "2026-02-01T00:05Z"; seconds only where they are not zero."""
    if not -_LAST_TIME < time < _LAST_TIME:
        return f"{time} ms"
    shown = np.datetime64(time, "ms") if time % MINUTE else np.datetime64(time // MINUTE, "m")
    return f"{shown}Z"


def milliseconds(column: Any) -> Times:
    """A column of times (list, array, pandas or polars series or index) as int64 epoch ms.

    Raises RowError.
    """
    values = _plain(column)
    if values.dtype.kind == "M":
        return _from_datetime64(values)
    if values.dtype.kind in "iuf":
        return _scaled(values)
    if values.dtype.kind in "US":
        return _from_texts(values.astype(str))
    return _from_objects(values.tolist())


def _plain(column: Any) -> np.ndarray[Any, Any]:
    dated = getattr(column, "dt", column)
    if getattr(dated, "tz", None) is not None and hasattr(dated, "tz_localize"):  # pandas: else one Python object a row
        column = dated.tz_convert("UTC")
        column = getattr(column, "dt", column).tz_localize(None)
    if hasattr(column, "to_numpy"):
        column = column.to_numpy()
    if isinstance(column, np.ndarray):
        return column
    kinds = {type(each) for each in column}
    return np.asarray(column, dtype=None if kinds <= {int} or kinds <= {float} or kinds <= {str} else object)


def _scaled(values: np.ndarray[Any, Any]) -> Times:
    if len(values) == 0:
        return np.empty(0, dtype=np.int64)
    if values.dtype.kind == "f":
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise RowError(f"time {values[bad[0]]} is not a time", row=int(bad[0]))
    size = max(abs(float(values.max())), abs(float(values.min())))
    if size < _SECONDS_BELOW:
        return np.rint(values * 1000).astype(np.int64) if values.dtype.kind == "f" else values.astype(np.int64) * 1000
    whole = values if values.dtype == np.int64 else values.astype(np.int64)
    if size < _MILLISECONDS_BELOW:
        return whole
    return whole // (1000 if size < _MICROSECONDS_BELOW else 1_000_000)


def _from_datetime64(values: np.ndarray[Any, Any]) -> Times:
    bad = np.flatnonzero(np.isnat(values))
    if len(bad):
        raise RowError("the time is missing (NaT)", row=int(bad[0]))
    return values.astype("datetime64[ms]").astype(np.int64)


def _from_texts(texts: np.ndarray[Any, Any]) -> Times:
    if len(texts) == 0:
        return np.empty(0, dtype=np.int64)
    if _is_number(str(texts[0])):
        return _scaled(np.array([_number(text, row) for row, text in enumerate(texts.tolist())]))
    try:
        for ending in ("Z", "+00:00"):  # a column of one form is read as a whole: ten times faster
            if np.char.endswith(texts, ending).all() and len(set(np.char.str_len(texts).tolist())) == 1:
                cut = texts.astype(f"U{len(texts[0]) - len(ending)}")
                return cut.astype("datetime64[ms]").astype(np.int64)
        return np.array([_of_text(text) for text in texts.tolist()], dtype=np.int64)
    except ValueError:
        return _one_by_one(texts.tolist())


def _from_objects(values: list[Any]) -> Times:
    if all(isinstance(each, int | float | np.number) and not isinstance(each, bool) for each in values):
        return _scaled(np.array(values))
    return _one_by_one(values)


def _one_by_one(values: Sequence[Any]) -> Times:
    out = np.empty(len(values), dtype=np.int64)
    for row, value in enumerate(values):
        try:
            out[row] = milliseconds_of(value)
        except (ValueError, TypeError, OverflowError):
            raise RowError(f"time {value!r} is not a time", row=row) from None
    return out


def milliseconds_of(value: Any) -> Time:
    """One time in any of the forms above as epoch ms; ValueError or TypeError when it is none."""
    if isinstance(value, str):
        return int(_scaled(np.array([float(value)]))[0]) if _is_number(value) else _of_text(value)
    if isinstance(value, bool) or value is None:
        raise TypeError(f"{value!r} is not a time")
    if isinstance(value, int | float | np.number):
        return int(_scaled(np.array([value]))[0])
    if callable(getattr(value, "timestamp", None)) and value.utcoffset() is not None:
        seconds: float = value.timestamp()
        return round(seconds * 1000)
    found = np.datetime64(value, "ms")
    if np.isnat(found):
        raise ValueError(f"{value!r} is not a time")
    return int(found.astype(np.int64).item())


def _of_text(text: str) -> Time:
    text = text.strip().removesuffix("Z").removesuffix(" UTC")
    tail = text[-_OFFSET_LENGTH:]
    shift = 0
    if len(tail) == _OFFSET_LENGTH and tail[0] in "+-" and tail[3] == ":":
        minutes = int(tail[1:3]) * 60 + int(tail[4:6])
        shift = minutes * MINUTE * (1 if tail[0] == "+" else -1)
        text = text[:-_OFFSET_LENGTH]
    found = np.datetime64(text.strip(), "ms")
    if np.isnat(found):
        raise ValueError(f"{text!r} is not a time")
    return int(found.astype(np.int64)) - shift


def _is_number(text: str) -> bool:
    """Whether a text is a plain number.

    "2024" alone would be a year, but as a stamp it cannot be one of a candle.
    """
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _number(text: str, row: int) -> int | float:
    try:
        return int(text) if text.strip().lstrip("-").isdigit() else float(text)
    except ValueError:
        raise RowError(f"time {text!r} is not a time", row=row) from None
