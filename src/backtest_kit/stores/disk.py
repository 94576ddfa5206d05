"""The real disk, as durable state uses it.

A call that only reaches the operating system's memory is made at once: it takes some ten microseconds, less than the
way to a thread and back. One that waits for the device, or moves much, is made by a thread of the disk's own, so that
a slow disk stops nobody but its callers, and user code that fills asyncio's threads does not delay it.

The file that was written last stays open until it is synced: an error of writing back is surely told to those who had
the file open.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

try:
    import fcntl
except ImportError:  # Windows: nothing keeps a second process out but the epoch
    fcntl = None  # type: ignore[assignment]

_AT_ONCE = 65_536  # bytes: larger files are read and written by the thread
_NO_FULL_SYNC = {errno.ENOTSUP, errno.EINVAL, errno.ENOTTY}  # some network drives
_Answer = TypeVar("_Answer")


class FolderDisk:
    """A `Disk` whose paths lie in one folder: `FolderDisk("data")`. Folders are made, durably, when they are needed."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._root = os.fspath(Path(folder).absolute())
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="disk")
        self._written: tuple[str, int] | None = None
        self._locks: dict[str, int] = {}

    async def read(self, path: str) -> bytes | None:
        """All of a file; None where there is none."""
        place = self._at(path)
        try:
            is_small = os.stat(place).st_size <= _AT_ONCE  # noqa: PTH116  # a Path takes longer than the call
            return _read(place) if is_small else await self._in_thread(lambda: _read(place))
        except FileNotFoundError:
            return None

    async def write(self, path: str, content: bytes) -> None:
        """Makes the content all that is in a file."""
        await self._put(path, content, 0)

    async def append(self, path: str, content: bytes) -> None:
        """Adds the content to the end of a file."""
        await self._put(path, content, os.O_APPEND)

    async def sync(self, path: str) -> None:
        """Returns when the file's content is on the device."""
        handle = self._take_written(path)
        await self._in_thread(lambda: _sync(os.open(self._at(path), os.O_RDONLY) if handle is None else handle))

    async def sync_folder(self, folder: str) -> None:
        """Returns when the names in a folder are on the device."""
        await self._in_thread(lambda: _sync_folder(self._at(folder)))

    async def rename(self, path: str, new_path: str) -> None:
        """Gives a file another name in an existing folder; what had that name is gone."""
        self._forget(path, new_path)
        os.replace(self._at(path), self._at(new_path))  # noqa: PTH105  # a Path takes longer than the call

    async def remove(self, path: str) -> None:
        """Takes a file away. Raises FileNotFoundError where there is none."""
        self._forget(path)
        Path(self._at(path)).unlink()

    async def list(self, folder: str) -> Sequence[str]:
        """The names of the files and folders in a folder, sorted; none where there is no such folder."""
        try:
            return await self._in_thread(lambda: sorted(each.name for each in Path(self._at(folder)).iterdir()))
        except (FileNotFoundError, NotADirectoryError):
            return ()

    async def lock(self, path: str) -> bool:
        """Holds a lock until `unlock` or the end of the process; False where it is held. The file says by whom."""
        await self._make_folder(path)
        handle = os.open(self._at(path), os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if fcntl is not None:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(handle, 0)
            os.write(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        except BlockingIOError:
            os.close(handle)
            return False
        except BaseException:
            os.close(handle)
            raise
        self._locks[path] = handle
        return True

    async def unlock(self, path: str) -> None:
        """Gives a lock of this disk up; nothing happens where it holds none."""
        handle = self._locks.pop(path, None)
        if handle is not None:
            os.close(handle)

    async def _put(self, path: str, content: bytes, how: int) -> None:
        place = self._at(path)
        try:
            await self._put_at(path, place, content, how)
        except FileNotFoundError:
            await self._make_folder(path)
            await self._put_at(path, place, content, how)

    async def _put_at(self, path: str, place: str, content: bytes, how: int) -> None:
        if len(content) > _AT_ONCE:
            self._forget(path)
            await self._in_thread(lambda: os.close(_put(place, content, how)))
        else:
            handle = _put(place, content, how)
            self._forget(*(self._written or ())[:1])
            self._written = path, handle

    async def _in_thread(self, call: Callable[[], _Answer]) -> _Answer:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def _make_folder(self, path: str) -> None:
        await self._in_thread(lambda: _make_folder(Path(self._at(path)).parent))

    def _take_written(self, path: str) -> int | None:
        """The handle of a file if it is the one that was written last; it is no longer kept then."""
        if self._written is None or self._written[0] != path:
            return None
        handle, self._written = self._written[1], None
        return handle

    def _forget(self, *paths: str) -> None:
        for path in paths:
            if (handle := self._take_written(path)) is not None:
                os.close(handle)

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"


def _read(place: str) -> bytes:
    with open(place, "rb", buffering=0) as file:  # noqa: PTH123  # a Path takes longer than the call
        return file.readall()


def _put(place: str, content: bytes, how: int) -> int:
    """Writes a file, or adds to its end; gives its open handle."""
    handle = os.open(place, how | os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(handle, left) :]
        if how != os.O_APPEND:
            os.ftruncate(handle, len(content))  # afterwards: ext4 would write a file back that was emptied before
    except BaseException:
        os.close(handle)
        raise
    return handle


def _sync(handle: int) -> None:
    """Syncs a file and closes it. macOS leaves the content in the device's own memory unless it is told not to."""
    try:
        full_sync = getattr(fcntl, "F_FULLFSYNC", None)
        if full_sync is None or not _is_fully_synced(handle, full_sync):
            os.fsync(handle)
    finally:
        os.close(handle)


def _is_fully_synced(handle: int, full_sync: int) -> bool:
    try:
        fcntl.fcntl(handle, full_sync)
    except OSError as error:
        if error.errno not in _NO_FULL_SYNC:
            raise
        return False
    return True


def _sync_folder(folder: str) -> None:
    if os.name == "posix":
        _sync(os.open(folder, os.O_RDONLY))


def _make_folder(folder: Path) -> None:
    """Makes a folder and those above it, each of them durable: a new name is on the device when its folder is."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
    _sync_folder(str(folder.parent))
