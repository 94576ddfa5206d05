"""Every benchmark runs, on days instead of years, and what it measures is what it says."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest

import backtest_kit as bk
from benchmarks import run, strategies
from benchmarks.cases import CASES, chosen
from benchmarks.laps import Subject, lap
from benchmarks.measures import Size
from benchmarks.table import Floor, Row, as_dicts, text
from benchmarks.worlds import HISTORY_MINUTES, World

TINY = Size(days=2, repetitions=1, seconds=0)


@pytest.fixture(scope="module")
def world() -> World:
    return World(days=3)


@pytest.mark.parametrize("name", CASES)
def test_every_case_measures_something_and_names_itself(name: str) -> None:
    rows = CASES[name](name, TINY)
    assert {row.case for row in rows} == {name}
    assert all(np.isfinite(row.value) for row in rows)
    assert all(row.candles and 0 < row.loading_seconds < row.seconds for row in rows if row.unit == "M candles/s")
    assert len(text(rows).splitlines()) == 2 + len(rows)


def test_a_family_is_all_cases_that_begin_with_its_name() -> None:
    assert chosen("f") == ["f-9", "f-50"]
    assert chosen("g") == ["g"]
    assert chosen("") == list(CASES)
    assert chosen("nonsense") == []


def test_the_same_seed_makes_the_same_market_and_every_symbol_another_one() -> None:
    one, same = World(days=1, symbols=2), World(days=1, symbols=2)
    first, second = one.tables.values()
    assert np.array_equal(first["close"], same.tables["COIN0USDT"]["close"])
    assert not np.array_equal(first["close"] / first["open"][0], second["close"] / second["open"][0])
    assert len(first["close"]) == HISTORY_MINUTES + one.minutes


def test_a_strategy_that_never_enters_is_asked_at_every_tick(world: World) -> None:
    made = lap(world, Subject(partial(strategies.waiting, "15m"), "15m"))
    assert made.decisions == world.minutes // 15 + 1
    assert made.results == 0


def test_both_spellings_of_a_strategy_do_the_same(world: World) -> None:
    plain, awaited = (
        lap(world, Subject(partial(make, "15m"), "15m")) for make in (strategies.crossing, strategies.crossing_async)
    )
    assert plain.results > 0
    assert (plain.decisions, plain.results) == (awaited.decisions, awaited.results)


def test_the_bare_code_sees_what_the_strategy_sees(world: World) -> None:
    seen: list[float] = []

    def get_signal(symbol: str, _when: int, _price: float) -> None:
        seen.append(float(bk.get_candles(symbol, "15m", strategies.WINDOW).close.mean()))

    lap(world, Subject(lambda: get_signal, "15m"))
    closes, first = world.closes(15), HISTORY_MINUTES // 15
    bare = [float(closes[stop - strategies.WINDOW : stop].mean()) for stop in range(first, first + len(seen))]
    assert seen == bare


def test_a_position_is_open_on_nearly_every_minute_that_is_pinged(world: World) -> None:
    pings: list[int] = []
    far = partial(strategies.always, 45, 20, None)
    lap(
        world,
        Subject(
            far, settings={"max_signal_lifetime_minutes": None}, on_active_ping=lambda event: pings.append(event.time)
        ),
    )
    assert len(pings) >= world.minutes - 2
    assert pings == sorted(set(pings))


def test_symbols_under_one_profile_hold_each_other_back() -> None:
    many = World(days=2, symbols=4)
    always = partial(strategies.always, 2, 1, 1440)
    free, bound = (lap(many, Subject(always, "4h", at_most_open=count)) for count in (4, 1))
    assert free.results > bound.results > 0


def test_a_floor_is_met_from_above_or_from_below() -> None:
    rows = [
        Row("x", "fast enough", 2.0, "M candles/s", Floor(2.0)),
        Row("x", "too slow", 1.3, "× bare code", Floor(1.25, at_most=True)),
        Row("x", "no floor", 1.0, "s"),
    ]
    assert [row.is_missed for row in rows] == [False, True, False]
    assert [line["met"] for line in as_dicts(rows)] == [True, False, None]
    assert [line.split()[-1] for line in text(rows).splitlines()[2:]] == ["met", "met", "s"]
    assert "NOT met" in text(rows)


def test_the_script_measures_in_another_process_and_prints_json(capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["--case", "c-def", "--days", "1", "--repetitions", "1", "--seconds", "0.01", "--json"]
    assert run.main(arguments) == 0
    out = capfd.readouterr().out
    (line,) = json.loads(out)
    assert (line["case"], line["candles"]) == ("c-def", 1440)
    assert line["times_real_time"] > 0


def test_an_unknown_case_names_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["--case", "z"]) == 2
    assert "a-async" in capsys.readouterr().err


def test_only_strict_makes_a_missed_floor_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    missed = Row("c-def", "too slow", 0.1, "M candles/s", Floor(1.2))
    monkeypatch.setattr(run, "_in_own_process", lambda _name, _size: [missed])
    assert run.main(["--case", "c-def"]) == 0
    assert run.main(["--case", "c-def", "--strict"]) == 1
