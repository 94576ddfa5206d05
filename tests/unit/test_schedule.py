"""Jobs on engine time: once per boundary, tried again after a failure, never twice."""

from __future__ import annotations

import asyncio

import pytest

from backtest_kit.core.values import MINUTE, Interval
from backtest_kit.engine.schedule import CronTick, Schedule, ScheduleRun
from backtest_kit.errors import ConfigError, DuplicateNameError, UnknownNameError

HOUR = 60 * MINUTE
DAY = 24 * HOUR
NOON = 1_769_904_000_000 + 12 * HOUR


class Diary:
    """A handler that writes down its ticks; it fails while `broken`."""

    def __init__(self) -> None:
        self.ticks: list[CronTick] = []
        self.errors: list[tuple[str, CronTick]] = []
        self.broken = False

    def __call__(self, tick: CronTick) -> None:
        self.ticks.append(tick)
        if self.broken:
            raise RuntimeError("broken")

    def on_error(self, error: Exception, tick: CronTick) -> None:
        self.errors.append((str(error), tick))

    @property
    def times(self) -> list[int]:
        return [tick.when for tick in self.ticks]


@pytest.fixture
def diary() -> Diary:
    return Diary()


@pytest.fixture
def schedule() -> Schedule:
    return Schedule()


def run_of(schedule: Schedule, diary: Diary, start: int = NOON, symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT")):
    return ScheduleRun(schedule, start=start, symbols=symbols, mode="backtest", on_error=diary.on_error)


def walk(run: ScheduleRun, start: int, stop: int, step: int = MINUTE, visits: int = 1) -> None:
    """Fire at every step of [start, stop), as often as there are books."""

    async def go() -> None:
        for when in range(start, stop, step):
            for _ in range(visits):
                await run.fire(when)

    asyncio.run(go())


def drive(run: ScheduleRun, start: int, stop: int) -> None:
    """Fire only when the run asks for it."""

    async def go() -> None:
        due = run.next_due(start - 1)
        while due is not None and due < stop:
            await run.fire(due)
            due = run.next_due(due)

    asyncio.run(go())


def test_a_job_runs_once_per_boundary_however_many_books_pass(schedule, diary):
    schedule.add("hourly", "1h", diary)
    walk(run_of(schedule, diary), NOON, NOON + 3 * HOUR, visits=9)
    assert diary.times == [NOON, NOON + HOUR, NOON + 2 * HOUR]


def test_a_boundary_before_the_start_does_not_count(schedule, diary):
    schedule.add("hourly", "1h", diary)
    start = NOON + 7 * MINUTE
    walk(run_of(schedule, diary, start), start, NOON + 2 * HOUR)
    assert diary.times == [NOON + HOUR]


def test_the_tick_tells_name_time_symbol_mode_and_boundary(schedule, diary):
    schedule.add("hourly", Interval.H1, diary)
    walk(run_of(schedule, diary), NOON, NOON + MINUTE)
    assert diary.ticks == [CronTick("hourly", NOON, None, "backtest", NOON)]


def test_a_job_with_symbols_runs_once_for_each_that_has_a_book(schedule, diary):
    schedule.add("hourly", "1h", diary, symbols=["ETHUSDT", "SOLUSDT", "BTCUSDT", "ETHUSDT"])
    walk(run_of(schedule, diary), NOON, NOON + HOUR, visits=3)
    assert [tick.symbol for tick in diary.ticks] == ["ETHUSDT", "BTCUSDT"]


def test_a_job_for_symbols_without_a_book_is_never_due(schedule, diary):
    schedule.add("hourly", "1h", diary, symbols="SOLUSDT")
    run = run_of(schedule, diary)
    assert run.next_due(NOON) is None
    walk(run, NOON, NOON + HOUR)
    assert diary.ticks == []


def test_an_async_handler_is_awaited(schedule, diary):
    async def handler(tick: CronTick) -> None:
        await asyncio.sleep(0)
        diary(tick)

    schedule.add("hourly", "1h", handler)
    walk(run_of(schedule, diary), NOON, NOON + MINUTE)
    assert diary.times == [NOON]


def test_a_failed_job_is_told_about_and_tried_again_every_minute(schedule, diary):
    schedule.add("hourly", "1h", diary)
    run = run_of(schedule, diary)
    diary.broken = True
    walk(run, NOON, NOON + 3 * MINUTE, visits=4)
    diary.broken = False
    walk(run, NOON + 3 * MINUTE, NOON + 70 * MINUTE, visits=4)
    assert diary.times == [NOON, NOON + MINUTE, NOON + 2 * MINUTE, NOON + 3 * MINUTE, NOON + HOUR]
    assert [tick.boundary for tick in diary.ticks] == [NOON] * 4 + [NOON + HOUR]
    assert diary.errors == [("broken", tick) for tick in diary.ticks[:3]]


def test_the_next_boundary_ends_the_attempts_for_the_one_before(schedule, diary):
    schedule.add("quarterly", "3m", diary)
    diary.broken = True
    walk(run_of(schedule, diary), NOON, NOON + 5 * MINUTE)
    assert [tick.boundary for tick in diary.ticks] == [NOON] * 3 + [NOON + 3 * MINUTE] * 2


def test_one_failing_job_or_symbol_does_not_hold_up_the_others(schedule, diary):
    def fails_for_bitcoin(tick: CronTick) -> None:
        if tick.symbol == "BTCUSDT":
            raise RuntimeError("no")
        diary(tick)

    schedule.add("first", "1h", fails_for_bitcoin, symbols=["BTCUSDT", "ETHUSDT"])
    schedule.add("second", "1h", diary)
    walk(run_of(schedule, diary), NOON, NOON + 3 * MINUTE)
    assert [(tick.name, tick.symbol) for tick in diary.ticks] == [("first", "ETHUSDT"), ("second", None)]
    assert len(diary.errors) == 3


def test_after_a_jump_only_the_latest_boundary_is_run(schedule, diary):
    schedule.add("hourly", "1h", diary)
    run = run_of(schedule, diary)
    walk(run, NOON, NOON + MINUTE)
    walk(run, NOON + 5 * HOUR + 2 * MINUTE, NOON + 5 * HOUR + 9 * MINUTE)
    assert [(tick.when, tick.boundary) for tick in diary.ticks] == [
        (NOON, NOON),
        (NOON + 5 * HOUR + 2 * MINUTE, NOON + 5 * HOUR),
    ]


def test_a_week_begins_on_monday(schedule, diary):
    schedule.add("weekly", "1w", diary)
    run = run_of(schedule, diary)
    monday = 1_769_990_400_000  # 2026-02-02T00:00Z
    assert run.next_due(NOON) == monday
    walk(run, NOON, monday + 8 * DAY, step=HOUR)
    assert diary.times == [monday, monday + 7 * DAY]


def test_firing_only_when_asked_for_is_the_same_as_firing_every_minute(schedule, diary):
    other = Diary()
    for writer, name in ((diary, "a"), (other, "b")):
        one = Schedule()
        attempts = iter(range(10**6))

        def handler(tick: CronTick, writer=writer, attempts=attempts) -> None:
            writer(tick)
            if next(attempts) % 3 == 0:
                raise RuntimeError("every third")

        one.add("five", "5m", handler)
        one.add("hour", "1h", handler, symbols=["BTCUSDT", "ETHUSDT"])
        (walk if name == "a" else drive)(run_of(one, writer, NOON - 3 * MINUTE), NOON - 3 * MINUTE, NOON + 3 * HOUR)
    assert len(diary.ticks) > 40
    assert diary.ticks == other.ticks
    assert diary.errors == other.errors


def test_the_next_due_time_is_later_than_the_one_asked_about(schedule, diary):
    schedule.add("hourly", "1h", diary)
    run = run_of(schedule, diary)
    assert run.next_due(NOON - 1) == NOON
    walk(run, NOON, NOON + MINUTE)
    assert run.next_due(NOON) == NOON + HOUR
    assert run.next_due(NOON + HOUR - 1) == NOON + HOUR
    assert run.next_due(NOON + HOUR) == NOON + HOUR + MINUTE, "the boundary has passed and is still to be done"
    assert run.next_due(NOON + 5 * MINUTE) == NOON + HOUR, "an earlier time may be asked about again"


def test_without_jobs_nothing_is_ever_due(schedule, diary):
    assert run_of(schedule, diary).next_due(NOON) is None


def test_jobs_that_come_and_go_during_a_run_are_followed(schedule, diary):
    schedule.add("old", "1h", diary)
    run = run_of(schedule, diary)
    walk(run, NOON, NOON + 30 * MINUTE)
    schedule.add("new", "15m", diary)
    assert run.next_due(NOON + 30 * MINUTE) == NOON + 45 * MINUTE, "no boundary from before it was added"
    walk(run, NOON + 31 * MINUTE, NOON + HOUR)
    schedule.remove("new")
    walk(run, NOON + HOUR, NOON + 2 * HOUR)
    assert [(tick.name, tick.when) for tick in diary.ticks] == [
        ("old", NOON),
        ("new", NOON + 45 * MINUTE),
        ("old", NOON + HOUR),
    ]


def test_a_job_that_is_still_running_is_not_started_again(schedule, diary):
    async def both() -> None:
        go_on = asyncio.Event()

        async def slow(tick: CronTick) -> None:
            diary(tick)
            await go_on.wait()

        schedule.add("slow", "1m", slow)
        run = run_of(schedule, diary)
        first = asyncio.ensure_future(run.fire(NOON))
        await asyncio.sleep(0)
        await run.fire(NOON + MINUTE)
        go_on.set()
        await first
        await run.fire(NOON + 2 * MINUTE)

    asyncio.run(both())
    assert diary.times == [NOON, NOON + 2 * MINUTE]


def test_two_runs_of_one_schedule_do_not_share_what_is_done(schedule, diary):
    schedule.add("hourly", "1h", diary)
    for _ in range(2):
        walk(run_of(schedule, diary), NOON, NOON + MINUTE)
    assert diary.times == [NOON, NOON]


def test_jobs_are_listed_and_wrong_ones_refused(schedule, diary):
    job = schedule.add("hourly", "1h", diary, symbols="BTCUSDT")
    assert schedule.list() == (job,)
    assert job.symbols == ("BTCUSDT",)
    with pytest.raises(DuplicateNameError, match="cron job 'hourly' is registered already"):
        schedule.add("hourly", "1h", diary)
    with pytest.raises(UnknownNameError, match="did you mean '1h'"):
        schedule.add("other", "1hr", diary)
    with pytest.raises(ConfigError, match="handler of cron job 'other' must be a function, not 5"):
        schedule.add("other", "1h", 5)
    with pytest.raises(UnknownNameError, match="did you mean 'hourly'"):
        schedule.remove("hurly")
    assert schedule.list() == (job,)
