"""Declarations by name: what is taken, what is refused, and what the message suggests."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from functools import partial

import numpy as np
import pandas as pd
import pytest

from backtest_kit.core.sizing import Sizing
from backtest_kit.core.values import Interval
from backtest_kit.errors import ConfigError, DuplicateNameError, UnknownNameError
from backtest_kit.registry import (
    ExchangeSchema,
    FrameSchema,
    Parameter,
    Registry,
    RiskSchema,
    SizingSchema,
    StrategySchema,
    declared,
    parse_time,
    resolve,
)

FEBRUARY = 1_769_904_000_000  # 2026-02-01T00:00Z


def never(symbol, when, price):
    return None


@pytest.fixture
def strategies() -> Registry[StrategySchema]:
    registry: Registry[StrategySchema] = Registry("strategy")
    for name in ("sma-cross", "breakout"):
        registry.add(StrategySchema.of(name, never))
    return registry


def test_declarations_are_found_by_name_and_listed_in_order(strategies):
    assert strategies.get("breakout").name == "breakout"
    assert [each.name for each in strategies.list()] == ["sma-cross", "breakout"]
    assert "breakout" in strategies
    assert len(strategies) == 2


def test_an_unknown_name_is_answered_with_the_nearest(strategies):
    with pytest.raises(UnknownNameError, match="unknown strategy 'sma_cros'; did you mean 'sma-cross'\\?"):
        strategies.get("sma_cros")


def test_a_name_is_taken_once_and_overridden_on_purpose(strategies):
    with pytest.raises(DuplicateNameError, match="'breakout' is registered already; override_strategy replaces it"):
        strategies.add(StrategySchema.of("breakout", never))
    strategies.override(StrategySchema.of("breakout", never, note="new"))
    assert strategies.get("breakout").note == "new"
    assert [each.name for each in strategies.list()] == ["sma-cross", "breakout"]


def test_only_what_exists_is_overridden_or_removed(strategies):
    with pytest.raises(UnknownNameError):
        strategies.override(StrategySchema.of("brakeout", never))
    with pytest.raises(UnknownNameError):
        strategies.remove("brakeout")
    assert strategies.remove("breakout").name == "breakout"
    assert "breakout" not in strategies


def test_the_only_declaration_need_not_be_named(strategies):
    with pytest.raises(
        ConfigError, match=r"several strategies are registered: 'sma-cross', 'breakout'; .*strategy_name"
    ):
        strategies.only()
    strategies.remove("breakout")
    assert strategies.only().name == "sma-cross"
    strategies.remove("sma-cross")
    with pytest.raises(ConfigError, match="no strategies are registered; add_strategy registers one"):
        strategies.only()


@pytest.mark.parametrize("name", ["", "  ", None, 5, "a\nb"])
def test_a_name_is_a_printable_text(name):
    with pytest.raises(ConfigError, match="the name of the strategy"):
        StrategySchema.of(name, never)
    with pytest.raises(ConfigError, match="the name of the exchange"):
        ExchangeSchema(name, object())
    with pytest.raises(ConfigError, match="the name of the sizing"):
        SizingSchema(name, Sizing(method="atr"))


@pytest.mark.parametrize(
    "value",
    [
        "2026-02-01",
        " 2026-02-01 ",
        "2026-02-01T00:00",
        "2026-02-01 00:00:00Z",
        "2026-02-01T02:00+02:00",
        date(2026, 2, 1),
        datetime(2026, 2, 1),
        datetime(2026, 2, 1, tzinfo=UTC),
        datetime(2026, 1, 31, 19, tzinfo=timezone(timedelta(hours=-5))),
        pd.Timestamp("2026-02-01"),
        FEBRUARY,
        np.int64(FEBRUARY),
    ],
    ids=repr,
)
def test_a_time_is_read_in_utc_from_any_form(value):
    assert parse_time(value) == FEBRUARY
    assert type(parse_time(value)) is int


def test_milliseconds_survive():
    assert parse_time("2026-02-01T00:00:00.001Z") == FEBRUARY + 1


@pytest.mark.parametrize("value", ["", "yesterday", "2026-02-30", None, 1.5, True, [1], pd.NaT])
def test_what_is_no_time_is_refused(value):
    with pytest.raises(ConfigError, match="time"):
        parse_time(value)


def test_a_frame_is_cut_to_whole_minutes():
    frame = FrameSchema.of("f", start="2026-02-01T00:00:59", end=FEBRUARY + 125_000, interval="5m", note="n")
    assert frame == FrameSchema("f", Interval.M5, FEBRUARY, FEBRUARY + 120_000, "n")


def test_a_frame_that_ends_before_it_starts_is_refused():
    with pytest.raises(ConfigError, match="frame 'f' ends before it starts: 2026-01-01 is before 2026-02-01"):
        FrameSchema.of("f", start="2026-02-01", end="2026-01-01")


def test_a_frame_may_lie_in_the_future():
    assert FrameSchema.of("f", start="2999-01-01", end="2999-02-01").start > FEBRUARY


def test_an_unknown_interval_of_a_frame_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="unknown interval '1min'; did you mean '1m'"):
        FrameSchema.of("f", start="2026-02-01", end="2026-02-02", interval="1min")


def test_a_risk_takes_one_validation_or_several():
    assert RiskSchema.of("r", never).validations == (never,)
    assert RiskSchema.of("r", [never, never]).validations == (never, never)
    with pytest.raises(ConfigError, match="a validation of risk 'r' must be a function, not 5"):
        RiskSchema.of("r", [never, 5])
    with pytest.raises(UnknownNameError, match="did you mean 'on_rejected'"):
        RiskSchema.of("r", never, callbacks={"on_reject": never})


def test_a_strategy_is_declared_as_users_write_it():
    schema = StrategySchema.of(
        "s",
        never,
        interval="15m",
        risk_names="careful",
        callbacks={"on_open": print},
        params={"fast": 10},
        note="n",
    )
    assert schema.interval is Interval.M15
    assert schema.risk_names == ("careful",)
    assert schema.callbacks == {"on_open": print}
    assert schema.parameters == {"fast": Parameter(10)}
    assert not schema.is_async


def test_a_strategy_that_is_awaited_is_recognised():
    async def get_signal(symbol, when, price): ...

    class Callable:
        async def __call__(self, symbol, when, price): ...

    for function in (get_signal, partial(get_signal, price=1), Callable()):
        assert StrategySchema.of("s", function).is_async


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"get_signal": None}, "get_signal of strategy 's' must be a function, not None"),
        ({"indicators": 5}, "indicators of strategy 's' must be a function, not 5"),
        ({"callbacks": {"on_open": 5}}, "on_open of strategy 's' must be a function, not 5"),
        (
            {"callbacks": {"on_opne": never}},
            "unknown callback of strategy 's' 'on_opne'; did you mean 'on_open'",
        ),
        ({"callbacks": {"onOpen": never}}, "did you mean 'on_open'"),
        ({"interval": "15min"}, "unknown interval '15min'; did you mean '15m'"),
        ({"params": {"fast": (10, 5)}}, "parameter 'fast': a tuple is \\(default, lowest, highest\\)"),
        ({"params": {"fast": (4, 5, 50)}}, "parameter 'fast': the default must be from 5 to 50, not 4"),
        (
            {"params": {"fast": None}},
            "parameter 'fast': a parameter is a number, true, false or a text, not None",
        ),
        ({"params": {"fast": [1]}}, "parameter 'fast': a parameter is a number"),
        ({"params": {"fa st": 1}}, "read as context.params.NAME, so 'fa st' cannot be its name"),
    ],
)
def test_a_strategy_that_cannot_be_is_refused(field, message):
    with pytest.raises(ConfigError, match=message):
        StrategySchema.of(**{"name": "s", "get_signal": never} | field)


def test_parameters_are_declared_in_three_forms():
    assert declared({"a": Parameter(10, low=5, high=50), "b": 10, "c": (10, 5, 50), "d": "ema", "e": True}) == {
        "a": Parameter(10, 5, 50),
        "b": Parameter(10),
        "c": Parameter(10, 5, 50),
        "d": Parameter("ema"),
        "e": Parameter(True),
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"default": "ema", "low": 1}, "only a number has limits"),
        ({"default": True, "high": 1}, "only a number has limits"),
        ({"default": 1, "low": 2}, "the default must be at least 2, not 1"),
        ({"default": 3, "high": 2}, "the default must be at most 2, not 3"),
        (
            {"default": "x", "choices": ("ema", "sma")},
            "the default must be one of \\('ema', 'sma'\\), not 'x'",
        ),
    ],
)
def test_a_parameter_that_contradicts_itself_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Parameter(**arguments)


PARAMETERS = declared({"fast": (10, 5, 50), "risk": (1.0, 0.5, 2.0), "kind": Parameter("ema", choices=("ema", "sma"))})


def test_given_values_stand_over_the_defaults():
    assert resolve(PARAMETERS, {}) == {"fast": 10, "risk": 1.0, "kind": "ema"}
    values = resolve(PARAMETERS, {"risk": 2, "kind": "sma"})
    assert values == {"fast": 10, "risk": 2.0, "kind": "sma"}
    assert type(values["risk"]) is float


def test_an_unknown_parameter_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="unknown parameter 'fsat'; did you mean 'fast'"):
        resolve(PARAMETERS, {"fsat": 1})


def test_all_values_that_cannot_be_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        resolve(PARAMETERS, {"fast": 51, "risk": "1", "kind": "wma"})
    assert str(caught.value) == (
        "fast must be from 5 to 50, not 51; risk must be a number, not '1'; "
        "kind must be one of ('ema', 'sma'), not 'wma'"
    )


@pytest.mark.parametrize("value", [10.5, True, None, "10", float("nan")])
def test_a_whole_number_stays_a_whole_number(value):
    with pytest.raises(ConfigError, match="fast must be a whole number"):
        resolve(PARAMETERS, {"fast": value})
