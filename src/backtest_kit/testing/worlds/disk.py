"""A simulated disk: what processes see is not what a power loss leaves.

Files and names live twice: as processes see them (the page cache) and as they are on the platter. `sync` brings the
content of a file there, `sync_folder` the names of a folder; write-back does it for some of them at any time. A process
that is killed loses nothing of it. When the power goes, each content and each name that was not brought down is lost,
kept, or half kept, each for itself: nothing is assumed but "what was synced is there".

A sync may fail with EIO. Then the kernel takes the content for clean and forgets it: a later sync of the same file
returns, and what was lost stays lost, until the file is written anew.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Sequence
from random import Random

from msgspec import Struct

from backtest_kit.testing.worlds.faults import Faults


class DiskOdds(Struct, frozen=True, kw_only=True):
    """How often what goes wrong, of 1: a sync that fails, a sync that takes `slow_seconds`, a write without space."""

    sync_error: float = 0.0
    slow_sync: float = 0.0
    slow_seconds: float = 30.0
    no_space: float = 0.0


class _File:
    """The content of a file: as it is seen, as it is on the platter, and whether a failed sync has lost some of it."""

    __slots__ = ("content", "durable", "lost")

    def __init__(self) -> None:
        self.content, self.durable, self.lost = b"", b"", False


class Platter:
    """What the processes of one machine share. `capacity` is bytes (None: no end of space)."""

    def __init__(self, faults: Faults | None = None, odds: DiskOdds | None = None) -> None:
        self.faults = faults if faults is not None else Faults(0)
        self.odds = odds if odds is not None else DiskOdds()
        self.capacity: int | None = None
        self.names: dict[str, _File] = {}
        self.durable_names: dict[str, _File] = {}
        self.locks: dict[str, object] = {}

    # ---- what files do -------------------------------------------------------------------------------------------

    def put(self, path: str, content: bytes, keep: bytes = b"") -> None:
        """Gives a file, a new one if need be, the content `keep + content`; a part of it where space ends."""
        file = self.names.setdefault(path, _File())
        if not keep:
            file.lost = False
        file.content = keep
        room = self._room(len(content))
        file.content = keep + content[:room]
        if room < len(content):
            raise _error(errno.ENOSPC, path)

    def file(self, path: str) -> _File:
        if path not in self.names:
            raise _error(errno.ENOENT, path)
        return self.names[path]

    def sync(self, path: str) -> None:
        file = self.file(path)
        if self.faults.at("sync", self.odds.sync_error, ("eio",)):
            file.lost = True
            raise _error(errno.EIO, path)
        _bring_down(file)

    def sync_folder(self, folder: str) -> None:
        if self.faults.at("sync", self.odds.sync_error, ("eio",)):
            raise _error(errno.EIO, folder)
        inside = {path for path in {*self.names, *self.durable_names} if _folder_of(path) == folder.strip("/")}
        for path in sorted(inside):
            self._bring_down_name(path)

    def rename(self, path: str, new_path: str) -> None:
        file = self.file(path)
        del self.names[path]
        self.names[new_path] = file

    def remove(self, path: str) -> None:
        self.file(path)
        del self.names[path]

    # ---- what happens to a disk ----------------------------------------------------------------------------------

    def write_back(self) -> None:
        """The system brings some files and names down by itself."""
        luck = self.faults.stream("write back")
        for path in sorted({*self.names, *self.durable_names}):
            if luck.random() < 0.7:
                self._bring_down_name(path)
            if path in self.names and luck.random() < 0.7:
                _bring_down(self.names[path])

    def crash(self, kind: str) -> None:
        """A process is killed ("kill": nothing is lost here) or the power goes ("power")."""
        if kind != "power":
            return
        luck = self.faults.stream("power loss")
        for path in sorted({*self.names, *self.durable_names}):
            if luck.random() < 0.5:
                self._bring_down_name(path)
        for path in sorted(self.durable_names):
            file = self.durable_names[path]
            file.content = file.durable = file.durable if file.lost else _remains(file, luck)
            file.lost = False
        self.names = dict(self.durable_names)
        self.locks.clear()

    def fill_up(self) -> None:
        """Not a byte is free from now on; what is removed makes room."""
        self.capacity = self._used()

    def flip_bit(self) -> str:
        """Turns over one bit of a file as it is seen and as it lies on the platter; returns its path, or ""."""
        luck = self.faults.stream("bit flip")
        paths = sorted(path for path, file in self.names.items() if file.content and file.content == file.durable)
        if not paths:
            return ""
        path = luck.choice(paths)
        file = self.names[path]
        content = bytearray(file.content)
        content[luck.randrange(len(content))] ^= 1 << luck.randrange(8)
        file.content = file.durable = bytes(content)
        return path

    def release(self, owner: object) -> None:
        """Frees the locks of a process that is no more."""
        self.locks = {path: holder for path, holder in self.locks.items() if holder is not owner}

    def _bring_down_name(self, path: str) -> None:
        if path in self.names:
            self.durable_names[path] = self.names[path]
        else:
            self.durable_names.pop(path, None)

    def _room(self, wanted: int) -> int:
        if self.faults.at("write", self.odds.no_space, ("full",)):
            return self.faults.stream("room").randrange(wanted + 1) if wanted else 0
        if self.capacity is None or self.faults.over:
            return wanted
        return max(0, min(wanted, self.capacity - self._used()))

    def _used(self) -> int:
        return sum(len(file.content) for file in self.names.values())


class SimDisk:
    """A disk as one process has it. Implements the port `Disk`; `owner` is the process, which holds its locks.

    Alone, it makes a platter of its own. Folders need not be made.
    """

    def __init__(self, platter: Platter | None = None, owner: object = None) -> None:
        self.platter = platter if platter is not None else Platter()
        self.owner = owner if owner is not None else self

    async def read(self, path: str) -> bytes | None:
        await _take(0.0002)
        file = self.platter.names.get(path)
        return None if file is None else file.content

    async def write(self, path: str, content: bytes) -> None:
        await _take(0.0002)
        self.platter.put(path, content)

    async def append(self, path: str, content: bytes) -> None:
        await _take(0.0002)
        file = self.platter.names.get(path)
        self.platter.put(path, content, keep=b"" if file is None else file.content)

    async def sync(self, path: str) -> None:
        await self._flush()
        self.platter.sync(path)

    async def sync_folder(self, folder: str) -> None:
        await self._flush()
        self.platter.sync_folder(folder)

    async def rename(self, path: str, new_path: str) -> None:
        await _take(0.0002)
        self.platter.rename(path, new_path)

    async def remove(self, path: str) -> None:
        await _take(0.0002)
        self.platter.remove(path)

    async def list(self, folder: str) -> Sequence[str]:
        """The names of the files and folders in a folder."""
        await _take(0.0002)
        inside = f"{folder.strip('/')}/" if folder.strip("/.") else ""
        return sorted({path[len(inside) :].split("/")[0] for path in self.platter.names if path.startswith(inside)})

    async def lock(self, path: str) -> bool:
        """Holds a lock; False where it is held, by whomever. The file says by whom."""
        await _take(0.0002)
        if path in self.platter.locks:
            return False
        self.platter.put(path, f"{getattr(self.owner, 'name', self.owner)}\n".encode())
        self.platter.locks[path] = self.owner
        return True

    async def unlock(self, path: str) -> None:
        await _take(0.0002)
        if self.platter.locks.get(path) is self.owner:
            del self.platter.locks[path]

    async def _flush(self) -> None:
        faults, odds = self.platter.faults, self.platter.odds
        slow = faults.at("flush", odds.slow_sync, ("slow",))
        await _take(odds.slow_seconds if slow else 0.002)


def _bring_down(file: _File) -> None:
    if not file.lost:
        file.durable = file.content


def _remains(file: _File, luck: Random) -> bytes:
    """What a power loss leaves of a file of which not everything was on the platter."""
    old, new = file.durable, file.content
    if old == new:
        return old
    kept = old if new.startswith(old) else b""
    tail = new[len(kept) :]
    cut = luck.randrange(len(tail) + 1)
    mixed = new[: len(kept) + cut] + old[len(kept) + cut :]
    garbage = bytes(luck.randrange(256) for _ in tail[:64])
    return luck.choice(
        (old, kept, kept + tail[:cut], mixed, kept + tail[:cut] + bytes(len(tail) - cut), kept + garbage, new)
    )


def _folder_of(path: str) -> str:
    return path.rpartition("/")[0]


def _error(code: int, path: str) -> OSError:
    return OSError(code, os.strerror(code), path)


async def _take(seconds: float) -> None:
    await asyncio.sleep(seconds)
