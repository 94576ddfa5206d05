"""The house rules hold for this repository. What each rule catches is proved in test_rules_catch.py."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import pytest

from tests.house import repository_rules, source_rules
from tests.house.source_tree import Module, read

ROOT = Path(__file__).resolve().parents[2]


@cache
def source() -> list[Module]:
    return read(ROOT / "src")


@pytest.mark.parametrize("rule", source_rules.RULES, ids=lambda rule: rule.__name__)
def test_the_source_keeps_the_rule(rule: source_rules.Rule) -> None:
    assert rule(source()) == []


@pytest.mark.parametrize("rule", repository_rules.RULES, ids=lambda rule: rule.__name__)
@pytest.mark.skipif(shutil.which("git") is None or not (ROOT / ".git").exists(), reason="this is not a git checkout")
def test_the_repository_keeps_the_rule(rule: repository_rules.Rule) -> None:
    assert rule(ROOT, repository_rules.repository_files(ROOT)) == []


def test_the_rules_look_at_the_real_source() -> None:
    assert {"backtest_kit.errors", "backtest_kit.core.values"} <= {module.name for module in source()}
