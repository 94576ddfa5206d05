"""What comes later changes nothing earlier: no price, state or event of a minute depends on a candle after it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest_kit.core.candles import COLUMNS, Candles, Tape, average_prices
from backtest_kit.core.events import Event, Wanted
from backtest_kit.core.forward import fast_forward, quiet_until, step_by_step
from backtest_kit.core.values import Interval
from tests.properties.markets import PINGS, SOURCE, SPAN, START, World, entered, markets, signals, terms, walked

wanted_notices = st.integers(0, 255).map(lambda bits: Wanted(bits) & ~PINGS)


@st.composite
def forks(draw) -> tuple[Candles, Candles, int]:
    """Two markets that are one until a row, and from there on have nothing to do with each other."""
    one, other = draw(markets(least=12)), draw(markets(least=12))
    parting = draw(st.integers(SPAN + 1, min(len(one), len(other))))
    columns = (np.concatenate([one[name][:parting], other[name][parting:]]) for name in COLUMNS)
    return one, Candles(Interval.M1, START, *columns), parting


@st.composite
def forked_worlds(draw) -> tuple[World, World, int]:
    """The same book in two markets that part later."""
    one, other, parting = draw(forks())
    ruled, signal = draw(terms()), draw(signals(float(average_prices(one, SPAN)[SPAN - 1])))
    here, there = (entered(Tape.of(candles, SPAN), signal, ruled) for candles in (one, other))
    return here, there, parting


def known(events: list[Event], tape: Tape, parting: int) -> list[Event]:
    """The events of the minutes before two markets part."""
    return [event for event in events if event.time < tape.time(parting)]


@given(forks(), st.integers(1, 6))
def test_f12_average_prices_of_the_past_do_not_see_the_future(fork, span):
    one, other, parting = fork
    assert (
        average_prices(one, span)[span - 1 : parting].tobytes()
        == average_prices(other, span)[span - 1 : parting].tobytes()
    )


@pytest.mark.parametrize("drive", [fast_forward, step_by_step])
@given(forked=forked_worlds(), wanted=wanted_notices)
def test_f12_later_candles_change_no_earlier_event(drive, forked, wanted):
    here, there, parting = forked
    stories = [
        known(
            drive(world.state, world.tape, world.row, len(world.tape), wanted, world.terms, SOURCE)[2],
            world.tape,
            parting,
        )
        for world in forked[:2]
    ]
    assert (here.state, here.events) == (there.state, there.events)
    assert stories[0] == stories[1]


@given(forked_worlds())
def test_f12_later_candles_change_no_earlier_state(forked):
    here, there, parting = forked
    one, other = (walked(world, parting - world.row) for world in (here, there))
    assert (one.state, one.row, one.events) == (other.state, other.row, other.events)


@given(forked_worlds(), wanted_notices)
def test_f12_how_far_may_be_skipped_does_not_depend_on_what_comes_after(forked, wanted):
    here, there, parting = forked
    found = [
        min(parting, quiet_until(world.state, world.tape, world.row, len(world.tape), wanted, world.terms))
        for world in (here, there)
    ]
    assert found[0] == found[1]
