"""Shared risk through the shell: decided in the order of time, reserved, held and released; ways to say no."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

import backtest_kit as bk
from backtest_kit.core.events import RiskRejected
from backtest_kit.engine.notices import Failure
from tests.worlds import SYMBOL, at, flat, fresh_world, given, heard, long, minute_of, once, run, told, walk

world = pytest.fixture(autouse=True)(fresh_world)


@pytest.fixture(params=[True, False], ids=["fast", "slow"])
def fast_forward(request):
    return request.param


def decided_at(minutes, signal=None):
    """A strategy that signals on each symbol at a minute of its own."""

    def get_signal(symbol, when, price):
        return (signal or long(102, 98)) if when == at(minutes.get(symbol, -1)) else None

    return get_signal


# ---- in the order of time ----


def test_the_first_to_decide_gets_the_place_whatever_the_order_of_the_symbols(world, fast_forward):
    refused = heard(world, RiskRejected)
    given({name: flat(201) for name in "ABC"}, frame=(10, 150))
    bk.add_risk("one", validations=bk.at_most_open(1))
    bk.add_strategy("s", decided_at({"A": 30, "B": 20, "C": 40}), risk_name="one", interval="5m")
    for symbols in (["A", "B", "C"], ["C", "B", "A"]):
        events = run(symbols, fast_forward=fast_forward)
        assert [event.symbol for event in events if event.action == "opened"] == ["B"]
    assert [(event.symbol, minute_of(event.time), event.active) for event in refused] == [
        ("A", 30, 1),
        ("C", 40, 1),
    ] * 2
    assert bk.Backtest.get_data().facts.risk_rejections == 2


def test_a_place_is_free_again_on_the_tick_after_the_position_has_closed(world, fast_forward):
    given({"A": flat(201, {20: 103}), "B": flat(201)}, frame=(10, 100))
    bk.add_risk("one", validations=bk.at_most_open(1))
    bk.add_strategy("first", decided_at({"A": 10}), risk_name="one")
    bk.add_strategy("second", lambda symbol, when, price: long(102, 98) if symbol == "B" else None, risk_name="one")
    events = run(["A", "B"], strategy_name=["first", "second"], fast_forward=fast_forward)
    assert [(event.symbol, event.action, minute_of(event.time)) for event in events[:3]] == [
        ("A", "opened", 10),
        ("A", "closed", 20),
        ("B", "opened", 21),
    ]


def test_no_more_than_allowed_are_ever_open_in_a_random_market(fast_forward):
    given({name: walk(1500, number) for number, name in enumerate("ABCDE")}, frame=(10, 1400))
    most, now = [], set()
    bk.add_risk("three", validations=bk.at_most_open(3))

    @bk.strategy("s", risk_name="three")
    def get_signal(symbol, when, price):
        return bk.Signal.bracket("long", price, take_profit_percent=0.8, stop_loss_percent=0.8)

    for event in run(list("ABCDE"), fast_forward=fast_forward):
        (now.add if event.action == "opened" else now.discard)(event.symbol)
        most.append(len(now))
    assert max(most) == 3
    assert most.count(3) > 20


# ---- reservation ----


def test_a_scheduled_signal_holds_its_place_until_it_is_cancelled(world, fast_forward):
    refused = heard(world, RiskRejected)
    given({"A": flat(201), "B": flat(201)}, frame=(10, 150))
    bk.add_risk("one", validations=bk.at_most_open(1))
    waiting = long(102, 95, price_open=97.0)
    bk.add_strategy("a", decided_at({"A": 10}, waiting), risk_name="one")
    bk.add_strategy(
        "b", lambda symbol, when, price: long(102, 98) if symbol == "B" else None, risk_name="one", interval="5m"
    )
    events = run(["A", "B"], strategy_name=["a", "b"], fast_forward=fast_forward, schedule_await_minutes=20)
    assert [(event.symbol, event.action, minute_of(event.time)) for event in events[:3]] == [
        ("A", "scheduled", 10),
        ("A", "cancelled", 30),
        ("B", "opened", 31),
    ]
    assert [minute_of(event.time) for event in refused] == list(range(10, 31))


def test_the_own_reservation_does_not_count_when_a_scheduled_signal_is_entered(fast_forward):
    seen = []
    given(flat(201, candles={20: {"low": 98.0}}), frame=(10, 60))
    bk.add_risk(
        "one", validations=[bk.at_most_open(1), lambda check: seen.append((check.active_count, check.price_open))]
    )
    bk.add_strategy("s", once(long(102, 95, price_open=99.0)), risk_name="one")
    events = run(fast_forward=fast_forward)
    assert told(events)[:2] == [("scheduled", 10, 100.0), ("opened", 20, 99.0)]
    assert seen == [(0, 99.0), (0, 99.0)]


def test_a_refusal_at_the_entry_of_a_scheduled_signal_cancels_it_and_frees_the_place(world, fast_forward):
    refused = heard(world, RiskRejected)
    given({"A": flat(201, candles={20: {"low": 98.0}}), "B": flat(201)}, frame=(10, 60))
    bk.add_risk("early", validations=lambda check: "too late" if check.symbol == "A" and check.when > at(15) else None)
    bk.add_risk("one", validations=bk.at_most_open(1))
    bk.add_strategy("a", decided_at({"A": 10}, long(102, 95, price_open=99.0)), risk_names=["early", "one"])
    bk.add_strategy("b", decided_at({"B": 40}), risk_names=["one"])
    events = run(["A", "B"], strategy_name=["a", "b"], fast_forward=fast_forward)
    assert [(event.symbol, event.action, minute_of(event.time)) for event in events[:3]] == [
        ("A", "scheduled", 10),
        ("A", "cancelled", 20),
        ("B", "opened", 40),
    ]
    assert (events[1].reason, events[1].note) == ("risk", "too late")
    assert [(event.risk_name, minute_of(event.time)) for event in refused] == [("early", 20)]


def test_a_user_who_cancels_a_scheduled_signal_frees_its_place(fast_forward):
    given({"A": flat(201), "B": flat(201)}, frame=(10, 60))
    bk.add_risk("one", validations=bk.at_most_open(1))
    bk.add_strategy("a", decided_at({"A": 10}, long(102, 95, price_open=97.0)), risk_name="one")
    bk.add_strategy("b", decided_at({"B": 15, "C": 0}), risk_name="one")
    bk.listen_schedule_ping(lambda event: bk.commit_cancel_scheduled("A"), where=lambda event: event.time == at(12))
    events = run(["A", "B"], strategy_name=["a", "b"], fast_forward=fast_forward)
    assert [(event.symbol, event.action) for event in events[:3]] == [
        ("A", "scheduled"),
        ("A", "cancelled"),
        ("B", "opened"),
    ]


def test_what_is_sold_in_part_counts_with_the_rest(fast_forward):
    exposures = []
    given({"A": flat(201, {15: 105}), "B": flat(201)}, frame=(10, 60))
    bk.add_risk("all", validations=lambda check: exposures.append(check.portfolio.exposure))
    bk.add_strategy("s", decided_at({"A": 10, "B": 40}, long(110, 90)), risk_name="all")
    bk.listen_active_ping(lambda event: bk.commit_partial_profit("A", 25), where=lambda event: event.time == at(25))
    run(["A", "B"], fast_forward=fast_forward)
    assert exposures == [0.0, 75.0]


# ---- several profiles ----


def test_a_later_refusal_leaves_nothing_reserved(fast_forward):
    counts = []
    given({"A": flat(201), "B": flat(201)}, frame=(10, 60))
    bk.add_risk("open", validations=lambda check: counts.append((check.symbol, check.active_count)))
    bk.add_risk("closed", validations=lambda check: "never")
    bk.add_strategy("a", decided_at({"A": 10}), risk_names=["open", "closed"])
    bk.add_strategy("b", decided_at({"B": 20}), risk_names=["open"])
    events = run(["A", "B"], strategy_name=["a", "b"], fast_forward=fast_forward)
    assert [(event.symbol, event.action) for event in events[:1]] == [("B", "opened")]
    assert counts[0] == ("A", 0)
    assert counts[-1] == ("B", 0)


def test_only_books_of_the_same_profile_share_its_places():
    given({"A": flat(201), "B": flat(201)}, frame=(10, 60))
    bk.add_risk("one", validations=bk.at_most_open(1))
    bk.add_risk("other", validations=bk.at_most_open(1))
    bk.add_strategy("a", decided_at({"A": 10}), risk_name="one")
    bk.add_strategy("b", decided_at({"B": 20}), risk_name="other")
    events = run(["A", "B"], strategy_name=["a", "b"])
    assert [event.symbol for event in events if event.action == "opened"] == ["A", "B"]


# ---- ways to say no ----


async def later():
    await asyncio.sleep(0)
    return "no, later"


async def raising_later():
    await asyncio.sleep(0)
    raise ValueError("no, raised later")


WAYS_TO_REFUSE = [
    ("text", lambda check: "no", ("", "no")),
    ("false", lambda check: False, ("", "refused")),
    ("mapping", lambda check: {"id": "R1", "note": "no"}, ("R1", "no")),
    ("object", lambda check: SimpleNamespace(id="R2", note="no"), ("R2", "no")),
    ("exception", lambda check: [0][check.active_count + 1], ("", "list index out of range")),
    ("exception without a text", lambda check: next(iter(())), ("", "StopIteration")),
    ("async", lambda check: later(), ("", "no, later")),
    ("async exception", lambda check: raising_later(), ("", "no, raised later")),
]


@pytest.mark.parametrize(
    ("validation", "said"), [row[1:] for row in WAYS_TO_REFUSE], ids=[row[0] for row in WAYS_TO_REFUSE]
)
def test_a_validation_refuses_in_many_ways(validation, said, world):
    refused = heard(world, RiskRejected)
    given(flat(100), frame=(10, 12))
    bk.add_risk("never", validations=[lambda check: True, validation])
    bk.add_strategy("s", once(long(102, 98)), risk_name="never")
    assert run() == []
    event = refused[0]
    assert (event.reason_id, event.reason, event.risk_name) == (*said, "never")


@pytest.mark.parametrize("answer", [None, True])
def test_a_validation_agrees_with_nothing_or_true(answer):
    given(flat(100), frame=(10, 30))
    bk.add_risk("always", validations=lambda check: answer)
    bk.add_strategy("s", once(long(102, 98)), risk_name="always")
    assert run()[0].action == "opened"


def test_a_validation_sees_the_candidate_and_the_others(fast_forward):
    seen = []
    given({"A": flat(201), "B": flat(201)}, frame=(10, 60))
    bk.add_risk("all", validations=seen.append)
    bk.add_strategy("s", decided_at({"A": 10, "B": 20}), risk_name="all")
    run(["A", "B"], fast_forward=fast_forward)
    check = seen[1]
    assert (check.symbol, check.strategy_name, check.exchange_name, check.mode) == ("B", "s", "memory", "backtest")
    assert (check.price, check.price_open, minute_of(check.when), check.risk_name) == (100.0, 100.0, 20, "all")
    (other,) = check.active_positions
    assert (other.symbol, other.is_reserved, other.position.price_open, minute_of(other.since)) == (
        "A",
        False,
        100.0,
        10,
    )
    assert check.signal.price_take_profit == 102


def test_reward_to_risk_refuses_what_wins_too_little(world):
    refused = heard(world, RiskRejected)
    given(flat(100), frame=(10, 30))
    bk.add_risk("worth", validations=bk.reward_to_risk(2))

    @bk.strategy("s", risk_name="worth")
    def get_signal(symbol, when, price):
        return long(103, 98) if when == at(10) else long(104, 98)

    assert told(run())[:1] == [("opened", 11, 100.0)]
    assert "1.50" in refused[0].reason


def test_callbacks_of_a_profile_hear_both_verdicts_and_their_failure_is_no_verdict(world):
    allowed, rejected, errors = [], [], heard(world, Failure)

    def on_allowed(place):
        allowed.append(place.symbol)
        raise RuntimeError("broken")

    given({"A": flat(100), "B": flat(100)}, frame=(10, 12))
    callbacks = {"on_allowed": on_allowed, "on_rejected": lambda rejection: rejected.append(rejection.source.symbol)}
    bk.add_risk("one", validations=bk.at_most_open(1), callbacks=callbacks)
    bk.add_strategy("s", decided_at({"A": 10, "B": 11}), risk_name="one")
    events = run(["A", "B"])
    assert [event.action for event in events] == ["opened", "closed"]
    assert (allowed, rejected) == (["A"], ["B"])
    assert "on_allowed" in errors[0].where


# ---- the throttle ----


def asked_at(answer, interval="15m", frame=(10, 60), **options):
    """The minutes at which a strategy is asked that answers `answer(minute)`."""
    asked = []

    def get_signal(symbol, when, price):
        asked.append(minute_of(when))
        return answer(minute_of(when))

    given(flat(301), frame=frame)
    bk.add_strategy("s", get_signal, interval=interval, **options)
    run()
    return asked


def test_after_a_refusal_of_risk_the_strategy_is_asked_again_at_the_next_tick():
    bk.add_risk("late", validations=lambda check: "wait" if check.when < at(20) else None)
    asked = asked_at(lambda minute: long(102, 98, 3), risk_name="late", frame=(15, 50))
    assert asked == [15, 16, 17, 18, 19, 20, 30, 45]


def test_a_strategy_that_wanted_nothing_waits_for_its_next_interval():
    assert asked_at(lambda minute: None) == [10, 15, 30, 45, 60]


def test_an_invalid_signal_uses_its_interval_up():
    assert asked_at(lambda minute: long(50, 98)) == [10, 15, 30, 45, 60]
    assert bk.Backtest.get_data().facts.invalid_signal_count == 5


def test_a_close_does_not_ask_again_in_the_same_interval():
    assert asked_at(lambda minute: long(102, 98, 3)) == [10, 15, 30, 45, 60]


def test_a_queued_signal_that_no_longer_fits_gives_the_interval_back():
    asked = []
    given(flat(301, {13: 110}), frame=(10, 60))

    @bk.strategy("s", interval="15m", callbacks={"on_idle": lambda event: queue() if event.time == at(10) else None})
    def get_signal(symbol, when, price):
        asked.append(minute_of(when))

    def queue():
        assert bk.commit_create_signal(SYMBOL, long(100.6, 95))

    run()
    assert asked == [10, 16, 30, 45, 60]
    assert bk.Backtest.get_data().facts.invalid_signal_count == 1


def test_the_same_explicit_id_is_ignored_until_another_one_has_been_opened():
    ids = iter(["A", "A", "B", "A", "A", "B"])
    given(flat(301), frame=(10, 60))
    bk.add_strategy("s", lambda symbol, when, price: long(102, 98, 2, id=next(ids, "A")))
    opened = [event.signal.id for event in run() if event.action == "opened"]
    assert opened[:4] == ["A", "B", "A", "B"]
