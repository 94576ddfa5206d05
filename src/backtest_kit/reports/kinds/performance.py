"""How long the parts of a run took: counts, means, percentiles, and each part's share of the measured time."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from msgspec import Struct

from backtest_kit.core.values import Time
from backtest_kit.reports.metrics import Line
from backtest_kit.reports.report import Report, Subject
from backtest_kit.reports.rows import Rows
from backtest_kit.reports.tables import Column, count, four_digits, two_digits
from backtest_kit.reports.trades import total


class Timing(Struct, frozen=True):
    """One measured duration: of what (`metric`), when (epoch ms), and how long it took, milliseconds."""

    metric: str
    time: Time
    duration_ms: float


class MetricTimings(Struct, frozen=True, kw_only=True):
    """All durations of one metric, in milliseconds.

    `deviation_ms` is the sample deviation, None for a single one. `median_ms`, `p95_ms` and `p99_ms` are interpolated
    linearly between the two nearest. `share` is percent of the time of all metrics together, None where that is zero.
    """

    metric: str
    count: int
    total_ms: float
    mean_ms: float
    min_ms: float
    max_ms: float
    deviation_ms: float | None
    median_ms: float
    p95_ms: float
    p99_ms: float
    share: float | None


WHOLE_RUN = "backtest_run"
"""The metric that contains all others of a backtest, so that they are shares of it and do not add to it."""


class PerformanceStatistics(Subject, frozen=True):
    """One row a metric, the one that took most time first; `timings` counts all that was measured.

    `total_ms` is the time of whole runs, where it was measured, else that of all metrics together.
    """

    rows: Rows[MetricTimings]
    timings: int
    total_ms: float

    def report(self, title: str = "Performance") -> Report[MetricTimings]:
        return Report(
            title=title,
            heading="By metric",
            columns=COLUMNS,
            rows=self.rows,
            empty="No durations have been measured yet.",
            summary=(
                Line("Durations measured", count(self.timings)),
                Line("Together", f"{two_digits(self.total_ms)} ms"),
            ),
            keep="first",
        )


def performance(timings: Iterable[Timing]) -> PerformanceStatistics:
    """The statistics of all durations; their order does not matter."""
    by_metric: dict[str, list[float]] = {}
    for each in timings:
        by_metric.setdefault(each.metric, []).append(each.duration_ms)
    totals = {metric: total(durations) for metric, durations in by_metric.items()}
    whole = totals[WHOLE_RUN] if WHOLE_RUN in totals else total(totals.values())
    ranked = sorted(by_metric, key=lambda metric: (-totals[metric], metric))
    rows = Rows((_timings(each, by_metric[each], totals[each], whole) for each in ranked), MetricTimings)
    return PerformanceStatistics(rows, sum(map(len, by_metric.values())), whole)


def _timings(metric: str, durations: list[float], own: float, whole: float) -> MetricTimings:
    values = np.array(durations)
    middle, p95, p99 = np.percentile(values, [50, 95, 99], method="linear").tolist()
    return MetricTimings(
        metric=metric,
        count=len(durations),
        total_ms=own,
        mean_ms=own / len(durations),
        min_ms=min(durations),
        max_ms=max(durations),
        deviation_ms=float(values.std(ddof=1)) if len(durations) > 1 else None,
        median_ms=middle,
        p95_ms=p95,
        p99_ms=p99,
        share=own / whole * 100 if whole else None,
    )


COLUMNS: tuple[Column[MetricTimings], ...] = (
    Column("metric", "Metric", lambda row: row.metric),
    Column("count", "Count", lambda row: row.count, count),
    Column("total_ms", "Total ms", lambda row: row.total_ms, two_digits),
    Column("mean_ms", "Mean ms", lambda row: row.mean_ms, four_digits),
    Column("min_ms", "Min ms", lambda row: row.min_ms, four_digits),
    Column("max_ms", "Max ms", lambda row: row.max_ms, four_digits),
    Column("deviation_ms", "Deviation ms", lambda row: row.deviation_ms, four_digits),
    Column("median_ms", "Median ms", lambda row: row.median_ms, four_digits),
    Column("p95_ms", "P95 ms", lambda row: row.p95_ms, four_digits),
    Column("p99_ms", "P99 ms", lambda row: row.p99_ms, four_digits),
    Column("share", "Share %", lambda row: row.share, two_digits),
)
