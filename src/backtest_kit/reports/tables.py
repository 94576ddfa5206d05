"""Tables as data: columns that know their title, their value and its format; rows become Markdown or CSV.

Text that users, markets or language models wrote can neither break a table, nor bring HTML or formulas with
it.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from msgspec import Struct

from backtest_kit.core.values import Time
from backtest_kit.reports.trades import Trade

Row = TypeVar("Row")

NOT_AVAILABLE = "N/A"
MAX_CELL = 200  # characters: a note of a language model can be pages long
_ESCAPES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;"} | {each: "\\" + each for each in "\\`|[]*~"},
)
_FORMULA = ("=", "+", "-", "@", "\t", "\n")


def plain(value: object) -> str:
    """Text as one Markdown cell: one line, nothing invisible, no markup, at most 200 characters of it."""
    text = " ".join(str(value).split())
    text = "".join(each for each in text if each.isprintable())
    return (text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + "…").translate(_ESCAPES)


def minute(time: Time) -> str:
    """Epoch ms as an ISO minute in UTC: 2024-01-31T13:05Z."""
    return datetime.fromtimestamp(time / 1000, UTC).strftime("%Y-%m-%dT%H:%MZ")


def price(value: float) -> str:
    """A price to six significant digits, and at least two decimals: 42123.40, 1.23456, 0.0000123456."""
    if value == 0 or not math.isfinite(value):
        return f"{value:.2f}"
    return f"{value:.{max(2, 5 - math.floor(math.log10(abs(value))))}f}"


def count(value: float) -> str:
    return f"{value:.0f}"


def one_digit(value: float) -> str:
    return f"{value:.1f}"


def two_digits(value: float) -> str:
    return f"{value:.2f}"


def four_digits(value: float) -> str:
    return f"{value:.4f}"


def multiple(value: float) -> str:
    """A factor without needless digits: 1, 2.5."""
    return f"{value:g}"


class Column(Struct, Generic[Row], frozen=True):
    """One column: `key` is its name, `title` heads it, `value` reads it from a row, `format` writes it.

    A value of None is written as N/A.
    """

    key: str
    title: str
    value: Callable[[Row], Any]
    format: Callable[[Any], str] = plain

    def cell(self, row: Row) -> str:
        value = self.value(row)
        return NOT_AVAILABLE if value is None else self.format(value)


def markdown_table(columns: Sequence[Column[Row]], rows: Iterable[Row]) -> str:
    """A Markdown table: heading, rule, one line a row; without a line feed at the end."""
    lines = [[each.title for each in columns], ["---"] * len(columns)]
    lines += [[each.cell(row) for each in columns] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


TRADE_COLUMNS: tuple[Column[Trade], ...] = (
    Column("closed_at", "Closed (UTC)", lambda trade: trade.closed_at, minute),
    Column("symbol", "Symbol", lambda trade: trade.symbol),
    Column("strategy_name", "Strategy", lambda trade: trade.strategy_name),
    Column("position", "Side", lambda trade: trade.position),
    Column("opened_at", "Opened (UTC)", lambda trade: trade.opened_at, minute),
    Column("duration_minutes", "Minutes", lambda trade: trade.duration_minutes, count),
    Column("price_open", "Entry", lambda trade: trade.price_open, price),
    Column("price_close", "Exit", lambda trade: trade.price_close, price),
    Column("cost", "Invested", lambda trade: trade.cost, two_digits),
    Column("pnl_percent", "Profit %", lambda trade: trade.pnl_percent, four_digits),
    Column("pnl_cost", "Profit", lambda trade: trade.pnl_cost, two_digits),
    Column("peak_pnl_percent", "Best %", lambda trade: trade.peak_pnl_percent, two_digits),
    Column("trough_pnl_percent", "Worst %", lambda trade: trade.trough_pnl_percent, two_digits),
    Column("close_reason", "Closed by", lambda trade: trade.close_reason),
    Column("entries", "Entries", lambda trade: trade.entries, count),
    Column("partials", "Partials", lambda trade: trade.partials, count),
    Column("leverage", "Leverage", lambda trade: trade.leverage, multiple),
    Column("note", "Note", lambda trade: trade.note),
)
"""The columns of a trades table, in their order; a table of one's own picks from them by `key`."""

CSV_FIELDS = (*Trade.__struct_fields__, "duration_minutes")


def trades_csv(trades: Iterable[Trade]) -> str:
    """All trades with all their fields as CSV: times ISO in UTC, numbers in full, None as an empty cell.

    A text that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_FIELDS)
    writer.writerows([_csv_cell(name, getattr(trade, name)) for name in CSV_FIELDS] for trade in trades)
    return out.getvalue()


def _csv_cell(name: str, value: object) -> object:
    if isinstance(value, str):
        text = value.replace("\r\n", "\n").replace("\r", "\n")
        return "'" + text if text.lstrip(" ").startswith(_FORMULA) else text
    if name in ("opened_at", "closed_at") and isinstance(value, int):
        return datetime.fromtimestamp(value / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(value).lower() if isinstance(value, bool) else value
