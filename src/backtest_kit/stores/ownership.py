"""Who may write to a folder: a lock keeps other processes out, and an epoch tells a process that has lost it.

`epoch.json` holds the number of the last opening, by whom, and whether that one ended cleanly. Where it is missing, the
documents' own epochs say how far the count had come: nothing is done in an epoch before a document of it is written.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from backtest_kit.errors import ConfigError, StaleWriteError, StoreError, StoreLockedError
from backtest_kit.ports import Document
from backtest_kit.stores.document_text import DamagedText, kept_in, text_of
from backtest_kit.stores.durable_files import DurableFiles
from backtest_kit.stores.file_names import EPOCH, LOCK

_KEY, _SCHEMA = "epoch", 1
_WAY_OUT = "put it back from a copy, or move it away: the epochs are then counted on from those of the documents"


class Epoch(Struct, frozen=True):
    """One opening: its number, who opened, and whether it was closed in order."""

    number: int = 0
    owner: str = ""
    clean: bool = False


class _Content(Struct, frozen=True):
    owner: str
    clean: bool


class Ownership:
    """This process's hold on a folder. `epoch` is 0 while it has none."""

    def __init__(self, files: DurableFiles) -> None:
        self._files, self._text = files, b""
        self.epoch = 0

    async def lock(self) -> None:
        """Keeps other processes out. Raises StoreLockedError that names the one which is in."""
        if await self._files.done(self._files.disk.lock(LOCK), LOCK, "locked"):
            return
        holder = (await self._files.disk.read(LOCK) or b"").decode(errors="replace").strip()
        raise StoreLockedError(
            f"{self._files.place('')} is held by {holder or 'another process'}: only one process may trade on it. "
            "Stop that process (`backtest-kit stop`, or end it), or choose another folder for this one"
        )

    async def unlock(self) -> None:
        """Lets other processes in."""
        self.epoch = 0
        await self._files.disk.unlock(LOCK)

    async def last(self) -> Epoch | None:
        """The last opening, None where nothing tells of one. Raises StateDamagedError."""
        text = await self._files.read(EPOCH)
        return None if text is None else self._decoded(text)

    async def begin(self, number: int, owner: str) -> None:
        """Begins an epoch, durably."""
        await self._write(Epoch(number, owner))
        self.epoch = number

    async def end(self, owner: str) -> None:
        """Notes that the epoch ended cleanly, unless it is another's by now."""
        if not self._files.broken and await self._files.read(EPOCH) == self._text:
            await self._write(Epoch(self.epoch, owner, clean=True))

    async def check(self, epoch: int | None = None) -> None:
        """Raises unless this process owns the folder, and what it writes (None: no document) is of its epoch."""
        self._files.check()
        if not self.epoch:
            raise StoreError(f"{self._files.place('')} is not open: open the store before anything is written")
        text = await self._files.read(EPOCH)
        if text != self._text:
            raise self._lost(text)
        if epoch is not None and epoch < self.epoch:
            raise StaleWriteError(f"a document of epoch {epoch} is not written any more: this is epoch {self.epoch}")
        if epoch is not None and epoch > self.epoch:
            raise ConfigError(f"a document of epoch {epoch} cannot be written in epoch {self.epoch}, which open gave")

    def _lost(self, text: bytes | None) -> StoreError:
        place = self._files.place(EPOCH)
        if text is None:
            return self._files.breaks(f"{place} is gone: the folder was removed, replaced or unmounted")
        newest = self._decoded(text)
        if newest.number > self.epoch:
            return StaleWriteError(
                f"{place} says that {newest.owner!r} has opened the store since (epoch {newest.number}; this process "
                f"has {self.epoch}): this process must stop"
            )
        return self._files.breaks(f"{place} is not what this process has written: it was put back from a copy")

    async def _write(self, epoch: Epoch) -> None:
        content = msgspec.json.encode(_Content(epoch.owner, epoch.clean)).decode()
        text = text_of(_KEY, Document(epoch.number, epoch.number, content), _SCHEMA)
        await self._files.replace(EPOCH, text)
        await self._files.settle(EPOCH)
        self._text = text

    def _decoded(self, text: bytes) -> Epoch:
        try:
            kept = kept_in(text, _SCHEMA)
            content = msgspec.json.decode(kept.document.content, type=_Content)
        except (DamagedText, msgspec.ValidationError) as damage:
            raise self._files.damage(EPOCH, str(damage), _WAY_OUT) from damage
        return Epoch(kept.document.epoch, content.owner, content.clean)


def newest_epoch(documents: Iterable[Document]) -> int:
    """The highest epoch that a document was written in, 0 where there is none."""
    return max((each.epoch for each in documents), default=0)
