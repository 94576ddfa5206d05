"""The returns of the account by month and year."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backtest_kit.reports.equity import EquityCurve


def monthly_returns(curve: EquityCurve) -> list[tuple[int, list[float | None]]]:
    """Each year with the percent returns of its twelve months and of the year itself; None outside of the run.

    A value that the curve states for midnight belongs to the day that ends.
    """
    if len(curve.times) < 2:
        return []
    stamps = (curve.times[1:] - 1).astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64)
    ends = np.append(np.flatnonzero(np.diff(stamps)), len(stamps) - 1)
    before, table_of = float(curve.equity[0]), {}
    for month, value in zip(stamps[ends].tolist(), curve.equity[1:][ends].tolist(), strict=True):
        table_of[month] = (before, value)
        before = value
    years = sorted({1970 + month // 12 for month in table_of})
    return [(year, _year([table_of.get((year - 1970) * 12 + i) for i in range(12)])) for year in years]


def _year(spans: Sequence[tuple[float, float] | None]) -> list[float | None]:
    there = [each for each in spans if each is not None]
    whole = (there[0][0], there[-1][1])
    return [_gain(each) for each in (*spans, whole)]


def _gain(span: tuple[float, float] | None) -> float | None:
    return None if span is None or span[0] <= 0 else (span[1] / span[0] - 1) * 100
