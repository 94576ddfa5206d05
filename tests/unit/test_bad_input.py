"""Bad input through the public face: wrong names and settings, strategies that raise or return rubbish (H1u, H8u)."""

from __future__ import annotations

import asyncio
import functools
from decimal import Decimal

import numpy as np
import pytest

import backtest_kit as bk
from backtest_kit.core.events import SignalInvalid
from backtest_kit.engine.notices import Failure
from tests.worlds import SYMBOL, at, flat, fresh_world, given, heard, long, minute_of, once, run, told

world = pytest.fixture(autouse=True)(fresh_world)


NOTHING = once(None)


def declared(get_signal=NOTHING, **options):
    given(flat(201), frame=(10, 40))
    bk.add_strategy("momentum", get_signal, **options)


# ---- wrong names ----


WRONG_NAMES = [
    ({"strategy_name": "momentun"}, "unknown strategy 'momentun'; did you mean 'momentum'"),
    ({"exchange_name": "memmory"}, "unknown exchange 'memmory'; did you mean 'memory'"),
    ({"frame_name": "fram"}, "unknown frame 'fram'; did you mean 'frame'"),
    ({"fast_foward": True}, "unknown setting 'fast_foward'; did you mean 'fast_forward'"),
    ({"exit_rule": "tuch"}, "exit_rule must be"),
    ({"params": {"fast": 1}}, "unknown parameter 'fast'"),
]


@pytest.mark.parametrize(("options", "words"), WRONG_NAMES, ids=[str(row[0]) for row in WRONG_NAMES])
@pytest.mark.parametrize("start", ["run", "background"])
def test_h8u_wrong_names_are_refused_at_once_with_the_nearest(options, words, start):
    declared()
    with pytest.raises(bk.ConfigError, match=words):
        getattr(bk.Backtest, start)(SYMBOL, **options)
    assert bk.Backtest.list() == ()


def test_an_unknown_risk_profile_is_refused_at_once():
    declared(risk_name="carefull")
    bk.add_risk("careful", validations=bk.at_most_open(1))
    with pytest.raises(bk.UnknownNameError, match="did you mean 'careful'"):
        bk.Backtest.run(SYMBOL)


def test_names_may_be_left_out_where_there_is_only_one():
    declared(once(long(102, 98, 3)))
    assert len(run()) == 2
    bk.add_frame("other", start=at(10), end=at(20))
    with pytest.raises(bk.ConfigError, match="frame_name"):
        run()


@pytest.mark.parametrize("symbols", ["", [], [""], [1], None, 5])
def test_symbols_are_names(symbols):
    declared()
    with pytest.raises(bk.ConfigError, match="symbol"):
        bk.Backtest.run(symbols)


def test_a_name_is_given_once():
    declared()
    with pytest.raises(bk.DuplicateNameError, match="override_strategy"):
        bk.add_strategy("momentum", once(None))
    with pytest.raises(bk.DuplicateNameError, match="override_frame"):
        bk.add_frame("frame", start=at(0), end=at(1))
    with pytest.raises(bk.DuplicateNameError, match="override_exchange"):
        bk.add_exchange("memory", lambda *asked: [])


def test_declarations_can_be_listed_and_changed():
    declared()
    bk.override_strategy("momentum", interval="5m", note="slower")
    (found,) = bk.list_strategies()
    assert (found.name, str(found.interval), found.note) == ("momentum", "5m", "slower")
    bk.override_frame("frame", end=at(100))
    assert bk.list_frames()[0].stop == at(100)
    bk.add_risk("r", validations=bk.at_most_open(1), note="one")
    bk.override_risk("r", validations=bk.at_most_open(2))
    assert (bk.list_risks()[0].note, len(bk.list_exchanges())) == ("one", 1)
    with pytest.raises(bk.ConfigError, match="intervall"):
        bk.override_strategy("momentum", intervall="5m")


def test_a_sizing_is_declared_and_asked():
    bk.add_sizing("half", method="fixed_percentage", risk_percent=1.0)
    assert bk.position_size("half", balance=10_000, price_open=100.0, price_stop_loss=95.0) == pytest.approx(20.0)
    with pytest.raises(bk.UnknownNameError, match="half"):
        bk.position_size("hlf", balance=1, price_open=1, price_stop_loss=2)
    with pytest.raises(bk.ConfigError, match="sizing"):
        bk.add_sizing("other", method="fixed_percentage", risk_percentage=1.0)
    assert [each.name for each in bk.list_sizings()] == ["half"]


@pytest.mark.parametrize(
    "frame",
    [
        {"start": "2024-13-01", "end": "2024-02-01"},
        {"start": "2024-02-01", "end": "2024-01-01"},
        {"start": None, "end": "2024-01-01"},
        {"start": "2024-01-01", "end": "2024-01-02", "interval": "7m"},
    ],
)
def test_a_frame_that_cannot_be_is_refused(frame):
    with pytest.raises(bk.ConfigError):
        bk.add_frame("frame", **frame)


# ---- settings ----


def test_settings_change_all_together_or_not_at_all():
    before = bk.get_config()
    with pytest.raises(bk.ConfigError) as caught:
        bk.set_config(fee_percent=0.2, slippage_percent=-1, exit_ruel="touch", on_gap="ignore")
    for words in ("slippage_percent", "exit_ruel", "did you mean 'exit_rule'", "on_gap"):
        assert words in str(caught.value)
    assert bk.get_config() == before
    assert bk.set_config(fee_percent=0.2).fee_percent == bk.get_config().fee_percent == 0.2


# ---- strategies that raise ----


def broken(minute=20):
    def get_signal(symbol, when, price):
        if when == at(minute):
            raise ZeroDivisionError("no volume")

    return get_signal


def broken_later(minute=20):
    async def get_signal(symbol, when, price):
        await asyncio.sleep(0)
        broken(minute)(symbol, when, price)

    return get_signal


@pytest.mark.parametrize("make", [broken, broken_later], ids=["def", "async def"])
def test_h1u_a_strategy_that_raises_ends_the_run_with_its_name_symbol_and_time(make):
    declared(make())
    words = "'momentum' on BTCUSDT at 2024-01-01 00:20 UTC raised ZeroDivisionError: no volume"
    with pytest.raises(bk.StrategyError, match=words) as caught:
        run()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("make", [broken, broken_later], ids=["def", "async def"])
def test_h1u_with_on_error_continue_it_is_an_event_a_count_and_no_decision(make, world):
    errors = heard(world, Failure)
    declared(make())
    assert run(on_error="continue") == []
    facts = bk.Backtest.get_data().facts
    assert (facts.errors, facts.decisions, facts.no_signal) == (1, 31, 30)
    assert [(error.symbol, minute_of(error.time), error.where) for error in errors] == [(SYMBOL, 20, "get_signal")]
    assert isinstance(errors[0].error, bk.StrategyError)
    assert "Errors of user code that did not end the run: 1" in bk.Backtest.get_report()


def test_h1u_a_strategy_that_raised_is_asked_again_in_its_next_interval():
    asked = []

    def get_signal(symbol, when, price):
        asked.append(minute_of(when))
        raise ValueError

    declared(get_signal, interval="15m")
    run(on_error="continue")
    assert asked == [10, 15, 30]


RAISED = [
    ("value", lambda: int("x")),
    ("unknown interval", lambda: bk.get_candles(SYMBOL, "7m", 1)),
    ("unknown symbol", lambda: bk.get_candles("NOBODY", "1m", 1)),
    ("later candles", lambda: bk.get_next_candles(SYMBOL, "1m", 1)),
    ("no order book", lambda: bk.get_order_book(SYMBOL)),
    ("command", lambda: bk.commit_average_buy(SYMBOL, -1)),
    ("stop iteration", lambda: next(iter(()))),
    ("keyboard", lambda: (_ for _ in ()).throw(bk.ConfigError("mine"))),
]


@pytest.mark.parametrize("fail", [fail for _, fail in RAISED], ids=[name for name, _ in RAISED])
def test_h1u_whatever_a_strategy_raises_the_message_has_strategy_symbol_and_time(fail):
    def get_signal(symbol, when, price):
        if when == at(20):
            fail()

    declared(get_signal)
    with pytest.raises(bk.BacktestKitError) as caught:
        run()
    shown = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", ())])
    for words in ("momentum", SYMBOL, "2024-01-01 00:20"):
        assert words in shown


def test_ctrl_c_in_a_strategy_is_not_swallowed():
    def get_signal(symbol, when, price):
        if when == at(20):
            raise KeyboardInterrupt

    declared(get_signal)
    with pytest.raises(KeyboardInterrupt):
        run(on_error="continue")
    assert bk.Backtest.list()[0].status == "interrupted"


def test_a_strategy_with_too_few_arguments_is_told_so():
    declared(lambda symbol: None)
    with pytest.raises(bk.StrategyError, match=r"momentum.*positional"):
        run()


# ---- strategies that return rubbish ----


RUBBISH = [
    5,
    "buy",
    True,
    [],
    ["long"],
    object(),
    1.5,
    (1, 2),
    b"x",
    np.zeros(3),
    {"position": "long"},
    {"side": "long"},
]


@pytest.mark.parametrize("answer", RUBBISH, ids=lambda answer: type(answer).__name__)
def test_rubbish_is_an_invalid_signal_with_symbol_time_and_reason(answer, world):
    invalid = heard(world, SignalInvalid)
    declared(once(answer))
    assert run() == []
    (event,) = invalid
    assert (event.symbol, minute_of(event.time), event.signal) == (SYMBOL, 10, None)
    assert len(event.reasons) >= 1
    facts = bk.Backtest.get_data().facts
    assert (facts.invalid_signal_count, facts.decisions, facts.no_signal) == (1, 31, 30)
    assert (facts.invalid_signals[0].time, facts.invalid_signals[0].reason) == (at(10), "; ".join(event.reasons))


def test_an_invalid_signal_says_all_that_is_wrong_with_it_at_once(world):
    invalid = heard(world, SignalInvalid)
    signal = {
        "position": "long",
        "price_take_profit": 99,
        "price_stop_loss": float("nan"),
        "cost": -1,
        "leverage": 0,
        "minute_estimated_time": 1.5,
    }
    declared(once(signal))
    run()
    text = "; ".join(invalid[0].reasons)
    for words in ("take profit", "price_stop_loss", "cost", "leverage", "minute_estimated_time"):
        assert words in text


WRONG_SIGNALS = [
    ("take too near", long(100.4, 98), "take profit is 0.4 %"),
    ("stop too near", long(102, 99.6), "stop loss is 0.4 %"),
    ("stop too far", long(102, 79), "21 %"),
    ("stop above", long(103, 102), "stop loss of a long"),
    ("life too long", long(102, 98, 1441), "1440"),
    ("life without limit", long(102, 98, None), "unlimited"),
    ("another symbol", long(102, 98, symbol="ETHUSDT"), "ETHUSDT"),
    ("no money", long(102, 98, cost=0.0), "cost"),
    (
        "text",
        bk.Signal("long", "102", 98),  # type: ignore[arg-type]
        "price_take_profit",
    ),
    ("beyond the stop already", long(102, 100.5, price_open=101.5), "market price"),
]


@pytest.mark.parametrize(("signal", "words"), [row[1:] for row in WRONG_SIGNALS], ids=[row[0] for row in WRONG_SIGNALS])
def test_every_rule_of_a_signal_is_checked(signal, words, world):
    invalid = heard(world, SignalInvalid)
    declared(once(signal))
    assert run() == []
    assert words in "; ".join(invalid[0].reasons)
    assert "Invalid signals: 1" in bk.Backtest.get_report()


def test_the_bounds_themselves_are_accepted():
    declared(once(long(100.5, 80, 1440)))
    assert told(run())[0] == ("opened", 10, 100.0)


def test_a_side_that_is_switched_off_is_refused(world):
    invalid = heard(world, SignalInvalid)
    declared(once(long(102, 98)))
    assert run(long_enabled=False) == []
    assert "long_enabled" in invalid[0].reasons[0]


def test_numbers_may_be_of_any_numeric_type():
    signal = {
        "position": "long",
        "price_take_profit": np.float64(102),
        "price_stop_loss": Decimal("98"),
        "cost": np.int64(50),
    }
    declared(once(signal))
    opened = run()[0]
    assert (opened.position.price_take_profit, opened.position.invested) == (102.0, 50.0)


def test_a_def_that_hands_on_what_an_async_def_returns_is_awaited():
    async def inner(symbol, when, price):
        await asyncio.sleep(0)
        return long(102, 98, 3) if when == at(20) else None

    def get_signal(*asked):
        return inner(*asked)

    declared(get_signal)
    assert told(run())[0] == ("opened", 20, 100.0)
    assert bk.Backtest.get_data().facts.invalid_signal_count == 0


def test_a_partial_of_an_async_def_and_an_object_that_is_called_like_one_are_async_strategies():
    async def inner(minute, symbol, when, price):
        await asyncio.sleep(0)
        return long(102, 98, 3) if when == at(minute) else None

    class Called:
        async def __call__(self, symbol, when, price):
            return await inner(20, symbol, when, price)

    declared(functools.partial(inner, 20))
    bk.add_strategy("called", Called())
    for name in ("momentum", "called"):
        assert told(run(strategy_name=name))[0] == ("opened", 20, 100.0)
