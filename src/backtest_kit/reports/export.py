"""Rows into files: `export(rows, "events.parquet")`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from backtest_kit.errors import ConfigError
from backtest_kit.reports.encoders import ENCODERS
from backtest_kit.reports.files import write_whole
from backtest_kit.reports.rows import Rows


def export(rows: Iterable[Struct], path: str | os.PathLike[str], format: str | None = None) -> Path:  # noqa: A002 - the word of the trade
    """Writes trades, events or other rows as CSV, JSON lines or parquet; returns the path.

    The format is told by the ending of the path (`.csv`, `.jsonl`, `.parquet`), or by `format`. Rows may come from an
    iterator and be more than memory holds: they are written as they come. The file is there as a whole or not at all.
    In CSV text that a spreadsheet would take for a formula gets an apostrophe in front; JSON lines can be read back.
    Of an iterator all rows have to be of one kind, or events of books.

    Raises ConfigError naming the path for another ending, and when it cannot be written.
    """
    name = Path(path).suffix if format is None else format
    encoder = ENCODERS.get(name.lower().removeprefix("."))
    if encoder is None:
        *others, last = (f".{each}" for each in ENCODERS)
        given = f"not {name!r}" if name else "and this path has no ending"
        raise ConfigError(f"{os.fspath(path)} cannot be written: files end in {', '.join(others)} or {last}, {given}")
    return write_whole(path, encoder(rows, rows.kind if isinstance(rows, Rows) else None))
