"""The heat table as a report: a row of metrics for every symbol, and one for all their trades in one sample."""

from __future__ import annotations

from collections.abc import Iterable

from backtest_kit.reports.metrics import METRICS, Metric, lines
from backtest_kit.reports.pooled import Heat, SymbolStatistics, heat
from backtest_kit.reports.report import Report, Subject
from backtest_kit.reports.rows import Rows
from backtest_kit.reports.statistics import Statistics
from backtest_kit.reports.tables import Column
from backtest_kit.reports.trades import Trade

POOLED = "all, pooled"
"""What stands in place of a symbol in the row of all trades."""


class HeatStatistics(Subject, frozen=True):
    """The symbols, best Sharpe ratio first, and the statistics of all trades pooled into one sample."""

    rows: Rows[SymbolStatistics]
    portfolio: Statistics

    @classmethod
    def of(cls, found: Heat) -> HeatStatistics:
        return cls(Rows(found.symbols, SymbolStatistics), found.portfolio)

    def with_pooled(self) -> Rows[SymbolStatistics]:
        """The symbols and, below them, all pooled."""
        return Rows((*self.rows, SymbolStatistics(POOLED, self.portfolio)) if self.rows else ())

    def report(self, title: str = "Symbols") -> Report[SymbolStatistics]:
        return Report(
            title=title,
            heading="By symbol",
            columns=COLUMNS,
            rows=self.with_pooled(),
            empty="No trades have been closed yet.",
            summary=lines((each for each in METRICS if each.key in _USUAL), self.portfolio),
            further=FURTHER_COLUMNS,
            keep="first",
        )


def heat_statistics(trades: Iterable[Trade]) -> HeatStatistics:
    """The statistics of each symbol and of all trades pooled."""
    return HeatStatistics.of(heat(trades))


def metric_column(metric: Metric) -> Column[SymbolStatistics]:
    """The column of one metric of a symbol."""
    return Column(metric.key, metric.title, lambda row: getattr(row.statistics, metric.key), metric.write)


_USUAL = ("total_trades", "win_rate", "total_pnl", "profit_factor", "sharpe_ratio", "max_drawdown")

COLUMNS: tuple[Column[SymbolStatistics], ...] = (
    Column("symbol", "Symbol", lambda row: row.symbol),
    *(metric_column(each) for each in METRICS if each.key in _USUAL),
)
FURTHER_COLUMNS = tuple(metric_column(each) for each in METRICS if each.key not in _USUAL)
