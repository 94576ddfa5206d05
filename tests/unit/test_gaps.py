"""Missing minutes (F2, F3, F4, F8): refused by name, or with on_gap="skip" no decision and no profit across them."""

from __future__ import annotations

import pytest

import backtest_kit as bk
from backtest_kit.core.events import SignalInvalid
from tests.worlds import (
    SYMBOL,
    WAYS,
    at,
    flat,
    fresh_world,
    given,
    heard,
    long,
    minute_of,
    once,
    rows_of,
    run,
    told,
    without,
)

world = pytest.fixture(autouse=True)(fresh_world)


@pytest.fixture(params=[True, False], ids=["fast", "slow"])
def fast_forward(request):
    return request.param


@pytest.fixture(params=["memory", "function"])
def source(request):
    return request.param


def market(table, source, frame=(10, 100)):
    """The table as a source in memory, or behind a function that has to be asked."""
    if source == "memory":
        given(table, frame=frame)
    else:
        bk.add_exchange("memory", lambda symbol, interval, since, limit: minutes_only(table, interval, since, limit))
        bk.add_frame("frame", start=at(frame[0]), end=at(frame[1]))


def minutes_only(table, interval, since, limit):
    if interval != "1m":
        raise NotImplementedError(interval)
    return rows_of(table, since, limit)


# ---- raise ----


def test_f2_a_missing_minute_ends_the_run_with_its_symbol_interval_and_minute(source):
    market(without(flat(201, {}), 50, 51, 52), source)
    bk.add_strategy("s", once(None))
    with pytest.raises(bk.DataError, match="2024-01-01T00:50") as caught:
        run()
    error = caught.value
    assert (error.symbol, error.interval, error.first_bad) == (SYMBOL, "1m", at(50))
    assert "on_gap" in str(error)


def test_f2_a_minute_that_is_missing_outside_of_the_frame_harms_nobody(source):
    market(without(flat(201), 2, 150), source)
    bk.add_strategy("s", once(long(102, 98, 3)))
    assert len(run()) == 2


# ---- skip ----


@pytest.mark.parametrize("way", WAYS)
def test_f2_an_open_position_closes_at_the_edge_of_a_gap_and_no_profit_is_made_across(source, fast_forward, way):
    table = without(flat(201, {50: 150}), *range(45, 60))
    market(table, source)
    bk.add_strategy("s", once(long(110, 90)))
    events = run(way=way, on_gap="skip", fast_forward=fast_forward)
    assert told(events) == [("opened", 10, 100.0), ("closed", 45, 100.0, "gap")]
    assert events[-1].pnl.percent == pytest.approx(-0.39960039960038823)


def test_f2_a_scheduled_signal_is_cancelled_at_the_edge_of_a_gap(source, fast_forward):
    market(without(flat(201), *range(45, 60)), source)
    bk.add_strategy("s", once(long(110, 90, price_open=95.0)))
    events = run(on_gap="skip", fast_forward=fast_forward)
    assert told(events) == [("scheduled", 10, 100.0), ("cancelled", 45, 100.0, "gap")]


def test_f2_no_decision_is_taken_in_a_gap_nor_until_there_is_a_price_again(source, fast_forward):
    asked = []
    market(without(flat(201), *range(45, 60)), source)
    bk.add_strategy("s", lambda symbol, when, price: asked.append(minute_of(when)))
    run(on_gap="skip", fast_forward=fast_forward)
    assert asked == [*range(10, 46), *range(65, 101)]


def test_f2_nothing_is_opened_at_the_edge_of_a_gap(source, fast_forward):
    market(without(flat(201), *range(45, 60)), source)
    bk.add_strategy("s", once(long(110, 90), 45))
    assert run(on_gap="skip", fast_forward=fast_forward) == []


def test_f2_the_strategy_goes_on_after_the_gap(source, fast_forward):
    market(without(flat(201), *range(45, 60)), source)
    bk.add_strategy("s", lambda symbol, when, price: long(102, 98, 30))
    events = run(on_gap="skip", fast_forward=fast_forward)
    assert told(events) == [
        ("opened", 10, 100.0),
        ("closed", 40, 100.0, "time_expired"),
        ("opened", 41, 100.0),
        ("closed", 45, 100.0, "gap"),
        ("opened", 65, 100.0),
        ("closed", 95, 100.0, "time_expired"),
        ("opened", 96, 100.0),
        ("closed", 100, 100.0, "frame_end"),
    ]


def test_f2_a_gap_of_one_minute_is_one_too(source, fast_forward):
    market(without(flat(201), 45), source)
    bk.add_strategy("s", lambda symbol, when, price: long(102, 98, 500))
    events = run(on_gap="skip", fast_forward=fast_forward)
    assert told(events)[:3] == [("opened", 10, 100.0), ("closed", 45, 100.0, "gap"), ("opened", 51, 100.0)]


@pytest.mark.parametrize("interval", ["1m", "5m", "1h"])
def test_f2_a_window_across_a_gap_means_no_decision_and_is_counted(interval, source):
    decided = []

    def get_signal(symbol, when, price):
        bk.get_candles(symbol, interval, 2)
        decided.append(minute_of(when))

    market(without(flat(501), *range(200, 210)), source, frame=(150, 450))
    bk.add_strategy("s", get_signal)
    run(on_gap="skip")
    length = bk.Interval.parse(interval)
    whole = [m for m in (*range(150, 201), *range(215, 451)) if not spans(length, m)]
    assert decided == whole
    facts = bk.Backtest.get_data().facts
    assert facts.not_enough_history == facts.decisions - len(whole)


def spans(length, minute):
    """Whether the last two candles of an interval before a minute have one of the minutes 200 to 209 in them."""
    stop = minute_of(length.floor(at(minute)))
    return stop - 2 * length.minutes < 210 and stop > 200


def test_f2_a_queued_signal_waits_in_a_gap_until_there_is_a_price_again(source, fast_forward, world):
    """The strategy is due at minute 60, in the gap; what was queued before is taken at the first tick with a price."""
    invalid = heard(world, SignalInvalid)

    def on_idle(event):
        if event.time == at(40):
            assert bk.commit_create_signal(SYMBOL, long(102, 98))

    market(without(flat(201), *range(45, 70)), source)
    bk.add_strategy("s", once(None), interval="1h", callbacks={"on_idle": on_idle})
    events = run(on_gap="skip", fast_forward=fast_forward)
    assert told(events)[:1] == [("opened", 75, 100.0)]
    assert invalid == []


def test_f2_gaps_stand_in_the_facts_and_in_the_report(source):
    market(without(flat(201), *range(45, 60), 80), source)
    bk.add_strategy("s", lambda symbol, when, price: long(102, 98, 500))
    run(on_gap="skip")
    data = bk.Backtest.get_data()
    assert data.facts.gaps == ((at(45), at(60)), (at(80), at(81)))
    assert [trade.close_reason for trade in data.trades] == ["gap", "gap", "frame_end"]
    assert "Gaps in the candles: 2" in bk.Backtest.get_report()
    assert "2024-01-01T00:45Z to 2024-01-01T01:00Z" in bk.Backtest.get_report()


def test_f2_a_gap_of_one_symbol_is_none_of_the_others(source, fast_forward):
    tables = {"A": without(flat(201), *range(45, 60)), "B": flat(201)}
    if source == "memory":
        given(tables, frame=(10, 100))
    else:
        bk.add_exchange("memory", lambda symbol, interval, since, limit: rows_of(tables[symbol], since, limit))
        bk.add_frame("frame", start=at(10), end=at(100))
    bk.add_strategy("s", once(long(110, 90)))
    events = run(["A", "B"], on_gap="skip", fast_forward=fast_forward)
    closed = [(event.symbol, minute_of(event.time), event.close_reason) for event in events if event.action == "closed"]
    assert closed == [("A", 45, "gap"), ("B", 100, "frame_end")]
    assert (bk.Backtest.get_data("A").facts.gaps, bk.Backtest.get_data("B").facts.gaps) == (((at(45), at(60)),), ())


def test_f2_a_gap_that_begins_the_frame_or_ends_it(source, fast_forward):
    market(without(flat(201), *range(8, 14), *range(95, 101)), source)
    asked = []

    def get_signal(symbol, when, price):
        asked.append(minute_of(when))
        return long(110, 90) if when == at(40) else None

    bk.add_strategy("s", get_signal)
    events = run(on_gap="skip", fast_forward=fast_forward)
    assert told(events) == [("opened", 40, 100.0), ("closed", 95, 100.0, "gap")]
    assert asked == list(range(19, 41))


# ---- what is no candle ----


def broken(table, minute, **parts):
    for name, value in parts.items():
        table[name][minute] = value
    return table


BROKEN = [
    ("no number", {"close": float("nan")}),
    ("zero", {"low": 0.0}),
    ("negative", {"open": -1.0, "low": -1.0}),
    ("infinite", {"high": float("inf")}),
    ("high below low", {"high": 90.0}),
    ("close outside", {"close": 120.0}),
    ("negative volume", {"volume": -1.0}),
    ("a thousandth", {"low": 0.01}),
]


@pytest.mark.parametrize("parts", [parts for _, parts in BROKEN], ids=[name for name, _ in BROKEN])
def test_f8_an_impossible_candle_is_named_with_symbol_interval_and_minute(parts, source):
    market(broken(flat(201), 50, **parts), source)
    bk.add_strategy("s", once(None))
    with pytest.raises(bk.DataError) as caught:
        run()
    assert (caught.value.symbol, caught.value.interval) == (SYMBOL, "1m")
    assert caught.value.first_bad == at(50)
    assert "00:50" in str(caught.value)


@pytest.mark.parametrize("order", [[0, 1, 2, 2, 3], [0, 2, 1, 3]], ids=["duplicate", "unsorted"])
def test_f3_f4_minutes_that_do_not_rise_are_refused_by_name(order, source):
    table = flat(201)
    rows = [*range(50), *(50 + each for each in order), *range(54, 201)]
    market({name: column[rows] for name, column in table.items()}, source)
    bk.add_strategy("s", once(None))
    with pytest.raises(bk.DataError, match="00:5"):
        run()


def test_a_frame_without_candles_says_what_there_is(source):
    market(flat(201), source, frame=(5000, 5100))
    bk.add_strategy("s", once(None))
    with pytest.raises(bk.DataError) as caught:
        run()
    assert caught.value.symbol == SYMBOL
    assert bk.Backtest.list()[0].status == "failed"


def test_an_unknown_symbol_says_which_there_are():
    given(flat(201))
    bk.add_strategy("s", once(None))
    with pytest.raises(bk.DataError, match="BTCUSDT"):
        run("BTCUSD")
