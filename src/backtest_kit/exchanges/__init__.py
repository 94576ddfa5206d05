"""Sources of candles: memory, files, a synthetic market, and the user's own functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backtest_kit.errors import ConfigError
from backtest_kit.exchanges.demo import DemoExchange
from backtest_kit.exchanges.files import FileExchange
from backtest_kit.exchanges.functions import FunctionExchange
from backtest_kit.exchanges.memory import MemoryExchange
from backtest_kit.ports import Exchange

__all__ = ["DemoExchange", "FileExchange", "FunctionExchange", "MemoryExchange", "as_exchange"]


def as_exchange(source: Any = None, **functions: Any) -> Exchange:
    """The exchange that is meant: an object with `get_candles`, a bare function, or functions by keyword.

    `as_exchange(CcxtExchange("binance"))`, `as_exchange(fetch)`, `as_exchange(get_candles=fetch,
    format_price=rounded)`. Raises ConfigError for anything else.
    """
    if isinstance(source, type):
        raise ConfigError(f"{source.__name__} is a class: give an exchange, {source.__name__}(…)")
    if source is not None and callable(getattr(source, "get_candles", None)):
        return _alone(source, functions)
    if callable(source):
        return _made_of({"get_candles": source, **functions})
    if isinstance(source, Mapping):
        return _made_of({**source, **functions})
    if source is None and functions:
        return _made_of(functions)
    raise ConfigError(
        f"an exchange is an object with get_candles(symbol, interval, since, limit), or such a function, not {source!r}"
    )


def _alone(source: Any, functions: Mapping[str, Any]) -> Exchange:
    if functions:
        raise ConfigError(f"an exchange object and {', '.join(functions)}: give one or the other")
    exchange: Exchange = source
    return exchange


def _made_of(functions: Mapping[str, Any]) -> Exchange:
    if not callable(functions.get("get_candles")):
        raise ConfigError("an exchange made of functions needs get_candles(symbol, interval, since, limit)")
    try:
        return FunctionExchange(**functions)
    except TypeError as error:
        raise ConfigError(f"an exchange cannot be made of these functions: {error}") from None
