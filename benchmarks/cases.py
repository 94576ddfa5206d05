"""The cases: what is measured, under which name, and how fast it has to be.

Case letters and floors are those of the project's requirements; a case without a floor is there for the reader.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks import strategies as s
from benchmarks.laps import Subject
from benchmarks.measures import Measure, beside_bare, decision_cost, growth, import_time, memory, whole_run
from benchmarks.table import Floor

_TWO_MEANS = {"floor": Floor(2.0), "ratio_floor": Floor(1.25, at_most=True)}
_NO_LIMIT = {"max_signal_lifetime_minutes": None}
_FAR = partial(s.always, 45, 20, None)  # positions that live for months
_BRACKETS = partial(s.always, 2, 1, 1440)


def _on_ping(_event: Any) -> None:
    """Listens, and does nothing."""


async def _on_ping_async(_event: Any) -> None:
    """Listens, and does nothing."""


def _means(make: Any, interval: str, candles: str) -> Subject:
    return Subject(partial(make, candles), interval)


def _forward(make: Any, **settings: Any) -> Subject:
    return Subject(make, settings={**_NO_LIMIT, **settings})


def _shared(symbols: int) -> Subject:
    return Subject(partial(s.crossing_async, "15m"), "4h", at_most_open=symbols // 3)


CASES: dict[str, Measure] = {
    "a-async": beside_bare(
        "two means of 50 candles every 15 minutes, async def, entering on crossings",
        _means(s.crossing_async, "15m", "15m"), s.crossing_bare, 15, **_TWO_MEANS,
    ),
    "a-def": beside_bare(
        "the same, def",
        _means(s.crossing, "15m", "15m"), s.crossing_bare, 15, **_TWO_MEANS,
    ),
    "a-idle-async": beside_bare(
        "the same without entries, async def",
        _means(s.waiting_async, "15m", "15m"), s.waiting_bare, 15, **_TWO_MEANS,
    ),
    "a-idle-def": beside_bare(
        "the same without entries, def",
        _means(s.waiting, "15m", "15m"), s.waiting_bare, 15, **_TWO_MEANS,
    ),
    "b-async": beside_bare(
        "two means of 50 candles (15m) every minute, async def, entering on crossings",
        _means(s.crossing_async, "1m", "15m"), s.crossing_bare, 15,
    ),
    "b-idle-async": beside_bare(
        "two means of 50 candles (1m) every minute, async def, no entries",
        _means(s.waiting_async, "1m", "1m"), s.waiting_bare, 1,
    ),
    "b-idle-def": beside_bare(
        "the same, def",
        _means(s.waiting, "1m", "1m"), s.waiting_bare, 1,
    ),
    "c-def": whole_run("None at once every minute, def", Subject(s.nothing), Floor(1.2)),
    "c-async": whole_run("None at once every minute, async def", Subject(s.nothing_async), Floor(0.7)),
    "d-touch": whole_run("positions of months, one after the other", _forward(_FAR), Floor(10)),
    "d-vwap": whole_run("the same, exits at the average price", _forward(_FAR, exit_rule="vwap"), Floor(10)),
    "d-stop-touch": whole_run("the same, touched stops only", _forward(_FAR, exit_rule="stop_touch"), Floor(10)),
    "d-moonbag": whole_run("the same, far take profit", _forward(s.moonbag), Floor(10)),
    "d-brackets": whole_run("positions of hours, one after the other", Subject(_BRACKETS)),
    "e-def": whole_run(
        "active pings on every minute, def", Subject(_FAR, settings=_NO_LIMIT, on_active_ping=_on_ping), Floor(2)
    ),
    "e-async": whole_run(
        "active pings on every minute, async def",
        Subject(_FAR, settings=_NO_LIMIT, on_active_ping=_on_ping_async), Floor(1),
    ),
    "f-9": whole_run(
        "9 symbols under one risk profile, two means every 4 hours, async def", _shared(9), Floor(5), symbols=9
    ),
    "f-50": whole_run("50 symbols, the same", _shared(50), symbols=50),
    "g": whole_run(
        "4 years, two means of 50 candles every hour, async def", _means(s.crossing_async, "1h", "1h"), years=4
    ),
    "growth-idle": growth(
        "4 years against 1: two means every 15 minutes",
        _means(s.waiting, "15m", "15m"), Floor(1.15, at_most=True),
    ),
    "growth-open": growth(
        "4 years against 1: positions of hours",
        Subject(_BRACKETS), Floor(1.15, at_most=True),
    ),
    "decision-async": decision_cost(
        "asks for 50 candles every minute, async def",
        _means(s.looking_async, "1m", "15m"), s.looking_at_async, 15, Floor(3, at_most=True), is_async=True,
    ),
    "decision-def": decision_cost(
        "asks for 50 candles every minute, def",
        _means(s.looking, "1m", "15m"), s.looking_at, 15, Floor(3, at_most=True),
    ),
    "decision-empty-async": decision_cost(
        "asks for nothing every minute, async def",
        Subject(s.nothing_async), lambda _closes: s.nothing_async(), 15, is_async=True,
    ),
    "decision-empty-def": decision_cost(
        "asks for nothing every minute, def",
        Subject(s.nothing), lambda _closes: s.nothing(), 15,
    ),
    "memory": memory(
        "a run that reads closes of 15m candles",
        _means(s.looking, "15m", "15m"), Floor(50, at_most=True),
    ),
    "memory-columns": memory(
        "a run that reads all five columns of its minutes",
        _means(s.every_column, "15m", "1m"), Floor(50, at_most=True),
    ),
    "import": import_time("import backtest_kit in a fresh process", Floor(0.4, at_most=True)),
}  # fmt: skip


def chosen(prefix: str) -> list[str]:
    """The cases of a name or of a family: `a` means `a-async`, `a-def` and so on; all of them for an empty text."""
    return [name for name in CASES if not prefix or name == prefix or name.startswith(f"{prefix}-")]
