"""Jobs on engine time in whole backtests: once for a boundary under many books, tried again, seeing no later candle."""

from __future__ import annotations

import asyncio

import pytest

import backtest_kit as bk
from backtest_kit.engine.notices import Failure
from tests.worlds import SYMBOL, at, flat, fresh_world, given, heard, long, minute_of, once, run, walk

world = pytest.fixture(autouse=True)(fresh_world)


@pytest.fixture(params=[True, False], ids=["fast", "slow"])
def fast_forward(request):
    return request.param


def job(ticks, **options):
    """A job that writes its ticks down."""
    bk.add_cron("job", lambda tick: ticks.append((minute_of(tick.when), tick.symbol)), **options)


def test_a_job_runs_once_for_a_boundary_however_many_books_pass_it(fast_forward):
    ticks = []
    given({name: flat(401) for name in "ABC"}, frame=(10, 300))
    bk.add_strategy("one", once(long(102, 98, 30)), interval="3m")
    bk.add_strategy("two", once(None))
    job(ticks, interval="1h")
    run(["A", "B", "C"], strategy_name=["one", "two"], fast_forward=fast_forward)
    assert ticks == [(60, None), (120, None), (180, None), (240, None), (300, None)]


def test_a_job_for_symbols_runs_once_for_each_of_those_that_are_there(fast_forward):
    ticks = []
    given({name: flat(401) for name in "ABC"}, frame=(0, 130))
    bk.add_strategy("one", once(None))
    job(ticks, interval="1h", symbols=["B", "A", "Z"])
    run(["A", "B", "C"], fast_forward=fast_forward)
    assert ticks == [(minute, symbol) for minute in (0, 60, 120) for symbol in ("B", "A")]


def test_a_job_that_fails_is_tried_again_at_the_next_minute_and_told_as_an_error(world, fast_forward):
    tries, errors = [], heard(world, Failure)
    given(flat(401), frame=(10, 200))
    bk.add_strategy("s", once(long(102, 98, 100)))

    def broken(tick):
        tries.append((minute_of(tick.when), minute_of(tick.boundary)))
        if len(tries) < 4:
            raise RuntimeError("not yet")

    bk.add_cron("broken", broken, interval="1h")
    run(fast_forward=fast_forward)
    assert tries == [(60, 60), (61, 60), (62, 60), (63, 60), (120, 120), (180, 180)]
    assert [(minute_of(error.time), str(error.error)) for error in errors] == [(m, "not yet") for m in (60, 61, 62)]
    assert "broken" in errors[0].where


def test_a_job_sees_the_candles_that_have_closed_and_no_later_one(fast_forward):
    table, seen = walk(401, 3), []
    given(table, frame=(10, 200))
    bk.add_strategy("s", once(long(200, 50, 1000)))

    @bk.listen_signal_opened
    def opened(event):
        assert event.time == at(10)

    async def look(tick):
        await asyncio.sleep(0)
        window = bk.get_candles(SYMBOL, "1m", 2)
        seen.append((minute_of(tick.when), minute_of(int(window.time[-1])), float(window.close[-1]), tick.mode))

    bk.add_cron("look", look, interval="30m")
    run(fast_forward=fast_forward)
    minutes = [30, 60, 90, 120, 150, 180]
    assert seen == [(minute, minute - 1, table["close"][minute - 1], "backtest") for minute in minutes]


def test_a_job_runs_after_the_candles_of_its_tick_and_before_its_decisions(fast_forward):
    order = []
    given({"A": flat(201, {59: 103}), "B": flat(201)}, frame=(10, 100))

    @bk.strategy("s")
    def get_signal(symbol, when, price):
        order.append(f"{symbol} asked at {minute_of(when):g}")
        return long(102, 98) if symbol == "A" and when == at(10) else None

    bk.listen_signal_closed(lambda event: order.append(f"{event.symbol} closed in {minute_of(event.time):g}"))
    bk.add_cron("job", lambda tick: order.append(f"job at {minute_of(tick.when):g}"), interval="1h")
    run(["A", "B"], fast_forward=fast_forward)
    place = order.index("job at 60")
    assert order[place - 1] == "A closed in 59"
    assert order[place + 1 : place + 3] == ["A asked at 60", "B asked at 60"]
    assert "B asked at 59" in order[:place]


def test_a_command_in_a_job_counts_from_the_next_candle(fast_forward):
    given(flat(201), frame=(10, 100))
    bk.add_strategy("s", once(long(110, 90)))
    bk.add_cron("leave", lambda tick: bk.commit_close_pending(SYMBOL), interval="30m")
    event = run(fast_forward=fast_forward)[-1]
    assert (minute_of(event.time), event.close_reason) == (30, "closed")


def test_a_job_that_is_added_or_removed_during_a_run_is_followed(fast_forward):
    ticks = []
    given(flat(401), frame=(10, 300))

    @bk.strategy("s", interval="5m")
    def get_signal(symbol, when, price):
        if when == at(100):
            job(ticks, interval="1h")
        if when == at(200):
            bk.remove_cron("job")

    run(fast_forward=fast_forward)
    assert ticks == [(120, None), (180, None)]


def test_every_run_has_its_own_boundaries():
    ticks = []
    given(flat(401), frame=(10, 130))
    bk.add_strategy("s", once(None))
    job(ticks, interval="1h")
    run()
    run()
    assert ticks == [(60, None), (120, None)] * 2


def test_jobs_have_names_that_are_listed_and_removed():
    job([], interval="1h")
    with pytest.raises(bk.DuplicateNameError):
        job([], interval="1h")
    assert [(each.name, str(each.interval)) for each in bk.list_crons()] == [("job", "1h")]
    with pytest.raises(bk.UnknownNameError, match="job"):
        bk.remove_cron("jobs")
    assert bk.remove_cron("job").name == "job"
    assert bk.list_crons() == ()
