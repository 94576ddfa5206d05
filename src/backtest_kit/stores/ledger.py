"""The history of all facts: every event of every stream, appended one after the other, never changed.

A stream is one file of JSON lines. The first line is a heading: the version of the form, and the stream's name. Every
further line is `{"n": 7, "crc": 123, "event": {…}}`: its number, without gaps from 1 on, the checksum of number and
event, and the event with its `action`. A line is one write, and on disk when `append` returns, so a crash can only
leave the end of the last line missing: what has no line feed was never appended. It is passed over when the file is
read, and cut off before the next line is written. Anything else that does not fit is damage, and is said.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import quote, unquote

import msgspec
import numpy as np
from msgspec import Struct

from backtest_kit.core.events import BookEvent, Event
from backtest_kit.core.values import Mode, Source
from backtest_kit.errors import ConfigError, DataError

try:
    import fcntl
except ImportError:  # Windows: one process at a time may append to a stream
    fcntl = None  # type: ignore[assignment]

VERSION = 1
_ENDING = ".jsonl"
_MOST_CHARACTERS = 80  # of a name in the name of its file; a digest follows
_LONGEST_NAME = 1_000  # characters of a stream's name
_BLOCK = 65_536  # bytes read at once when a file is read from its end


class _Heading(Struct, frozen=True):
    ledger: int
    stream: str = ""


class _Line(Struct, frozen=True, forbid_unknown_fields=True):
    n: int
    crc: int
    event: msgspec.Raw


class _End(Struct, frozen=True):
    """Where a file ends: its length in bytes up to the last line feed, and the number of its last event."""

    size: int
    count: int


class MemoryLedger:
    """A ledger that is gone with its process."""

    def __init__(self) -> None:
        self._streams: dict[str, list[Event]] = {}

    def append(self, stream: str, event: Event) -> None:
        """Adds an event to the end of a stream."""
        _checked(stream)
        self._streams.setdefault(stream, []).append(event)

    def scan(self, stream: str) -> Iterator[Event]:
        """The events of a stream in their order; none for one that does not exist."""
        yield from self._streams.get(stream, ())

    def streams(self) -> Sequence[str]:
        """The names of all streams, sorted."""
        return tuple(sorted(self._streams))


class FileLedger:
    """A ledger in a folder, one file of JSON lines a stream: `FileLedger("data/ledger")`.

    Several processes may append to one stream: they take turns by a lock. `kinds` are the events that it can hold, as
    a union of types; `durable=False` leaves it to the operating system when a line reaches the disk.
    """

    def __init__(self, folder: str | os.PathLike[str], kinds: Any = BookEvent, *, durable: bool = True) -> None:
        self._folder, self._durable = Path(folder), durable
        self._json, self._event = msgspec.json.Encoder(enc_hook=_plain), msgspec.json.Decoder(kinds)
        self._ends: dict[str, _End] = {}

    def append(self, stream: str, event: Event) -> None:
        """Adds an event to the end of a stream. Raises ConfigError when it cannot be written or read back."""
        path, encoded = self.path(stream), self._encoded(event)
        try:
            with _opened(path, self._durable) as file:
                self._ends[stream] = self._put(file, path, stream, encoded)
        except OSError as error:
            self._ends.pop(stream, None)
            raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error

    def scan(self, stream: str) -> Iterator[Event]:
        """The events of a stream in their order, one at a time; none for a stream that does not exist.

        Raises DataError naming file and line where something is damaged, or of a newer version of this package.
        """
        path = self.path(stream)
        with _reading(path) as file:
            for number, line in enumerate(_whole_lines(file), start=1):
                if number == 1:
                    _check_heading(path, line, stream)
                else:
                    yield self._decoded(path, number, line)

    def streams(self) -> Sequence[str]:
        """The names of all streams, sorted; a file of another name than its stream's, such as a copy, is none."""
        names = []
        for path in self._folder.rglob(f"*{_ENDING}"):
            with _reading(path) as file:
                heading = next(_whole_lines(file), None)
            if heading is not None:
                names.append((_heading(path, heading).stream, path))
        return tuple(sorted(name for name, path in names if name and self.path(name) == path))

    def path(self, stream: str) -> Path:
        """The file of a stream: inside the folder, whatever the name is, and another one for every name."""
        *folders, last = map(_file_name, _checked(stream).split("/"))
        return self._folder.joinpath(*folders, last + _ENDING)

    def _encoded(self, event: Event) -> bytes:
        try:
            encoded = self._json.encode(event)
            self._event.decode(encoded)
        except (TypeError, ValueError, NotImplementedError) as error:  # also what msgspec and Unicode raise
            raise ConfigError(f"an event {event.action!r} cannot be kept in the ledger: {error}") from error
        return encoded

    def _decoded(self, path: Path, number: int, line: bytes) -> Event:
        event = _content(path, number, line).event
        try:
            return self._event.decode(event)  # type: ignore[no-any-return]
        except msgspec.ValidationError as error:
            raise DataError(
                f"{path} line {number} is whole, but holds an event that is not known here ({error}); "
                "it was written by a newer version of this package, or by a ledger of other kinds of events"
            ) from error

    def _put(self, file: io.FileIO, path: Path, stream: str, event: bytes) -> _End:
        """Writes a line behind the last whole one, and says where the file ends then."""
        end = self._ends.get(stream)
        if end is None or os.fstat(file.fileno()).st_size != end.size:
            end = _end(file, path, stream)
        heading = b"" if end.size else self._json.encode(_Heading(VERSION, stream)) + b"\n"
        count = end.count + 1
        added = heading + b'{"n":%d,"crc":%d,"event":%b}\n' % (count, _checksum(count, event), event)
        file.truncate(end.size)
        try:
            if file.write(added) != len(added):
                raise OSError("the disk is full")
            if self._durable:
                os.fsync(file.fileno())
        except BaseException:
            with contextlib.suppress(OSError):
                file.truncate(end.size)
            raise
        return _End(end.size + len(added), count)


def stream_of(source: Source) -> str:
    """The stream of a book's events: `live/binance/sma-cross_BTCUSDT`. No two books share one."""
    exchange, strategy, symbol = (
        each.replace("%", "%25").replace("/", "%2F").replace("_", "%5F")
        for each in (source.exchange_name, source.strategy_name, source.symbol)
    )
    return f"{source.mode}/{exchange}/{strategy}_{symbol}"


def source_of(stream: str) -> Source | None:
    """The book whose stream this is; None for a stream of something else."""
    found = re.fullmatch(r"(backtest|paper|live)/([^/_]*)/([^/_]*)_([^/_]*)", stream)
    if found is None:
        return None
    exchange, strategy, symbol = map(unquote, found.groups()[1:])
    source = Source(symbol, strategy, exchange, mode=cast(Mode, found[1]))
    return source if stream_of(source) == stream else None


def _checked(stream: str) -> str:
    try:
        stream.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{stream!r} cannot name a stream: it is no valid text") from error
    if not 0 < len(stream) <= _LONGEST_NAME:
        raise ConfigError(f"a stream is named with 1 to {_LONGEST_NAME:,} characters, not {len(stream):,}")
    return stream


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a {type(value).__name__} has no form in JSON")


def _file_name(part: str) -> str:
    """A file name for any text: readable characters, and a digest that tells apart what some file systems do not."""
    readable = quote(part, safe="").replace(".", "%2E").replace("~", "%7E")
    return f"{readable[:_MOST_CHARACTERS]}~{hashlib.sha256(part.encode()).hexdigest()[:12]}"


@contextlib.contextmanager
def _opened(path: Path, durable: bool) -> Iterator[io.FileIO]:
    """The file, open for reading and for writing at its end, while nobody else writes; it is made with its folders."""
    fresh = [] if path.exists() else [each for each in (path, *path.parents) if not each.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b", buffering=0) as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    if durable and os.name == "posix":
        for each in fresh:
            _make_durable(each.parent)


def _make_durable(folder: Path) -> None:
    """A new name is on disk only when its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[BinaryIO]:
    """The file, open for reading; an empty one where there is none. Raises DataError naming a file that is no good."""
    try:
        with path.open("rb") if path.exists() else io.BytesIO() as file:
            yield file
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file but for a last one that is not whole: it has no end, or blocks that never reached the disk.

    Such blocks are read as zeros, which JSON never holds.
    """
    held = b""
    for line in file:
        if held:
            yield held
        held = line
    if _is_whole(held):
        yield held


def _is_whole(line: bytes) -> bool:
    return line.endswith(b"\n") and b"\0" not in line


def _end(file: io.FileIO, path: Path, stream: str) -> _End:
    """Where the file ends, found from its heading and its last whole line; what is behind that was never appended."""
    file.seek(0)
    heading = file.read(_BLOCK).partition(b"\n")[0] + b"\n"
    length = file.seek(0, os.SEEK_END)
    if length < len(heading) or (length == len(heading) and not _is_whole(heading)):
        return _End(0, 0)
    _check_heading(path, heading, stream)
    at, tail = length, b""
    while at > len(heading) and tail.count(b"\n") < 3:  # the last line and the one before it, from their first byte on
        at, stop = max(len(heading), at - _BLOCK), at
        file.seek(at)
        tail = file.read(stop - at) + tail
    lines = [each + b"\n" for each in tail.split(b"\n")]
    length -= len(lines.pop()) - 1
    if lines and not _is_whole(lines[-1]):
        length -= len(lines.pop())
    return _End(length, _content(path, None, lines[-1]).n if lines else 0)


def _check_heading(path: Path, line: bytes, stream: str) -> None:
    found = _heading(path, line).stream
    if found != stream:
        raise DataError(f"{path} holds the stream {found!r}, not {stream!r}; it was renamed or copied: put it back")


def _heading(path: Path, line: bytes) -> _Heading:
    try:
        heading = msgspec.json.decode(line, type=_Heading)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _damage(path, "line 1", f"is no heading of a ledger: {error}") from error
    if heading.ledger > VERSION:
        raise DataError(
            f"{path} was written by a newer version of this package (form {heading.ledger}, known up to {VERSION}); "
            "update the package"
        )
    return heading


def _content(path: Path, number: int | None, line: bytes) -> _Line:
    """The parts of a line, checked: `number` is its place in the file, None for the last one of an unread file."""
    where = "the last line" if number is None else f"line {number}"
    try:
        found = msgspec.json.decode(line, type=_Line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _damage(path, where, f"is damaged: {error}") from error
    if found.crc != _checksum(found.n, bytes(found.event)):
        raise _damage(path, where, "is damaged: its checksum is another one")
    if number is not None and found.n != number - 1:
        raise _damage(path, where, f"holds event {found.n}, where event {number - 1} belongs")
    return found


def _damage(path: Path, where: str, what: str) -> DataError:
    return DataError(
        f"{path} {where} {what}; put the file back from a copy, "
        "or keep the lines before this one and move the rest elsewhere"
    )


def _checksum(number: int, event: bytes) -> int:
    return zlib.crc32(event, number & 0xFFFFFFFF)
