"""A run as it stands: the latest state of every signal, how often each thing happened, and what closed trades made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from backtest_kit.core.events import (
    ActivePing,
    Event,
    IdlePing,
    SchedulePing,
    SignalCancelled,
    SignalClosed,
    SignalOpened,
    SignalScheduled,
)
from backtest_kit.core.values import Source
from backtest_kit.reports.kinds.life import in_order, in_time, position_of, signal_of
from backtest_kit.reports.metrics import LINE_COLUMNS, METRICS, Metric, lines
from backtest_kit.reports.pooled import heat
from backtest_kit.reports.report import Report, Subject, Table
from backtest_kit.reports.rows import Rows
from backtest_kit.reports.statistics import Statistics, compute
from backtest_kit.reports.tables import Column, count, four_digits, minute, price
from backtest_kit.reports.trades import Trade


class LiveStatistics(Subject, frozen=True, kw_only=True):
    """The latest event of every signal, and the latest idle one of every strategy on a symbol, in order of time.

    The counts are over all events, repeated pings included; `statistics` are over all closed trades.
    """

    rows: Rows[Event]
    idle: int
    scheduled: int
    waiting: int
    opened: int
    active: int
    closed: int
    cancelled: int
    statistics: Statistics

    def report(self, title: str = "Live trading") -> Report[Event]:
        closed = lines(METRICS, self.statistics) if self.statistics.total_trades else ()
        return Report(
            title=title,
            heading="Latest state of every signal",
            columns=COLUMNS,
            rows=self.rows,
            empty="No events yet: nothing has happened.",
            summary=lines(COUNTS, self),
            tables=(Table("Closed trades", LINE_COLUMNS, closed),),
        )


def live(events: Iterable[Event], trades: Sequence[Trade] = ()) -> LiveStatistics:
    """The state of a run after `events`, in whatever order they come; `trades` are all that were closed."""
    told = in_order(each for each in events if type(each) in _TOLD)
    counts = Counter(each.action for each in told)
    several = len({trade.symbol for trade in trades}) > 1
    return LiveStatistics(
        rows=Rows(in_time(_latest(told)), Event),
        idle=counts["idle"],
        scheduled=counts["scheduled"],
        waiting=counts["waiting"],
        opened=counts["opened"],
        active=counts["active"],
        closed=counts["closed"],
        cancelled=counts["cancelled"],
        statistics=heat(trades).portfolio if several else compute(trades),
    )


_TOLD = {IdlePing, SignalScheduled, SchedulePing, SignalOpened, ActivePing, SignalClosed, SignalCancelled}
_ENDED = (SignalClosed, SignalCancelled)


def _latest(events: Iterable[Event]) -> Iterable[Event]:
    """The last event of each signal; an id that is heard of again after its end is a new signal."""
    latest: dict[tuple[Source, str, int], Event] = {}
    lives: dict[tuple[Source, str], int] = {}
    for event in events:
        signal = signal_of(event)
        if signal is None:
            latest[event.source, "", -1] = event
            continue
        life = lives.get((event.source, signal.id), 0)
        before = latest.get((event.source, signal.id, life))
        if isinstance(before, _ENDED) and event.time > before.time:
            life = lives[event.source, signal.id] = life + 1
        latest[event.source, signal.id, life] = event
    return latest.values()


COUNTS = (
    Metric("opened", "Opened", "", count),
    Metric("closed", "Closed", "", count),
    Metric("scheduled", "Scheduled", "", count),
    Metric("cancelled", "Cancelled", "", count),
    Metric("idle", "Ticks without a signal", "", count),
    Metric("waiting", "Candles of waiting", "", count),
    Metric("active", "Candles in a position", "", count),
)


def _signal_id(event: Event) -> str | None:
    signal = signal_of(event)
    return signal.id if signal is not None else None


def _side(event: Event) -> str | None:
    signal = signal_of(event)
    return signal.position if signal is not None else None


def _entry(event: Event) -> float | None:
    position, signal = position_of(event), signal_of(event)
    if position is not None:
        return position.effective_price
    return signal.price_open if signal is not None else None


def _take_profit(event: Event) -> float | None:
    levels = position_of(event) or signal_of(event)
    return levels.price_take_profit if levels is not None else None


def _stop_loss(event: Event) -> float | None:
    levels = position_of(event) or signal_of(event)
    return levels.price_stop_loss if levels is not None else None


def _profit(event: Event) -> float | None:
    return event.pnl.percent if isinstance(event, ActivePing | SignalClosed) else None


def _reason(event: Event) -> str | None:
    if isinstance(event, SignalClosed):
        return event.close_reason
    return event.reason if isinstance(event, SignalCancelled) else ""


def _note(event: Event) -> str:
    signal = signal_of(event)
    return getattr(event, "note", "") or (signal.note if signal is not None else "")


COLUMNS: tuple[Column[Event], ...] = (
    Column("time", "Time (UTC)", lambda row: row.time, minute),
    Column("action", "State", lambda row: row.action),
    Column("symbol", "Symbol", lambda row: row.symbol),
    Column("strategy_name", "Strategy", lambda row: row.strategy_name),
    Column("signal_id", "Signal", _signal_id),
    Column("position", "Side", _side),
    Column("price", "Price", lambda row: getattr(row, "price", None), price),
    Column("price_open", "Entry", _entry, price),
    Column("price_take_profit", "Take profit", _take_profit, price),
    Column("price_stop_loss", "Stop loss", _stop_loss, price),
    Column("pnl_percent", "Profit %", _profit, four_digits),
    Column("reason", "Reason", _reason),
    Column("note", "Note", _note),
)
