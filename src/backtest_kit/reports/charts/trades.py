"""Trades as points: when each closed or how long it lasted, and what it made; beside it how often that happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from backtest_kit.core.candles import Floats
from backtest_kit.errors import UnknownNameError
from backtest_kit.reports.charts.canvas import CROWD, Box, Canvas
from backtest_kit.reports.charts.scales import date_axis, number_axis, on_axis, show_between, shown_days, shown_times
from backtest_kit.reports.charts.wording import change, number
from backtest_kit.reports.trades import Trade

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from backtest_kit.reports.run import RunData

Across: TypeAlias = Literal["time", "duration"]
ACROSS = ("time", "duration")
MOST_BINS = 60
_SHORTEST = 0.5  # minutes: a trade that closed in the minute it opened has a place on a logarithmic axis
_LENGTHS = ((1, "1 min"), (5, "5 min"), (15, "15 min"), (60, "1 h"), (240, "4 h"), (1440, "1 day"), (4320, "3 days"),
            (10_080, "1 week"), (43_200, "30 days"), (525_600, "1 year"))  # fmt: skip


def trades_chart(run: RunData, *, across: Across = "time", theme: str = "light") -> Figure:
    """Every trade as a point: profit in percent against its closing time or, `across="duration"`, how long it lasted.

    The area of a point is the money put in. Raises UnknownNameError for another `across`.
    """
    if across not in ACROSS:
        raise UnknownNameError("trades axis", across, ACROSS)
    canvas = Canvas(13, 6.6, theme, run.title, f"Trades · {shown_days(run)}")
    draw_trades(canvas, canvas.body, run, across)
    return canvas.figure


def draw_trades(canvas: Canvas, box: Box, run: RunData, across: Across = "time") -> None:
    """A panel of points, and right of it one of bars that counts them."""
    trades = tuple(run.trades)
    left, right = box.split(box.width * 0.8, 0.15)
    axes = canvas.panel(left, "Profit of each trade")
    if not trades:
        return canvas.note(axes, "No trade was closed")
    profits = np.array([each.pnl_percent for each in trades])
    edge = edge_of(profits)
    shown = np.clip(profits, -edge, edge)
    _add_points(canvas, axes, trades, shown, across)
    _add_beyond(canvas, axes, _places(trades, across), profits, edge)
    average = float(profits.mean())
    axes.axhline(average, color=canvas.theme.ink, linewidth=1.0, linestyle=(0, (4, 3)),
                 label=f"Average {change(average, 2)}")  # fmt: skip
    canvas.legend(axes)
    _add_counts(canvas, canvas.panel(right, "How often", sharey=axes), shown)
    axes.axhline(0.0, color=canvas.theme.muted, linewidth=0.9, zorder=1.5, label="_zero")
    show_between(axes, min(float(shown.min()), 0.0), max(float(shown.max()), 0.0))
    number_axis(axes, " %")
    axes.tick_params(labelright=False)
    return date_axis(axes, *shown_times(run)) if across == "time" else _length_axis(axes, trades)


def edge_of(profits: Floats) -> float:
    """How far from zero the scale reaches, in percent: to every profit, unless a few would press all others flat."""
    usual = float(np.quantile(np.abs(profits), 0.9))
    return 8 * usual if usual > 0 and len(profits) >= 10 else float("inf")


def _places(trades: Sequence[Trade], across: Across) -> Floats:
    """Where the points stand on the horizontal axis."""
    places: Floats = on_axis([each.closed_at for each in trades]) if across == "time" else _minutes(trades)
    return places


def _add_points(canvas: Canvas, axes: Axes, trades: Sequence[Trade], profits: Floats, across: Across) -> None:
    """Three collections: gains, losses, and what was neither."""
    theme, x = canvas.theme, _places(trades, across)
    areas = areas_of(np.array([each.cost for each in trades]))
    opacity = 0.75 if len(trades) < 500 else 0.45
    groups = (("Gain", profits > 0, theme.gain), ("Loss", profits < 0, theme.loss), ("Even", profits == 0, theme.muted))
    for name, mask, colour in groups:
        if mask.any():
            axes.scatter(
                x[mask], profits[mask], s=areas[mask], color=colour, alpha=opacity, linewidths=0.5,
                edgecolors=theme.ground, label=f"{name} {number(int(mask.sum()), 0)}", zorder=2,
                rasterized=len(trades) > CROWD,
            )  # fmt: skip


def _add_beyond(canvas: Canvas, axes: Axes, x: Floats, profits: Floats, edge: float) -> None:
    """Marks the trades that lie beyond the scale, and says how far the furthest lies."""
    far = np.abs(profits) > edge
    if far.any():
        furthest = float(profits[np.abs(profits).argmax()])
        axes.plot(
            x[far], np.clip(profits[far], -edge, edge), marker="D", markersize=6, linestyle="none", zorder=2.5,
            color="none", markeredgecolor=canvas.theme.ink, scalex=False, scaley=False,
            label=f"Beyond the scale {number(int(far.sum()), 0)}, furthest {change(furthest)}",
        )  # fmt: skip


def areas_of(costs: Floats) -> Floats:
    """The areas of points, in points²: in proportion to the money put in, all smaller the more there are."""
    largest = float(costs.max(initial=0.0))
    shares = costs / largest if largest > 0 else np.ones(len(costs))
    crowd = min(1.0, max(0.12, (250 / max(len(costs), 1)) ** 0.5))
    areas: Floats = (6 + 74 * shares) * crowd
    return areas


def _minutes(trades: Sequence[Trade]) -> Floats:
    return np.array([max(each.duration_minutes, _SHORTEST) for each in trades])


def _length_axis(axes: Axes, trades: Sequence[Trade]) -> None:
    """A logarithmic axis of how long trades lasted, with names for lengths of time."""
    minutes = _minutes(trades)
    axes.set_xscale("log")
    axes.set_xlim(float(minutes.min()) / 1.5, float(minutes.max()) * 1.5)
    low, high = axes.get_xlim()
    shown: list[tuple[float, str]] = [each for each in _LENGTHS if low <= each[0] <= high]
    shown = shown or [(float(minutes[0]), f"{minutes[0]:g} min")]
    axes.set_xticks([each[0] for each in shown], [each[1] for each in shown])
    axes.set_xticks([], minor=True)


def bins_of(profits: Floats) -> Floats:
    """Edges of bins of equal width; zero is one of them, so that no bin holds gains and losses."""
    low, high = min(float(profits.min()), 0.0), max(float(profits.max()), 0.0)
    if high - low < 1e-9:
        return np.array([-1.0, 0.0, 1.0])
    count = int(min(MOST_BINS, max(10, 2 * len(profits) ** 0.5)))
    width = (high - low) / count
    first, last = np.floor(low / width - 1e-6), np.ceil(high / width + 1e-6)  # the last digit must not drop a profit
    return width * np.arange(first, last + 1)


def _add_counts(canvas: Canvas, axes: Axes, profits: Floats) -> None:
    """Lying bars: how many trades made about as much."""
    theme, edges = canvas.theme, bins_of(profits)
    counts = np.histogram(profits, edges)[0]
    colours = [theme.gain if edge >= 0 else theme.loss for edge in edges[:-1]]
    axes.barh(edges[:-1], counts, height=np.diff(edges) * 0.9, align="edge", color=colours, alpha=0.8, linewidth=0)
    axes.set_xlim(0, max(int(counts.max()), 1) * 1.12)
    axes.set_xticks([])
