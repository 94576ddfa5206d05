"""The store in files: `data/signals/BTCUSDT_sma-cross_binance.json`, one readable document a key, histories as lines.

**Theory.** A document's file has the old content or the new one at any moment (`durable_files`), so there is nothing to
repair. The generation before the newest is kept beside it, for people: it is never read in place of the newest. A
document that cannot be trusted, or that is missing while the generation before it is there, is damage: the store says
so, leaves the files alone, and goes on with all others. `set_aside` moves them away once a person has decided.

**After an end that was not clean** every document that can be trusted is written to a new file before any is read. No
file ever got its name before its sync had returned, so contents are safe; names may not be. A rename may have reached
the system's memory alone: then this process would act on a document that a power loss takes back. And where syncing the
folder had failed, syncing it again would do nothing, because the system takes its work for done; a new file and a new
rename make it work again. Histories are copied likewise, each before its first new line.

**A full disk.** `reserve` is a file of 1 MiB that `release_reserve` gives up, so that exits can still be written down;
the next opening makes it anew. The generation before is not kept while there is no room for it.

`MIGRATIONS` bring forward what an older version has written; the old file is kept beside the first one of the new form.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from random import Random
from typing import Any, TypeVar

from backtest_kit.errors import ConfigError, StaleWriteError, StateDamagedError, StoreError
from backtest_kit.ports import Disk, Document
from backtest_kit.stores.disk import FolderDisk
from backtest_kit.stores.document_text import MIGRATIONS, DamagedText, Kept, Migration, kept_in, migrated, text_of
from backtest_kit.stores.durable_files import DurableFiles, StoreFullError
from backtest_kit.stores.file_names import (
    DOCUMENT,
    PREVIOUS,
    RESERVE,
    folder_of,
    is_left_over,
    is_path_of_a_key,
    key_of,
    path_of,
)
from backtest_kit.stores.histories import Histories
from backtest_kit.stores.ownership import Epoch, Ownership, newest_epoch

RESERVE_BYTES = 1_048_576
_WAY_OUT = (
    "put the file back from a copy, or look at the exchange and either adopt what is open there "
    "(`backtest-kit reconcile --adopt`) or flatten it (`backtest-kit reconcile --flatten`)"
)
_Answer = TypeVar("_Answer")


class FileStore:
    """A `Store` in a folder: `FileStore("data")`. Reading needs no opening, so others may look while one trades.

    `disk` is another place than the real folder; its paths are those below `folder`. Calls that change something run
    one after the other, and to their end even when their caller is cancelled. After a failed sync every call raises
    StoreError until the store is opened again. `migrations` lead from each schema of a document's content to the next.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        disk: Disk | None = None,
        *,
        migrations: Sequence[Migration] = MIGRATIONS,
    ) -> None:
        self._files = DurableFiles(FolderDisk(folder) if disk is None else disk, os.fspath(folder).rstrip("/"))
        self._ownership, self._histories = Ownership(self._files), Histories(self._files)
        self._migrations, self._schema = tuple(migrations), len(migrations) + 1
        self._turn = asyncio.Lock()
        self._running: set[asyncio.Task[Any]] = set()
        self._owner = ""

    async def open(self, owner: str) -> int:
        """Takes the store for this process; gives its epoch, higher than any before."""
        return await self._to_its_end(lambda: self._open(owner))

    async def close(self) -> None:
        """Gives the store up, and notes that its end was clean if it was."""
        await self._to_its_end(self._close)

    async def read(self, key: str) -> Document | None:
        """The newest document of a key, None where there never was one. Raises StateDamagedError."""
        kept = await self._newest(key)
        try:
            return None if kept is None else migrated(kept, self._migrations)
        except DamagedText as damage:
            raise await self._damage(key, str(damage)) from damage

    async def write(self, key: str, document: Document, expected_sequence: int) -> None:
        """Makes a document the newest of its key, durably. Raises StaleWriteError or StoreFullError, nothing done."""
        await self._to_its_end(lambda: self._write(key, document, expected_sequence))

    async def delete(self, key: str, expected_sequence: int) -> None:
        """Forgets a document and the generation before it: a document that is gone on purpose leaves nothing."""
        await self._to_its_end(lambda: self._delete(key, expected_sequence))

    async def set_aside(self, key: str) -> Sequence[str]:
        """Moves the files of a key out of the way, as they are, to `….damaged-1` and so on. Gives their new places."""
        return await self._to_its_end(lambda: self._set_aside(key))

    async def keys(self) -> Sequence[str]:
        """The keys of all documents, damaged ones too, sorted. Raises StateDamagedError where a key cannot be told."""
        found = {each for path in await self._files.paths() if (each := _document_path(path))}
        return sorted([key_of(path) or await self._key_in(path) for path in found])

    async def append(self, stream: str, line: str) -> None:
        """Adds a line to a history, durable when this returns."""
        await self._to_its_end(lambda: self._append(stream, line))

    async def scan(self, stream: str) -> AsyncIterator[str]:
        """The lines of a history from the first on. Raises StateDamagedError where something in it is damaged."""
        async for line in self._histories.scan(stream):
            yield line

    async def release_reserve(self) -> bool:
        """Gives up the room that was kept for a full disk; False where that had been done before."""
        return await self._to_its_end(self._release_reserve)

    # ---- one after the other -------------------------------------------------------------------------------------

    async def _to_its_end(self, change: Callable[[], Awaitable[_Answer]]) -> _Answer:
        """Makes a change when it is its turn; a caller who is cancelled leaves it running, never half done."""
        task = asyncio.get_running_loop().create_task(self._in_turn(change))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _in_turn(self, change: Callable[[], Awaitable[_Answer]]) -> _Answer:
        async with self._turn:
            return await change()

    # ---- opening and closing -------------------------------------------------------------------------------------

    async def _open(self, owner: str) -> int:
        if self._ownership.epoch:
            raise StoreError(f"{self._files.place('')} is open already, by this very process")
        await self._ownership.lock()
        self._files.broken, self._owner = "", owner
        try:
            paths = await self._swept()
            last = await self._ownership.last() or Epoch(newest_epoch([each async for each in self._whole(paths)]))
            await self._begin(last.number + 1, has_reserve=RESERVE in paths)
            self._histories.begin(is_suspect=not last.clean)
            if not last.clean:
                await self._write_all_anew(paths)
        except BaseException:
            await self._ownership.unlock()
            raise
        return self._ownership.epoch

    async def _begin(self, epoch: int, *, has_reserve: bool) -> None:
        """Begins an epoch, on a full disk in the room of the reserve."""
        try:
            await self._ownership.begin(epoch, self._owner)
        except StoreFullError:
            if not await self._release_reserve():
                raise
            await self._ownership.begin(epoch, self._owner)
            return
        if not has_reserve:
            await self._make_reserve()

    async def _close(self) -> None:
        if not self._ownership.epoch:
            return
        try:
            await self._ownership.end(self._owner)
        finally:
            await self._ownership.unlock()

    async def _swept(self) -> list[str]:
        """The files that are there, once those are gone that an interrupted write has left over."""
        paths = await self._files.paths()
        for path in filter(is_left_over, paths):
            await self._files.remove(path)
        return [path for path in paths if not is_left_over(path)]

    async def _whole(self, paths: Sequence[str]) -> AsyncIterator[Document]:
        """The documents that can be read at all."""
        for path in paths:
            if _is_document(path) and (kept := _readable(await self._files.read(path), self._schema)):
                yield kept.document

    async def _write_all_anew(self, paths: Sequence[str]) -> None:
        """Writes every document that can be trusted to a new file, its text unchanged."""
        folders = set()
        for path in filter(_is_document, paths):
            if kept := _readable(await self._files.read(path), self._schema):
                await self._files.replace(path, kept.text)
                folders.add(folder_of(path))
        for folder in sorted(folders):
            await self._files.sync_folder(folder)

    async def _make_reserve(self) -> None:
        try:
            await self._files.replace(
                RESERVE, Random(0).randbytes(RESERVE_BYTES)
            )  # zeros would take no room on some disks
            await self._files.settle(RESERVE)
        except StoreFullError:
            return  # the next write says so

    async def _release_reserve(self) -> bool:
        if RESERVE not in await self._files.paths():
            return False
        await self._files.remove(RESERVE)
        await self._files.settle(RESERVE)
        return True

    # ---- documents -----------------------------------------------------------------------------------------------

    async def _write(self, key: str, document: Document, expected_sequence: int) -> None:
        text = text_of(key, document, self._schema)
        if document.sequence != expected_sequence + 1:
            raise ConfigError(f"the document after number {expected_sequence} is not number {document.sequence}")
        await self._ownership.check(document.epoch)
        path = path_of(key) + DOCUMENT
        newest = await self._expected(key, expected_sequence)
        if newest is not None and newest.schema < self._schema:
            await self._files.replace(f"{path}.schema-{newest.schema}", newest.text)
        await self._files.replace(path, text)
        if newest is not None:
            await self._files.copy(path_of(key) + PREVIOUS, newest.text)
        await self._files.settle(path)

    async def _delete(self, key: str, expected_sequence: int) -> None:
        await self._ownership.check()
        if await self._expected(key, expected_sequence) is None:
            return
        if await self._files.read(path_of(key) + PREVIOUS) is not None:
            await self._files.remove(path_of(key) + PREVIOUS)
            await self._files.settle(path_of(key))  # first, or a power loss could leave it alone
        await self._files.remove(path_of(key) + DOCUMENT)
        await self._files.settle(path_of(key))

    async def _set_aside(self, key: str) -> list[str]:
        await self._ownership.check()
        moved = []
        for path in (path_of(key) + PREVIOUS, path_of(key) + DOCUMENT):
            if await self._files.read(path) is not None:
                aside = await self._files.free_path(f"{path}.damaged")
                await self._files.rename(path, aside)
                await self._files.settle(path)
                moved.append(self._files.place(aside))
        return moved

    async def _append(self, stream: str, line: str) -> None:
        await self._ownership.check()
        await self._histories.append(stream, line)

    async def _expected(self, key: str, sequence: int) -> Kept | None:
        """The newest document, if it is the expected one; None where none was expected and there is none."""
        kept = await self._newest(key)
        found = kept.document.sequence if kept else 0
        if found != sequence:
            raise StaleWriteError(
                f"{self._files.place(path_of(key) + DOCUMENT)} has number {found}, not {sequence}: somebody else has "
                "written since, or this process has not read it"
            )
        return kept

    async def _newest(self, key: str) -> Kept | None:
        """The newest document as it is kept. Raises StateDamagedError where it cannot be trusted."""
        path = path_of(key)
        text = await self._files.read(path + DOCUMENT)
        if text is None and await self._files.read(path + PREVIOUS) is not None:
            text = await self._files.read(path + DOCUMENT)  # it may have been written between the two
            if text is None:
                raise await self._damage(key, "is missing")
        try:
            kept = None if text is None else kept_in(text, self._schema)
        except DamagedText as damage:
            raise await self._damage(key, str(damage)) from damage
        if kept is not None and kept.key != key:
            raise await self._damage(key, f"holds the document of {kept.key!r}: it was renamed or copied")
        return kept

    async def _damage(self, key: str, why: str) -> StateDamagedError:
        path = path_of(key)
        previous = _readable(await self._files.read(path + PREVIOUS), self._schema)
        if previous is not None and previous.key == key:
            why += f" (the generation before it, number {previous.document.sequence}, is readable: {path}{PREVIOUS})"
        return self._files.damage(path + DOCUMENT, why, _WAY_OUT)

    async def _key_in(self, path: str) -> str:
        """The key that a file says it has, where its name does not tell."""
        for ending in (DOCUMENT, PREVIOUS):
            kept = _readable(await self._files.read(path + ending), self._schema)
            if kept is not None and path_of(kept.key) == path:
                return kept.key
        raise self._files.damage(path + DOCUMENT, "does not tell whose document it is", _WAY_OUT)


def _document_path(path: str) -> str:
    """The path of a document or of its generation before, without its ending; empty for any other file."""
    bare = path.removesuffix(PREVIOUS) if path.endswith(PREVIOUS) else path.removesuffix(DOCUMENT)
    return bare if bare != path and is_path_of_a_key(bare) else ""


def _is_document(path: str) -> bool:
    return path.endswith(DOCUMENT) and bool(_document_path(path))


def _readable(text: bytes | None, schema: int) -> Kept | None:
    """What a text holds, None where it cannot be trusted."""
    try:
        return None if text is None else kept_in(text, schema)
    except DamagedText:
        return None
