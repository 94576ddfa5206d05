"""Rows as the content of files: CSV, JSON lines and parquet, made piece by piece: memory does not grow with them.

CSV and parquet have the flat columns of `reports.flat`; JSON lines hold every row as it is, with all that is inside
it, and can be read back. Text that a spreadsheet would take for a formula is made harmless in CSV.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Any, TypeAlias

import msgspec
import numpy as np
from msgspec import Struct

from backtest_kit.core.values import Time
from backtest_kit.errors import ConfigError
from backtest_kit.reports.flat import Cell, FieldType, Sheet, fields_of, laid_out, text_cell
from backtest_kit.reports.trades import Trade

Encoder: TypeAlias = Callable[[Iterable[Struct], type | None], Iterator[bytes]]

CSV_FIELDS = tuple(field.name for field in fields_of(Trade))
_EPOCH = datetime(1970, 1, 1)
_BATCH = 1_000  # rows encoded at once
_BATCHES_A_GROUP = 32  # of parquet: large enough to compress well, small enough to be held
# Blanks and invisible characters in front do not hinder a spreadsheet, nor do the wide forms of East Asian keyboards.
_FORMULA = re.compile("[\\s\u200b-\u200f\u2060\ufeff]*[=+\\-@＝＋－＠]|[ ]*[\t\n]")  # fmt: skip
_UNSEEN = dict.fromkeys([*range(9), 11, 12, *range(14, 32), 127])


def csv_pieces(rows: Iterable[Struct], kind: type | None = None) -> Iterator[bytes]:
    """Rows as CSV with a heading (UTF-8): times ISO in UTC, numbers in full, None as an empty cell.

    `kind` is what the rows are, so that there is a heading also when there is no row.
    """
    sheet, rows = laid_out(rows, kind)
    if sheet.fields:
        yield _csv([list(sheet.names)])
    for batch in _batches(rows):
        columns = zip(sheet.fields, sheet.columns(batch), strict=True)
        yield _csv(zip(*(_csv_column(each, cells) for (_name, each), cells in columns), strict=True))


def trades_csv(trades: Iterable[Trade]) -> str:
    """All trades with all their fields as CSV, without their orders and milestones."""
    return b"".join(csv_pieces(trades, Trade)).decode()


def json_line_pieces(rows: Iterable[Struct], kind: type | None = None) -> Iterator[bytes]:
    """Rows as JSON, one a line, as `msgspec.json.decode(line, type=…)` reads them; NaN and infinity become null."""
    del kind
    for batch in _batches(rows):
        yield b"".join(json_line(row) for row in batch)


def json_line(row: Struct) -> bytes:
    """A row as one line of JSON, the line feed included."""
    if not isinstance(row, Struct):
        fields_of(type(row))
    try:
        return _JSON.encode(row) + b"\n"
    except UnicodeEncodeError:  # a lone surrogate somewhere in its texts
        return _JSON.encode(_encodable(msgspec.to_builtins(row, enc_hook=_plain))) + b"\n"


def parquet_pieces(rows: Iterable[Struct], kind: type | None = None) -> Iterator[bytes]:
    """Rows as a parquet file with typed columns, in groups of 32,000 rows. Raises ConfigError without `pyarrow`."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise missing_package("pyarrow", "parquet") from error
    sheet, rows = laid_out(rows, kind)
    types = {"text": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
    types["time"] = pa.timestamp("ms", tz="UTC")
    schema = pa.schema([(name, types[each]) for name, each in sheet.fields])
    sink = _Pieces()
    with pq.ParquetWriter(sink, schema) as writer:
        batches = (_record_batch(pa, schema, sheet, batch) for batch in _batches(rows))
        while group := list(islice(batches, _BATCHES_A_GROUP)):
            writer.write_table(pa.Table.from_batches(group))
            yield sink.taken()
    yield sink.taken()


ENCODERS: Mapping[str, Encoder] = {"csv": csv_pieces, "jsonl": json_line_pieces, "parquet": parquet_pieces}
"""How rows are encoded, by the name of the format, which is also how its files end."""


def missing_package(package: str, what: str) -> ConfigError:
    """The error of an optional package that is not there: `what` cannot be done without it."""
    return ConfigError(f"{what} needs {package}, which is not installed: pip install 'backtest-kit[dataframes]'")


@lru_cache(maxsize=1024)  # names and sides come again and again
def csv_text(value: str) -> str:
    """Text as a CSV cell that no spreadsheet takes for a formula, without invisible control characters."""
    text = value.replace("\r\n", "\n").replace("\r", "\n").translate(_UNSEEN)
    return "'" + text if _FORMULA.match(text) else text


@lru_cache(maxsize=8192)
def iso(time: Time) -> str:
    """Epoch ms as ISO 8601 in UTC: 2024-01-31T13:05:00Z, with milliseconds where there are some."""
    moment = _EPOCH + timedelta(milliseconds=time)
    return moment.isoformat(timespec="milliseconds" if time % 1000 else "seconds") + "Z"


_CSV_CELLS: dict[FieldType, Callable[[Any], Cell]] = {
    "text": csv_text,
    "time": iso,
    "bool": lambda value: "true" if value else "false",
}


def _csv_column(kind: FieldType, cells: list[Cell]) -> list[Cell]:
    write = _CSV_CELLS.get(kind)
    return cells if write is None else [None if cell is None else write(cell) for cell in cells]


def _csv(lines: Iterable[Iterable[Any]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(lines)
    return out.getvalue().encode()


def _batches(rows: Iterable[Struct]) -> Iterator[list[Struct]]:
    rest = iter(rows)
    while batch := list(islice(rest, _BATCH)):
        yield batch


def _record_batch(pa: Any, schema: Any, sheet: Sheet, rows: list[Struct]) -> Any:
    columns = zip(sheet.columns(rows), schema, strict=True)
    return pa.RecordBatch.from_arrays([pa.array(cells, field.type) for cells, field in columns], schema=schema)


class _Pieces(io.RawIOBase):
    """A file that is never held as a whole: what was written since the last time can be taken from it."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._at = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def write(self, piece: Any) -> int:
        self._pieces.append(bytes(piece))
        self._at += len(self._pieces[-1])
        return len(self._pieces[-1])

    def taken(self) -> bytes:
        taken, self._pieces = b"".join(self._pieces), []
        return taken


def _plain(value: Any) -> Any:
    """What JSON has no form for, as something that it has."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, BaseException):
        return text_cell(f"{type(value).__name__}: {value}")
    raise ConfigError(f"a {type(value).__name__} cannot be written as JSON")


def _encodable(value: Any) -> Any:
    """Builtin values with every lone surrogate in their texts replaced by a question mark."""
    if isinstance(value, str):
        return text_cell(value)
    if isinstance(value, dict):
        return {_encodable(key): _encodable(each) for key, each in value.items()}
    return [_encodable(each) for each in value] if isinstance(value, list | tuple) else value


_JSON = msgspec.json.Encoder(enc_hook=_plain)
