"""Closed candles as immutable column files, mapped into memory when they are read.

One file holds one run of candles: a header of 64 bytes, then five columns of 64-bit floats. Its name tells
which: `<first>-<count>` in minutes since 1970 and candles. A file is written to a temporary name, made
durable, and then given its name, so it is there as a whole or not at all. Runs that touch are merged into one
file when they are of like size, so that a process that adds a candle a minute leaves a handful of files, not
thousands; the values in them never change. Writers of one folder take turns by a lock file; readers need
none.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import numpy as np
from msgspec import Struct

from backtest_kit.core.candles import COLUMNS, Candles
from backtest_kit.core.grid import joined
from backtest_kit.core.values import MINUTE, Interval, Time

try:
    import fcntl
except ImportError:  # Windows: two writers at once may then store one minute twice, in two files of equal content
    fcntl = None  # type: ignore[assignment]

_MAGIC = b"btkcol01"
_HEADER = struct.Struct(
    "<8sqqqQI"
)  # magic, interval, start, count, sum of all values, checksum of what stands before it
_HEADER_SIZE = 64
_NAME = re.compile(r"^(\d{10})-(\d{8})\.candles$")
_TRIES = 5  # readings of a folder whose files are being merged at the same time


class _Run(Struct, frozen=True):
    """One file of a folder: where it is and which candles it holds."""

    path: Path
    start: Time
    stop: Time


class CandleFiles:
    """A candle store in a folder: `CandleFiles("data/candles")`. Safe for several processes at once.

    What was written first stays: a minute that is stored is never replaced. A file that is damaged is renamed
    to `….bad` and counts as missing.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)

    def read(self, key: str, symbol: str, interval: Interval, start: Time, stop: Time) -> list[Candles]:
        """What is here of [start, stop), oldest first, as views of mapped files that do not overlap."""
        folder = self._folder_of(key, symbol, interval)
        for _ in range(_TRIES):
            try:
                return list(_cut(folder, interval, start, stop))
            except FileNotFoundError:  # merged into a larger file between the listing and the opening
                continue
        return []

    def write(self, key: str, symbol: str, candles: Candles) -> None:
        """Adds the candles for which nothing is stored yet; durable when it returns."""
        if not len(candles):
            return
        folder = self._folder_of(key, symbol, candles.interval)
        folder.mkdir(parents=True, exist_ok=True)
        with _turn(folder):
            for part in _new_parts(folder, candles):
                _add(folder, part)

    def _folder_of(self, key: str, symbol: str, interval: Interval) -> Path:
        return self._folder / _safe(key) / _safe(symbol) / str(interval)


def _safe(name: str) -> str:
    """A file name that no two names share: `BTC/USDT:USDT` → `BTC%2FUSDT%3AUSDT`.

    A name with small letters carries a checksum, because some file systems do not tell `btc` from `BTC`.
    """
    text = quote(name, safe="").replace(".", "%2E")
    return text if text == text.upper() else f"{text}~{zlib.crc32(name.encode()):08x}"


def _cut(folder: Path, interval: Interval, start: Time, stop: Time) -> Iterator[Candles]:
    at = start
    for run in _runs(folder, interval):
        if run.stop <= at or run.start >= stop:
            continue
        candles = _opened(run, interval)
        if candles is None:
            continue
        part = candles.between(max(at, run.start), min(stop, run.stop))
        if len(part):
            at = part.stop
            yield part


def _runs(folder: Path, interval: Interval) -> list[_Run]:
    """The files of a folder in the order of their first candles."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for path in folder.iterdir():
            match = _NAME.match(path.name)
            if match:
                start = int(match[1]) * MINUTE
                found.append(_Run(path, start, start + int(match[2]) * int(interval)))
    return sorted(found, key=lambda run: (run.start, -run.stop))


def _opened(run: _Run, interval: Interval) -> Candles | None:
    """The candles of a file as mapped views; None, and the file set aside, where it is damaged."""
    count = (run.stop - run.start) // int(interval)
    with run.path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if count and size == _HEADER_SIZE + 8 * count * len(COLUMNS):
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            table = np.frombuffer(data, dtype="<f8", offset=_HEADER_SIZE).reshape(len(COLUMNS), count)
            candles = Candles(interval, run.start, *table)
            if data[:_HEADER_SIZE] == _header(candles):
                return candles
    with contextlib.suppress(FileNotFoundError):
        run.path.replace(run.path.with_name(run.path.name + ".bad"))
    return None


def _header(candles: Candles) -> bytes:
    """The first 64 bytes of a file.

    The values are summed as whole numbers: much faster than a CRC, and no flipped bit escapes.
    """
    total = sum(int(candles[name].view("<u8").sum()) for name in COLUMNS) % 2**64
    body = _HEADER.pack(_MAGIC, int(candles.interval), candles.start, len(candles), total, 0)[:-4]
    return (body + struct.pack("<I", zlib.crc32(body))).ljust(_HEADER_SIZE, b"\0")


def _new_parts(folder: Path, candles: Candles) -> list[Candles]:
    """The stretches of the candles that no file of the folder covers."""
    parts, at = [], candles.start
    for run in _runs(folder, candles.interval):
        if run.stop <= at or run.start >= candles.stop or _opened(run, candles.interval) is None:
            continue
        parts.append(candles.between(at, run.start))
        at = max(at, run.stop)
    parts.append(candles.between(at, candles.stop))
    return [each for each in parts if len(each)]


def _add(folder: Path, candles: Candles) -> None:
    """Writes one run, merged with the files that touch it and are at most twice as long."""
    merged: list[_Run] = []
    while neighbour := _neighbour(folder, candles):
        run, other = neighbour
        first, second = (other, candles) if other.stop == candles.start else (candles, other)
        candles = joined((first, second))
        merged.append(run)
    _put(folder, candles)
    for run in merged:
        with contextlib.suppress(
            OSError
        ):  # Windows keeps a file that somebody has mapped; equal content twice is no harm
            run.path.unlink()


def _neighbour(folder: Path, candles: Candles) -> tuple[_Run, Candles] | None:
    for run in _runs(folder, candles.interval):
        touches = run.stop == candles.start or run.start == candles.stop
        if touches and run.stop - run.start <= 2 * (candles.stop - candles.start):
            other = _opened(run, candles.interval)
            if other is not None:
                return run, other
    return None


def _put(folder: Path, candles: Candles) -> None:
    final = folder / f"{candles.start // MINUTE:010d}-{len(candles):08d}.candles"
    temporary = folder / f"{final.name}.{os.getpid()}.tmp"
    with temporary.open("wb") as file:
        file.write(_header(candles))
        for name in COLUMNS:
            file.write(np.ascontiguousarray(candles[name], dtype="<f8").data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(final)
    _make_durable(folder)


def _make_durable(folder: Path) -> None:
    """A new name is on disk only when its folder is; Windows has no such call and needs none."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def _turn(folder: Path) -> Iterator[BinaryIO]:
    """Waits until no other process writes into the folder; the lock ends with the process that holds it."""
    with (folder / ".lock").open("ab") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file
