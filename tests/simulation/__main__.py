"""Live trading in simulated worlds, many of them: `python -m tests.simulation --seeds 2000`.

Every seed is one history of one family (calm, kill, power, …). The real engine runs in it over the real file store; a
violation of a promise is printed with its seed and family, and `--seed S --family F` shows that world again. Before
them come the worlds in which exactly one thing goes wrong: a kill or a power loss before and after every call of a
port, and every fate of every call to the exchange, over one life of a position.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import Counter

from backtest_kit.testing.worlds import FAMILIES, Outcome, simulate
from tests.simulation.live_engine import live
from tests.simulation.verdicts import SECONDS, Verdict, single, single_tasks, tasks, world


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=240, metavar="N", help="how many worlds, over all families")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="the first seed")
    parser.add_argument("--family", choices=sorted(FAMILIES), action="append", help="default: all of them")
    parser.add_argument("--seed", type=int, metavar="N", help="one world, with its log")
    options = parser.parse_args()
    families = options.family or list(FAMILIES)
    if options.seed is not None:
        return _show(simulate(live, options.seed, FAMILIES[families[0]], seconds=SECONDS, keep_lines=True))
    began = time.monotonic()
    with multiprocessing.get_context("spawn").Pool() as pool:
        verdicts = [] if options.family else list(pool.imap_unordered(single, single_tasks(), chunksize=16))
        verdicts += pool.imap_unordered(world, tasks(families, options.seeds, options.first), chunksize=8)
    return _summary(verdicts, time.monotonic() - began)


def _show(found: Outcome) -> int:
    print("\n".join(found.lines))
    print("\n".join(f"VIOLATION {each}" for each in found.violations) or "no violation")
    return 1 if found.violations else 0


_SUMMED = ("trades", "faults", "crashes", "halted")


def _summary(verdicts: list[Verdict], seconds: float) -> int:
    worlds = Counter(each.family for each in verdicts)
    print(f"{'':<24}" + "".join(f"{title:>12}" for title in ("worlds", *_SUMMED, "violations")))
    for family, number in sorted(worlds.items()):
        own = [each for each in verdicts if each.family == family]
        sums = [sum(getattr(each, name) for each in own) for name in _SUMMED]
        figures = (number, *sums, sum(bool(each.violations) for each in own))
        print(f"{family:<24}" + "".join(f"{figure:>12,}" for figure in figures))
    broken = [each for each in verdicts if each.violations]
    for each in broken[:20]:
        print(f"--family {each.family} --seed {each.seed}: {'; '.join(each.violations)}")
    print(f"{len(verdicts)} worlds in {seconds:.0f} s, {len(broken)} with a violation")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
