"""Files that are there as a whole or not at all, under names that every file system takes."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from backtest_kit.errors import ConfigError

_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def write_whole(path: str | os.PathLike[str], pieces: Iterable[bytes]) -> Path:
    """Writes the pieces as a file, durable when it returns; makes its folder.

    They go to a temporary file beside it, which gets its name when all of them are on disk: a file of that name stays
    as it was until then, and whatever is raised on the way leaves nothing behind. Raises ConfigError naming the path
    when it cannot be written, also where a file of that name is read-only; what the pieces raise passes through.
    """
    with _named(path):
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            raise ConfigError(f"{path} cannot be written: it is {'a folder' if target.is_dir() else 'no plain file'}")
        if target.exists() and not target.stat().st_mode & _WRITABLE:
            raise ConfigError(f"{path} cannot be written: it is read-only")
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{token_hex(8)}.tmp")
        file = temporary.open("xb")
    try:
        with file:
            for piece in pieces:
                with _named(path):
                    file.write(piece)
            with _named(path):
                _settle(file)
        with _named(path):
            temporary.replace(target)
            _settle_folder(target.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return Path(path)


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Writes a text as a file, whole or not at all."""
    return write_whole(path, [text.encode(errors="replace")])


def file_name(strategy_names: Sequence[str], symbols: Sequence[str], most: int = 100) -> str:
    """A name for a report's files: `<strategies>_<symbols>`, with only characters that every file system takes.

    Where it would be longer than `most` bytes, a digest in place of the rest tells it from others that begin alike.
    """
    text = "-".join(strategy_names) + "_" + "-".join(symbols)
    name = re.sub(r"[^\w.\-]+", "-", text).strip(".-") or "report"
    if len(name.encode()) <= most:
        return name
    digest = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:12]
    return f"{name.encode()[: most - len(digest) - 1].decode(errors='ignore')}~{digest}"


@contextmanager
def _named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns the system's errors into one that names the path."""
    try:
        yield
    except (OSError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{os.fspath(path)} cannot be written: {reason}") from error


def _settle(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _settle_folder(folder: Path) -> None:
    """A new name is on disk only when its folder is; Windows has no such call and needs none."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
