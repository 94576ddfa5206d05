"""Exchanges made of functions, and which of them may be cached on disk."""

from __future__ import annotations

import math
import urllib.request

import numpy as np
import pytest

from backtest_kit.errors import ConfigError, ContextError
from backtest_kit.exchanges import FunctionExchange, as_exchange
from backtest_kit.exchanges.functions import fingerprint_of

BASE = "https://example.invalid"
KNOWN_ROWS = [[0, 1, 1, 1, 1, 1]]
ARRAY = np.ones(3)


class Source:
    """An object of the user's own that holds rows."""

    def __init__(self):
        self.rows = []

    def get_candles(self, symbol, interval, since, limit):
        return self.rows


SOURCE = Source()


def from_network(symbol, interval, since, limit):
    return urllib.request.urlopen(f"{BASE}/{symbol}?{interval}&{since}&{limit}")


async def from_network_async(symbol, interval, since, limit):
    return from_network(symbol, interval, since, limit)


def from_global_list(symbol, interval, since, limit):
    return KNOWN_ROWS


def from_global_array(symbol, interval, since, limit):
    return ARRAY


def from_own_object(symbol, interval, since, limit):
    return SOURCE.rows


def through_another(symbol, interval, since, limit):
    return from_global_list(symbol, interval, since, limit)


def from_file(symbol, interval, since, limit):
    return np.loadtxt(f"{symbol}.csv")


def from_default(symbol, interval, since, limit, rows=[]):  # noqa: B006 - the point of the test
    return rows


def from_mathematics(symbol, interval, since, limit):
    return [[since + k * 60_000, *[100 + math.sin(k)] * 4, 1] for k in range(limit)]


@pytest.mark.parametrize("function", [from_network, from_network_async, from_mathematics])
def test_a_function_without_data_may_be_cached(function):
    exchange = FunctionExchange(function)
    assert exchange.cacheable
    assert len(exchange.fingerprint) == 16


@pytest.mark.parametrize(
    "function",
    [
        from_global_list,
        from_global_array,
        from_own_object,
        through_another,
        from_file,
        from_default,
        SOURCE.get_candles,
    ],
)
def test_a_function_with_data_in_this_process_is_not_cached(function):
    assert not FunctionExchange(function).cacheable


def test_a_closure_over_data_is_not_cached_and_one_over_a_number_is():
    rows = [[0, 1, 1, 1, 1, 1]]
    scale = 2.0
    assert not FunctionExchange(lambda *asked: rows).cacheable
    assert FunctionExchange(lambda *asked: scale).cacheable


def test_the_caller_has_the_last_word():
    assert FunctionExchange(from_global_list, cache=True).cacheable
    assert not FunctionExchange(from_network, cache=False).cacheable


def make(constant):
    def get_candles(symbol, interval, since, limit):
        return constant

    return get_candles


def test_the_fingerprint_follows_code_and_values():
    assert fingerprint_of(make(1)) == fingerprint_of(make(1))
    assert fingerprint_of(make(1)) != fingerprint_of(make(2))
    assert fingerprint_of(lambda: 1) != fingerprint_of(lambda: 2)
    assert fingerprint_of(from_network) != fingerprint_of(from_mathematics)


def test_functions_are_called_as_they_are():
    exchange = as_exchange(
        get_candles=lambda *asked: asked,
        get_order_book=lambda *asked: ("book", *asked),
        get_aggregated_trades=lambda *asked: ("trades", *asked),
        format_price=lambda symbol, price: f"{symbol} {price:.2f}",
    )
    assert exchange.get_candles("X", "1m", 1, 2) == ("X", "1m", 1, 2)
    assert exchange.get_order_book("X", 5, 1, 2) == ("book", "X", 5, 1, 2)
    assert exchange.get_aggregated_trades("X", 1, 2) == ("trades", "X", 1, 2)
    assert exchange.format_price("X", 1.234) == "X 1.23"
    assert exchange.format_quantity("X", 0.5) == "0.5"


def test_a_function_that_was_not_given_is_named():
    with pytest.raises(ContextError, match="has no get_order_book"):
        FunctionExchange(from_network).get_order_book("X", 5, 1, 2)


def test_wrong_functions_are_refused():
    with pytest.raises(ConfigError, match="must be a function"):
        FunctionExchange("get_candles")
    with pytest.raises(ConfigError, match="cannot be made"):
        as_exchange(get_candles=from_network, formt_price=str)
    with pytest.raises(ConfigError, match="needs get_candles"):
        as_exchange(format_price=str)
    with pytest.raises(ConfigError, match="one or the other"):
        as_exchange(SOURCE, format_price=str)


def test_intervals_are_checked():
    assert FunctionExchange(from_network, intervals=["1m", "1h"]).intervals == {"1m", "1h"}
    with pytest.raises(ConfigError, match="unknown interval '60m'"):
        FunctionExchange(from_network, intervals=["1m", "60m"])


def test_it_knows_whether_it_has_to_be_awaited():
    assert FunctionExchange(from_network_async).is_async
    assert not FunctionExchange(from_network).is_async
