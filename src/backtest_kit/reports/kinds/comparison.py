"""Several strategies side by side, ranked by one metric, with the reminder that the best of many is partly luck."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from backtest_kit.errors import UnknownNameError
from backtest_kit.reports.metrics import METRICS, Line, Metric
from backtest_kit.reports.report import Report, Subject
from backtest_kit.reports.rows import Rows
from backtest_kit.reports.run import RunData
from backtest_kit.reports.significance import significance
from backtest_kit.reports.statistics import Statistics
from backtest_kit.reports.tables import Column, count, four_digits

RANKABLE = {each.key: each for each in METRICS if each.key != "trend"}
LOWER_IS_BETTER = frozenset({"loss_count", "max_loss_streak", "max_drawdown", "std_dev"})
"""Metrics of which the smallest value is the best; of all others it is the largest."""


class Ranked(Struct, frozen=True):
    """One strategy of a comparison: its place from 1 on, its name, and the value that it is ranked by."""

    place: int
    name: str
    value: float | None
    statistics: Statistics


class WalkerStatistics(Subject, frozen=True, kw_only=True):
    """The strategies, the best first and those without the metric last, equals in the order given.

    `best` is None where none has the metric. `deflated_sharpe_ratio` is that of the best one, for as many trials as
    strategies were compared; None where it cannot be said, `missing` has the reason.
    """

    metric: str
    rows: Rows[Ranked]
    best: Ranked | None
    tried: int
    deflated_sharpe_ratio: float | None
    missing: Mapping[str, str]

    def report(self, title: str = "Comparison of strategies") -> Report[Ranked]:
        metric = RANKABLE[self.metric]
        return Report(
            title=title,
            heading="Strategies",
            columns=columns(metric),
            rows=self.rows,
            empty="No strategies have been compared yet.",
            summary=tuple(self._summary(metric)),
            notes=self._warnings(),
            further=tuple(_metric_column(each) for each in METRICS),
            keep="first",
        )

    def _summary(self, metric: Metric) -> list[Line]:
        lower = ", the lowest first" if self.metric in LOWER_IS_BETTER else ""
        found = [Line("Strategies", count(self.tried)), Line("Ranked by", metric.title + lower)]
        if self.best is None:
            return [*found, Line("Best", "none", f"no strategy has a value of {metric.title}")]
        return [
            *found,
            Line("Best", self.best.name),
            Line(metric.title, metric.text(self.best.statistics)),
            Metric("deflated_sharpe_ratio", "Deflated Sharpe ratio of the best", "", four_digits).line(self),
        ]

    def _warnings(self) -> tuple[str, ...]:
        if self.tried < 2:
            return ()
        return (
            f"{self.tried} strategies were tried. The best of several looks better than it is, since luck was chosen "
            "along with skill; the deflated Sharpe ratio is the probability that there is skill beyond that luck.",
        )


def comparison(runs: Mapping[str, RunData], metric: str = "sharpe_ratio") -> WalkerStatistics:
    """The runs, by the name of each, ranked by `metric` of their statistics per trade.

    Raises UnknownNameError for a metric that does not exist or is no number.
    """
    if metric not in RANKABLE:
        raise UnknownNameError("metric", metric, RANKABLE)
    sign = 1 if metric in LOWER_IS_BETTER else -1
    values = {name: getattr(run.statistics, metric) for name, run in runs.items()}
    names = sorted(runs, key=lambda name: (values[name] is None, sign * (values[name] or 0.0)))
    rows = Rows((Ranked(i, name, values[name], runs[name].statistics) for i, name in enumerate(names, 1)), Ranked)
    best = rows[0] if rows and rows[0].value is not None else None
    deflated, missing = (
        _deflated(runs[best.name], len(runs)) if best is not None else (None, "no strategy has the metric")
    )
    return WalkerStatistics(
        metric=metric,
        rows=rows,
        best=best,
        tried=len(runs),
        deflated_sharpe_ratio=deflated,
        missing={"deflated_sharpe_ratio": missing} if deflated is None else {},
    )


def _deflated(run: RunData, trials: int) -> tuple[float | None, str]:
    """The deflated Sharpe ratio of the best of `trials` runs, or why there is none; its own trials count as well."""
    found = significance(run.trades, trials=max(trials, run.trials))
    return found.deflated_sharpe_ratio, found.missing.get("deflated_sharpe_ratio", "")


def _metric_column(metric: Metric) -> Column[Ranked]:
    return Column(metric.key, metric.title, lambda row: getattr(row.statistics, metric.key), metric.write)


_USUAL = ("total_trades", "total_pnl", "win_rate", "profit_factor", "sharpe_ratio", "max_drawdown")


def columns(metric: Metric) -> tuple[Column[Ranked], ...]:
    """Place, name, the metric that ranks, and the usual ones beside it."""
    usual = [each for each in METRICS if each.key in _USUAL and each.key != metric.key]
    return (
        Column("place", "Place", lambda row: row.place, count),
        Column("name", "Strategy", lambda row: row.name),
        *(_metric_column(each) for each in (metric, *usual)),
    )
