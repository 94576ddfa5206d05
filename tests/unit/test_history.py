"""History: what is asked, checked, tried again, refused, and never asked twice."""

from __future__ import annotations

import time

import numpy as np
import pytest

from backtest_kit.core.candles import COLUMNS
from backtest_kit.core.values import MINUTE
from backtest_kit.engine.history import History, MarketBeginsLaterError
from backtest_kit.errors import ConfigError, ContextError, DataError, NotEnoughHistoryError
from backtest_kit.exchanges import MemoryExchange
from tests.unit.candle_feed import M1, MARKET, START, Feed, asked, at, rows_between, settings, without


def test_long_requests_are_paged_and_progress_is_told():
    feed, seen = Feed(), []
    history = History("feed", feed, settings(), on_page=lambda done, total: seen.append((done, total)))
    found = history.candles_now("X", M1, at(0), at(120))
    assert np.array_equal(found.close, MARKET.close[:120])
    assert [call[1:] for call in feed.calls] == [(0, 50), (50, 50), (100, 20)]
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_what_was_loaded_is_not_asked_for_again_and_only_the_missing_head_is_fetched():
    feed = Feed()
    history = History("feed", feed, settings())
    history.candles_now("X", M1, at(50), at(100))
    history.candles_now("X", M1, at(60), at(70))
    found = history.candles_now("X", M1, at(40), at(100))
    assert [call[1:] for call in feed.calls] == [(50, 50), (40, 10)]
    assert np.array_equal(found.close, MARKET.close[40:100])


def test_the_candles_are_views_of_what_is_held():
    history = History("memory", MemoryExchange({"X": MARKET}), settings())
    found = history.candles_now("X", M1, at(0), at(300))
    assert all(np.shares_memory(found[name], MARKET[name]) for name in COLUMNS)
    assert np.shares_memory(history.candles_now("X", M1, at(5), at(9)).close, found.close)


def test_nothing_asked_is_nothing_answered():
    feed = Feed()
    assert len(asked(feed, 5, 5)) == 0
    assert feed.calls == []


@pytest.mark.parametrize(("first", "last"), [(START + 1, START + MINUTE), (START + MINUTE, START)])
def test_a_range_that_is_none_is_refused(first, last):
    with pytest.raises(ConfigError, match="not a range of whole 1m candles"):
        History("feed", Feed(), settings()).candles_now("X", M1, first, last)


def spoiled(row: int, column: int, value):
    def change(rows, call):
        rows[row][column] = value
        return rows

    return change


BAD = {
    "F8 NaN": (spoiled(7, 4, float("nan")), "close is nan"),
    "F8 infinite": (spoiled(7, 2, float("inf")), "high is inf"),
    "F8 text": (spoiled(7, 4, "n/a"), "close 'n/a' is not a number"),
    "F8 nothing": (spoiled(7, 5, None), "volume"),
    "F8 zero": (spoiled(7, 3, 0.0), "low 0 is not above zero"),
    "F8 negative": (spoiled(7, 1, -1.0), "open -1 is not above zero"),
    "negative volume": (spoiled(7, 5, -1.0), "volume -1 is below zero"),
    "high below low": (spoiled(7, 2, 1.0), "high 1.0 is below low"),
    "open outside": (spoiled(7, 1, 1e6), "open 1000000.0 is outside of low"),
    "close outside": (spoiled(7, 4, 1.0), "close 1.0 is outside of low"),
    "F9 a thousandth": (
        lambda rows, call: [*rows[:7], [rows[7][0], *(p / 2000 for p in rows[7][1:5]), 1], *rows[8:]],
        "far below",
    ),
    "F3 duplicate": (lambda rows, call: [*rows[:8], rows[7], *rows[8:]], "duplicate candle"),
    "F4 unsorted": (lambda rows, call: [*rows[:6], rows[7], rows[6], *rows[8:]], "unsorted"),
    "F4 newest first": (lambda rows, call: rows[::-1], "unsorted"),
    "F2 gap": (lambda rows, call: rows[:7] + rows[8:], "is missing"),
    "F10 short": (lambda rows, call: rows[:7], "candle 2024-01-01T00:07Z and the 12 after it are missing"),
    "before since": (lambda rows, call: [[START - MINUTE, *rows[0][1:]], *rows], "before since"),
    "off the grid": (spoiled(7, 0, START + 7 * MINUTE + 1000), "not the opening time"),
    "F11 html": (lambda rows, call: "<html>sorry</html>", "<html>"),
    "F11 nothing": (lambda rows, call: None, "NoneType"),
    "F11 cut": (lambda rows, call: [*rows[:7], rows[7][:3]], "row 7 is not"),
    "F11 error object": (lambda rows, call: {"code": -1003, "msg": "slow down"}, "no column"),
}


@pytest.mark.parametrize("kind", BAD)
def test_f2_f3_f4_f8_f9_f10_f11_a_bad_answer_is_tried_three_times_and_then_refused(kind):
    change, words = BAD[kind]
    feed = Feed(change)
    with pytest.raises(DataError, match=words) as caught:
        asked(feed, 0, 20)
    assert len(feed.calls) == 3
    assert caught.value.symbol == "X"
    assert caught.value.interval == "1m"
    assert "X 1m candles of feed from 2024-01-01T00:00Z to 2024-01-01T00:20Z" in str(caught.value)


@pytest.mark.parametrize(
    "kind", ["F8 NaN", "F8 zero", "high below low", "F9 a thousandth", "F2 gap", "F3 duplicate", "F10 short"]
)
def test_the_first_bad_minute_is_named(kind):
    with pytest.raises(DataError, match="2024-01-01T00:07Z") as caught:
        asked(Feed(BAD[kind][0]), 0, 20)
    assert caught.value.first_bad == at(7)


@pytest.mark.parametrize("kind", BAD)
def test_f11_a_bad_answer_that_passes_is_forgotten(kind):
    feed = Feed(lambda rows, call: BAD[kind][0](rows, call) if call < 3 else rows)
    assert np.array_equal(asked(feed, 0, 20).close, MARKET.close[:20])


def test_a_failed_call_is_tried_three_times_and_its_cause_is_kept():
    def fail(rows, call):
        raise ConnectionError("no route")

    feed = Feed(fail)
    with pytest.raises(DataError, match="ConnectionError: no route") as caught:
        asked(feed, 0, 20)
    assert len(feed.calls) == 3
    assert isinstance(caught.value.__cause__, ConnectionError)


def test_what_the_package_raises_on_purpose_is_not_tried_again():
    def refuse(rows, call):
        raise ContextError("there is no such thing")

    feed = Feed(refuse)
    with pytest.raises(ContextError, match="no such thing"):
        asked(feed, 0, 20)
    assert len(feed.calls) == 1


def test_tries_are_a_delay_apart():
    feed = Feed(lambda rows, call: rows if call == 3 else [])
    began = time.perf_counter()
    asked(feed, 0, 20, candle_retry_delay_seconds=0.02)
    assert time.perf_counter() - began >= 0.04


def test_f5_forming_and_later_candles_are_dropped():
    feed = Feed(lambda rows, call: rows_between(rows[0][0], at(300)))
    found = asked(feed, 0, 20)
    assert found.stop == at(20)
    assert np.array_equal(found.close, MARKET.close[:20])


def test_f5_a_later_candle_may_be_malformed_because_nobody_looks_at_it():
    feed = Feed(lambda rows, call: [*rows, [at(20), 0, -1, float("nan"), 0, 0]])
    assert len(asked(feed, 0, 20)) == 20


def test_f2_gaps_are_rows_of_nan_and_listed_when_they_may_be_skipped():
    feed = Feed(candles=without(7, 8, 50, 51, 99))
    history = History("feed", feed, settings(on_gap="skip"))
    found = history.candles_now("X", M1, at(0), at(150))
    assert np.flatnonzero(np.isnan(found.close)).tolist() == [7, 8, 50, 51, 99]
    assert history.gaps("X") == [(at(7), at(9)), (at(50), at(52)), (at(99), at(100))]
    assert history.gaps("Y") == []


def test_f2_a_gap_with_later_candles_behind_it_is_believed_at_once():
    feed = Feed(candles=without(7))
    asked(feed, 0, 50, on_gap="skip")
    assert len(feed.calls) == 1


def test_f1_a_missing_end_is_asked_for_again_the_next_time():
    feed = Feed(lambda rows, call: rows[:15] if call <= 3 else rows)
    history = History("feed", feed, settings(on_gap="skip"))
    assert np.isnan(history.candles_now("X", M1, at(0), at(20)).close).sum() == 5
    assert np.isnan(history.candles_now("X", M1, at(0), at(20)).close).sum() == 0


def test_f14_an_outage_of_many_pages_does_not_wait_for_every_page():
    feed = Feed(candles=without(*range(40, 260)))
    found = asked(feed, 0, 300, on_gap="skip")
    assert np.isnan(found.close).sum() == 220
    assert len(feed.calls) <= 6 + 2 + 2


@pytest.mark.parametrize("on_gap", ["raise", "skip"])
@pytest.mark.parametrize("begins", [3, 60, 137, 299])
def test_f10_a_market_that_begins_later_says_from_when_it_is_there(begins, on_gap):
    feed = Feed(candles=MARKET[begins:])
    history = History("feed", feed, settings(on_gap=on_gap))
    with pytest.raises(MarketBeginsLaterError, match="the market begins at") as caught:
        history.candles_now("X", M1, at(0), at(300))
    assert caught.value.available_from == at(begins)
    assert isinstance(caught.value, NotEnoughHistoryError)
    calls = len(feed.calls)
    with pytest.raises(MarketBeginsLaterError):
        history.candles_now("X", M1, at(1), at(300))
    assert len(feed.calls) == calls
    assert len(history.candles_now("X", M1, at(begins), at(300))) == 300 - begins


def test_f10_a_source_that_answers_with_its_first_candles_is_asked_once():
    def change(rows, call):
        return rows or rows_between(at(137), at(187))

    feed = Feed(change, MARKET[137:])
    with pytest.raises(MarketBeginsLaterError) as caught:
        asked(feed, 0, 300)
    assert caught.value.available_from == at(137)
    assert len(feed.calls) == 1


def test_f10_history_before_what_is_loaded_ends_where_the_market_begins():
    feed = Feed(candles=MARKET[100:])
    history = History("feed", feed, settings())
    history.candles_now("X", M1, at(100), at(150))
    with pytest.raises(MarketBeginsLaterError) as caught:
        history.candles_now("X", M1, at(60), at(150))
    assert caught.value.available_from == at(100)


def test_f10_a_symbol_without_any_candle_is_found_out_with_few_calls():
    feed = Feed(lambda rows, call: [])
    with pytest.raises(DataError, match="the exchange has none; check the symbol and the dates") as caught:
        asked(feed, 0, 300)
    assert not isinstance(caught.value, NotEnoughHistoryError)
    assert len(feed.calls) == 4


def test_an_unsound_candle_in_memory_is_refused_without_trying_again():
    rows = rows_between(at(0), at(100))
    rows[42][4] = -1.0
    with pytest.raises(
        DataError, match="candle 2024-01-01T00:42Z: close -1 is not above zero; correct or remove"
    ) as caught:
        asked(MemoryExchange({"X": rows}), 0, 100, candle_retry_delay_seconds=60)
    assert caught.value.first_bad == at(42)
    assert len(asked(MemoryExchange({"X": rows}), 0, 42)) == 42


def test_f2_a_gap_in_memory_is_refused_or_skipped():
    exchange = MemoryExchange({"X": without(42)})
    with pytest.raises(DataError, match='candle 2024-01-01T00:42Z is missing; set on_gap="skip"'):
        asked(exchange, 0, 100)
    assert np.flatnonzero(np.isnan(asked(exchange, 0, 100, on_gap="skip").close)).tolist() == [42]


def test_an_unknown_symbol_in_memory_is_refused_with_those_that_exist():
    with pytest.raises(DataError, match="has none of X; it has BTCUSDT, ETHUSDT"):
        asked(MemoryExchange({"BTCUSDT": MARKET, "ETHUSDT": MARKET}), 0, 10)


def test_a_range_outside_of_the_data_is_refused_with_the_range_of_the_data():
    exchange = MemoryExchange({"X": MARKET})
    with pytest.raises(DataError, match="the data reach from 2024-01-01T00:00Z to 2024-01-01T05:00Z"):
        asked(exchange, 300, 310)
    with pytest.raises(DataError, match="candle 2024-01-01T05:00Z and the 9 after it are missing"):
        asked(exchange, 290, 310)
    with pytest.raises(MarketBeginsLaterError) as caught:
        asked(exchange, -10, 10)
    assert caught.value.available_from == at(0)


def test_f2_an_end_beyond_the_data_is_a_gap_when_gaps_are_skipped():
    history = History("memory", MemoryExchange({"X": MARKET}), settings(on_gap="skip"))
    assert np.isnan(history.candles_now("X", M1, at(290), at(310)).close).sum() == 10
    assert history.gaps("X") == [(at(300), at(310))]
