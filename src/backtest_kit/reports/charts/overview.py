"""One page with the most telling pictures of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtest_kit.reports.charts.account import ROW as YEAR
from backtest_kit.reports.charts.account import draw_account, draw_months, month_rows
from backtest_kit.reports.charts.candles import draw_candles, symbol_of
from backtest_kit.reports.charts.canvas import FOOT, Box, Canvas
from backtest_kit.reports.charts.heat import ROW, draw_heat, heat_rows
from backtest_kit.reports.charts.scales import shown_days
from backtest_kit.reports.charts.trades import draw_trades
from backtest_kit.reports.charts.wording import change, number, percent
from backtest_kit.reports.tables import NOT_AVAILABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from backtest_kit.reports.run import RunData

MOST_SYMBOLS, MOST_YEARS = 8, 6
TOP = 0.95  # inches: the heading has no panel title below it


def overview(run: RunData, symbol: str | None = None, *, theme: str = "light") -> Figure:
    """Key figures, the account, candles of one symbol, months, trades; of several symbols their figures as well.

    Raises UnknownNameError for a symbol that is not of the run.
    """
    symbol = symbol_of(run, symbol)
    parts: list[tuple[float, float, Callable[[Box], None]]] = [  # inches above, height, what draws it
        (0.0, 0.55, lambda box: _write_figures(canvas, box, run)),
        (0.5, 4.2, lambda box: draw_account(canvas, box, run)),
        (0.65, 3.6, lambda box: draw_candles(canvas, box, run, symbol)),
        (0.65, 2.6, lambda box: draw_trades(canvas, box, run)),
        (0.9, YEAR * (month_rows(run, MOST_YEARS) or 2),
         lambda box: draw_months(canvas, box, run, "Return by month", MOST_YEARS)),
    ]  # fmt: skip
    if len(run.heat.symbols) > 1:
        rows = len(heat_rows(run.heat, MOST_SYMBOLS))
        parts.append((0.75, ROW * rows, lambda box: draw_heat(canvas, box, run, "Symbols", MOST_SYMBOLS)))
    height = TOP + sum(above + height for above, height, _ in parts) + FOOT
    canvas = Canvas(13, height, theme, run.title, shown_days(run))
    top = TOP
    for above, height, add in parts:
        add(Box(canvas.body.left, top + above, canvas.body.width, height))
        top += above + height
    return canvas.figure


def key_figures(run: RunData) -> tuple[tuple[str, str], ...]:
    """What is asked first, by name, as it is written."""
    account, statistics = run.account, run.statistics

    def ratio(value: float) -> str:
        return number(value, 2)

    return (
        ("Return", _or_missing(account.total_return, change)),
        ("Buy and hold", _or_missing(account.benchmark_return, change)),
        ("CAGR", _or_missing(account.cagr, change)),
        ("Max drawdown", _or_missing(account.max_drawdown, percent)),
        ("Sharpe, daily", _or_missing(account.sharpe_ratio, ratio)),
        ("Trades", number(statistics.total_trades, 0)),
        ("Win rate", _or_missing(statistics.win_rate, percent)),
        ("Profit factor", _or_missing(statistics.profit_factor, ratio)),
    )


def _or_missing(value: float | None, written: Callable[[float], str]) -> str:
    return NOT_AVAILABLE if value is None else written(value)


def _write_figures(canvas: Canvas, box: Box, run: RunData) -> None:
    """A row of figures, each with its name above it."""
    figures = key_figures(run)
    axes = canvas.panel(box)
    axes.set_axis_off()
    for i, (name, value) in enumerate(figures):
        x = i / len(figures)
        canvas.write(axes, x, 0.95, name, transform=axes.transAxes, va="top", color=canvas.theme.muted)
        canvas.write(axes, x, 0.0, value, transform=axes.transAxes, va="bottom", fontsize=15, fontweight="bold")
