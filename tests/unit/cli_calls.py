"""Calling the command line: in this process with a world of its own, or as a process that can be sent a signal."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from backtest_kit import app as world
from backtest_kit.app import App
from backtest_kit.cli import app

SOURCE = Path(__file__).resolve().parents[2] / "src"
COMMAND = (sys.executable, "-c", "from backtest_kit.cli import main; main()")

STRATEGY = """
import backtest_kit as bk

bk.add_exchange("demo", bk.DemoExchange(seed=1))
bk.add_frame("week", start="2024-01-01", end="2024-01-08")

@bk.strategy("up", interval="1h", params={"take": bk.Param(2.0, low=1.0, high=9.0), "count": 20, "loud": False})
async def up(symbol, when, price):
    params = bk.get_context().params
    candles = await bk.get_candles(symbol, "1h", params.count)
    if params.loud:
        print("asked", type(params.take).__name__, params.take)
    if candles.close[-1] > candles.close.mean():
        return bk.Signal.bracket("long", price, take_profit_percent=params.take, stop_loss_percent=1)
"""


def fresh_world() -> dict[str, object]:
    """Empties the application behind the module functions, examples included; returns what it held."""
    before = dict(vars(world.default))
    world.default.__dict__.update(vars(App()))
    for name in [each for each in sys.modules if each.startswith("backtest_kit.examples.")]:
        del sys.modules[name]
    return before


def isolated(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[None]:
    """An empty application, an empty working folder, and modules and path as they were, afterwards."""
    before, modules, path = fresh_world(), set(sys.modules), list(sys.path)
    monkeypatch.chdir(folder)
    yield
    world.default.__dict__.update(before)
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if Path(file).is_relative_to(folder):
            del sys.modules[name]


def call(*arguments: str) -> Result:
    """The command's answer: `exit_code`, `stdout`, `stderr`; a defect of the command is raised."""
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def started(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    """The command as a process, whose output is kept."""
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
