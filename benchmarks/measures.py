"""Kinds of measurement: a whole run, a run beside the bare code, the price of one decision, growth, memory, import.

Every maker here returns a function that takes the name of its case and a size, and measures. It expects a process of
its own: the peak of memory is the process's.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from time import perf_counter
from typing import TypeAlias

from msgspec import Struct

from backtest_kit.core.values import Interval
from benchmarks.laps import Lap, Subject, bare_seconds, lap, peak_bytes
from benchmarks.strategies import GetSignal, await_bare, call_bare
from benchmarks.table import Floor, Row
from benchmarks.worlds import HISTORY_MINUTES, Column, World

SPEED, RATIO, DECISION, MEMORY = "M candles/s", "× bare code", "µs a decision", "MB a symbol-year"


class Size(Struct, frozen=True):
    """How much is measured: the days of one "year", and how often it is repeated.

    At least `repetitions` times, and on until `seconds` have passed: what is over quickly needs more tries to be exact.
    """

    days: int = 365
    repetitions: int = 5
    seconds: float = 5.0


Measure: TypeAlias = Callable[[str, Size], list[Row]]
Bare: TypeAlias = Callable[[Column, Iterable[int]], object]


def whole_run(what: str, subject: Subject, floor: Floor | None = None, symbols: int = 1, years: int = 1) -> Measure:
    """Candles per second of a whole backtest."""

    def measure(case: str, size: Size) -> list[Row]:
        world = World(size.days * years, symbols)
        laps, peak = _laps(world, subject, size)
        return [_speed(case, what, world, laps, peak, floor)]

    return measure


def beside_bare(
    what: str,
    subject: Subject,
    bare: Bare,
    candle_minutes: int,
    floor: Floor | None = None,
    ratio_floor: Floor | None = None,
) -> Measure:
    """Candles per second, and the time as a multiple of that of the bare code called as often; lap by lap in turn."""

    def measure(case: str, size: Size) -> list[Row]:
        world = World(size.days)
        closes, bare_laps = world.closes(candle_minutes), list[float]()

        def between(last: Lap) -> None:
            stops = _stops(last.decisions, subject, candle_minutes)
            bare_laps.append(bare_seconds(lambda: bare(closes, stops)))

        laps, peak = _laps(world, subject, size, between)
        ratio = min(each.seconds for each in laps) / min(bare_laps)
        calls = f"  against {laps[0].decisions:,} bare calls in {min(bare_laps):.4f} s"
        return [
            _speed(case, what, world, laps, peak, floor),
            Row(case, calls, ratio, RATIO, ratio_floor),
        ]

    return measure


def decision_cost(
    what: str,
    subject: Subject,
    bare: Callable[[Column], GetSignal],
    candle_minutes: int,
    floor: Floor | None = None,
    is_async: bool = False,
) -> Measure:
    """What the engine adds to one decision: its time less that of the same calls without it, by their number."""

    def measure(case: str, size: Size) -> list[Row]:
        world = World(size.days)
        get_signal, bare_laps = bare(world.closes(candle_minutes)), list[float]()

        def between(last: Lap) -> None:
            stops = _stops(last.decisions, subject, candle_minutes)
            bare_laps.append(bare_seconds(lambda: _call(get_signal, stops, is_async)))

        laps, peak = _laps(world, subject, size, between)
        cost = (min(each.seconds for each in laps) - min(bare_laps)) / laps[0].decisions
        row = _speed(case, what, world, laps, peak, None)
        calls = f"  the engine's part of {laps[0].decisions:,} decisions"
        return [row, Row(case, calls, cost * 1e6, DECISION, floor)]

    return measure


def growth(what: str, subject: Subject, floor: Floor) -> Measure:
    """The time per candle over four years as a multiple of that over one, lap by lap in turn."""

    def measure(case: str, size: Size) -> list[Row]:
        one, four = World(size.days), World(4 * size.days)
        long_laps: list[Lap] = []
        laps, _ = _laps(one, subject, size, lambda _last: long_laps.append(lap(four, subject)))
        short, long = (min(each.seconds for each in some) for some in (laps, long_laps))
        return [Row(case, what, (long / four.candles) / (short / one.candles), "× per candle", floor)]

    return measure


def memory(what: str, subject: Subject, floor: Floor, symbols: int = 4) -> Measure:
    """What a symbol-year of minutes costs at the peak of a run: beyond the user's columns, and with them."""

    def measure(case: str, size: Size) -> list[Row]:
        world = World(size.days, symbols)
        _, peak = _laps(world, subject, Size(size.days, repetitions=1, seconds=0))
        years = size.days / 365
        own, given = peak / (symbols * years) / 1e6, world.symbol_bytes / years / 1e6
        return [
            Row(case, what, own, MEMORY, floor),
            Row(case, "  with the columns that the user holds", own + given, MEMORY, floor),
        ]

    return measure


def import_time(what: str, floor: Floor) -> Measure:
    """The time of the package's import in a fresh process, compiled to bytecode; the median, not the best."""

    def measure(case: str, size: Size) -> list[Row]:
        _import_seconds()  # writes the bytecode where there is none
        return [Row(case, what, median(_import_seconds() for _ in range(size.repetitions)), "s", floor)]

    return measure


def _laps(
    world: World, subject: Subject, size: Size, between: Callable[[Lap], None] | None = None
) -> tuple[list[Lap], int]:
    """The laps, with something else in turn; and the peak of memory in the first one, beyond what was there (bytes)."""
    before, started = peak_bytes(), perf_counter()
    laps = [lap(world, subject)]
    peak = peak_bytes() - before
    while True:
        if between is not None:
            between(laps[-1])
        if len(laps) >= size.repetitions and perf_counter() - started >= size.seconds:
            return laps, peak
        laps.append(lap(world, subject))


def _speed(case: str, what: str, world: World, laps: Sequence[Lap], peak: int, floor: Floor | None) -> Row:
    best = min(laps, key=lambda each: each.seconds)
    speed = world.candles / best.seconds / 1e6
    sizes = (world.candles, world.minutes, best.seconds, best.loading_seconds, peak)
    return Row(case, what, speed, SPEED, floor, *sizes)


def _stops(decisions: int, subject: Subject, candle_minutes: int) -> list[int]:
    """The rows at which the windows of so many decisions end, one an interval of the strategy."""
    step = Interval.parse(subject.interval).minutes
    return [(HISTORY_MINUTES + i * step) // candle_minutes for i in range(decisions)]


def _call(get_signal: GetSignal, stops: Sequence[int], is_async: bool) -> None:
    if is_async:
        asyncio.run(await_bare(get_signal, stops))
    else:
        call_bare(get_signal, stops)


def _import_seconds() -> float:
    code = "from time import perf_counter as now; t = now(); import backtest_kit; print(now() - t)"
    compiled = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=compiled)
    return float(done.stdout)
