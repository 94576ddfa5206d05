"""An exchange over candle files: CSV (also gzipped), numpy and, where a reader is installed, parquet."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Mapping, Sequence
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from backtest_kit.core.candles import COLUMNS, Candles
from backtest_kit.core.rows import Rows, column_names, is_header, rows_of
from backtest_kit.core.stamps import RowError, milliseconds
from backtest_kit.core.values import Interval
from backtest_kit.errors import ConfigError, DataError, nearest_names
from backtest_kit.exchanges.rows import Format, TableExchange, candles_of

_ENDINGS = (".csv", ".csv.gz", ".npy", ".parquet")
_NAME = re.compile(
    r"^(?P<symbol>.+?)(?:[-_.](?P<interval>\d+[mhdw]))?(?:[-_.]\d{4}(?:[-_.]?\d\d){0,2})?$", re.IGNORECASE
)
_ALONE = re.compile(r"^(?P<interval>\d+[mhdw])(?:[-_.]\d{4}(?:[-_.]?\d\d){0,2})?$", re.IGNORECASE)
_LEAD_LINES = 5  # lines within which the table must begin; some sources put their name above the header
_WIDTH = 1 + len(COLUMNS)

FilePath = str | PathLike[str]


class FileExchange(TableExchange):
    """Candles from files: `FileExchange("candles")`, `FileExchange({"BTCUSDT": "btc.csv.gz"})`.

    A folder holds files named after their symbols (`BTCUSDT.csv`, `BTCUSDT-1m.csv.gz`,
    `BTCUSDT-1m-2024-01.csv`, `BTCUSDT/1m.npy`); several of one symbol and interval are read one after another
    in the order of their names. A single file serves every symbol. CSV has a header with the usual names, in
    any case and order, or none and then the columns time, open, high, low, close, volume; `.npy` holds such
    columns or named fields; parquet needs the extra `dataframes`. Times are seconds, milliseconds,
    microseconds or ISO 8601. Nothing is read before it is asked for; errors name file and line.
    """

    def __init__(
        self,
        path: FilePath | Mapping[str, FilePath | Sequence[FilePath]],
        *,
        interval: str | None = None,
        format_price: Format | None = None,
        format_quantity: Format | None = None,
    ) -> None:
        super().__init__(format_price=format_price, format_quantity=format_quantity)
        self._interval = None if interval is None else Interval.parse(interval)
        self._files, self._any = _found(path)

    def symbols(self) -> Sequence[str]:
        """The symbols that there are files for; none for a single file, which serves any symbol."""
        return tuple(self._files)

    def _load(self, symbol: str) -> Mapping[Interval, Candles] | None:
        groups = self._any or next(
            (files for name, files in self._files.items() if _plain(name) == _plain(symbol)), None
        )
        if groups is None:
            return None
        tables = [self._table_of(symbol, label, files) for label, files in groups.items()]
        return {each.interval: each for each in tables}

    def _table_of(self, symbol: str, label: str, files: Sequence[Path]) -> Candles:
        interval = Interval.parse(label.lower()) if label else self._interval
        if len(files) == 1:
            return _candles(files[0], read_rows(files[0]), symbol, interval)
        parts = [_candles(each, read_rows(each), symbol, interval) for each in files]
        joined = [np.concatenate([_column(part, name) for part in parts]) for name in ("time", *COLUMNS)]
        whole = Rows(*joined)
        present = ~np.isnan(whole.close)
        return candles_of(
            dict(zip(("time", *COLUMNS), (each[present] for each in joined), strict=True)),
            symbol,
            parts[0].interval,
        )


def read_rows(path: Path) -> Rows:
    """The rows of one file of any of the kinds.

    Raises DataError naming the file and, where there is one, the line.
    """
    name = path.name.lower()
    try:
        if name.endswith(".npy"):
            return rows_of(np.load(path, mmap_mode="r", allow_pickle=False))
        if name.endswith(".parquet"):
            return rows_of(_parquet(path))
        return _csv(path)
    except RowError as error:
        raise _in_file(path, error) from None
    except (OSError, EOFError, zlib.error, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be read: {error}") from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _found(path: Any) -> tuple[dict[str, dict[str, list[Path]]], dict[str, list[Path]] | None]:
    """The files of each symbol by interval label ("" for unnamed), and those that serve any symbol."""
    if isinstance(path, Mapping):
        given = {name: [part] if isinstance(part, str | PathLike) else list(part) for name, part in path.items()}
        return {name: {"": [_existing(Path(each)) for each in parts]} for name, parts in given.items()}, None
    folder = _existing(Path(path))
    if folder.is_file():
        return {}, {"": [folder]}
    files: dict[str, dict[str, list[Path]]] = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.name.lower().endswith(_ENDINGS):
            symbol, label = _meaning(file.relative_to(folder))
            files.setdefault(symbol, {}).setdefault(label, []).append(file)
    if not files:
        raise ConfigError(f"{folder} holds no candle files; they end in {', '.join(_ENDINGS)}")
    return files, None


def _meaning(file: Path) -> tuple[str, str]:
    """The symbol and interval label that a path inside the folder names."""
    stem = re.sub(r"(\.csv\.gz|\.csv|\.npy|\.parquet)$", "", file.name, flags=re.IGNORECASE)
    alone = _ALONE.match(stem)
    if alone and len(file.parts) > 1:
        return file.parts[-2], alone["interval"].lower()
    match = _NAME.match(stem)
    return (match["symbol"], (match["interval"] or "").lower()) if match else (stem, "")


def _existing(path: Path) -> Path:
    if path.exists():
        return path
    near = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
    found = nearest_names(path.name, near)
    raise ConfigError(f"{path} does not exist{f'; did you mean {found[0]!r}?' if found else ''}")


def _plain(symbol: str) -> str:
    return "".join(filter(str.isalnum, symbol)).lower()


def _candles(path: Path, rows: Rows, symbol: str, interval: Interval | None) -> Candles:
    columns = {name: getattr(rows, name) for name in ("time", *COLUMNS)}
    try:
        return candles_of(columns, symbol, interval)
    except RowError as error:
        raise _in_file(path, error) from None


def _column(candles: Candles, name: str) -> Any:
    return candles[name]


def _in_file(path: Path, error: RowError) -> DataError:
    """The error with file and line added; lines that are not blank are counted."""
    place = str(path)
    if error.row is not None and path.name.lower().endswith((".csv", ".csv.gz")):
        lines = _lines(_text(path))
        first, _header = _beginning(lines)
        if first + error.row < len(lines):
            place += f" line {lines[first + error.row][0]}"
    return DataError(f"{place}: {error}", symbol=error.symbol, interval=error.interval, first_bad=error.first_bad)


def _text(path: Path) -> str:
    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    return content.decode("utf-8-sig")


def _lines(text: str) -> list[tuple[int, str]]:
    """The lines that are not blank, with their numbers from 1."""
    return [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]


def _cells(line: str) -> list[str]:
    separator = max(",;\t|", key=line.count)
    return [cell.strip().strip('"') for cell in line.split(separator)]


def _beginning(lines: Sequence[tuple[int, str]]) -> tuple[int, list[str] | None]:
    """The place of the first data line among the lines, and the header where there is one."""
    for place, (_number, line) in enumerate(lines[:_LEAD_LINES]):
        cells = _cells(line)
        if len(cells) < _WIDTH:
            continue
        return (place + 1, cells) if is_header(cells) else (place, None)
    raise DataError(
        f"no line has the {_WIDTH} columns time, open, high, low, close, volume; "
        + (f"line {lines[0][0]} is {lines[0][1][:80]!r}" if lines else "the file is empty")
    )


def _csv(path: Path) -> Rows:
    text = _text(path)
    head = _lines(text[:20_000])
    first, names = _beginning(head)
    places = list(range(_WIDTH))
    if names is not None:
        found = column_names(names)
        if found["time"] is None:
            raise DataError(f"no column for the time; the columns are {', '.join(names)}")
        places = [names.index(found[each]) for each in ("time", *COLUMNS)]
    if first >= len(head):
        return rows_of([])
    body = text.split("\n")[head[first][0] - 1 :]
    separator = max(",;\t|", key=head[first][1].count)
    numeric = _is_number(_cells(head[first][1])[places[0]])
    return _parsed(body, separator, places, numeric)


def _parsed(body: list[str], separator: str, places: list[int], numeric: bool) -> Rows:
    """The columns at the given places of lines of text; RowError names the first line that cannot be read."""
    kind = np.dtype([("time", "f8" if numeric else "U35"), *((name, "f8") for name in COLUMNS)])
    try:
        table = np.loadtxt(body, kind, delimiter=separator, comments=None, quotechar='"', usecols=places, ndmin=1)
    except (ValueError, IndexError):
        raise _first_bad(body, separator, places, numeric) from None
    return Rows(milliseconds(table["time"]), *(np.ascontiguousarray(table[name]) for name in COLUMNS))


def _first_bad(body: list[str], separator: str, places: list[int], numeric: bool) -> RowError:
    filled = (line for line in body if line.strip())
    for row, line in enumerate(filled):
        cells = [cell.strip().strip('"') for cell in line.split(separator)]
        if len(cells) <= max(places):
            return RowError(f"{len(cells)} columns where {max(places) + 1} are needed: {line[:80]!r}", row=row)
        for name, place in zip(("time", *COLUMNS), places, strict=True):
            if (numeric or name != "time") and not _is_number(cells[place]):
                return RowError(f"{name} {cells[place]!r} is not a number", row=row)
    return RowError("the table cannot be read", row=0)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _parquet(path: Path) -> Any:
    """The table as columns by the first reader that is installed."""
    readers = (
        (
            "pyarrow.parquet",
            "read_table",
            lambda table: {name: table[name].to_numpy() for name in table.column_names},
        ),
        ("polars", "read_parquet", lambda frame: frame),
    )
    for module, function, columns in readers:
        try:
            return columns(getattr(import_module(module), function)(path))
        except ImportError:
            continue
    raise DataError("reading parquet needs a reader: pip install backtest-kit[dataframes]")
