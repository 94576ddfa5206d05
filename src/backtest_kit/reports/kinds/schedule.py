"""Limit entries: which signals waited for their price, how many got it, and how long that took.

Formulas: STATISTICS, "Schedule report". Only signals that were scheduled count, not those that were entered at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from backtest_kit.core.events import Event, SignalCancelled, SignalOpened, SignalScheduled
from backtest_kit.core.values import MINUTE, Side, Source, Time
from backtest_kit.reports.kinds.life import in_order
from backtest_kit.reports.metrics import Metric, lines, with_reasons
from backtest_kit.reports.report import Count, Report, Subject, counted, counts_table
from backtest_kit.reports.rows import Rows
from backtest_kit.reports.tables import Column, count, minute, one_digit, price, two_digits
from backtest_kit.reports.trades import Missing, mean_or


class ScheduledSignal(Struct, frozen=True, kw_only=True):
    """A limit entry and how it stands: times epoch ms, prices quote currency per unit.

    `settled_at` is when it was opened or cancelled, `reason` why it was cancelled.
    """

    scheduled_at: Time
    symbol: str
    strategy_name: str
    signal_id: str
    position: Side
    price_open: float | None
    price_take_profit: float
    price_stop_loss: float
    state: Literal["waiting", "opened", "cancelled"] = "waiting"
    settled_at: Time | None = None
    reason: str = ""
    note: str = ""

    @property
    def waited_minutes(self) -> float | None:
        """From being scheduled to being opened or cancelled; None while it waits."""
        return None if self.settled_at is None else (self.settled_at - self.scheduled_at) / MINUTE


class ScheduleStatistics(Subject, frozen=True, kw_only=True):
    """All scheduled signals, by the time of scheduling, and what became of them.

    Rates are percent of those that are opened or cancelled by now, means are minutes; None where there is nothing to
    divide by, `missing` says why.
    """

    rows: Rows[ScheduledSignal]
    scheduled: int
    waiting: int
    opened: int
    cancelled: int
    activation_rate: float | None
    cancellation_rate: float | None
    avg_activation_minutes: float | None
    avg_cancelled_minutes: float | None
    reasons: tuple[Count, ...]
    missing: Mapping[str, str]

    def report(self, title: str = "Scheduled signals") -> Report[ScheduledSignal]:
        return Report(
            title=title,
            heading="Signals",
            columns=COLUMNS,
            rows=self.rows,
            empty="No signals have been scheduled yet.",
            summary=lines(METRICS, self),
            tables=(counts_table("Reason", self.reasons),),
        )


def schedule(events: Iterable[Event]) -> ScheduleStatistics:
    """The statistics of all signals that `events` say to be scheduled; their order does not matter."""
    rows = Rows(_followed(events), ScheduledSignal)
    opened = [each.waited_minutes or 0.0 for each in rows if each.state == "opened"]
    cancelled = [each.waited_minutes or 0.0 for each in rows if each.state == "cancelled"]
    settled = len(opened) + len(cancelled)
    nothing = Missing("no scheduled signal has been opened or cancelled yet" if rows else "no signal was scheduled")
    return ScheduleStatistics(
        rows=rows,
        scheduled=len(rows),
        waiting=len(rows) - settled,
        opened=len(opened),
        cancelled=len(cancelled),
        reasons=counted(each.reason for each in rows if each.state == "cancelled"),
        **with_reasons(
            {
                "activation_rate": len(opened) / settled * 100 if settled else nothing,
                "cancellation_rate": len(cancelled) / settled * 100 if settled else nothing,
                "avg_activation_minutes": mean_or("no scheduled signal was opened", opened),
                "avg_cancelled_minutes": mean_or("no scheduled signal was cancelled", cancelled),
            }
        ),
    )


def _followed(events: Iterable[Event]) -> list[ScheduledSignal]:
    """One row a signal. An id that is scheduled again after its end is a new signal, while it waits it is the same."""
    rows: list[ScheduledSignal] = []
    latest: dict[tuple[Source, str], int] = {}
    for event in in_order(each for each in events if type(each) in _SPOKEN_OF):
        signal = event.signal  # type: ignore[attr-defined]  # all that are spoken of have one
        key = (event.source, signal.id)
        place = latest.get(key)
        waits = place is not None and rows[place].state == "waiting"
        if type(event) is SignalScheduled and not waits:
            latest[key] = len(rows)
            rows.append(_waiting(event))
        elif type(event) is not SignalScheduled and place is not None and waits:
            rows[place] = _settled(rows[place], event)
    return rows


_SPOKEN_OF = (SignalScheduled, SignalOpened, SignalCancelled)


def _waiting(event: SignalScheduled) -> ScheduledSignal:
    signal = event.signal
    return ScheduledSignal(
        scheduled_at=event.time,
        symbol=event.symbol,
        strategy_name=event.strategy_name,
        signal_id=signal.id,
        position=signal.position,
        price_open=signal.price_open,
        price_take_profit=signal.price_take_profit,
        price_stop_loss=signal.price_stop_loss,
        note=signal.note,
    )


def _settled(row: ScheduledSignal, event: Event) -> ScheduledSignal:
    if isinstance(event, SignalCancelled):
        return replace(row, state="cancelled", settled_at=event.time, reason=event.reason)
    return replace(row, state="opened", settled_at=event.time)


METRICS = (
    Metric("scheduled", "Scheduled", "", count),
    Metric("opened", "Opened", "", count),
    Metric("cancelled", "Cancelled", "", count),
    Metric("waiting", "Still waiting", "", count),
    Metric("activation_rate", "Activation rate", "%", two_digits),
    Metric("cancellation_rate", "Cancellation rate", "%", two_digits),
    Metric("avg_activation_minutes", "Mean time to the entry", "min", one_digit),
    Metric("avg_cancelled_minutes", "Mean wait of the cancelled", "min", one_digit),
)

COLUMNS: tuple[Column[ScheduledSignal], ...] = (
    Column("scheduled_at", "Scheduled (UTC)", lambda row: row.scheduled_at, minute),
    Column("symbol", "Symbol", lambda row: row.symbol),
    Column("strategy_name", "Strategy", lambda row: row.strategy_name),
    Column("signal_id", "Signal", lambda row: row.signal_id),
    Column("position", "Side", lambda row: row.position),
    Column("price_open", "Entry", lambda row: row.price_open, price),
    Column("price_take_profit", "Take profit", lambda row: row.price_take_profit, price),
    Column("price_stop_loss", "Stop loss", lambda row: row.price_stop_loss, price),
    Column("state", "State", lambda row: row.state),
    Column("settled_at", "Settled (UTC)", lambda row: row.settled_at, minute),
    Column("waited_minutes", "Minutes", lambda row: row.waited_minutes, count),
    Column("reason", "Reason", lambda row: row.reason),
    Column("note", "Note", lambda row: row.note),
)
