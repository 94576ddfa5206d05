"""Candles with everything that was traded on them: entries, exits, partial exits, take profits and stops."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from msgspec import Struct

from backtest_kit.core.candles import Candles, Floats, Mask, Times
from backtest_kit.core.values import MINUTE
from backtest_kit.errors import UnknownNameError
from backtest_kit.reports.charts.canvas import CROWD, Box, Canvas
from backtest_kit.reports.charts.scales import date_axis, number_axis, on_axis, show_between, shown_days, shown_times
from backtest_kit.reports.charts.wording import drawable, number, span
from backtest_kit.reports.trades import Trade

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from backtest_kit.reports.run import RunData

MOST_CANDLES = 420  # more of them side by side are no longer seen as candles
_DAY = 1440 * MINUTE
_STEPS = tuple(each * MINUTE for each in (1, 3, 5, 15, 30, 60, 120, 240, 360, 480, 720)) + tuple(
    each * _DAY for each in (1, 2, 3, 7, 14, 28, 91, 182, 364)
)
MarkKind = Literal["long", "short", "average", "partial", "exit_gain", "exit_loss"]


class Bars(Struct, frozen=True, eq=False):
    """Candles as they are drawn: columns without missing rows; `times` are openings in epoch ms, `step` is in ms."""

    step: int
    times: Times
    open: Floats
    high: Floats
    low: Floats
    close: Floats


class Mark(Struct, frozen=True):
    """An order of a trade as a point of the picture: epoch ms and price."""

    kind: MarkKind
    time: int
    price: float


def candles_chart(run: RunData, symbol: str | None = None, *, theme: str = "light") -> Figure:
    """The candles of one symbol with its trades; without a name that of the symbol that was traded most.

    Raises UnknownNameError for a symbol that is not of the run.
    """
    symbol = symbol_of(run, symbol)
    canvas = Canvas(13, 7.2, theme, run.title, f"{symbol} · {shown_days(run)}")
    draw_candles(canvas, canvas.body, run, symbol)
    return canvas.figure


def symbol_of(run: RunData, symbol: str | None) -> str:
    """The symbol that is meant: the one named, or the one with most trades, the first of equals."""
    priced, traded = [each.symbol for each in run.prices], [each.symbol for each in run.trades]
    known = tuple(dict.fromkeys([*run.facts.symbols, *priced, *traded]))
    if symbol is not None:
        if symbol not in known:
            raise UnknownNameError("symbol", symbol, known)
        return symbol
    counts = dict.fromkeys(known, 0)
    for each in run.trades:
        counts[each.symbol] += 1
    return max(known, key=lambda each: counts[each], default="")


def draw_candles(canvas: Canvas, box: Box, run: RunData, symbol: str) -> None:
    """A panel with candles, and the trades on them."""
    trades = [each for each in run.trades if each.symbol == symbol]
    bars = next((bars_of(each.candles) for each in run.prices if each.symbol == symbol), None)
    drawn = bars is not None and len(bars.times) > 0
    name = drawable(symbol, 20)
    axes = canvas.panel(box, f"{name}, {span(bars.step)} candles" if bars and drawn else name)
    if not drawn and not trades:
        return canvas.note(axes, "No candles were kept, and nothing was traded")
    if bars and drawn:
        _add_bars(canvas, axes, bars)
    _add_levels(canvas, axes, trades)
    marks = [mark for each in trades for mark in marks_of(each)]
    _add_marks(canvas, axes, marks)
    show_between(axes, *_range(bars, marks))
    number_axis(axes, ticks=8)
    date_axis(axes, *shown_times(run))
    return canvas.legend(axes)


def bars_of(candles: Candles, most: int = MOST_CANDLES) -> Bars:
    """Candles without missing ones, put together until there are at most so many.

    The longer ones begin at multiples of their length. One of which a part is missing is made of the rest.
    """
    interval, count = int(candles.interval), len(candles)
    longer = (step for step in _STEPS if step % interval == 0 and step >= interval and count * interval / step <= most)
    step = next(longer, -(-count // most) * interval)
    size, first = step // interval, candles.start % step // interval
    rows = -(-(first + count) // size) if count else 0
    table = np.full((4, rows * size), np.nan)
    table[:, first : first + count] = candles.open, candles.high, candles.low, candles.close
    times = candles.start // step * step + np.arange(rows, dtype=np.int64) * step
    return _joined(step, times, table.reshape(4, rows, size))


def _joined(step: int, times: Times, table: Floats) -> Bars:
    there: Mask = np.logical_and.reduce(np.isfinite(table))
    some: Mask = np.logical_or.reduce(there, axis=1)
    times, table, there = times[some], table[:, some], there[some]
    rows = np.arange(len(times))
    first = there.argmax(axis=1)
    last = there.shape[1] - 1 - there[:, ::-1].argmax(axis=1)
    return Bars(
        step=step,
        times=times,
        open=table[0, rows, first],
        high=np.where(there, table[1], -np.inf).max(axis=1, initial=-np.inf),
        low=np.where(there, table[2], np.inf).min(axis=1, initial=np.inf),
        close=table[3, rows, last],
    )


def marks_of(trade: Trade) -> tuple[Mark, ...]:
    """The orders of a trade; of one whose orders were not recorded its effective entry and its exit."""
    out: MarkKind = "exit_gain" if trade.pnl_percent > 0 else "exit_loss"
    if not trade.legs:
        return Mark(trade.position, trade.opened_at, trade.price_open), Mark(out, trade.closed_at, trade.price_close)
    kinds: dict[str, MarkKind] = {"entry": trade.position, "average": "average", "exit": out}
    return tuple(Mark(kinds.get(leg.kind, "partial"), leg.time, leg.price) for leg in trade.legs)


def _add_bars(canvas: Canvas, axes: Axes, bars: Bars) -> None:
    """All candles as two collections of lines: wicks, and bodies as thick lines would not scale, as polygons."""
    from matplotlib.collections import LineCollection, PolyCollection

    theme = canvas.theme
    centre, half = on_axis(bars.times + bars.step // 2), bars.step / _DAY * 0.36
    colours = np.where(bars.close >= bars.open, theme.candle_up, theme.candle_down)
    wicks = np.stack([np.stack([centre, bars.low], 1), np.stack([centre, bars.high], 1)], 1)
    axes.add_collection(LineCollection(list(wicks), colors=colours, linewidths=0.8, label="_wicks"), autolim=False)
    left, right = centre - half, centre + half
    corners = [(left, bars.open), (right, bars.open), (right, bars.close), (left, bars.close)]
    bodies = np.stack([np.stack(each, 1) for each in corners], 1)
    style: dict[str, Any] = {"facecolors": colours, "edgecolors": colours, "linewidths": 0.6, "label": "_bodies"}
    axes.add_collection(PolyCollection(list(bodies), **style), autolim=False)


def _add_levels(canvas: Canvas, axes: Axes, trades: Sequence[Trade]) -> None:
    """Take profit and stop over the life of each trade, and its way from entry to exit."""
    theme, faint = canvas.theme, _faintness(len(trades))
    levels = [(each.price_take_profit, each) for each in trades], [(each.price_stop_loss, each) for each in trades]
    for pairs, colour, name in zip(levels, (theme.gain, theme.loss), ("Take profit", "Stop loss"), strict=True):
        lines = [((each.opened_at, price), (each.closed_at, price)) for price, each in pairs if price is not None]
        _add_lines(axes, lines, name, colors=colour, linewidths=1.0, linestyles=(0, (3, 2)), alpha=0.9 * faint)
    ways = [((each.opened_at, each.price_open), (each.closed_at, each.price_close)) for each in trades]
    colours = [theme.gain if each.pnl_percent > 0 else theme.loss for each in trades]
    _add_lines(axes, ways, "_trades", colors=colours, linewidths=1.1, alpha=faint)


def _add_lines(axes: Axes, lines: Sequence[Any], name: str, **style: Any) -> None:
    """Lines between points of epoch ms and price, as one collection."""
    from matplotlib.collections import LineCollection

    if lines:
        points = np.array(lines, dtype=float)
        points[:, :, 0] = on_axis(points[:, :, 0])
        lines_of_trades = LineCollection(list(points), label=name, zorder=2.5, rasterized=len(lines) > CROWD, **style)
        axes.add_collection(lines_of_trades, autolim=False)


def _add_marks(canvas: Canvas, axes: Axes, marks: Iterable[Mark]) -> None:
    """All orders of a kind as one row of markers; the legend counts them."""
    theme = canvas.theme
    looks: dict[MarkKind, tuple[str, str, str, float]] = {
        "long": ("Long", "^", theme.account, 1.0),
        "short": ("Short", "v", theme.account, 1.0),
        "average": ("Average", "P", theme.account, 0.85),
        "partial": ("Partial exit", "D", theme.ink, 0.6),
        "exit_gain": ("Exit with gain", "o", theme.gain, 0.75),
        "exit_loss": ("Exit with loss", "o", theme.loss, 0.75),
    }
    points: dict[MarkKind, list[Mark]] = {}
    for each in marks:
        points.setdefault(each.kind, []).append(each)
    count = sum(map(len, points.values())) // 2
    size, edge = 8.5 * _faintness(count, lowest=0.35), 0.7 if count < 300 else 0.0
    for kind, (name, marker, colour, share) in looks.items():
        if own := points.get(kind):
            axes.plot(
                on_axis([each.time for each in own]), [each.price for each in own], linestyle="none", marker=marker,
                markersize=size * share, color=colour, markeredgecolor=theme.ground, markeredgewidth=edge,
                alpha=1.0 if count < 300 else 0.5, label=f"{name} {number(len(own), 0)}", zorder=3, scalex=False,
                scaley=False, clip_on=False, rasterized=len(own) > CROWD,
            )  # fmt: skip


def _faintness(count: int, lowest: float = 0.25) -> float:
    """1 for a few trades, less the more there are, so that a crowd stays readable."""
    return float(max(lowest, min(1.0, (60 / max(count, 1)) ** 0.25)))


def _range(bars: Bars | None, marks: Sequence[Mark]) -> tuple[float, float]:
    """The prices to show: of candles and orders; a far take profit must not press the candles flat."""
    prices = np.array([each.price for each in marks])
    if bars is not None and len(bars.times):
        prices = np.concatenate([prices, bars.high, bars.low])
    return float(prices.min()), float(prices.max())
