"""A run whose every part is there to be drawn, made without a market; and a browser that opens a page alone.

The candles are a seeded random walk. Trades follow each other on it, with averages and partial exits, an ambiguous
candle now and then, and names of one's choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtest_kit.core.candles import Candles
from backtest_kit.core.values import Interval
from backtest_kit.reports.equity import Prices
from backtest_kit.reports.facts import InvalidSignal, RunFacts
from backtest_kit.reports.run import RunData
from backtest_kit.reports.trades import Leg, Trade

START = 1_704_067_200_000
MINUTE = 60_000
HOUR = 60 * MINUTE
CHROMIUM = Path("/usr/bin/chromium")
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def walk(rows: int, seed: int = 0, level: float = 42_000.0, interval: Interval = Interval.H1) -> Candles:
    """A random walk as candles."""
    chance = np.random.default_rng(seed)
    closes = level * np.exp(np.cumsum(chance.normal(0.0001, 0.006, rows)))
    opens = np.append(level, closes[:-1])
    wick = np.abs(chance.normal(0, 0.003, (2, rows)))
    highs, lows = np.maximum(opens, closes) * (1 + wick[0]), np.minimum(opens, closes) * (1 - wick[1])
    return Candles(interval, START, opens, highs, lows, closes, np.ones(rows))


def trades_on(symbol: str, candles: Candles, count: int, seed: int = 0, **fields: Any) -> list[Trade]:
    """Trades one after the other on the candles: long and short in turn, every fifth in parts, every ninth in doubt."""
    chance = np.random.default_rng(seed + 1)
    room = max(2, len(candles) // max(1, count))
    made = []
    for i in range(count):
        first = i * room % max(1, len(candles) - room + 1)
        last = first + int(chance.integers(1, room))
        made.append(_trade(i, symbol, candles, first, last, **fields))
    return made


def _trade(number: int, symbol: str, candles: Candles, first: int, last: int, **fields: Any) -> Trade:
    step, side = int(candles.interval), "short" if number % 3 == 2 else "long"
    entry, out = float(candles.close[first]), float(candles.close[last])
    percent = (out / entry - 1) * 100 * (-1 if side == "short" else 1) - 0.2
    opened, closed = candles.start + first * step + MINUTE, candles.start + last * step + 2 * MINUTE
    away = 0.03 * (1 if side == "long" else -1)
    ambiguous = number % 9 == 4
    base: dict[str, Any] = {
        "symbol": symbol, "strategy_name": "trend-follower", "position": side, "opened_at": opened, "closed_at": closed,
        "price_open": entry, "price_close": out, "cost": 1000.0, "pnl_percent": percent, "pnl_cost": percent * 10,
        "close_reason": "stop_loss" if percent < 0 else "take_profit", "peak_pnl_percent": max(percent, 0) + 0.6,
        "trough_pnl_percent": min(percent, 0) - 0.5, "note": f"crossing {number}", "signal_id": str(number),
        "ambiguous": ambiguous, "pnl_percent_if_ambiguous": percent + 2 if ambiguous else None,
        "price_take_profit": entry * (1 + away), "price_stop_loss": entry * (1 - away), "fees": 1.6, "slippage": 0.4,
        "legs": _legs(opened, closed, entry, out) if number % 5 == 0 else (),
    }  # fmt: skip
    return Trade(**(base | fields))


def _legs(opened: int, closed: int, entry: float, out: float) -> tuple[Leg, ...]:
    third = (closed - opened) // 3
    return (
        Leg(opened, "entry", entry, 500.0),
        Leg(opened + third, "average", entry * 0.99, 500.0),
        Leg(opened + 2 * third, "partial_profit", (entry + out) / 2, 400.0),
        Leg(closed, "exit", out, 600.0),
    )


def facts_of(symbols: Sequence[str], stop: int, **fields: Any) -> RunFacts:
    base: dict[str, Any] = {
        "symbols": tuple(symbols), "strategy_names": ("trend-follower",), "exchange_name": "demo",
        "frame_name": "90-days", "start": START, "stop": stop, "candles": 388_800,
        "decisions": 25_920, "no_signal": 25_400,
        "invalid_signals": (InvalidSignal(START + HOUR, "price_stop_loss lies above price_open for a long position"),),
        "invalid_signal_count": 3, "risk_rejections": 12, "not_enough_history": 40, "ambiguous": 5,
        "gaps": ((START + HOUR, START + 3 * HOUR),), "frame_end_closes": 1, "errors": 0,
        "settings": {"fee_percent": 0.08, "slippage_percent": 0.02}, "duration_seconds": 1.42,
    }  # fmt: skip
    return RunFacts(**(base | fields))


def drawn_run(
    symbols: Sequence[str] = ("BTCUSDT", "ETHUSDT", "SOLUSDT"),
    count: int = 40,
    rows: int = 2160,
    title: str = "Backtest of trend-follower on BTCUSDT, ETHUSDT, SOLUSDT",
    facts: dict[str, Any] | None = None,
    **fields: Any,
) -> RunData:
    """A run of `count` trades a symbol over `rows` candles of an hour; `fields` are those of every trade."""
    levels = (42_000.0, 2_300.0, 98.0, 0.000012)
    prices = [Prices(each, walk(rows, i, levels[i % 4])) for i, each in enumerate(symbols)]
    made = [
        trade for i, each in enumerate(prices) for trade in trades_on(each.symbol, each.candles, count, i, **fields)
    ]
    made.sort(key=lambda trade: trade.closed_at)
    stop = START + rows * HOUR
    return RunData(title, made, facts_of(symbols, stop, **(facts or {})), prices=prices)


@contextmanager
def opened(path: Path, **context: Any) -> Iterator[Any]:
    """The page of a file, in a browser of its own; `page.asked` are the requests, `page.told` console and dialogs."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip("chromium is not installed")
    with api.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=str(CHROMIUM), args=_ARGUMENTS)
        page = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | context)).new_page()
        page.asked, page.told = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("console", lambda message: page.told.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: page.told.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (page.told.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        try:
            page.goto(path.as_uri())
            page.wait_for_timeout(300)
            yield page
        finally:
            browser.close()
