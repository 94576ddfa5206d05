"""The state machine: what a candle, a decision, a command or an answer makes of a book.

**Theory.** A book (one strategy on one symbol) is in exactly one `State`. `decide(state, given, terms, source)` returns
the next state and the events that say what happened. It has no clock, no settings and no memory: time and price arrive
in the input, costs and rules in `terms`. So the same inputs make the same trades in a backtest, on paper and live, and
a saved state can be carried on.

Nothing is done to the outside world here, and nothing is booked before the outside world has answered. A state with an
`Order` asks; `Filled` or `Refused` answers. In a backtest `settled` answers at once, as the fill rule says. In live a
broker does, later, or never.

The order of tests on one candle is chapter 5 (scheduled) and 6 (open) of the engine's semantics: the user's wish, a
reported fill, the time limit, the stop, the take; else monitoring. Levels and percentages of a candle are read before
anything on it changes them.

Every comparison of prices and times is in `rules.py`, every change of a position in `position.py`, every command in
`commands.py`. `forward.py` runs this machine over columns and only decides which candles may be skipped.
"""

from __future__ import annotations

from msgspec.structs import replace

from backtest_kit.core import rules
from backtest_kit.core.commands import apply_order, ask_to_manage
from backtest_kit.core.events import (
    Committed,
    Event,
    SchedulePing,
    SignalCancelled,
    SignalClosed,
    SignalOpened,
    SignalScheduled,
)
from backtest_kit.core.inputs import (
    CancelReason,
    Cut,
    Decided,
    ExitReason,
    Filled,
    Input,
    LeaveAtNext,
    LeftElsewhere,
    Manage,
    Minute,
    Queue,
    Refused,
    SettleAtNext,
)
from backtest_kit.core.monitor import monitored
from backtest_kit.core.position import Fill, Position, Profit, opened, profit, reduced, with_closing_price
from backtest_kit.core.state import Active, Closing, Idle, Opening, Order, Scheduled, State, unanswered
from backtest_kit.core.values import MINUTE, Signal, Source, Terms, Time

Step = tuple[State, tuple[Event, ...]]


def settled(state: State, given: Input, terms: Terms, source: Source) -> Step:
    """`decide`, with every order filled at once as modelled: the machine as a backtest without a broker runs it."""
    state, events = decide(state, given, terms, source)
    order = unanswered(state)
    while order is not None:
        state, more = decide(state, Filled(order.id, order.time), terms, source)
        events = events + more
        order = unanswered(state)
    return state, events


def decide(state: State, given: Input, terms: Terms, source: Source) -> Step:
    """The next state and what happened.

    An input that does not fit the state changes nothing, and says so if a user made it.
    """
    if type(given) is Minute:
        return _candle(state, given, terms, source)
    if type(given) is Filled:
        return _filled(state, given, terms, source)
    if type(given) is Decided:
        return _decided(state, given, terms, source)
    if type(given) is Manage:
        return ask_to_manage(state, given, terms, source)
    if type(given) is Refused:
        return _refused(state, given, source)
    if type(given) is LeftElsewhere:
        return _left_elsewhere(state, given, terms, source)
    if type(given) is Cut:
        return _cut(state, given, source)
    return _wished(state, given, source)  # type: ignore[arg-type]  # mypy narrows a union only by isinstance


# ---- a candle has closed ----


def _candle(state: State, minute: Minute, terms: Terms, source: Source) -> Step:
    if type(state) is Active:
        return _candle_of_active(state, minute, terms, source)
    if type(state) is Scheduled:
        return _candle_of_scheduled(state, minute, terms, source)
    if type(state) is Opening:
        return _ask_again_to_open(state, minute, source)
    if type(state) is Closing and state.order.refused:
        order, attempt = state.order, state.order.attempt + 1
        order = replace(order, attempt=attempt, refused=False, time=minute.time, price=minute.price)
        return replace(state, order=order), ()
    return state, ()


def _candle_of_scheduled(state: Scheduled, minute: Minute, terms: Terms, source: Source) -> Step:
    signal, sign, wish = state.signal, state.signal.sign, state.wish
    entry = signal.price_open or minute.price
    worst = minute.low if sign > 0 else minute.high
    if wish is not None and wish.action == "cancel":
        return _cancelled(state, minute, "user", source, wish.note)
    if wish is not None:
        return _opening(state, minute.time, entry if terms.fill_rule == "level" else minute.price)
    if minute.time - state.scheduled_at >= terms.schedule_await_minutes * MINUTE:
        return _cancelled(state, minute, "timeout", source)
    opens_beyond = terms.fill_rule == "level" or rules.falls_to(sign, minute.open, signal.price_stop_loss)
    if opens_beyond and rules.falls_to(sign, worst, signal.price_stop_loss):
        return _cancelled(state, minute, "price_reject", source)
    if rules.falls_to(sign, worst, entry):
        return _opening(state, minute.time, entry, stopped=_stopped_on_entry(signal, minute, entry, worst, terms))
    return state, (SchedulePing(source, minute.time, minute.price, signal, state.scheduled_at),)


def _stopped_on_entry(signal: Signal, minute: Minute, entry: float, worst: float, terms: Terms) -> bool:
    """Under the honest rule a candle that fills a limit entry and then goes through its stop does both."""
    if terms.fill_rule == "level":
        return False
    return bool(rules.falls_to(signal.sign, worst, opened(signal, minute.time, entry, terms).stop_level))


def _candle_of_active(state: Active, minute: Minute, terms: Terms, source: Source) -> Step:
    due = _exit_due(state, minute, terms)
    if due is None:
        position, events = monitored(state.position, minute, terms, source)
        return (state if position is state.position else replace(state, position=position)), events
    reason, price, alternative = due
    if state.order is not None:  # the broker still owes an answer; the exit follows it, at the price that it had now
        if state.wish is None and reason in ("take_profit", "stop_loss", "liquidation"):
            return replace(state, wish=LeaveAtNext(reason, minute.time, price)), ()
        return state, ()
    note = state.wish.note if state.wish is not None else ""
    return _closing(state.position, minute.time, price, reason, alternative, note)


def _exit_due(state: Active, minute: Minute, terms: Terms) -> tuple[ExitReason, float, Profit | None] | None:
    """Why and at which price the position ends on this candle, the first rule that fits; None while it stays open."""
    position, wish = state.position, state.wish
    if wish is not None:
        return wish.reason, _wished_price(wish, position, minute), None
    if minute.time >= position.expires_at:
        return "time_expired", minute.price, None
    sign, stop, take = position.sign, position.stop_level, position.price_take_profit
    worst, best = (minute.low, minute.high) if sign > 0 else (minute.high, minute.low)
    worst = minute.price if terms.exit_rule == "vwap" else worst
    best = best if terms.exit_rule == "touch" else minute.price
    takes = rules.rises_to(sign, best, take)
    if rules.falls_to(sign, worst, stop):
        reason, price = _stop_fill(position, minute, stop, terms)
        return reason, price, profit(position, take, terms) if takes else None
    return ("take_profit", take, None) if takes else None


def _stop_fill(position: Position, minute: Minute, stop: float, terms: Terms) -> tuple[ExitReason, float]:
    """What a stop pays: its level, or the open where that lies beyond it; an isolated position pays what it holds."""
    sign, liquidation = position.sign, position.liquidation_price
    liquidates = liquidation is not None and stop == liquidation and stop != position.price_stop_loss
    if terms.fill_rule == "level" or not rules.falls_to(sign, minute.open, stop):
        return ("liquidation" if liquidates else "stop_loss"), stop
    if liquidation is not None and rules.falls_to(sign, minute.open, liquidation):
        return "liquidation", liquidation
    return "stop_loss", minute.open


def _wished_price(wish: LeaveAtNext, position: Position, minute: Minute) -> float:
    if wish.price is not None:
        return wish.price
    if wish.reason == "take_profit":
        return position.price_take_profit
    return position.price_stop_loss if wish.reason == "stop_loss" else minute.price


# ---- decisions, answers, wishes ----


def _decided(state: State, given: Decided, terms: Terms, source: Source) -> Step:
    """A valid, admitted signal: enter at once, or wait for its price."""
    if type(state) is not Idle:
        return state, ()
    signal, price = given.signal, given.price
    if signal.price_open is None:
        return _opening(Scheduled(signal, given.time, state.last_signal_id), given.time, price, at_once=True)
    if rules.falls_to(signal.sign, price, signal.price_open):
        entry = signal.price_open if terms.fill_rule == "level" else price
        return _opening(Scheduled(signal, given.time, state.last_signal_id), given.time, entry, at_once=True)
    scheduled = Scheduled(signal, given.time, state.last_signal_id)
    return scheduled, (SignalScheduled(source, given.time, price, signal),)


def _filled(state: State, given: Filled, terms: Terms, source: Source) -> Step:
    order = unanswered(state)
    if order is None or order.id != given.order_id:
        return state, ()
    if type(state) is Opening:
        return _entered(state, given.fill, terms, source)
    if type(state) is Closing:
        return _left(state, given.fill, terms, source)
    if type(state) is not Active:
        return state, ()
    position, event = apply_order(state.position, order, given.fill, terms, source)
    sold = LeaveAtNext("closed", order.time) if position.coins == 0 else state.wish  # the last rest was sold
    return replace(state, position=position, order=None, wish=sold), (event,)


def _entered(state: Opening, fill: Fill | None, terms: Terms, source: Source) -> Step:
    order = state.order
    position = opened(state.signal, order.time, order.price, terms, fill)
    event = SignalOpened(source, order.time, position.price_open, position)
    if not state.stopped:
        return Active(position), (event,)
    liquidates = position.stop_level != position.price_stop_loss
    closing, _ = _closing(position, order.time, position.stop_level, "liquidation" if liquidates else "stop_loss")
    return closing, (event,)


def _left(state: Closing, fill: Fill | None, terms: Terms, source: Source) -> Step:
    """The broker has sold: all of it, or a part, after which the rest is asked for by a new order."""
    position, order = state.position, state.order
    held = position.coins * position.signal.leverage
    if fill is not None and fill.quantity < held * (1 - 1e-9):
        rest = reduced(position, order.time, fill.price, fill.quantity / held * 100, "close", terms, fill)
        closing, _ = _closing(rest, order.time, order.price, state.reason, state.alternative, state.note)
        return closing, ()
    pnl = profit(position, order.price, terms, fill)
    position = with_closing_price(position, order.time, pnl.price_close, pnl.percent)
    other = state.alternative
    event = SignalClosed(
        source, order.time, pnl.price_close, position, pnl, state.reason, other is not None, other, state.note
    )
    return Idle(last_signal_id=position.signal.id), (event,)


def _left_elsewhere(state: State, given: LeftElsewhere, terms: Terms, source: Source) -> Step:
    """What has happened at the exchange is taken over; what is left of the position then has to be left, too."""
    if type(state) is Active:
        closing, _ = _closing(state.position, given.time, given.fill.price, given.reason)
        return _left(closing, given.fill, terms, source)
    if type(state) is Closing:
        return _left(replace(state, order=replace(state.order, time=given.time)), given.fill, terms, source)
    return state, ()


def _refused(state: State, given: Refused, source: Source) -> Step:
    """The broker, or a risk profile at the entry, has said no.

    Nothing is booked; unless it is final it is asked again.
    """
    order = unanswered(state)
    if order is None or order.id != given.order_id:
        return state, ()
    if type(state) is Active:
        event = Committed(source, given.time, order.kind, order.price, order.amount, False, given.note, state.position)
        return replace(state, order=None), (event,)
    if type(state) is Opening and given.final:
        idle = Idle(last_signal_id=state.last_signal_id)
        return idle, (SignalCancelled(source, order.time, order.price, state.signal, given.reason, given.note),)
    if type(state) is Opening or type(state) is Closing:
        return replace(state, order=replace(order, refused=True)), ()
    return state, ()


def _ask_again_to_open(state: Opening, minute: Minute, source: Source) -> Step:
    """A refused entry is asked again while the market stands between its stop and its take; else it is given up."""
    order, signal = state.order, state.signal
    if not order.refused:
        return state, ()
    if rules.falls_to(signal.sign, minute.price, signal.price_stop_loss) or rules.rises_to(
        signal.sign, minute.price, signal.price_take_profit
    ):
        idle = Idle(last_signal_id=state.last_signal_id)
        return idle, (SignalCancelled(source, minute.time, minute.price, signal, "refused"),)
    again = replace(order, attempt=order.attempt + 1, refused=False, time=minute.time)
    return replace(state, order=again, stopped=False), ()


def _cut(state: State, given: Cut, source: Source) -> Step:
    """The run ends, or the candles do: leave what is open at the average price, cancel what waits."""
    if type(state) is Active:
        return _closing(state.position, given.time, given.price, given.reason)
    if type(state) is Closing:
        order = replace(state.order, refused=False, attempt=state.order.attempt + 1)
        return replace(state, order=order), ()
    if type(state) is Scheduled or type(state) is Opening:
        idle = Idle(last_signal_id=state.last_signal_id)
        return idle, (SignalCancelled(source, given.time, given.price, state.signal, given.reason),)
    return state, ()


def _wished(state: State, given: LeaveAtNext | SettleAtNext | Queue, source: Source) -> Step:
    """What a user wants at the next candle or tick is kept in the state, one wish at a time."""
    if isinstance(given, LeaveAtNext):
        name = "close_pending" if given.reason == "closed" else f"create_{given.reason}"
        fits = type(state) is Active and state.wish is None
        after: State = replace(state, wish=given) if type(state) is Active and fits else state
        why = "nothing is open" if type(state) is not Active else "an exit is already due"
    elif isinstance(given, SettleAtNext):
        name, fits = f"{given.action}_scheduled", type(state) is Scheduled and state.wish is None
        after = replace(state, wish=given) if type(state) is Scheduled and fits else state
        why = "nothing is scheduled" if type(state) is not Scheduled else "it is already due"
    else:
        name, fits = "create_signal", type(state) is Idle and state.queued is None
        after = replace(state, queued=given.signal) if type(state) is Idle and fits else state
        why = "a signal is already open or waits"
    price = given.price if isinstance(given, LeaveAtNext) else None
    event = Committed(source, given.time, name, price, 0.0, fits, "" if fits else why)
    return after, (event,)


# ---- steps that several of the above share ----


def _opening(
    state: Scheduled, time: Time, price: float, stopped: bool = False, at_once: bool = False
) -> tuple[Opening, tuple[Event, ...]]:
    order = Order(f"{state.signal.id}/1", "open", time, price, state.signal.cost)
    return Opening(state.signal, order, state.last_signal_id, not at_once, stopped), ()


def _closing(
    position: Position,
    time: Time,
    price: float,
    reason: ExitReason,
    alternative: Profit | None = None,
    note: str = "",
) -> tuple[Closing, tuple[Event, ...]]:
    number = position.operations + 1
    order = Order(f"{position.signal.id}/{number}", "close", time, price, 100.0)
    return Closing(replace(position, operations=number), order, reason, alternative, note), ()


def _cancelled(state: Scheduled, minute: Minute, reason: CancelReason, source: Source, note: str = "") -> Step:
    event = SignalCancelled(source, minute.time, minute.price, state.signal, reason, note)
    return Idle(last_signal_id=state.last_signal_id), (event,)
