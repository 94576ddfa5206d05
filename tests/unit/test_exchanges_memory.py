"""The exchange over data in memory."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from backtest_kit.core.values import MINUTE, Interval
from backtest_kit.errors import ConfigError, DataError, UnknownNameError
from backtest_kit.exchanges import MemoryExchange, as_exchange

START = 1_704_067_200_000


def table(count: int, step: int = 1, start: int = START) -> list[list[float]]:
    return [[start + k * step * MINUTE, 100.0 + k, 101.0 + k, 99.0 + k, 100.5 + k, 1.0] for k in range(count)]


def test_it_has_the_symbols_and_spans_of_its_data():
    exchange = MemoryExchange({"BTCUSDT": table(10), "ETHUSDT": table(5, 15)})
    assert list(exchange.symbols()) == ["BTCUSDT", "ETHUSDT"]
    assert exchange.span("BTCUSDT", Interval.M1) == (START, START + 10 * MINUTE)
    assert exchange.span("ETHUSDT", Interval.M15) == (START, START + 75 * MINUTE)
    assert exchange.span("ETHUSDT", Interval.M1) is None
    assert exchange.span("DOGE", Interval.M1) is None


def test_reading_gives_what_is_stored_of_the_range():
    exchange = MemoryExchange({"X": table(10)})
    found = exchange.read("X", Interval.M1, START + 8 * MINUTE, START + 20 * MINUTE)
    assert found is not None
    assert found.time.tolist() == [START + 8 * MINUTE, START + 9 * MINUTE]
    assert exchange.read("X", Interval.H1, START, START + 60 * MINUTE) is None


def test_f2_minutes_between_others_that_are_missing_are_rows_of_nan():
    exchange = MemoryExchange({"X": [*table(3), *table(2, start=START + 5 * MINUTE)]})
    found = exchange.read("X", Interval.M1, START, START + 7 * MINUTE)
    assert found is not None
    assert np.isnan(found.close).tolist() == [False] * 3 + [True] * 2 + [False] * 2


def test_a_symbol_may_have_several_intervals():
    exchange = MemoryExchange({"X": {"1m": table(30), "15m": table(2, 15)}})
    assert exchange.span("X", Interval.M15) == (START, START + 30 * MINUTE)
    assert len(exchange.get_candles("X", "15m", START, 2)) == 2


def test_asked_directly_it_resamples_minutes():
    exchange = MemoryExchange({"X": table(60)})
    found = exchange.get_candles("X", "15m", START, 3)
    assert found.close.tolist() == [114.5, 129.5, 144.5]
    with pytest.raises(UnknownNameError, match="did you mean 'X'"):
        exchange.get_candles("x", "15m", START, 3)


def test_bad_rows_are_reported_when_the_symbol_is_first_used():
    exchange = MemoryExchange({"good": table(3), "bad": table(3)[::-1]})
    assert exchange.span("good", Interval.M1) is not None
    with pytest.raises(DataError, match="bad candles: unsorted"):
        exchange.span("bad", Interval.M1)


def test_a_bare_table_is_refused_with_the_right_form():
    frame = pd.DataFrame(table(3))
    with pytest.raises(ConfigError, match="must be a mapping"):
        MemoryExchange(frame)
    with pytest.raises(ConfigError, match="must be a mapping"):
        MemoryExchange(table(3))


def test_a_given_interval_is_used_instead_of_the_smallest_step():
    exchange = MemoryExchange({"X": table(4, 5)}, interval="1m")
    assert exchange.span("X", Interval.M1) == (START, START + 16 * MINUTE)


def test_numbers_are_written_without_exponent_unless_told_otherwise():
    exchange = MemoryExchange({}, format_price=lambda symbol, price: f"{price:.1f}")
    assert exchange.format_price("X", 1.26) == "1.3"
    assert exchange.format_quantity("X", 0.00000001) == "0.00000001"
    assert exchange.format_quantity("X", 1200.0) == "1200"


def test_an_exchange_object_is_taken_as_it_is():
    exchange = MemoryExchange({})
    assert as_exchange(exchange) is exchange


@pytest.mark.parametrize("wrong", [MemoryExchange, 3, None, {}, "binance", {"format_price": str}])
def test_what_is_no_exchange_is_refused(wrong):
    with pytest.raises(ConfigError):
        as_exchange(wrong)
