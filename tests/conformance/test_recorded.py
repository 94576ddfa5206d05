"""The recorded results of the reference, all three files, and the command that runs further ones."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance import backtests, pnl, statistics
from tests.conformance.statistics import read

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "check", "least"),
    [
        ("backtests.jsonl.gz", backtests.check, 110),
        ("pnl.jsonl.gz", pnl.check, 250),
        ("statistics.jsonl.gz", statistics.check, 45),
    ],
)
def test_every_recorded_result_is_ours_too(shared, name, check, least):
    passed, failed = check(shared / "conformance" / name)
    assert failed == []
    assert passed >= least


def test_one_candle_at_a_time_makes_the_recorded_events_too(shared):
    for scenario in read(shared / "conformance" / "backtests.jsonl.gz"):
        assert list(backtests.differing(scenario, fast_forward=False)) == [], scenario["name"]


def test_a_wrong_record_is_seen(shared, tmp_path):
    scenario = next(read(shared / "conformance" / "backtests.jsonl.gz"))
    closed = next(event for event in scenario["expected"] if event["action"] == "closed")
    closed["pnl_percent"] *= 1 + 1e-8
    file = tmp_path / "wrong.jsonl.gz"
    file.write_bytes(gzip.compress(json.dumps(scenario).encode()))
    answer = run(file)
    assert answer.returncode == 1
    assert "0 passed, 1 failed" in answer.stdout
    assert "pnl_percent" in answer.stdout


def test_a_lost_event_is_seen(shared):
    scenario = next(read(shared / "conformance" / "backtests.jsonl.gz"))
    scenario["expected"].pop()
    assert list(backtests.differing(scenario))


def test_the_command_takes_files_and_folders(shared, tmp_path):
    few = list(read(shared / "conformance" / "pnl.jsonl.gz"))[:3]
    (tmp_path / "few.jsonl").write_text("\n".join(json.dumps(each) for each in few))
    answer = run(tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.endswith("3 passed, 0 failed\n")


def test_the_command_says_what_it_cannot_read(tmp_path):
    (tmp_path / "odd.jsonl").write_text('{"a": 1}')
    assert run(tmp_path / "missing.jsonl").returncode == 2
    assert "neither backtests nor positions nor statistics" in run(tmp_path / "odd.jsonl").stderr


def run(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.conformance", str(path)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
