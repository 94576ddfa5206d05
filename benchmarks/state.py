"""Measures what durable state costs on this disk. `python benchmarks/state.py --count 500`.

Times are of whole calls, as an order waits for them: the median and the 95th of 100. With `--strict` the exit code is 1
when the limit on the median of a document is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import quantiles
from time import perf_counter

import msgspec

if __package__ in (None, ""):  # run as a script: the folder above is the one to import from
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from backtest_kit.ports import Document
from backtest_kit.stores import FileStore, FolderDisk
from benchmarks.table import Floor, Row, text

LIMIT = Floor(1.0, at_most=True)
MANY = 50  # keys written at once, as at the end of a busy minute
CONTENT = msgspec.json.encode(
    {"state": {"type": "active", "price": 42000.5}, "events": [{"number": 1.5}] * 80}
).decode()


async def measure(folder: Path, count: int) -> list[Row]:
    """The times of `count` calls of each kind, in a folder on the disk to be measured."""
    disk, store = FolderDisk(folder), FileStore(folder)
    epoch = await store.open("benchmark")

    async def bare(_: int) -> None:
        await disk.write("bare.tmp", CONTENT.encode())
        await disk.sync("bare.tmp")
        await disk.rename("bare.tmp", "bare")
        await disk.sync_folder("")

    async def write(number: int) -> None:
        await store.write("signals/ONE_a_b", Document(number + 1, epoch, CONTENT), number)

    async def append(_: int) -> None:
        await store.append("journal/one", CONTENT)

    async def read(_: int) -> None:
        await store.read("signals/ONE_a_b")

    async def write_many(number: int) -> None:
        document = Document(number + 1, epoch, CONTENT)
        await asyncio.gather(*(store.write(f"signals/S{each}_a_b", document, number) for each in range(MANY)))

    rows = [
        *await _times("state-bare", "file, rename, folder", bare, count),
        *await _times("state-write", f"document of {len(CONTENT):,} bytes", write, count, LIMIT),
        *await _times("state-append", "line of a history", append, count),
        *await _times("state-read", "document read", read, count),
        *await _times("state-many", f"{MANY} documents at once", write_many, max(count // MANY, 3)),
    ]
    await store.close()
    return rows


async def _times(
    case: str, what: str, call: Callable[[int], Awaitable[None]], count: int, limit: Floor | None = None
) -> list[Row]:
    seconds = []
    for number in range(count):
        started = perf_counter()
        await call(number)
        seconds.append(perf_counter() - started)
    hundredths = quantiles(seconds, n=100)
    return [
        Row(case, f"{what}, median", 1000 * hundredths[49], "ms", limit),
        Row(case, f"{what}, 95th of 100", 1000 * hundredths[94], "ms"),
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measures what durable state costs on this disk.")
    parser.add_argument("--count", type=int, default=500, help="calls of each kind")
    parser.add_argument(
        "--folder", type=Path, default=Path(), help="where to write: a folder on the disk to be measured"
    )
    parser.add_argument("--strict", action="store_true", help="exit with 1 when the limit is missed")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        rows = asyncio.run(measure(Path(folder), options.count))
    print(text(rows))
    return 1 if options.strict and any(row.is_missed for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
