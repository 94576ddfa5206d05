"""The store in files on a disk that fails: killed and without power at every call, errors of syncing, no space left."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest_kit.errors import StoreError
from backtest_kit.ports import Disk, Document
from backtest_kit.stores import FileStore, StoreFullError
from backtest_kit.stores.document_text import kept_in
from tests.unit.crash_disk import CrashDisk, Died

Step: TypeAlias = tuple[str, str]  # what is done, and to which key
Seen: TypeAlias = dict[str, object]  # what a reader finds under each key and in each history

KEYS = ("signals/A_b_c", "signals/D_e_f")
STREAM = "journal/a"
FULL_LIFE: tuple[Step, ...] = (
    ("write", KEYS[0]), ("append", STREAM), ("write", KEYS[0]), ("write", KEYS[1]), ("append", STREAM),
    ("reopen", ""), ("write", KEYS[0]), ("append", STREAM), ("delete", KEYS[0]), ("write", KEYS[0]),
)  # fmt: skip


async def lived(disk: Disk, steps: Sequence[Step], done: list[Step]) -> None:
    """Lives through the steps; `done` says how far it came."""
    store = FileStore("data", disk)
    epoch = await store.open("life")
    for number, (what, key) in enumerate(steps):
        newest = await store.read(key) if key in KEYS else None
        sequence = newest.sequence if newest else 0
        if what == "write":
            await store.write(key, Document(sequence + 1, epoch, f'{{"step": {number}}}'), sequence)
        elif what == "delete":
            await store.delete(key, sequence)
        elif what == "append":
            await store.append(key, f"step {number}")
        else:
            await store.close()
            epoch = await store.open("life")
        done.append((what, key))
    await store.close()


def expected(steps: Sequence[Step]) -> Seen:
    """What a reader must find after these steps."""
    seen: Seen = {**dict.fromkeys(KEYS), STREAM: ()}
    for number, (what, key) in enumerate(steps):
        if what == "write":
            seen[key] = f'{{"step":{number}}}'
        elif what == "delete":
            seen[key] = None
        elif what == "append":
            lines = seen[key]
            assert isinstance(lines, tuple)
            seen[key] = (*lines, f"step {number}")
    return seen


async def read_by(store: FileStore) -> Seen:
    found: Seen = {STREAM: tuple([line async for line in store.scan(STREAM)])}
    for key in KEYS:
        document = await store.read(key)
        found[key] = document.content if document else None
    return found


async def check_after(files: dict[str, bytes], steps: Sequence[Step], done: int, reopened: int) -> None:
    """A restart finds the last finished step or the one that was cut off, and can go on."""
    either = [expected(steps[:done]), expected(steps[: done + 1])]
    disk = CrashDisk(files)
    assert await read_by(FileStore("data", disk)) in either
    store = FileStore("data", disk)
    epoch = await store.open("restart")
    assert epoch > reopened
    found = await read_by(store)
    assert found in either
    assert not [path for path in disk.names if path.endswith(".tmp")]
    newest = await store.read(KEYS[0])
    sequence = newest.sequence if newest else 0
    await store.append(STREAM, "restart")
    await store.write(KEYS[0], Document(sequence + 1, epoch, '"restart"'), sequence)
    assert disk.names == disk.durable_names, "what is there is there for good"
    lines = found[STREAM]
    assert isinstance(lines, tuple)
    assert await read_by(store) == {**found, STREAM: (*lines, "restart"), KEYS[0]: '"restart"'}
    await store.close()


async def base() -> dict[str, bytes]:
    """A folder that was opened and closed once, so that its reserve need not be made each time."""
    disk = CrashDisk()
    await lived(disk, (), [])
    return disk.killed()


async def died(files: dict[str, bytes], steps: Sequence[Step], at: int) -> tuple[CrashDisk, list[Step]]:
    disk, done = CrashDisk(files), list[Step]()
    disk.dies_at = at
    with pytest.raises(Died):
        await lived(disk, steps, done)
    return disk, done


async def test_b1_b2_b3_b10_killed_or_without_power_at_any_call_leaves_the_old_or_the_new() -> None:
    files = await base()
    whole = CrashDisk(files)
    await lived(whole, FULL_LIFE, [])
    images = 0
    for at in range(whole.calls):
        disk, done = await died(files, FULL_LIFE, at)
        epochs = 1 + done.count(("reopen", ""))
        for image in (disk.killed(), *disk.without_power()):
            await check_after(image, FULL_LIFE, len(done), epochs)
            images += 1
    assert images > 3 * whole.calls


steps_taken = st.lists(
    st.sampled_from([*itertools.product(("write", "delete"), KEYS), ("append", STREAM), ("reopen", "")]), max_size=8
)


@given(data=st.data(), steps=steps_taken)
async def test_b3_no_order_of_calls_is_an_exception(data: st.DataObject, steps: list[Step]) -> None:
    files = await base()
    whole = CrashDisk(files)
    await lived(whole, steps, [])
    disk, done = await died(files, steps, data.draw(st.integers(0, whole.calls - 1), "dies at call"))
    images = [disk.killed(), *disk.without_power()]
    await check_after(data.draw(st.sampled_from(images), "image"), steps, len(done), 1 + done.count(("reopen", "")))


async def test_a11_dying_in_the_restart_again_and_again_changes_nothing() -> None:
    disk, done = await died(await base(), FULL_LIFE[:4], 40)
    either = [expected(FULL_LIFE[: len(done)]), expected(FULL_LIFE[: len(done) + 1])]
    at = 0
    while True:
        again = CrashDisk(disk.killed())
        again.dies_at = at
        try:
            await FileStore("data", again).open("restart")
            break
        except Died:
            for image in again.without_power():
                assert await read_by(FileStore("data", CrashDisk(image))) in either
        at += 1
    assert at > 5


# ---- errors of the disk ----------------------------------------------------------------------------------------------


async def opened(files: dict[str, bytes] | None = None) -> tuple[FileStore, CrashDisk]:
    """An open store with one document and one line."""
    disk = CrashDisk(await base() if files is None else files)
    store = FileStore("data", disk)
    epoch = await store.open("one")
    await store.write(KEYS[0], Document(1, epoch, '"old"'), 0)
    await store.append(STREAM, "old")
    return store, disk


CHANGES: dict[str, Callable[[FileStore], Awaitable[None]]] = {
    "write": lambda store: store.write(KEYS[0], Document(2, 2, '"new"'), 1),
    "delete": lambda store: store.delete(KEYS[0], 1),
    "append": lambda store: store.append(STREAM, "new"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("error", ["sync", "sync_folder", "rename", "write", "append", "remove"])
async def test_b6_after_an_error_of_the_device_nothing_is_done_until_the_next_opening(change: str, error: str) -> None:
    store, disk = await opened()
    uses = {"write": {"sync", "sync_folder", "rename", "write"}, "delete": {"sync_folder", "remove"}}
    if error not in uses.get(change, {"sync", "append"}):
        disk.errors = {error: errno.EIO}
        await CHANGES[change](store)
        return
    disk.errors = {error: errno.EIO}
    with pytest.raises(StoreError, match=os.strerror(errno.EIO)):
        await CHANGES[change](store)
    disk.errors, disk.said = {}, []
    for call in (CHANGES["write"](store), CHANGES["append"](store), store.read(KEYS[0]), store.keys(), read_by(store)):
        with pytest.raises(StoreError, match=r"nothing more is written to data by this process.* start again"):
            await call
    assert disk.said == []
    await store.close()
    assert disk.said == ["unlock lock"], "an end after an error is not clean"
    assert await store.open("again") == 3
    assert [line async for line in store.scan(STREAM)] in (["old"], ["old", "new"])
    assert (await store.read(KEYS[0]) or Document(0, 0, "gone")).content in ('"old"', '"new"', "gone")
    await store.close()


async def test_b6_after_an_unclean_end_everything_gets_a_new_file_before_it_is_read_again() -> None:
    _, disk = await opened()
    was = dict(disk.names)
    disk.is_locked = False
    store = FileStore("data", disk)
    await store.open("after a kill")
    assert disk.names[f"{KEYS[0]}.json"] is not was[f"{KEYS[0]}.json"]
    assert disk.names[f"{KEYS[0]}.json"] == was[f"{KEYS[0]}.json"]
    await store.append(STREAM, "new")
    assert disk.names[f"{STREAM}.jsonl"] is not was[f"{STREAM}.jsonl"]
    await store.close()
    was = dict(disk.names)
    await store.open("after a clean end")
    await store.append(STREAM, "newer")
    assert disk.names[f"{KEYS[0]}.json"] is was[f"{KEYS[0]}.json"]
    assert disk.names[f"{STREAM}.jsonl"] is was[f"{STREAM}.jsonl"]


@pytest.mark.parametrize("change", ["write", "append"])
async def test_b4_a_full_disk_leaves_what_was_there_and_the_reserve_makes_room(change: str) -> None:
    store, disk = await opened()
    before = await read_by(store)
    disk.room = sum(map(len, disk.killed().values())) + 10
    for _ in range(2):
        with pytest.raises(StoreFullError, match=r"data/.* cannot be written: .*; free some space on the disk of data"):
            await CHANGES[change](store)
    assert await read_by(store) == before
    assert await store.release_reserve()
    assert "reserve" not in disk.durable_names
    await CHANGES[change](store)
    after = await read_by(store)
    assert (after[KEYS[0]], after[STREAM]) == (('"new"', ("old",)) if change == "write" else ('"old"', ("old", "new")))
    assert not await store.release_reserve()
    await store.close()


async def test_b5_a_store_is_opened_on_a_full_disk_in_the_room_of_its_reserve_which_comes_back_later() -> None:
    _, first = await opened()
    disk = CrashDisk(first.killed())
    disk.room = sum(map(len, disk.killed().values()))
    store = FileStore("data", disk)
    assert await store.open("full") == 3
    assert "reserve" not in disk.names
    await store.write(KEYS[0], Document(2, 3, '"new"'), 1)
    await store.close()
    disk.room = None
    await store.open("there is space again")
    assert len(disk.killed()["reserve"]) == 1_048_576
    await store.close()


async def test_b4_a_disk_that_is_full_while_syncing_throws_the_new_file_away_and_goes_on() -> None:
    store, disk = await opened()
    disk.errors = {"sync": errno.ENOSPC}
    with pytest.raises(StoreFullError):
        await CHANGES["write"](store)
    assert not [path for path in disk.names if path.endswith(".tmp")]
    disk.errors = {}
    await CHANGES["write"](store)
    disk.errors = {"sync": errno.ENOSPC}
    with pytest.raises(StoreError, match="could not be made durable") as raised:
        await CHANGES["append"](store)
    assert not isinstance(raised.value, StoreFullError), "the line may be there or not: the store is broken"


async def test_b4_the_generation_before_is_given_up_where_there_is_room_for_the_newest_alone() -> None:
    store, disk = await opened()
    text = disk.killed()[f"{KEYS[0]}.json"]
    disk.room = sum(map(len, disk.killed().values())) + len(text) + 20
    await CHANGES["write"](store)
    previous = disk.killed().get(f"{KEYS[0]}.json.previous")
    assert previous is None or kept_in(previous, 1).document.sequence == 1
    assert (await read_by(store))[KEYS[0]] == '"new"'


@pytest.mark.parametrize(
    ("code", "remedy"),
    [(errno.EACCES, "give this user the right"), (errno.EROFS, "mount it so that it can be written")],
)
async def test_b13_a_folder_that_cannot_be_written_is_named_with_the_remedy_and_nothing_changes(
    code: int, remedy: str
) -> None:
    store, disk = await opened()
    disk.errors = {"write": code, "append": code}
    for change in ("write", "append"):
        with pytest.raises(StoreError, match=f"data/.* cannot be written: {os.strerror(code)}; {remedy}"):
            await CHANGES[change](store)
    disk.errors = {}
    await CHANGES["write"](store)
    assert (await read_by(store))[KEYS[0]] == '"new"'
    shut = CrashDisk()
    shut.errors = {"lock": code}
    with pytest.raises(StoreError, match=remedy):
        await FileStore("data", shut).open("one")
