"""The simulated disk: what is synced stays, what is not is lost in every way that there is."""

from __future__ import annotations

import asyncio
import errno
from collections import Counter

import pytest

from backtest_kit.testing.worlds import DiskOdds, Faults, Plan, Platter, SimDisk, planned, run


def _disk(seed: int = 0, plan: Plan | None = None, odds: DiskOdds | None = None) -> SimDisk:
    return SimDisk(Platter(Faults(seed, plan), odds))


def _after_power_loss(act, path: str, seeds: int = 300) -> Counter:
    """What a power loss after `act(disk)` leaves of a file, by seed."""
    left: Counter = Counter()
    for seed in range(seeds):

        async def main(seed: int = seed) -> bytes | None:
            disk = _disk(seed)
            await act(disk)
            disk.platter.crash("power")
            return await disk.read(path)

        left[run(main)] += 1
    return left


async def _durable(disk: SimDisk, path: str, content: bytes) -> None:
    await disk.write(path, content)
    await disk.sync(path)
    await disk.sync_folder(path.rpartition("/")[0])


def test_what_was_synced_is_there_after_a_power_loss():
    async def act(disk: SimDisk) -> None:
        await _durable(disk, "data/a.json", b"hello")

    assert set(_after_power_loss(act, "data/a.json")) == {b"hello"}


def test_a_kill_loses_nothing_of_the_disk():
    async def main() -> bytes | None:
        disk = _disk()
        await disk.write("a", b"hello")
        disk.platter.crash("kill")
        return await disk.read("a")

    assert run(main) == b"hello"


def test_b1_an_unsynced_append_is_lost_torn_zeroed_garbage_or_kept():
    async def act(disk: SimDisk) -> None:
        await _durable(disk, "log", b"one ")
        await disk.append("log", b"two two two")

    left = _after_power_loss(act, "log")
    assert all(content.startswith(b"one ") for content in left)
    assert {b"one ", b"one two two two"} <= set(left)
    assert any(content.endswith(b"\0\0") and len(content) == 15 for content in left)
    assert any(b"one " != content != b"one two two two" and b"one two two two".startswith(content) for content in left)
    assert any(content[4:7] not in (b"two", b"", b"\0\0\0") and len(content) == 15 for content in left)


def test_b2_an_unsynced_rename_is_kept_or_lost_and_never_leaves_nothing():
    async def act(disk: SimDisk) -> None:
        await _durable(disk, "state", b"old")
        await disk.write("state.tmp", b"new")
        await disk.sync("state.tmp")
        await disk.rename("state.tmp", "state")

    assert set(_after_power_loss(act, "state")) == {b"old", b"new"}


def test_b10_a_file_written_in_place_may_be_empty_after_a_power_loss():
    async def act(disk: SimDisk) -> None:
        await _durable(disk, "state", b"old")
        await disk.write("state", b"new and longer")

    assert {b"", b"old", b"new", b"new and longer"} <= set(_after_power_loss(act, "state"))


def test_b6_after_a_failed_sync_a_later_one_means_nothing():
    async def main() -> tuple[bytes | None, bytes | None]:
        disk = _disk(plan=planned(sync={3: "eio"}))
        await _durable(disk, "a", b"old")
        await disk.append("a", b" new")
        with pytest.raises(OSError, match="error") as failure:
            await disk.sync("a")
        assert failure.value.errno == errno.EIO
        await disk.sync("a")
        seen = await disk.read("a")
        disk.platter.crash("power")
        return seen, await disk.read("a")

    assert run(main) == (b"old new", b"old")


def test_b4_the_kth_write_finds_no_space_and_leaves_a_part():
    async def main() -> bytes | None:
        disk = _disk(plan=planned(write={2: "full"}))
        await disk.write("a", b"12345678")
        with pytest.raises(OSError, match="space") as failure:
            await disk.append("a", b"12345678")
        assert failure.value.errno == errno.ENOSPC
        return await disk.read("a")

    left = run(main)
    assert left is not None
    assert left != b"12345678" * 2
    assert left.startswith(b"12345678")


def test_b5_removing_a_reserve_makes_room_on_a_full_disk():
    async def main() -> None:
        disk = _disk()
        await disk.write("reserve", bytes(100))
        disk.platter.fill_up()
        with pytest.raises(OSError, match="space"):
            await disk.write("a", b"x" * 50)
        await disk.remove("a")
        await disk.remove("reserve")
        await disk.write("a", b"x" * 50)

    run(main)


def test_b24_a_sync_may_take_half_a_minute():
    async def main() -> float:
        disk = _disk(plan=planned(flush={1: "slow"}))
        await disk.write("a", b"x")
        before = asyncio.get_running_loop().time()
        await disk.sync("a")
        return asyncio.get_running_loop().time() - before

    assert run(main) == 30.0


def test_b7_a_flipped_bit_is_seen_by_whoever_reads_next():
    async def main() -> bytes | None:
        disk = _disk()
        assert disk.platter.flip_bit() == ""
        await _durable(disk, "a", b"hello")
        assert disk.platter.flip_bit() == "a"
        return await disk.read("a")

    left = run(main)
    assert left is not None
    assert sum((a ^ b).bit_count() for a, b in zip(left, b"hello", strict=True)) == 1


def test_write_back_brings_down_what_nobody_synced():
    kept = 0
    for seed in range(50):
        disk = _disk(seed)

        async def main(disk: SimDisk = disk) -> bytes | None:
            await disk.write("a", b"hello")
            disk.platter.write_back()
            disk.platter.crash("power")
            return await disk.read("a")

        kept += run(main) == b"hello"
    assert 25 <= kept < 50


def test_a_lock_is_one_process_s_until_it_dies():
    async def main() -> list[bool]:
        platter = Platter()
        one, two = SimDisk(platter, "one"), SimDisk(platter, "two")
        answers = [await one.lock("lock"), await one.lock("lock"), await two.lock("lock")]
        await two.unlock("lock")
        answers.append(await two.lock("lock"))
        platter.release("one")
        answers.append(await two.lock("lock"))
        assert await one.read("lock") == b"two\n"
        await two.unlock("lock")
        return [*answers, await one.lock("lock")]

    assert run(main) == [True, False, False, False, True, True]


def test_names_are_listed_by_folder():
    async def main() -> tuple:
        disk = SimDisk()
        for path in ("data/b.json", "data/a.json", "data/risk/x.json", "other"):
            await disk.write(path, b"")
        with pytest.raises(FileNotFoundError):
            await disk.rename("missing", "data/c")
        return await disk.list("data"), await disk.list(""), await disk.list("nothing"), await disk.read("missing")

    assert run(main) == (["a.json", "b.json", "risk"], ["data", "other"], [], None)
