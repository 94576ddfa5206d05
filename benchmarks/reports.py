"""Measures the figures of a run of 10,000 trades, and its reports. `python benchmarks/run.py --case reports`.

Every repetition takes the run as it was recorded, so that nothing has been computed yet. Times are those of the
processor, the best of all repetitions.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from time import perf_counter, process_time
from typing import TypeVar

import numpy as np

from backtest_kit.core.candles import Candles
from backtest_kit.core.coarse import coarse
from backtest_kit.core.values import Interval
from backtest_kit.reports.equity import Prices
from backtest_kit.reports.facts import RunFacts
from backtest_kit.reports.html.page import html_report
from backtest_kit.reports.notebook import run_html
from backtest_kit.reports.run import RunData
from backtest_kit.reports.trades import Leg, Trade
from benchmarks.measures import Measure, Size
from benchmarks.table import Floor, Row
from benchmarks.worlds import HISTORY_MINUTES, MINUTE, START, World

Lap = TypeVar("Lap")

FIGURES = ("statistics", "heat", "curve", "account", "significance", "findings")
MILLISECONDS = "ms"
TRADES_A_YEAR = 10_000
MOST_STEPS = 5_000


def figures(symbols: int) -> Measure:
    """The time of all figures together and of each, of the page for a browser, and of the view in a notebook."""

    def measure(case: str, size: Size) -> list[Row]:
        run = recorded(size.days, symbols)
        count, steps = len(run().trades), len(run().curve.times)
        laps = list(_repeated(lambda: _seconds_each(run()), size))
        what = f"all figures of {count:,} trades, symbols: {symbols}, steps: {steps:,}"
        return [
            Row(case, what, 1e3 * min(sum(lap.values()) for lap in laps), MILLISECONDS, Floor(50, at_most=True)),
            *(Row(case, f"  {name}", 1e3 * min(lap[name] for lap in laps), MILLISECONDS) for name in FIGURES),
            _page(case, "the page for a browser, figures included", html_report, run, size, Floor(1500, at_most=True)),
            _page(case, "the view in a notebook, figures included", run_html, run, size, Floor(50, at_most=True)),
        ]

    return measure


CASES: Mapping[str, Measure] = {"reports-1": figures(1), "reports-5": figures(5)}


def recorded(days: int, symbols: int) -> Callable[[], RunData]:
    """A run in which every symbol traded all the time: each call gives it anew, with no figure computed."""
    world = World(days, symbols)
    candles = {symbol: _candles(world, symbol) for symbol in world.symbols}
    count = max(1, TRADES_A_YEAR * days // 365 // symbols)
    trades = [trade for symbol in world.symbols for trade in _trades(symbol, candles[symbol], count)]
    trades.sort(key=lambda trade: trade.closed_at)
    prices = [Prices(symbol, coarse(each, MOST_STEPS)) for symbol, each in candles.items()]
    facts = _facts(world)
    return lambda: RunData("measured", trades, facts, prices=prices)


def _candles(world: World, symbol: str) -> Candles:
    columns = (world.tables[symbol][name] for name in ("open", "high", "low", "close", "volume"))
    return Candles(Interval.M1, START, *(column[HISTORY_MINUTES:] for column in columns))


def _trades(symbol: str, candles: Candles, count: int) -> Iterator[Trade]:
    """Long and short in turn, one after the other, every fifth in parts."""
    room = len(candles) // count
    lasted = np.random.default_rng(count).integers(1, room, count).tolist()
    for number, minutes in enumerate(lasted):
        first = number * room
        entry, out = float(candles.close[first]), float(candles.close[first + minutes])
        side = -1 if number % 2 else 1
        percent = side * (out / entry - 1) * 100 - 0.02
        opened_at, closed_at = START + first * MINUTE, START + (first + minutes) * MINUTE
        yield Trade(
            symbol=symbol,
            strategy_name="measured",
            position="short" if number % 2 else "long",
            opened_at=opened_at,
            closed_at=closed_at,
            price_open=entry,
            price_close=out,
            cost=1_000.0,
            pnl_percent=percent,
            pnl_cost=percent * 10,
            close_reason="take_profit" if percent > 0 else "stop_loss",
            peak_pnl_percent=max(percent, 0) + 0.3,
            trough_pnl_percent=min(percent, 0) - 0.3,
            signal_id=str(number),
            fees=0.1,
            slippage=0.1,
            legs=_legs(opened_at, closed_at, entry, out, in_parts=number % 5 == 0),
        )


def _legs(opened_at: int, closed_at: int, entry: float, out: float, in_parts: bool) -> tuple[Leg, ...]:
    if not in_parts:
        return Leg(opened_at, "entry", entry, 1_000.0), Leg(closed_at, "exit", out, 1_000.0)
    return (
        Leg(opened_at, "entry", entry, 500.0),
        Leg(opened_at, "average", entry, 500.0),
        Leg(closed_at, "partial_close", out, 400.0),
        Leg(closed_at, "exit", out, 600.0),
    )


def _facts(world: World) -> RunFacts:
    return RunFacts(
        symbols=world.symbols,
        strategy_names=("measured",),
        exchange_name="memory",
        frame_name="year",
        start=world.start,
        stop=world.stop,
        candles=world.candles,
        decisions=world.candles,
        no_signal=0,
        invalid_signals=(),
        invalid_signal_count=0,
        risk_rejections=0,
        not_enough_history=0,
        ambiguous=0,
        gaps=(),
        frame_end_closes=0,
        errors=0,
        settings={},
        duration_seconds=1.0,
    )


def _page(
    case: str, what: str, make: Callable[[RunData], str], run: Callable[[], RunData], size: Size, floor: Floor
) -> Row:
    return Row(case, what, 1e3 * min(_repeated(lambda: _seconds(make, run()), size)), MILLISECONDS, floor)


def _seconds_each(run: RunData) -> dict[str, float]:
    """The time of every figure, in the order in which they need each other."""
    return {name: _seconds(getattr, run, name) for name in FIGURES}


def _seconds(code: Callable[..., object], *given: object) -> float:
    started = process_time()
    code(*given)
    return process_time() - started


def _repeated(measure: Callable[[], Lap], size: Size) -> Iterator[Lap]:
    """Measures at least `size.repetitions` times, and on until `size.seconds` have passed."""
    started, done = perf_counter(), 0
    while done < size.repetitions or perf_counter() - started < size.seconds:
        gc.collect()
        yield measure()
        done += 1
