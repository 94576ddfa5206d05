"""What a result writes: pages, pictures, tables, reports; whole or not at all, and the path in every error."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import backtest_kit as bk
from backtest_kit.app import default
from backtest_kit.reports.export import export
from backtest_kit.reports.files import file_name
from backtest_kit.reports.trades import Trade
from tests.unit.cli_calls import STRATEGY, call, isolated, started
from tests.worlds import SYMBOL, approx, at, flat, fresh_app, given, long, once, run, walk

PICTURES = ("overview", "candles", "equity", "months", "trades", "heat")


@pytest.fixture(autouse=True)
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with fresh_app(tmp_path):
        yield


def result(rows: int = 600, **settings: Any) -> bk.BacktestResult:
    given({"A": walk(rows, 1), "B": walk(rows, 2)}, frame=(10, rows - 10))

    @bk.strategy("s")
    def get_signal(symbol: str, when: int, price: float) -> bk.Signal:
        return bk.Signal.bracket("long", price, take_profit_percent=1, stop_loss_percent=1, minute_estimated_time=60)

    run(["A", "B"], **settings)
    return bk.Backtest.get_data()


WRITERS: dict[str, tuple[str, Callable[[bk.BacktestResult, Path], object]]] = {
    "html": ("x.html", lambda data, path: data.html(path)),
    "png": ("x.png", lambda data, path: data.plot(path, kind="equity")),
    "svg": ("x.svg", lambda data, path: data.plot(path, kind="months")),
    "csv": ("x.csv", lambda data, path: data.trades.to_csv(path)),
    "jsonl": ("x.jsonl", lambda data, path: data.events.to_jsonl(path)),
    "parquet": ("x.parquet", lambda data, path: data.equity.to_parquet(path)),
    "export": ("x.csv", lambda data, path: bk.export(data.events, path)),
    "backtest": ("x.md", lambda data, path: bk.Backtest.dump(path=path)),
    "heat": ("x.md", lambda data, path: bk.Heat.dump(path=path)),
    "walker": ("x.md", lambda data, path: bk.Walker.dump(path=path)),
}
every_writer = pytest.mark.parametrize(("name", "write"), WRITERS.values(), ids=WRITERS)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---- whole or not at all ---------------------------------------------------------------------------------------------


@every_writer
def test_a_file_is_made_with_its_folder(name: str, write: Any, tmp_path: Path) -> None:
    write(result(), tmp_path / "deep" / "er" / name)
    assert (tmp_path / "deep" / "er" / name).stat().st_size > 0
    assert not list(tmp_path.rglob(".*"))


@every_writer
def test_a_folder_that_cannot_be_is_named_and_nothing_is_left(name: str, write: Any, tmp_path: Path) -> None:
    data = result()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(bk.ConfigError) as caught:
        write(data, tmp_path / "file" / name)
    assert str(tmp_path / "file" / Path(name).stem) in str(caught.value)
    assert "cannot be written" in str(caught.value)
    assert files_of(tmp_path) == {"file": b"in the way"}


@every_writer
def test_a_folder_of_that_name_is_not_taken_for_a_file(name: str, write: Any, tmp_path: Path) -> None:
    data = result()
    (tmp_path / name).mkdir()
    with pytest.raises(bk.ConfigError, match=r"cannot be written: it is a folder"):
        write(data, tmp_path / name)


@every_writer
def test_on_a_full_disk_the_old_file_stays_and_no_rest_is_left(
    name: str, write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = result()
    (tmp_path / name).write_text("old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(bk.ConfigError, match=rf"{re.escape(str(tmp_path))}.*cannot be written: No space left"):
            write(data, tmp_path / name)
    assert files_of(tmp_path) == {name: b"old"}
    write(data, tmp_path / name)
    assert (tmp_path / name).read_bytes() != b"old"


@every_writer
def test_a_file_that_is_read_only_is_left_as_it_is(name: str, write: Any, tmp_path: Path) -> None:
    data = result()
    path = tmp_path / name
    path.write_text("mine")
    path.chmod(0o444)
    with pytest.raises(bk.ConfigError, match=rf"{name} cannot be written: it is read-only"):
        write(data, path)
    assert path.read_text() == "mine"
    assert stat.S_IMODE(path.stat().st_mode) == 0o444


@every_writer
def test_a_path_that_no_system_takes_is_refused_with_its_name(name: str, write: Any, tmp_path: Path) -> None:
    data = result()
    for wrong in ("nul\0", "x" * 300):
        with pytest.raises(bk.ConfigError, match="cannot be written"):
            write(data, tmp_path / (wrong + name))
    assert files_of(tmp_path) == {}


def test_an_ending_that_means_nothing_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    data = result()
    with pytest.raises(bk.ConfigError, match=r"x\.jpg: a picture is written as \.png or \.svg"):
        data.plot(tmp_path / "x.jpg")
    with pytest.raises(bk.ConfigError, match=r"x\.xls cannot be written: files end in \.csv, \.jsonl or \.parquet"):
        export(data.trades, tmp_path / "x.xls")
    assert files_of(tmp_path) == {}


# ---- the same in every form ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.parametrize("ending", ["png", "svg"])
def test_every_picture_can_be_written(kind: str, ending: str, tmp_path: Path) -> None:
    figure = result().plot(tmp_path / f"x.{ending}", kind=kind)
    head = (tmp_path / f"x.{ending}").read_bytes()[:200]
    assert head.startswith(b"\x89PNG") if ending == "png" else b"<?xml" in head
    assert figure.axes


def test_a_picture_that_there_is_not_says_which_was_meant() -> None:
    with pytest.raises(bk.UnknownNameError, match="did you mean 'equity'"):
        result().plot(kind="equty")


def test_rows_are_the_same_in_memory_in_files_and_in_data_frames(tmp_path: Path) -> None:
    import pandas as pd
    import polars as pl

    data = result()
    profits = [trade.pnl_percent for trade in data.trades]
    assert len(profits) > 10
    assert data.trades.to_pandas()["pnl_percent"].tolist() == profits
    assert data.trades.to_polars()["pnl_percent"].to_list() == profits
    lines = Path(data.trades.to_jsonl(tmp_path / "x.jsonl")).read_bytes().splitlines()
    assert tuple(msgspec.json.decode(line, type=Trade) for line in lines) == data.trades
    rows = csv.DictReader(io.StringIO(Path(data.trades.to_csv(tmp_path / "x.csv")).read_text("utf-8")))
    assert [float(row["pnl_percent"]) for row in rows] == profits
    path = data.trades.to_parquet(tmp_path / "x.parquet")
    assert pd.read_parquet(path)["pnl_percent"].tolist() == pl.read_parquet(path)["pnl_percent"].to_list() == profits
    assert bk.export(iter(data.trades), tmp_path / "y.csv").read_bytes() == (tmp_path / "x.csv").read_bytes()


def block_of(page: str) -> dict[str, Any]:
    """The data that the scripts of the page read."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def figures_of(report: str) -> dict[str, str]:
    """The figures of a markdown report by the names that they have there; the first of a name."""
    found: dict[str, str] = {}
    for line in report.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) >= 2:
            found.setdefault(cells[0], cells[1])
    return found


def test_every_face_of_a_result_states_the_same_numbers(tmp_path: Path) -> None:
    data = result(1500)
    table, page = figures_of(bk.Backtest.get_report()), data.to_html()
    block, heat = block_of(page), bk.Heat.get_data()
    assert data.total_trades == len(data.trades) == len(block["trades"]) == heat.portfolio.total_trades > 20
    assert table["Closed trades"] == str(len(data.trades))
    assert table["Win rate"] == f"{data.win_rate:.2f} %"
    assert table["Total profit (sum over trades)"] == f"{data.total_pnl:.4f} %"
    assert table["Final balance"] == f"{data.account.final_balance:.2f}"
    assert [row[8] for row in block["trades"]] == [round(trade.pnl_percent, 4) for trade in data.trades]
    assert block["curve"]["equity"][-1] == round(data.account.final_balance, 2) == round(data.equity[-1].equity, 2)
    assert data.account.final_balance == approx(10_000 + sum(trade.pnl_cost for trade in data.trades))
    assert data.account.max_drawdown == approx(max(point.drawdown for point in data.equity))
    assert sum(row.statistics.total_trades for row in heat.rows) == data.total_trades
    assert f"{data.account.final_balance:,.2f}" in data._repr_html_()
    orders = bk.Orders.get_data()
    assert orders.total == sum(len(trade.legs) for trade in data.trades)
    moments = bk.HighestProfit.get_data()
    assert moments.avg_percent == approx(data.statistics.avg_peak_pnl or 0.0)
    windows = bk.money_windows(data.trades, data.trades[-1].closed_at)
    assert windows.last_31_days.trades == data.total_trades
    assert windows.last_31_days.pnl_cost == approx(sum(trade.pnl_cost for trade in data.trades))


def test_without_the_optional_packages_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    data = result()
    for package, use in (
        ("pandas", data.trades.to_pandas),
        ("polars", data.trades.to_polars),
        ("pyarrow", lambda: data.trades.to_parquet("x.parquet")),
    ):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            with pytest.raises(bk.ConfigError, match=rf"{package}.*pip install 'backtest-kit\["):
                use()
    assert not Path("x.parquet").exists()


# ---- names of files --------------------------------------------------------------------------------------------------


def test_names_in_any_script_make_files_that_every_system_takes(tmp_path: Path) -> None:
    given({SYMBOL: flat(100)}, frame=(10, 50))
    name = "戦略" * 60
    bk.add_strategy(name, once(long(102, 98, 3)))
    run()
    path = bk.Backtest.dump()
    assert path.exists()
    assert len(path.name.encode()) <= 120
    assert path.name.startswith("戦略")


def test_long_names_that_begin_alike_have_files_of_their_own() -> None:
    names = {file_name(["s" * 90 + str(number)], ["BTCUSDT", "ETHUSDT"]) for number in range(20)}
    assert len(names) == 20
    assert all(len(name) <= 100 for name in names)
    assert file_name(["sma"], ["BTCUSDT"]) == "sma_BTCUSDT"


# ---- the command line ------------------------------------------------------------------------------------------------


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "up.py").write_text(STRATEGY)
    for _ in isolated(monkeypatch, tmp_path):
        yield tmp_path


def test_the_page_is_written_beside_the_report_also_with_json(command: Path) -> None:
    answer = call("backtest", "up.py", "--symbol", "BTCUSDT", "--html", "--json")
    told = json.loads(answer.stdout)
    assert list(told["paths"]) == ["report", "html", "trades"]
    block = block_of((command / told["paths"]["html"]).read_text("utf-8"))
    assert [row[8] for row in block["trades"]] == [round(trade["pnl_percent"], 4) for trade in told["trades"]]
    data = default.records[-1].result()
    assert told["statistics"]["total_pnl"] == data.total_pnl
    assert told["account"]["final_balance"] == data.account.final_balance
    figures = figures_of((command / told["paths"]["report"]).read_text("utf-8"))
    assert figures["Total profit (sum over trades)"] == f"{told['statistics']['total_pnl']:.4f} %"


def test_a_page_and_no_files_contradict_each_other(command: Path) -> None:
    answer = call("backtest", "up.py", "--symbol", "BTCUSDT", "--html", "--no-dump")
    assert answer.exit_code == 2
    assert "--no-dump" in answer.stderr
    assert not (command / "dump").exists()


@pytest.mark.parametrize("options", [(), ("--html",), ("--html", "--json")])
def test_a_folder_that_cannot_be_written_ends_the_command_with_its_name(
    options: tuple[str, ...], command: Path
) -> None:
    (command / "file").write_text("")
    answer = call("backtest", "up.py", "--symbol", "BTCUSDT", "--dump-folder", "file", *options)
    assert answer.exit_code == 2
    assert "file/backtest/up_BTCUSDT" in answer.stderr
    assert "cannot be written" in answer.stderr
    assert {path.name for path in command.iterdir()} - {"__pycache__"} == {"file", "up.py"}
    assert (command / "file").read_text() == ""


def test_a_terminal_that_knows_only_ascii_gets_table_and_json_all_the_same(
    command: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (command / "up.py").write_text(STRATEGY.replace('"up"', '"戦略 é"'))
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    monkeypatch.setenv("PYTHONUTF8", "0")
    for options in ((), ("--json",)):
        process = started("backtest", "up.py", "--symbol", "BTCUSDT", *options, folder=command)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        assert out.isascii()
    assert json.loads(out)["facts"]["strategy_names"] == ["戦略 é"]


def test_times_far_apart_and_together_are_drawn_and_listed(tmp_path: Path) -> None:
    data = result()
    year = 366 * 24 * 60 * 60_000
    spread = [
        msgspec.structs.replace(trade, opened_at=trade.opened_at + n // 3 * year, closed_at=at(600) + n // 3 * year)
        for n, trade in enumerate(data.trades[:18])
    ]
    facts = msgspec.structs.replace(data.facts, stop=at(700) + 5 * year, ended_at=None)
    run_of_years = bk.BacktestResult("Years", spread, facts)
    assert len(block_of(run_of_years.to_html())["trades"]) == 18
    assert np.isfinite(run_of_years.curve.equity).all()
    assert run_of_years.account.final_balance == approx(10_000 + sum(trade.pnl_cost for trade in spread))
