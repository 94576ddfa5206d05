"""Rows of one kind: a tuple that can become a table, a DataFrame or a file.

`Rows` is what a result hands out as its trades and events. Columns are those of `reports.flat`: names in one line,
times as UTC timestamps, a missing value wherever a row has no such field.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path
from typing import Any, SupportsIndex, TypeVar, overload

import numpy as np
from msgspec import Struct

from backtest_kit.core.values import Time
from backtest_kit.errors import ConfigError
from backtest_kit.reports.encoders import csv_pieces, iso, json_line_pieces, missing_package, parquet_pieces
from backtest_kit.reports.files import write_whole
from backtest_kit.reports.flat import Cell, FieldType, Sheet, laid_out

Row_co = TypeVar("Row_co", bound=Struct, covariant=True)

MAX_SHOWN = 250
_MAX_TEXT = 200  # characters of a cell in a notebook
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_TIME = np.iinfo(np.int64).min  # what numpy takes for "not a time"

FilePath = str | os.PathLike[str]


class Rows(tuple[Row_co, ...]):
    """Values of one kind in their order: a tuple, with ways to become something else.

    `kind` is what they are (`Trade`, `Event`), so that a table has its columns also when it has no rows.
    """

    kind: type | None

    def __new__(cls, rows: Iterable[Row_co] = (), kind: type | None = None) -> Rows[Row_co]:
        self = super().__new__(cls, rows)
        self.kind = kind
        return self

    def to_dicts(self) -> list[dict[str, Any]]:
        """Plain records: a dict a row, times as `datetime` in UTC, None for what is missing."""
        sheet = self._sheet()
        as_given: list[Callable[[Any], Any]] = [
            _moment if kind == "time" else _as_it_is for _name, kind in sheet.fields
        ]
        return [
            {name: make(cell) for name, make, cell in zip(sheet.names, as_given, cells, strict=True)}
            for cells in zip(*sheet.columns(self), strict=True)
        ]

    def to_pandas(self) -> Any:
        """A pandas DataFrame: times as UTC timestamps, text as `string`. Raises ConfigError without pandas."""
        try:
            import pandas as pd
        except ImportError as error:
            raise missing_package("pandas", "a pandas DataFrame") from error
        sheet = self._sheet()
        columns = zip(sheet.fields, sheet.columns(self), strict=True)
        return pd.DataFrame({name: _pandas_column(pd, kind, cells) for (name, kind), cells in columns})

    def to_polars(self) -> Any:
        """A polars DataFrame: times as UTC timestamps in ms. Raises ConfigError without polars."""
        try:
            import polars as pl
        except ImportError as error:
            raise missing_package("polars", "a polars DataFrame") from error
        sheet = self._sheet()
        types = {"text": pl.String, "int": pl.Int64, "float": pl.Float64, "bool": pl.Boolean}
        types["time"] = pl.Datetime("ms", "UTC")
        columns = zip(sheet.fields, sheet.columns(self), strict=True)
        return pl.DataFrame([pl.Series(name, cells, dtype=types[kind]) for (name, kind), cells in columns])

    def frame(self) -> Any:
        """The rows as a DataFrame of pandas where that is installed, else of polars, else as plain records."""
        for make in (self.to_pandas, self.to_polars):
            try:
                return make()
            except ConfigError as error:
                if not isinstance(error.__cause__, ImportError):
                    raise
        return self.to_dicts()

    def to_csv(self, path: FilePath | None = None) -> str | Path:
        """The rows as CSV: the text, or the path of the file that was written."""
        pieces = csv_pieces(self, self.kind)
        return b"".join(pieces).decode() if path is None else write_whole(path, pieces)

    def to_jsonl(self, path: FilePath | None = None) -> str | Path:
        """The rows as JSON, one a line, with all that is inside them: the text, or the path of the file written."""
        pieces = json_line_pieces(self, self.kind)
        return b"".join(pieces).decode() if path is None else write_whole(path, pieces)

    def to_parquet(self, path: FilePath) -> Path:
        """Writes the rows as a parquet file. Raises ConfigError without pyarrow, and naming a path that is no good."""
        return write_whole(path, parquet_pieces(self, self.kind))

    def _sheet(self) -> Sheet:
        return laid_out(self, self.kind)[0]

    @overload
    def __getitem__(self, at: SupportsIndex) -> Row_co: ...
    @overload
    def __getitem__(self, at: slice) -> Rows[Row_co]: ...
    def __getitem__(self, at: SupportsIndex | slice) -> Row_co | Rows[Row_co]:
        return Rows(super().__getitem__(at), self.kind) if isinstance(at, slice) else super().__getitem__(at)

    def __add__(self, others: Any) -> Any:
        return Rows(super().__add__(tuple(others)), self.kind) if isinstance(others, tuple) else NotImplemented

    def __radd__(self, others: Any) -> Any:
        return Rows((*others, *self), self.kind) if isinstance(others, tuple) else NotImplemented

    def __repr__(self) -> str:
        kind = self.kind or (type(self[0]) if self else None)
        return f"Rows({len(self):,}{f' of {kind.__name__}' if kind else ''})"

    def _repr_html_(self) -> str:
        sheet, shown = self._sheet(), self[-MAX_SHOWN:]
        head = "".join(f"<th>{escape(name)}</th>" for name in sheet.names)
        body = "".join(f"<tr>{_html_cells(sheet, row)}</tr>" for row in shown)
        which = f"the last {len(shown):,} of {len(self):,} rows" if len(shown) < len(self) else f"{len(self):,} rows"
        return f"<table><caption>{which}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _moment(time: Time | None) -> datetime | None:
    return None if time is None else _EPOCH + timedelta(milliseconds=time)


def _as_it_is(cell: Any) -> Any:
    return cell


def _pandas_column(pd: Any, kind: FieldType, cells: list[Any]) -> Any:
    missing = None in cells
    if kind == "time":
        stamps = np.array([_NO_TIME if cell is None else cell for cell in cells], dtype=np.int64)
        return pd.Series(stamps.view("datetime64[ms]")).dt.tz_localize("UTC")
    if kind == "float":
        return pd.Series([np.nan if cell is None else cell for cell in cells], dtype="float64")
    nullable = {"text": "string", "int": "Int64", "bool": "boolean"}[kind]
    plain = {"text": "string", "int": "int64", "bool": "bool"}[kind]
    return pd.Series(cells, dtype=nullable if missing else plain)


def _html_cells(sheet: Sheet, row: Struct) -> str:
    kinds = (kind for _name, kind in sheet.fields)
    return "".join(f"<td>{_html_text(kind, cell)}</td>" for kind, cell in zip(kinds, sheet.cells(row), strict=True))


def _html_text(kind: FieldType, cell: Cell) -> str:
    if cell is None:
        return "N/A"
    text = iso(cell) if kind == "time" and isinstance(cell, int) else str(cell)
    if kind == "float":
        text = f"{cell:.10g}"
    return escape(text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…")
