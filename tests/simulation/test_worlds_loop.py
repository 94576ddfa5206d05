"""The virtual loop: time is a number, order is a seed, and nothing waits for the outside."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

import pytest

from backtest_kit.testing.worlds import (
    DeadlockError,
    LivelockError,
    Report,
    SimClock,
    TrueTime,
    run,
    simulate,
)


async def _letters(count: int = 8) -> str:
    said: list[str] = []

    async def say(letter: str) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        said.append(letter)

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(say(chr(97 + number)))
    return "".join(said)


def test_a_day_passes_in_no_time():
    async def main() -> float:
        await asyncio.sleep(86_400)
        return asyncio.get_running_loop().time()

    before = time.monotonic()
    assert run(main) == 86_400.0
    assert time.monotonic() - before < 1.0


def test_the_order_of_ready_tasks_is_the_seed():
    orders = {run(_letters, seed) for seed in range(20)}
    assert len(orders) > 10
    assert all(run(_letters, seed) == run(_letters, seed) for seed in range(5))


def test_tasks_are_cancelled_in_the_same_order_in_every_run():
    async def main() -> list[int]:
        ended: list[int] = []

        async def wait(number: int) -> None:
            try:
                await asyncio.sleep(100)
            finally:
                ended.append(number)

        with contextlib.suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                for number in range(30):
                    group.create_task(wait(number))
                await asyncio.sleep(1)
                raise ValueError
        assert len(ended) == 30
        return ended

    assert run(main, 4) == run(main, 4)


def test_waiting_for_what_never_comes_is_a_deadlock():
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(DeadlockError, match="nothing can happen"):
        run(main)


def test_spinning_while_time_stands_still_is_a_livelock():
    async def main() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(LivelockError, match="still"):
        run(main)


def test_there_are_no_threads_and_no_sockets():
    async def sockets() -> None:
        await asyncio.open_connection("localhost", 1)

    async def servers() -> None:
        await asyncio.start_server(lambda *_: None, family=socket.AF_INET, port=0)

    async def threads() -> None:
        await asyncio.to_thread(time.sleep, 0)

    async def from_a_thread() -> None:
        asyncio.get_running_loop().call_soon_threadsafe(print)

    for main in (sockets, servers, threads, from_a_thread):
        with pytest.raises(RuntimeError, match=r"no (threads|sockets)"):
            run(main)


def test_what_is_left_behind_is_cancelled():
    ended: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            ended.append("cancelled")

    async def main() -> None:
        task = asyncio.create_task(wait())
        await asyncio.sleep(1)
        assert not task.done()

    run(main)
    assert ended == ["cancelled"]


def test_c2_the_wall_clock_jumps_and_drifts_and_the_monotonic_one_does_not():
    async def main() -> list[tuple[int, float]]:
        clock = SimClock(TrueTime(asyncio.get_running_loop(), start=1_000_000))
        seen = [(clock.now(), clock.monotonic())]
        clock.jump(-3_600_000)
        seen.append((clock.now(), clock.monotonic()))
        clock.drift(1000)
        await clock.sleep(100)
        seen.append((clock.now(), clock.monotonic()))
        clock.correct()
        seen.append((clock.now(), clock.monotonic()))
        return seen

    assert run(main) == [(1_000_000, 0.0), (-2_600_000, 0.0), (-2_499_900, 100.0), (1_100_000, 100.0)]


def test_a_day_of_an_engine_that_reads_candles_takes_less_than_two_seconds():
    async def main(ports):
        ports.show(Report)
        while True:
            await ports.clock.sleep(60)
            await ports.exchange.get_candles("BTCUSDT", "1m", ports.clock.now() - 300_000, 5)

    before = time.process_time()
    outcome = simulate(main, seconds=86_400.0)
    assert (outcome.violations, outcome.counts["candles"] > 1400) == ((), True)
    assert time.process_time() - before < 2.0
