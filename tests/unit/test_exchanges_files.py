"""Candle files: every kind, every header, and errors that name file and line."""

from __future__ import annotations

import gzip
import sys
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from backtest_kit.core.values import MINUTE, Interval
from backtest_kit.errors import ConfigError, DataError
from backtest_kit.exchanges import FileExchange

START = 1_704_067_200_000


def rows(count: int = 5, start: int = START) -> list[list[float]]:
    return [[start + k * MINUTE, 100.0 + k, 101.0 + k, 99.0 + k, 100.5 + k, 2.0 * k] for k in range(count)]


def csv(
    table=None, header: str | None = "timestamp,open,high,low,close,volume", separator: str = ",", stamp=str
) -> str:
    lines = [separator.join([stamp(row[0]), *map(str, row[1:])]) for row in (table or rows())]
    return "\n".join([*([header] if header else []), *lines]) + "\n"


def read(path) -> list[list[float]]:
    exchange = FileExchange(path)
    candles = exchange.read("BTCUSDT", Interval.M1, 0, 2**60)
    assert candles is not None
    return [[each.timestamp, each.open, each.high, each.low, each.close, each.volume] for each in candles]


TEXTS = {
    "plain": csv(),
    "capitals": csv(header="Timestamp,Open,High,Low,Close,Volume"),
    "open time": csv(header="Open Time,OPEN,HIGH,LOW,CLOSE,VOL"),
    "quoted header": csv(header='"time","open","high","low","close","volume"'),
    "no header": csv(header=None),
    "seconds": csv(stamp=lambda t: str(t // 1000)),
    "microseconds": csv(stamp=lambda t: str(t * 1000)),
    "ISO": csv(stamp=lambda t: datetime.fromtimestamp(t / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")),
    "ISO with a blank": csv(stamp=lambda t: datetime.fromtimestamp(t / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")),
    "ISO with an offset": csv(stamp=lambda t: datetime.fromtimestamp(t / 1000, UTC).isoformat()),
    "ISO without header": csv(header=None, stamp=lambda t: datetime.fromtimestamp(t / 1000, UTC).isoformat()),
    "semicolons": csv(header="time;open;high;low;close;volume", separator=";"),
    "tabs": csv(header="time\topen\thigh\tlow\tclose\tvolume", separator="\t"),
    "a line above the header": "Source: somewhere\n" + csv(),
    "blank lines": "\n" + csv().replace("\n", "\n\n"),
    "windows": csv().replace("\n", "\r\n"),
    "a mark in front": "\ufeff" + csv(),
    "no newline at the end": csv().rstrip("\n"),
    "another order": "volume,close,low,high,open,date\n"
    + "".join(f"{row[5]},{row[4]},{row[3]},{row[2]},{row[1]},{row[0]}\n" for row in rows()),
    "more columns": "unix,date,symbol,open,high,low,close,Volume BTC,Volume USDT\n"
    + "".join(f"{row[0]},2024,BTC/USDT,{row[1]},{row[2]},{row[3]},{row[4]},{row[5]},7\n" for row in rows()),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_every_kind_of_csv_gives_the_same_candles(kind, tmp_path):
    path = tmp_path / "BTCUSDT.csv"
    path.write_bytes(TEXTS[kind].encode())
    assert read(path) == rows()


def test_gzipped_csv_is_read(tmp_path):
    path = tmp_path / "BTCUSDT-1m.csv.gz"
    path.write_bytes(gzip.compress(csv().encode()))
    assert read(tmp_path) == rows()


def test_numpy_files_are_read_with_and_without_names(tmp_path):
    np.save(tmp_path / "plain.npy", np.array(rows()))
    kinds = [(name, "f8") for name in ("time", "open", "high", "low", "close", "volume")]
    np.save(tmp_path / "named.npy", np.array([tuple(row) for row in rows()], dtype=kinds))
    assert read(tmp_path / "plain.npy") == rows()
    assert read(tmp_path / "named.npy") == rows()


def test_parquet_is_read(tmp_path):
    frame = pd.DataFrame(rows(), columns=["Date", "Open", "High", "Low", "Close", "Volume"])
    frame["Date"] = pd.to_datetime(frame["Date"], unit="ms", utc=True)
    frame.to_parquet(tmp_path / "BTCUSDT.parquet")
    assert read(tmp_path) == rows()


def test_parquet_without_a_reader_names_the_extra(tmp_path, monkeypatch):
    pd.DataFrame(rows(), columns=["time", "open", "high", "low", "close", "volume"]).to_parquet(tmp_path / "X.parquet")
    for name in ("pyarrow.parquet", "polars"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DataError, match=r"pip install backtest-kit\[dataframes\]"):
        read(tmp_path / "X.parquet")


@pytest.mark.parametrize(
    "name",
    ["BTCUSDT.csv", "btcusdt.csv", "BTC-USDT.csv", "BTCUSDT-1m.csv", "BTCUSDT_1m.csv", "BTCUSDT/1m.csv",
     "BTCUSDT-1m-2024-01.csv", "BTC_USDT-2024.csv", "spot/BTCUSDT.csv"],
)  # fmt: skip
def test_a_file_in_a_folder_is_found_by_its_symbol(name, tmp_path):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(csv())
    (tmp_path / "notes.txt").write_text("not candles")
    exchange = FileExchange(tmp_path)
    assert exchange.span("BTCUSDT", Interval.M1) == (START, START + 5 * MINUTE)
    assert exchange.span("BTC/USDT", Interval.M1) == (START, START + 5 * MINUTE)
    assert exchange.span("ETHUSDT", Interval.M1) is None


def test_several_files_of_one_symbol_are_joined_and_a_gap_between_them_stays(tmp_path):
    (tmp_path / "BTCUSDT-1m-2024-01.csv").write_text(csv(rows(3)))
    (tmp_path / "BTCUSDT-1m-2024-02.csv").write_text(csv(rows(3, START + 5 * MINUTE)))
    found = FileExchange(tmp_path).read("BTCUSDT", Interval.M1, 0, 2**60)
    assert np.isnan(found.close).tolist() == [False] * 3 + [True] * 2 + [False] * 3


def test_intervals_of_a_symbol_stand_side_by_side(tmp_path):
    (tmp_path / "X-1m.csv").write_text(csv(rows(30)))
    (tmp_path / "X-15m.csv").write_text(csv([[START + k * 15 * MINUTE, 1, 2, 0.5, 1, 1] for k in range(2)]))
    exchange = FileExchange(tmp_path)
    assert exchange.span("X", Interval.M15) == (START, START + 30 * MINUTE)
    assert exchange.span("X", Interval.M1) == (START, START + 30 * MINUTE)
    assert list(exchange.symbols()) == ["X"]


def test_symbols_may_be_given_with_their_files(tmp_path):
    (tmp_path / "one.csv").write_text(csv(rows(3)))
    (tmp_path / "two.csv").write_text(csv(rows(3, START + 3 * MINUTE)))
    exchange = FileExchange({"A": tmp_path / "one.csv", "B": [tmp_path / "one.csv", str(tmp_path / "two.csv")]})
    assert exchange.span("A", Interval.M1) == (START, START + 3 * MINUTE)
    assert exchange.span("B", Interval.M1) == (START, START + 6 * MINUTE)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (csv().replace("101.0,102.0", "abc,102.0"), r"BTCUSDT\.csv line 3: open 'abc' is not a number"),
        ("\n\n" + csv().replace("101.0,102.0", ",102.0"), r"BTCUSDT\.csv line 5: open '' is not a number"),
        (csv() + "1704067500000,1,2\n", r"BTCUSDT\.csv line 7: 3 columns where 6 are needed"),
        (csv(rows()[::-1]), r"BTCUSDT\.csv line 3: .*unsorted: 2024-01-01T00:03Z"),
        (csv([rows()[0], rows()[0]]), r"BTCUSDT\.csv line 3: .*duplicate candle 2024-01-01T00:00Z"),
        ("time,open,high,low,volume,note\n1,2,3,4,5,6\n", r"BTCUSDT\.csv: no column for close"),
        ("a,open,high,low,close,volume\n1,2,3,4,5,6\n", r"BTCUSDT\.csv: no column for the time"),
        ("", r"BTCUSDT\.csv: .*the file is empty"),
        ("<html>\n<body>sorry</body>\n", r"BTCUSDT\.csv: no line has the 6 columns"),
        (csv(stamp=lambda t: "soon"), r"BTCUSDT\.csv line 2: time 'soon' is not a time"),
    ],
)
def test_f8_a_bad_file_is_refused_with_file_and_line(text, words, tmp_path):
    path = tmp_path / "BTCUSDT.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        read(path)


@pytest.mark.parametrize(
    ("name", "content"), [("X.csv.gz", b"\x1f\x8bbroken"), ("X.npy", b"no"), ("X.csv", b"\xff\xfe\x00")]
)
def test_f11_a_damaged_file_is_a_data_error_that_names_it(name, content, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=name):
        read(path)


def test_a_file_or_folder_that_is_not_there_is_named_with_the_nearest(tmp_path):
    (tmp_path / "candles.csv").write_text(csv())
    with pytest.raises(ConfigError, match=r"did you mean 'candles\.csv'"):
        FileExchange(tmp_path / "candels.csv")


def test_a_folder_without_candle_files_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="holds no candle files"):
        FileExchange(tmp_path)


def test_a_header_alone_is_a_table_without_rows(tmp_path):
    path = tmp_path / "BTCUSDT.csv"
    path.write_text("timestamp,open,high,low,close,volume\n")
    assert read(path) == []


def test_the_real_candles_are_read(shared):
    candles = FileExchange(shared / "data" / "btc-perp-1m-2022-01.csv.gz").read("BTCUSDT", Interval.M1, 0, 2**60)
    assert len(candles) == 45_031
    assert not np.isnan(candles.close).any()
    assert (candles[0].timestamp, candles[0].close) == (1_640_991_660_000, 46_377.0)
