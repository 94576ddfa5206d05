"""The part of the lock that is installed holds what was asked for, what that needs, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def locked(*lists: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "locked.py"), *lists], check=False, capture_output=True, text=True
    )


def names(*lists: str) -> set[str]:
    return {line.split("==")[0] for line in locked(*lists).stdout.splitlines() if "==" in line}


def test_the_core_brings_what_it_needs_itself_and_no_extra() -> None:
    core = names("core")
    assert {"numpy", "msgspec", "typer", "rich", "python-dotenv", "pygments"} <= core
    assert not core & {"ccxt", "pandas", "pytest", "hatchling"}


def test_all_brings_every_extra_but_not_the_tools_of_development() -> None:
    everything = names("all")
    assert {"ccxt", "fastapi", "ta-lib", "asyncpg", "distributed", "pyarrow"} <= everything
    assert not everything & {"pytest", "mypy", "pdoc"}


def test_every_pin_keeps_its_hashes() -> None:
    text = locked("core", "dev").stdout
    assert text.count("--hash=sha256:") >= text.count("==") > 30


def test_an_unknown_list_is_refused_with_the_lists_that_exist() -> None:
    answer = locked("everything")
    assert answer.returncode == 1
    assert "unknown list everything; pyproject.toml has live, web" in answer.stderr
