"""What an open position notices on a candle on which it stays open: its best and worst price, breakeven, milestones.

`monitored` does one candle and states each notice. `folded` does a span of candles in which nobody asked for a notice:
every one of these marks depends only on the best and the worst price so far, so the extremes of the span say which were
passed, and the span is searched only for when.
"""

from __future__ import annotations

from math import inf, nextafter
from operator import itemgetter
from typing import overload

import numpy as np
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
from backtest_kit.core.position import Extreme, Milestone, MilestoneKind, Position, profit_percent
from backtest_kit.core.values import MINUTE, Source, Terms, Time

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
        after = replace(after, breakeven_reached=True, milestones=_passed(after, "breakeven", 0, time, price))
        events.append(BreakevenReached(source, time, price, after))
    for level in range(position.profit_level + 10, rules.level_of(_profit_progress(position, price)) + 1, 10):
        after = replace(after, profit_level=level, milestones=_passed(after, "profit", level, time, price))
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
        after = replace(after, loss_level=level, milestones=_passed(after, "loss", level, time, price))
        events.append(LossReached(source, time, price, after, level))
    return after, tuple(events)


def folded(position: Position, prices: Floats, start: Time, terms: Terms) -> Position:
    """The position after a span of quiet candles with these average prices, the first of them opening at `start`."""
    high, low = int(prices.argmax()), int(prices.argmin())
    best, worst = (high, low) if position.sign > 0 else (low, high)
    after = with_peak(position, start + best * MINUTE, float(prices[best]), terms)
    after = with_trough(after, start + worst * MINUTE, float(prices[worst]), terms)
    return _with_milestones(after, position, prices, start, float(prices[best]), float(prices[worst]), terms)


def _with_milestones(
    after: Position, before: Position, prices: Floats, start: Time, best: float, worst: float, terms: Terms
) -> Position:
    """`after` with the milestones of a span whose best and worst prices are known, each at its first candle."""
    profit_level = max(before.profit_level, rules.level_of(_profit_progress(before, best)))
    loss_level = max(before.loss_level, rules.level_of(_loss_progress(before, worst)))
    broke_even = not before.breakeven_reached and _breaks_even(before, best, terms)
    rows: list[tuple[int, MilestoneKind, int]] = []
    if broke_even:
        rows.append((int(_breaks_even(before, prices, terms).argmax()), "breakeven", 0))
    if profit_level > before.profit_level:
        rows += _levels_passed("profit", before.profit_level, profit_level, _profit_progress(before, prices))
    if loss_level > before.loss_level:
        rows += _levels_passed("loss", before.loss_level, loss_level, _loss_progress(before, prices))
    if not rows:
        return after
    rows.sort(key=itemgetter(0))
    passed = (Milestone(kind, level, start + row * MINUTE, float(prices[row])) for row, kind, level in rows)
    return replace(
        after,
        profit_level=profit_level,
        loss_level=loss_level,
        breakeven_reached=before.breakeven_reached or broke_even,
        milestones=(*before.milestones, *passed),
    )


@overload
def _breaks_even(position: Position, price: float, terms: Terms) -> bool: ...
@overload
def _breaks_even(position: Position, price: Floats, terms: Terms) -> Mask: ...
def _breaks_even(position: Position, price: float | Floats, terms: Terms) -> bool | Mask:
    """Whether the price covers all costs and is in profit: where nothing costs, the entry itself is not enough."""
    in_profit = rules.gain(position.sign, price, position.effective_price) > 0
    return in_profit & reaches_breakeven(position, price, terms)


def _levels_passed(
    kind: MilestoneKind, reached: int, level: int, progress: Floats
) -> list[tuple[int, MilestoneKind, int]]:
    """The milestones after `reached` up to `level`, each with the first row of the span that passed it."""
    levels = range(reached + 10, level + 1, 10)
    rows = np.maximum.accumulate(progress).searchsorted(levels).tolist()
    return [(row, kind, each) for row, each in zip(rows, levels, strict=True)]


def _passed(position: Position, kind: MilestoneKind, level: int, time: Time, price: float) -> tuple[Milestone, ...]:
    return (*position.milestones, Milestone(kind, level, time, price))


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
