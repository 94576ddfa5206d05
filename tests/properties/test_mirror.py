"""A short in a mirrored market is a long: every rule is written once, with a sign, and the sign is right everywhere.

Prices are turned over at a constant: what was 3 above it is 3 below it. Differences survive that, ratios do not. So
costs (percent of a price), profit, breakeven and trailing (percent of the entry), averaging (a harmonic mean) and
liquidation (−100 %) are kept out; levels, milestones, reasons, stamps and the candles of peak and trough remain. All
prices are multiples of 1/8, so that turning over is exact.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from backtest_kit.core.candles import Tape
from backtest_kit.core.events import Event, Wanted
from backtest_kit.core.forward import fast_forward, step_by_step
from backtest_kit.core.inputs import Decided, LeaveAtNext, Manage, SettleAtNext
from backtest_kit.core.machine import settled
from backtest_kit.core.state import Idle, State
from backtest_kit.core.values import MINUTE, Signal, Terms
from tests.properties.markets import EXIT_RULES, FILL_RULES, SOURCE, START

AXIS = 128.0  # prices stay within 0…256, on both sides of it
FREE = Terms(slippage_percent=0.0, fee_percent=0.0, breakeven_threshold_percent=1e9)
WANTED = Wanted.POSITION_CHANGES
OTHER = {"long": "short", "short": "long"}


def eighths(low: float, high: float) -> st.SearchStrategy[float]:
    return st.integers(int(low * 8), int(high * 8)).map(lambda k: k / 8)


@st.composite
def tapes(draw) -> Tape:
    rows = draw(st.integers(5, 120))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.sampled_from([1, 4, 16]))
    price = np.clip(AXIS + np.cumsum(rng.integers(-size, size + 1, rows)) / 8, 80, 176)
    opens = price + rng.integers(-size, size + 1, rows) / 8
    high = np.maximum(opens, price) + rng.integers(0, size + 1, rows) / 8
    low = np.minimum(opens, price) - rng.integers(0, size + 1, rows) / 8
    return Tape(START, opens, high, low, price)


@st.composite
def plans(draw) -> Signal:
    """A long or a short around the axis; not isolated, since a loss of all money is no mirror of anything."""
    side = draw(st.sampled_from(["long", "short"]))
    sign = 1 if side == "long" else -1
    entry = draw(st.none() | eighths(AXIS - 4, AXIS + 4))
    middle = AXIS if entry is None else entry
    return Signal(
        side,
        middle + sign * draw(eighths(0.5, 20)),
        middle - sign * draw(eighths(0.5, 20)),
        entry,
        draw(st.sampled_from([None, 1, 30])),
        isolated=False,
        id="s",
    )


def mirrored_tape(tape: Tape) -> Tape:
    return Tape(tape.start, 2 * AXIS - tape.open, 2 * AXIS - tape.low, 2 * AXIS - tape.high, 2 * AXIS - tape.price)


def mirrored_signal(signal: Signal) -> Signal:
    return replace(
        signal,
        position=OTHER[signal.position],
        price_take_profit=2 * AXIS - signal.price_take_profit,
        price_stop_loss=2 * AXIS - signal.price_stop_loss,
        price_open=None if signal.price_open is None else 2 * AXIS - signal.price_open,
    )


def life(tape: Tape, signal: Signal, terms: Terms, commands, drive=step_by_step) -> list[Event]:
    """All events of one signal, decided at 128, under wishes that say no price."""
    state: State
    state, made = settled(Idle(), Decided(tape.start, AXIS, signal), terms, SOURCE)
    events, row = list(made), 0
    for rows, command in commands:
        state, row, heard = drive(state, tape, row, min(row + rows, len(tape)), WANTED, terms, SOURCE)
        given_price = float(tape.price[row - 1]) if row else AXIS
        state, made = settled(state, wish(command, tape.time(row), given_price), terms, SOURCE)
        events += [*heard, *made]
    return [*events, *drive(state, tape, row, len(tape), WANTED, terms, SOURCE)[2]]


def wish(command, time: int, price: float):
    """Partials take away a half, so that what is left is exact."""
    if command.startswith("partial"):
        return Manage(command, time, price, 50.0)
    if command in ("cancel", "activate"):
        return SettleAtNext(command, time)
    return LeaveAtNext(command, time)


def told(event: Event, turned: bool) -> tuple:
    """What must mirror of an event: kind, stamp, price, reason, milestones, levels, peak and trough."""
    position = getattr(event, "position", None)
    return (
        event.action,
        event.time,
        turn(getattr(event, "price", None), turned),
        *(getattr(event, name, None) for name in ("close_reason", "level", "ambiguous", "accepted", "command")),
        getattr(event, "reason", None) if event.action == "cancelled" else None,
        position and seen(position, turned),
    )


def seen(position, turned: bool) -> tuple:
    prices = (position.price_open, position.price_take_profit, position.price_stop_loss)
    marks = ((position.peak.price, position.peak.time), (position.trough.price, position.trough.time))
    return (
        [turn(price, turned) for price in prices],
        [(turn(price, turned), time) for price, time in marks],
        (position.basis, position.profit_level, position.loss_level, position.breakeven_reached, position.operations),
    )


def turn(price: float | None, turned: bool) -> float | None:
    return 2 * AXIS - price if turned and price is not None else price


def entered_exactly(events) -> bool:
    """Whether no effective price, `cost / (cost / price)`, was rounded off its entry: milestones would feel it."""
    entries = [event for event in events if event.action == "opened"]
    return all(event.position.effective_price == event.price for event in entries)


commands = st.lists(
    st.tuples(
        st.integers(0, 20),
        st.sampled_from(["partial_profit", "partial_loss", "cancel", "activate", "closed", "take_profit", "stop_loss"]),
    ),
    max_size=3,
)


@pytest.mark.parametrize("drive", [fast_forward, step_by_step])
@given(tapes(), plans(), commands, st.sampled_from(EXIT_RULES), st.sampled_from(FILL_RULES))
def test_a_short_in_a_mirrored_market_is_a_long(drive, tape, plan, wishes, exit_rule, fill_rule):
    ruled = replace(FREE, exit_rule=exit_rule, fill_rule=fill_rule, schedule_await_minutes=40)
    here = life(tape, plan, ruled, wishes, drive)
    there = life(mirrored_tape(tape), mirrored_signal(plan), ruled, wishes, drive)
    assume(entered_exactly(here) and entered_exactly(there))
    assert [told(event, turned=True) for event in there] == [told(event, turned=False) for event in here]


def test_the_mirror_sees_a_difference_of_one_eighth_and_of_one_minute():
    tape = Tape(START, *(np.full(5, AXIS) for _ in range(4)))
    plan = Signal("long", AXIS + 1, AXIS - 1, None, 3, isolated=False, id="s")
    event = life(tape, plan, FREE, [])[-1]
    assert event.time == START + 3 * MINUTE
    assert told(event, turned=False) != told(replace(event, time=event.time + MINUTE), turned=False)
    assert told(event, turned=False) != told(replace(event, price=event.price + 0.125), turned=True)
