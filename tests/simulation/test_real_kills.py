"""The real program, killed: what it leaves on disk fits together, and the checks of that would notice if it did not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from backtest_kit.core.events import SignalClosed, SignalOpened
from tests.simulation import real_kills
from tests.simulation.real_kills import breaches, killed

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is of POSIX systems")


def test_a1_to_a5_a_killed_program_leaves_what_fits_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tally, wrong = killed(tmp_path, seed=7, kills=10)
    assert wrong == []
    assert tally.trades > 3, "lives in which nothing is traded prove nothing"
    assert breaches(tmp_path) == []
    slot, facts = real_kills._kept(tmp_path, "LONGUSDT")
    assert slot is not None
    opened = next(each for each in facts if isinstance(each, SignalOpened))
    closed = next(each for each in facts if isinstance(each, SignalClosed))
    for wrong_slot, wrong_facts in [
        (slot, [each for each in facts if each is not closed]),
        (slot, [opened, *facts]),
        (replace(slot, quantity=slot.quantity + 0.01), facts),
        (replace(slot, told=slot.told - 1), facts),
        (None, facts),
    ]:
        monkeypatch.setattr(real_kills, "_kept", lambda *_, kept=(wrong_slot, wrong_facts): kept)
        assert breaches(tmp_path) != []
