"""Commands to positions and waiting signals: what was asked for, what was carried out, what was refused and why."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from backtest_kit.core.events import Committed, Event
from backtest_kit.reports.kinds.life import in_time, signal_of
from backtest_kit.reports.metrics import Metric, lines
from backtest_kit.reports.report import Report, Subject, Table
from backtest_kit.reports.rows import Rows
from backtest_kit.reports.tables import Column, count, minute, multiple, price


class CommandCount(Struct, frozen=True):
    """How often one command was carried out, and how often refused."""

    command: str
    accepted: int
    refused: int


class CommitStatistics(Subject, frozen=True):
    """All commands in order of time, and how they went, by kind."""

    rows: Rows[Committed]
    total: int
    accepted: int
    refused: int
    by_command: tuple[CommandCount, ...]

    def report(self, title: str = "Commands of strategies") -> Report[Committed]:
        return Report(
            title=title,
            heading="Commands",
            columns=COLUMNS,
            rows=self.rows,
            empty="No commands have been given yet.",
            summary=lines(METRICS, self),
            tables=(Table("By command", COMMAND_COLUMNS, self.by_command),),
        )


def strategy_commits(events: Iterable[Event]) -> CommitStatistics:
    """The statistics of all commands among `events`."""
    rows = Rows(in_time(each for each in events if type(each) is Committed), Committed)
    counts: dict[str, list[int]] = {}
    for each in rows:
        counts.setdefault(each.command, [0, 0])[0 if each.accepted else 1] += 1
    by_command = tuple(CommandCount(name, *counts[name]) for name in sorted(counts))
    accepted = sum(each.accepted for each in by_command)
    return CommitStatistics(rows, len(rows), accepted, len(rows) - accepted, by_command)


def _signal_id(event: Committed) -> str | None:
    signal = signal_of(event)
    return signal.id if signal is not None else None


def _side(event: Committed) -> str | None:
    signal = signal_of(event)
    return signal.position if signal is not None else None


METRICS = (
    Metric("total", "Commands", "", count),
    Metric("accepted", "Carried out", "", count),
    Metric("refused", "Refused", "", count),
)

COMMAND_COLUMNS: tuple[Column[CommandCount], ...] = (
    Column("command", "Command", lambda row: row.command),
    Column("accepted", "Carried out", lambda row: row.accepted, count),
    Column("refused", "Refused", lambda row: row.refused, count),
)

COLUMNS: tuple[Column[Committed], ...] = (
    Column("time", "Time (UTC)", lambda row: row.time, minute),
    Column("symbol", "Symbol", lambda row: row.symbol),
    Column("strategy_name", "Strategy", lambda row: row.strategy_name),
    Column("signal_id", "Signal", _signal_id),
    Column("position", "Side", _side),
    Column("command", "Command", lambda row: row.command),
    Column("price", "Price", lambda row: row.price, price),
    Column("amount", "Amount", lambda row: row.amount, multiple),
    Column("accepted", "Answer", lambda row: "carried out" if row.accepted else "refused"),
    Column("reason", "Reason", lambda row: row.reason),
)
