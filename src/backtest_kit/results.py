"""What a run leaves behind for people: numbers, text, tables, pictures, pages."""

from __future__ import annotations

from collections.abc import Generator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from backtest_kit.reports.encoders import trades_csv
from backtest_kit.reports.files import write_text
from backtest_kit.reports.html.page import html_report
from backtest_kit.reports.kinds.live import LiveStatistics, live
from backtest_kit.reports.markdown import backtest_report
from backtest_kit.reports.notebook import run_html
from backtest_kit.reports.run import RunData
from backtest_kit.reports.statistics import METRIC_NAMES
from backtest_kit.reports.tables import Columns
from backtest_kit.version import __version__

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Self = TypeVar("Self", bound="Result")


class Result(RunData):
    """What a run has brought about.

    Every figure per trade is an attribute: `result.win_rate`, `result.sharpe_ratio` (None: not sayable). `account` has
    those over time, `significance` how far they can be trusted, `findings` what a professional would notice. `trades`,
    `events` and `equity` are tuples that become DataFrames (`.to_pandas()`, `.to_polars()`) or files (`.to_csv(path)`).
    """

    def __getattr__(self, name: str) -> Any:
        if name in METRIC_NAMES:
            return getattr(self.statistics, name)
        raise AttributeError(f"a result has no attribute {name!r}")

    def __await__(self: Self) -> Generator[None, None, Self]:
        return self
        yield

    def to_markdown(self, columns: Columns[Any] = None) -> str:
        """The report as markdown. `columns` chooses those of the trades by name, and adds new ones (`Column`)."""
        return backtest_report(self, columns=columns)

    def to_csv(self) -> str:
        """The trades as CSV."""
        return trades_csv(self.trades)

    def to_html(self) -> str:
        """The report as one page that needs nothing else, neither files nor a network."""
        return html_report(self, version=__version__)

    def html(self, path: str | Path) -> Path:
        """Writes `to_html()` to a file, whole or not at all. Raises ConfigError that names the path."""
        return write_text(Path(path), self.to_html())

    def plot(self, path: str | Path | None = None, *, kind: str = "overview", **options: Any) -> Figure:
        """A picture, as a matplotlib `Figure`; with `path` also written to a `.png` or `.svg` file.

        `kind`: "overview", "candles", "equity", "months", "trades" or "heat"; options: `symbol` (of "candles"),
        `theme="dark"`. Needs `backtest-kit[charts]`.
        """
        from backtest_kit.reports.charts import draw, save

        figure = draw(self, kind, **options)
        if path is not None:
            save(figure, Path(path))
        return figure

    def _repr_html_(self) -> str:
        return run_html(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.trades)} trades, total pnl {self.statistics.total_pnl} %)"


class BacktestResult(Result):
    """What a backtest has brought about."""


class LiveResult(Result):
    """What live or paper trading has brought about so far, read from the ledger: the same after a restart.

    `events` has every tick event that is kept (idle, opened, active, closed, …), `latest` one row a signal.
    """

    @cached_property
    def latest(self) -> LiveStatistics:
        """The latest state of every signal, and how many events of each kind there were."""
        return live(self.events, self.trades)

    def to_markdown(self, columns: Columns[Any] = None) -> str:
        """The report as markdown: the latest state of every signal, and the figures over all closed trades."""
        return self.latest.to_markdown(self.title, columns, self.max_rows)
