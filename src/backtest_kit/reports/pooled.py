"""The heat table: the statistics of every symbol, and of all their trades pooled into one sample.

"Pooled" is not a portfolio with covariances: trades of different symbols stand in one line by closing time,
as if they had been made one after the other with one account.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from msgspec import Struct, structs

from backtest_kit.reports.price_profile import no_profile, price_profile
from backtest_kit.reports.statistics import Statistics, figures_of, sample_figures, settled, why_missing
from backtest_kit.reports.trades import Figure, Missing, Sample, Trade, numbered, total

WEIGHTED = ("avg_peak_pnl", "avg_fall_pnl", "avg_consecutive_win_pnl", "avg_consecutive_loss_pnl")
"""Pooled averages that are means of the symbols' values, each weighted with the symbol's number of trades."""


class SymbolStatistics(Struct, frozen=True):
    """One row of the heat table: a symbol and the statistics of its trades."""

    symbol: str
    statistics: Statistics


class Heat(Struct, frozen=True):
    """The symbols, best Sharpe ratio first and those without one last, and the pooled statistics of all."""

    symbols: tuple[SymbolStatistics, ...]
    portfolio: Statistics


def heat(trades: Iterable[Trade]) -> Heat:
    """The statistics of each symbol and of all trades pooled."""
    given = tuple(trades)
    sample, (symbols, symbol_of) = Sample.of(given), numbered([each.symbol for each in given])
    own = [sample.rows(np.flatnonzero(symbol_of == number)) for number in range(len(symbols))]
    rows = tuple(map(SymbolStatistics, symbols, map(figures_of, own)))
    # Of trades that closed together those of the symbol named first come first, and of its own the last given.
    order = np.lexsort((-np.arange(len(given)), symbol_of, sample.closed_at))
    return Heat(tuple(sorted(rows, key=_rank)), _pooled(sample.rows(order), [row.statistics for row in rows]))


def _rank(row: SymbolStatistics) -> tuple[bool, float]:
    ratio = row.statistics.sharpe_ratio
    return ratio is None, -(ratio or 0.0)


def _pooled(ordered: Sample, symbols: Sequence[Statistics]) -> Statistics:
    """One sample of all trades, in closing order.

    Runs of winners and losers are those within a symbol; prices of several symbols make no profile.
    """
    profile = price_profile(ordered) if len(symbols) < 2 else no_profile(_SEVERAL)
    return settled(
        {
            **sample_figures(ordered, ordered),
            **{name: _weighted_mean(name, symbols) for name in WEIGHTED},
            "max_win_streak": max((each.max_win_streak for each in symbols), default=0),
            "max_loss_streak": max((each.max_loss_streak for each in symbols), default=0),
            **structs.asdict(profile),
        }
    )


_SEVERAL = Missing("prices of several symbols are not one series")


def _weighted_mean(name: str, symbols: Sequence[Statistics]) -> Figure:
    having = [(getattr(each, name), each.total_trades) for each in symbols if getattr(each, name) is not None]
    if not having:
        return Missing(why_missing(symbols[0], name) if symbols else "no trades")
    return total(value * weight for value, weight in having) / total(weight for _, weight in having)
