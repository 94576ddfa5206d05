"""The figures of every symbol as a table whose columns are coloured, each on its own scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from backtest_kit.reports.charts.canvas import FOOT, HEAD, MARGIN, Box, Canvas
from backtest_kit.reports.charts.cells import Cell, cell_colour, draw_cells
from backtest_kit.reports.charts.scales import shown_days
from backtest_kit.reports.charts.wording import change, drawable, number, percent
from backtest_kit.reports.pooled import Heat
from backtest_kit.reports.statistics import Statistics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from backtest_kit.reports.run import RunData

MOST_SYMBOLS = 60
ROW = 0.3  # inches of a symbol
POOLED = "All, pooled"


class HeatColumn(Struct, frozen=True):
    """A metric as a column: its name, its title, how a value is written, and what its colour says.

    `centre` is the value without a colour, gains lie above it; "worse" colours more as more loss, "plain" not at all.
    """

    metric: str
    title: str
    format: Callable[[float], str]
    centre: float | Literal["worse", "plain"]


COLUMNS = (
    HeatColumn("total_trades", "Trades", lambda value: number(value, 0), "plain"),
    HeatColumn("win_rate", "Win rate", percent, 50.0),
    HeatColumn("total_pnl", "Total", change, 0.0),
    HeatColumn("avg_pnl", "Average", lambda value: change(value, 2), 0.0),
    HeatColumn("profit_factor", "Profit factor", lambda value: number(value, 2), 1.0),
    HeatColumn("sharpe_ratio", "Sharpe a trade", lambda value: number(value, 2), 0.0),
    HeatColumn("max_drawdown", "Max drawdown", percent, "worse"),
    HeatColumn("avg_duration", "Hours a trade", lambda minutes: number(minutes / 60, 1), "plain"),
)


def heat_chart(run: RunData, *, theme: str = "light") -> Figure:
    """Symbols × metrics, best Sharpe ratio first, and all trades pooled in the last row."""
    height = HEAD + FOOT + (len(heat_rows(run.heat, MOST_SYMBOLS)) * ROW or 1.0)
    canvas = Canvas(11, height, theme, run.title, f"Symbols · {shown_days(run)}")
    body = canvas.body
    draw_heat(canvas, Box(body.left, body.top, canvas.width - 2 * MARGIN, body.height), run)
    return canvas.figure


def heat_rows(heat: Heat, most: int) -> list[tuple[str, Statistics | None]]:
    """The rows of the table by name: the symbols, and all of them pooled where there are several.

    Of more than `most` symbols the best and the worst; a row without figures says how many are left out.
    """
    rows: list[tuple[str, Statistics | None]] = [(drawable(each.symbol, 18), each.statistics) for each in heat.symbols]
    if len(rows) > most:
        best, worst = most - most // 2, most // 2
        rows[best : len(rows) - worst] = [(f"… {len(rows) - most:,} more", None)]
    return [*rows, (POOLED, heat.portfolio)] if len(heat.symbols) > 1 else rows


def draw_heat(canvas: Canvas, box: Box, run: RunData, title: str = "", most: int = MOST_SYMBOLS) -> None:
    """A table of figures, a row a symbol."""
    rows = heat_rows(run.heat, most)
    if not rows:
        return canvas.note(canvas.panel(box, title), "No trade was closed")
    own = [each.statistics for each in run.heat.symbols]
    columns = [_column(canvas, column, [figures for _, figures in rows], own) for column in COLUMNS]
    cells, titles = list(zip(*columns, strict=True)), [each.title for each in COLUMNS]
    heading = draw_cells(canvas, box, cells, [name for name, _ in rows], titles, last_row=len(own) > 1)
    return heading(title)


def _column(
    canvas: Canvas, column: HeatColumn, rows: Sequence[Statistics | None], symbols: Sequence[Statistics]
) -> list[Cell]:
    """The cells of a metric; the symbols alone make the scale, all pooled would hide how they differ."""
    values = [getattr(each, column.metric) for each in symbols]
    largest = max((abs(strength(column, value)) for value in values if value is not None), default=0.0) or 1.0
    return [_cell(canvas, column, each, largest) for each in rows]


def _cell(canvas: Canvas, column: HeatColumn, statistics: Statistics | None, largest: float) -> Cell:
    if statistics is None:
        return Cell("", None)
    value = getattr(statistics, column.metric)
    if value is None:
        return Cell("N/A", None)
    return Cell(column.format(value), cell_colour(canvas.theme, strength(column, value) / largest))


def strength(column: HeatColumn, value: float) -> float:
    """How far a value is on the side of gain (positive) or of loss (negative)."""
    if isinstance(column.centre, str):
        return -value if column.centre == "worse" else 0.0
    return value - column.centre
