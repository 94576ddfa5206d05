"""`backtest-kit backtest FILE`: what it runs, what each option does, and what it prints and writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import backtest_kit as bk
from backtest_kit.core.events import SignalClosed
from tests.unit.cli_calls import STRATEGY, call, fresh_world, isolated


@pytest.fixture(autouse=True)
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    (tmp_path / "up.py").write_text(STRATEGY)
    yield from isolated(monkeypatch, tmp_path)


def as_json(*arguments: str) -> dict[str, Any]:
    fresh_world()
    answer = call("backtest", *arguments, "--json")
    assert answer.exit_code == 0, answer.stderr
    data: dict[str, Any] = json.loads(answer.stdout)
    return data


def test_the_only_strategy_exchange_and_frame_are_taken_without_being_named(tmp_path: Path) -> None:
    answer = call("backtest", "up.py", "--symbol", "BTCUSDT")
    assert (answer.exit_code, answer.stderr) == (0, "")
    assert "│ up       │ BTCUSDT │" in answer.stdout
    assert "report: dump/backtest/up_BTCUSDT.md" in answer.stdout
    assert (tmp_path / "dump/backtest/up_BTCUSDT.csv").is_file()


def test_json_holds_facts_statistics_trades_and_paths_and_nothing_else_is_on_standard_output() -> None:
    fresh_world()
    answer = call("backtest", "up.py", "--symbol", "BTCUSDT", "--symbol", "X", "--param", "loud=yes", "--json")
    data = json.loads(answer.stdout)
    judged = ["statistics", "account", "significance", "findings"]
    assert list(data) == ["outcome", "interrupted_at", "facts", *judged, "books", "trades", "paths"]
    assert list(data["books"][0]) == ["strategy_name", "symbol", *judged]
    assert (data["outcome"], data["interrupted_at"]) == ("finished", None)
    assert data["statistics"]["total_trades"] == len(data["trades"]) > 0
    assert [(book["strategy_name"], book["symbol"]) for book in data["books"]] == [("up", "BTCUSDT"), ("up", "X")]
    assert sum(book["statistics"]["total_trades"] for book in data["books"]) == len(data["trades"])
    assert data["facts"]["symbols"] == ["BTCUSDT", "X"]
    assert "asked float 2.0" in answer.stderr


def test_the_command_gives_the_same_trades_as_the_python_interface() -> None:
    told = as_json("up.py", "--symbol", "BTCUSDT")["trades"]
    closed = [each for each in bk.Backtest.run("BTCUSDT") if isinstance(each, SignalClosed)]
    assert [each["closed_at"] for each in told] == [each.time for each in closed]
    assert [each["pnl_percent"] for each in told] == [each.pnl.percent for each in closed]


def test_parameters_get_the_kind_of_their_defaults() -> None:
    answer = call("backtest", "up.py", "--symbol", "A", "--param", "take=3", "--param", "loud=on", "--param", "count=5")
    assert answer.exit_code == 0
    assert "asked float 3.0" in answer.stdout


def test_settings_are_written_as_in_the_environment_and_stated_in_the_result() -> None:
    settings = ("--set", "fee_percent=0", "--set", "MAX-SIGNAL-LIFETIME-MINUTES=none", "--set", "exit_rule=vwap")
    data = as_json("up.py", "--symbol", "BTCUSDT", *settings)
    expected = {"fee_percent": 0.0, "max_signal_lifetime_minutes": None, "exit_rule": "vwap"}
    assert data["facts"]["settings"] == expected


def test_the_env_file_beside_the_strategy_counts_before_that_of_the_working_folder_and_set_before_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("CC_FEE_PERCENT=0.5\n")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / ".env").write_text("CC_FEE_PERCENT=0.7\nCC_SLIPPAGE_PERCENT=0.2\n")
    monkeypatch.chdir(tmp_path / "work")
    of_files = as_json("../up.py", "--symbol", "BTCUSDT")["facts"]["settings"]
    assert of_files == {"fee_percent": 0.5, "slippage_percent": 0.2}
    over = as_json("../up.py", "--symbol", "BTCUSDT", "--set", "fee_percent=0.3")["facts"]["settings"]
    assert over == {"fee_percent": 0.3, "slippage_percent": 0.2}


@pytest.mark.parametrize(
    ("options", "first", "last"),
    [
        (("--from", "2024-02-01", "--to", "2024-02-03"), 1706745600000, 1706918400000),
        (("--from", "2024-01-03"), 1704240000000, 1704672000000),
        (("--frame", "week", "--to", "2024-01-02T12:30"), 1704067200000, 1704198600000),
    ],
)
def test_a_frame_is_made_for_one_run_from_two_times_or_from_one_and_a_frame(
    options: tuple[str, ...], first: int, last: int
) -> None:
    facts = as_json("up.py", "--symbol", "BTCUSDT", *options)["facts"]
    assert (facts["start"], facts["stop"]) == (first, last)


def test_several_strategies_run_in_one_run(tmp_path: Path) -> None:
    more = '\n@bk.strategy("never", interval="1h")\ndef never(symbol, when, price):\n    return None\n'
    (tmp_path / "two.py").write_text(STRATEGY + more)
    data = as_json("two.py", "--symbol", "BTCUSDT", "--strategy", "up", "--strategy", "never")
    assert [book["strategy_name"] for book in data["books"]] == ["up", "never"]


def test_without_symbols_all_of_an_exchange_that_has_few_are_run(tmp_path: Path) -> None:
    lines = "".join(f"{1704067200000 + k * 60000},10,10,10,10,1\n" for k in range(3000))
    for name in ("AAA", "BBB"):
        (tmp_path / f"{name}-1m.csv").write_text(lines)
    source = STRATEGY.replace("bk.DemoExchange(seed=1)", 'bk.FileExchange(".")').replace("2024-01-08", "2024-01-02")
    (tmp_path / "files.py").write_text(source)
    assert as_json("files.py")["facts"]["symbols"] == ["AAA", "BBB"]


def test_the_main_part_of_the_file_is_not_run_and_its_neighbours_can_be_imported(tmp_path: Path) -> None:
    (tmp_path / "levels.py").write_text("TAKE = 2.5\n")
    main = '\nif __name__ == "__main__":\n    raise AssertionError("run as a program")\n'
    source = STRATEGY.replace("bk.Param(2.0", "bk.Param(levels.TAKE") + main
    (tmp_path / "near.py").write_text("import levels\n" + source)
    assert call("backtest", "near.py", "--symbol", "BTCUSDT").exit_code == 0


def test_a_file_with_the_name_of_a_known_module_does_not_push_that_aside(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text(STRATEGY)
    assert as_json("json.py", "--symbol", "BTCUSDT")["trades"]
    assert json.dumps(1) == "1"


def test_no_dump_writes_nothing_and_dump_folder_elsewhere(tmp_path: Path) -> None:
    assert as_json("up.py", "--symbol", "BTCUSDT", "--no-dump")["paths"] == {}
    assert not (tmp_path / "dump").exists()
    paths = as_json("up.py", "--symbol", "BTCUSDT", "--dump-folder", "out")["paths"]
    assert paths == {"report": "out/backtest/up_BTCUSDT.md", "trades": "out/backtest/up_BTCUSDT.csv"}
    assert (tmp_path / "out/backtest/up_BTCUSDT.md").is_file()


def test_no_cache_keeps_no_candles_on_disk(tmp_path: Path) -> None:
    fetch = """
def fetch(symbol, interval, since, limit):
    return [[since + k * 60_000, 10.0, 11.0, 9.0, 10.0, 1.0] for k in range(limit)]
"""
    source = fetch + STRATEGY.replace("bk.DemoExchange(seed=1)", 'fetch, intervals=["1m"], cache=True')
    (tmp_path / "fetched.py").write_text(source.replace("2024-01-08", "2024-01-02"))
    as_json("fetched.py", "--symbol", "A", "--no-cache")
    assert not (tmp_path / "data").exists()
    as_json("fetched.py", "--symbol", "A")
    assert (tmp_path / "data" / "candles").is_dir()


def test_without_trades_the_table_says_so(tmp_path: Path) -> None:
    (tmp_path / "none.py").write_text(STRATEGY.replace("candles.close[-1] > candles.close.mean()", "False"))
    answer = call("backtest", "none.py", "--symbol", "BTCUSDT")
    assert answer.exit_code == 0
    assert "No trades were closed. Of 169 decisions 169 gave no signal." in answer.stdout


def test_names_of_strategies_are_shown_as_they_are_and_not_taken_for_markup(tmp_path: Path) -> None:
    (tmp_path / "red.py").write_text(STRATEGY.replace('"up"', '"[red]up"'))
    assert "[red]up" in call("backtest", "red.py", "--symbol", "BTCUSDT").stdout


def test_errors_of_user_code_that_the_run_survives_are_told_once_with_their_line_and_counted(tmp_path: Path) -> None:
    listener = '\n@bk.listen_signal_opened\ndef tell(event):\n    raise KeyError("gone")\n'
    (tmp_path / "loud.py").write_text(STRATEGY + listener)
    answer = call("backtest", "loud.py", "--symbol", "BTCUSDT")
    assert answer.exit_code == 0
    assert answer.stderr.count("warning: listener tell: KeyError: 'gone'") == 1
    assert 'in tell\n    raise KeyError("gone")\n' in answer.stderr
    assert "errors of user code that did not end the run: " in answer.stdout


def test_no_progress_bar_is_drawn_where_there_is_no_terminal() -> None:
    assert "\x1b" not in call("backtest", "up.py", "--symbol", "BTCUSDT").output


def test_the_help_names_the_commands_and_every_option() -> None:
    assert {"demo", "backtest"} <= set(call("--help").stdout.split())
    text = call("backtest", "--help").stdout
    options = "--symbol --strategy --exchange --frame --from --to --param --set --no-cache --json --verbose"
    assert all(option in text for option in f"{options} --dump-folder --no-dump".split())


def test_the_version_is_that_of_the_package() -> None:
    assert call("--version").stdout == f"backtest-kit {bk.__version__}\n"
