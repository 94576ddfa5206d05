"""Rules taken away from the live engine, one at a time: the simulated worlds miss each, or they prove nothing."""

from __future__ import annotations

import pytest

from tests.simulation.mutants import MUTANTS, Mutant, breaches, first_caught, world_of

LATER_SEEDS = 300
CAUGHT = [each for each in MUTANTS if each.seed is not None]


@pytest.mark.parametrize("mutant", CAUGHT, ids=lambda each: each.name)
def test_an_engine_without_a_rule_is_caught_and_the_whole_engine_is_not(mutant: Mutant) -> None:
    """In the world that is known for it; after a change of the engine it may be one of the next."""
    assert mutant.seed is not None
    seed, _ = first_caught(mutant, LATER_SEEDS, mutant.seed)
    assert seed is not None, f"nobody misses this: {mutant.missing}"
    assert breaches(world_of(mutant.family, seed)) == ()


def test_nearly_all_rules_are_missed_and_the_others_say_why_not() -> None:
    assert len(CAUGHT) >= 30
    assert [each.name for each in MUTANTS if (each.seed is None) == (not each.why)] == []
    assert len({each.name for each in MUTANTS}) == len(MUTANTS)


def test_a_mutant_leaves_the_engine_as_it_was() -> None:
    before = [[getattr(owner, name) for owner, name, _ in each.patches] for each in MUTANTS]
    for mutant in MUTANTS:
        with mutant.at_work():
            assert all(getattr(owner, name) is instead for owner, name, instead in mutant.patches)
    assert [[getattr(owner, name) for owner, name, _ in each.patches] for each in MUTANTS] == before
