"""One machine, two drivers: skipping quiet candles and walking through them make the same life, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest_kit.core.candles import Tape
from backtest_kit.core.events import ActivePing, SchedulePing, Wanted
from backtest_kit.core.forward import absorb, fast_forward, heard, minute_at, quiet_until, step_by_step
from backtest_kit.core.machine import settled
from backtest_kit.core.state import Active, Idle, Scheduled
from backtest_kit.core.values import Signal, Terms
from tests.properties.markets import (
    EXIT_RULES,
    FILL_RULES,
    FIRST,
    PINGS,
    SOURCE,
    SPAN,
    World,
    candles_of,
    entered,
    terms,
    worlds,
)

wanted_notices = st.one_of(st.just(0), st.just(255), st.integers(0, 255)).map(lambda bits: Wanted(bits) & ~PINGS)


@pytest.mark.parametrize("fill_rule", FILL_RULES)
@pytest.mark.parametrize("exit_rule", EXIT_RULES)
@given(data=st.data(), wanted=wanted_notices)
def test_both_drivers_agree(exit_rule, fill_rule, data, wanted):
    world = data.draw(worlds(terms(st.just(exit_rule), st.just(fill_rule))))
    tape, row = world.tape, world.row
    stop = data.draw(st.integers(row, len(tape)))
    assert fast_forward(world.state, tape, row, stop, wanted, world.terms, SOURCE) == step_by_step(
        world.state, tape, row, stop, wanted, world.terms, SOURCE
    )


@given(worlds())
def test_what_the_rows_that_are_skipped_leave_behind_is_what_walking_through_them_leaves(world):
    quiet = quiet_until(world.state, world.tape, world.row, len(world.tape), Wanted.NOTHING, world.terms)
    walked, _, facts = step_by_step(world.state, world.tape, world.row, quiet, Wanted.NOTHING, world.terms, SOURCE)
    assert (absorb(world.state, world.tape, world.row, quiet, world.terms), []) == (walked, facts)


@given(worlds(), wanted_notices)
def test_rows_before_the_next_loud_one_make_one_ping_each_and_change_nothing(world, wanted):
    wanted |= PINGS
    quiet = quiet_until(world.state, world.tape, world.row, len(world.tape), wanted, world.terms)
    ping = {Active: ActivePing, Scheduled: SchedulePing}.get(type(world.state))
    for row in range(world.row, quiet):
        minute = minute_at(world.tape, row)
        state, events = settled(world.state, minute, world.terms, SOURCE)
        assert state is world.state
        assert [(type(event), event.time, event.price) for event in events] == [(ping, minute.time, minute.price)] * (
            type(state) is not Idle
        )


@given(worlds(), wanted_notices)
def test_no_row_before_the_next_loud_one_says_anything_that_is_wanted(world, wanted):
    quiet = quiet_until(world.state, world.tape, world.row, len(world.tape), wanted, world.terms)
    state = world.state
    for row in range(world.row, quiet):
        state, events = settled(state, minute_at(world.tape, row), world.terms, SOURCE)
        assert heard(events, wanted) == []


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("row", [5, 68, 69, 324, 325, 1_349, 70_000, 99_999])
def test_a_row_is_found_wherever_the_slices_that_are_searched_begin_and_end(sign, row):
    world = far_market(sign, row)
    state, consumed, events = fast_forward(
        world.state, world.tape, world.row, len(world.tape), Wanted.NOTHING, world.terms, SOURCE
    )
    assert type(state) is Idle
    assert consumed == row + 1
    assert [(event.action, event.time) for event in events] == [("closed", world.tape.time(row))]


def far_market(sign: int, row: int) -> World:
    """A market that stands at 100 but for one wick, which reaches the take profit in `row`."""
    rows = 100_000
    steady, nothing = np.full(rows, 100.0), np.zeros(rows)
    above, below = nothing.copy(), nothing.copy()
    (above if sign > 0 else below)[row] = 10.0
    tape = Tape.of(candles_of(steady, steady, above, below, nothing), SPAN)
    signal = Signal("long" if sign > 0 else "short", 100 + sign * 5, 100 - sign * 5, minute_estimated_time=None, id="s")
    return entered(tape, signal, Terms())


@pytest.mark.parametrize("position", ["long", "short"])
def test_a_price_that_stays_at_the_entry_is_no_breakeven_even_where_nothing_costs(position):
    free = Terms(slippage_percent=0.0, fee_percent=0.0, breakeven_threshold_percent=0.0)
    steady = np.full(40, 100.0)
    tape = Tape.of(candles_of(steady, steady, steady * 0, steady * 0, steady), SPAN)
    sign = 1 if position == "long" else -1
    world = entered(tape, Signal(position, 100 + sign * 5, 100 - sign * 5, id="s"), free)
    fast = fast_forward(world.state, tape, FIRST, 40, Wanted.NOTHING, free, SOURCE)
    assert fast == step_by_step(world.state, tape, FIRST, 40, Wanted.NOTHING, free, SOURCE)
