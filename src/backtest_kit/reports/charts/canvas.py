"""A picture while it is made: a figure of matplotlib with a theme, a heading, and panels that are placed in inches.

Nothing here touches pyplot or settings of matplotlib that others share: pictures can be made in several threads, and
leave nothing behind. All texts are drawn literally, `$`, `_` and backslashes too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from backtest_kit.errors import ConfigError
from backtest_kit.reports.charts.theme import theme_named
from backtest_kit.reports.charts.wording import FONT, drawable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 130
CROWD = 1000  # more marks than that are one image within an SVG, which would grow to many megabytes
MARGIN = 0.4  # inches left of everything
SCALE = 0.85  # inches right of a panel, for the numbers of its axis
HEAD = 1.25  # inches from the upper edge of a picture to its first panel
LITERAL: dict[str, Any] = {"parse_math": False, "usetex": False, "fontfamily": FONT}
FOOT = 0.5  # inches below the last panel, for its dates


class Box(Struct, frozen=True):
    """Where a panel stands, in inches from the upper left corner of the picture."""

    left: float
    top: float
    width: float
    height: float

    def cut(self, height: float, gap: float = 0.0) -> tuple[Box, Box]:
        """The upper part of that height, and what remains below a gap."""
        below = self.height - height - gap
        return Box(self.left, self.top, self.width, height), Box(self.left, self.top + height + gap, self.width, below)

    def split(self, width: float, gap: float = 0.0) -> tuple[Box, Box]:
        """The left part of that width, and what remains to the right of a gap."""
        beside = self.width - width - gap
        return Box(self.left, self.top, width, self.height), Box(self.left + width + gap, self.top, beside, self.height)


class Canvas:
    """A figure of `width` × `height` inches with a heading; panels, texts and axes are added through it.

    Raises ConfigError without matplotlib, UnknownNameError for an unknown theme.
    """

    def __init__(self, width: float, height: float, theme: str, title: str, subtitle: str = "") -> None:
        self.theme, self.width, self.height = theme_named(theme), width, height
        self.figure: Figure = _figure(width, height, self.theme.ground)
        self._line(title, 0.22, 14, weight="bold", color=self.theme.ink)
        self._line(subtitle, 0.54, 9.5, color=self.theme.muted)

    @property
    def body(self) -> Box:
        """The place for panels: what is left within the margins."""
        return Box(MARGIN, HEAD, self.width - MARGIN - SCALE, self.height - HEAD - FOOT)

    def panel(self, box: Box, title: str = "", **shared: Any) -> Axes:
        """Empty axes at a place, with horizontal lines and their numbers on the right; `sharex`, `sharey`: others."""
        theme = self.theme
        axes: Axes = self.figure.add_axes(self._fraction(box), facecolor=theme.ground, **shared)
        axes.spines[:].set_visible(False)
        axes.spines["bottom"].set(visible=True, color=theme.grid, linewidth=1.0)
        axes.tick_params(
            which="both", length=0, pad=6, colors=theme.muted, labelsize=8.5, labelfontfamily=FONT,
            left=False, right=False, labelleft=False, labelright=True,
        )  # fmt: skip
        axes.grid(True, axis="y", color=theme.grid, linewidth=0.8)
        axes.grid(False, axis="x")
        axes.set_axisbelow(True)
        if title:
            self.title(axes, title)
        return axes

    def title(self, axes: Axes, text: str, *, pad: float = 8.0, x: float = 0.0) -> None:
        """A heading above a panel, `pad` points away from it; `x` moves it by so many widths of the panel."""
        style: dict[str, Any] = {"fontsize": 10, "fontweight": "bold", "color": self.theme.ink, **LITERAL}
        axes.set_title(drawable(text), loc="left", x=x, y=1.0, pad=pad, **style)

    def write(self, axes: Axes, x: float, y: float, text: str, **style: Any) -> Any:
        """Text at a point of the data, or elsewhere with `transform=`."""
        settings: dict[str, Any] = {"fontsize": 8.5, "color": self.theme.ink, **LITERAL, **style}
        return axes.text(x, y, drawable(text), **settings)

    def note(self, axes: Axes, text: str) -> None:
        """Says in the middle of an empty panel why it is empty; an axis without data has no numbers."""
        axes.tick_params(labelbottom=False, labelright=False, labelleft=False)
        axes.grid(False)
        self.write(axes, 0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=10,
                   color=self.theme.muted)  # fmt: skip

    def legend(self, axes: Axes, handles: Sequence[Any] | None = None) -> None:
        """What the marks mean, in one line above the panel on the right."""
        if handles is None:
            handles = axes.get_legend_handles_labels()[0]
        if handles:
            legend = axes.legend(
                handles=handles, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(handles), frameon=False,
                fontsize=8.5, labelcolor=self.theme.ink, handletextpad=0.5, columnspacing=1.6, handlelength=1.4,
                borderaxespad=0.65, borderpad=0.1, numpoints=1, scatterpoints=1, markerscale=1.0,
            )  # fmt: skip
            for text in legend.get_texts():
                text.set(**LITERAL)

    def _fraction(self, box: Box) -> tuple[float, float, float, float]:
        bottom = self.height - box.top - box.height
        return box.left / self.width, bottom / self.height, box.width / self.width, box.height / self.height

    def _line(self, text: str, top: float, size: float, **style: Any) -> None:
        """A line of the heading, cut where it would leave the picture."""
        line = drawable(text)
        style = {"va": "top", "fontsize": size, **LITERAL, **style}
        drawn = self.figure.text(MARGIN / self.width, 1 - top / self.height, line, **style)
        room = (self.width - 2 * MARGIN) * DPI
        while len(line) > 1 and (wide := drawn.get_window_extent().width) > room:
            line = line[: min(len(line) - 2, int(len(line) * room / wide))].rstrip()
            drawn.set_text(line + "…")


def _figure(width: float, height: float, ground: str) -> Figure:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError("pictures need matplotlib: pip install 'backtest-kit[charts]'") from error
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor=ground)
    figure.set_layout_engine("none")
    FigureCanvasAgg(figure)
    return figure
