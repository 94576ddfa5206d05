"""Trades and events for the tests of reports, told in a line. Minute `m` counts from 2024-01-01T00:00Z."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from backtest_kit.core.position import Extreme, Position, opened
from backtest_kit.core.values import Signal, Source, Terms
from backtest_kit.reports.facts import RunFacts
from backtest_kit.reports.trades import Trade

MINUTE = 60_000
START = 1_704_067_200_000
FREE = Terms(slippage_percent=0.0, fee_percent=0.0)
HOSTILE = "<img src=x onerror=alert(1)>|\n# [x](javascript:y) =cmd|x `z`\x1b[31m\u202e"


def at(minute: float) -> int:
    """The time of minute `m`."""
    return START + int(minute * MINUTE)


def source(symbol: str = "BTCUSDT", strategy_name: str = "s") -> Source:
    return Source(symbol, strategy_name, "memory", "frame")


def signal(signal_id: str = "one", side: Any = "long", **fields: Any) -> Signal:
    """A signal around 100: for a long its take is 110 and its stop 90, a short's the other way round."""
    take, stop = (110.0, 90.0) if side == "long" else (90.0, 110.0)
    return Signal(side, take, stop, id=signal_id, **fields)


def position(signal_id: str = "one", minute: float = 0, price: float = 100.0, **fields: Any) -> Position:
    """A position opened in that minute, without costs."""
    return opened(signal(signal_id, **fields), at(minute), price, FREE)


def with_extremes(given: Position, peak: tuple[float, float, float], trough: tuple[float, float, float]) -> Position:
    """The position with its best and its worst moment: price, minute, percent."""
    best, worst = (Extreme(price, at(minute), percent) for price, minute, percent in (peak, trough))
    return replace(given, peak=best, trough=worst)


def trade(signal_id: str = "one", minute: float = 0, length: float = 30, **fields: Any) -> Trade:
    """A long trade of that many minutes, with 100 in it, that won 1 %."""
    base: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "strategy_name": "s",
        "position": "long",
        "opened_at": at(minute),
        "closed_at": at(minute + length),
        "price_open": 100.0,
        "price_close": 101.0,
        "cost": 100.0,
        "pnl_percent": 1.0,
        "pnl_cost": 1.0,
        "close_reason": "take_profit",
        "signal_id": signal_id,
    }
    return Trade(**(base | fields))


def facts(**fields: Any) -> RunFacts:
    """The facts of a day in which nothing else happened."""
    base: dict[str, Any] = {
        "symbols": ("BTCUSDT",),
        "strategy_names": ("s",),
        "exchange_name": "memory",
        "frame_name": "frame",
        "start": START,
        "stop": at(1440),
        "candles": 1440,
        "decisions": 96,
        "no_signal": 90,
        "invalid_signals": (),
        "invalid_signal_count": 0,
        "risk_rejections": 0,
        "not_enough_history": 0,
        "ambiguous": 0,
        "gaps": (),
        "frame_end_closes": 0,
        "errors": 0,
        "settings": {},
        "duration_seconds": 0.5,
    }
    return RunFacts(**(base | fields))


def is_harmless(text: str) -> bool:
    """Whether a report that holds HOSTILE texts kept its form: no tag, no open link, every table row as wide as all."""
    widths = {
        line.replace(r"\|", "").count("|") - before.replace(r"\|", "").count("|")
        for before, line in zip(text.split("\n"), text.split("\n")[1:], strict=False)
        if line.startswith("|") and before.startswith("|")
    }
    harmful = ("<", "\x1b", "\u202e", "\n# [")
    return widths <= {0} and not any(each in text for each in harmful) and "[x]" not in text.replace(r"\[x\]", "")
