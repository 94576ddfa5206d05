"""Makers of markets, terms, signals and books in the middle of their lives, for the properties of the core.

A market is drawn by a seed and a few habits (volatility, wicks, gaps, idle minutes, rounding), so that a failing one is
told in one line. Coarse rounding is on purpose: prices then hit levels exactly, and a `<` that should be a `<=` shows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from backtest_kit.core.candles import Candles, Tape
from backtest_kit.core.events import Event, Wanted
from backtest_kit.core.forward import step_by_step
from backtest_kit.core.inputs import Decided, Input, LeaveAtNext, Manage, Minute, SettleAtNext
from backtest_kit.core.machine import decide, settled
from backtest_kit.core.state import Idle, State
from backtest_kit.core.values import MINUTE, Interval, Signal, Source, Terms, Time

START = 1_704_067_200_000
SPAN = 5
FIRST = SPAN  # the first row whose tick has an average price
SOURCE = Source("BTCUSDT", "tested", "memory")
PINGS = Wanted.IDLE_PING | Wanted.SCHEDULE_PING | Wanted.ACTIVE_PING

EXIT_RULES = ("touch", "stop_touch", "vwap")
FILL_RULES = ("honest", "level")
SIDES = ("long", "short")

any_exit_rule, any_fill_rule = st.sampled_from(EXIT_RULES), st.sampled_from(FILL_RULES)
any_side, yes_or_no = st.sampled_from(SIDES), st.booleans()


class World(NamedTuple):
    """A book in the middle of its life: its state before row `row` of the tape, and all that led there."""

    tape: Tape
    terms: Terms
    state: State
    row: int
    events: tuple[Event, ...]


def candles_of(
    closes: np.ndarray, opens: np.ndarray, above: np.ndarray, below: np.ndarray, volume: np.ndarray
) -> Candles:
    """Candles whose wicks reach so far above and below their bodies; every price is at least 0.5."""
    closes, opens = np.maximum(closes, 1.0), np.maximum(opens, 1.0)
    high, low = np.maximum(opens, closes) + above, np.maximum(np.minimum(opens, closes) - below, 0.5)
    return Candles(Interval.M1, START, opens, high, low, closes, volume)


@st.composite
def markets(draw, least: int = FIRST + 1, most: int = 260) -> Candles:
    """A random walk from 100 that is calm or wild, with or without wicks, gaps and idle minutes."""
    rows = draw(st.integers(least, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    decimals = draw(st.sampled_from([0, 1, 2, 6]))
    volatility = draw(st.sampled_from([0.0, 0.05, 0.5, 3.0]))
    wick, gap = draw(st.sampled_from([0.0, 0.1, 2.0])), draw(st.sampled_from([0.0, 0.0, 0.3, 4.0]))
    idle = draw(st.sampled_from([0.0, 0.3, 1.0]))
    closes = np.round(100 + np.cumsum(rng.normal(0, volatility, rows)), decimals)
    opens = np.round(np.concatenate([[100.0], closes[:-1]]) + rng.normal(0, gap, rows), decimals)
    above, below = (np.round(rng.random(rows) * wick, decimals) for _ in range(2))
    volume = np.where(rng.random(rows) < idle, 0.0, np.round(rng.random(rows) * 10, 3))
    return candles_of(closes, opens, above, below, volume)


def terms(exit_rule=any_exit_rule, fill_rule=any_fill_rule) -> st.SearchStrategy[Terms]:
    """Terms of every rule, at usual costs, high costs and none."""
    return st.builds(
        Terms,
        slippage_percent=st.sampled_from([0.1, 0.0, 1.0]),
        fee_percent=st.sampled_from([0.1, 0.0, 0.5]),
        breakeven_threshold_percent=st.sampled_from([0.2, 0.0, 2.0]),
        schedule_await_minutes=st.sampled_from([120, 1, 30]),
        exit_rule=exit_rule,
        fill_rule=fill_rule,
        dca_everywhere=st.booleans(),
        partials_everywhere=st.booleans(),
        trailing_everywhere=st.booleans(),
    )


@st.composite
def signals(draw, price: float, side=any_side, scheduled=yes_or_no) -> Signal:
    """A signal near a price: levels near and far, round or not, with and without a limit entry and a time limit."""
    position = draw(side)
    sign = 1 if position == "long" else -1
    decimals = draw(st.sampled_from([0, 1, 6]))
    entry = price if not draw(scheduled) else round(price - sign * draw(st.floats(-2, 4)), decimals)
    distances = st.floats(0.05, 20) | st.floats(3, 20) | st.floats(3, 20)
    up, down = draw(distances), draw(distances)
    return Signal(
        position,
        max(0.25, round(entry + sign * up, decimals)),
        max(0.25, round(entry - sign * down, decimals)),
        price_open=None if entry == price else entry,
        minute_estimated_time=draw(st.sampled_from([None, 1440, 1, 7, 60, 150])),
        cost=draw(st.sampled_from([100.0, 37.5])),
        leverage=draw(st.sampled_from([1.0, 1.0, 3.0, 20.0])),
        isolated=draw(st.booleans()),
        id="s",
    )


@st.composite
def wishes(draw, time: Time, price: float) -> Input:
    """A command or a wish of the user's, at a price; one that does not fit is refused, which is a life too."""
    kinds = ("partial_profit", "partial_loss", "average_buy", "breakeven", "trailing_stop", "trailing_take")
    amounts = {
        "partial_profit": st.floats(1, 60),
        "partial_loss": st.floats(1, 60),
        "average_buy": st.floats(10, 200),
        "breakeven": st.just(0.0),
    }
    kind = draw(st.sampled_from((*kinds, *kinds, "leave", "settle", "sell all")))
    if kind == "leave":
        return LeaveAtNext(draw(st.sampled_from(("closed", "take_profit", "stop_loss"))), time)
    if kind == "settle":
        return SettleAtNext(draw(st.sampled_from(("cancel", "activate"))), time)
    if kind == "sell all":
        return Manage("partial_profit", time, price, 100.0)
    return Manage(kind, time, price, draw(amounts.get(kind, st.floats(-12, 3).map(lambda shift: round(shift, 1)))))


def entered(tape: Tape, signal: Signal, terms: Terms) -> World:
    """A book that took a signal at the first tick that has a price."""
    given = Decided(tape.time(FIRST), float(tape.price[FIRST - 1]), signal)
    state, events = settled(Idle(), given, terms, SOURCE)
    return World(tape, terms, state, FIRST, events)


@st.composite
def worlds(draw, rules: st.SearchStrategy[Terms] | None = None, scheduled=yes_or_no, open_end: bool = True) -> World:
    """A book that took a signal, and then lived a while under commands; its last command may lack an answer still.

    Candles between commands are run one at a time, so this leans on no driver's shortcuts.
    """
    tape = Tape.of(draw(markets()), SPAN)
    ruled = draw(rules if rules is not None else terms())
    world = entered(tape, draw(signals(float(tape.price[FIRST - 1]), scheduled=scheduled)), ruled)
    for _ in range(draw(st.integers(0, 5))):
        world = walked(world, draw(st.integers(0, 12)))
        given = draw(wishes(tape.time(world.row), float(tape.price[world.row - 1])))
        act = decide if open_end and draw(st.integers(0, 5)) == 5 else settled
        state, events = act(world.state, given, ruled, SOURCE)
        world = world._replace(state=state, events=world.events + events)
    return world


def walked(world: World, rows: int) -> World:
    """The world some rows later, one candle at a time."""
    stop = min(world.row + rows, len(world.tape))
    state, row, events = step_by_step(world.state, world.tape, world.row, stop, Wanted.EVERYTHING, world.terms, SOURCE)
    return world._replace(state=state, row=row, events=world.events + tuple(events))


def flat(minute: int, at: float, **parts: float) -> Minute:
    """A candle that stands at one price, but for the parts named (open, high, low, price)."""
    return Minute(START + minute * MINUTE, **{"open": at, "high": at, "low": at, "price": at, **parts})
