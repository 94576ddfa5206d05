"""The columns of a strategy's indicator hook, over the candles of a run."""

from __future__ import annotations

from backtest_kit.engine.history import MarketBeginsLaterError
from backtest_kit.engine.market import Market
from backtest_kit.engine.window import IndicatorColumns, indicator_columns
from backtest_kit.registry import StrategySchema


async def indicators_of(strategy: StrategySchema, symbol: str, market: Market) -> IndicatorColumns | None:
    """The columns over a strategy's own interval, from some candles before the first tick on up to the market's end."""
    if strategy.indicators is None:
        return None
    interval, step = strategy.interval, int(strategy.interval)
    stop = interval.floor(market.stop)
    start = interval.floor(market.start) - strategy.indicator_history * step
    try:
        candles = await market.history.candles(symbol, interval, start, stop)
    except MarketBeginsLaterError as short:
        start = min(stop, interval.floor(short.available_from + step - 1))
        candles = await market.history.candles(symbol, interval, start, stop)
    return indicator_columns(strategy.indicators, candles, f"strategy {strategy.name!r} on {symbol}")
