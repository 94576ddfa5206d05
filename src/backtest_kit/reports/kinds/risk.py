"""Signals that risk profiles refused: how many, by whom and why."""

from __future__ import annotations

from collections.abc import Iterable

from backtest_kit.core.events import Event, RiskRejected
from backtest_kit.reports.kinds.life import in_time
from backtest_kit.reports.metrics import Line
from backtest_kit.reports.report import Count, Report, Subject, counted, counts_table
from backtest_kit.reports.rows import Rows
from backtest_kit.reports.tables import Column, count, minute, price


class RiskStatistics(Subject, frozen=True, kw_only=True):
    """All refusals in order of time, and how they divide; a reason is counted by its id where it has one."""

    rows: Rows[RiskRejected]
    total: int
    by_symbol: tuple[Count, ...]
    by_strategy: tuple[Count, ...]
    by_risk: tuple[Count, ...]
    by_reason: tuple[Count, ...]

    def report(self, title: str = "Refused by risk profiles") -> Report[RiskRejected]:
        return Report(
            title=title,
            heading="Refused signals",
            columns=COLUMNS,
            rows=self.rows,
            empty="No signal has been refused by a risk profile yet.",
            summary=(Line("Refused signals", count(self.total)),),
            tables=(
                counts_table("Symbol", self.by_symbol),
                counts_table("Strategy", self.by_strategy),
                counts_table("Risk profile", self.by_risk),
                counts_table("Reason", self.by_reason),
            ),
        )


def risk_rejections(events: Iterable[Event]) -> RiskStatistics:
    """The statistics of all refusals among `events`."""
    rows = Rows(in_time(each for each in events if type(each) is RiskRejected), RiskRejected)
    return RiskStatistics(
        rows=rows,
        total=len(rows),
        by_symbol=counted(each.symbol for each in rows),
        by_strategy=counted(each.strategy_name for each in rows),
        by_risk=counted(each.risk_name for each in rows),
        by_reason=counted(each.reason_id or each.reason for each in rows),
    )


COLUMNS: tuple[Column[RiskRejected], ...] = (
    Column("time", "Time (UTC)", lambda row: row.time, minute),
    Column("symbol", "Symbol", lambda row: row.symbol),
    Column("strategy_name", "Strategy", lambda row: row.strategy_name),
    Column("signal_id", "Signal", lambda row: row.signal.id),
    Column("position", "Side", lambda row: row.signal.position),
    Column("price", "Price", lambda row: row.price, price),
    Column("price_take_profit", "Take profit", lambda row: row.signal.price_take_profit, price),
    Column("price_stop_loss", "Stop loss", lambda row: row.signal.price_stop_loss, price),
    Column("risk_name", "Risk profile", lambda row: row.risk_name),
    Column("active", "Open under it", lambda row: row.active, count),
    Column("reason", "Reason", lambda row: row.reason),
    Column("note", "Note", lambda row: row.signal.note),
)
