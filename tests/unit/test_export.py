"""Exports: every format holds every value, text can do no harm, a file is there as a whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from backtest_kit.core.events import ActivePing, BookEvent, Committed, Event
from backtest_kit.core.values import MINUTE, NEVER
from backtest_kit.engine.notices import Failure, Performance
from backtest_kit.errors import ConfigError
from backtest_kit.reports.encoders import CSV_FIELDS, csv_pieces, json_line, parquet_pieces, trades_csv
from backtest_kit.reports.export import export
from backtest_kit.reports.files import write_whole
from backtest_kit.reports.flat import BOOK_EVENTS, laid_out
from backtest_kit.reports.rows import Rows
from backtest_kit.reports.trades import Trade
from benchmarks import export as benchmark
from tests.unit.sample_events import EVENTS, LATER, SOURCE, START, many_events, trade

FORMATS = ("csv", "jsonl", "parquet")


class Price(Struct, frozen=True):
    price: float


class Spread(Struct, frozen=True):
    bid: Price
    ask: Price


def table(rows, kind: type | None = None) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(b"".join(csv_pieces(rows, kind)).decode(), newline="")))


def test_the_samples_hold_every_kind_of_event() -> None:
    assert {type(event) for event in EVENTS} == set(BOOK_EVENTS)


def test_csv_holds_every_field_of_every_trade_with_all_digits() -> None:
    rows = list(csv.DictReader(io.StringIO(trades_csv([trade(), trade(peak_pnl_percent=0.1, ambiguous=True)]))))
    assert tuple(rows[0]) == CSV_FIELDS
    assert set(CSV_FIELDS) == {*Trade.__struct_fields__, "duration_minutes"} - {"legs", "milestones"}
    assert rows[0]["opened_at"] == "2024-01-01T00:00:00Z"
    assert rows[0]["pnl_percent"] == "1.23456789"
    assert rows[0]["price_close"] == "1.234567e-05"
    assert rows[0]["duration_minutes"] == "90.0"
    assert (rows[0]["peak_pnl_percent"], rows[1]["peak_pnl_percent"]) == ("", "0.1")
    assert (rows[0]["ambiguous"], rows[1]["ambiguous"]) == ("false", "true")


def test_csv_of_no_trades_is_its_heading() -> None:
    assert trades_csv([]) == ",".join(CSV_FIELDS) + "\n"


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "  =1",
        "\t1",
        "\r1",
        "\n1",
        "\u00a0=1",
        "\ufeff=1",
        "\x00=1",
        "＝1",
    ],
)
def test_csv_text_that_looks_like_a_formula_gets_an_apostrophe(text: str) -> None:
    (row,) = table([trade(note=text)])
    assert row["note"] == "'" + text.replace("\r", "\n").replace("\x00", "")


@given(text=st.text(st.sampled_from("=+-@\t\r\n \x00\x0b\u200ba1,;\"'\ud800")))
def test_no_csv_text_begins_a_formula_or_another_row(text: str) -> None:
    (row,) = table([trade(note=text, symbol=text)])
    assert row["note"] == row["symbol"]
    assert not row["note"].lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


@pytest.mark.parametrize("text", ["plain", "a=b", "1-2", "mail@home", "'quoted", "", "Ünïcode ₿"])
def test_csv_text_that_is_no_formula_is_left_alone(text: str) -> None:
    assert table([trade(note=text)])[0]["note"] == text


def test_csv_numbers_below_zero_stay_numbers() -> None:
    assert float(table([trade(pnl_percent=-1.5)])[0]["pnl_percent"]) == -1.5


def test_csv_keeps_notes_of_several_lines_with_quotes_and_commas() -> None:
    note = 'first, "second"\nthird'
    assert table([trade(note=note)])[0]["note"] == note


def test_events_of_all_kinds_share_one_table() -> None:
    rows = table(EVENTS)
    assert [row["action"] for row in rows] == [event.action for event in EVENTS]
    assert {row["symbol"] for row in rows} == {"BTCUSDT"}
    by_action = {row["action"]: row for row in rows}
    closed, invalid = by_action["closed"], by_action["invalid"]
    assert (closed["position"], closed["signal_id"], closed["close_reason"]) == ("long", "s-1", "stop_loss")
    assert (closed["cost"], closed["entries"], closed["partials"]) == ("150.0", "2", "1")
    assert (closed["time"], closed["opened_at"]) == ("2024-01-01T00:03:00Z", "2024-01-01T00:00:00Z")
    assert float(closed["pnl_percent"]) < 0 < float(closed["pnl_percent_if_ambiguous"])
    assert invalid["reasons"] == "stop above entry; take below entry"
    assert by_action["idle"]["signal_id"] == ""
    assert by_action["active"]["pnl_percent"] != ""


def test_a_row_has_the_same_cells_alone_and_among_others() -> None:
    sheet, rows = laid_out([*EVENTS, *EVENTS[::-1]])
    alone = [sheet.cells(row) for row in rows]
    assert [list(cells) for cells in zip(*sheet.columns(rows), strict=True)] == alone
    assert alone[: len(EVENTS)] == alone[: len(EVENTS) - 1 : -1]


def test_the_columns_of_events_do_not_depend_on_which_of_them_happened() -> None:
    assert list(table(EVENTS[:1])[0]) == list(table(iter(EVENTS))[0]) == list(table(EVENTS)[0])


def test_the_signal_of_a_commit_is_read_where_there_is_no_position() -> None:
    committed = next(event for event in EVENTS if isinstance(event, Committed))
    assert committed.position is not None
    with_position, with_signal, with_none = table(
        [
            committed,
            replace(committed, position=None, signal=committed.position.signal),
            replace(committed, position=None),
        ]
    )
    assert with_position["signal_id"] == with_signal["signal_id"] == "s-1"
    assert (with_position["entries"], with_signal["entries"], with_none["signal_id"]) == ("2", "", "")


def test_a_time_that_no_calendar_has_is_a_missing_value() -> None:
    active = next(event for event in EVENTS if isinstance(event, ActivePing))
    endless = replace(active, position=replace(active.position, expires_at=NEVER))
    assert table([endless])[0]["expires_at"] == ""
    assert table([replace(active, time=LATER + 7)])[0]["time"] == "2024-01-01T00:03:00.007Z"
    assert table([trade(opened_at=-MINUTE)])[0]["opened_at"] == "1969-12-31T23:59:00Z"


def test_json_lines_are_read_back_as_the_events_they_were(tmp_path: Path) -> None:
    path = export(EVENTS, tmp_path / "events.jsonl")
    lines = path.read_bytes().splitlines()
    assert [msgspec.json.decode(line, type=BookEvent) for line in lines] == list(EVENTS)


def test_json_lines_hold_a_trade_with_its_orders() -> None:
    assert msgspec.json.decode(json_line(trade()), type=Trade) == trade()


def test_json_lines_take_texts_numbers_and_errors_that_json_has_no_form_for() -> None:
    odd = json.loads(json_line(trade(note="a\ud800b", cost=np.float64(2.5), entries=np.int64(3), fees=float("nan"))))
    assert (odd["note"], odd["cost"], odd["entries"], odd["fees"]) == ("a?b", 2.5, 3, None)
    failure = json.loads(json_line(Failure(SOURCE, START, ValueError("\ud800"), "get_signal")))
    assert (failure["action"], failure["error"]) == ("error", "ValueError: ?")


def test_parquet_is_typed_also_when_the_first_thousands_of_rows_lack_a_value(tmp_path: Path) -> None:
    rows = [*[EVENTS[0]] * 2500, *EVENTS]
    found = pq.read_table(export(rows, tmp_path / "events.parquet"))
    types = {field.name: str(field.type) for field in found.schema}
    assert types["time"] == types["opened_at"] == "timestamp[ms, tz=UTC]"
    assert (types["pnl_percent"], types["level"], types["accepted"]) == ("double", "int64", "bool")
    assert types["reasons"] == types["signal_note"] == "string"
    assert found.num_rows == 2500 + len(EVENTS)
    assert [level for level in found["level"].to_pylist() if level is not None] == [30, 20]


def test_parquet_and_csv_hold_the_same_values(tmp_path: Path) -> None:
    trades = [trade(pnl_percent=-1.5, note="=1"), trade(peak_at=START)]
    as_parquet = pl.read_parquet(export(trades, tmp_path / "t.parquet")).to_dicts()
    as_csv = table(trades)
    assert [row["note"] for row in as_parquet] == ["=1", ""]
    assert [float(row["pnl_percent"]) for row in as_csv] == [row["pnl_percent"] for row in as_parquet]
    assert [row["peak_at"] and row["peak_at"].isoformat() for row in as_parquet] == [None, "2024-01-01T00:00:00+00:00"]


@pytest.mark.parametrize("ending", FORMATS)
def test_no_rows_at_all_make_a_file_that_can_be_read(tmp_path: Path, ending: str) -> None:
    nothing = export(iter(()), tmp_path / f"nothing.{ending}")
    empty = export(Rows((), Trade), tmp_path / f"empty.{ending}")
    if ending == "parquet":
        assert pq.read_table(nothing).num_rows == 0
        assert tuple(pq.read_table(empty).column_names) == CSV_FIELDS
    else:
        assert nothing.read_text() == ""
        assert empty.read_text() == (",".join(CSV_FIELDS) + "\n" if ending == "csv" else "")


def test_the_format_is_told_by_the_ending_or_by_name(tmp_path: Path) -> None:
    expected = trades_csv([trade()])
    assert export([trade()], tmp_path / "a.CSV").read_text() == expected
    assert export([trade()], str(tmp_path / "a.txt"), format="csv").read_text() == expected


@pytest.mark.parametrize("name", ["trades.xlsx", "trades", "trades.csv.gz"])
def test_another_ending_is_refused_with_those_that_are_known(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"files end in \.csv, \.jsonl or \.parquet") as caught:
        export([trade()], tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_rows_of_a_kind_with_other_columns_are_not_cut_short() -> None:
    with pytest.raises(ConfigError, match="a Performance among the rows has the columns metric, duration_ms, count"):
        table(iter([EVENTS[0], Performance(SOURCE, START, "tick", 1.5)]))
    rows = table([EVENTS[0], Performance(SOURCE, START, "tick", 1.5)])
    assert [row["metric"] for row in rows] == ["", "tick"]


@pytest.mark.parametrize("ending", FORMATS)
def test_values_without_fields_are_refused(tmp_path: Path, ending: str) -> None:
    with pytest.raises(ConfigError, match="a dict has none"):
        export([{"a": 1}], tmp_path / f"x.{ending}")  # type: ignore[list-item]
    assert list(tmp_path.iterdir()) == []


def test_fields_of_two_values_that_share_a_name_get_the_names_of_their_owners() -> None:
    assert table([Spread(Price(1.0), Price(2.0))]) == [{"price": "1.0", "ask_price": "2.0"}]


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("error", [RuntimeError("source"), KeyboardInterrupt(), OSError("source")])
def test_an_export_that_is_interrupted_leaves_the_old_file_and_nothing_else(tmp_path: Path, ending, error) -> None:
    path = tmp_path / f"events.{ending}"
    path.write_text("old")

    def breaking() -> Iterator[Event]:
        yield from many_events(5000)
        raise error

    with pytest.raises(type(error)) as caught:
        export(breaking(), path)
    assert caught.value is error
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "old"


def test_an_export_makes_its_folder_and_replaces_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "trades.csv"
    for count in (2, 1):
        assert export([trade()] * count, path) == path
    assert len(path.read_text().splitlines()) == 2
    assert [each.name for each in path.parent.iterdir()] == ["trades.csv"]


def test_a_path_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.csv").mkdir()
    for path in (tmp_path / "file" / "trades.csv", tmp_path / "folder.csv", tmp_path / ("x" * 300 + ".csv")):
        with pytest.raises(ConfigError, match="cannot be written") as caught:
            export([trade()], path)
        assert str(path) in str(caught.value)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder.csv"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_device_is_no_place_for_a_file() -> None:
    with pytest.raises(ConfigError, match=r"/dev/full cannot be written: it is no plain file"):
        write_whole("/dev/full", [b"x"])


def test_a_link_stays_a_link_to_the_file_that_is_written(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    export([trade()], tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text() == trades_csv([trade()])


def test_parquet_without_its_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"parquet needs pyarrow.*backtest-kit\[dataframes\]"):
        export([trade()], tmp_path / "t.parquet")
    assert list(tmp_path.iterdir()) == []


def peak_bytes(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("ending", "count"), [("csv", 40_000), ("jsonl", 200_000), ("parquet", 100_000)])
def test_the_memory_of_an_export_does_not_grow_with_its_rows(tmp_path: Path, ending: str, count: int) -> None:
    export(many_events(1000), tmp_path / f"first.{ending}")  # imports, caches
    some = [*many_events(3000)]
    path = tmp_path / f"many.{ending}"
    peak = peak_bytes(lambda: export((some[i % 3000] for i in range(count)), path))
    assert peak < 12e6
    assert path.stat().st_size > 1e5


def test_pieces_of_parquet_come_while_rows_are_read() -> None:
    read = 0

    def counted() -> Iterator[Event]:
        nonlocal read
        for event in many_events(70_000):
            read += 1
            yield event

    pieces = parquet_pieces(counted())
    assert len(next(pieces)) > 1000
    assert read == 32_000


def test_the_benchmark_measures_every_format_and_keeps_no_file(tmp_path: Path) -> None:
    rows = [row for each in FORMATS for row in benchmark.measure(each, 500, tmp_path)]
    assert {row.case for row in rows} == {f"export-{each}" for each in FORMATS}
    assert all(row.value > 0 for row in rows if row.unit == benchmark.SPEED)
    assert list(tmp_path.iterdir()) == []
