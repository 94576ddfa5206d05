"""The performance report: durations by metric, their percentiles and shares."""

from __future__ import annotations

import random
from statistics import quantiles, stdev

import pytest

from backtest_kit.reports.kinds.performance import Timing, performance
from tests.unit.told import HOSTILE, at, is_harmless


def timings(metric: str, *durations: float) -> list[Timing]:
    return [Timing(metric, at(i), each) for i, each in enumerate(durations)]


def test_each_metric_is_one_row_and_the_one_that_took_most_comes_first() -> None:
    found = performance([*timings("load", 1, 2, 3), *timings("run", 94)])
    assert [each.metric for each in found.rows] == ["run", "load"]
    load = found.rows[1]
    assert (load.count, load.total_ms, load.mean_ms, load.min_ms, load.max_ms) == (3, 6.0, 2.0, 1.0, 3.0)
    assert (load.deviation_ms, load.median_ms, load.share) == (1.0, 2.0, 6.0)
    assert (found.timings, found.total_ms) == (4, 100.0)


def test_percentiles_are_interpolated_linearly() -> None:
    (row,) = performance(timings("x", 10, 0)).rows
    assert (row.median_ms, row.p95_ms, row.p99_ms) == pytest.approx((5.0, 9.5, 9.9))


def test_percentiles_and_deviation_are_those_of_the_standard_library() -> None:
    durations = [random.Random(number).expovariate(0.1) for number in range(257)]
    (row,) = performance(timings("x", *durations)).rows
    hundredths = quantiles(durations, n=100, method="inclusive")
    assert (row.median_ms, row.p95_ms, row.p99_ms) == pytest.approx((hundredths[49], hundredths[94], hundredths[98]))
    assert row.deviation_ms == pytest.approx(stdev(durations))


def test_a_single_duration_has_no_deviation_and_no_time_no_share() -> None:
    (row,) = performance(timings("x", 0.0)).rows
    assert (row.deviation_ms, row.share, row.p99_ms) == (None, None, 0.0)
    assert "| x | 1 | 0.00 | 0.0000 | 0.0000 | 0.0000 | N/A | 0.0000 | 0.0000 | 0.0000 | N/A |" in (
        performance(timings("x", 0.0)).report().to_markdown()
    )


def test_metrics_that_took_as_long_stand_in_the_order_of_their_names() -> None:
    assert [each.metric for each in performance([*timings("b", 1), *timings("a", 1)]).rows] == ["a", "b"]


def test_without_durations_the_report_says_so() -> None:
    assert performance([]).report("P").to_markdown() == "# P\n\nNo durations have been measured yet.\n"


def test_names_of_others_cannot_change_the_form_of_the_report() -> None:
    assert is_harmless(performance(timings(HOSTILE, 1, 2)).report(HOSTILE).to_markdown())
