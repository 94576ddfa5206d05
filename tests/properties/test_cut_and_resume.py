"""A run may be cut at any candle, put away as text, and carried on: nothing of what it does or says is different."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest_kit.core.events import Wanted
from backtest_kit.core.forward import fast_forward, step_by_step
from backtest_kit.core.inputs import LeaveAtNext, SettleAtNext
from backtest_kit.core.position import Entry, Exit, Extreme, Fill, Position, Profit
from backtest_kit.core.state import Active, Closing, Idle, Opening, Order, Scheduled, State
from backtest_kit.core.values import NEVER, Signal
from tests.properties.markets import PINGS, SOURCE, worlds

DECODER: msgspec.json.Decoder[State] = msgspec.json.Decoder(State)


def put_away_and_back(state: State) -> State:
    return DECODER.decode(msgspec.json.encode(state))


@pytest.mark.parametrize("kept", [lambda state: state, put_away_and_back], ids=["in memory", "as text"])
@pytest.mark.parametrize("drive", [fast_forward, step_by_step])
@given(world=worlds(), data=st.data(), bits=st.integers(0, 255))
def test_a_run_cut_anywhere_and_resumed_is_the_whole_run(drive, kept, world, data, bits):
    wanted = Wanted(bits) & ~PINGS
    start, stop = world.row, len(world.tape)
    cut = data.draw(st.integers(start, stop))
    whole = drive(world.state, world.tape, start, stop, wanted, world.terms, SOURCE)
    state, row, events = drive(world.state, world.tape, start, cut, wanted, world.terms, SOURCE)
    state, row, more = drive(kept(state), world.tape, row, stop, wanted, world.terms, SOURCE)
    assert (state, row, events + more) == whole


@given(worlds())
def test_c6_the_drivers_may_change_at_any_cut(world):
    """A live process is stepped, and after three weeks of sleep it is forwarded over what it missed."""
    start, stop = world.row, len(world.tape)
    middle = (start + stop) // 2
    everything = (Wanted.NOTHING, world.terms, SOURCE)
    whole = step_by_step(world.state, world.tape, start, stop, *everything)
    state, row, events = step_by_step(world.state, world.tape, start, middle, *everything)
    state, row, more = fast_forward(state, world.tape, row, stop, *everything)
    assert (state, row, events + more) == whole


@given(worlds())
def test_every_state_that_a_life_leads_to_comes_back_from_text_as_it_was(world):
    assert put_away_and_back(world.state) == world.state


prices = st.floats(1e-9, 1e9)
times = st.integers(0, NEVER)
texts = st.text(max_size=8)
fills = st.none() | st.builds(Fill, prices, prices, prices, st.lists(texts, max_size=2).map(tuple))
extremes = st.builds(Extreme, prices, times, st.floats(-1e6, 1e6))
signals = st.builds(
    Signal,
    st.sampled_from(["long", "short"]), prices, prices, st.none() | prices, st.none() | st.integers(1, 10_000),
    prices, prices, st.booleans(), texts, texts, texts,
)  # fmt: skip
positions = st.builds(
    Position,
    signal=signals,
    pending_at=times,
    entries=st.lists(st.builds(Entry, times, prices, prices, fills), min_size=1, max_size=2).map(tuple),
    price_take_profit=prices,
    price_stop_loss=prices,
    expires_at=times,
    basis=prices,
    coins=prices,
    peak=extremes,
    trough=extremes,
    exits=st.lists(
        st.builds(Exit, times, prices, prices, st.sampled_from(["profit", "loss", "close"]), prices, prices, fills),
        max_size=2,
    ).map(tuple),
    liquidation_price=st.none() | prices,
    operations=st.integers(1, 99),
)
orders = st.builds(
    Order,
    texts, st.sampled_from(["open", "close", "average_buy", "trailing_take"]), times, prices, prices,
    st.integers(0, 9), st.booleans(),
)  # fmt: skip
leaving = st.builds(LeaveAtNext, st.sampled_from(["closed", "take_profit"]), times, st.none() | prices, texts)
settling = st.builds(SettleAtNext, st.sampled_from(["cancel", "activate"]), times, texts)
results = st.builds(Profit, prices, prices, prices, prices, prices)
states = st.one_of(
    st.builds(Idle, texts, st.none() | signals),
    st.builds(Scheduled, signals, times, texts, st.none() | settling),
    st.builds(Opening, signals, orders, texts, st.booleans(), st.booleans()),
    st.builds(Active, positions, st.none() | orders, st.none() | leaving),
    st.builds(Closing, positions, orders, st.sampled_from(["stop_loss", "gap"]), st.none() | results, texts),
)


@given(states)
def test_every_state_that_can_be_written_down_comes_back_from_text_as_it_was(state):
    back = put_away_and_back(state)
    assert type(back) is type(state)
    assert back == state
