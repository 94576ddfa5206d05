"""Whole backtests against recorded ones: each scenario runs through the public API and every event is compared.

A file holds one scenario a line: candles, frame, settings, what the strategy returns when it is asked at a minute, what
is commanded in the active ping of a candle, and the events that the reference made of it. Numbers must agree to 1e-9
relative.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

import backtest_kit as bk
from backtest_kit import registry
from backtest_kit.app import App
from backtest_kit.core.events import ActivePing
from backtest_kit.engine.listeners import Subscription
from backtest_kit.runners import BacktestRunner
from tests.conformance.statistics import read

RELATIVE = 1e-9
MINUTE = 60_000
SYMBOL = "BTCUSDT"


def check(path: Path | str) -> tuple[int, list[str]]:
    """How many scenarios agree, and a text for the first difference of each of the others."""
    passed, failed = 0, []
    for scenario in read(path):
        difference = next(differing(scenario), None)
        passed += difference is None
        if difference is not None:
            failed.append(f"{scenario['name']}: {difference}")
    return passed, failed


def differing(scenario: Mapping[str, Any], **settings: Any) -> Iterator[str]:
    """What differs between the recorded events and ours; further settings are those of a second way to run the same."""
    ours, refused = replay(scenario, **settings)
    yield from refused
    expected = scenario["expected"]
    for number, (mine, theirs) in enumerate(zip(ours, expected, strict=False)):
        for key, value in theirs.items():
            if value is not None and not same(mine.get(key), value):
                yield f"event {number} {key}: ours {mine.get(key)!r}, theirs {value!r} (ours {mine}, theirs {theirs})"
    if len(ours) != len(expected):
        yield f"{len(ours)} events, expected {len(expected)}"


def replay(scenario: Mapping[str, Any], **settings: Any) -> tuple[list[dict[str, Any]], list[str]]:
    """Our events of a scenario, and the commands that we answered otherwise."""
    world, start = App(), _ms(scenario["start"])
    first, last = scenario["frame"]
    refused: list[str] = []
    exchange = bk.MemoryExchange({SYMBOL: _table(scenario["candles"], start, last)})
    world.exchanges.add(registry.ExchangeSchema("memory", exchange))
    world.frames.add(
        registry.FrameSchema.of(
            "frame", interval=scenario["frame_interval"], start=start + first * MINUTE, end=start + last * MINUTE
        )
    )

    def get_signal(symbol: str, when: int, price: float) -> dict[str, Any] | None:
        signal: dict[str, Any] | None = scenario["signals"].get(str((when - start) // MINUTE))
        return signal

    def command(event: Any) -> None:
        for each in scenario["commands"].get(str((event.time - start) // MINUTE), ()):
            answer = _commit(each)
            if each["accepted"] is not None and bool(answer) != each["accepted"]:
                refused.append(f"minute {(event.time - start) // MINUTE}: {each} was answered with {answer!r}")

    world.strategies.add(registry.StrategySchema.of("recorded", get_signal, interval=scenario["strategy_interval"]))
    world.listeners.add(Subscription([ActivePing], command))
    runner = BacktestRunner(world)
    events = runner.run(SYMBOL, **{**_settings(scenario["config"]), **settings})
    return [_shown(event, start) for event in events], refused


def same(mine: Any, theirs: Any) -> bool:
    if isinstance(theirs, str) or isinstance(mine, str) or mine is None:
        return bool(mine == theirs)
    return math.isclose(mine, theirs, rel_tol=RELATIVE, abs_tol=1e-12)


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    return dict(config)


def _table(rows: list[list[float]], start: int, last: int) -> dict[str, Any]:
    """The candles as columns; past the end the last row repeats."""
    table = np.array(rows, dtype=float)
    missing = max(0, last + 1 - len(table))
    table = np.vstack([table, np.repeat(table[-1:], missing, axis=0)])
    columns = {
        name: np.ascontiguousarray(table[:, k]) for k, name in enumerate(("open", "high", "low", "close", "volume"))
    }
    return {"timestamp": start + MINUTE * np.arange(len(table)), **columns}


def _commit(each: Mapping[str, Any]) -> Any:
    name, amount, price = each["command"], each["arg"], each["price"]
    function = getattr(bk, f"commit_{name}")
    if name == "close_pending":
        return function(SYMBOL)
    if name == "breakeven":
        return function(SYMBOL, price=price)
    return function(SYMBOL, amount, price=price)


def _shown(event: Any, start: int) -> dict[str, Any]:
    shown = {"action": event.action, "minute": (event.time - start) // MINUTE, "price": event.price}
    if event.action == "cancelled":
        shown["reason"] = event.reason
    if event.action == "closed":
        position = event.position
        shown |= {
            "reason": event.close_reason,
            "pnl_percent": event.pnl.percent,
            "pnl_cost": event.pnl.cost,
            "opened_minute": (event.opened_at - start) // MINUTE,
            "effective_price": position.effective_price,
            "entries": len(position.entries),
            "partials": len(position.exits),
            "peak_pnl_percent": position.peak.percent,
            "max_drawdown_pnl_percent": position.trough.percent,
        }
    return shown


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)
