"""The command `parity`: what it prints of paper trading and of its replay, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from msgspec.structs import replace
from typer.testing import CliRunner, Result

from backtest_kit.app import default
from backtest_kit.cli.parity import parity
from backtest_kit.core.events import OrderAnswered, SignalClosed, SignalOpened
from backtest_kit.core.values import Source
from backtest_kit.stores import FileLedger, stream_of
from tests.unit.cli_calls import call, fresh_world, isolated

FILE = """
import backtest_kit as bk

bk.add_exchange("demo", bk.DemoExchange(seed=1))

@bk.strategy("quick", interval="1h", params={"minutes": 30})
def quick(symbol, when, price):
    print("asked")
    return bk.Signal("long", price * 1.5, price * 0.9, minute_estimated_time=bk.get_context().params.minutes)
"""
BACKTEST = ("--symbol", "BTCUSDT", "--from", "2024-01-02T00:00", "--to", "2024-01-02T02:45", "--no-dump", "--json")
SOURCE = Source("BTCUSDT", "quick", "demo", mode="paper")


@pytest.fixture(autouse=True)
def _world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for world in isolated(monkeypatch, tmp_path):
        Path("strategy.py").write_text(FILE)
        yield world


def kept(fee_percent: float = 0.1) -> None:
    """Three trades of `quick` on paper, as the ledger has them, with real fills at the modelled prices."""
    assert call("backtest", "strategy.py", *BACKTEST).exit_code == 0
    events = default.records[-1].result().events
    ledger = FileLedger(Path("data") / "ledger", durable=False)
    for event in events:
        if isinstance(event, SignalOpened | SignalClosed):
            kind, slip = ("open", 1.001) if isinstance(event, SignalOpened) else ("close", 0.999)
            at, quantity = event.price * slip, event.position.coins
            fee = at * quantity * fee_percent / 100
            order = OrderAnswered(SOURCE, event.time, "id", kind, 0, "done", price=at, quantity=quantity, fee=fee)
            ledger.append(stream_of(SOURCE), order)
        ledger.append(stream_of(SOURCE), replace(event, source=SOURCE))
    fresh_world()


def answer(*arguments: str) -> Result:
    """What the command says of the strategy file."""
    command = typer.Typer()
    command.command()(parity)
    return CliRunner().invoke(command, ["strategy.py", *arguments], catch_exceptions=False)


def test_equal_decisions_are_said_to_be_equal() -> None:
    kept()
    said = answer()
    assert said.exit_code == 0
    assert "No differences: 3 decisions of 3 are equal in all they led to." in said.stdout
    assert "quick on BTCUSDT at demo: there is no journal" in said.stdout


def test_json_is_data_alone() -> None:
    kept(fee_percent=0.3)
    said = answer("--json", "--mode", "paper", "--symbol", "BTCUSDT", "--strategy", "quick")
    found = json.loads(said.stdout)
    assert (found["decisions"], found["equal"], found["decision_differences"]) == (3, 0, 0)
    assert list(found["causes"]) == ["fee"]
    assert found["causes"]["fee"]["number"] == len(found["differences"]) == 3
    assert [row["cause"] for row in found["differences"]] == ["fee"] * 3
    assert "asked" not in said.stdout
    assert "asked" in said.stderr


def test_changed_parameters_are_differences_of_code() -> None:
    kept()
    said = answer("--param", "minutes=20")
    assert "| code | 3 |" in said.stdout
    assert "| signal |" in said.stdout


def test_from_and_to_narrow_the_period() -> None:
    kept()
    said = answer("--json", "--from", "2024-01-02T00:45", "--to", "2024-01-02T01:59")
    assert json.loads(said.stdout)["decisions"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--symbol", "BTCUSD"), "did you mean 'BTCUSDT'?"),
        (("--strategy", "quik"), "did you mean 'quick'?"),
        (("--mode", "papr"), "did you mean 'paper'?"),
        (("--mode", "live"), "nothing of any strategy has been traded live"),
        (("--from", "soon"), "soon"),
        (("--set", "fee_precent=1"), "fee_precent"),
        (("--param", "hours=1"), "hours"),
        (("--data", "elsewhere"), "nothing of any strategy has been traded"),
    ],
)
def test_wrong_use_is_said_with_exit_code_2(options: tuple[str, ...], message: str) -> None:
    kept()
    said = answer(*options)
    assert said.exit_code == 2
    assert message in said.stderr
    assert said.stdout == "" or "asked" in said.stdout
