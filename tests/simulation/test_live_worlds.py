"""The real live engine in simulated worlds: whatever goes wrong, no promise is broken."""

from __future__ import annotations

import pytest

from backtest_kit.testing.worlds import FAMILIES, simulate
from tests.simulation.live_engine import live
from tests.simulation.verdicts import single, single_tasks

SECONDS = 1_200.0
SEEDS = 12


@pytest.mark.parametrize("family", FAMILIES)
def test_random_worlds_of_every_family_break_no_promise(family: str) -> None:
    outcomes = [simulate(live, seed, FAMILIES[family], seconds=SECONDS) for seed in range(SEEDS)]
    assert [(each.seed, each.violations) for each in outcomes if each.violations] == []
    assert sum(each.trades for each in outcomes) > 20, "worlds in which nothing is traded prove nothing"


@pytest.mark.parametrize("part", range(4))
def test_one_fault_at_any_point_of_a_life_breaks_no_promise(part: int) -> None:
    """Every eleventh of the single faults; `python -m tests.simulation` runs them all."""
    chosen = single_tasks()[part::44]
    verdicts = [single(each) for each in chosen]
    assert [each for each in verdicts if each.violations] == []
    assert sum(each.crashes for each in verdicts) > 0


def test_the_same_seed_is_the_same_history() -> None:
    one, other = (simulate(live, 5, FAMILIES["everything"], seconds=SECONDS).fingerprint for _ in range(2))
    assert one == other
