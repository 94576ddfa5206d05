"""The account in pictures: its way with the fall from its highest point below, and what each month returned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backtest_kit.core.candles import Floats, Times
from backtest_kit.reports.charts.canvas import FOOT, HEAD, Box, Canvas
from backtest_kit.reports.charts.cells import Cell, cell_colour, draw_cells
from backtest_kit.reports.charts.scales import date_axis, number_axis, on_axis, show_between, shown_days, shown_times
from backtest_kit.reports.charts.wording import MONTHS, change, money, percent
from backtest_kit.reports.equity import EquityCurve
from backtest_kit.reports.months import monthly_returns

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from backtest_kit.reports.run import RunData

NO_ACCOUNT = "The account has no history yet"
MOST_YEARS = 40
ROW = 0.36  # inches of a year


def equity_chart(run: RunData, *, theme: str = "light") -> Figure:
    """The account over time beside the market bought and held; below, how far it was under its highest point."""
    canvas = Canvas(13, 7.2, theme, run.title, f"Account · {shown_days(run)}")
    draw_account(canvas, canvas.body, run)
    return canvas.figure


def monthly_chart(run: RunData, *, theme: str = "light") -> Figure:
    """The return of every month: a row a year, the whole year at the end of it."""
    height = HEAD + FOOT + (month_rows(run) * ROW or 1.0)
    canvas = Canvas(11, height, theme, run.title, f"Return by month · {shown_days(run)}")
    draw_months(canvas, canvas.body, run)
    return canvas.figure


def month_rows(run: RunData, most_years: int = MOST_YEARS) -> int:
    """How many years the table of months has."""
    return min(len(monthly_returns(run.curve)), most_years)


def draw_account(canvas: Canvas, box: Box, run: RunData) -> None:
    """Two panels, one above the other, over the same dates."""
    above, below = box.cut(box.height * 0.66, 0.42)
    axes = canvas.panel(above, "Account, in quote currency")
    fall = canvas.panel(below, "Drawdown", sharex=axes)
    if len(run.curve.times) < 2:
        canvas.note(fall, "")
        canvas.note(axes, NO_ACCOUNT)
        return
    _add_equity(canvas, axes, run.curve)
    _add_fall(canvas, fall, run.curve)
    date_axis(fall, *shown_times(run))
    axes.tick_params(labelbottom=False)


def _add_equity(canvas: Canvas, axes: Axes, curve: EquityCurve) -> None:
    theme, rows = canvas.theme, telling_rows(curve.equity, curve.benchmark)
    x, start = on_axis(curve.times[rows]), float(curve.equity[0])
    lines = [
        (curve.benchmark, "Buy and hold", theme.benchmark, 1.2, "--"),
        (curve.equity, "Account", theme.account, 1.7, "-"),
    ]
    shown = [line for line in lines if np.isfinite(line[0]).any()]
    axes.axhline(start, color=theme.muted, linewidth=0.8, alpha=0.6, zorder=1.5, label="_start")
    for values, name, colour, width, style in shown:
        label = f"{name} {_outcome(values)}"
        axes.plot(x, values[rows], color=colour, linewidth=width, linestyle=style, label=label)
    axes.fill_between(x, curve.equity[rows], start, color=theme.account, alpha=0.1, linewidth=0)
    finite = np.concatenate([values[np.isfinite(values)] for values, *_ in shown])
    show_between(axes, float(finite.min()), float(finite.max()))
    number_axis(axes)
    canvas.legend(axes, axes.get_legend_handles_labels()[0][::-1])


def telling_rows(*columns: Floats, most: int = 1500) -> Times:
    """The rows that draw the same lines as all of them: of every stretch the first one, the lowest and the highest of
    each column, and the very last.
    """
    count = len(columns[0])
    size = -(-count // most)
    padding = (0, -count % size)
    kept = [np.arange(0, count, size), np.array([count - 1])]
    for column in columns:
        for extreme, empty in ((np.argmin, np.inf), (np.argmax, -np.inf)):
            values = np.pad(np.where(np.isfinite(column), column, empty), padding, constant_values=empty)
            kept.append(kept[0] + extreme(values.reshape(-1, size), axis=1))
    return np.unique(np.concatenate(kept))


def _outcome(values: Floats) -> str:
    """The last value, and what it is more or less than the first."""
    finite = values[np.isfinite(values)]
    gained = _gain(float(finite[0]), float(finite[-1]))
    return money(float(finite[-1])) + (f" ({change(gained)})" if gained is not None else "")


def _add_fall(canvas: Canvas, axes: Axes, curve: EquityCurve) -> None:
    theme, rows = canvas.theme, telling_rows(curve.drawdown)
    x, fall = on_axis(curve.times[rows]), -curve.drawdown[rows]
    axes.fill_between(x, fall, 0.0, color=theme.loss, alpha=0.25, linewidth=0)
    axes.plot(x, fall, color=theme.loss, linewidth=1.1, label="_drawdown")
    lowest = int(fall.argmin())
    if fall[lowest] < 0:
        axes.plot(x[lowest], fall[lowest], marker="o", markersize=5, color=theme.loss, linestyle="none",
                  markeredgecolor=theme.ground, label=f"Deepest {percent(float(fall[lowest]))}")  # fmt: skip
    axes.set_ylim(float(fall[lowest]) * 1.12 or -1.0, 0.0)
    number_axis(axes, " %", ticks=4)
    canvas.legend(axes)


def draw_months(canvas: Canvas, box: Box, run: RunData, title: str = "", most_years: int = MOST_YEARS) -> None:
    """A table of months with a row a year, the latest years if there are more; the ground tells gain from loss."""
    years = monthly_returns(run.curve)[-most_years:]
    if not years:
        return canvas.note(canvas.panel(box, title), NO_ACCOUNT)
    largest = max((abs(each) for _, returns in years for each in returns[:12] if each is not None), default=0.0)
    rows = [[_month(canvas, each, largest) for each in returns] for _, returns in years]
    heading = draw_cells(canvas, box, rows, [str(year) for year, _ in years], [*MONTHS, "Year"], last_column=True)
    return heading(title)


def _month(canvas: Canvas, value: float | None, largest: float) -> Cell:
    if value is None:
        return Cell("", None)
    text = change(value, 1 if abs(value) < 100 else 0)
    return Cell(text, cell_colour(canvas.theme, value / largest if largest else 0.0))


def _gain(before: float, after: float) -> float | None:
    return (after / before - 1) * 100 if before > 0 else None
