"""What an open position notices on a candle on which it stays open: its best and worst price, breakeven, milestones.

`monitored` does one candle and states each notice. `folded` does a span of candles in which nobody asked for a notice:
since every one of these marks depends only on the best and the worst price so far, the best and the worst price of the
span are enough.
"""

from __future__ import annotations

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
)
from backtest_kit.core.inputs import Minute
from backtest_kit.core.position import Extreme, Position, profit_percent
from backtest_kit.core.values import Source, Terms, Time


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
    if not after.breakeven_reached and reaches_breakeven(position, best.price, terms):
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


def passes_profit_level(position: Position, price: Floats) -> Mask:
    """The rows on which a milestone that was not seen yet is reached on the way to the take profit."""
    mask: Mask = _profit_progress(position, price) >= position.profit_level + 10
    return mask & (position.profit_level < 100)


def passes_loss_level(position: Position, price: Floats) -> Mask:
    """The rows on which a milestone that was not seen yet is reached on the way to the stop loss."""
    mask: Mask = _loss_progress(position, price) >= position.loss_level + 10
    return mask & (position.loss_level < 100)
