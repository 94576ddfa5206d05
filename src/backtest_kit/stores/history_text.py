"""A history as the text of its file: a heading, then one JSON line after the other, each with number and checksum.

A line is appended and synced before the next one, so a crash can only spoil the end. What cannot be read there, with
nothing readable behind it, was never appended for certain: it is passed over, and cut off before the next line is
written. A line that is readable and not what was written is damage wherever it stands.
"""

from __future__ import annotations

import zlib
from typing import TypeAlias

import msgspec
from msgspec import Struct

from backtest_kit.stores.document_text import DamagedText

VERSION = 1


class _Heading(Struct, frozen=True):
    history: int
    stream: str


class _Line(Struct, frozen=True, forbid_unknown_fields=True):
    n: int
    crc: int
    line: str


_Part: TypeAlias = _Heading | _Line | None
_HEADING, _LINE = msgspec.json.Decoder(_Heading), msgspec.json.Decoder(_Line)


class History(Struct, frozen=True):
    """The lines of a history, and how many bytes of its file are whole; what follows them is a torn end."""

    lines: tuple[str, ...] = ()
    whole: int = 0


def heading_of(stream: str) -> bytes:
    return msgspec.json.encode(_Heading(VERSION, stream)) + b"\n"


def line_of(number: int, line: str) -> bytes:
    """The text of a line, its numbers counted from 1."""
    return msgspec.json.encode(_Line(number, _checksum(number, line), line)) + b"\n"


def history_in(text: bytes, stream: str) -> History:
    """What a file holds. Raises DamagedText naming the line."""
    texts = text.split(b"\n")[:-1]  # what has no line feed behind it is torn
    parts = [_part(each, is_heading=at == 0) for at, each in enumerate(texts)]
    while parts and parts[-1] is None:
        parts.pop()
    if parts:
        _check_heading(parts[0], stream)
    lines = tuple(_checked(part, number) for number, part in enumerate(parts[1:], start=1))
    return History(lines, sum(len(each) + 1 for each in texts[: len(parts)]))


def _part(text: bytes, is_heading: bool) -> _Part:
    try:
        return _HEADING.decode(text) if is_heading else _LINE.decode(text)
    except (ValueError, RecursionError):  # what msgspec and Unicode raise
        return None


def _check_heading(part: _Part, stream: str) -> None:
    if not isinstance(part, _Heading):
        raise DamagedText("line 1 is no heading of a history")
    if part.history > VERSION:
        raise DamagedText("was written by a newer version of this package: install that version again")
    if part.stream != stream:
        raise DamagedText(f"holds the history {part.stream!r}, not {stream!r}; it was renamed or copied: put it back")


def _checked(part: _Part, number: int) -> str:
    if not isinstance(part, _Line):
        raise DamagedText(f"line {number + 1} cannot be read")
    if part.n != number:
        raise DamagedText(f"line {number + 1} has number {part.n}, where {number} belongs")
    if part.crc != _checksum(number, part.line):
        raise DamagedText(f"line {number + 1} is not what was written: its checksum is another one")
    return part.line


def _checksum(number: int, line: str) -> int:
    return zlib.crc32(line.encode(), number & 0xFFFFFFFF)
