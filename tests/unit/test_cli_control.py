"""Speaking to a process that trades, or to the next one: `status`, `stop`, `pause`, `resume`, `close`, `kill`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backtest_kit.core.events import SignalClosed, SignalOpened
from backtest_kit.engine.control import Answer, ControlFolder, Request, kill_switch
from tests.unit.cli_calls import SOURCE, call, isolated
from tests.unit.test_cli_live import HOLDS, PAPER, PATIENCE_SECONDS, QUICK, Trader, facts, status, trading, until


@pytest.fixture(autouse=True)
def _world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    yield from isolated(monkeypatch, tmp_path)


@pytest.fixture
def trader(tmp_path: Path) -> Iterator[Trader]:
    """A process with an open position that nothing but a person ends."""
    with trading(tmp_path, *PAPER) as process:
        process.wait_for("opened")
        yield process


@pytest.fixture
def ended(tmp_path: Path) -> None:
    """The state of a process that is gone, with an open position."""
    with trading(tmp_path, *PAPER) as process:
        process.wait_for("opened")
        process.end()


def closes(tmp_path: Path) -> list[SignalClosed]:
    return [each for each in facts(tmp_path / "data") if isinstance(each, SignalClosed)]


def test_status_shows_who_trades_and_what_is_held(trader: Trader, tmp_path: Path) -> None:
    before = sorted(path for path in (tmp_path / "data").rglob("*") if path.is_file())
    told = status()
    assert told["processes"] == [
        {"mode": "paper", "pid": trader.process.pid, "host": os.uname().nodename, "is_running": True}
    ]
    (slot,) = told["slots"]
    assert (slot["mode"], slot["strategy"], slot["symbol"], slot["exchange"]) == (
        "paper",
        "holds",
        "BTCUSDT",
        "made-up",
    )
    assert (slot["state"], slot["side"], slot["order"], slot["paused"]) == ("active", "long", None, False)
    assert slot["stop_loss"] < slot["entry"] < slot["take_profit"]
    shown = call("status").stdout
    assert f"paper: process {trader.process.pid} trades" in shown
    assert "live: no process trades" in shown
    assert "│ paper │ holds" in shown
    assert sorted(path for path in (tmp_path / "data").rglob("*") if path.is_file()) == before


def test_status_tells_of_a_process_that_was_killed(trader: Trader) -> None:
    trader.process.kill()
    trader.process.wait(PATIENCE_SECONDS)
    assert f"paper: process {trader.process.pid} has ended without closing its state" in call("status").stdout
    assert status()["processes"][0]["is_running"] is False


def test_status_of_a_folder_where_nothing_was_traded_says_so_and_makes_nothing(tmp_path: Path) -> None:
    answer = call("status")
    assert (answer.exit_code, "nothing has been traded in ./data" in answer.stdout) == (0, False)
    assert "nothing has been traded in data" in answer.stdout
    assert list(tmp_path.iterdir()) == []


def test_close_leaves_the_position_at_the_next_candle_and_the_process_goes_on(trader: Trader, tmp_path: Path) -> None:
    answer = call("close", "--symbol", "BTCUSDT")
    assert (answer.exit_code, answer.stdout) == (0, "paper: holds on BTCUSDT: closes at the next candle\n")
    trader.wait_for("closed  ")
    (closed,) = closes(tmp_path)
    assert (closed.close_reason, closed.note) == ("closed", "closed by hand")
    assert trader.process.poll() is None
    answer = call("close")
    assert (answer.exit_code, answer.stdout) == (1, "paper: holds on BTCUSDT: nothing is open\n")


def test_stop_watches_what_is_open_to_its_end_and_then_the_process_ends(trader: Trader) -> None:
    answer = call("stop", "--strategy", "holds")
    assert answer.stdout == ("paper: holds on BTCUSDT: stopping: no new entries; what is open is watched to its end\n")
    time.sleep(1.0)
    assert trader.process.poll() is None
    call("close")
    assert trader.process.wait(PATIENCE_SECONDS) == 0
    assert "stopped; nothing is open" in trader.errors
    assert status()["processes"] == []


def test_a_pause_lasts_over_a_kill_until_it_is_taken_back(tmp_path: Path) -> None:
    with trading(tmp_path, *PAPER, source=QUICK) as trader:
        trader.wait_for("opened")
        assert "paused: no new entries" in call("pause").stdout
        assert call("pause").stdout == "paper: holds on BTCUSDT: was paused already\n"
        trader.process.kill()
    with trading(tmp_path, *PAPER, source=QUICK) as trader:
        trader.wait_for("paused: holds on BTCUSDT at made-up")
        call("close")
        until(lambda: closes(tmp_path))
        known = len(facts(tmp_path / "data"))
        time.sleep(1.0)
        assert len(facts(tmp_path / "data")) == known
        assert call("resume").stdout == "paper: holds on BTCUSDT: resumed\n"
        until(lambda: any(isinstance(each, SignalOpened) for each in facts(tmp_path / "data")[known:]))


def test_trading_that_a_program_has_started_takes_commands_too(tmp_path: Path) -> None:
    program = HOLDS + "\nfor event in bk.Live.run('BTCUSDT', paper=True):\n    pass\n"
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(SOURCE)}
    )
    try:
        until(lambda: status()["slots"])
        assert call("pause").stdout == (
            "paper: holds on BTCUSDT: paused: no new entries; what is open is watched to its end\n"
        )
        assert status()["slots"][0]["paused"] is True
    finally:
        process.kill()
        process.wait(PATIENCE_SECONDS)


@pytest.mark.usefixtures("ended")
def test_a_pause_that_nobody_hears_counts_from_the_next_start_on(tmp_path: Path) -> None:
    assert call("pause").stdout == "paper: pause is kept for the next start: holds on BTCUSDT\n"
    assert status()["slots"][0]["paused"] is False
    with trading(tmp_path, *PAPER):
        until(lambda: status()["slots"][0]["paused"])


@pytest.mark.usefixtures("ended")
@pytest.mark.parametrize("action", ["stop", "close"])
def test_what_means_a_running_process_is_not_kept_for_the_next(action: str, tmp_path: Path) -> None:
    answer = call(action)
    assert (answer.exit_code, answer.stderr) == (
        1,
        f"no process trades here (paper): there is nothing to {action}\n",
    )
    assert not (tmp_path / "data/control").exists()


def test_a_name_that_nothing_has_is_answered_with_the_likely_one(trader: Trader) -> None:
    for arguments, meant in ((("--symbol", "BTCUSD"), "'BTCUSDT'"), (("--strategy", "hold"), "'holds'")):
        answer = call("pause", *arguments)
        assert (answer.exit_code, f"did you mean {meant}?" in answer.stderr) == (2, True)
    trader.end()
    answer = call("pause", "--symbol", "BTCUSD")
    assert (answer.exit_code, "did you mean 'BTCUSDT'?" in answer.stderr) == (2, True)
    assert "did you mean 'paper'?" in call("pause", "--mode", "papr").stderr


def test_the_kill_switch_flattens_lasts_over_a_restart_and_is_released(trader: Trader, tmp_path: Path) -> None:
    assert "kill switch on: nothing is entered, and open positions are closed" in call("kill", "--flatten").stdout
    until(lambda: closes(tmp_path))
    assert (closes(tmp_path)[0].close_reason, closes(tmp_path)[0].note) == ("closed", "kill switch")
    trader.end()
    with trading(tmp_path, *PAPER, source=QUICK) as again:
        again.wait_for("the kill switch is on (flatten)")
        time.sleep(1.0)
        assert "opened" not in again.out
        assert call("kill", "--release").stdout == "kill switch released; it was flatten\n"
        again.wait_for("opened")
    assert call("kill", "--release").stdout == "the kill switch is not on\n"


def test_a_kill_switch_made_with_an_editor_stops_entries_and_leaves_what_is_open(tmp_path: Path) -> None:
    with trading(tmp_path, *PAPER, source=QUICK) as trader:
        trader.wait_for("opened")
        (tmp_path / "data/KILL").write_text("")
        assert "KILL SWITCH ON (stop-entries): nothing is entered." in call("status").stdout
        assert status()["kill_switch"] == "stop-entries"
        call("close")
        until(lambda: closes(tmp_path))
        known = len(facts(tmp_path / "data"))
        time.sleep(1.0)
        assert len(facts(tmp_path / "data")) == known


def test_options_of_kill_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    assert call("kill", "--flatten", "--release").exit_code == 2
    assert not (tmp_path / "data").exists()


# ---- the folder itself


@pytest.mark.parametrize(
    ("text", "says"), [("", "stop-entries"), ("please FLATTEN\n", "flatten"), ("stop", "stop-entries")]
)
def test_what_a_person_writes_into_the_switch_is_understood(text: str, says: str, tmp_path: Path) -> None:
    assert kill_switch(tmp_path) == ""
    (tmp_path / "KILL").write_text(text)
    assert kill_switch(tmp_path) == says


def test_a_switch_that_cannot_be_read_stops_entries(tmp_path: Path) -> None:
    (tmp_path / "KILL").mkdir()
    assert kill_switch(tmp_path) == "stop-entries"


def test_commands_wait_in_order_for_their_own_mode(tmp_path: Path) -> None:
    paper, live = ControlFolder(tmp_path, "paper"), ControlFolder(tmp_path, "live")
    numbers = [paper.send(Request("pause", "paper")), paper.send(Request("resume", "paper"))]
    live.send(Request("stop", "live"))
    assert [number for number, _ in paper.waiting()] == numbers
    assert [request.action for _, request in live.waiting()] == ["stop"]


def test_an_answer_is_fetched_once_and_ends_the_command(tmp_path: Path) -> None:
    control = ControlFolder(tmp_path, "paper")
    number = control.send(Request("pause", "paper"))
    assert control.fetch(number) is None
    control.answer(number, Answer(error="no"))
    assert control.waiting() == []
    assert control.fetch(number) == Answer(error="no")
    assert control.fetch(number) is None


def test_a_command_whose_time_is_over_is_not_carried_out(tmp_path: Path) -> None:
    control = ControlFolder(tmp_path, "paper")
    control.send(Request("close", "paper", good_until=int(time.time() * 1000) - 1))
    assert control.waiting() == []
    assert list((tmp_path / "control").iterdir()) == []


def test_a_command_that_cannot_be_read_is_answered_so(tmp_path: Path) -> None:
    control = ControlFolder(tmp_path, "paper")
    number = control.send(Request("close", "paper"))
    (tmp_path / f"control/{number}.paper.command").write_text('{"action": "explode"}')
    assert control.waiting() == []
    answer = control.fetch(number)
    assert answer is not None
    assert "cannot be read" in answer.error


def test_an_answer_that_nobody_fetches_is_removed_after_a_minute(tmp_path: Path) -> None:
    control = ControlFolder(tmp_path, "paper")
    control.answer("1-a", Answer())
    (path,) = (tmp_path / "control").iterdir()
    control.waiting()
    assert path.exists()
    os.utime(path, (time.time() - 61, time.time() - 61))
    control.waiting()
    assert not path.exists()
