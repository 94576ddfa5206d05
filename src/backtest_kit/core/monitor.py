"""What an open position notices on a candle on which it stays open: its best and worst price, breakeven, milestones.

`monitored` does one candle and states each notice. `folded` does a span of candles in which nobody asked for a notice:
since every one of these marks depends only on the best and the worst price so far, the best and the worst price of the
span are enough.
"""

from __future__ import annotations

from math import inf, nextafter
from typing import overload

from msgspec.structs import replace

from backtest_kit.core import rules
from backtest_kit.core.candles import Floats, Mask
from backtest_kit.core.events import (
    ActivePing,
    BreakevenReached,
    Event,
    HighestProfit,
    LossReached,
    MaxDrawdown,
    ProfitReached,
    Wanted,
)
from backtest_kit.core.inputs import Minute
from backtest_kit.core.position import Extreme, Position, profit_percent
from backtest_kit.core.values import Source, Terms, Time

# Plain numbers: arithmetic on members of an IntFlag takes a microsecond.
_HIGHEST_PROFIT, _MAX_DRAWDOWN, _BREAKEVEN, _PROFIT_LEVEL, _LOSS_LEVEL = map(
    int, (Wanted.HIGHEST_PROFIT, Wanted.MAX_DRAWDOWN, Wanted.BREAKEVEN, Wanted.PROFIT_LEVEL, Wanted.LOSS_LEVEL)
)
_NEAR = 1e-12


def monitored(position: Position, minute: Minute, terms: Terms, source: Source) -> tuple[Position, tuple[Event, ...]]:
    """The position after one candle, and its notices in order: peak or trough, the ping, breakeven, milestones.

    The entry price and the levels are those that the position had when the candle began.
    """
    time, price = minute.time, minute.price
    distance = rules.gain(position.sign, price, position.effective_price)
    if distance == 0:
        return position, (ActivePing(source, time, price, position, terms),)
    return (_in_profit if distance > 0 else _in_loss)(position, time, price, terms, source)


def _in_profit(
    position: Position, time: Time, price: float, terms: Terms, source: Source
) -> tuple[Position, tuple[Event, ...]]:
    events: list[Event] = []
    after = with_peak(position, time, price, terms)
    if after is not position:
        events.append(HighestProfit(source, time, price, after))
    events.append(ActivePing(source, time, price, after, terms))
    if not after.breakeven_reached and reaches_breakeven(position, price, terms):
        after = replace(after, breakeven_reached=True)
        events.append(BreakevenReached(source, time, price, after))
    for level in range(position.profit_level + 10, rules.level_of(_profit_progress(position, price)) + 1, 10):
        after = replace(after, profit_level=level)
        events.append(ProfitReached(source, time, price, after, level))
    return after, tuple(events)


def _in_loss(
    position: Position, time: Time, price: float, terms: Terms, source: Source
) -> tuple[Position, tuple[Event, ...]]:
    events: list[Event] = []
    after = with_trough(position, time, price, terms)
    if after is not position:
        events.append(MaxDrawdown(source, time, price, after))
    events.append(ActivePing(source, time, price, after, terms))
    for level in range(position.loss_level + 10, rules.level_of(_loss_progress(position, price)) + 1, 10):
        after = replace(after, loss_level=level)
        events.append(LossReached(source, time, price, after, level))
    return after, tuple(events)


def folded(position: Position, best: Extreme, worst: Extreme, terms: Terms) -> Position:
    """The position after a span of quiet candles whose best and worst average prices (first occurrences) are these."""
    after = with_peak(position, best.time, best.price, terms)
    after = with_trough(after, worst.time, worst.price, terms)
    in_profit = rules.gain(position.sign, best.price, position.effective_price) > 0
    if in_profit and not after.breakeven_reached and reaches_breakeven(position, best.price, terms):
        after = replace(after, breakeven_reached=True)
    level = rules.level_of(_profit_progress(position, best.price))
    if level > after.profit_level:
        after = replace(after, profit_level=level)
    level = rules.level_of(_loss_progress(position, worst.price))
    if level > after.loss_level:
        after = replace(after, loss_level=level)
    return after


def with_peak(position: Position, time: Time, price: float, terms: Terms) -> Position:
    """The position with a new best price, if this is one and leaving there would pay after costs."""
    if not rules.is_new_peak(position.sign, price, position.effective_price, position.peak.price):
        return position
    percent = profit_percent(position, price, terms)
    return replace(position, peak=Extreme(price, time, percent)) if percent > 0 else position


def with_trough(position: Position, time: Time, price: float, terms: Terms) -> Position:
    """The position with a new worst price, if this is one."""
    if not rules.is_new_trough(position.sign, price, position.effective_price, position.trough.price):
        return position
    return replace(position, trough=Extreme(price, time, profit_percent(position, price, terms)))


def breakeven_price(position: Position, terms: Terms) -> float:
    """From this price on, a stop at the entry covers all costs."""
    return rules.shifted(position.effective_price, position.sign, terms.breakeven_percent)


@overload
def reaches_breakeven(position: Position, price: float, terms: Terms) -> bool: ...
@overload
def reaches_breakeven(position: Position, price: Floats, terms: Terms) -> Mask: ...
def reaches_breakeven(position: Position, price: float | Floats, terms: Terms) -> bool | Mask:
    """Whether the price has run so far that a stop at the entry covers all costs."""
    return rules.rises_to(position.sign, price, breakeven_price(position, terms))


@overload
def _profit_progress(position: Position, price: float) -> float: ...
@overload
def _profit_progress(position: Position, price: Floats) -> Floats: ...
def _profit_progress(position: Position, price: float | Floats) -> float | Floats:
    """The share of the way to the take profit, percent; 0 where the take does not stand beyond the entry."""
    entry, take = position.effective_price, position.price_take_profit
    if rules.falls_to(position.sign, take, entry):
        return price * 0.0
    return rules.progress_percent(price, entry, take)


@overload
def _loss_progress(position: Position, price: float) -> float: ...
@overload
def _loss_progress(position: Position, price: Floats) -> Floats: ...
def _loss_progress(position: Position, price: float | Floats) -> float | Floats:
    """The share of the way to the stop loss, percent; 0 once the stop stands at or past the entry."""
    entry, stop = position.effective_price, position.price_stop_loss
    if rules.rises_to(position.sign, stop, entry):
        return price * 0.0
    return rules.progress_percent(price, entry, stop)


def change_levels(position: Position, wanted: int, terms: Terms) -> tuple[float, float]:
    """The prices in favour of and against the position from which on a wanted change of it may happen.

    Between them the position stays as it is. Never too far away: what is computed by a division stands a little too
    near.
    """
    sign, entry = position.sign, position.effective_price
    far = sign * inf
    up, down = far, -far
    if wanted & _HIGHEST_PROFIT:
        best = rules.farther_from_stop(sign, entry, position.peak.price)
        up = nextafter(best, far)
        if position.peak.percent <= 0:
            up = rules.farther_from_stop(sign, up, _profitable_from(position, terms))
    if wanted & _BREAKEVEN and not position.breakeven_reached:
        up = rules.nearer_to_stop(sign, up, breakeven_price(position, terms))
    if wanted & _PROFIT_LEVEL:
        up = rules.nearer_to_stop(
            sign, up, _milestone(position, position.price_take_profit, position.profit_level, far)
        )
    if wanted & _MAX_DRAWDOWN:
        down = nextafter(rules.nearer_to_stop(sign, entry, position.trough.price), -far)
    if wanted & _LOSS_LEVEL:
        milestone = _milestone(position, position.price_stop_loss, position.loss_level, -far)
        down = rules.farther_from_stop(sign, down, milestone)
    return up, down


def _milestone(position: Position, goal: float, reached: int, far: float) -> float:
    """The price of the next milestone on the way to a goal, a little too near; `far` where there is none."""
    entry, side = position.effective_price, position.sign if far * position.sign > 0 else -position.sign
    if reached >= 100 or not rules.rises_to(side, goal, nextafter(entry, far)):
        return far
    return entry + (goal - entry) * (reached + 10) / 100 * (1 - _NEAR) - side * abs(entry) * _NEAR


def _profitable_from(position: Position, terms: Terms) -> float:
    """The price from which on leaving pays after costs, a little too near: profit is affine in the price."""
    entry = position.effective_price
    here = profit_percent(position, entry, terms)
    slope = (profit_percent(position, 1.1 * entry, terms) - here) / (0.1 * entry)
    return entry - here / slope - position.sign * entry * 1e-9 if slope else entry
