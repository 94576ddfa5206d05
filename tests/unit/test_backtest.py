"""The scenarios of the engine's semantics (chapter 11) through the public face: every way to iterate, both drivers."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

import backtest_kit as bk
from tests.worlds import (
    SYMBOL,
    WAYS,
    approx,
    at,
    flat,
    fresh_world,
    given,
    long,
    minute_of,
    once,
    rows_of,
    run,
    short,
    told,
)

world = pytest.fixture(autouse=True)(fresh_world)

REFERENCE = {"exit_rule": "stop_touch", "fill_rule": "level"}
TOUCH = {"exit_rule": "touch", "fill_rule": "level"}
HONEST = {"exit_rule": "stop_touch", "fill_rule": "honest"}
LIMIT: dict[str, Any] = {"price_open": 99.0}


class Row(NamedTuple):
    """One scenario: a market, one signal at minute 10, and all that comes of it."""

    name: str
    market: dict[str, Any]
    signal: bk.Signal
    expected: list[tuple[Any, ...]]
    percent: float | None = None
    settings: dict[str, Any] = REFERENCE


OPEN = ("opened", 10, 100.0)
WAIT = ("scheduled", 10, 100.0)
WIDE = {"high": 115.0, "low": 97.9, "close": 115.0, "volume": 100.0}

TABLE = [
    Row("1", flat(201, {20: 103}), long(102, 98, 60), [OPEN, ("closed", 23, 102.0, "take_profit")], 1.5944075924075942),
    Row(
        "2",
        flat(201, candles={15: {"low": 97.9}}),
        long(102, 98, 60),
        [OPEN, ("closed", 15, 98.0, "stop_loss")],
        -2.3936083916083852,
    ),
    Row(
        "2 at the level",
        flat(201, candles={15: {"low": 98.0}}),
        long(102, 98, 60),
        [OPEN, ("closed", 15, 98.0, "stop_loss")],
        -2.3936083916083852,
    ),
    Row("3", flat(201, candles={15: WIDE}), long(102, 98, 60), [OPEN, ("closed", 15, 98.0, "stop_loss")]),
    Row(
        "4",
        flat(201, candles={15: {"high": 110.0}}),
        long(102, 98, 20),
        [OPEN, ("closed", 30, 100.0, "time_expired")],
    ),
    Row(
        "4 with volume",
        flat(201, candles={15: {"high": 110.0, "volume": 1000.0}}),
        long(102, 98, 20),
        [OPEN, ("closed", 15, 102.0, "take_profit")],
    ),
    Row(
        "4 by touch",
        flat(201, candles={15: {"high": 110.0}}),
        long(102, 98, 20),
        [OPEN, ("closed", 15, 102.0, "take_profit")],
        settings=TOUCH,
    ),
    Row(
        "4 with volume by touch",
        flat(201, candles={15: {"high": 110.0, "volume": 1000.0}}),
        long(102, 98, 20),
        [OPEN, ("closed", 15, 102.0, "take_profit")],
        settings=TOUCH,
    ),
    Row(
        "5",
        flat(201, {18: 100.5}),
        long(102, 98, 10),
        [OPEN, ("closed", 20, 100.3, "time_expired")],
        -0.10049920079920224,
    ),
    Row(
        "6",
        flat(201, candles={20: {"low": 90.0}}),
        long(102, 98, 10),
        [OPEN, ("closed", 20, 99.33333333333334, "time_expired")],
    ),
    Row(
        "7",
        flat(201, {20: 97}),
        short(98, 102, 60),
        [OPEN, ("closed", 23, 98.0, "take_profit")],
        1.6056076076076284,
    ),
    Row(
        "7 stopped",
        flat(201, candles={15: {"high": 102.5}}),
        short(98, 102, 60),
        [OPEN, ("closed", 15, 102.0, "stop_loss")],
        -2.4064084084083923,
    ),
    Row(
        "8",
        flat(201, candles={20: {"low": 98.9}, 22: {"low": 96.9}}),
        long(102, 97, **LIMIT),
        [WAIT, ("opened", 20, 99.0), ("closed", 22, 97.0, "stop_loss")],
        -2.413749886477143,
    ),
    Row(
        "9",
        flat(201, candles={20: {"low": 96.5}}),
        long(102, 97, **LIMIT),
        [WAIT, ("cancelled", 20, approx(99.76666666666667), "price_reject")],
    ),
    Row(
        "9 honest",
        flat(201, candles={20: {"low": 96.5}}),
        long(102, 97, **LIMIT),
        [WAIT, ("opened", 20, 99.0), ("closed", 20, 97.0, "stop_loss")],
        settings=HONEST,
    ),
    Row("10", flat(201), long(102, 97, **LIMIT), [WAIT, ("cancelled", 130, 100.0, "timeout")]),
    Row(
        "11",
        flat(201),
        long(104, 98, 5, price_open=101.0),
        [("opened", 10, 101.0), ("closed", 15, 100.0, "time_expired")],
    ),
    Row(
        "11 honest",
        flat(201),
        long(104, 98, 5, price_open=101.0),
        [OPEN, ("closed", 15, 100.0, "time_expired")],
        settings=HONEST,
    ),
    Row(
        "19",
        flat(201, candles={20: {"low": 90.0}}),
        long(110, 85, leverage=10.0),
        [OPEN, ("closed", 20, approx(90.3707511315119), "liquidation")],
        -99.99999999999997,
    ),
]


@pytest.fixture(params=[True, False], ids=["fast", "slow"])
def fast_forward(request):
    return request.param


@pytest.fixture(params=WAYS)
def way(request):
    return request.param


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_one_signal_ends_as_the_scenario_says(row, fast_forward, way):
    given(row.market)
    bk.add_strategy("s", once(row.signal))
    events = run(way=way, fast_forward=fast_forward, **row.settings)
    assert told(events) == row.expected
    if row.percent is not None:
        assert events[-1].pnl.percent == approx(row.percent)


def test_scenario_12_a_strategy_that_always_signals_is_asked_again_after_the_closing_minute(fast_forward, way):
    asked = []
    given(flat(60), frame=(10, 24))

    @bk.strategy("s")
    def always(symbol, when, price):
        asked.append(minute_of(when))
        return long(102, 98, 3)

    events = run(way=way, fast_forward=fast_forward, **REFERENCE)
    assert asked == [10, 14, 18, 22]
    closes = [row for row in told(events) if row[0] == "closed"]
    assert closes == [
        ("closed", 13, 100.0, "time_expired"),
        ("closed", 17, 100.0, "time_expired"),
        ("closed", 21, 100.0, "time_expired"),
        ("closed", 24, 100.0, "frame_end"),
    ]


def test_scenario_13_a_strategy_is_asked_once_in_every_interval_of_its_own(fast_forward, way):
    asked = []
    given(flat(60), frame=(13, 40))
    bk.add_strategy("s", lambda symbol, when, price: asked.append(minute_of(when)), interval="5m")
    assert run(way=way, fast_forward=fast_forward, **REFERENCE) == []
    assert asked == [13, 15, 20, 25, 30, 35, 40]


def test_scenario_14_the_same_explicit_id_trades_once(fast_forward, way):
    given(flat(60), frame=(10, 50))
    bk.add_strategy("s", lambda symbol, when, price: long(102, 98, 2, id="A"))
    events = run(way=way, fast_forward=fast_forward, **REFERENCE)
    assert told(events) == [OPEN, ("closed", 12, 100.0, "time_expired")]


def commanded(commands, levels, fast_forward, way, **settings):
    """The results of one long from 100 (take 110, stop 90), with commands in the active pings of some minutes."""
    answers = []

    def on_ping(event):
        if minute_of(event.time) in commands:
            answers.append(commands[minute_of(event.time)]())

    given(flat(201, levels))
    bk.add_strategy("s", once(long(110, 90)), callbacks={"on_active_ping": on_ping})
    return run(way=way, fast_forward=fast_forward, **{**REFERENCE, **settings}), answers


def test_scenario_15_an_average_buy_moves_the_entry_and_a_second_at_the_same_price_is_refused(fast_forward, way):
    def buy():
        return bk.commit_average_buy(SYMBOL, 100)

    events, answers = commanded({25: buy, 27: buy}, {15: 95, 30: 111}, fast_forward, way)
    assert [bool(answer) for answer in answers] == [True, False]
    assert told(events) == [OPEN, ("closed", 34, 110.0, "take_profit")]
    assert events[-1].position.effective_price == approx(97.43589743589745)
    assert events[-1].pnl.percent == approx(12.4565037593985)
    assert events[-1].pnl.cost == approx(24.913007518797)


def test_scenario_16_selling_all_of_it_in_parts_closes_the_position(fast_forward, way):
    events, answers = commanded({25: lambda: bk.commit_partial_profit(SYMBOL, 100)}, {15: 105}, fast_forward, way)
    assert answers == [True]
    assert told(events) == [OPEN, ("closed", 26, 105.0, "closed")]
    assert events[-1].pnl.percent == approx(4.585419580419582)


def test_scenario_17_a_trailing_stop_only_tightens(fast_forward, way):
    stops = []

    def trail(shift):
        def command():
            answer = bk.commit_trailing_stop(SYMBOL, shift)
            stops.append(bk.get_position().price_stop_loss)
            return answer

        return command

    commands = {25: trail(-8), 26: trail(-5), 27: trail(-12)}
    events, answers = commanded(commands, {15: 105, 40: 101}, fast_forward, way)
    assert [bool(answer) for answer in answers] == [True, False, True]
    assert stops == [approx(98), approx(98), approx(102)]
    assert told(events)[-1] == ("closed", 40, approx(102), "stop_loss")


def test_scenario_18_breakeven_moves_the_stop_to_the_entry(fast_forward, way):
    events, answers = commanded({25: lambda: bk.commit_breakeven(SYMBOL)}, {15: 101, 30: 99}, fast_forward, way)
    assert answers == [True]
    assert told(events) == [OPEN, ("closed", 30, 100.0, "stop_loss")]
    assert events[-1].pnl.percent == approx(-0.39960039960038823)


@pytest.mark.parametrize("page", [1000, 333, 40])
def test_scenario_20_a_life_without_limit_does_not_depend_on_the_pages_of_candles(page, fast_forward, way):
    table, requests = flat(3001, {2500: 111}), []

    def get_candles(symbol, interval, since, limit):
        requests.append(limit)
        return rows_of(table, since, limit)

    bk.add_exchange("pages", get_candles)
    bk.add_frame("frame", start=at(10), end=at(3000))
    bk.add_strategy("s", once(long(110, 90, None)))
    settings = {"max_signal_lifetime_minutes": None, "max_candles_per_request": page}
    bk.set_config(max_candles_per_request=page)
    events = run(way=way, fast_forward=fast_forward, **settings, **REFERENCE)
    assert told(events) == [OPEN, ("closed", 2504, 110.0, "take_profit")]
    assert max(requests) <= page


@pytest.mark.parametrize("asynchronous", [False, True], ids=["def", "async def"])
def test_a_strategy_may_be_a_def_or_an_async_def_and_return_a_mapping(asynchronous, fast_forward, way):
    signal = {"position": "long", "price_take_profit": 102, "price_stop_loss": 98, "minute_estimated_time": 60}
    plain = once(signal)

    async def get_signal(symbol, when, price):
        return plain(symbol, when, price)

    given(flat(201, {20: 103}))
    bk.add_strategy("s", get_signal if asynchronous else plain)
    events = run(way=way, fast_forward=fast_forward, **REFERENCE)
    assert told(events) == [OPEN, ("closed", 23, 102.0, "take_profit")]
    assert events[0].signal.id == f"s-{SYMBOL}-memory-{at(10)}"


def test_what_is_open_at_the_last_tick_closes_there_and_what_waits_is_cancelled(fast_forward, way):
    given({SYMBOL: flat(201, {40: 101}), "ETHUSDT": flat(201)}, frame=(10, 60))
    bk.add_strategy("s", lambda symbol, when, price: long(price_open=None if symbol == SYMBOL else 95.0))
    events = run([SYMBOL, "ETHUSDT"], way, fast_forward=fast_forward)
    assert told(events)[2:] == [("closed", 60, 101.0, "frame_end"), ("cancelled", 60, 100.0, "frame_end")]


def test_a_stop_that_the_candle_opened_beyond_fills_at_the_open_under_the_honest_rule(fast_forward, way):
    given(flat(201, {20: 95}))
    bk.add_strategy("s", once(long(102, 98, 60)))
    events = run(way=way, fast_forward=fast_forward)
    assert told(events) == [OPEN, ("closed", 20, 95.0, "stop_loss")]


def test_a_candle_that_reaches_both_levels_is_ambiguous_and_says_what_the_take_had_paid(fast_forward, way):
    given(flat(201, candles={15: {"high": 103.0, "low": 97.0}}))
    bk.add_strategy("s", once(long(102, 98, 60)))
    event = run(way=way, fast_forward=fast_forward)[-1]
    assert (event.close_reason, event.ambiguous) == ("stop_loss", True)
    assert event.alternative.percent == approx(1.5944075924075942)
    assert bk.Backtest.get_data().facts.ambiguous == 1


def test_a_run_of_several_symbols_and_strategies_stands_in_one_order_of_time(fast_forward, way):
    given({"A": flat(201, {30: 103}), "B": flat(201, {25: 103}), "C": flat(201, {20: 103})})
    bk.add_strategy("one", once(long(102, 98)))
    bk.add_strategy("two", once(long(102, 98), 12), interval="3m")
    events = run(["A", "B", "C"], way, strategy_name=["one", "two"], fast_forward=fast_forward)
    times = [event.time for event in events]
    assert times == sorted(times)
    closed = [
        (event.strategy_name, event.symbol, minute_of(event.time)) for event in events if event.action == "closed"
    ]
    assert closed == [(name, *place) for place in (("C", 20), ("B", 25), ("A", 30)) for name in ("one", "two")]
