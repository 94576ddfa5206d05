"""A report on one subject: what it is about, figures over all of its rows, and the rows themselves as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from typing import Any, Generic, Literal, TypeVar

from msgspec import Struct

from backtest_kit.reports.metrics import Line
from backtest_kit.reports.rows import Rows
from backtest_kit.reports.tables import Column, Columns, chosen, count, markdown_table, plain

Row = TypeVar("Row", bound=Struct)
Self = TypeVar("Self", bound="Subject")

MAX_ROWS = 250
MAX_COUNTS = 50  # rows of a small table; reasons with numbers in them can be as many as there are refusals


class Count(Struct, frozen=True):
    """How often something was met."""

    name: str
    number: int


class Table(Struct, Generic[Row], frozen=True):
    """A small table of a report beside its rows: how they divide by something."""

    title: str
    columns: tuple[Column[Row], ...]
    rows: tuple[Row, ...]

    def to_markdown(self) -> str:
        """Heading and table; of very many rows the first 50, and how many there are."""
        cut = f"The first {MAX_COUNTS} of {len(self.rows)}.\n\n" if len(self.rows) > MAX_COUNTS else ""
        return f"## {plain(self.title)}\n\n{cut}{markdown_table(self.columns, self.rows[:MAX_COUNTS])}"


class Report(Struct, Generic[Row], frozen=True, kw_only=True):
    """A report as data. `title` may hold names of the user's: it is made plain where it is written.

    `summary` and `tables` are over all `rows`. `columns` are the usual ones, `further` those that may be asked for too.
    `empty` is the sentence that stands for all of this when there is no row. `keep` says which rows stay when there are
    too many: the last of those in time, the first of a ranking.
    """

    title: str
    heading: str
    columns: tuple[Column[Row], ...]
    rows: Rows[Row]
    empty: str
    summary: tuple[Line, ...] = ()
    notes: tuple[str, ...] = ()
    tables: tuple[Table[Any], ...] = ()
    further: tuple[Column[Row], ...] = ()
    keep: Literal["last", "first"] = "last"

    def to_markdown(self, columns: Columns[Row] = None, max_rows: int | None = MAX_ROWS) -> str:
        """The report as Markdown, with at most `max_rows` rows (None: all of them).

        `columns` chooses, orders and adds, see `chosen`; it raises UnknownNameError for a name that no column has.
        """
        wanted = chosen(self.columns, columns, self.further)
        parts = [f"# {plain(self.title)}"]
        if not self.rows:
            return "\n\n".join([*parts, self.empty, *map(plain, self.notes)]) + "\n"
        parts += map(plain, self.notes)
        if self.summary:
            parts.append("## Figures\n\n" + bullets(self.summary))
        parts += [each.to_markdown() for each in self.tables if each.rows]
        parts.append(f"## {plain(self.heading)}\n\n{listed(wanted, self.rows, max_rows, self.keep)}")
        return "\n\n".join(parts) + "\n"


class Subject(Struct, frozen=True):
    """The statistics of one subject, as data: rows and figures over them, which know how they are reported.

    They may be awaited or not.
    """

    def report(self, title: str = "") -> Report[Any]:
        """The report, as data; every subject has a title of its own for it."""
        raise NotImplementedError(f"{type(self).__name__} has no report")

    def to_markdown(self, title: str = "", columns: Columns[Any] = None, max_rows: int | None = MAX_ROWS) -> str:
        """The report as Markdown, see `Report.to_markdown`; with the subject's own title where none is given."""
        report = self.report(title) if title else self.report()
        return report.to_markdown(columns, max_rows)

    def __await__(self: Self) -> Generator[None, None, Self]:
        return self
        yield


def bullets(lines: Iterable[Line]) -> str:
    """Figures as a Markdown list: name, value, and in brackets the reason where there is none."""
    return "\n".join(
        f"- {plain(each.name)}: {plain(each.text)}{f' ({plain(each.why)})' if each.why else ''}" for each in lines
    )


def listed(
    columns: Sequence[Column[Row]], rows: Sequence[Row], max_rows: int | None, keep: Literal["last", "first"] = "last"
) -> str:
    """The last (or first) `max_rows` rows as a Markdown table, below a sentence that says how many of how many."""
    most = len(rows) if max_rows is None else max(0, max_rows)
    shown = rows[:most] if keep == "first" else rows[max(0, len(rows) - most) :]
    which = f"All {len(rows)}." if len(shown) == len(rows) else f"The {keep} {len(shown)} of {len(rows)}."
    return f"{which} The metrics are over all of them.\n\n{markdown_table(columns, shown)}"


def counted(names: Iterable[str]) -> tuple[Count, ...]:
    """How often each name occurs: the most frequent first, equals by name."""
    return tuple(Count(name, number) for name, number in sorted(Counter(names).items(), key=_by_number))


def _by_number(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def counts_table(heading: str, counts: tuple[Count, ...]) -> Table[Count]:
    """Counts as a table "By <heading>"."""
    name: Column[Count] = Column("name", heading, lambda row: row.name)
    return Table(f"By {heading.lower()}", (name, Column("number", "Number", lambda row: row.number, count)), counts)
