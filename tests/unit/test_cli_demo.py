"""`backtest-kit demo` works offline, gives the same result every time, and leaves a report and trades."""

from __future__ import annotations

import csv
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli_calls import call, fresh_world, isolated

NAME = "trend-follower-mean-reversion_BTCUSDT-ETHUSDT-SOLUSDT"


@pytest.fixture(autouse=True)
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    yield from isolated(monkeypatch, tmp_path)


def as_json(*arguments: str) -> dict[str, Any]:
    fresh_world()
    answer = call("demo", "--json", *arguments)
    assert (answer.exit_code, answer.stderr) == (0, "")
    data: dict[str, Any] = json.loads(answer.stdout)
    del data["facts"]["duration_seconds"]
    return data


def test_the_demo_prints_a_row_for_each_strategy_and_symbol_and_writes_report_and_trades(tmp_path: Path) -> None:
    answer = call("demo")
    assert answer.exit_code == 0
    rows = [line.split("│") for line in answer.stdout.splitlines() if line.startswith("│")]
    assert [(row[1].strip(), row[2].strip()) for row in rows] == [
        *(
            (strategy, symbol)
            for strategy in ("trend-follower", "mean-reversion")
            for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT")
        ),
        ("all", ""),
    ]
    counts = [int(row[3]) for row in rows]
    assert sum(counts[:-1]) == counts[-1]
    assert min(counts) > 0
    report = tmp_path / "dump" / "backtest" / f"{NAME}.md"
    assert f"report: dump/backtest/{NAME}.md\ntrades: dump/backtest/{NAME}.csv\n" in answer.stdout
    assert f"| Closed trades | {counts[-1]} |" in report.read_text()
    with report.with_suffix(".csv").open() as file:
        assert len(list(csv.DictReader(file))) == counts[-1]
    assert sorted(each.name for each in report.parent.iterdir()) == [f"{NAME}.csv", f"{NAME}.md"]


def test_the_demo_says_that_its_market_is_made_up_and_what_to_do_next() -> None:
    answer = call("demo", "--days", "3")
    assert "the numbers say nothing about a real market" in answer.stdout
    assert "backtest-kit backtest my_strategy.py" in answer.stdout


def test_the_same_seed_gives_the_same_trades_and_another_seed_others() -> None:
    first, again, other = (as_json("--days", "20", "--seed", seed) for seed in ("7", "7", "8"))
    assert first == again
    assert first["trades"]
    assert first["trades"] != other["trades"]


def test_the_demo_asks_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("the demo wants to talk to somebody")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    assert call("demo", "--days", "2").exit_code == 0


def test_symbols_and_folder_of_the_demo_are_chosen_by_options(tmp_path: Path) -> None:
    data = as_json("--days", "5", "--symbol", "PEPEUSDT", "--out", str(tmp_path / "elsewhere"))
    paths = data["paths"]
    assert paths["report"] == str(tmp_path / "elsewhere/backtest/trend-follower-mean-reversion_PEPEUSDT.md")
    assert all(Path(each).is_file() for each in paths.values())
    assert not (tmp_path / "dump").exists()


@pytest.mark.parametrize("arguments", [("--days", "0"), ("--days", "x"), ("--seed", "-1"), ("--dayz", "3")])
def test_wrong_options_of_the_demo_are_wrong_use(arguments: tuple[str, ...]) -> None:
    answer = call("demo", *arguments)
    assert answer.exit_code == 2
    assert arguments[0] in answer.stderr
