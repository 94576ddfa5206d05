"""Tables in every shape and stamps in every form, read into the same candles or refused with a reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest

from backtest_kit.core.candles import Candle
from backtest_kit.core.rows import rows_of
from backtest_kit.core.stamps import RowError, iso, milliseconds
from backtest_kit.core.values import MINUTE, Interval
from backtest_kit.errors import DataError
from backtest_kit.exchanges.rows import candles_of

START = 1_704_067_200_000
STAMPS = [START + k * MINUTE for k in range(3)]
VALUES = [
    [100.0, 102.0, 99.0, 101.0, 5.0],
    [101.0, 103.0, 100.0, 102.0, 6.0],
    [102.0, 104.0, 101.0, 103.0, 7.0],
]
ROWS = [[t, *values] for t, values in zip(STAMPS, VALUES, strict=True)]
MOMENTS = [datetime(2024, 1, 1, 0, k, tzinfo=UTC) for k in range(3)]
COLUMNS = {name: [row[k] for row in VALUES] for k, name in enumerate(("open", "high", "low", "close", "volume"))}


def fields():
    kinds = [("Time", "i8"), *((name, "f8") for name in COLUMNS)]
    return np.array([tuple(row) for row in ROWS], dtype=kinds)


SHAPES = {
    "rows": ROWS,
    "tuples": tuple(map(tuple, ROWS)),
    "rows with more cells than six": [[*row, "ignored", 0] for row in ROWS],
    "rows of texts": [[row[0], *map(str, row[1:])] for row in ROWS],
    "decimals": [[row[0], *(Decimal(str(each)) for each in row[1:])] for row in ROWS],
    "mappings": [
        {"Open time": row[0], "o": row[1], "H": row[2], "low": row[3], "Close": row[4], "vol": row[5]} for row in ROWS
    ],
    "candles": [Candle(t, *values) for t, values in zip(STAMPS, VALUES, strict=True)],
    "array": np.array(ROWS),
    "array of kline width": np.array([[*row, 0, 0, 0, 0, 0, 0] for row in ROWS]),
    "fields": fields(),
    "columns": {"timestamp": STAMPS, **COLUMNS},
    "columns of arrays": {
        "TIME": np.array(STAMPS),
        **{name.upper(): np.array(each) for name, each in COLUMNS.items()},
    },
    "pandas with a column": pd.DataFrame({"Date": MOMENTS, **COLUMNS}),
    "pandas with an index": pd.DataFrame(COLUMNS, index=pd.DatetimeIndex(MOMENTS)),
    "pandas with a naive index": pd.DataFrame(
        COLUMNS, index=pd.DatetimeIndex([each.replace(tzinfo=None) for each in MOMENTS])
    ),
    "pandas with a named index": pd.DataFrame(COLUMNS, index=pd.Index(STAMPS, name="timestamp")),
    "pandas in another zone": pd.DataFrame({"time": pd.Series(MOMENTS).dt.tz_convert("Asia/Tokyo"), **COLUMNS}),
    "pandas of texts": pd.DataFrame({"time": [each.isoformat() for each in MOMENTS], **COLUMNS}),
    "polars": pl.DataFrame({"datetime": MOMENTS, **COLUMNS}),
    "polars of numbers": pl.DataFrame({"ts": STAMPS, **COLUMNS}),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_the_same_candles(shape):
    candles = candles_of(SHAPES[shape], "BTCUSDT")
    assert candles.interval is Interval.M1
    assert [[each.timestamp, each.open, each.high, each.low, each.close, each.volume] for each in candles] == ROWS


STAMP_FORMS = {
    "milliseconds": STAMPS,
    "seconds": [t // 1000 for t in STAMPS],
    "seconds as floats": [t / 1000 for t in STAMPS],
    "microseconds": [t * 1000 for t in STAMPS],
    "nanoseconds": [t * 1_000_000 for t in STAMPS],
    "milliseconds as texts": [str(t) for t in STAMPS],
    "seconds as texts": [str(t // 1000) for t in STAMPS],
    "ISO with Z": ["2024-01-01T00:00:00Z", "2024-01-01T00:01:00Z", "2024-01-01T00:02:00Z"],
    "ISO with a blank": ["2024-01-01 00:00:00", "2024-01-01 00:01:00", "2024-01-01 00:02:00"],
    "ISO with an offset": [
        "2024-01-01T02:00:00+02:00",
        "2024-01-01T02:01:00+02:00",
        "2023-12-31T23:02:00-01:00",
    ],
    "ISO with milliseconds": [
        "2024-01-01T00:00:00.000Z",
        "2024-01-01T00:01:00.000Z",
        "2024-01-01T00:02:00.000Z",
    ],
    "datetimes": MOMENTS,
    "datetimes without zone": [each.replace(tzinfo=None) for each in MOMENTS],
    "datetimes elsewhere": [each.astimezone(timezone(timedelta(hours=-5))) for each in MOMENTS],
    "datetime64": np.array(STAMPS, dtype="datetime64[ms]"),
    "datetime64 of nanoseconds": np.array(STAMPS, dtype="datetime64[ms]").astype("datetime64[ns]"),
    "timestamps": [pd.Timestamp(each) for each in MOMENTS],
    "a polars series": pl.Series(MOMENTS),
}


@pytest.mark.parametrize("form", STAMP_FORMS)
def test_every_form_of_a_stamp_is_the_same_time(form):
    assert milliseconds(STAMP_FORMS[form]).tolist() == STAMPS


@pytest.mark.parametrize(
    ("bad", "row"),
    [
        (["2024-01-01T00:00:00Z", "soon"], 1),
        ([float("nan"), 1.7e9], 0),
        ([None, 1], 0),
        (np.array(["2024-01-01", "NaT"], dtype="datetime64[ms]"), 1),
        ([True, False], 0),
        (["1704067200", "x"], 1),
    ],
)
def test_a_stamp_that_is_no_time_is_refused_with_its_row(bad, row):
    with pytest.raises(RowError) as caught:
        milliseconds(bad)
    assert caught.value.row == row


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ("<html>", "str"),
        (b"\x1f", "bytes"),
        (None, "NoneType"),
        (3.5, "float"),
        ([1, 2, 3], "as a row"),
        ([ROWS[0], ROWS[1][:4]], "row 1 is not"),
        ([ROWS[0], None], "row 1 is not"),
        ([ROWS[0], [*ROWS[1], 0]], "row 1 is not"),
        (np.ones((3, 4)), "shape"),
        ({"time": STAMPS, "open": [1, 2, 3]}, "no column for high, low, close, volume"),
        ({"when?": STAMPS, **COLUMNS}, "no column for the time"),
        ({"time": STAMPS[:2], **COLUMNS}, "differ in length"),
        ([{"time": START}], "no column for open"),
        ([SHAPES["mappings"][0], {"o": 1}], "row 1 has no"),
        (pd.DataFrame(COLUMNS), "no column for the time"),
    ],
)
def test_what_is_not_a_table_is_refused_with_words(table, text):
    with pytest.raises(DataError, match=text):
        rows_of(table)


@pytest.mark.parametrize("price", ["1,5", "abc", "", [], {}])
def test_f8_a_price_that_is_no_number_is_refused_with_its_row(price):
    rows = [list(row) for row in ROWS]
    rows[2][4] = price
    with pytest.raises(RowError, match=r"row 2: close .* is not a number") as caught:
        rows_of(rows)
    assert caught.value.row == 2


def test_an_empty_table_has_no_rows():
    assert [len(rows_of(each)) for each in ([], (), np.empty((0, 6)))] == [0, 0, 0]


def test_f3_a_duplicate_row_is_refused_with_time_and_remedy():
    with pytest.raises(DataError, match=r"X candles: duplicate candle 2024-01-01T00:01Z .*drop all but one") as caught:
        candles_of([ROWS[0], ROWS[1], ROWS[1], ROWS[2]], "X")
    assert (caught.value.symbol, caught.value.first_bad) == ("X", STAMPS[1])


def test_f4_unsorted_rows_are_refused_with_time_and_remedy():
    with pytest.raises(DataError, match=r"unsorted: 2024-01-01T00:01Z .* after 2024-01-01T00:02Z; sort") as caught:
        candles_of([ROWS[0], ROWS[2], ROWS[1]], "X")
    assert caught.value.first_bad == STAMPS[1]


def test_a_row_off_the_grid_of_the_interval_is_refused():
    with pytest.raises(DataError, match="not the opening time of a 1m candle"):
        candles_of([ROWS[0], [STAMPS[1] + 30_000, *VALUES[1]]], "X", Interval.M1)


def test_a_step_that_is_no_interval_is_refused():
    with pytest.raises(DataError, match="no interval is that long"):
        candles_of([[START + k * 7 * MINUTE, *VALUES[0]] for k in range(3)], "X")


def test_stamps_that_jump_by_years_are_refused_before_memory_is_spent():
    with pytest.raises(DataError, match="the times jump from"):
        candles_of([ROWS[0], ROWS[1], [START + 10 * 525_600 * MINUTE, *VALUES[2]]], "X")


def test_the_interval_is_the_smallest_step():
    quarter = [[START + k * 15 * MINUTE, *VALUES[0]] for k in (0, 1, 5)]
    assert candles_of(quarter, "X").interval is Interval.M15
    assert len(candles_of(quarter, "X")) == 6


def test_columns_of_floats_are_not_copied():
    columns = {"time": np.array(STAMPS), **{name: np.array(each) for name, each in COLUMNS.items()}}
    candles = candles_of(columns, "X")
    assert all(np.shares_memory(candles[name], columns[name]) for name in COLUMNS)


def test_times_are_written_as_people_write_them():
    assert iso(START) == "2024-01-01T00:00Z"
    assert iso(START + 30_000) == "2024-01-01T00:00:30.000Z"
    assert iso(2**62) == f"{2**62} ms"
