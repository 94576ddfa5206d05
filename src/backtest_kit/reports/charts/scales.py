"""The scales of panels: dates in UTC below, numbers with as many digits as they need beside."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest_kit.core.values import MINUTE
from backtest_kit.reports.charts.wording import digits_of, number, period

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from backtest_kit.reports.run import RunData


def on_axis(times: Any) -> Any:
    """Epoch ms as the dates of an axis."""
    from matplotlib.dates import date2num

    return date2num(np.asarray(times, dtype=np.int64).astype("datetime64[ms]"))


def shown_times(run: RunData) -> tuple[int, int]:
    """The time that pictures of a run show, epoch ms: that of the account, at least a minute."""
    first, last = (int(run.curve.times[row]) for row in (0, -1)) if len(run.curve.times) else (run.facts.start,) * 2
    return first, max(last, first + MINUTE)


def shown_days(run: RunData) -> str:
    """The days of it in words."""
    return period(*shown_times(run))


def date_axis(axes: Axes, start: int, stop: int) -> None:
    """Dates in UTC below a panel that shows [start, stop]."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(tz=UTC, minticks=3, maxticks=9)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(
        ConciseDateFormatter(
            locator, tz=UTC, show_offset=False, usetex=False,
            formats=["%Y", "%b", "%d %b", "%H:%M", "%H:%M", "%H:%M:%S"],
            zero_formats=["%Y", "%Y", "%d %b", "%d %b", "%H:%M", "%H:%M"],
        )
    )  # fmt: skip
    axes.set_xlim(*on_axis([start, stop]))


def number_axis(axes: Axes, unit: str = "", *, ticks: int = 6) -> None:
    """Numbers of a panel's vertical axis with thousands separators and as many digits as tell its ticks apart."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    def tick(value: float, _: object) -> str:
        return number(value, digits_of([float(each) for each in axes.yaxis.get_majorticklocs()])) + unit

    axes.yaxis.set_major_locator(MaxNLocator(nbins=ticks, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(tick))


def show_between(axes: Axes, low: float, high: float, room: float = 0.06) -> None:
    """Makes the vertical axis show `low` to `high` with some room; a single value stands in the middle."""
    margin = (high - low) * room or abs(high) * 0.05 or 1.0
    axes.set_ylim(low - margin, high + margin)
