"""Where BACKTEST_KIT_NO_SKIPS is 1 a skipped test fails, unless the machine cannot have what it asks for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

TESTS = """
import pytest

def test_skipped(): pytest.skip("too tired")

@pytest.mark.needs_account
def test_account(): pytest.skip("no account")

@pytest.mark.xfail(reason="known")
def test_expected(): assert False

def test_recorded(shared): assert shared.is_dir()
"""


@pytest.fixture
def outcome(tmp_path: Path) -> str:
    """What pytest says about TESTS in a repository without `../shared`, with skips forbidden."""
    repository = tmp_path / "repository"
    (repository / "tests").mkdir(parents=True)
    shutil.copy(ROOT / "pyproject.toml", repository)
    shutil.copy(ROOT / "tests" / "conftest.py", repository / "tests")
    (repository / "tests" / "test_it.py").write_text(TESTS)
    answer = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
        cwd=repository,
        env=os.environ | {"BACKTEST_KIT_NO_SKIPS": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    return answer.stdout


def test_only_the_skip_without_an_excuse_fails(outcome: str) -> None:
    assert "FAILED tests/test_it.py::test_skipped" in outcome
    assert "1 failed, 2 skipped, 1 xfailed" in outcome
