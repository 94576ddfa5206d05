"""Every store keeps the contract: the two of the package, and one of forty lines as a user would write it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from backtest_kit.errors import StaleWriteError, StateDamagedError, StoreError, StoreLockedError
from backtest_kit.ports import Document, Store
from backtest_kit.stores import FileStore, FolderDisk, MemoryStore
from backtest_kit.stores.file_names import path_of
from backtest_kit.testing.conformance import STORE_RULES, Trial, check_store


class SqliteStore:
    """A store in one file of SQLite; the lock is a row, the conditions are part of each statement."""

    def __init__(self, path: Path) -> None:
        self.base, self.epoch = sqlite3.connect(path, isolation_level=None), 0
        self.base.executescript(
            "PRAGMA synchronous = FULL; CREATE TABLE IF NOT EXISTS owner (epoch INT, holder TEXT);"
            "INSERT INTO owner SELECT 0, NULL WHERE NOT EXISTS (SELECT * FROM owner);"
            "CREATE TABLE IF NOT EXISTS documents (key TEXT PRIMARY KEY, sequence INT, epoch INT, content TEXT);"
            "CREATE TABLE IF NOT EXISTS lines (stream TEXT, line TEXT)"
        )

    def changed(self, statement: str, *values: object) -> bool:
        return self.base.execute(statement, values).rowcount > 0

    def check(self, done: bool) -> None:
        if not self.epoch:
            raise StoreError("not open")
        if not done:
            raise StaleWriteError("another number or a later epoch is there")

    async def open(self, owner: str) -> int:
        if not self.changed("UPDATE owner SET epoch = epoch + 1, holder = ? WHERE holder IS NULL", owner):
            raise StoreLockedError("held by another process")
        (self.epoch,) = self.base.execute("SELECT epoch FROM owner").fetchone()
        return self.epoch

    async def close(self) -> None:
        self.changed("UPDATE owner SET holder = NULL WHERE epoch = ?", self.epoch)
        self.epoch = 0

    async def read(self, key: str) -> Document | None:
        row = self.base.execute("SELECT sequence, epoch, content FROM documents WHERE key = ?", (key,)).fetchone()
        if row and not self.base.execute("SELECT json_valid(?)", (row[2],)).fetchone()[0]:
            raise StateDamagedError(f"{key} is no JSON any more")
        return Document(*row) if row else None

    async def write(self, key: str, document: Document, expected_sequence: int) -> None:
        newest, values = await self.read(key), (document.sequence, document.epoch, document.content, key, self.epoch)
        if newest is None and not expected_sequence:
            insert = "INSERT OR IGNORE INTO documents SELECT ?4, ?1, ?2, ?3 FROM owner WHERE epoch = ?5"
            return self.check(self.changed(insert, *values))
        update = "UPDATE documents SET sequence = ?1, epoch = ?2, content = ?3 WHERE key = ?4 AND sequence = ?6"
        return self.check(self.changed(f"{update} AND ?5 = (SELECT epoch FROM owner)", *values, expected_sequence))

    async def delete(self, key: str, expected_sequence: int) -> None:
        if await self.read(key) or expected_sequence:
            gone = "DELETE FROM documents WHERE key = ? AND sequence = ? AND ? = (SELECT epoch FROM owner)"
            self.check(self.changed(gone, key, expected_sequence, self.epoch))

    async def keys(self) -> Sequence[str]:
        return [key for (key,) in self.base.execute("SELECT key FROM documents ORDER BY key")]

    async def append(self, stream: str, line: str) -> None:
        self.check(self.changed("INSERT INTO lines SELECT ?, ? FROM owner WHERE epoch = ?", stream, line, self.epoch))

    async def scan(self, stream: str) -> AsyncIterator[str]:
        for (line,) in self.base.execute("SELECT line FROM lines WHERE stream = ? ORDER BY rowid", (stream,)):
            yield line


def memory(_: Path) -> Trial:
    store = MemoryStore()

    async def lose(each: Store) -> None:
        assert isinstance(each, MemoryStore)
        each.lose_hold()

    return Trial(store.twin, lose)


def files(folder: Path) -> Trial:
    disks: dict[int, FolderDisk] = {}

    def make() -> FileStore:
        disk = FolderDisk(folder)
        store = FileStore(folder, disk)
        disks[id(store)] = disk
        return store

    async def lose(store: Store) -> None:
        await disks[id(store)].unlock("lock")

    async def damage(key: str) -> None:
        path = folder / f"{path_of(key)}.json"
        path.write_bytes(path.read_bytes()[:-20])

    return Trial(make, lose, damage)


def sqlite(folder: Path) -> Trial:
    path = folder / "state.db"
    made = []

    def make() -> SqliteStore:
        made.append(SqliteStore(path))
        return made[-1]

    async def lose(store: Store) -> None:
        make().changed("UPDATE owner SET holder = NULL")

    async def damage(key: str) -> None:
        make().changed("UPDATE documents SET content = '{' WHERE key = ?", key)

    return Trial(make, lose, damage)


TRIALS = [
    pytest.param(kind, rule, id=f"{kind.__name__}-{rule.__name__}")
    for kind in (memory, files, sqlite)
    for rule in STORE_RULES
    if kind is not memory or rule.__name__ != "damage_is_told_and_left_alone"  # memory is not damaged
]


@pytest.mark.parametrize(("kind", "rule"), TRIALS)
async def test_a_store_keeps_the_rule(
    kind: Callable[[Path], Trial], rule: Callable[[Trial], Awaitable[None]], tmp_path: Path
) -> None:
    await rule(kind(tmp_path))


@pytest.mark.parametrize("kind", [memory, files, sqlite], ids=lambda kind: kind.__name__)
async def test_all_rules_hold_one_after_the_other_on_one_store(kind: Callable[[Path], Trial], tmp_path: Path) -> None:
    trial = kind(tmp_path)
    await check_store(trial.make, lose=trial.lose, damage=trial.damage)


class Forgetful(MemoryStore):
    """Says that a document is written, and writes none."""

    async def write(self, key: str, document: Document, expected_sequence: int) -> None:
        await asyncio.sleep(0)


class Careless(MemoryStore):
    """Takes every document, whichever is there."""

    async def write(self, key: str, document: Document, expected_sequence: int) -> None:
        newest = await self.read(key)
        found = newest.sequence if newest else 0
        await super().write(key, Document(found + 1, document.epoch, document.content), found)


class Shared(MemoryStore):
    """Lets everybody in, one epoch after the other."""

    async def open(self, owner: str) -> int:
        self._memory.holder = None
        return await super().open(owner)


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        (Forgetful, "a_store_that_is_held_is_refused_to_others: what the holder wrote"),
        (Careless, "a_write_replaces_the_document_that_was_expected_and_no_other: expecting number 3"),
        (Shared, "a_store_that_is_held_is_refused_to_others: .* not refused with StoreLockedError"),
    ],
)
async def test_a_store_that_breaks_a_rule_is_named_with_the_rule(broken: type[MemoryStore], rule: str) -> None:
    store = broken()
    with pytest.raises(AssertionError, match=rule):
        await check_store(store.twin)
