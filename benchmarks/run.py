"""Measures the engine and the reports and prints one table. `make bench`, `make bench ARGS="--quick --case a"`.

Every case runs in a process of its own, one after the other; the time of a case is the best of its repetitions. With
`--strict` the exit code is 1 when a floor is missed, and it is 2 for wrong use as ever.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np

if __package__ in (None, ""):  # run as a script: the folder above is the one to import from
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks import cases, reports
from benchmarks.measures import Size
from benchmarks.table import Row, as_dicts, text

QUICK = Size(days=60, repetitions=3, seconds=0.5)
CASES = {**cases.CASES, **reports.CASES}


def main(arguments: list[str] | None = None) -> int:
    options = _options().parse_args(arguments)
    whole = QUICK if options.quick else Size()
    size = Size(options.days or whole.days, options.repetitions or whole.repetitions, options.seconds or whole.seconds)
    if options.measure:
        sys.stdout.buffer.write(msgspec.json.encode(CASES[options.measure](options.measure, size)))
        return 0
    names = cases.chosen(options.case) + [name for name in reports.CASES if name.startswith(options.case)]
    if not names:
        print(f"no case {options.case!r}; there are {', '.join(CASES)}", file=sys.stderr)
        return 2
    rows = [row for name in names for row in _in_own_process(name, size)]
    print(json.dumps(as_dicts(rows), indent=2) if options.json else f"{text(rows)}\n\n{_circumstances(size)}")
    return 1 if options.strict and any(row.is_missed for row in rows) else 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measures the engine and the reports and prints one table.")
    parser.add_argument("--case", default="", help="a case, or a family of cases: a, b, … memory, import, reports")
    parser.add_argument("--quick", action="store_true", help="60 days and 3 repetitions; too little for the floors")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a floor is missed")
    parser.add_argument("--days", type=int, help="days in a year (365)")
    parser.add_argument("--repetitions", type=int, help="how often each run is repeated at least (5)")
    parser.add_argument("--seconds", type=float, help="how long each run is repeated at least (5)")
    parser.add_argument("--measure", choices=CASES, metavar="CASE", help="measure one case here; its rows as JSON")
    return parser


def _in_own_process(name: str, size: Size) -> list[Row]:
    print(f"measuring {name} …", file=sys.stderr)
    sizes = ["--days", str(size.days), "--repetitions", str(size.repetitions), "--seconds", str(size.seconds)]
    done = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), "--measure", name, *sizes],
        check=True,
        stdout=subprocess.PIPE,
        env={**os.environ, "BACKTEST_KIT_NO_PROGRESS": "1"},
    )
    return msgspec.json.decode(done.stdout, type=list[Row])


def _circumstances(size: Size) -> str:
    return (
        f"{size.days} days a year; seconds: the best of {size.repetitions} or more; peak: memory of the first run "
        f"beyond the user's columns.\nPython {platform.python_version()}, numpy {np.__version__}, {platform.machine()}"
    )


if __name__ == "__main__":
    sys.exit(main())
