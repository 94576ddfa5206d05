"""Pictures of a run, with matplotlib: a `Figure` that can be changed further, and saved as PNG or SVG.

`draw(run, "equity")` makes one by name; each kind is a function as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from backtest_kit.errors import ConfigError, UnknownNameError
from backtest_kit.reports.charts.account import equity_chart, monthly_chart
from backtest_kit.reports.charts.candles import candles_chart
from backtest_kit.reports.charts.heat import heat_chart
from backtest_kit.reports.charts.overview import overview
from backtest_kit.reports.charts.picture_files import png, save, svg
from backtest_kit.reports.charts.trades import trades_chart

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from backtest_kit.reports.run import RunData

__all__ = [
    "KINDS",
    "candles_chart",
    "draw",
    "equity_chart",
    "heat_chart",
    "monthly_chart",
    "overview",
    "png",
    "save",
    "svg",
    "trades_chart",
]

KINDS: dict[str, Callable[..., Any]] = {
    "overview": overview,
    "candles": candles_chart,
    "equity": equity_chart,
    "months": monthly_chart,
    "trades": trades_chart,
    "heat": heat_chart,
}


def draw(run: RunData, kind: str = "overview", *, theme: str = "light", **options: object) -> Figure:
    """The picture of that name on a "light" or "dark" ground.

    `symbol=` goes to candles and overview, `across="duration"` to trades. Raises UnknownNameError for a name that does
    not exist, and ConfigError for an option that the picture does not have, or without matplotlib.
    """
    if kind not in KINDS:
        raise UnknownNameError("picture", kind, KINDS)
    accepted = set(KINDS[kind].__annotations__) - {"run", "return"}
    for name in options:
        if name not in accepted:
            raise ConfigError(f"the picture {kind!r} has no option {name!r}; it has {', '.join(sorted(accepted))}")
    figure: Figure = KINDS[kind](run, theme=theme, **options)
    return figure
