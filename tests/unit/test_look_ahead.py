"""By no way can a strategy see a candle that has not closed yet (F12), nor change one that others see (H6u)."""

from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import backtest_kit as bk
from tests.worlds import (
    COLUMNS,
    MINUTE,
    SYMBOL,
    at,
    fresh_app,
    fresh_world,
    in_memory,
    minute_of,
    naive,
    run,
    seen,
    walk,
)

world = pytest.fixture(autouse=True)(fresh_world)

TABLE = walk(4320, seed=7)
FUTURE = 7_777.0  # every price from some minute on, and none before it


def seen_before(look: Any, **options: Any) -> list[Any]:
    """The same at the ticks from 2000 to 2020 of a run whose candles are other ones from 2020 on (`FUTURE`)."""
    in_memory(cut(TABLE, 2020))
    answers = seen(lambda *asked: look(*asked) if asked[1] <= at(2020) else None, (2000, 2040), **options)
    return answers[:21]


def cut(table: dict[str, Any], minute: int) -> dict[str, Any]:
    """The table with a market after a minute that is altogether another one."""
    later = {name: column.copy() for name, column in table.items()}
    for name in COLUMNS:
        later[name][minute:] = FUTURE
    return later


# ---- never more than that ----


LATER = [
    ("next candles", lambda symbol, when: bk.get_next_candles(symbol, "1m", 1)),
    (
        "next candles by name",
        lambda symbol, when: bk.get_next_candles(symbol, "1m", 1, exchange_name="memory", when=when),
    ),
    ("next candles of the context", lambda symbol, when: bk.get_context().get_next_candles(symbol, "1m", 1)),
    ("raw to the next minute", lambda symbol, when: bk.get_raw_candles(symbol, "1m", limit=2, end=when + MINUTE)),
    ("raw from now", lambda symbol, when: bk.get_raw_candles(symbol, "1m", start=when, limit=1)),
    ("raw from before to after", lambda symbol, when: bk.get_raw_candles(symbol, "1m", start=when - MINUTE, limit=2)),
    ("raw of a forming hour", lambda symbol, when: bk.get_raw_candles(symbol, "1h", start=when - 7200_000, limit=3)),
]


@pytest.mark.parametrize("ask", [ask for _, ask in LATER], ids=[name for name, _ in LATER])
def test_asking_for_later_candles_raises(ask):
    in_memory(TABLE)

    def look(symbol, when, price):
        with pytest.raises(bk.LookAheadError):
            ask(symbol, when)
        return True

    assert all(seen(look, (2005, 2010)))


def test_a_strategy_that_asks_for_later_candles_ends_the_run_with_that_error():
    in_memory(TABLE)
    with pytest.raises(bk.LookAheadError, match="future"):
        seen(lambda symbol, when, price: bk.get_next_candles(symbol, "1m", 5))


def test_outside_of_a_run_next_candles_label_what_is_past():
    in_memory(TABLE)
    window = bk.get_next_candles(SYMBOL, "5m", 3, exchange_name="memory", when=at(2001))
    wanted = naive(TABLE, 2005, 2020, 5)
    assert window.time.tolist() == wanted["timestamp"]
    assert window.close.tolist() == wanted["close"]


def bases(array: Any) -> list[Any]:
    """The arrays and buffers that an array leads back to."""
    found = []
    while array is not None:
        found.append(array)
        array = getattr(array, "base", None) if isinstance(array, np.ndarray) else getattr(array, "obj", None)
    return found


def holds_future(thing: Any) -> bool:
    """Whether the number that only later candles have is somewhere in the memory of this."""
    try:
        numbers = np.frombuffer(thing, dtype=np.float64)
    except (TypeError, ValueError, BufferError):
        return False
    return bool((numbers == FUTURE).any())


@pytest.mark.parametrize("interval", ["1m", "5m", "1h"])
def test_no_column_leads_back_to_memory_that_has_later_candles(interval):
    def look(symbol, when, price):
        window = bk.get_candles(symbol, interval, 5)
        columns = [window[name] for name in COLUMNS]
        return [holds_future(each) for column in columns for each in bases(column)]

    answers = seen_before(look)
    assert all(len(found) > len(COLUMNS) for found in answers)
    assert not any(any(found) for found in answers)


def test_the_search_for_later_candles_finds_them_once_they_have_closed():
    in_memory(cut(TABLE, 2020))
    window = seen(lambda symbol, when, price: bk.get_candles(symbol, "1m", 5), (2022, 2022))[0]
    assert window.close.tolist()[-2:] == [FUTURE, FUTURE]
    assert any(holds_future(each) for each in bases(window.close))


WIDER = [
    ("rows", lambda window: window.rows(0, 20)),
    ("rows from the end", lambda window: window.rows(5, 20)),
    ("slice", lambda window: window[0:20]),
    ("between", lambda window: window.between(window.start, window.stop + 20 * MINUTE)),
    ("closed by a later time", lambda window: window.closed_by(window.stop + 20 * MINUTE)),
    ("resampled", lambda window: window.resampled(bk.Interval.M5)),
    ("array interface", lambda window: _by_interface(window.close, 20)),
    ("strides", lambda window: np.lib.stride_tricks.as_strided(window.close, shape=(20,), strides=(8,))),
    ("base", lambda window: window.close.base),
]


def _by_interface(column: Any, rows: int) -> Any:
    wider = {**column.__array_interface__, "shape": (rows,), "strides": None}
    return np.array(SimpleNamespace(__array_interface__=wider))


@pytest.mark.parametrize("widen", [widen for _, widen in WIDER], ids=[name for name, _ in WIDER])
def test_no_way_of_cutting_a_window_makes_it_reach_further(widen):
    def look(symbol, when, price):
        window = bk.get_candles(symbol, "1m", 5)
        try:
            wider = widen(window)
        except (ValueError, IndexError, bk.LookAheadError):
            return []
        if isinstance(wider, bk.Candles):
            return [number for name in COLUMNS for number in wider[name].tolist()]
        return np.asarray(wider).tolist()

    for found in seen_before(look):
        assert FUTURE not in found


def test_a_window_that_was_kept_does_not_grow():
    in_memory(cut(TABLE, 2005))
    kept = []

    def look(symbol, when, price):
        kept.append((when, bk.get_candles(symbol, "1m", 3)))
        return [(minute_of(since), window.close.tolist(), window.time.tolist()) for since, window in kept]

    for since, closes, times in seen(look, (2003, 2009))[-1]:
        assert times == [at(since - 3), at(since - 2), at(since - 1)]
        assert closes == [float(cut(TABLE, 2005)["close"][int(since) - k]) for k in (3, 2, 1)]


def test_h6u_a_strategy_cannot_write_into_the_candles_of_others():
    in_memory(TABLE)

    def look(symbol, when, price):
        window = bk.get_candles(symbol, "1m", 5)
        for column in (window.close, window.high):
            with pytest.raises(ValueError, match="read-only"):
                column[0] = 1.0
            with pytest.raises(ValueError, match="WRITEABLE"):
                column.flags.writeable = True
            with pytest.raises((ValueError, TypeError)):
                column.base.flags.writeable = True
            with pytest.raises(ValueError, match="read-only"):
                column.sort()
        return window.close.tolist()

    for number, closes in enumerate(seen(look)):
        assert closes == TABLE["close"][1995 + number : 2000 + number].tolist()


def test_h6u_data_that_a_strategy_gets_as_a_frame_is_its_own():
    in_memory(TABLE)

    def look(symbol, when, price):
        frame = bk.get_candles(symbol, "1m", 5).to_pandas()
        frame.loc[:, "close"] = 1.0
        return bk.get_candles(symbol, "1m", 5).close.tolist()

    assert seen(look)[0] == TABLE["close"][1995:2000].tolist()


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda window: pickle.loads(pickle.dumps(window))])
def test_a_copied_window_has_the_same_candles_and_no_later_ones(copied):
    def look(symbol, when, price):
        window = bk.get_candles(symbol, "1m", 5)
        again = copied(window)
        leak = any(holds_future(each) for name in COLUMNS for each in bases(again[name]))
        return again.close.tolist() == window.close.tolist(), again.time.tolist() == window.time.tolist(), leak

    assert set(seen_before(look)) == {(True, True, False)}


def test_a_pickled_window_does_not_carry_later_candles():
    marker = np.float64(FUTURE).tobytes()
    pickles = seen_before(lambda symbol, when, price: pickle.dumps(bk.get_candles(symbol, "1m", 5)))
    assert not any(marker in each for each in pickles)


def public_parts(thing: Any) -> list[tuple[str, Any]]:
    """What stands behind a thing's public names, and its items."""
    parts = []
    for name in dir(thing):
        if not name.startswith("_"):
            try:
                parts.append((f".{name}", getattr(thing, name)))
            except (bk.BacktestKitError, AttributeError, KeyError):
                continue
    if isinstance(thing, dict):
        parts += [(f"[{key!r}]", value) for key, value in thing.items()]
    elif isinstance(thing, (list, tuple)):
        parts += [(f"[{number}]", value) for number, value in enumerate(thing[:20])]
    return [(name, part) for name, part in parts if _worth_following(part)]


def _worth_following(part: Any) -> bool:
    return not callable(part) and not isinstance(part, (str, int, float, bool, bytes, type(None)))


def public_ways_to_the_future(thing: Any, depth: int = 4) -> list[str]:
    """The shortest chains of public names that lead from a thing to an array with later candles in it."""
    found, here, known = [], [("", thing)], {id(thing): thing}
    for _ in range(depth):
        following = []
        for path, each in here:
            for name, part in [] if isinstance(each, np.ndarray) else public_parts(each):
                if id(part) in known:
                    continue
                known[id(part)] = part
                if isinstance(part, np.ndarray) and part.dtype == np.float64 and (part == FUTURE).any():
                    found.append(path + name)
                following.append((path + name, part))
        here = following
    return found


def test_no_public_name_of_what_a_strategy_is_given_leads_to_later_candles():
    def look(symbol, when, price):
        window = bk.get_candles(symbol, "1m", 5)
        return {
            "context": public_ways_to_the_future(bk.get_context()),
            "candles": public_ways_to_the_future(window),
            "indicators": public_ways_to_the_future(bk.get_context().indicators),
        }

    hook = {"indicators": lambda candles: {"close": candles.close.copy()}}
    assert seen_before(look, **hook)[0] == {"context": [], "candles": [], "indicators": []}


# ---- changing later candles changes nothing earlier ----


def story(table: dict[str, Any], other: dict[str, Any], symbols: Any = SYMBOL) -> list[Any]:
    """All that a strategy that reads everything it can sees and does, with the time at which it does."""
    log: list[Any] = []

    def read(symbol: str, when: int, price: float) -> list[float]:
        windows = [bk.get_candles(name, interval, 4) for name in (SYMBOL, "ETHUSDT") for interval in ("1m", "5m", "1h")]
        sums = [float(window[name].sum()) for window in windows for name in COLUMNS]
        fast = bk.get_context().indicators["mean"]
        more = [bk.get_average_price("ETHUSDT"), bk.get_close_price(symbol, "15m"), float(fast[-1]), len(fast), price]
        return [*sums, *map(float, more)]

    def get_signal(symbol: str, when: int, price: float) -> Any:
        numbers = read(symbol, when, price)
        log.append((when, "asked", numbers))
        if int(sum(numbers) * 100) % 3 == 0:
            return bk.Signal.bracket("long", price, take_profit_percent=1, stop_loss_percent=1)
        return None

    def on_event(event: Any) -> None:
        log.append((bk.get_context().when, event.action, event.time, event.price, bk.get_position()))

    bk.add_exchange("memory", bk.MemoryExchange({SYMBOL: table, "ETHUSDT": other}))
    bk.add_frame("frame", start=at(400), end=at(900))
    callbacks = {"on_tick": on_event, "on_partial_profit": on_event, "on_partial_loss": on_event}
    bk.add_strategy("s", get_signal, interval="3m", callbacks=callbacks, indicators=rolling_mean)
    run(symbols)
    return log


def rolling_mean(candles: Any) -> dict[str, Any]:
    closes = candles.close
    mean = np.full(len(closes), np.nan)
    mean[2:] = (closes[2:] + closes[1:-1] + closes[:-2]) / 3
    return {"mean": mean}


@pytest.mark.parametrize("minute", [401, 402, 500, 555, 600, 733, 899])
def test_changing_later_candles_changes_nothing_earlier(minute):
    tables = [walk(1000, seed) for seed in (1, 2)]
    stories = []
    for each in (tables, [blended(table, walk(1000, 90), minute) for table in tables]):
        with fresh_app():
            stories.append([entry for entry in story(*each) if entry[0] <= at(minute)])
    assert stories[0] == stories[1]
    assert len(stories[0]) > 0


def test_the_story_of_a_strategy_has_trades_in_it_and_differs_once_the_candles_do():
    tables = [walk(1000, seed) for seed in (1, 2)]
    stories = []
    for each in (tables, [blended(table, walk(1000, 90), 600) for table in tables]):
        with fresh_app():
            stories.append(story(*each))
    assert {"asked", "opened", "active", "closed"} <= {entry[1] for entry in stories[0]}
    assert stories[0] != stories[1]


def blended(table: dict[str, Any], other: dict[str, Any], minute: int) -> dict[str, Any]:
    """The first table up to a minute, the other from there on."""
    return {name: np.concatenate([column[:minute], other[name][minute:]]) for name, column in table.items()}
