"""Worlds and their verdicts: random ones of every family, and all in which exactly one thing goes wrong."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from backtest_kit.testing.worlds import FAMILIES, FATES, simulate
from backtest_kit.testing.worlds.families import CALM
from tests.simulation.live_engine import live

SECONDS = 1_200.0  # of virtual time in which things go wrong


ONE_LIFE_SECONDS = 600.0  # in which a position is entered and left


class Verdict(Struct, frozen=True):
    """What became of one world, as far as the summary needs it."""

    family: str
    seed: int
    violations: tuple[str, ...]
    crashes: int
    trades: int
    faults: int
    halted: bool


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing is logged inside: worlds are full of failures."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def world(task: tuple[str, int]) -> Verdict:
    """Lives through one world."""
    family, seed = task
    with quiet():
        found = simulate(live, seed, FAMILIES[family], seconds=SECONDS)
    faults = sum(found.tally.values())
    return Verdict(family, seed, found.violations, found.crashes, found.trades, faults, bool(found.halted))


def single(task: tuple[str, int, str]) -> Verdict:
    """Lives through the world in which one thing goes wrong: what, on the occasion of that number, of a kind."""
    kind, number, what = task
    with quiet():
        found = simulate(live, 0, CALM, {(kind, number): what}, seconds=ONE_LIFE_SECONDS)
    return Verdict(f"{kind} {what}", number, found.violations, found.crashes, found.trades, 1, bool(found.halted))


def single_tasks() -> list[tuple[str, int, str]]:
    """Every single fault: at every point of one life a kill and a power loss, for every call every fate."""
    calm = simulate(live, 0, CALM, {}, seconds=ONE_LIFE_SECONDS)
    assert calm.trades >= 2, "a life has an entry and an exit"
    points, calls = calm.counts["point"], calm.counts["call"]
    return [
        *(("point", number, what) for number in range(1, points + 1) for what in ("kill", "power")),
        *(("call", number, what) for number in range(1, calls + 1) for what in FATES),
    ]


def tasks(families: list[str], seeds: int, first: int) -> Iterator[tuple[str, int]]:
    """The worlds to be lived through: as many seeds as asked for, in turn over the families."""
    return ((families[number % len(families)], first + number // len(families)) for number in range(seeds))
