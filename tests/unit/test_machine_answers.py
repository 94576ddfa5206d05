"""The machine in conversation: a broker answers, late or never; a user wishes; a run is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from backtest_kit.core.inputs import (
    Cut,
    Decided,
    Filled,
    LeaveAtNext,
    Manage,
    Queue,
    Refused,
    SettleAtNext,
)
from backtest_kit.core.machine import decide, settled
from backtest_kit.core.position import Fill, opened
from backtest_kit.core.state import Active, Closing, Idle, Opening, Order, Scheduled, State, unanswered
from backtest_kit.core.values import MINUTE, Signal, Terms
from tests.properties.markets import SOURCE, START, flat

TERMS = Terms()
LONG = Signal("long", 110.0, 90.0, id="s", isolated=False)
LIMIT = replace(LONG, price_open=98.0)


def at(minute: int) -> int:
    return START + minute * MINUTE


def opening(signal: Signal = LONG) -> Opening:
    state, events = decide(Idle("r"), Decided(START, 100.0, signal), TERMS, SOURCE)
    assert isinstance(state, Opening)
    assert events == ()
    return state


def active(signal: Signal = LONG) -> Active:
    state, _ = settled(Idle("r"), Decided(START, 100.0, signal), TERMS, SOURCE)
    assert isinstance(state, Active)
    return state


def closing(minute: int = 5) -> Closing:
    state, _ = decide(active(), flat(minute, 100.0, low=89.0), TERMS, SOURCE)
    assert isinstance(state, Closing)
    return state


def asking() -> Active:
    """A position whose average buy has no answer yet."""
    state, _ = decide(active(), Manage("average_buy", START, 95.0, 50.0), TERMS, SOURCE)
    assert isinstance(state, Active)
    assert state.order is not None
    return state


# ---- nothing is booked before the answer -----------------------------------------------------------------------------


def test_a2_an_entry_is_a_question_with_an_id_and_nothing_is_open_before_the_answer():
    state = opening()
    assert state == Opening(LONG, Order("s/1", "open", START, 100.0, 100.0), "r")
    for minute in (1, 2, 3):
        assert decide(state, flat(minute, 105.0), TERMS, SOURCE) == (state, ())
    after, (event,) = decide(state, Filled("s/1", at(3), Fill(101.0, 0.9)), TERMS, SOURCE)
    assert (event.action, event.time, event.price) == ("opened", START, 101.0)
    assert after == Active(event.position)


def test_d12_an_entry_that_was_filled_in_part_is_a_smaller_position():
    after, (event,) = decide(opening(), Filled("s/1", START, Fill(100.0, 0.4)), TERMS, SOURCE)
    assert (event.position.invested, event.position.held_percent) == (40.0, 100.0)
    assert after.position.coins == pytest.approx(0.4)


@pytest.mark.parametrize("state", [opening(), asking(), closing()], ids=["opening", "asking", "closing"])
@pytest.mark.parametrize("order_id", ["", "s", "s/9", "t/1", "s/1 "])
def test_g6_an_answer_to_another_question_changes_nothing(state, order_id):
    for answer in (Filled(order_id, START, Fill(1.0, 1.0)), Refused(order_id, START, "no", final=True)):
        assert decide(state, answer, TERMS, SOURCE) == (state, ())


@pytest.mark.parametrize("state", [opening(), asking(), closing()], ids=["opening", "asking", "closing"])
def test_g6_the_same_answer_twice_counts_once(state):
    answer = Filled(unanswered(state).id, START)
    once, _ = decide(state, answer, TERMS, SOURCE)
    assert decide(once, answer, TERMS, SOURCE) == (once, ())


# ---- refusals --------------------------------------------------------------------------------------------------------


def test_d4_a_refused_entry_is_asked_again_at_the_next_candle_by_the_same_id():
    state, events = decide(opening(), Refused("s/1", at(1), "busy"), TERMS, SOURCE)
    assert (events, unanswered(state)) == ((), None)
    for attempt in (1, 2, 3):
        again, events = decide(state, flat(attempt, 101.0), TERMS, SOURCE)
        assert events == ()
        assert again.order == Order("s/1", "open", at(attempt), 100.0, 100.0, attempt)
        state, _ = decide(again, Refused("s/1", at(attempt), "busy"), TERMS, SOURCE)
    state, events = decide(again, Filled("s/1", at(9)), TERMS, SOURCE)
    assert [event.action for event in events] == ["opened"]


@pytest.mark.parametrize(
    ("price", "asked"), [(100.0, True), (90.1, True), (90.0, False), (109.9, True), (110.0, False)]
)
def test_d28_a_refused_entry_is_given_up_once_the_market_has_left_its_levels(price, asked):
    state, _ = decide(opening(), Refused("s/1", START), TERMS, SOURCE)
    state, events = decide(state, flat(1, price), TERMS, SOURCE)
    assert (unanswered(state) is not None) is asked
    if not asked:
        (event,) = events
        assert (state, event.action, event.reason, event.price) == (Idle("r"), "cancelled", "refused", price)


@pytest.mark.parametrize("reason", ["refused", "risk"])
def test_d17_a_final_refusal_of_an_entry_cancels_the_signal_with_its_reason(reason):
    answer = Refused("s/1", at(1), "too small", final=True, reason=reason)
    state, (event,) = decide(opening(), answer, TERMS, SOURCE)
    assert state == Idle("r")
    assert (event.action, event.reason, event.note, event.time) == ("cancelled", reason, "too small", START)


@pytest.mark.parametrize("final", [False, True])
def test_d18_a_refused_exit_is_asked_again_for_ever_at_the_price_of_the_day(final):
    state = closing()
    for attempt in range(1, 50):
        refused, events = decide(state, Refused("s/2", at(5), "no", final=final), TERMS, SOURCE)
        assert (events, unanswered(refused)) == ((), None)
        state, events = decide(refused, flat(5 + attempt, 88.0), TERMS, SOURCE)
        assert events == ()
        assert state.order == Order("s/2", "close", at(5 + attempt), 88.0, 100.0, attempt)
    after, (event,) = decide(state, Filled("s/2", at(60)), TERMS, SOURCE)
    assert (after, event.close_reason, event.price) == (Idle("s"), "stop_loss", 88.0)


def test_a_refused_entry_that_had_run_into_its_stop_is_asked_again_without_it():
    state, _ = decide(Scheduled(LIMIT, START), flat(3, 98.5, low=89.0), TERMS, SOURCE)
    assert state.stopped
    state, _ = decide(state, Refused("s/1", at(3)), TERMS, SOURCE)
    state, _ = decide(state, flat(4, 97.0), TERMS, SOURCE)
    assert (state.stopped, state.order.attempt) == (False, 1)


# ---- exits while a question is open ----------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [Filled("s/2", at(6)), Refused("s/2", at(6), "no")], ids=["filled", "refused"])
@pytest.mark.parametrize(
    ("minute", "reason", "price"),
    [
        (flat(5, 100.0, low=90.0), "stop_loss", 90.0),
        (flat(5, 87.0, open=88.0), "stop_loss", 88.0),
        (flat(5, 100.0, high=110.0), "take_profit", 110.0),
        (flat(1440, 101.0), "time_expired", 100.0),
    ],
)
def test_a7_an_exit_that_is_reached_while_a_question_is_open_follows_the_answer(minute, reason, price, answer):
    waiting, events = decide(asking(), minute, TERMS, SOURCE)
    assert events == ()
    assert waiting.order == asking().order
    answered, _ = decide(waiting, answer, TERMS, SOURCE)
    later = replace(flat(0, 100.0), time=minute.time + MINUTE)
    state, (event,) = settled(answered, later, TERMS, SOURCE)
    assert (state, event.close_reason, event.price) == (Idle("s"), reason, price)


def test_e4_a_liquidation_that_is_reached_while_a_question_is_open_is_not_lost():
    state = active(Signal("long", 110.0, 85.0, leverage=10.0, id="s"))
    waiting, _ = decide(state, Manage("trailing_take", START, 100.0, 1.0), TERMS, SOURCE)
    waiting, _ = decide(waiting, flat(5, 100.0, low=90.0), TERMS, SOURCE)
    answered, _ = decide(waiting, Filled("s/2", at(6)), TERMS, SOURCE)
    after, events = settled(answered, flat(6, 100.0), TERMS, SOURCE)
    assert type(after) is Idle
    assert [event.close_reason for event in events] == ["liquidation"]


def test_a_users_wish_to_leave_waits_for_the_answer_to_an_earlier_question():
    wished, (event,) = decide(asking(), LeaveAtNext("closed", START, note="enough"), TERMS, SOURCE)
    assert event.accepted
    waiting, events = decide(wished, flat(5, 101.0), TERMS, SOURCE)
    assert (waiting, events) == (wished, ())
    answered, _ = decide(waiting, Filled("s/2", at(6)), TERMS, SOURCE)
    _, (event,) = settled(answered, flat(6, 102.0), TERMS, SOURCE)
    assert (event.close_reason, event.price, event.note) == ("closed", 102.0, "enough")


def test_monitoring_goes_on_while_a_question_is_open():
    after, events = decide(asking(), flat(5, 103.5), TERMS, SOURCE)
    assert [event.action for event in events][:2] == ["highest_profit", "active"]
    assert (after.order, after.position.profit_level) == (asking().order, 30)


# ---- fills of an exit ------------------------------------------------------------------------------------------------


def test_d12_an_exit_that_was_filled_in_part_asks_for_the_rest_by_a_new_id():
    state = closing()
    rest, events = decide(state, Filled("s/2", at(6), Fill(89.5, 0.4, fee=0.1)), TERMS, SOURCE)
    assert events == ()
    assert (rest.order.id, rest.order.price, rest.reason) == ("s/3", state.order.price, "stop_loss")
    assert rest.position.held_percent == pytest.approx(60.0)
    after, (event,) = decide(rest, Filled("s/3", at(7), Fill(89.0, 0.6, fee=0.1)), TERMS, SOURCE)
    assert (after, event.action) == (Idle("s"), "closed")
    assert [(leg.kind, leg.price) for leg in event.position.exits] == [("close", 89.5)]
    entry_costs = 100 * 0.001 + 100 * 0.001  # slippage and fee of the modelled entry
    assert event.pnl.cost == pytest.approx(0.4 * 89.5 + 0.6 * 89.0 - 0.2 - 100 - entry_costs, rel=1e-3)


def test_a_fill_of_an_exit_that_is_short_by_rounding_is_the_whole_of_it():
    after, events = decide(closing(), Filled("s/2", at(6), Fill(89.5, 1.0 - 1e-12)), TERMS, SOURCE)
    assert type(after) is Idle
    assert events[0].price == 89.5


def test_an_ambiguous_exit_keeps_its_alternative_until_it_is_filled():
    state, _ = decide(active(), flat(5, 100.0, high=111.0, low=89.0), TERMS, SOURCE)
    rest, _ = decide(state, Filled("s/2", at(6), Fill(90.0, 0.4)), TERMS, SOURCE)
    _, (event,) = decide(rest, Filled("s/3", at(7)), TERMS, SOURCE)
    assert event.ambiguous
    assert event.alternative == state.alternative


def test_e8_a_fill_after_the_close_is_not_this_books_to_keep():
    idle, _ = decide(closing(), Filled("s/2", at(6)), TERMS, SOURCE)
    assert decide(idle, Filled("s/2", at(7), Fill(90.0, 1.0)), TERMS, SOURCE) == (idle, ())


# ---- wishes ----------------------------------------------------------------------------------------------------------

WISHES = {
    "close_pending": LeaveAtNext("closed", START),
    "create_take_profit": LeaveAtNext("take_profit", START, 109.0),
    "create_stop_loss": LeaveAtNext("stop_loss", START),
    "cancel_scheduled": SettleAtNext("cancel", START),
    "activate_scheduled": SettleAtNext("activate", START),
    "create_signal": Queue(START, LIMIT),
}
FITS: dict[str, State] = {"close": active(), "create_take": active(), "create_stop": active(), "create_sig": Idle("r")}


def fitting(name: str) -> State:
    return next((state for start, state in FITS.items() if name.startswith(start)), Scheduled(LIMIT, START))


@pytest.mark.parametrize("name", WISHES)
def test_a_wish_is_kept_where_it_fits_and_a_second_one_is_refused(name):
    state = fitting(name)
    wished, (event,) = decide(state, WISHES[name], TERMS, SOURCE)
    assert (event.command, event.accepted, event.reason, event.time) == (name, True, "", START)
    kept = wished.queued if isinstance(wished, Idle) else wished.wish
    assert kept == (LIMIT if isinstance(wished, Idle) else WISHES[name])
    again, (event,) = decide(wished, WISHES[name], TERMS, SOURCE)
    assert again is wished
    assert (event.command, event.accepted) == (name, False)
    assert event.reason


@pytest.mark.parametrize("name", WISHES)
def test_a_wish_that_does_not_fit_changes_nothing_and_says_why(name):
    for state in (Idle("r"), Scheduled(LIMIT, START), opening(), active(), closing()):
        if type(state) is not type(fitting(name)):
            after, (event,) = decide(state, WISHES[name], TERMS, SOURCE)
            assert after is state
            assert (event.command, event.accepted) == (name, False)
            assert event.reason.startswith(("nothing is", "a signal is"))


# ---- cuts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["frame_end", "gap"])
def test_f2_a_cut_ends_every_state_at_once(reason):
    cut = Cut(at(9), 101.0, reason)
    assert settled(Idle("r", LIMIT), cut, TERMS, SOURCE) == (Idle("r", LIMIT), ())
    for state in (Scheduled(LIMIT, START, "r"), opening()):
        after, (event,) = settled(state, cut, TERMS, SOURCE)
        assert (after, event.action, event.reason) == (Idle("r"), "cancelled", reason)
        assert (event.time, event.price) == (at(9), 101.0)
    after, (event,) = settled(active(), cut, TERMS, SOURCE)
    assert (after, event.close_reason, event.time, event.price) == (Idle("s"), reason, at(9), 101.0)


def test_a_cut_asks_again_for_an_exit_that_was_on_its_way_and_keeps_its_reason():
    refused, _ = decide(closing(), Refused("s/2", at(6)), TERMS, SOURCE)
    after, (event,) = settled(refused, Cut(at(9), 101.0, "frame_end"), TERMS, SOURCE)
    assert (after, event.close_reason, event.price) == (Idle("s"), "stop_loss", 90.0)


# ---- ids -------------------------------------------------------------------------------------------------------------

answers = st.sampled_from(
    ["fill", "part", "refuse", "refuse for good", "nothing", "candle", "stop", "command", "leave", "cut"]
)


@given(st.lists(answers, max_size=40))
def test_d8_the_id_of_an_order_never_stands_for_two_questions(acts):
    """The same id may be asked again after a refusal, and then it asks for the same thing."""
    state: State = opening()
    asked = {unanswered(state).id: "open"}
    for minute, act in enumerate(acts, start=1):
        before = unanswered(state)
        state, _ = decide(state, given_for(act, minute, before), replace(TERMS, dca_everywhere=True), SOURCE)
        order = unanswered(state)
        if order is not None and order != before:
            first_time = order.attempt == 0
            assert (order.id not in asked) is first_time
            assert asked.setdefault(order.id, order.kind) == order.kind


def given_for(act: str, minute: int, order: Order | None):
    order_id = order.id if order else "none"
    return {
        "fill": Filled(order_id, at(minute)),
        "part": Filled(order_id, at(minute), Fill(100.0, 0.001)),
        "refuse": Refused(order_id, at(minute)),
        "refuse for good": Refused(order_id, at(minute), final=True),
        "nothing": Filled("none", at(minute)),
        "candle": flat(minute, 100.0),
        "stop": flat(minute, 100.0, low=80.0),
        "command": Manage("average_buy", at(minute), 95.0, 10.0),
        "leave": LeaveAtNext("closed", at(minute)),
        "cut": Cut(at(minute), 100.0, "frame_end"),
    }[act]


def test_a_settled_book_has_no_open_question_whatever_it_was_given():
    for state in (Idle("r"), Scheduled(LIMIT, START), active()):
        for given_now in (flat(1, 98.0, low=80.0), Cut(START, 99.0, "gap"), Manage("average_buy", START, 95.0, 1.0)):
            assert unanswered(settled(state, given_now, TERMS, SOURCE)[0]) is None


def test_a_leveraged_exit_counts_the_whole_quantity_that_is_held():
    position = opened(replace(LONG, leverage=4.0), START, 100.0, TERMS)
    state = Closing(position, Order("s/2", "close", START, 100.0), "closed")
    rest, _ = decide(state, Filled("s/2", START, Fill(100.0, 1.0)), TERMS, SOURCE)
    assert rest.position.held_percent == pytest.approx(75.0)
