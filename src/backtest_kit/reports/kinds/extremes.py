"""The best and the worst moment of every position: at which price, when, and what came of it in the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from backtest_kit.core.events import Event, SignalClosed
from backtest_kit.core.position import Position
from backtest_kit.core.values import MINUTE, Side, Time
from backtest_kit.reports.kinds.life import position_of, untraded
from backtest_kit.reports.metrics import Metric, lines, with_reasons
from backtest_kit.reports.report import Report, Subject
from backtest_kit.reports.rows import Rows
from backtest_kit.reports.tables import Column, count, four_digits, minute, one_digit, price
from backtest_kit.reports.trades import Missing, Trade, mean_or


class Moment(Struct, frozen=True, kw_only=True):
    """The best or the worst moment of one position; times epoch ms, percentages of the money put in, after costs.

    `price` and `time` are None where an old record does not have them; `earned` is what the position made in the end,
    None while it is open.
    """

    kind: Literal["best", "worst"]
    opened_at: Time
    symbol: str
    strategy_name: str
    signal_id: str
    position: Side
    price_open: float
    percent: float
    price: float | None = None
    time: Time | None = None
    earned: float | None = None

    @property
    def minutes(self) -> float | None:
        """How long after the entry it was."""
        return None if self.time is None else (self.time - self.opened_at) / MINUTE

    @property
    def reversal(self) -> float | None:
        """Percentage points from there to the end: given back after the best moment, won back after the worst."""
        if self.earned is None:
            return None
        return self.percent - self.earned if self.kind == "best" else self.earned - self.percent


class ExtremeStatistics(Subject, frozen=True, kw_only=True):
    """The best moments of all positions, or the worst, by the time of the entry.

    `extreme_percent` is the highest profit, or the deepest drawdown, of any position; `avg_reversal` how much was given
    or won back in the mean, over closed positions. None where there is nothing to average, `missing` says why.
    """

    kind: Literal["best", "worst"]
    rows: Rows[Moment]
    total: int
    avg_percent: float | None
    extreme_percent: float | None
    avg_minutes: float | None
    avg_reversal: float | None
    missing: Mapping[str, str]

    def report(self, title: str = "") -> Report[Moment]:
        best = self.kind == "best"
        return Report(
            title=title or ("Highest profit" if best else "Maximum drawdown"),
            heading="Positions",
            columns=HIGHEST_PROFIT_COLUMNS if best else MAX_DRAWDOWN_COLUMNS,
            rows=self.rows,
            empty=f"No position has a recorded {'highest profit' if best else 'drawdown'} yet.",
            summary=lines(HIGHEST_PROFIT_METRICS if best else MAX_DRAWDOWN_METRICS, self),
        )


def highest_profit(trades: Sequence[Trade], events: Sequence[Event] = ()) -> ExtremeStatistics:
    """The best moments of closed trades, and of the positions that `events` know to be open, as they last were."""
    return _statistics("best", trades, events)


def max_drawdown(trades: Sequence[Trade], events: Sequence[Event] = ()) -> ExtremeStatistics:
    """The worst moments of closed trades, and of the positions that `events` know to be open, as they last were."""
    return _statistics("worst", trades, events)


def _statistics(kind: Literal["best", "worst"], trades: Sequence[Trade], events: Sequence[Event]) -> ExtremeStatistics:
    found = [*_of_trades(kind, trades), *_of_open(kind, trades, events)]
    rows = Rows(sorted(found, key=lambda row: row.opened_at), Moment)
    percents = [row.percent for row in rows]
    outermost = max if kind == "best" else min
    figures = {
        "avg_percent": mean_or(_NOTHING.reason, percents),
        "extreme_percent": outermost(percents) if percents else _NOTHING,
        "avg_minutes": mean_or("no time was recorded", [row.minutes for row in rows if row.minutes is not None]),
        "avg_reversal": mean_or("no position was closed", [row.reversal for row in rows if row.reversal is not None]),
    }
    return ExtremeStatistics(kind=kind, rows=rows, total=len(rows), **with_reasons(figures))


_NOTHING = Missing("no position")


def _of_trades(kind: Literal["best", "worst"], trades: Sequence[Trade]) -> Iterator[Moment]:
    for trade in trades:
        percent = trade.peak_pnl_percent if kind == "best" else trade.trough_pnl_percent
        if percent is not None:
            yield Moment(
                kind=kind,
                opened_at=trade.opened_at,
                symbol=trade.symbol,
                strategy_name=trade.strategy_name,
                signal_id=trade.signal_id,
                position=trade.position,
                price_open=trade.price_open,
                percent=percent,
                price=trade.peak_price if kind == "best" else trade.trough_price,
                time=trade.peak_at if kind == "best" else trade.trough_at,
                earned=trade.pnl_percent,
            )


def _of_open(kind: Literal["best", "worst"], trades: Sequence[Trade], events: Sequence[Event]) -> Iterator[Moment]:
    for event in untraded(events, trades).values():
        position = position_of(event)
        if position is not None:
            yield _of_position(kind, event, position)


def _of_position(kind: Literal["best", "worst"], event: Event, position: Position) -> Moment:
    extreme = position.peak if kind == "best" else position.trough
    return Moment(
        kind=kind,
        opened_at=position.pending_at,
        symbol=event.symbol,
        strategy_name=event.strategy_name,
        signal_id=position.signal.id,
        position=position.signal.position,
        price_open=position.effective_price,
        percent=extreme.percent,
        price=extreme.price,
        time=extreme.time,
        earned=event.pnl.percent if isinstance(event, SignalClosed) else None,
    )


HIGHEST_PROFIT_METRICS = (
    Metric("total", "Positions", "", count),
    Metric("avg_percent", "Mean highest profit", "%", four_digits),
    Metric("extreme_percent", "Highest profit of any position", "%", four_digits),
    Metric("avg_minutes", "Mean time from the entry to it", "min", one_digit),
    Metric("avg_reversal", "Mean of what was given back until the end", "%", four_digits),
)
MAX_DRAWDOWN_METRICS = (
    Metric("total", "Positions", "", count),
    Metric("avg_percent", "Mean drawdown", "%", four_digits),
    Metric("extreme_percent", "Deepest drawdown of any position", "%", four_digits),
    Metric("avg_minutes", "Mean time from the entry to it", "min", one_digit),
    Metric("avg_reversal", "Mean of what was won back until the end", "%", four_digits),
)


def _columns(percent: str, reversal: str) -> tuple[Column[Moment], ...]:
    return (
        Column("opened_at", "Opened (UTC)", lambda row: row.opened_at, minute),
        Column("symbol", "Symbol", lambda row: row.symbol),
        Column("strategy_name", "Strategy", lambda row: row.strategy_name),
        Column("signal_id", "Signal", lambda row: row.signal_id),
        Column("position", "Side", lambda row: row.position),
        Column("price_open", "Entry", lambda row: row.price_open, price),
        Column("percent", percent, lambda row: row.percent, four_digits),
        Column("price", "Price", lambda row: row.price, price),
        Column("time", "Time (UTC)", lambda row: row.time, minute),
        Column("minutes", "Minutes after the entry", lambda row: row.minutes, count),
        Column("earned", "In the end %", lambda row: row.earned, four_digits),
        Column("reversal", reversal, lambda row: row.reversal, four_digits),
    )


HIGHEST_PROFIT_COLUMNS = _columns("Highest profit %", "Given back %")
MAX_DRAWDOWN_COLUMNS = _columns("Drawdown %", "Won back %")
