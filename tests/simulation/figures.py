"""Writes `docs/crash-safety.md` from a real run: `python -m tests.simulation.figures --seeds 2000 --kills 100`.

Every number on the page comes from here. The run takes some minutes, most of them for the kills of the real program.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from backtest_kit.testing.worlds import FAMILIES, Outcome
from benchmarks.state import measure
from tests.simulation.mutants import MUTANTS, breaches, first_caught, world_of
from tests.simulation.real_kills import Tally, killed
from tests.simulation.verdicts import quiet, single, single_tasks, tasks

PAGE = Path(__file__).resolve().parents[2] / "docs" / "crash-safety.md"
_LATER_SEEDS = 300
FAMILY_NOTES = {
    "calm": "nothing goes wrong",
    "net": "calls and answers are lost, doubled, late, refused; fills in part; rejections; late or missing candles",
    "kill": "SIGKILL before or after any call, beside a milder `net`",
    "power": "power loss: what was not synced is lost, torn or garbage",
    "mixed": "kills, power losses and the net together, and slow syncs",
    "fsync_eio": "the same, and syncs that fail",
    "disk_full": "the same, and a disk that fills up",
    "clock": "the same, and a wall clock that jumps up to an hour and drifts",
    "external": "the same, and positions that somebody closes by hand",
    "two_processes": "pauses, kills, and a second process that is started beside the first",
    "bit_flip": "the same as `mixed`, and one flipped bit on the disk",
    "everything": "all of it at once, but for the flipped bit",
}


class Counts(Struct, frozen=True):
    """What happened in some worlds, summed."""

    worlds: int = 0
    points: int = 0
    calls: int = 0
    crashes: int = 0
    trades: int = 0
    syncs: int = 0
    halted: int = 0
    broken: int = 0


def counts_of(task: tuple[str, int]) -> tuple[str, Counts]:
    """One world of a family, counted."""
    family, seed = task
    with quiet():
        found = world_of(family, seed)
    return family, _counted(found)


def _counted(found: Outcome) -> Counts:
    return Counts(
        worlds=1,
        points=found.counts["point"],
        calls=found.counts["call"],
        crashes=found.crashes,
        trades=found.trades,
        syncs=found.counts["sync"],
        halted=bool(found.halted),
        broken=bool(breaches(found)),
    )


def _sum(parts: Sequence[Counts]) -> Counts:
    names = Counts.__struct_fields__
    return Counts(**{name: sum(getattr(each, name) for each in parts) for name in names})


def seed_that_catches(number: int) -> int | None:
    """The seed that catches the mutant of a number: the known one, or one of the next after the engine has changed."""
    mutant = MUTANTS[number]
    return None if mutant.seed is None else first_caught(mutant, _LATER_SEEDS, mutant.seed)[0]


# ---- the page ----


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in Markdown; numbers to the right."""
    right = [all(isinstance(row[i], int | float) for row in rows) for i in range(len(heads))]
    lines = [[str(head) for head in heads], ["---:" if each else "---" for each in right]]
    lines += [[f"{cell:,}" if isinstance(cell, int | float) else str(cell) for cell in row] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def worlds_part(by_family: dict[str, Counts], singles: Sequence[tuple[str, int, int]]) -> str:
    """What went wrong in how many worlds, and what came of it."""
    shown = ("worlds", "points", "calls", "crashes", "trades", "halted", "broken")
    total = _sum(list(by_family.values()))
    rows = [
        (f"`{family}`", FAMILY_NOTES[family], *(getattr(counts, name) for name in shown))
        for family, counts in by_family.items()
    ]
    rows.append(("all", "", *(getattr(total, name) for name in shown)))
    heads = ("family", "what goes wrong", *shown[:-1], "with a violation")
    return f"{_table(heads, rows)}\n\n{_table(('exactly one fault', 'worlds', 'with a violation'), singles)}"


def mutants_part(caught: Sequence[int | None]) -> str:
    """The rules that were taken away, and where that shows."""
    rows = [
        (each.missing, f"`{each.family}`", f"not caught: {each.why}" if seed is None else f"{seed}")
        for each, seed in zip(MUTANTS, caught, strict=True)
    ]
    return _table(("the rule that is taken away", "family", "seed that shows it"), rows)


def cost_part(rows: Sequence[tuple[str, float]], calm: Counts) -> str:
    """What durability costs."""
    said = _COST.format(syncs=calm.syncs / calm.trades)
    return f"{_table(('one call, on the disk of this run', 'milliseconds'), rows)}\n\n{said}"


def page(worlds: str, mutants: str, kills: Tally, wrong: Sequence[str], cost: str, command: str) -> str:
    """The whole page."""
    return _PAGE.format(
        command=command, worlds=worlds, mutants=mutants, cost=cost, kills=kills.kills, by_itself=kills.by_itself,
        facts=kills.facts, trades=kills.trades, wrong=len(wrong), caught=sum(each.seed is not None for each in MUTANTS),
        rules=len(MUTANTS),
    )  # fmt: skip


_COST = """\
Of an order the intent, the answer and the end of telling are one document each, and each fact is a line of the history.
In the calm worlds, where there is no history file, there were {syncs:.1f} syncs to each fill, all else included."""

_PAGE = """\
# Crash safety, in figures

Whatever ends the process, the next start knows what is open and what was asked for; nothing is entered twice and no
position is forgotten. [Trading live](live.md) says how. This page says how that was tested, and what was not. It was
written by

```console
$ {command}
```

from what happened in that run; the same command repeats it. Seeds are fixed: the same version gives the same worlds.

## Simulated worlds

The real engine over the real file store runs in a world in which time, disk, network and exchange are simulated. The
exchange is the referee: it counts fills, and at the end what the engine believes must be what is true, in quantity, in
money, and in the events that were told. No entry may be doubled, nothing oversold, no order sent by a process that has
been replaced. The strategy trades both sides, at the market and at limits, adds, sells parts, moves stops, cancels. A
*point* is a place at which the process may be ended: before and after every call of a port. *Halted*: the engine has
found its state damaged and waits for a person, which is right where a bit has flipped, and a violation elsewhere.

{worlds}

The worlds are part of the package, so an engine or a broker adapter of your own can live in one. This one does nothing,
and so breaks nothing:

```python
from backtest_kit.testing.worlds import FAMILIES, Ports, Report, simulate


async def idles(ports: Ports) -> None:
    ports.show(Report)
    while True:
        await ports.clock.sleep(60.0)


assert simulate(idles, seed=7, family=FAMILIES["kill"]).violations == ()
```

## Rules taken away

A test of which nobody knows whether it can fail proves nothing. So one rule at a time is taken from the engine, and the
worlds have to notice. {caught} of {rules} are missed, each in the world of the seed given.

{mutants}

## The real program, killed

Paper trading on a made-up market, as a process of its own over real files, was ended by SIGKILL {kills} times, at
random times of its life, also while it started, {by_itself} of them before or after one of its own syncs and renames.
After every kill the document and the history of each slot were compared: numbers without a gap, opened and closed in
turn, ids of signals and orders used once, the position equal to the sum of the fills. {facts:,} facts, {trades:,}
trades, {wrong} breaches.

## What it costs

{cost}

## What is not covered

* **Real exchanges.** The simulated one is strict, but it is not yours. That a request is refused 5 s after it was made,
  and that an order shows in queries 15 s after that at the latest, are assumptions. An order that is matched later than
  that is not noticed: there is no sweep for orphans.
* **Adapters without `find_order`, or without `server_time`.** The worlds have an adapter with both. Without the first,
  an order whose answer was lost is asked for again under its own id, which the adapter has to recognise; unit tests
  show it, no world does. Without the second, this machine's clock has to be right;
  while it stands behind what was kept, the program does not start.
* **Changes by hand, but for one.** A position that somebody has closed as a whole is noticed, unless it is in the
  moment in which the engine adds to it. One that was made smaller or larger by hand, a foreign order, a liquidation or
  a transfer is not.
* **Protective stops at the exchange.** The engine watches the price itself; while no process runs, nothing does.
* **Several slots, several machines.** The worlds trade one slot in one process at a time. Two machines on one folder
  and a lock that is lost while a process is paused are not simulated; there are no leases and no fence at the exchange.
* **Network drives, disks that lie about a sync, a backup that was put back** while no process ran: none is detected.
* **Other stores.** Only files. The simulated disk is a model of what POSIX allows; real power was not cut.
* **Commands through the control folder, memory that runs out, the end of a thread** are not simulated.
* **Facts are told at least once.** After a kill the last ones may be told again, with the same number.
"""


def _cost(count: int) -> list[tuple[str, float]]:
    with tempfile.TemporaryDirectory(dir=PAGE.parents[1]) as folder:
        return [(row.what, round(row.value, 2)) for row in asyncio.run(measure(Path(folder), count))]


def main() -> int:
    """Runs everything and writes the page; the exit code is 1 where something was broken or not caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.figures")
    parser.add_argument("--seeds", type=int, default=2_000, metavar="N", help="worlds, over all families")
    parser.add_argument("--kills", type=int, default=100, metavar="N", help="of the real program")
    options = parser.parse_args()
    with multiprocessing.get_context("spawn").Pool() as pool:
        found = pool.map(counts_of, tasks(list(FAMILIES), options.seeds, 0), chunksize=8)
        verdicts = pool.map(single, single_tasks(), chunksize=16)
        caught = pool.map(seed_that_catches, range(len(MUTANTS)))
    by_family = {family: _sum([each for name, each in found if name == family]) for family in FAMILIES}
    number, bad = (
        Counter(each.family for each in verdicts),
        Counter(each.family for each in verdicts if each.violations),
    )
    singles = [(f"`{family}`", number[family], bad[family]) for family in sorted(number)]
    with tempfile.TemporaryDirectory() as folder:
        tally, wrong = killed(Path(folder), 0, options.kills)
    command = f"python -m tests.simulation.figures --seeds {options.seeds} --kills {options.kills}"
    cost = cost_part(_cost(500), by_family["calm"])
    PAGE.write_text(page(worlds_part(by_family, singles), mutants_part(caught), tally, wrong, cost, command), "utf-8")
    is_bad = bool(wrong or bad) or any(each.broken for each in by_family.values())
    is_bad = is_bad or any(each.seed is not None and seed is None for each, seed in zip(MUTANTS, caught, strict=True))
    sys.stdout.write(f"{PAGE.name} is written{', and not all is well' if is_bad else ''}\n")
    return int(is_bad)


if __name__ == "__main__":
    sys.exit(main())
