"""Files that are replaced as a whole and durable when a call returns, over the `Disk` port.

**Theory.** A new content is written under a temporary name in the same folder, synced, given its name, and then the
folder is synced. Whatever ends that on the way, the name has the old content or the new one. A file whose sync failed
never gets a name: the system may have forgotten what it could not write, and a second sync of the same file would
succeed without writing anything. So after a failed sync nothing more is done with any file of the store ("broken"),
until it is opened again and has written everything anew. Only a disk that was full while a temporary file was synced is
no reason: that file is thrown away, and the next try makes another one.
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable
from typing import TypeVar

from backtest_kit.errors import StateDamagedError, StoreError
from backtest_kit.ports import Disk
from backtest_kit.stores.file_names import TEMPORARY, folder_of

_FULL = {errno.ENOSPC, errno.EDQUOT}
_REMEDIES = {
    errno.EACCES: "give this user the right to write there, or choose another folder",
    errno.EPERM: "give this user the right to write there, or choose another folder",
    errno.EROFS: "mount it so that it can be written, or choose another folder",
    errno.ENOTDIR: "choose a folder that is none of a file's",
}
_Answer = TypeVar("_Answer")


class StoreFullError(StoreError):
    """The disk of a store is full: what was to be written is not there, and what was there before still is."""


class DurableFiles:
    """The files of one folder. `broken` says why nothing more is done with them, empty while all is well."""

    def __init__(self, disk: Disk, folder: str) -> None:
        self.disk, self._folder = disk, folder
        self.broken = ""

    def place(self, path: str) -> str:
        """A file as people find it."""
        return f"{self._folder}/{path}" if path else self._folder

    def check(self) -> None:
        """Raises StoreError once the files are broken."""
        if self.broken:
            raise StoreError(
                f"{self.broken}; nothing more is written to {self._folder} by this process. "
                "Look after the disk, then start again: what is there is checked and written anew first"
            )

    def breaks(self, why: str) -> StoreError:
        """The error to raise when the files can no longer be trusted; from now on every call raises it."""
        self.broken = self.broken or why
        return StoreError(why)

    def damage(self, path: str, why: str, way_out: str) -> StateDamagedError:
        """The error to raise about a file that cannot be trusted."""
        return StateDamagedError(f"{self.place(path)} {why}. It is left as it is, and nothing trades on it: {way_out}")

    async def read(self, path: str) -> bytes | None:
        """The content of a file, None where there is none."""
        self.check()
        return await self.done(self.disk.read(path), path, "read")

    async def paths(self, folder: str = "") -> list[str]:
        """All files, also of others, sorted. A name with a dot in it is no folder's of this store."""
        self.check()
        found = []
        for name in await self.done(self.disk.list(folder), folder, "read"):
            path = f"{folder}/{name}" if folder else name
            found += [path] if "." in name else await self.paths(path) or [path]
        return sorted(found)

    async def replace(self, path: str, content: bytes) -> None:
        """Gives a file a new content, which is durable once its folder is synced."""
        temporary = path + TEMPORARY
        try:
            await self.done(self.disk.write(temporary, content), temporary, "written")
            await self._sync_temporary(temporary)
            await self.done(self.disk.rename(temporary, path), path, "written")
        except StoreError:
            await self._throw_away(temporary)
            raise

    async def copy(self, path: str, content: bytes) -> None:
        """Puts a copy there for people, not durable at once; none is left where that is not possible."""
        try:
            await self.done(self.disk.write(path, content), path, "written")
        except StoreError:
            await self._throw_away(path)
            self.check()

    async def append(self, path: str, content: bytes) -> None:
        """Adds to the end of a file, durably. After an error the end of the file is not known."""
        await self.done(self.disk.append(path, content), path, "written")
        await self.synced(self.disk.sync(path), path)

    async def remove(self, path: str) -> None:
        """Takes a file away, which is durable once its folder is synced."""
        await self.done(self.disk.remove(path), path, "removed")

    async def free_path(self, path: str) -> str:
        """The first of `path-1`, `path-2`, … that no file has."""
        number = 1
        while await self.read(f"{path}-{number}") is not None:
            number += 1
        return f"{path}-{number}"

    async def rename(self, path: str, new_path: str) -> None:
        """Gives a file another name, which is durable once its folder is synced."""
        await self.done(self.disk.rename(path, new_path), path, "renamed")

    async def sync_folder(self, folder: str) -> None:
        """Makes durable what was renamed and removed in a folder."""
        await self.synced(self.disk.sync_folder(folder), folder)

    async def settle(self, path: str) -> None:
        """Makes durable what was renamed and removed beside a file."""
        await self.sync_folder(folder_of(path))

    async def done(self, call: Awaitable[_Answer], path: str, what: str) -> _Answer:
        """The answer of the disk. Raises StoreError, StoreFullError where the disk is full."""
        try:
            return await call
        except OSError as error:
            raise self._failed(error, path, what) from error

    async def synced(self, call: Awaitable[None], path: str) -> None:
        """Waits for a sync, whose failure breaks the files."""
        try:
            await call
        except OSError as error:
            raise self.breaks(f"{self.place(path)} could not be made durable: {_text(error)}") from error

    async def _sync_temporary(self, path: str) -> None:
        try:
            await self.disk.sync(path)
        except OSError as error:
            if error.errno in _FULL:
                raise self._failed(error, path, "written") from error
            raise self.breaks(f"{self.place(path)} could not be made durable: {_text(error)}") from error

    async def _throw_away(self, path: str) -> None:
        """Removes a temporary file, so that the next try makes a new one; where that fails there is none."""
        try:
            if await self.disk.read(path) is not None:
                await self.disk.remove(path)
        except OSError as error:
            self.breaks(f"{self.place(path)} could not be removed: {_text(error)}")

    def _failed(self, error: OSError, path: str, what: str) -> StoreError:
        said = f"{self.place(path)} cannot be {what}: {_text(error)}"
        if error.errno in _FULL:
            return StoreFullError(f"{said}; free some space on the disk of {self._folder}")
        if error.errno == errno.EIO:
            return self.breaks(said)
        remedy = _REMEDIES.get(error.errno or 0, "")
        return StoreError(f"{said}; {remedy}" if remedy else said)


def _text(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
