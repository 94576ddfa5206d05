"""Candles on disk: kept once, shared, damaged, and what is not kept."""

from __future__ import annotations

import multiprocessing
from types import SimpleNamespace

import numpy as np
import pytest

from backtest_kit.core.candles import COLUMNS, Candles
from backtest_kit.core.values import MINUTE, Interval
from backtest_kit.engine.history import History
from backtest_kit.errors import DataError
from backtest_kit.exchanges import DemoExchange, FunctionExchange, MemoryExchange
from backtest_kit.stores import CandleFiles

START = 1_704_067_200_000
M1 = Interval.M1
MARKET = DemoExchange(3).get_candles("X", "1m", START, 300)


def at(minute: int) -> int:
    return START + minute * MINUTE


def settings(**changes):
    values = {
        "candle_retry_count": 1,
        "candle_retry_delay_seconds": 0.0,
        "max_candles_per_request": 50,
        "on_gap": "raise",
        "price_anomaly_factor": 1000.0,
    }
    return SimpleNamespace(**{**values, **changes})


class Feed:
    """A cacheable source that counts its calls and can be cut off."""

    cacheable = True
    fingerprint = "feed"

    def __init__(self, candles: Candles = MARKET, last: int = 300):
        self.calls: list[int] = []
        self.market, self.last = candles, last

    def get_candles(self, symbol, interval, since, limit):
        self.calls.append((since - START) // MINUTE)
        if since >= at(self.last):
            raise ConnectionError("cut off")
        return [each for each in self.market.between(since, since + limit * MINUTE) if each.close == each.close]


def flat(first: int, last: int, price: float) -> Candles:
    return Candles(M1, at(first), *(np.full(last - first, price) for _ in COLUMNS))


def closes(store: CandleFiles, first: int = 0, last: int = 300, symbol: str = "X") -> list[float]:
    return [price for run in store.read("key", symbol, M1, at(first), at(last)) for price in run.close.tolist()]


def files(folder, ending: str = ".candles"):
    return sorted(each for each in folder.rglob(f"*{ending}"))


def test_candles_are_fetched_once_for_every_process_to_come(tmp_path):
    first, second = Feed(), Feed()
    a = History("feed", first, settings(), CandleFiles(tmp_path)).candles_now("X", M1, at(0), at(300))
    b = History("feed", second, settings(), CandleFiles(tmp_path)).candles_now("X", M1, at(10), at(290))
    assert len(first.calls) == 6
    assert second.calls == []
    assert all(np.array_equal(a[name][10:290], b[name]) for name in COLUMNS)


def test_only_what_is_not_on_disk_is_fetched(tmp_path):
    History("feed", Feed(), settings(), CandleFiles(tmp_path)).candles_now("X", M1, at(100), at(200))
    feed = Feed()
    found = History("feed", feed, settings(), CandleFiles(tmp_path)).candles_now("X", M1, at(50), at(250))
    assert feed.calls == [50, 200]
    assert np.array_equal(found.close, MARKET.close[50:250])


def test_a_download_that_is_cut_off_goes_on_where_it_stopped(tmp_path):
    with pytest.raises(DataError, match="cut off"):
        History("feed", Feed(last=150), settings(), CandleFiles(tmp_path)).candles_now("X", M1, at(0), at(300))
    feed = Feed()
    History("feed", feed, settings(), CandleFiles(tmp_path)).candles_now("X", M1, at(0), at(300))
    assert feed.calls == [150, 200, 250]


def test_sources_are_told_apart_by_name_and_fingerprint(tmp_path):
    other = Feed()
    other.fingerprint = "other"
    for name, feed in (("a", Feed()), ("b", Feed()), ("a", other)):
        History(name, feed, settings(), CandleFiles(tmp_path)).candles_now("X", M1, at(0), at(50))
        assert feed.calls == [0]


def test_what_lives_in_this_process_is_not_written(tmp_path):
    rows = [[each.timestamp, each.open, each.high, each.low, each.close, each.volume] for each in MARKET]
    for source in (
        MemoryExchange({"X": MARKET}),
        DemoExchange(),
        FunctionExchange(lambda s, i, since, n: rows),
    ):
        History("x", source, settings(), CandleFiles(tmp_path)).candles_now("X", M1, at(0), at(50))
    assert list(tmp_path.iterdir()) == []


def test_resampled_candles_are_not_written(tmp_path):
    feed = FunctionExchange(Feed().get_candles, intervals=["1m"], cache=True)
    History("x", feed, settings(), CandleFiles(tmp_path)).candles_now("X", Interval.M15, at(0), at(150))
    assert {each.parent.name for each in files(tmp_path)} == {"1m"}


def test_f2_a_known_gap_is_kept_as_a_gap_and_asked_for_again_when_gaps_are_refused(tmp_path):
    columns = [np.array(MARKET[name]) for name in COLUMNS]
    for column in columns:
        column[20:23] = np.nan
    gappy = Candles(M1, START, *columns)
    skip, again, strict = Feed(gappy), Feed(gappy), Feed(MARKET)
    History("feed", skip, settings(on_gap="skip"), CandleFiles(tmp_path)).candles_now("X", M1, at(0), at(50))
    history = History("feed", again, settings(on_gap="skip"), CandleFiles(tmp_path))
    history.candles_now("X", M1, at(0), at(50))
    assert again.calls == []
    assert history.gaps("X") == [(at(20), at(23))]
    found = History("feed", strict, settings(), CandleFiles(tmp_path)).candles_now("X", M1, at(0), at(50))
    assert strict.calls == [20]
    assert np.array_equal(found.close, MARKET.close[:50])


def test_f6_what_was_written_first_stays(tmp_path):
    store = CandleFiles(tmp_path)
    store.write("key", "X", flat(10, 20, 1.0))
    store.write("key", "X", flat(0, 30, 2.0))
    assert closes(store) == [2.0] * 10 + [1.0] * 10 + [2.0] * 10


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-8],
        lambda content: content[:30],
        lambda content: content + b"\0" * 8,
        lambda content: bytes(len(content)),
        lambda content: content[:100] + bytes([content[100] ^ 1]) + content[101:],
        lambda content: bytes([content[0] ^ 1]) + content[1:],
    ],
)
def test_b1_b10_a_damaged_file_is_set_aside_and_its_candles_are_fetched_again(tmp_path, damage):
    History("feed", Feed(), settings(), CandleFiles(tmp_path)).candles_now("X", M1, at(0), at(100))
    (path,) = files(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    feed = Feed()
    found = History("feed", feed, settings(), CandleFiles(tmp_path)).candles_now("X", M1, at(0), at(100))
    assert feed.calls == [0, 50]
    assert np.array_equal(found.close, MARKET.close[:100])
    assert len(files(tmp_path, ".bad")) == 1
    assert len(files(tmp_path)) == 1


def test_a_file_left_half_written_is_not_looked_at(tmp_path):
    store = CandleFiles(tmp_path)
    store.write("key", "X", flat(0, 10, 1.0))
    (path,) = files(tmp_path)
    path.with_name("0028401130-00000010.candles.77.tmp").write_bytes(b"half")
    assert closes(store) == [1.0] * 10


def test_odd_symbols_have_folders_of_their_own(tmp_path):
    store = CandleFiles(tmp_path)
    symbols = [
        "BTC/USDT:USDT",
        "BTCUSDT",
        "btcusdt",
        "BtcUsdt",
        "..",
        ".",
        "a\\b",
        "Ä€",
        "BTC%2FUSDT%3AUSDT",
        "CON",
    ]
    for number, symbol in enumerate(symbols, start=1):
        store.write("key", symbol, flat(0, 2, float(number)))
    for number, symbol in enumerate(symbols, start=1):
        assert closes(store, symbol=symbol) == [float(number)] * 2
    folders = [each.name for each in (next(tmp_path.iterdir())).iterdir()]
    assert len({name.lower() for name in folders}) == len(symbols)


def test_a_candle_a_minute_leaves_few_files(tmp_path):
    store = CandleFiles(tmp_path)
    for minute in range(300):
        store.write("key", "X", MARKET[minute : minute + 1])
    assert closes(store) == MARKET.close.tolist()
    assert len(files(tmp_path)) <= 10


def test_candles_that_were_read_stay_readable_while_files_are_merged(tmp_path):
    store = CandleFiles(tmp_path)
    store.write("key", "X", flat(0, 10, 1.0))
    (run,) = store.read("key", "X", M1, at(0), at(10))
    store.write("key", "X", flat(10, 20, 2.0))
    assert run.close.tolist() == [1.0] * 10
    assert closes(store) == [1.0] * 10 + [2.0] * 10
    assert len(files(tmp_path)) == 1


def write_many(folder: str, shift: int, start) -> None:
    store = CandleFiles(folder)
    start.wait(60)
    for first in range(shift, 298, 3):
        store.write("key", "X", flat(first, min(300, first + 3), 1.0 + shift))


def test_processes_that_write_at_once_leave_every_minute_once(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Barrier(2)
    writers = [spawn.Process(target=write_many, args=(str(tmp_path), shift, start)) for shift in (0, 1)]
    for each in writers:
        each.start()
    for each in writers:
        each.join(60)
    assert [each.exitcode for each in writers] == [0, 0]
    found = closes(CandleFiles(tmp_path))
    assert len(found) == 300
    assert set(found) <= {1.0, 2.0}
    assert sum(int(each.stem.split("-")[1]) for each in files(tmp_path)) == 300
    assert files(tmp_path, ".bad") == []
