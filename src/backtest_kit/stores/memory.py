"""A store that is gone with its process: for tests, and for trying things out. It keeps every rule of the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from msgspec.structs import replace

from backtest_kit.errors import ConfigError, StaleWriteError, StoreError, StoreLockedError
from backtest_kit.ports import Document
from backtest_kit.stores.document_text import compact


class _Memory:
    """What several handles share, as processes share a disk."""

    def __init__(self) -> None:
        self.documents: dict[str, Document] = {}
        self.histories: dict[str, list[str]] = {}
        self.epoch, self.owner = 0, ""
        self.holder: MemoryStore | None = None


class MemoryStore:
    """A `Store` in memory. `twin` gives the same store as another process sees it."""

    def __init__(self) -> None:
        self._memory, self._epoch = _Memory(), 0

    def twin(self) -> MemoryStore:
        """A further handle of the same memory, not open."""
        other = type(self)()
        other._memory = self._memory
        return other

    def lose_hold(self) -> None:
        """Frees the lock as the end of a process does, or a pause that outlasts it; the handle does not know."""
        if self._memory.holder is self:
            self._memory.holder = None

    async def open(self, owner: str) -> int:
        """Takes the store; gives its epoch, higher than any before."""
        memory = self._memory
        if memory.holder is self:
            raise StoreError("the store in memory is open already, by this very handle")
        if memory.holder is not None:
            raise StoreLockedError(f"the store in memory is held by {memory.owner!r}; close it there first")
        memory.epoch += 1
        memory.holder, memory.owner, self._epoch = self, owner, memory.epoch
        return self._epoch

    async def close(self) -> None:
        """Gives the store up."""
        self.lose_hold()
        self._epoch = 0

    async def read(self, key: str) -> Document | None:
        """The newest document of a key, None where there never was one."""
        return self._memory.documents.get(_named(key))

    async def write(self, key: str, document: Document, expected_sequence: int) -> None:
        """Makes a document the newest of its key. Raises StaleWriteError, nothing written."""
        document = replace(document, content=compact(document.content).decode())
        if document.sequence != expected_sequence + 1:
            raise ConfigError(f"the document after number {expected_sequence} is not number {document.sequence}")
        self._check_epoch(document.epoch)
        self._check_sequence(key, expected_sequence)
        self._memory.documents[_named(key)] = document

    async def delete(self, key: str, expected_sequence: int) -> None:
        """Forgets a document."""
        self._check_epoch()
        self._check_sequence(key, expected_sequence)
        self._memory.documents.pop(key, None)

    async def keys(self) -> Sequence[str]:
        """The keys of all documents, sorted."""
        return sorted(self._memory.documents)

    async def append(self, stream: str, line: str) -> None:
        """Adds a line to a history."""
        self._check_epoch()
        self._memory.histories.setdefault(_named(stream), []).append(line)

    async def scan(self, stream: str) -> AsyncIterator[str]:
        """The lines of a history from the first on."""
        for line in tuple(self._memory.histories.get(stream, ())):
            yield line

    def _check_epoch(self, epoch: int | None = None) -> None:
        newest = self._memory.epoch
        if not self._epoch:
            raise StoreError("the store in memory is not open: open it before anything is written")
        if min(self._epoch, self._epoch if epoch is None else epoch) < newest:
            raise StaleWriteError(f"{self._memory.owner!r} has opened the store since (epoch {newest}): stop here")
        if epoch is not None and epoch > newest:
            raise ConfigError(f"a document of epoch {epoch} cannot be written in epoch {newest}, which open gave")

    def _check_sequence(self, key: str, expected: int) -> None:
        newest = self._memory.documents.get(key)
        found = newest.sequence if newest else 0
        if found != expected:
            raise StaleWriteError(f"the document {key!r} has number {found}, not {expected}")


def _named(key: str) -> str:
    if not key:
        raise ConfigError("a key has at least one character")
    return key
