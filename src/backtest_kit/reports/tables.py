"""Tables as data: columns that know their title, their value and its format; rows become Markdown.

Text that users, markets or language models wrote can neither break a table, nor bring HTML or formulas with
it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeAlias, TypeVar

from msgspec import Struct

from backtest_kit.core.values import Time
from backtest_kit.errors import ConfigError, UnknownNameError
from backtest_kit.reports.trades import Trade

Row = TypeVar("Row")

NOT_AVAILABLE = "N/A"
ALL = "*"
MAX_CELL = 200  # characters: a note of a language model can be pages long
_ESCAPES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;"} | {each: "\\" + each for each in "\\`|[]*~"},
)
_NUMBERS = (float, int, bool)


def plain(value: object, most: int = MAX_CELL) -> str:
    """Text as one Markdown cell: one line, nothing invisible, no markup, at most `most` characters of it."""
    text = " ".join(str(value).split())
    if not text.isprintable():
        text = "".join(each for each in text if each.isprintable())
    return (text if len(text) <= most else text[: most - 1] + "…").translate(_ESCAPES)


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


def one_line(value: object, most: int = 60) -> str:
    """Text of the user as one line without anything invisible, cut off after `most` characters."""
    text = "".join(each for each in " ".join(str(value).split()) if each.isprintable())
    return text if len(text) <= most else text[: most - 1] + "…"


def share_text(percent: float) -> str:
    """A percentage that never says 0 or all where it is not quite."""
    return f"{percent:.0f} %" if 0.5 <= percent < 99.5 or percent in (0, 100) else f"{percent:.2f} %"


def multiple(value: float) -> str:
    """A factor without needless digits: 1, 2.5."""
    return f"{value:g}"


class Column(Struct, Generic[Row], frozen=True):
    """One column: `key` is its name, `title` heads it, `value` reads it from a row, `format` writes it.

    A value of None is written as N/A. What is no number is made plain after `format`, whatever that returns.
    """

    key: str
    title: str
    value: Callable[[Row], Any]
    format: Callable[[Any], str] = plain

    def cell(self, row: Row) -> str:
        value = self.value(row)
        if value is None:
            return NOT_AVAILABLE
        text = self.format(value)
        return text if self.format is plain or type(value) in _NUMBERS else plain(text)


Columns: TypeAlias = Iterable[str | Column[Row]] | None
"""A choice of columns: keys of known ones and `Column`s of one's own, in order; None for the usual ones."""


def chosen(
    usual: Sequence[Column[Row]], wanted: Columns[Row], further: Sequence[Column[Row]] = ()
) -> tuple[Column[Row], ...]:
    """The columns of a table: `wanted` in its order, or `usual` where it is None.

    A key stands for the column of that name among `usual` and `further`, a `Column` for itself, and "*" for all usual
    ones that are not named beside it: `["*", Column("r", "R", …)]` adds one, or replaces that of the same key. A key
    that is named twice keeps its first place and its last meaning. Raises UnknownNameError for a key that there is not,
    and ConfigError for no columns at all.
    """
    if wanted is None:
        return tuple(usual)
    asked = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    known = {each.key: each for each in (*usual, *further)}
    named = {each.key if isinstance(each, Column) else each for each in asked}
    found: dict[str, Column[Row]] = {}
    for each in asked:
        if isinstance(each, Column):
            found[each.key] = each
        elif each == ALL:
            found |= {column.key: column for column in usual if column.key not in named}
        elif each in known:
            found[each] = known[each]
        else:
            raise UnknownNameError("column", str(each), known)
    if not found:
        raise ConfigError("a table needs at least one column; None gives the usual ones")
    return tuple(found.values())


def markdown_table(columns: Sequence[Column[Row]], rows: Iterable[Row]) -> str:
    """A Markdown table: heading, rule, one line a row; without a line feed at the end."""
    lines = [[plain(each.title) for each in columns], ["---"] * len(columns)]
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

FURTHER_TRADE_COLUMNS: tuple[Column[Trade], ...] = (
    Column("signal_id", "Signal", lambda trade: trade.signal_id),
    Column("price_take_profit", "Take profit", lambda trade: trade.price_take_profit, price),
    Column("price_stop_loss", "Stop loss", lambda trade: trade.price_stop_loss, price),
    Column("fees", "Fees", lambda trade: trade.fees, two_digits),
    Column("slippage", "Slippage", lambda trade: trade.slippage, two_digits),
    Column("peak_at", "Best at (UTC)", lambda trade: trade.peak_at, minute),
    Column("peak_price", "Best price", lambda trade: trade.peak_price, price),
    Column("trough_at", "Worst at (UTC)", lambda trade: trade.trough_at, minute),
    Column("trough_price", "Worst price", lambda trade: trade.trough_price, price),
    Column("ambiguous", "Ambiguous", lambda trade: "yes" if trade.ambiguous else "no"),
    Column("pnl_percent_if_ambiguous", "Otherwise %", lambda trade: trade.pnl_percent_if_ambiguous, four_digits),
)
"""Columns that a trades table shows only when they are asked for."""
