"""Processes die, pause, are doubled and start again; a world repeats itself, and its plans can be made shorter."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from backtest_kit.errors import StoreLockedError
from backtest_kit.testing.worlds import (
    FAMILIES,
    Family,
    ProcessDead,
    Report,
    planned,
    shrunk,
    simulate,
)
from tests.simulation.test_worlds_engines import careful, naive

ROOT = Path(__file__).resolve().parents[2]


def test_a_process_dies_before_and_after_every_call_of_a_port():
    async def main(ports):
        ports.show(Report)
        await ports.clock.sleep(1)
        await ports.disk.write("a", b"x")
        await ports.disk.read("a")
        ports.emit("events", 1, "hello")
        await ports.adapter.server_time()
        await ports.exchange.get_candles("BTCUSDT", "1m", 0, 1)
        ports.point("in the middle")
        await ports.clock.sleep(10_000)

    points = simulate(main, seconds=50.0, settle_seconds=0.0).counts["point"]
    assert points == 14
    where = []
    for number in range(1, points + 1):
        outcome = simulate(main, plan=planned(crashes={number: "kill"}), seconds=50.0, keep_lines=True)
        assert (outcome.crashes, outcome.violations) == (1, ())
        where += [line.split("process-1 ")[1] for line in outcome.lines if " crash kill " in line]
    assert where == [
        "before clock.sleep", "after clock.sleep", "before disk.write", "after disk.write", "before disk.read",
        "after disk.read", "before emit", "after emit", "before adapter.server_time", "after adapter.server_time",
        "before exchange.get_candles", "after exchange.get_candles", "in the middle", "before clock.sleep",
    ]  # fmt: skip


def test_a_dead_process_can_do_nothing_more_even_if_it_catches_everything():
    raised: list[str] = []

    async def main(ports):
        ports.show(Report)
        if ports.name != "process-1":
            await ports.clock.sleep(10_000)
        try:
            await ports.clock.sleep(1)
        except ProcessDead:
            for _ in range(500):
                try:
                    raised.append("sync")
                    ports.clock.now()
                except ProcessDead:
                    raised.append("dead")
                try:
                    await ports.disk.write("a", b"x")
                except ProcessDead:
                    raised.append("dead")
                    continue
                raised.append("alive")
            raised.append("went on for ever")

    outcome = simulate(main, plan=planned(crashes={1: "kill"}))
    assert (outcome.violations, outcome.processes) == ((), 2)
    assert {"alive", "went on for ever"}.isdisjoint(raised)
    assert raised.count("dead") > 100


def test_child_tasks_die_with_their_process():
    ticks: list[str] = []

    async def main(ports):
        ports.show(Report)

        async def tick():
            while True:
                await asyncio.sleep(1)
                ticks.append(ports.name)

        async with asyncio.TaskGroup() as group:
            group.create_task(tick())
            await ports.clock.sleep(10.5)
            await ports.clock.sleep(10_000)

    outcome = simulate(main, plan=planned(crashes={2: "kill"}), seconds=60.0)
    assert outcome.violations == ()
    assert ticks.count("process-1") == 10
    assert set(ticks) == {"process-1", "process-2"}


def test_a_power_cut_takes_every_process_and_what_was_not_synced():
    seen: list[bytes | None] = []

    async def main(ports):
        ports.show(Report)
        seen.append(await ports.disk.read("a"))
        await ports.disk.write("a", b"x" * 9)
        await ports.clock.sleep(1)
        await ports.clock.sleep(10_000)

    for seed in range(20):
        simulate(main, seed, plan=planned(crashes={6: "power"}), seconds=60.0)
    assert seen.count(None) > 20
    assert b"x" * 9 in seen


def test_a17_a_paused_process_stands_still_and_may_be_doubled():
    longest: list[float] = []

    async def main(ports):
        ports.show(Report)
        while True:
            before = ports.clock.monotonic()
            await ports.clock.sleep(1)
            longest.append(ports.clock.monotonic() - before)

    family = Family(name="pauses", point=0.02, strikes=("pause",), lost_locks=1.0)
    outcomes = [simulate(main, seed, family, seconds=300.0) for seed in range(5)]
    assert all(outcome.violations == () for outcome in outcomes)
    assert all(outcome.tally["point pause"] > 0 for outcome in outcomes)
    assert any(outcome.processes > 1 for outcome in outcomes)
    longest.clear()
    simulate(main, plan=planned(crashes={3: "pause"}), seconds=60.0)
    assert 2.0 < max(longest) < 47.0


def test_a18_a_twin_that_finds_the_lock_taken_is_no_violation():
    async def main(ports):
        if not await ports.disk.lock("lock"):
            raise StoreLockedError("taken")
        ports.show(Report)
        await ports.clock.sleep(10_000)

    family = Family(name="twins", incidents=(("twin", 3),))
    outcome = simulate(main, family=family, keep_lines=True)
    assert (outcome.violations, outcome.processes) == ((), 4)
    assert sum("StoreLockedError" in line for line in outcome.lines) == 3


def test_an_engine_that_fails_unexpectedly_is_blamed():
    async def main(ports):
        ports.show(Report)
        await ports.clock.sleep(1)
        raise KeyError("position")

    async def in_a_task(ports):
        ports.show(Report)

        async def fail():
            raise KeyError("position")

        asyncio.create_task(fail())  # noqa: RUF006 - forgotten on purpose
        await ports.clock.sleep(10_000)

    assert "the engine has failed: KeyError: 'position'" in simulate(main, seconds=10.0).violations
    assert "a task has failed unseen: KeyError: 'position'" in simulate(in_a_task, seconds=10.0).violations


def test_an_engine_that_shows_nothing_or_ends_is_not_at_work():
    async def silent(ports):
        await ports.clock.sleep(10_000)

    async def ends(ports):
        ports.point("the end")

    assert simulate(silent, seconds=10.0, settle_seconds=5.0).violations == ("no engine is at work",)
    assert simulate(ends, seconds=10.0, settle_seconds=5.0).violations == ("no engine is at work",)


@pytest.mark.parametrize(
    ("numbers", "blamed"),
    [([1, 2, 3], False), ([1, 3], True), ([2], True), ([1, 2, 2], True), ([1, 2, 1], True), ([0], True)],
)
def test_events_are_gap_free_and_in_order(numbers, blamed):
    async def main(ports):
        ports.show(Report)
        for number in numbers:
            ports.emit("events", number, f"event {number}")
        await ports.clock.sleep(10_000)

    assert bool(simulate(main, seconds=10.0).violations) is blamed


def test_a5_events_may_come_again_after_a_restart_but_not_with_another_content():
    async def main(ports):
        ports.show(lambda: Report(events={"events": 2}))
        for number in (1, 2):
            ports.emit("events", number, f"event {number}")
        ports.emit("names", 1, ports.name)
        await ports.clock.sleep(10_000)

    outcome = simulate(main, plan=planned(crashes={7: "kill"}), seconds=60.0)
    assert [violation for violation in outcome.violations if "two contents" not in violation] == []
    assert len(outcome.violations) == 1
    assert [each.number for each in outcome.deliveries if each.stream == "events"] == [1, 2, 1, 2]


def test_what_the_engine_believes_must_be_true_at_rest():
    async def believes(ports, **report):
        ports.show(lambda: Report(**report))
        await ports.clock.sleep(10_000)

    def said(**report):
        return simulate(lambda ports: believes(ports, **report), seconds=1.0, settle_seconds=3.0).violations

    assert said() == ()
    assert said(quantities={"a/b": 1.0})[0].startswith("invented position")
    assert said(cash={"a/b": 1.0})[0].startswith("wrong money")
    assert said(unresolved=1)[0].startswith("unresolved")
    assert said(events={"a": 1})[0].startswith("events")
    assert said(quantities={"a/b": 1.0}, halted=frozenset({"a/b"})) == ()


@pytest.mark.parametrize("family", ["mixed", "everything", "two_processes"])
def test_the_same_seed_is_the_same_history_and_its_plan_repeats_it(family):
    first, again = (simulate(careful, 11, FAMILIES[family]) for _ in range(2))
    assert first == again
    replayed = simulate(careful, 11, FAMILIES[family], plan=first.plan)
    assert (replayed.fingerprint, replayed.plan) == (first.fingerprint, first.plan)
    assert simulate(careful, 12, FAMILIES[family]).fingerprint != first.fingerprint
    assert len(first.plan) > 5


def test_a_history_does_not_depend_on_the_hashes_of_a_python_process():
    code = (
        "from tests.simulation.test_worlds_engines import careful, FAMILIES, simulate\n"
        "print([simulate(careful, seed, FAMILIES['everything']).fingerprint for seed in range(5)])"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True,
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(printed) == 1


def test_a_failing_plan_shrinks_to_what_makes_it_fail():
    failing = simulate(naive, 3, FAMILIES["mixed"])
    assert failing.violations

    def fails(plan):
        return bool(simulate(naive, 3, FAMILIES["mixed"], plan=plan).violations)

    shorter = shrunk(failing.plan, fails)
    assert fails(shorter)
    assert len(shorter) <= 2 < len(failing.plan)
    assert not any(fails({key: what for key, what in shorter.items() if key != left_out}) for left_out in shorter)


def test_shrinking_keeps_all_that_is_needed():
    plan = planned(crashes={1: "kill", 5: "kill"}, fates=dict.fromkeys(range(1, 30), "reset"))
    needed = {("point", 5), ("call", 7), ("call", 23)}
    assert set(shrunk(plan, lambda each: needed <= set(each))) == needed


def test_every_kind_of_fault_happens_in_the_family_of_everything():
    tally = sum((simulate(careful, seed, FAMILIES["everything"]).tally for seed in range(25)), start=Counter())
    wanted = {
        "point kill", "point power", "point pause", "sync eio", "flush slow", "write full", "jump happens",
        "drift happens", "fill_up happens", "by_hand happens", "twin happens", "fill partial", "fill slow",
        "order rejected", "visibility late",
    }  # fmt: skip
    assert wanted <= set(tally)
