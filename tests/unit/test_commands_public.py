"""Commands through the public functions: from listeners, callbacks, siblings, between results, and from outside."""

from __future__ import annotations

import pytest

import backtest_kit as bk
from backtest_kit.core.events import Committed
from tests.worlds import SYMBOL, approx, at, flat, fresh_world, given, heard, long, minute_of, once, run, short, told

world = pytest.fixture(autouse=True)(fresh_world)


@pytest.fixture(params=[True, False], ids=["fast", "slow"])
def fast_forward(request):
    return request.param


def at_pings(commands, levels=None, signal=None, frame=(10, 100), **settings):
    """The results of one position and the answers of commands given in the active pings of some minutes."""
    answers = {}

    def on_ping(event):
        minute = minute_of(event.time)
        if minute in commands:
            answers[minute] = commands[minute]()

    given(flat(301, levels), frame=frame)
    bk.add_strategy("s", once(signal or long(110, 90)), callbacks={"on_active_ping": on_ping})
    events = run(**settings)
    return events, answers


# ---- every command ----


def test_partial_exits_take_percent_or_money(fast_forward):
    held = []

    def sell(**how):
        def command():
            answer = bk.commit_partial_profit(SYMBOL, **how)
            position = bk.get_position()
            held.append((position.held_percent, position.held_cost))
            return answer

        return command

    commands = {25: sell(percent=50), 26: sell(cost=10.0), 27: sell(cost=1000.0)}
    events, answers = at_pings(commands, {15: 105}, fast_forward=fast_forward)
    assert [bool(answer) for answer in answers.values()] == [True, True, False]
    assert "held" in answers[27].reason
    assert held == [(50.0, 50.0), (approx(40.0), approx(40.0)), (approx(40.0), approx(40.0))]
    assert [each.percent for each in events[-1].position.exits] == [50.0, approx(20.0)]


def test_partial_losses_and_trailed_takes_and_absolute_levels(fast_forward):
    levels = []

    def level(function, **how):
        def command():
            answer = function(SYMBOL, **how)
            position = bk.get_position()
            levels.append((position.price_take_profit, position.price_stop_loss))
            return answer

        return command

    commands = {
        20: lambda: bk.commit_partial_loss(SYMBOL, 20),
        21: level(bk.commit_trailing_stop, stop_price=92.0),
        22: level(bk.commit_trailing_take, take_price=105.0),
        23: level(bk.commit_trailing_take, percent_shift=-3),
        24: level(bk.commit_trailing_take, take_price=104.0),
    }
    _, answers = at_pings(commands, {15: 96}, fast_forward=fast_forward)
    assert [bool(answer) for answer in answers.values()] == [True, True, True, False, True]
    wanted = [(110, 92), (105, 92), (105, 92), (104, 92)]
    assert levels == [(approx(take), approx(stop)) for take, stop in wanted]


def test_commands_on_a_short_are_mirrored(fast_forward):
    commands = {
        20: lambda: bk.commit_partial_profit(SYMBOL, 50),
        21: lambda: bk.commit_average_buy(SYMBOL, 100),
        22: lambda: bk.commit_trailing_stop(SYMBOL, -8),
        23: lambda: bk.commit_breakeven(SYMBOL),
    }
    _, answers = at_pings(commands, {15: 95}, short(90, 110), fast_forward=fast_forward)
    assert [bool(answer) for answer in answers.values()] == [True, False, True, True]
    assert "no better than the entry" in answers[21].reason


@pytest.mark.parametrize(
    ("command", "reason", "price"),
    [
        (lambda: bk.commit_close_pending(SYMBOL, note="mine"), "closed", 101.0),
        (lambda: bk.commit_create_take_profit(SYMBOL), "take_profit", 110.0),
        (lambda: bk.commit_create_take_profit(SYMBOL, price=109.5), "take_profit", 109.5),
        (lambda: bk.commit_create_stop_loss(SYMBOL), "stop_loss", 90.0),
        (lambda: bk.commit_create_stop_loss(SYMBOL, price=91.5), "stop_loss", 91.5),
    ],
)
def test_wishes_are_carried_out_at_the_next_candle_before_anything_else(command, reason, price, fast_forward):
    events, answers = at_pings({25: command}, {15: 101, 26: 50}, exit_rule="vwap", fast_forward=fast_forward)
    assert bool(answers[25])
    closed = told(events)[-1]
    assert (closed[0], closed[1], closed[3]) == ("closed", 26, reason)
    if price != 101.0:
        assert closed[2] == price


def test_a_wish_keeps_its_note_and_there_is_one_at_a_time():
    def twice():
        return bk.commit_close_pending(SYMBOL, note="mine"), bk.commit_close_pending(SYMBOL)

    events, answers = at_pings({25: twice})
    assert [bool(answer) for answer in answers[25]] == [True, False]
    assert events[-1].note == "mine"


@pytest.mark.parametrize("price", [None, 103.0])
def test_a_command_may_bring_the_price_that_its_author_knows(price):
    events, answers = at_pings({25: lambda: bk.commit_partial_profit(SYMBOL, 50, price=price)}, {15: 105})
    assert bool(answers[25])
    assert events[-1].position.exits[0].price == (price or 105.0)


def test_scheduled_signals_are_cancelled_and_activated(fast_forward):
    given(flat(201), frame=(10, 100))
    bk.add_strategy("s", lambda symbol, when, price: long(110, 90, 5, price_open=95.0))
    answers = []

    @bk.listen_schedule_ping
    def on_ping(event):
        if event.time == at(12):
            answers.append(bk.commit_cancel_scheduled(SYMBOL, note="no more"))
        if event.time == at(20):
            answers.append(bk.commit_activate_scheduled(SYMBOL, note="now"))
            answers.append(bk.commit_cancel_scheduled(SYMBOL))

    events = run(fast_forward=fast_forward)
    assert told(events)[:5] == [
        ("scheduled", 10, 100.0),
        ("cancelled", 13, 100.0, "user"),
        ("scheduled", 14, 100.0),
        ("opened", 21, 100.0),
        ("closed", 26, 100.0, "time_expired"),
    ]
    assert [bool(answer) for answer in answers] == [True, True, False]
    assert events[1].note == "no more"


def test_a_signal_of_the_users_own_is_taken_at_the_next_due_tick_instead_of_asking(fast_forward):
    asked = []
    given(flat(201), frame=(10, 60))

    def queue(event):
        if event.time == at(10):
            assert bk.commit_create_signal(
                SYMBOL, {"position": "long", "price_take_profit": 102, "price_stop_loss": 98}
            )
            assert not bk.commit_create_signal(SYMBOL, long(102, 98))

    @bk.strategy("s", interval="15m", callbacks={"on_idle": queue})
    def get_signal(symbol, when, price):
        asked.append(minute_of(when))

    assert told(run(fast_forward=fast_forward))[:1] == [("opened", 15, 100.0)]
    assert asked == [10]


def test_a_signal_that_cannot_be_is_refused_where_it_is_made():
    caught = []
    given(flat(201), frame=(10, 12))

    @bk.strategy("s")
    def get_signal(symbol, when, price):
        for wrong in (None, long(98, 102), {"position": "up"}, 7):
            with pytest.raises(bk.SignalError) as error:
                bk.commit_create_signal(SYMBOL, wrong)
            caught.append(len(error.value.reasons))

    run()
    assert len(caught) == 12
    assert min(caught) >= 1


def test_a_note_to_the_listeners_changes_nothing(world):
    notes = heard(world, Committed)
    plain, _ = at_pings({})
    with_note = []

    def on_ping(event):
        if event.time == at(25):
            with_note.append(bk.commit_signal_notify(SYMBOL, "look here"))

    bk.listen_active_ping(on_ping)
    assert run() == plain
    assert bool(with_note[0])
    (event,) = notes
    assert (event.command, event.reason, minute_of(event.time)) == ("signal_notify", "look here", 25)
    assert event.signal.price_take_profit == 110


def test_every_command_is_told_with_its_verdict(world, fast_forward):
    commits = heard(world, Committed)
    at_pings(
        {25: lambda: bk.commit_partial_profit(SYMBOL, 50), 26: lambda: bk.commit_breakeven(SYMBOL)},
        fast_forward=fast_forward,
    )
    shown = [(event.command, event.accepted, minute_of(event.time), event.price) for event in commits]
    assert shown == [("partial_profit", False, 25, 100.0), ("breakeven", False, 26, 100.0)]
    assert "not in profit" in commits[0].reason


# ---- arguments that can never be right ----


WRONG = [
    lambda: bk.commit_partial_profit(SYMBOL, 0),
    lambda: bk.commit_partial_profit(SYMBOL, 101),
    lambda: bk.commit_partial_profit(SYMBOL),
    lambda: bk.commit_partial_profit(SYMBOL, 10, cost=10),
    lambda: bk.commit_partial_loss(SYMBOL, float("nan")),
    lambda: bk.commit_partial_loss(SYMBOL, "10"),  # type: ignore[arg-type]
    lambda: bk.commit_partial_profit(SYMBOL, cost=-1),
    lambda: bk.commit_average_buy(SYMBOL, 0),
    lambda: bk.commit_average_buy(SYMBOL, True),
    lambda: bk.commit_average_buy(SYMBOL, 10, price=-5),
    lambda: bk.commit_breakeven(SYMBOL, price=float("inf")),
    lambda: bk.commit_trailing_stop(SYMBOL),
    lambda: bk.commit_trailing_stop(SYMBOL, -1, stop_price=99),
    lambda: bk.commit_trailing_take(SYMBOL, None),
    lambda: bk.commit_trailing_take(SYMBOL, take_price="x"),  # type: ignore[arg-type]
    lambda: bk.commit_trailing_stop(SYMBOL, stop_price=-90.0),
    lambda: bk.commit_trailing_take(SYMBOL, take_price=0.0),
    lambda: bk.commit_create_take_profit(SYMBOL, price=0),
    lambda: bk.commit_create_stop_loss(SYMBOL, price=float("nan")),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_arguments_that_can_never_be_right_raise_and_change_nothing(number):
    raised = []

    def command():
        with pytest.raises(bk.CommandError):
            WRONG[number]()
        raised.append(bk.get_position())

    at_pings({25: command}, {15: 105})
    assert raised[0].held_percent == 100
    assert (raised[0].price_stop_loss, raised[0].price_take_profit) == (90, 110)


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_arguments_that_can_never_be_right_raise_also_where_nothing_is_open(number):
    raised = []
    given(flat(100), frame=(10, 12))

    @bk.strategy("s")
    def get_signal(symbol, when, price):
        with pytest.raises(bk.CommandError):
            WRONG[number]()
        raised.append(when)

    run()
    assert len(raised) == 3


# ---- where nothing is open ----


def test_commands_where_nothing_is_open_are_refused_with_a_reason(fast_forward):
    reasons = []
    given(flat(100), frame=(10, 10))

    @bk.strategy("s")
    def get_signal(symbol, when, price):
        answers = [
            bk.commit_partial_profit(symbol, 10),
            bk.commit_average_buy(symbol),
            bk.commit_breakeven(symbol),
            bk.commit_trailing_stop(symbol, -1),
            bk.commit_close_pending(symbol),
            bk.commit_cancel_scheduled(symbol),
            bk.commit_activate_scheduled(symbol),
        ]
        reasons.extend(answer.reason for answer in answers if not answer)

    run(fast_forward=fast_forward)
    assert reasons == ["nothing is open"] * 5 + ["nothing is scheduled"] * 2
