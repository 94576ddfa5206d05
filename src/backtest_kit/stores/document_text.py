"""A document as the text of its file: JSON that people can read, and that proves itself whole.

`{"schema": 1, "key": "signals/…", "sequence": 7, "epoch": 2, "checksum": "…", "content": {…}}`, indented. The checksum
is of all the rest with its blanks taken out, so a file that an editor laid out anew is still the same, and one in which
a number was changed is not.

`MIGRATIONS` are the functions that lead from the content of one schema to that of the next: the first one takes key and
content of schema 1 and gives the content of schema 2. What was written by a newer schema is not read at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from backtest_kit.errors import ConfigError
from backtest_kit.ports import Document

Migration: TypeAlias = Callable[[str, Any], Any]
MIGRATIONS: tuple[Migration, ...] = ()


class DamagedText(Exception):  # noqa: N818  # not an error of its own: the store says where it is, and what to do
    """A text that cannot be trusted; the message says why, as the end of a sentence."""


class Kept(Struct, frozen=True):
    """What a file holds: whose document, in which schema, and its text as it stands there."""

    schema: int
    key: str
    document: Document
    text: bytes


class _Heading(Struct, frozen=True):
    schema: int


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    schema: int
    key: str
    sequence: int
    epoch: int
    checksum: str
    content: msgspec.Raw


def compact(content: str) -> bytes:
    """JSON text without blanks, letter for letter as it was otherwise. Raises ConfigError if it is none."""
    try:
        encoded = content.encode()
        msgspec.json.decode(encoded)
    except (ValueError, RecursionError) as error:  # also what msgspec and Unicode raise
        raise ConfigError(f"the content of a document is JSON text; this is none: {error}") from error
    return msgspec.json.format(encoded, indent=-1)


def text_of(key: str, document: Document, schema: int) -> bytes:
    """The text of a document's file. Raises ConfigError when its content is no JSON."""
    content = compact(document.content)
    checksum = _checksum(schema, key, document.sequence, document.epoch, content)
    file = _File(schema, key, document.sequence, document.epoch, checksum, msgspec.Raw(content))
    return msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"


def kept_in(text: bytes, newest_schema: int) -> Kept:
    """What a text holds, in the schema it was written in. Raises DamagedText."""
    if not text.strip(b"\0"):
        raise DamagedText("holds nothing but zeros" if text else "is empty")
    try:
        schema = msgspec.json.decode(text, type=_Heading).schema
        if schema > newest_schema:
            raise DamagedText(
                f"was written by a newer version of this package (schema {schema}, known up to {newest_schema}): "
                "install that version again"
            )
        file = msgspec.json.decode(text, type=_File)
        content = msgspec.json.format(bytes(file.content), indent=-1)
        kept = Kept(schema, file.key, Document(file.sequence, file.epoch, content.decode()), text)
    except (ValueError, RecursionError) as error:
        raise DamagedText(f"is no whole document: {error}") from error
    if file.checksum != _checksum(schema, file.key, file.sequence, file.epoch, content):
        raise DamagedText("is not what was written: its checksum is another one")
    if schema < 1 or file.sequence < 1 or file.epoch < 0:
        raise DamagedText("has a number that no document has")
    return kept


def migrated(kept: Kept, migrations: Sequence[Migration]) -> Document:
    """The document in the newest schema. Raises DamagedText when a migration cannot make sense of it."""
    steps = migrations[kept.schema - 1 :]
    if not steps:
        return kept.document
    content = msgspec.json.decode(kept.document.content)
    try:
        for step in steps:
            content = step(kept.key, content)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DamagedText(f"cannot be brought from schema {kept.schema} to the newest one: {error!r}") from error
    return msgspec.structs.replace(kept.document, content=msgspec.json.encode(content).decode())


def _checksum(schema: int, key: str, sequence: int, epoch: int, content: bytes) -> str:
    heading = msgspec.json.encode((schema, key, sequence, epoch))
    return sha256(heading + content).hexdigest()[:16]
