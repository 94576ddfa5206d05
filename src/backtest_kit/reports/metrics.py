"""Figures as readers meet them: the plain name, the unit and the digits of every one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct

from backtest_kit.reports.tables import (
    NOT_AVAILABLE,
    Column,
    count,
    four_digits,
    markdown_table,
    one_digit,
    plain,
    two_digits,
)
from backtest_kit.reports.trades import Missing


class Metric(Struct, frozen=True):
    """A figure of some statistics: `key` is its field there, with plain name, unit, and how its number is written."""

    key: str
    title: str
    unit: str
    format: Callable[[Any], str]

    def write(self, value: Any) -> str:
        """A value that is not None, with its unit."""
        return f"{self.format(value)} {self.unit}".rstrip()

    def text(self, statistics: object) -> str:
        """The value in `statistics` with its unit, or N/A."""
        value = getattr(statistics, self.key)
        return NOT_AVAILABLE if value is None else self.write(value)

    def line(self, statistics: object) -> Line:
        """The figure as it stands in a report, with the reason where it is missing."""
        missing: Mapping[str, str] = getattr(statistics, "missing", {})
        return Line(self.title, self.text(statistics), missing.get(self.key, ""))


class Line(Struct, frozen=True):
    """One figure of a report: its name, its value as text, and why there is none, where it is N/A."""

    name: str
    text: str
    why: str = ""


LINE_COLUMNS: tuple[Column[Line], ...] = (
    Column("name", "Metric", lambda line: line.name),
    Column("text", "Value", lambda line: line.text),
    Column("why", "Why not", lambda line: line.why),
)


def lines(metrics: Iterable[Metric], statistics: object) -> tuple[Line, ...]:
    """Every metric of `statistics` as a line, in the order of `metrics`."""
    return tuple(each.line(statistics) for each in metrics)


def metrics_table(metrics: Iterable[Metric], statistics: object) -> str:
    """A Markdown table of metrics: plain name, value and unit, and the reason where there is none."""
    return markdown_table(LINE_COLUMNS, lines(metrics, statistics))


def with_reasons(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a statistics struct: a `Missing` becomes None, and its reason goes to the field `missing`."""
    missing = {name: each.reason for name, each in figures.items() if type(each) is Missing}
    return {**figures, **dict.fromkeys(missing), "missing": missing}


METRICS = (
    Metric("total_trades", "Closed trades", "", count),
    Metric("win_count", "Winners", "", count),
    Metric("loss_count", "Losers", "", count),
    Metric("win_rate", "Win rate", "%", two_digits),
    Metric("total_pnl", "Total profit (sum over trades)", "%", four_digits),
    Metric("avg_pnl", "Mean profit per trade", "%", four_digits),
    Metric("median_pnl", "Median profit per trade", "%", four_digits),
    Metric("avg_win", "Mean win", "%", four_digits),
    Metric("avg_loss", "Mean loss", "%", four_digits),
    Metric("std_dev", "Standard deviation per trade", "%", four_digits),
    Metric("max_drawdown", "Maximum drawdown (whole account in every trade)", "%", two_digits),
    Metric("profit_factor", "Profit factor", "", four_digits),
    Metric("expectancy", "Expectancy per trade", "%", four_digits),
    Metric("certainty_ratio", "Mean win / mean loss", "", four_digits),
    Metric("sharpe_ratio", "Sharpe ratio per trade", "", four_digits),
    Metric("annualized_sharpe_ratio", "Sharpe ratio per year", "", four_digits),
    Metric("sortino_ratio", "Sortino ratio per trade", "", four_digits),
    Metric("calmar_ratio", "Calmar ratio", "", four_digits),
    Metric("recovery_factor", "Recovery factor", "", four_digits),
    Metric("expected_yearly_returns", "Expected yearly return", "%", two_digits),
    Metric("trades_per_year", "Trades per year", "", one_digit),
    Metric("avg_duration", "Mean duration", "min", one_digit),
    Metric("avg_win_duration", "Mean duration of winners", "min", one_digit),
    Metric("avg_loss_duration", "Mean duration of losers", "min", one_digit),
    Metric("max_win_streak", "Longest winning streak", "trades", count),
    Metric("max_loss_streak", "Longest losing streak", "trades", count),
    Metric("avg_consecutive_win_pnl", "Mean profit of a winning streak", "%", four_digits),
    Metric("avg_consecutive_loss_pnl", "Mean loss of a losing streak", "%", four_digits),
    Metric("avg_peak_pnl", "Mean best moment of a trade", "%", four_digits),
    Metric("avg_fall_pnl", "Mean worst moment of a trade", "%", four_digits),
    Metric("peak_profit_pnl", "Best moment of any trade", "%", four_digits),
    Metric("max_drawdown_pnl", "Worst moment of any trade", "%", four_digits),
    Metric("median_step_size", "Median step between closing prices", "%", four_digits),
    Metric("buyer_pressure", "Buyer pressure (share of steps up)", "", four_digits),
    Metric("seller_pressure", "Seller pressure (share of steps down)", "", four_digits),
    Metric("buyer_strength", "Buyer strength (share of distance up)", "", four_digits),
    Metric("seller_strength", "Seller strength (share of distance down)", "", four_digits),
    Metric("pressure_imbalance", "Strength of buyers less that of sellers", "", four_digits),
    Metric("trend", "Trend of closing prices", "", plain),
    Metric("trend_strength", "Slope of the trend", "%/day", four_digits),
    Metric("trend_confidence", "Fit of the trend (R²)", "", four_digits),
)
"""Every metric of `Statistics`, in the order in which reports show them."""

ACCOUNT_METRICS = (
    Metric("initial_balance", "Initial balance", "", two_digits),
    Metric("final_balance", "Final balance", "", two_digits),
    Metric("total_return", "Return", "%", two_digits),
    Metric("benchmark_return", "Return of buying and holding", "%", two_digits),
    Metric("days", "Length of the run", "days", one_digit),
    Metric("cagr", "Yearly growth (CAGR)", "%", two_digits),
    Metric("volatility", "Volatility per year", "%", two_digits),
    Metric("sharpe_ratio", "Sharpe ratio of daily returns, per year", "", four_digits),
    Metric("sortino_ratio", "Sortino ratio of daily returns, per year", "", four_digits),
    Metric("calmar_ratio", "Calmar ratio", "", four_digits),
    Metric("max_drawdown", "Maximum drawdown", "%", two_digits),
    Metric("max_drawdown_days", "Time until it was made good, or to the end", "days", one_digit),
    Metric("best_day", "Best day", "%", two_digits),
    Metric("worst_day", "Worst day", "%", two_digits),
    Metric("alpha", "Alpha against buying and holding, per year", "%", two_digits),
    Metric("beta", "Beta against buying and holding", "", four_digits),
    Metric("average_exposure", "Mean exposure", "%", two_digits),
    Metric("max_exposure", "Largest exposure", "%", two_digits),
    Metric("time_in_market", "Time in the market", "%", two_digits),
    Metric("turnover", "Turnover: the account traded per year", "times", two_digits),
)
"""The metrics of `Account` but its costs, in the order in which reports show them."""

COST_METRICS = (
    Metric("fees", "Fees", "", two_digits),
    Metric("slippage", "Slippage", "", two_digits),
    Metric("cost_share", "Share of the profit before costs", "%", two_digits),
)
"""What trading took, as `Account` states it."""


def interval(value: Any) -> str:
    """A confidence interval, `low` to `high`."""
    return f"{four_digits(value.low)} to {four_digits(value.high)}"


SIGNIFICANCE_METRICS = (
    Metric("avg_pnl", "Mean profit per trade", "%", interval),
    Metric("win_rate", "Win rate", "%", interval),
    Metric("sharpe_ratio", "Sharpe ratio per trade", "", interval),
    Metric("profit_factor", "Profit factor", "", interval),
    Metric("p_value", "Chance of such a mean profit without an edge (p)", "", four_digits),
    Metric("probabilistic_sharpe_ratio", "Probability that the Sharpe ratio is above zero", "", four_digits),
    Metric("deflated_sharpe_ratio", "The same, given how many variants were tried", "", four_digits),
    Metric("trials", "Variants tried", "", count),
    Metric("minimum_track_record_length", "Trades needed to be 95 % sure of it", "", count),
)
"""The metrics of `Significance`, in the order in which reports show them; the first four are intervals."""
