"""The machine over columns: which candles may be skipped, and what they leave behind.

**Theory.** Between two candles on which something happens, an open position only remembers its best and worst price. So
the fast driver asks `quiet_until` for the next row on which an event may happen that is a fact or that somebody listens
to, folds all rows before it into the state with `absorb`, and gives that row to the machine like any other candle.
`quiet_until` decides nothing: it reads the rules of `rules.py` on whole slices and may stop too early, never too late.
Hence both drivers make the same states, events and stamps; a property test holds them to it.

Rows and times are the same thing on a tape, so what depends on time alone (expiry, timeout) is arithmetic and no column
is read. Slices grow from 64 to 65,536 rows: a row that is near costs little, a far one is found at memory speed.
"""

from __future__ import annotations

from msgspec.structs import replace

from backtest_kit.core import rules
from backtest_kit.core.candles import Mask, Tape
from backtest_kit.core.events import WANTED_BY, Event, Wanted
from backtest_kit.core.inputs import Minute
from backtest_kit.core.machine import settled
from backtest_kit.core.monitor import change_levels, folded
from backtest_kit.core.position import Position
from backtest_kit.core.state import Active, Idle, Scheduled, State
from backtest_kit.core.values import MINUTE, NEVER, Source, Terms, Time

# Plain numbers: arithmetic on members of an IntFlag takes a microsecond.
_ACTIVE_PING, _POSITION_CHANGES = int(Wanted.ACTIVE_PING), int(Wanted.POSITION_CHANGES)
_FIRST_SLICE = 64
_LARGEST_SLICE = 65_536


def minute_at(tape: Tape, row: int) -> Minute:
    """The candle in a row as an input to the machine."""
    return Minute(
        tape.start + row * MINUTE,
        float(tape.open[row]),
        float(tape.high[row]),
        float(tape.low[row]),
        float(tape.price[row]),
    )


def quiet_until(state: State, tape: Tape, start: int, stop: int, wanted: int, terms: Terms) -> int:
    """The first row in [start, stop) whose candle may make a fact or a wanted notice; `stop` when there is none.

    Where pings of every candle are wanted, the rows up to it make nothing but that ping, on an unchanged position.
    """
    if type(state) is Active:
        if state.wish is not None or state.order is not None:
            return start
        return _quiet_while_active(state.position, tape, start, stop, wanted, terms)
    if type(state) is Scheduled:
        return start if state.wish is not None else _quiet_while_scheduled(state, tape, start, stop, terms)
    return stop if type(state) is Idle else start


def absorb(state: State, tape: Tape, start: int, stop: int, terms: Terms) -> State:
    """The state after the quiet rows [start, stop): their best and worst prices, folded in. None is NaN."""
    if type(state) is not Active or start >= stop:
        return state
    position = folded(state.position, tape.price[start:stop], tape.start + start * MINUTE, terms)
    return state if position is state.position else replace(state, position=position)


def fast_forward(
    state: State, tape: Tape, start: int, stop: int, wanted: Wanted, terms: Terms, source: Source
) -> tuple[State, int, list[Event]]:
    """Runs rows [start, stop) by skipping, up to and including the one on which the book comes to rest.

    Returns the state, the first row not consumed, and the facts and wanted notices in order. Pings of every candle are
    not for this driver, which exists to skip them.
    """
    events: list[Event] = []
    row = start
    while row < stop and type(state) is not Idle:
        loud = quiet_until(state, tape, row, stop, wanted, terms)
        state = absorb(state, tape, row, loud, terms)
        row = loud
        if row < stop:
            state, made = settled(state, minute_at(tape, row), terms, source)
            events.extend(heard(made, wanted))
            row += 1
    return state, row, events


def step_by_step(
    state: State, tape: Tape, start: int, stop: int, wanted: Wanted, terms: Terms, source: Source
) -> tuple[State, int, list[Event]]:
    """The same, one candle at a time, as a live process does it; the measure that `fast_forward` is held to."""
    events: list[Event] = []
    row = start
    while row < stop and type(state) is not Idle:
        state, made = settled(state, minute_at(tape, row), terms, source)
        events.extend(heard(made, wanted))
        row += 1
    return state, row, events


def heard(events: tuple[Event, ...], wanted: Wanted) -> list[Event]:
    """The facts, and those notices that somebody listens to."""
    return [event for event in events if type(event) not in WANTED_BY or WANTED_BY[type(event)] & wanted]


def _row_at(tape: Tape, time: Time, start: int, stop: int) -> int:
    """The first row in [start, stop] whose candle opens at `time` or later."""
    if time >= NEVER:
        return stop
    return min(stop, max(start, -((tape.start - time) // MINUTE)))


def _quiet_while_scheduled(state: Scheduled, tape: Tape, start: int, stop: int, terms: Terms) -> int:
    signal = state.signal
    stop = _row_at(tape, state.scheduled_at + terms.schedule_await_minutes * MINUTE, start, stop)
    column = tape.low if signal.sign > 0 else tape.high
    level = rules.farther_from_stop(signal.sign, signal.price_open or signal.price_stop_loss, signal.price_stop_loss)
    size = _FIRST_SLICE
    while start < stop:
        end = min(start + size, stop)
        found = _first(rules.falls_to(signal.sign, column[start:end], level))
        if found >= 0:
            return start + found
        start, size = end, min(size * 4, _LARGEST_SLICE)
    return stop


def _quiet_while_active(position: Position, tape: Tape, start: int, stop: int, wanted: int, terms: Terms) -> int:
    stop = _row_at(tape, position.expires_at, start, stop)
    flags = int(wanted)
    if flags & _ACTIVE_PING:  # a ping shows the position, so every change of it has to be a step of its own
        flags |= _POSITION_CHANGES
    long = position.sign > 0
    worst, best = (tape.low, tape.high) if long else (tape.high, tape.low)
    worst = tape.price if terms.exit_rule == "vwap" else worst
    best = best if terms.exit_rule == "touch" else tape.price
    level, take, sign = position.stop_level, position.price_take_profit, position.sign
    changes = bool(flags & _POSITION_CHANGES)
    up, down = change_levels(position, flags, terms) if changes else (0.0, 0.0)
    size = _FIRST_SLICE
    while start < stop:
        end = min(start + size, stop)
        loud = rules.falls_to(sign, worst[start:end], level) | rules.rises_to(sign, best[start:end], take)
        if changes:
            price = tape.price[start:end]
            loud |= rules.rises_to(sign, price, up) | rules.falls_to(sign, price, down)
        found = _first(loud)
        if found >= 0:
            return start + found
        start, size = end, min(size * 4, _LARGEST_SLICE)
    return stop


def _first(mask: Mask) -> int:
    """The first row that is true, −1 when none is."""
    found = int(mask.argmax())
    return found if mask[found] else -1
