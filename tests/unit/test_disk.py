"""The real disk: the calls that durable state is made of, on real files."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from backtest_kit.ports import Disk
from backtest_kit.stores import FolderDisk
from backtest_kit.stores import disk as disk_module


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return FolderDisk(tmp_path / "data")


def open_handles() -> set[str]:
    return set(os.listdir("/dev/fd"))  # noqa: PTH208  # the handle of the listing itself must be gone again


async def test_what_is_written_is_read_and_folders_are_made(disk: Disk, tmp_path: Path) -> None:
    await disk.write("a/b/c.json", b"one")
    assert await disk.read("a/b/c.json") == b"one"
    assert (tmp_path / "data/a/b/c.json").read_bytes() == b"one"
    assert await disk.read("a/b/d.json") is None
    assert await disk.read("x/y.json") is None


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 1_000_000])
async def test_files_of_any_size_are_written_replaced_and_added_to(disk: Disk, size: int) -> None:
    content = os.urandom(size)
    await disk.write("a", b"x" * (size + 10))
    await disk.write("a", content)
    assert await disk.read("a") == content
    await disk.append("a", content)
    await disk.append("a", b"end")
    await disk.sync("a")
    assert await disk.read("a") == content * 2 + b"end"


async def test_renaming_replaces_and_removing_takes_away(disk: Disk) -> None:
    await disk.write("f/a", b"new")
    await disk.write("f/b", b"old")
    await disk.rename("f/a", "f/b")
    assert await disk.list("f") == ["b"]
    assert await disk.read("f/b") == b"new"
    await disk.remove("f/b")
    assert await disk.read("f/b") is None
    for call in (disk.remove("f/b"), disk.rename("f/b", "f/c"), disk.sync("f/b"), disk.sync_folder("g")):
        with pytest.raises(FileNotFoundError):
            await call


async def test_a_listing_has_files_and_folders_and_none_of_what_is_no_folder(disk: Disk) -> None:
    assert list(await disk.list("")) == []
    for path in ("b", "a/x", "a/y", "c.json"):
        await disk.write(path, b"")
    assert list(await disk.list("")) == ["a", "b", "c.json"]
    assert list(await disk.list("a")) == ["x", "y"]
    assert list(await disk.list("b")) == list(await disk.list("nothing")) == []


async def test_no_handle_stays_open(disk: Disk) -> None:
    async def work() -> None:
        for number in range(20):
            await disk.write(f"{number}", b"x" * 70_000 if number % 2 else b"x")
            if number % 3:
                await disk.sync(f"{number}")
            await disk.append(f"{number}", b"y")
            await disk.rename(f"{number}", f"f{number}.json")
            await disk.remove(f"f{number}.json")
        assert await disk.lock("lock")
        await disk.unlock("lock")

    await disk.write("first", b"")
    await disk.sync("first")
    before = open_handles()
    await work()
    assert open_handles() == before


async def test_a18_a_lock_is_held_once_says_by_whom_and_can_be_had_again(tmp_path: Path) -> None:
    one, other = FolderDisk(tmp_path), FolderDisk(tmp_path)
    assert await one.lock("lock")
    assert not await other.lock("lock")
    assert not await one.lock("lock")
    assert f"process {os.getpid()} on " in (tmp_path / "lock").read_text()
    await one.unlock("lock")
    await one.unlock("lock")
    assert await other.lock("lock")
    await other.unlock("lock")


async def test_a18_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", "import sys, asyncio; from backtest_kit.stores import FolderDisk\n"
         "print(asyncio.run(FolderDisk(sys.argv[1]).lock('lock')), flush=True); sys.stdin.read()", str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(disk_module.__file__).parents[2])},
    )  # fmt: skip
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        disk = FolderDisk(tmp_path)
        assert not await disk.lock("lock")
        assert (tmp_path / "lock").read_text().startswith(f"process {holder.pid} on ")
        holder.kill()
        holder.wait()
        assert await disk.lock("lock")
        await disk.unlock("lock")


async def test_syncs_wait_in_a_thread_of_their_own_and_reach_the_device(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    synced: list[tuple[str, str]] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        synced.append((os.readlink(f"/dev/fd/{handle}"), threading.current_thread().name))  # noqa: PTH115
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(disk_module, "fcntl", None)
    await disk.write("a/b", b"x")
    await disk.sync("a/b")
    await disk.sync_folder("a")
    root = str(tmp_path)
    folders = [root, f"{root}/data"]  # each folder that was made is durable in the one above it
    assert [path for path, _ in synced] == [*folders, f"{root}/data/a/b", f"{root}/data/a"]
    assert all(name.startswith("disk") for _, name in synced)


async def test_b15_a_disk_that_can_be_told_to_write_through_is_told(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Apple:
        F_FULLFSYNC = 51
        asked: list[int] = []  # noqa: RUF012
        refuses = 0

        def fcntl(self, handle: int, command: int) -> None:
            self.asked.append(command)
            if self.refuses:
                raise OSError(self.refuses, os.strerror(self.refuses))

    apple = Apple()
    plain: list[int] = []
    monkeypatch.setattr(disk_module, "fcntl", apple)
    monkeypatch.setattr(os, "fsync", plain.append)
    await disk.write("a", b"x")
    apple.asked.clear()
    plain.clear()
    await disk.sync("a")
    assert (apple.asked, plain) == ([51], [])
    apple.refuses = errno.ENOTSUP  # a network drive that has no such call
    await disk.sync("a")
    assert (len(apple.asked), len(plain)) == (2, 1)
    apple.refuses = errno.EIO
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        await disk.sync("a")
    assert len(plain) == 1


async def test_the_loop_goes_on_while_the_device_is_slow(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()
    await disk.write("a", b"x")

    def slow(handle: int) -> None:
        let_go.wait(10)
        os.close(handle)

    monkeypatch.setattr(disk_module, "_sync", slow)
    syncing = asyncio.ensure_future(disk.sync("a"))
    await asyncio.sleep(0.01)
    await disk.write("b", b"y")
    assert await disk.read("b") == b"y"
    assert not syncing.done()
    let_go.set()
    await syncing
