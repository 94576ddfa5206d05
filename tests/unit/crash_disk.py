"""A disk for tests that can be killed or lose its power at any call, and knows everything that may be left then."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Iterator, Sequence
from typing import TypeAlias

File: TypeAlias = list[bytes]  # its content as processes see it, and on the platter


class Died(BaseException):
    """The process is no more."""


class CrashDisk:
    """A disk that knows what a power loss may leave: each name and each content that was not synced, for itself.

    The process dies at call number `dies_at`; a write is half done then. `errors` raises one at each call of a name.
    """

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.names = {path: [content, content] for path, content in (files or {}).items()}  # as seen, on the platter
        self.durable_names = dict(self.names)
        self.calls, self.dies_at = 0, -1
        self.errors: dict[str, int] = {}
        self.said: list[str] = []
        self.room: int | None = None
        self.is_locked = False

    def call(self, name: str, path: str) -> bool:
        """Counts a call; True where the process dies in it."""
        if 0 <= self.dies_at < self.calls:
            raise Died
        self.said.append(f"{name} {path}")
        if code := self.errors.get(name, self.errors.get(f"{name} {path}", 0)):
            raise OSError(code, os.strerror(code))
        self.calls += 1
        return self.calls - 1 == self.dies_at

    async def read(self, path: str) -> bytes | None:
        self.die_if(self.call("read", path))
        return bytes(self.names[path][0]) if path in self.names else None

    async def write(self, path: str, content: bytes) -> None:
        self.put(path, b"", content, self.call("write", path))

    async def append(self, path: str, content: bytes) -> None:
        self.put(path, self.names[path][0] if path in self.names else b"", content, self.call("append", path))

    def put(self, path: str, before: bytes, content: bytes, dies: bool) -> None:
        file = self.names.setdefault(path, [b"", b""])
        used = sum(len(each[0]) for each in self.names.values()) - len(file[0]) + len(before)
        fits = len(content) if self.room is None else max(0, min(len(content), self.room - used))
        file[0] = before + content[: len(content) // 2 if dies else fits]
        self.die_if(dies)
        if fits < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def sync(self, path: str) -> None:
        self.die_if(self.call("sync", path))
        self.names[path][1] = self.names[path][0]

    async def sync_folder(self, folder: str) -> None:
        self.die_if(self.call("sync_folder", folder))
        for path in {*self.names, *self.durable_names}:
            if path.rpartition("/")[0] == folder:
                self.set_name(self.durable_names, path, self.names.get(path))

    async def rename(self, path: str, new_path: str) -> None:
        self.die_if(self.call("rename", path))
        self.names[new_path] = self.names.pop(path)

    async def remove(self, path: str) -> None:
        self.die_if(self.call("remove", path))
        del self.names[path]

    async def list(self, folder: str) -> Sequence[str]:
        self.die_if(self.call("list", folder))
        inside = f"{folder}/" if folder else ""
        return sorted({path[len(inside) :].split("/")[0] for path in self.names if path.startswith(inside)})

    async def lock(self, path: str) -> bool:
        self.die_if(self.call("lock", path))
        was, self.is_locked = self.is_locked, True
        return not was

    async def unlock(self, path: str) -> None:
        self.die_if(self.call("unlock", path))
        self.is_locked = False

    def die_if(self, dies: bool) -> None:
        if dies:
            raise Died

    def killed(self) -> dict[str, bytes]:
        """What the next process finds when this one was killed."""
        return {path: file[0] for path, file in self.names.items()}

    def without_power(self) -> Iterator[dict[str, bytes]]:
        """Everything that the next process may find when the power has gone."""
        unsure = [path for path in sorted({*self.names, *self.durable_names}) if self.is_unsure(path)]
        for kept in itertools.product((False, True), repeat=len(unsure)):
            names = dict(self.durable_names)
            for path in itertools.compress(unsure, kept):
                self.set_name(names, path, self.names.get(path))
            remains = [[(path, each) for each in remains_of(file)] for path, file in names.items()]
            yield from (dict(files) for files in itertools.product(*remains))

    def is_unsure(self, path: str) -> bool:
        return self.names.get(path) is not self.durable_names.get(path)

    @staticmethod
    def set_name(names: dict[str, File], path: str, file: File | None) -> None:
        if file is None:
            names.pop(path, None)
        else:
            names[path] = file


def remains_of(file: File) -> list[bytes]:
    seen, durable = file
    if seen == durable:
        return [seen]
    start = durable if seen.startswith(durable) else b""
    tail = seen[len(start) :]
    return [durable, seen, start + tail[: len(tail) // 2], start + bytes(len(tail)), start + b"?\n?" * 9]
