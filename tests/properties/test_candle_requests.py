"""However a range is cut into requests and pages, the same candles come out."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest_kit.core.candles import COLUMNS, Candles
from backtest_kit.core.values import MINUTE, Interval
from backtest_kit.engine.history import History
from backtest_kit.exchanges import DemoExchange, FunctionExchange, MemoryExchange
from backtest_kit.stores import CandleFiles

START = 1_704_067_200_000
COUNT = 400
MARKET = DemoExchange(7)

ranges = st.lists(
    st.tuples(st.integers(0, COUNT), st.integers(0, COUNT)).map(lambda pair: (min(pair), max(pair))),
    max_size=12,
)


def whole() -> Candles:
    candles = MARKET.read("BTCUSDT", Interval.M1, START, START + COUNT * MINUTE)
    assert candles is not None
    return candles


def equal(a: Candles, b: Candles) -> bool:
    return a.start == b.start and all(np.array_equal(a[name], b[name], equal_nan=True) for name in COLUMNS)


def settings_of(**changes):
    values = {
        "candle_retry_count": 1,
        "candle_retry_delay_seconds": 0.0,
        "max_candles_per_request": 37,
        "on_gap": "raise",
        "price_anomaly_factor": 1000.0,
    }
    return SimpleNamespace(**{**values, **changes})


@settings(max_examples=40)
@given(ranges)
def test_the_order_of_requests_changes_no_candle(asked):
    market = whole()
    calls = []

    def get_candles(symbol, interval, since, limit):
        calls.append((since, limit))
        return list(market.between(since, since + limit * MINUTE))

    for exchange in (FunctionExchange(get_candles), MemoryExchange({"X": market}), MARKET):
        history = History("x", exchange, settings_of())
        symbol = "X" if isinstance(exchange, MemoryExchange) else "BTCUSDT"
        for a, b in asked:
            found = history.candles_now(symbol, Interval.M1, START + a * MINUTE, START + b * MINUTE)
            assert equal(found, market[a:b]) or a == b
    minutes = [t for since, limit in calls for t in range(since, since + limit * MINUTE, MINUTE)]
    assert len(minutes) == len(set(minutes)), "a candle was fetched twice"


@settings(max_examples=25)
@given(ranges, st.sets(st.integers(0, COUNT - 1), max_size=30))
def test_f2_gaps_stay_gaps_through_memory_disk_and_pages(tmp_path_factory, asked, absent):
    market = whole()
    columns = {name: np.array(market[name]) for name in COLUMNS}
    for column in columns.values():
        column[sorted(absent - {0, COUNT - 1})] = np.nan
    gappy = Candles(Interval.M1, START, *columns.values())

    def get_candles(symbol, interval, since, limit):
        return [each for each in gappy.between(since, START + COUNT * MINUTE) if each.close == each.close]

    folder = tmp_path_factory.mktemp("candles")
    for _ in range(2):
        history = History(
            "x", FunctionExchange(get_candles, cache=True), settings_of(on_gap="skip"), CandleFiles(folder)
        )
        history.candles_now("X", Interval.M1, START, START + MINUTE)
        for a, b in asked:
            found = history.candles_now("X", Interval.M1, START + a * MINUTE, START + b * MINUTE)
            assert equal(found, gappy[a:b]) or a == b


@settings(max_examples=25)
@given(st.integers(0, 5000), st.integers(1, 4000), st.integers(1, 2000))
def test_a_minute_of_the_demo_market_does_not_depend_on_the_request(first, count, cut):
    start = START + first * MINUTE
    together = MARKET.read("ETHUSDT", Interval.M1, start, start + count * MINUTE)
    cut = min(cut, count)
    parts = [
        MARKET.read("ETHUSDT", Interval.M1, start, start + cut * MINUTE),
        DemoExchange(7).read("ETHUSDT", Interval.M1, start + cut * MINUTE, start + count * MINUTE),
    ]
    for name in COLUMNS:
        assert np.array_equal(np.concatenate([part[name] for part in parts]), together[name])


@settings(max_examples=25)
@given(ranges)
def test_what_was_written_first_stays_on_disk(tmp_path_factory, written):
    store = CandleFiles(tmp_path_factory.mktemp("candles"))
    expected = np.full(COUNT, np.nan)
    for number, (a, b) in enumerate(written, start=1):
        column = np.full(b - a, float(number))
        store.write("x", "X", Candles(Interval.M1, START + a * MINUTE, column, column, column, column, column))
        fresh = np.isnan(expected[a:b])
        expected[a:b][fresh] = number
    found = np.full(COUNT, np.nan)
    at = START
    for run in store.read("x", "X", Interval.M1, START, START + COUNT * MINUTE):
        assert run.start >= at
        at = run.stop
        first = (run.start - START) // MINUTE
        found[first : first + len(run)] = run.close
    assert np.array_equal(found, expected, equal_nan=True)
