"""Histories in files: JSON lines that are appended, each durable before the next."""

from __future__ import annotations

from collections.abc import AsyncIterator

from backtest_kit.errors import ConfigError
from backtest_kit.stores.document_text import DamagedText
from backtest_kit.stores.durable_files import DurableFiles
from backtest_kit.stores.file_names import HISTORY, path_of
from backtest_kit.stores.history_text import History, heading_of, history_in, line_of

_TORN = ".torn"
_WAY_OUT = "put the file back from a copy, or move it away: the history then begins anew"


class Histories:
    """The histories of one folder."""

    def __init__(self, files: DurableFiles) -> None:
        self._files = files
        self._counts: dict[str, int] = {}
        self._is_suspect = True

    def begin(self, *, is_suspect: bool) -> None:
        """Begins an epoch. After an end that was not clean (`is_suspect`) a file is copied before it is added to."""
        self._counts.clear()
        self._is_suspect = is_suspect

    async def append(self, stream: str, line: str) -> None:
        """Adds a line, durable when this returns. Raises ConfigError for a line that is no valid text."""
        path = path_of(stream) + HISTORY
        count = self._counts.pop(stream, None)  # put back when all has gone well
        number = (await self._made_ready(path, stream) if count is None else count) + 1
        try:
            encoded = line_of(number, line)
        except UnicodeEncodeError as error:
            raise ConfigError(f"a line of the history {stream!r} is no valid text: {error}") from error
        if number == 1:
            await self._files.replace(path, heading_of(stream) + encoded)
            await self._files.settle(path)
        else:
            await self._files.append(path, encoded)
        self._counts[stream] = number

    async def scan(self, stream: str) -> AsyncIterator[str]:
        """The lines from the first on; none of a history that does not exist. Raises StateDamagedError."""
        path = path_of(stream) + HISTORY
        text = await self._files.read(path)
        for line in self._decoded(path, stream, text or b"").lines:
            yield line

    async def _made_ready(self, path: str, stream: str) -> int:
        """How many lines there are, once a torn end is cut off; that is kept beside the file, for people."""
        text = await self._files.read(path) or b""
        history = self._decoded(path, stream, text)
        torn = text[history.whole :]
        if torn:
            await self._files.copy(path + _TORN, torn)
        if history.lines and (torn or self._is_suspect):
            await self._files.replace(path, text[: history.whole])
            await self._files.settle(path)
        return len(history.lines)

    def _decoded(self, path: str, stream: str, text: bytes) -> History:
        try:
            return history_in(text, stream)
        except DamagedText as damage:
            raise self._files.damage(path, str(damage), _WAY_OUT) from damage
