"""Rows: a tuple that stays one, and becomes a DataFrame, records, a file or a table in a notebook."""

from __future__ import annotations

import pickle
import sys
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

from backtest_kit.core.events import Event
from backtest_kit.core.position import Profit
from backtest_kit.errors import ConfigError
from backtest_kit.reports.encoders import CSV_FIELDS, trades_csv
from backtest_kit.reports.pooled import heat
from backtest_kit.reports.rows import MAX_SHOWN, Rows
from backtest_kit.reports.trades import Trade
from tests.unit.sample_events import EVENTS, HOSTILE, LATER, START, trade

TRADES = Rows([trade(), trade(peak_pnl_percent=0.5, peak_at=LATER, ambiguous=True, entries=2)], Trade)
FACTS = Rows(EVENTS, Event)
TYPES = {
    "symbol": ("string", pl.String),
    "opened_at": ("datetime64[ms, UTC]", pl.Datetime("ms", "UTC")),
    "peak_at": ("datetime64[ms, UTC]", pl.Datetime("ms", "UTC")),
    "pnl_percent": ("float64", pl.Float64),
    "peak_pnl_percent": ("float64", pl.Float64),
    "entries": ("int64", pl.Int64),
    "ambiguous": ("bool", pl.Boolean),
}


def test_rows_are_the_tuple_of_their_values() -> None:
    assert (trade(), TRADES[1]) == TRADES
    assert isinstance(TRADES, tuple)
    assert TRADES[0] == trade()
    assert Rows(iter(EVENTS)) == EVENTS


def test_slices_and_sums_stay_rows_of_their_kind() -> None:
    more = [TRADES[:1], TRADES + TRADES, TRADES + (trade(),), (trade(),) + TRADES, TRADES[5:]]  # noqa: RUF005
    assert [type(each) for each in more] == [Rows] * 5
    assert [len(each) for each in more] == [1, 4, 3, 3, 0]
    assert {each.kind for each in more} == {Trade}
    with pytest.raises(TypeError):
        TRADES + [trade()]  # noqa: RUF005


def test_rows_can_be_sent_to_another_process() -> None:
    copy = pickle.loads(pickle.dumps(TRADES))
    assert copy == TRADES
    assert (type(copy), copy.kind) == (Rows, Trade)


def test_a_short_text_says_what_they_are() -> None:
    assert repr(TRADES) == "Rows(2 of Trade)"
    assert repr(Rows([EVENTS[0]])) == "Rows(1 of IdlePing)"
    assert repr(Rows()) == "Rows(0)"


def test_a_pandas_frame_has_typed_columns() -> None:
    frame = TRADES.to_pandas()
    assert tuple(frame.columns) == CSV_FIELDS
    assert {name: str(frame[name].dtype) for name in TYPES} == {name: each for name, (each, _) in TYPES.items()}
    assert frame["opened_at"][0] == pd.Timestamp("2024-01-01", tz="UTC")
    assert list(frame["peak_at"].isna()) == list(frame["peak_pnl_percent"].isna()) == [True, False]
    assert frame["pnl_percent"].sum() == pytest.approx(2 * 1.23456789)


def test_a_polars_frame_has_typed_columns() -> None:
    frame = TRADES.to_polars()
    assert tuple(frame.columns) == CSV_FIELDS
    assert {name: frame.schema[name] for name in TYPES} == {name: each for name, (_, each) in TYPES.items()}
    assert frame["opened_at"][0] == datetime(2024, 1, 1, tzinfo=UTC)
    assert frame["peak_at"].is_null().to_list() == [True, False]


def test_events_of_all_kinds_make_one_frame_with_missing_values() -> None:
    frame, other = FACTS.to_pandas(), FACTS.to_polars()
    assert list(frame["action"]) == other["action"].to_list() == [event.action for event in EVENTS]
    assert set(frame["symbol"]) == {"BTCUSDT"}
    assert str(frame["level"].dtype) == "Int64"
    assert str(frame["accepted"].dtype) == "boolean"
    assert frame["level"].dropna().tolist() == other["level"].drop_nulls().to_list() == [30, 20]
    assert frame[frame["action"] == "closed"]["close_reason"].tolist() == ["stop_loss"]
    assert pd.isna(frame["opened_at"][0])
    assert frame["opened_at"][4] == pd.Timestamp("2024-01-01", tz="UTC")


def test_no_rows_still_have_the_columns_of_their_kind() -> None:
    for empty, names in ((Rows((), Trade), CSV_FIELDS), (Rows((), Event), tuple(FACTS.to_pandas().columns))):
        assert tuple(empty.to_pandas().columns) == tuple(empty.to_polars().columns) == names
        assert str(empty.to_pandas()["symbol"].dtype) == "string"
        assert empty.to_dicts() == []
    assert (len(Rows().to_pandas()), Rows().to_csv()) == (0, "")


def test_records_have_times_as_moments_and_nothing_for_what_is_missing() -> None:
    record = TRADES.to_dicts()[0]
    assert tuple(record) == CSV_FIELDS
    assert record["opened_at"] == datetime(2024, 1, 1, tzinfo=UTC)
    assert record["peak_at"] is None
    assert (record["symbol"], record["ambiguous"], record["entries"]) == ("BTCUSDT", False, 1)


def test_statistics_of_symbols_become_a_frame_too() -> None:
    frame = Rows(heat(TRADES).symbols).to_pandas()
    assert frame["symbol"].tolist() == ["BTCUSDT"]
    assert frame["total_trades"].tolist() == [2]
    assert frame["sharpe_ratio"].isna().all()


def test_a_frame_is_of_pandas_else_of_polars_else_records(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(TRADES.frame(), pd.DataFrame)
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert isinstance(TRADES.frame(), pl.DataFrame)
    monkeypatch.setitem(sys.modules, "polars", None)
    assert TRADES.frame() == TRADES.to_dicts()


def test_rows_that_cannot_be_laid_out_raise_also_where_another_frame_would_do() -> None:
    with pytest.raises(ConfigError, match="a str has none"):
        Rows(["text"]).frame()  # type: ignore[type-var]


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_a_missing_package_is_named_with_the_extra(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"needs {package}.*backtest-kit\[dataframes\]"):
        getattr(TRADES, f"to_{package}")()


def test_text_or_a_file_is_made_of_them(tmp_path: Path) -> None:
    assert TRADES.to_csv() == trades_csv(TRADES)
    assert TRADES.to_csv(tmp_path / "t.csv") == tmp_path / "t.csv"
    assert (tmp_path / "t.csv").read_text() == TRADES.to_csv()
    assert FACTS.to_jsonl(tmp_path / "e.jsonl") == tmp_path / "e.jsonl"
    assert (tmp_path / "e.jsonl").read_text() == FACTS.to_jsonl()
    frame = pd.read_parquet(TRADES.to_parquet(tmp_path / "t.parquet"))
    assert tuple(frame.columns) == CSV_FIELDS


class Tags(HTMLParser):
    """Counts the elements of a page, and collects its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[str, int] = {}
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert attrs == []
        self.found[tag] = self.found.get(tag, 0) + 1

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def test_in_a_notebook_text_of_others_stays_text() -> None:
    page = Tags(Rows([trade(note=HOSTILE, symbol='"&<b>', strategy_name="x" * 500)])._repr_html_())
    assert set(page.found) == {"table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert HOSTILE in page.text
    assert '"&<b>' in page.text
    assert "x" * 199 + "…" in page.text
    assert "N/A" in page.text
    assert "2024-01-01T00:00:00Z" in page.text


def test_a_notebook_shows_the_last_rows_and_says_so() -> None:
    rows = Rows([trade(entries=number) for number in range(1, 1001)])
    page = Tags(rows._repr_html_())
    assert page.found["tr"] == 1 + MAX_SHOWN
    assert "the last 250 of 1,000 rows" in page.text
    assert " 1000 " in page.text
    assert " 750 " not in page.text
    assert Tags(Rows((), Trade)._repr_html_()).found["th"] == len(CSV_FIELDS)


def test_a_number_that_is_not_finite_does_not_stop_a_table() -> None:
    rows = Rows([Profit(float("nan"), float("inf"), 1.0, 1.0, 1.0)])
    assert "nan" in rows._repr_html_()
    assert rows.to_pandas()["cost"].tolist() == rows.to_polars()["cost"].to_list() == [float("inf")]


def test_times_in_frames_are_those_of_the_rows() -> None:
    assert FACTS.to_polars()["time"].dt.epoch("ms").to_list() == [event.time for event in EVENTS]
    assert FACTS.to_pandas()["time"].min() == pd.Timestamp(START, unit="ms", tz="UTC")
