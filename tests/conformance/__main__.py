"""`python -m tests.conformance PATH…`: runs recorded results, prints `N passed, M failed` and the first differences.

A path is a file of JSON lines (gzip or plain) or a folder of such files. What a file holds is seen from its lines.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tests.conformance import backtests, pnl, statistics
from tests.conformance.statistics import read

Check = Callable[[Path], tuple[int, list[str]]]
_SHOWN = 20


def kind_of(path: Path) -> tuple[str, Check] | None:
    """Which check a file is for, by the fields of its first line."""
    first = next(read(path), None)
    if first is None:
        return None
    if "candles" in first:
        return "backtests", backtests.check
    if "trades" in first:
        return "statistics", statistics.check
    return ("positions", pnl.check) if "entries" in first and "price_close" in first else None


def files(paths: list[str]) -> list[Path]:
    found: list[Path] = []
    for each in map(Path, paths):
        found += sorted(p for p in each.iterdir() if ".jsonl" in p.name) if each.is_dir() else [each]
    return found


def main(paths: list[str]) -> int:
    if not paths:
        sys.stderr.write("usage: python -m tests.conformance PATH…   (files of JSON lines, or folders of them)\n")
        return 2
    passed, failed = 0, list[str]()
    for path in files(paths):
        if not path.is_file():
            sys.stderr.write(f"{path}: no such file\n")
            return 2
        kind = kind_of(path)
        if kind is None:
            sys.stderr.write(f"{path}: neither backtests nor positions nor statistics\n")
            return 2
        good, bad = kind[1](path)
        names = {text.split(":", 1)[0].split(" ", 1)[0] for text in bad}
        sys.stdout.write(f"{path.name}: {kind[0]}, {good} passed, {len(names)} failed\n")
        passed, failed = passed + good, failed + [f"{path.name}: {text}" for text in bad]
    for text in failed[:_SHOWN]:
        sys.stdout.write(f"  {text}\n")
    total = len({text.split(": ", 1)[0] + text.split(": ", 1)[1].split(" ", 1)[0] for text in failed})
    sys.stdout.write(f"{passed} passed, {total} failed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
