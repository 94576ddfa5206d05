"""Every figure of a run with a plain explanation, as the HTML report shows them.

The explanations are for a reader who trades and does not compute; the exact formulas stand where the figures are made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from backtest_kit.reports.account import Account
from backtest_kit.reports.html.tables import Cell, table
from backtest_kit.reports.metrics import METRICS
from backtest_kit.reports.run import RunData
from backtest_kit.reports.significance import IntervalOf, Significance
from backtest_kit.reports.statistics import Statistics
from backtest_kit.reports.tables import NOT_AVAILABLE


class Explained(Struct, frozen=True):
    """A figure as a reader meets it: its field, name, unit, digits after the point, and what it says."""

    key: str
    title: str
    unit: str
    digits: int
    explanation: str


ACCOUNT_FIGURES = (
    Explained("initial_balance", "Initial balance", "", 2, "Money in the account when the run began."),
    Explained("final_balance", "Final balance", "", 2, "Money in the account when it ended, all costs paid."),
    Explained("total_return", "Total return", "%", 2, "What the account gained from beginning to end."),
    Explained("days", "Length", "days", 1, "How long the account was watched."),
    Explained("cagr", "Return per year (CAGR)", "%", 2, "The steady yearly growth that leads to the same end."),
    Explained("benchmark_return", "Buy and hold", "%", 2, "What the same money made in equal parts of all symbols."),
    Explained("alpha", "Alpha per year", "%", 2, "The yearly return that the market's own movement does not explain."),
    Explained(
        "beta", "Beta", "", 4, "How far the account moves when the market moves by one: 0 not at all, 1 with it."
    ),
    Explained("volatility", "Volatility per year", "%", 2, "How much daily returns scatter, scaled to a year."),
    Explained("sharpe_ratio", "Sharpe ratio", "", 4, "Mean daily return over its scatter, for a year. 1 is decent."),
    Explained("sortino_ratio", "Sortino ratio", "", 4, "Like Sharpe, but only losing days count as risk."),
    Explained("calmar_ratio", "Calmar ratio", "", 4, "Yearly return over the maximum drawdown."),
    Explained("max_drawdown", "Maximum drawdown", "%", 2, "The deepest fall from a high, open positions included."),
    Explained(
        "max_drawdown_days",
        "Length of that drawdown",
        "days",
        1,
        "From its high until the account was as high again, or to the end.",
    ),
    Explained("best_day", "Best day", "%", 2, "The highest return of one day (UTC)."),
    Explained("worst_day", "Worst day", "%", 2, "The lowest return of one day (UTC)."),
    Explained("average_exposure", "Mean exposure", "%", 2, "Market value of open positions, as a part of the account."),
    Explained(
        "max_exposure", "Highest exposure", "%", 2, "The most that was at stake at one time; over 100 is leverage."
    ),
    Explained("time_in_market", "Time in the market", "%", 2, "Share of the time with a position open."),
    Explained(
        "turnover", "Turnover per year", "×", 2, "How often the account is traded over in a year; costs follow it."
    ),
    Explained("fees", "Fees", "", 2, "Money paid to the exchange."),
    Explained("slippage", "Slippage", "", 2, "Money lost between the price seen and the price got."),
    Explained("cost_share", "Share of costs", "%", 2, "The part of the profit before costs that they took."),
)
"""Every figure of `Account`, in the order in which the page shows them."""

SIGNIFICANCE_FIGURES = (
    Explained("avg_pnl", "Mean profit per trade lies in", "%", 4, "If zero lies inside, the edge may be nothing."),
    Explained("win_rate", "Win rate lies in", "%", 2, "How far the share of winners may be off by chance."),
    Explained("sharpe_ratio", "Sharpe ratio per trade lies in", "", 4, "How far the ratio may be off by chance."),
    Explained("profit_factor", "Profit factor lies in", "", 4, "Below 1 the strategy loses."),
    Explained("p_value", "Chance of this without an edge (p-value)", "", 4, "Small is good; 0.05 is the usual limit."),
    Explained(
        "probabilistic_sharpe_ratio",
        "Probability that the Sharpe ratio is above zero",
        "",
        4,
        "Counts the number of trades and how lopsided they are; 0.95 is the usual limit.",
    ),
    Explained(
        "deflated_sharpe_ratio",
        "The same, less what trying variants gives away",
        "",
        4,
        "The best of many tries looks good by luck; this takes the luck out.",
    ),
    Explained(
        "minimum_track_record_length",
        "Trades needed to be sure",
        "trades",
        0,
        "With fewer trades a Sharpe ratio like this can still be chance.",
    ),
    Explained("trials", "Variants tried", "", 0, "How many were tried before this one, as far as was stated."),
)
"""Every figure of `Significance`, in the order in which the page shows them."""

EXPLANATIONS: Mapping[str, str] = {
    "total_trades": "How many trades were opened and closed.",
    "win_count": "Trades that made money after costs.",
    "loss_count": "Trades that lost money after costs.",
    "win_rate": "Winners among the trades that won or lost. It says nothing without the sizes of wins and losses.",
    "total_pnl": "All profits in percent of what each trade invested, added up and not compounded.",
    "avg_pnl": "What a trade makes on average, in percent of what it invested.",
    "median_pnl": "Half of the trades did better, half worse; far from the mean, a few trades decide.",
    "avg_win": "What a winner makes on average.",
    "avg_loss": "What a loser costs on average.",
    "std_dev": "How much the profits of single trades scatter.",
    "max_drawdown": "The deepest fall, had every trade been made with the whole account, one after the other.",
    "profit_factor": "What was won for each unit lost. Below 1 the strategy loses.",
    "expectancy": "What the next trade may be expected to make, from win rate, mean win and mean loss.",
    "certainty_ratio": "How many mean losses one mean win pays for.",
    "sharpe_ratio": "Mean profit of a trade over its scatter.",
    "annualized_sharpe_ratio": "The ratio per trade, scaled by the number of trades in a year.",
    "sortino_ratio": "Mean profit of a trade over the scatter of the losing ones alone.",
    "calmar_ratio": "Expected yearly return over the maximum drawdown of the whole-account walk.",
    "recovery_factor": "What was gained in all, as a multiple of the deepest fall.",
    "expected_yearly_returns": "What a year at this pace would make with the whole account in every trade.",
    "trades_per_year": "The pace of trading, scaled to a year.",
    "avg_duration": "How long a trade was open.",
    "avg_win_duration": "How long winners were open.",
    "avg_loss_duration": "How long losers were open. Much longer than winners: losses are being sat out.",
    "max_win_streak": "The most winners in a row.",
    "max_loss_streak": "The most losers in a row: be ready to sit through it.",
    "avg_consecutive_win_pnl": "What a row of winners brought, on average.",
    "avg_consecutive_loss_pnl": "What a row of losers cost, on average.",
    "avg_peak_pnl": "How far trades were ahead at their best. Far above the mean profit: exits come late.",
    "avg_fall_pnl": "How far trades were behind at their worst.",
    "peak_profit_pnl": "The best that any trade looked while it was open.",
    "max_drawdown_pnl": "The worst that any trade looked while it was open.",
    "median_step_size": "How far the price usually moved between two exits.",
    "buyer_pressure": "How often the price had risen from one exit to the next.",
    "seller_pressure": "How often it had fallen.",
    "buyer_strength": "How much of all the movement between exits went up.",
    "seller_strength": "How much of it went down.",
    "pressure_imbalance": "Above zero the market rose more than it fell, below it fell more.",
    "trend": "Which way the market went, judged by the prices of the exits.",
    "trend_strength": "How steep that trend is.",
    "trend_confidence": "How well a straight trend fits: 1 perfectly, 0 not at all.",
}
"""What each metric of `Statistics` says, by its name."""

_HEADS = ("Figure", Cell("Value", "n"), "What it says")


def figure_tables(run: RunData) -> tuple[str, ...]:
    """Three tables: the account, how far it can be trusted, and the trades; each figure explained."""
    return (
        table("The account over time", _HEADS, explained_rows(ACCOUNT_FIGURES, run.account), "figures"),
        table(
            "How far the result can be trusted",
            _HEADS,
            explained_rows(SIGNIFICANCE_FIGURES, run.significance),
            "figures",
        ),
        table("Per trade, in percent of what it invested", _HEADS, metric_rows(run.statistics), "figures"),
    )


def metric_rows(statistics: Statistics) -> list[tuple[Cell | str, ...]]:
    """A row for every metric: name, value with unit, explanation and, where there is no value, why."""
    missing = statistics.missing
    return [
        (each.title, _value(each.text(statistics)), _why(EXPLANATIONS[each.key], missing.get(each.key)))
        for each in METRICS
    ]


def explained_rows(figures: Sequence[Explained], found: Account | Significance) -> list[tuple[Cell | str, ...]]:
    """A row for every figure: name, value with unit, explanation and, where there is no value, why."""
    return [
        (
            each.title,
            _value(_written(each, getattr(found, each.key))),
            _why(each.explanation, found.missing.get(each.key)),
        )
        for each in figures
    ]


def _written(figure: Explained, value: Any) -> str:
    if value is None:
        return NOT_AVAILABLE
    if isinstance(value, IntervalOf):
        between = f"{value.low:,.{figure.digits}f} to {value.high:,.{figure.digits}f} {figure.unit}".rstrip()
        return f"{between} ({value.level:g} %)"
    return f"{value:,.{figure.digits}f} {figure.unit}".rstrip()


def _value(text: str) -> Cell:
    return Cell(text.replace("-", "−"), "n none" if text == NOT_AVAILABLE else "n")


def _why(explanation: str, reason: str | None) -> str:
    return f"{explanation} Not available: {reason}." if reason else explanation
