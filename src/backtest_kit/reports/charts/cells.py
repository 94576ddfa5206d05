"""A table whose cells are coloured: months of years, figures of symbols."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from backtest_kit.core.candles import Floats
from backtest_kit.reports.charts.canvas import Box, Canvas
from backtest_kit.reports.charts.theme import Colour, Theme, blend, readable_on, rgb

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LETTER = 0.082  # inches, of the names of rows
_STRONGEST = 0.72  # of the colour, the rest ground: the number in the cell is what counts


class Cell(Struct, frozen=True):
    """What stands in a cell and on which ground; None: the ground of the picture."""

    text: str
    colour: Colour | None


def cell_colour(theme: Theme, strength: float) -> Colour:
    """From full loss (−1) over the ground of the picture (0) to full gain (1); what lies beyond is cut."""
    share = min(abs(strength), 1.0) * _STRONGEST
    return blend(theme.ground, theme.gain if strength > 0 else theme.loss, share)


def draw_cells(
    canvas: Canvas, box: Box, rows: Sequence[Sequence[Cell]], names: Sequence[str], titles: Sequence[str], **apart: bool
) -> Callable[[str], None]:
    """Fills a place with cells: names of the rows on the left, titles of the columns above.

    `last_row=True`, `last_column=True`: a sum, which stands a little apart. Returns what gives the table a heading.
    """
    label = max(map(len, names)) * _LETTER + 0.25
    axes = canvas.panel(box.split(label)[1])
    x = np.arange(len(titles)) + _shift(len(titles), 0.15, apart.get("last_column", False))
    y = np.arange(len(names)) + _shift(len(names), 0.3, apart.get("last_row", False))
    _fill_cells(canvas, axes, [((x[i], y[k]), cell) for k, row in enumerate(rows) for i, cell in enumerate(row)])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.set(xlim=(0, x[-1] + 1), ylim=(y[-1] + 1, 0), xticks=[], yticks=[])
    start, above = -label / (box.width - label), 1 + 0.07 / box.height
    for name, place in zip(names, y, strict=True):
        canvas.write(axes, start, place + 0.5, name, transform=axes.get_yaxis_transform(), va="center_baseline")
    for title, place in zip(titles, x, strict=True):
        canvas.write(axes, place + 0.5, above, title, transform=axes.get_xaxis_transform(), ha="center", va="bottom",
                     color=canvas.theme.muted)  # fmt: skip
    return partial(canvas.title, axes, pad=24, x=start)


def _shift(count: int, gap: float, apart: bool) -> Floats:
    """By how much each of `count` rows is moved: the last one, where it stands apart."""
    shift = np.zeros(count)
    shift[-1] = gap if apart and count > 1 else 0.0
    return shift


def _fill_cells(canvas: Canvas, axes: Axes, cells: Sequence[tuple[tuple[float, float], Cell]]) -> None:
    from matplotlib.collections import PolyCollection

    ground = rgb(canvas.theme.ground)
    squares = [[(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)] for (x, y), _ in cells]
    colours = [cell.colour or ground for _, cell in cells]
    axes.add_collection(PolyCollection(squares, facecolors=colours, edgecolors=ground, linewidths=2.0), autolim=False)
    for (x, y), cell in cells:
        if cell.text:
            ink = readable_on(cell.colour or ground, canvas.theme)
            canvas.write(axes, x + 0.5, y + 0.5, cell.text, ha="center", va="center_baseline", color=ink)
