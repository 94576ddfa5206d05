"""The functions that ask about the strategy that is running: candles, prices, its position.

They find their context through a context variable, so they work in everything that a strategy, a callback or a listener
calls or gathers. In an `async def` they may be awaited; in a `def` they answer directly.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from backtest_kit.app import default
from backtest_kit.core.values import Interval, Mode
from backtest_kit.engine.context import Context, PositionSnapshot, current, running
from backtest_kit.engine.window import CandleWindow, whole_window
from backtest_kit.errors import ConfigError, LookAheadError
from backtest_kit.registry import parse_time


def get_context() -> Context:
    """The running strategy's context: `when`, `price`, `params`, `indicators`, and all that stands here as methods."""
    return current()


def get_date() -> datetime:
    """The engine's time as a datetime in UTC."""
    return current().date


def get_mode() -> Mode:
    """ "backtest", "paper" or "live"."""
    return current().mode


def get_symbol() -> str:
    """The symbol that the strategy is running on."""
    return current().symbol


def get_candles(symbol: str, interval: str | Interval, limit: int) -> CandleWindow:
    """The last `limit` closed candles of an interval; never the forming one. See `Context.get_candles`."""
    return (running() or current()).get_candles(symbol, interval, limit)


def get_raw_candles(
    symbol: str, interval: str | Interval, *, limit: int | None = None, start: Any = None, end: Any = None
) -> CandleWindow:
    """Closed candles by `limit`, `start`, `end` (epoch ms, ISO text or datetime) or two of them; never past now."""
    times = [None if each is None else parse_time(each) for each in (start, end)]
    return current().get_raw_candles(symbol, interval, limit=limit, start=times[0], end=times[1])


def get_next_candles(
    symbol: str, interval: str | Interval, limit: int, *, exchange_name: str | None = None, when: Any = None
) -> CandleWindow:
    """The candles that follow a time, for labels of finished trades.

    Outside of a run only, with `exchange_name` and `when`.

    Where a strategy is running it raises LookAheadError: what follows is the future there.
    """
    context = running()
    if context is not None:
        return context.get_next_candles(symbol, interval, limit)
    if when is None:
        raise LookAheadError("get_next_candles needs when=: the time after which the candles are wanted")
    if type(limit) is not int or limit < 1:
        raise ConfigError(f"limit must be a whole number above 0, not {limit!r}")
    length, time = Interval.parse(interval), parse_time(when)
    exchange = default.exchanges.get(exchange_name) if exchange_name else default.exchanges.only()
    start = length.floor(time + int(length) - 1)
    history = default.history(exchange.name, default.settings)
    return whole_window(history.candles_now(symbol, length, start, start + limit * int(length)))


def get_average_price(symbol: str | None = None) -> Any:
    """The engine's price of a symbol (default: the strategy's): volume-weighted over the last closed minutes."""
    return current().get_average_price(symbol)


def get_close_price(symbol: str, interval: str | Interval = "1m") -> Any:
    """The close of the last closed candle of an interval."""
    return current().get_close_price(symbol, interval)


def get_order_book(symbol: str, depth: int = 20) -> Any:
    """Bids and asks, as of the aligned 10-minute window that has ended."""
    return current().get_order_book(symbol, depth)


def get_aggregated_trades(symbol: str, limit: int | None = None) -> Any:
    """Trades before now: of the last 59 minutes, or the newest `limit`."""
    return current().get_aggregated_trades(symbol, limit)


def format_price(symbol: str, price: float) -> Any:
    """The price as the exchange writes it."""
    return current().format_price(symbol, price)


def format_quantity(symbol: str, quantity: float) -> Any:
    """The quantity as the exchange writes it."""
    return current().format_quantity(symbol, quantity)


def get_position(
    symbol: str | None = None, *, strategy_name: str | None = None, exchange_name: str | None = None
) -> PositionSnapshot | None:
    """The open position of the running strategy, or of the book named; None when nothing is open."""
    context = running() if strategy_name is None else None
    if context is not None:
        return context.get_position(symbol)
    return default.running_book(symbol, strategy_name, exchange_name).context.get_position()
