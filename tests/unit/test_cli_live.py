"""The commands `live` and `paper`: what they print, how they end, and that a killed process goes on where it was."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backtest_kit.core.events import Event, SignalClosed, SignalOpened
from backtest_kit.stores import FileLedger
from tests.unit.cli_calls import COMMAND, SOURCE, call, isolated, started

PATIENCE_SECONDS = 20.0
HOLDS = """
import backtest_kit as bk

bk.add_exchange("made-up", bk.DemoExchange(seed=1))

@bk.strategy("holds", interval="1d")
def holds(symbol, when, price):
    print("asked")
    return bk.Signal.bracket("long", price, take_profit_percent=15, stop_loss_percent=15)
"""
QUICK = HOLDS.replace('"1d"', '"5m"').replace("stop_loss_percent=15", "stop_loss_percent=15, minute_estimated_time=30")
BROKER = """
from backtest_kit.ports import BrokerAdapter
from backtest_kit.runners import Broker

class Nowhere(BrokerAdapter):
    pass

Broker.use_broker_adapter(Nowhere())
Broker.enable()
"""
PAPER = ("paper", "strategy.py", "--symbol", "BTCUSDT", "--from", "2024-01-01", "--speed", "120")
LIVE = ("live", "strategy.py", "--symbol", "BTCUSDT")


@pytest.fixture(autouse=True)
def _world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    yield from isolated(monkeypatch, tmp_path)


class Trader:
    """A process that trades; what it has said so far is in `out` and `errors`."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._paths = folder / "out.txt", folder / "errors.txt"
        with self._paths[0].open("w") as out, self._paths[1].open("w") as errors:
            self.process = subprocess.Popen(
                [*COMMAND, *arguments],
                cwd=folder,
                env=os.environ | {"PYTHONPATH": str(SOURCE)},
                stdout=out,
                stderr=errors,
            )

    @property
    def out(self) -> str:
        return self._paths[0].read_text()

    @property
    def errors(self) -> str:
        return self._paths[1].read_text()

    def wait_for(self, text: str) -> None:
        """Waits until it has said this, on either of the two."""
        until(lambda: text in self.out + self.errors, lambda: f"{text!r} not in {self.out}\n{self.errors}")

    def end(self, number: int = signal.SIGINT) -> int:
        """Sends a signal; gives the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)


def until(happens: Callable[[], Any], otherwise: Callable[[], object] = lambda: "it never happened") -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not happens():
        assert time.monotonic() < end, otherwise()
        time.sleep(0.02)


@contextlib.contextmanager
def trading(folder: Path, *arguments: str, source: str = HOLDS) -> Iterator[Trader]:
    """A process that trades `source`, and is gone afterwards."""
    (folder / "strategy.py").write_text(source)
    trader = Trader(folder, *arguments)
    try:
        yield trader
    finally:
        trader.process.kill()
        trader.process.wait(PATIENCE_SECONDS)


def status(*arguments: str) -> dict[str, Any]:
    """What `status --json` says."""
    answer: dict[str, Any] = json.loads(call("status", "--json", *arguments).stdout)
    return answer


def facts(data: Path, strategy: str = "holds") -> list[Event]:
    """What the ledger knows; a gap in it raises."""
    ledger = FileLedger(data / "ledger")
    return [event for stream in ledger.streams() if strategy in stream for event in ledger.scan(stream)]


def test_paper_on_the_demo_market_trades_at_once_and_offline(tmp_path: Path) -> None:
    with trading(tmp_path, "paper", "--demo") as trader:
        trader.wait_for("opened")
        assert trader.end() == 130
        assert re.search(r"2024-01-01T0\d:\d\dZ  \w+USDT +trend-follower +opened +(long|short) at \d", trader.out)
        assert "the clock begins at 2024-01-01T00:00Z and runs 600 times as fast" in trader.errors
        assert re.search(r"stopped; \d positions? stays? open and goe?s? on at the next start", trader.errors)


def test_ctrl_c_keeps_the_position_and_the_next_start_goes_on_with_it(tmp_path: Path) -> None:
    with trading(tmp_path, *PAPER) as trader:
        trader.wait_for("opened")
        assert trader.end() == 130
        assert "stopped; 1 position stays open and goes on at the next start" in trader.errors
    (held,) = status()["slots"]
    with trading(tmp_path, *PAPER) as trader:
        trader.wait_for("goes on: long holds on BTCUSDT at made-up, entered at")
        assert trader.end(signal.SIGTERM) == 0
        assert "opened" not in trader.out
    assert status()["slots"][0]["signal_id"] == held["signal_id"]


def test_a_second_ctrl_c_ends_a_process_at_once_whose_strategy_hangs(tmp_path: Path) -> None:
    source = HOLDS.replace('    print("asked")\n', '    print("asked", flush=True)\n    import time; time.sleep(60)\n')
    with trading(tmp_path, *PAPER, source=source) as trader:
        trader.wait_for("asked")
        trader.process.send_signal(signal.SIGINT)
        trader.wait_for("once more ends at once")
        assert trader.end() == 130


def test_json_is_one_object_a_line_and_what_a_strategy_prints_goes_elsewhere(tmp_path: Path) -> None:
    with trading(tmp_path, *PAPER, "--json") as trader:
        trader.wait_for('"what":"opened"')
        trader.end()
        order, opened = (
            json.loads(line) for line in trader.out.splitlines() if '"kind":"open"' in line or "opened" in line
        )
        assert "asked" in trader.errors
    assert (order["what"], order["details"]["outcome"]) == ("order", "done")
    assert (opened["symbol"], opened["strategy"], opened["side"]) == ("BTCUSDT", "holds", "long")
    assert (opened["mode"], opened["profit"]) == ("paper", None)
    assert opened["price"] > 0


@pytest.mark.parametrize("seed", range(5))
def test_a_process_that_is_killed_at_any_moment_goes_on_with_the_same_position(seed: int, tmp_path: Path) -> None:
    """Nothing is entered twice, no position is forgotten, and the ledger has no gap."""
    chance = random.Random(seed)
    fast = (*PAPER[:-1], "1200")
    with trading(tmp_path, *fast, source=QUICK) as trader:
        trader.wait_for("opened")
        time.sleep(chance.uniform(0.0, 1.5))
        trader.process.kill()
        trader.process.wait(PATIENCE_SECONDS)
    (before,) = status()["slots"]
    known = len(facts(tmp_path / "data"))
    with trading(tmp_path, *fast, source=QUICK) as trader:
        until(lambda: sum(isinstance(each, SignalClosed) for each in facts(tmp_path / "data")[known:]))
        assert trader.end() == 130
        if before["state"] == "active":
            assert "goes on: long holds on BTCUSDT at made-up" in trader.errors
    trades = [each for each in facts(tmp_path / "data") if isinstance(each, SignalOpened | SignalClosed)]
    actions = [each.action for each in trades]
    assert actions == (["opened", "closed"] * len(actions))[: len(actions)]
    opened = [each.signal.id for each in trades if isinstance(each, SignalOpened)]
    closed = [each.signal.id for each in trades if isinstance(each, SignalClosed)]
    assert len(set(opened)) == len(opened)
    assert closed == opened[: len(closed)]
    assert before["state"] != "active" or before["signal_id"] in closed


def test_live_without_an_adapter_says_that_no_orders_are_sent(tmp_path: Path) -> None:
    with trading(tmp_path, *LIVE) as trader:
        trader.wait_for("opened")
        assert trader.end(signal.SIGTERM) == 0
        assert "no broker adapter is enabled: signals are followed, no orders are sent" in trader.errors


def test_live_with_an_adapter_wants_to_be_told_that_real_orders_are_meant(tmp_path: Path) -> None:
    with trading(tmp_path, *LIVE, source=HOLDS + BROKER) as trader:
        assert trader.process.wait(PATIENCE_SECONDS) == 2
        assert "real orders will be sent by Nowhere: holds on BTCUSDT at made-up; give --yes" in trader.errors
    assert not (tmp_path / "data").exists()
    with trading(tmp_path, *LIVE, "--yes", source=HOLDS + BROKER) as trader:
        trader.wait_for("opened")


def test_a_second_process_on_the_same_state_is_unsafe_to_start(tmp_path: Path) -> None:
    with trading(tmp_path, *PAPER) as trader:
        trader.wait_for("opened")
        second = started(*PAPER, folder=tmp_path)
        _, errors = second.communicate(timeout=PATIENCE_SECONDS)
        assert second.returncode == 3
        assert f"unsafe to start: data/paper is held by process {trader.process.pid}" in errors
        assert trader.process.poll() is None


def test_damaged_state_is_unsafe_to_start_and_is_left_as_it_is(tmp_path: Path) -> None:
    with trading(tmp_path, *PAPER) as trader:
        trader.wait_for("opened")
        trader.end()
    document = tmp_path / "data/paper/signals/BTCUSDT_holds_made-up.json"
    document.write_text(document.read_text().replace('"long"', '"short"'))
    damaged = document.read_text()
    with trading(tmp_path, *PAPER) as trader:
        assert trader.process.wait(PATIENCE_SECONDS) == 3
        assert "unsafe to start: data/paper/signals/BTCUSDT_holds_made-up.json is not what was written" in trader.errors
    assert document.read_text() == damaged
    shown = call("status")
    assert shown.exit_code == 3
    assert "DAMAGED: data/paper/signals/BTCUSDT_holds_made-up.json" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("paper",), "give a FILE, or --demo without one"),
        (("paper", "--demo", "strategy.py"), "give a FILE, or --demo without one"),
        (("paper", "strategy.py", "--symbol", "A", "--speed", "60"), "give --from TIME"),
        (("paper", "strategy.py", "--symbol", "A", "--strategy", "hold"), "did you mean 'holds'?"),
        (("live", "missing.py"), "missing.py does not exist"),
    ],
)
def test_wrong_use_is_told_with_a_remedy(arguments: tuple[str, ...], says: str, tmp_path: Path) -> None:
    (tmp_path / "strategy.py").write_text(HOLDS)
    answer = call(*arguments)
    assert answer.exit_code == 2
    assert says in answer.stderr
