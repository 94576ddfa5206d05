"""Ctrl-C: the first ends the run and tells what was done so far, the second ends the process at once."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.unit.cli_calls import COMMAND, SOURCE, STRATEGY, started

ASKED = "    params = bk.get_context().params\n"
SLOW = STRATEGY.replace("2024-01-08", "2024-12-31").replace('interval="1h"', 'interval="15m"')
SLEEPS = {
    "def": "    time.sleep(0.005)\n    print('asked', flush=True)\n",
    "async": "    await asyncio.sleep(0.005)\n    print('asked', flush=True)\n",
}


def strategy_file(folder: Path, wait: str) -> None:
    (folder / "slow.py").write_text("import asyncio, time\n" + SLOW.replace(ASKED, wait + ASKED))


def interrupted(process: subprocess.Popen[str], lines: int) -> tuple[str, str]:
    """Sends Ctrl-C after so many lines of output; returns the rest of it, and what stands on standard error."""
    assert process.stdout is not None
    for _ in range(lines):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    return process.communicate(timeout=60)


@pytest.mark.parametrize("wait", SLEEPS.values(), ids=list(SLEEPS))
def test_ctrl_c_ends_the_run_prints_what_was_done_and_marks_the_report_as_partial(wait: str, tmp_path: Path) -> None:
    strategy_file(tmp_path, wait)
    process = started("backtest", "slow.py", "--symbol", "BTCUSDT", folder=tmp_path)
    out, errors = interrupted(process, 200)
    assert (process.returncode, errors) == (130, "")
    assert "interrupted at 2024-01-" in out
    assert "│ up       │ BTCUSDT │" in out
    report = tmp_path / "dump/backtest/up_BTCUSDT.partial.md"
    assert f"report: {report.relative_to(tmp_path)}" in out
    assert "**Partial: interrupted at 2024-01-" in report.read_text()
    written = sorted(each.name for each in report.parent.iterdir())
    assert written == ["up_BTCUSDT.partial.csv", "up_BTCUSDT.partial.md"]


def test_ctrl_c_with_json_gives_what_was_done_as_data(tmp_path: Path) -> None:
    strategy_file(tmp_path, SLEEPS["def"].replace("flush=True", "file=__import__('sys').__stdout__, flush=True"))
    process = started("backtest", "slow.py", "--symbol", "BTCUSDT", "--json", "--no-dump", folder=tmp_path)
    out, _ = interrupted(process, 100)
    data = json.loads(out[out.index("{") :])
    assert process.returncode == 130
    assert data["outcome"] == "interrupted"
    assert data["facts"]["start"] < data["interrupted_at"] < data["facts"]["stop"]


def test_ctrl_c_before_the_first_candle_says_so(tmp_path: Path) -> None:
    fetch = "def fetch(*_):\n    print('asked', flush=True)\n    time.sleep(60)\n"
    source = SLOW.replace("bk.DemoExchange(seed=1)", "fetch, cache=False")
    (tmp_path / "slow.py").write_text("import time\n" + fetch + source)
    process = started("backtest", "slow.py", "--symbol", "BTCUSDT", folder=tmp_path)
    _, errors = interrupted(process, 1)
    assert process.returncode == 130
    assert "interrupted before the first candle: there is nothing to report" in errors


def test_ctrl_c_while_the_file_is_imported_ends_the_command(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time\nprint('asked', flush=True)\ntime.sleep(60)\n")
    process = started("backtest", "slow.py", folder=tmp_path)
    out, errors = interrupted(process, 1)
    assert (process.returncode, out, errors) == (130, "", "interrupted\n")


def test_a_second_ctrl_c_ends_a_run_that_swallowed_the_first(tmp_path: Path) -> None:
    swallow = """
    try:
        print('asked', flush=True)
        time.sleep(60)
    except BaseException:
        print('swallowed', flush=True)
        time.sleep(60)
"""
    strategy_file(tmp_path, swallow)
    process = started("backtest", "slow.py", "--symbol", "BTCUSDT", folder=tmp_path)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "swallowed\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert not (tmp_path / "dump").exists()


def test_a_terminal_shows_a_progress_bar_and_gets_its_cursor_back(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    ours, theirs = pty.openpty()
    command = [*COMMAND, "backtest", "slow.py", "--symbol", "BTCUSDT", "--no-dump"]
    environment = os.environ | {"PYTHONPATH": str(SOURCE), "TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    shown, until = b"", time.monotonic() + 60
    while time.monotonic() < until:
        try:
            shown += os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    assert process.wait(timeout=30) == 0
    assert b"up on BTCUSDT at demo" in shown
    assert shown.rindex(b"\x1b[?25h") > shown.index(b"\x1b[?25l")
