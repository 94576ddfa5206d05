"""Where live trading and its replay differ: which decisions, by which cause, and what each cause was worth."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

from msgspec import Struct

from backtest_kit.core.values import Side, Time
from backtest_kit.reports.metrics import Line, Metric, lines
from backtest_kit.reports.report import Report, Subject, Table
from backtest_kit.reports.rows import Rows
from backtest_kit.reports.tables import Column, count, four_digits, minute, two_digits
from backtest_kit.reports.trades import total

Cause: TypeAlias = Literal["data", "timing", "code", "fill", "fee"]
CAUSES: tuple[Cause, ...] = ("data", "timing", "code", "fill", "fee")
Aspect: TypeAlias = Literal["decision", "signal", "outcome", "commands", "price", "fee"]


class Difference(Struct, frozen=True, kw_only=True):
    """Something that live trading and its replay did differently.

    `time` is that of the decision (epoch ms), `what` says which part of its life differs, `live` and `replay` what each
    of them did. `percent` is how much worse the live prices were. `money` is the live profit less that of the replay
    (quote currency), None where one of them is not known yet.
    """

    time: Time
    symbol: str
    strategy_name: str
    signal_id: str
    position: Side | None
    cause: Cause
    what: Aspect
    live: str
    replay: str
    percent: float | None = None
    money: float | None = None


class Effect(Struct, frozen=True):
    """One cause: how many differences it made, and what they were worth (quote currency)."""

    cause: Cause
    number: int
    money: float


class ParityStatistics(Subject, frozen=True, kw_only=True):
    """The differences in order of time. `start` and `stop` are the first and the last tick replayed, epoch ms.

    `decisions` counts all that live trading or the replay made, a pair as one, `equal` those with no difference at all,
    `decision_differences` those that are not only other fills and fees. Profits are quote currency, of what was closed;
    `money` is the first less the second, and `other_money` what no difference accounts for, such as rounding.
    """

    rows: Rows[Difference]
    mode: str
    start: Time
    stop: Time
    decisions: int
    equal: int
    live_profit: float
    replay_profit: float
    effects: tuple[Effect, ...]
    notes: tuple[str, ...] = ()

    @property
    def decision_differences(self) -> int:
        return len({(row.symbol, row.strategy_name, row.signal_id, row.time) for row in self.rows if _decides(row)})

    @property
    def money(self) -> float:
        return self.live_profit - self.replay_profit

    @property
    def other_money(self) -> float:
        return self.money - total(each.money for each in self.effects)

    def report(self, title: str = "Parity with a backtest") -> Report[Difference]:
        period = Line("Replayed", f"{minute(self.start)} to {minute(self.stop)}")
        same = f"No differences: {self.equal} decisions of {self.decisions} are equal in all they led to."
        return Report(
            title=title,
            heading="Differences",
            columns=COLUMNS,
            rows=self.rows,
            empty=same if self.decisions else "Neither live trading nor the replay decided anything.",
            summary=(period, *lines(METRICS, self)),
            notes=self.notes,
            tables=(Table("By cause", EFFECT_COLUMNS, self.effects),),
        )


def effects_of(differences: Iterable[Difference]) -> tuple[Effect, ...]:
    """How many differences each cause made, and what they were worth; causes that made none are left out."""
    by_cause = {cause: [each for each in differences if each.cause == cause] for cause in CAUSES}
    return tuple(
        Effect(cause, len(found), total(each.money or 0.0 for each in found))
        for cause, found in by_cause.items()
        if found
    )


def _decides(row: Difference) -> bool:
    return row.cause not in ("fill", "fee")


METRICS = (
    Metric("decisions", "Decisions compared", "", count),
    Metric("equal", "Equal in everything", "", count),
    Metric("decision_differences", "Decisions that differ", "", count),
    Metric("live_profit", "Profit, live", "", two_digits),
    Metric("replay_profit", "Profit, replayed", "", two_digits),
    Metric("money", "Difference", "", two_digits),
    Metric("other_money", "Of it not explained", "", two_digits),
)

EFFECT_COLUMNS: tuple[Column[Effect], ...] = (
    Column("cause", "Cause", lambda row: row.cause),
    Column("number", "Differences", lambda row: row.number, count),
    Column("money", "Money", lambda row: row.money, two_digits),
)

COLUMNS: tuple[Column[Difference], ...] = (
    Column("time", "Time (UTC)", lambda row: row.time, minute),
    Column("symbol", "Symbol", lambda row: row.symbol),
    Column("strategy_name", "Strategy", lambda row: row.strategy_name),
    Column("signal_id", "Signal", lambda row: row.signal_id),
    Column("position", "Side", lambda row: row.position),
    Column("cause", "Cause", lambda row: row.cause),
    Column("what", "What", lambda row: row.what),
    Column("live", "Live", lambda row: row.live),
    Column("replay", "Replayed", lambda row: row.replay),
    Column("percent", "Worse by %", lambda row: row.percent, four_digits),
    Column("money", "Money", lambda row: row.money, two_digits),
)
