"""Indicators and parameters of a strategy: computed once, shown up to now; declared, checked, read-only."""

from __future__ import annotations

import numpy as np
import pandas
import pytest

import backtest_kit as bk
from tests.worlds import SYMBOL, at, fresh_world, given, minute_of, once, run, walk

world = pytest.fixture(autouse=True)(fresh_world)

TABLE = walk(900, 6)


def closes(candles):
    return {"close": candles.close.copy()}


def seen(look, hook=closes, interval="1m", frame=(600, 640), table=TABLE, **options):
    """What `look(context)` returns at every decision of a strategy with an indicator hook."""
    answers = []
    given(table, frame=frame)
    options = {"indicators": hook, **options}
    bk.add_strategy(
        "s", lambda *asked: answers.append((asked[1], look(bk.get_context()))), interval=interval, **options
    )
    assert run() == []
    return answers


# ---- indicators ----


@pytest.mark.parametrize("interval", ["1m", "5m", "15m", "1h"])
def test_an_indicator_ends_with_the_newest_closed_candle_of_the_strategys_interval(interval):
    minutes = bk.Interval.parse(interval).minutes
    answers = seen(
        lambda context: float(context.indicators["close"][-1]), interval=interval, frame=(600, 800), indicator_history=5
    )
    for when, last in answers:
        newest = int(minute_of(bk.Interval.parse(interval).floor(when)))
        assert last == TABLE["close"][newest - 1]
    assert len(answers) == 200 // minutes + 1


def test_an_indicator_column_has_the_rows_up_to_now_and_its_history():
    lengths = [length for _, length in seen(lambda context: len(context.indicators["close"]), indicator_history=50)]
    assert lengths == list(range(50, 91))


def test_the_history_of_an_indicator_is_as_long_as_the_market_allows():
    lengths = [length for _, length in seen(lambda context: len(context.indicators["close"]), frame=(20, 30))]
    assert lengths == list(range(20, 31))


def test_a_hook_is_computed_before_the_first_decision_and_not_at_every_one():
    calls = []

    def hook(candles):
        calls.append(len(candles))
        return closes(candles)

    seen(lambda context: context.indicators["close"][-1], hook)
    assert 1 <= len(calls) <= 6


def test_later_rows_of_an_indicator_are_not_in_its_memory():
    marked = {name: column.copy() for name, column in TABLE.items()}
    future = marked["close"][630] = (
        marked["low"][630] + marked["high"][630]
    ) / 2 + 1e-6  # all others have two decimals

    def look(context):
        column = context.indicators["close"]
        with pytest.raises(IndexError):
            column[len(column)]
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 1.0
        found = []
        while column is not None:
            memory = np.frombuffer(column, dtype=np.float64)
            found.append((memory == future).any())
            column = getattr(column, "base", None) if isinstance(column, np.ndarray) else getattr(column, "obj", None)
        return any(found)

    found = [(minute_of(when), found) for when, found in seen(look, table=marked)]
    assert found == [(minute, minute > 630) for minute in range(600, 641)]


def test_indicators_are_a_mapping_whose_unknown_columns_are_named():
    def look(context):
        with pytest.raises(KeyError, match="close"):
            context.indicators["fast"]
        return list(context.indicators), len(context.indicators), "close" in context.indicators

    assert seen(look)[0][1] == (["close"], 1, True)


def test_a_strategy_without_a_hook_has_no_columns():
    assert seen(lambda context: len(context.indicators), indicators=None)[0][1] == 0


def shifted_back(candles):
    return {"next close": np.concatenate([candles.close[1:], [np.nan]])}


def normalised(candles):
    return {"score": (candles.close - candles.close.mean()) / candles.close.std()}


def centred(candles):
    return {"mean": np.convolve(candles.close, np.ones(5) / 5, mode="same")}


@pytest.mark.parametrize("hook", [shifted_back, normalised, centred], ids=lambda hook: hook.__name__)
def test_a_hook_that_looks_ahead_is_found_out(hook):
    with pytest.raises(bk.LookAheadError, match="looks ahead") as caught:
        seen(lambda context: None, hook)
    assert "'s'" in str(caught.value)
    assert SYMBOL in str(caught.value)


@pytest.mark.parametrize(
    ("hook", "words"),
    [
        (lambda candles: candles.close, "named columns"),
        (lambda candles: None, "named columns"),
        (lambda candles: {"short": candles.close[1:]}, "shape"),
        (lambda candles: {"text": ["x"] * len(candles)}, "text"),
    ],
)
def test_a_hook_that_returns_rubbish_is_named(hook, words):
    with pytest.raises(bk.BacktestKitError, match=words) as caught:
        seen(lambda context: None, hook)
    assert "'s'" in str(caught.value)


def test_a_hook_that_raises_is_named():
    with pytest.raises(bk.BacktestKitError, match="division by zero") as caught:
        seen(lambda context: None, lambda candles: 1 / 0)
    assert "'s'" in str(caught.value)
    assert SYMBOL in str(caught.value)


def test_a_hook_may_return_a_frame():
    answers = seen(
        lambda context: float(context.indicators["close"][-1]), lambda candles: pandas.DataFrame(closes(candles))
    )
    assert [value for _, value in answers] == TABLE["close"][599:640].tolist()


def test_the_candles_of_a_hook_become_a_frame_as_those_of_a_window_do():
    answers = seen(
        lambda context: float(context.indicators["close"][-1]), lambda candles: candles.to_pandas()[["close"]]
    )
    assert [value for _, value in answers] == TABLE["close"][599:640].tolist()


def test_a_hook_cannot_change_the_candles_of_the_run():
    def hook(candles):
        with pytest.raises(ValueError, match="read-only"):
            candles.close[0] = 1.0
        return closes(candles)

    assert len(seen(lambda context: None, hook)) == 41


def test_indicators_of_every_symbol_are_its_own():
    other, found = walk(900, 7), []
    given({SYMBOL: TABLE, "ETHUSDT": other}, frame=(600, 602))
    look = lambda symbol, when, price: found.append((symbol, float(bk.get_context().indicators["close"][-1])))  # noqa: E731
    bk.add_strategy("s", look, indicators=closes)
    run([SYMBOL, "ETHUSDT"])
    assert found[:2] == [(SYMBOL, TABLE["close"][599]), ("ETHUSDT", other["close"][599])]


# ---- parameters ----


PARAMS = {
    "fast": bk.Param(10, low=5, high=50),
    "kind": bk.Param("ema", choices=("ema", "sma")),
    "slow": 30,
    "top": (70.0, 50, 90),
}


def with_params(params=None, **options):
    found = []
    given(TABLE, frame=(600, 600))
    bk.add_strategy("s", lambda *asked: found.append(bk.get_context().params), params=PARAMS, **options)
    run(**({} if params is None else {"params": params}))
    return found[0]


def test_parameters_are_read_by_name_with_their_defaults():
    params = with_params()
    assert (params.fast, params.kind, params.slow, params.top) == (10, "ema", 30, 70.0)
    assert (params["fast"], dict(params)["slow"], len(params)) == (10, 30, 4)
    assert repr(params) == "Params(fast=10, kind='ema', slow=30, top=70.0)"


def test_a_run_may_give_other_values():
    params = with_params({"fast": 50, "kind": "sma", "top": 60})
    assert (params.fast, params.kind, params.top, type(params.top)) == (50, "sma", 60.0, float)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"fast": 51}, "from 5 to 50"),
        ({"fast": 4, "top": 91}, "fast.*top"),
        ({"fast": 10.5}, "whole number"),
        ({"fast": "10"}, "whole number"),
        ({"kind": "wma"}, "ema"),
        ({"fst": 10}, "did you mean 'fast'"),
    ],
)
def test_values_that_cannot_be_are_refused_before_the_run(params, words):
    with pytest.raises(bk.ConfigError, match=words):
        with_params(params)


def test_parameters_are_read_only_and_unknown_ones_are_named():
    params = with_params()
    with pytest.raises(AttributeError, match="read-only"):
        params.fast = 11
    with pytest.raises(bk.UnknownNameError, match="did you mean 'fast'"):
        _ = params.fst
    with pytest.raises(bk.UnknownNameError, match="did you mean 'slow'"):
        _ = params["slo"]


@pytest.mark.parametrize(
    "params",
    [{"a": bk.Param}, {"a": None}, {"a": (1, 2)}, {"not a name": 1}, {"a": (5, 10, 20)}],
)
def test_declarations_that_cannot_be_are_refused(params):
    with pytest.raises(bk.ConfigError):
        bk.add_strategy("s", once(None), params=params)


def test_strategies_of_one_run_share_the_values_that_both_declare():
    found = {}
    given(TABLE, frame=(600, 600))
    for name, default in (("one", 10), ("two", 20)):
        bk.add_strategy(
            name,
            lambda *asked: found.update({bk.get_context().strategy_name: bk.get_context().params.fast}),
            params={"fast": default},
        )
    run(strategy_name=["one", "two"])
    assert found == {"one": 10, "two": 20}
    run(strategy_name=["one", "two"], params={"fast": 15})
    assert found == {"one": 15, "two": 15}


def test_the_minute_of_the_first_decision_is_that_of_the_frame():
    assert [when for when, _ in seen(lambda context: None, frame=(600, 601))] == [at(600), at(601)]
