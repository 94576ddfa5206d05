"""Measures exports of many events: time, and the memory at the peak. `python benchmarks/export.py --rows 1000000`.

Events come from an iterator, so that none are held; each format is written in a process of its own, after its packages
have been imported. With `--strict` the exit code is 1 when a limit on memory is missed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter

import msgspec
from msgspec.structs import replace

if __package__ in (None, ""):  # run as a script: the folder above is the one to import from
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from backtest_kit.core.events import ActivePing, Event, IdlePing, SignalClosed, SignalOpened
from backtest_kit.core.position import opened, profit
from backtest_kit.core.values import MINUTE, Signal, Source, Terms
from backtest_kit.reports.export import export
from benchmarks.laps import peak_bytes
from benchmarks.table import Floor, Row, text

FORMATS = ("csv", "jsonl", "parquet")
SPEED, MEMORY = "events/s", "MB at the peak"
_START = 1_704_067_200_000
_LEAST = Floor(50, at_most=True)


def events(count: int) -> Iterator[Event]:
    """Idle, opened, active and closed in turn, a minute apart, each made when it is asked for."""
    source, terms = Source("BTCUSDT", "measured", "memory", "year"), Terms()
    position = opened(Signal.bracket("long", 100.0, 2, 1, id="measured", note="a note"), _START, 100.0, terms)
    samples = (
        IdlePing(source, _START, 100.0),
        SignalOpened(source, _START, 100.0, position),
        ActivePing(source, _START, 100.5, position, terms),
        SignalClosed(source, _START, 101.0, position, profit(position, 101.0, terms), "closed"),
    )
    for number, event in enumerate(islice(cycle(samples), count)):
        yield replace(event, time=_START + number * MINUTE, price=100 + number % 977 / 100)


def measure(ending: str, count: int, folder: Path) -> list[Row]:
    """The speed of writing `count` events as one file, and the memory that it took beyond what was there before."""
    path = folder / f"events.{ending}"
    export(events(10), path)
    before, started = peak_bytes(), perf_counter()
    export(events(count), path)
    seconds, peak = perf_counter() - started, peak_bytes() - before
    megabytes = path.stat().st_size / 1e6
    path.unlink()
    case = f"export-{ending}"
    return [
        Row(case, f"{count:,} events, a file of {megabytes:.1f} MB, {seconds:.1f} s", count / seconds, SPEED),
        Row(case, "  memory", peak / 1e6, MEMORY, _LEAST),
    ]


def main(arguments: list[str] | None = None) -> int:
    options = _options().parse_args(arguments)
    if options.measure:
        with tempfile.TemporaryDirectory() as folder:
            sys.stdout.buffer.write(msgspec.json.encode(measure(options.measure, options.rows, Path(folder))))
        return 0
    rows = [row for ending in FORMATS for row in _in_own_process(ending, options.rows)]
    print(text(rows))
    return 1 if options.strict and any(row.is_missed for row in rows) else 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measures exports of many events.")
    parser.add_argument("--rows", type=int, default=1_000_000, help="how many events (1,000,000)")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a limit is missed")
    parser.add_argument("--measure", choices=FORMATS, metavar="FORMAT", help="measure one format here; rows as JSON")
    return parser


def _in_own_process(ending: str, count: int) -> list[Row]:
    print(f"measuring {ending} …", file=sys.stderr)
    command = [sys.executable, str(Path(__file__).resolve()), "--measure", ending, "--rows", str(count)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return msgspec.json.decode(done.stdout, type=list[Row])


if __name__ == "__main__":
    sys.exit(main())
