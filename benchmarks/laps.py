"""Timing whole backtests: planning, loading, checks, average prices, books, results.

A lap has an application of its own, so its candles are not loaded yet, nothing that was registered elsewhere takes part
in it, and no environment variable changes its settings.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from msgspec import Struct

import backtest_kit as bk
from backtest_kit.app import App
from backtest_kit.core.events import ActivePing
from backtest_kit.engine.listeners import Subscription
from backtest_kit.engine.notices import BeforeStart
from backtest_kit.registry import ExchangeSchema, FrameSchema, RiskSchema, StrategySchema
from backtest_kit.runners import BacktestRunner
from backtest_kit.settings import Settings
from benchmarks.strategies import GetSignal
from benchmarks.worlds import World


class Subject(Struct, frozen=True):
    """A strategy to measure, and what takes part beside it.

    `make` gives its function anew for every lap, `on_active_ping` listens to every candle of an open position,
    `at_most_open` is the limit of a risk profile that all symbols share.
    """

    make: Callable[[], GetSignal]
    interval: str = "1m"
    on_active_ping: Callable[[Any], Any] | None = None
    at_most_open: int | None = None
    settings: Mapping[str, Any] = {}


class Lap(Struct, frozen=True):
    """One whole backtest: its time, the part of it before the first tick, and what came of it."""

    seconds: float
    loading_seconds: float
    decisions: int
    results: int


def lap(world: World, subject: Subject) -> Lap:
    """Runs the subject through the world once, from `run` to the last result."""
    app = _app(world, subject)
    loaded: list[float] = []
    app.listeners.add(Subscription((BeforeStart,), lambda _event: loaded.append(perf_counter())))
    runner, results = BacktestRunner(app), 0
    gc.collect()
    started = perf_counter()
    for _event in runner.run(world.symbols, **subject.settings):
        results += 1
    seconds = perf_counter() - started
    return Lap(seconds, loaded[0] - started, runner.get_data().facts.decisions, results)


def bare_seconds(code: Callable[[], object]) -> float:
    """The time of code that has nothing to do with the engine."""
    gc.collect()
    started = perf_counter()
    code()
    return perf_counter() - started


def peak_bytes() -> int:
    """The most memory that this process has held so far."""
    status = Path("/proc/self/status")
    if status.exists():  # the other way below counts the parent's memory in, where the kernel forked it
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _app(world: World, subject: Subject) -> App:
    app = App(Settings())
    app.exchanges.add(ExchangeSchema("memory", bk.MemoryExchange(world.tables)))
    app.frames.add(FrameSchema.of("frame", start=world.start, end=world.stop))
    risks: tuple[str, ...] = ()
    if subject.at_most_open is not None:
        app.risks.add(RiskSchema.of("shared", bk.at_most_open(subject.at_most_open)))
        risks = ("shared",)
    app.strategies.add(StrategySchema.of("measured", subject.make(), interval=subject.interval, risk_names=risks))
    if subject.on_active_ping is not None:
        app.listeners.add(Subscription((ActivePing,), subject.on_active_ping))
    return app
