"""Commands on an open position: when one is accepted, and what it does (chapter 8 of the engine's semantics).

A command is first judged against the position as it is now, at the command's price. Accepted, it becomes an `Order` in
the state; once the broker has answered (in a backtest at once), `apply_order` makes it true. Refused, it changes
nothing and says why.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from backtest_kit.core import rules
from backtest_kit.core.events import Committed, Event
from backtest_kit.core.inputs import Manage, ManageKind
from backtest_kit.core.monitor import breakeven_price
from backtest_kit.core.position import Fill, Position, averaged, reduced
from backtest_kit.core.state import Active, Order, State
from backtest_kit.core.values import Source, Terms


def ask_to_manage(state: State, given: Manage, terms: Terms, source: Source) -> tuple[State, tuple[Event, ...]]:
    """A command becomes an order, or an event that says why not."""
    if type(state) is not Active:
        return state, (_refusal(source, given, "nothing is open"),)
    position = state.position
    why = "an earlier order has no answer yet" if state.order is not None else objection(position, given, terms)
    if why:
        return state, (_refusal(source, given, why, position),)
    number = position.operations + 1
    order = Order(f"{position.signal.id}/{number}", given.kind, given.time, given.price, given.amount)
    return replace(state, position=replace(position, operations=number), order=order), ()


def objection(position: Position, given: Manage, terms: Terms) -> str:
    """Why a command does not fit the position at its price; empty when it does."""
    if position.coins == 0:
        return "all of it has been sold"
    return _OBJECTIONS[given.kind](position, given, terms)


def apply_order(
    position: Position, order: Order, fill: Fill | None, terms: Terms, source: Source
) -> tuple[Position, Committed]:
    """The position after a command that the broker has carried out, and the event that says so."""
    kind, time, price = order.kind, order.time, order.price
    if kind in ("partial_profit", "partial_loss"):
        percent = order.amount
        if fill is not None:
            percent = min(100.0, fill.quantity / (position.coins * position.signal.leverage) * 100)
        position = reduced(
            position, time, price, percent, "profit" if kind == "partial_profit" else "loss", terms, fill
        )
    elif kind == "average_buy":
        position = averaged(position, time, price, order.amount, terms, fill)
    elif kind == "breakeven":
        entry, stop = position.effective_price, position.price_stop_loss
        position = replace(position, price_stop_loss=rules.farther_from_stop(position.sign, stop, entry))
    elif kind == "trailing_stop":
        position = replace(position, price_stop_loss=_trailed_stop(position, order.amount), stop_trailed=True)
    else:
        position = replace(position, price_take_profit=_trailed_take(position, order.amount), take_trailed=True)
    event = Committed(source, time, kind, price, order.amount, True, "", position, position.signal)
    return position, event


def _refusal(source: Source, given: Manage, why: str, position: Position | None = None) -> Committed:
    return Committed(source, given.time, given.kind, given.price, given.amount, False, why, position)


# ---- when a command is accepted ----


def _partial_profit(position: Position, given: Manage, terms: Terms) -> str:
    sign, price = position.sign, given.price
    if not terms.partials_everywhere and rules.falls_to(sign, price, position.effective_price):
        return f"the price {price} is not in profit of the entry {position.effective_price}"
    if rules.rises_to(sign, price, position.price_take_profit):
        return f"the price {price} has reached the take profit {position.price_take_profit}"
    return ""


def _partial_loss(position: Position, given: Manage, terms: Terms) -> str:
    sign, price = position.sign, given.price
    if not terms.partials_everywhere and rules.rises_to(sign, price, position.effective_price):
        return f"the price {price} is not in loss of the entry {position.effective_price}"
    if rules.falls_to(sign, price, position.price_stop_loss):
        return f"the price {price} has reached the stop loss {position.price_stop_loss}"
    return ""


def _average_buy(position: Position, given: Manage, terms: Terms) -> str:
    if terms.dca_everywhere:
        return ""
    for entry in position.entries:
        if rules.rises_to(position.sign, given.price, entry.price):
            return f"the price {given.price} is no better than the entry at {entry.price}"
    return ""


def _breakeven(position: Position, given: Manage, terms: Terms) -> str:
    sign, entry = position.sign, position.effective_price
    if rules.falls_to(sign, position.price_take_profit, entry):
        return f"the take profit {position.price_take_profit} does not stand beyond the entry {entry}"
    if not rules.rises_to(sign, given.price, breakeven_price(position, terms)):
        return f"the price {given.price} has not reached {breakeven_price(position, terms)}, where costs are covered"
    if rules.rises_to(sign, position.price_stop_loss, entry):
        return f"the stop {position.price_stop_loss} already stands at the entry {entry} or better"
    return ""


def _trailing_stop(position: Position, given: Manage, terms: Terms) -> str:
    sign, level = position.sign, _trailed_stop(position, given.amount)
    if not rules.rises_to(sign, given.price, level):
        return f"the price {given.price} has already passed the new stop {level}"
    if rules.rises_to(sign, level, position.price_take_profit):
        return f"the new stop {level} would stand at or beyond the take profit {position.price_take_profit}"
    if not terms.trailing_everywhere and rules.falls_to(sign, level, position.price_stop_loss):
        return f"the new stop {level} is no tighter than the stop {position.price_stop_loss}"
    return ""


def _trailing_take(position: Position, given: Manage, terms: Terms) -> str:
    sign, level = position.sign, _trailed_take(position, given.amount)
    if not rules.falls_to(sign, given.price, level):
        return f"the price {given.price} has already passed the new take profit {level}"
    if rules.falls_to(sign, level, position.price_stop_loss):
        return f"the new take profit {level} would stand at or beyond the stop {position.price_stop_loss}"
    nearer = rules.falls_to(sign, level, position.price_take_profit) and level != position.price_take_profit
    if position.take_trailed and not nearer and not terms.trailing_everywhere:
        return f"the new take profit {level} is no nearer than {position.price_take_profit}"
    return ""


_OBJECTIONS: dict[ManageKind, Callable[[Position, Manage, Terms], str]] = {
    "partial_profit": _partial_profit,
    "partial_loss": _partial_loss,
    "average_buy": _average_buy,
    "breakeven": _breakeven,
    "trailing_stop": _trailing_stop,
    "trailing_take": _trailing_take,
}


def _trailed_stop(position: Position, shift: float) -> float:
    """The stop whose distance from the entry is the original one, in percent, plus `shift`; it may cross the entry."""
    entry = position.effective_price
    distance = abs(entry - position.signal.price_stop_loss) / entry * 100 + shift
    return rules.shifted(entry, -position.sign, distance)


def _trailed_take(position: Position, shift: float) -> float:
    """The take profit whose distance from the entry is the original one, in percent, plus `shift`."""
    entry = position.effective_price
    distance = abs(position.signal.price_take_profit - entry) / entry * 100 + shift
    return rules.shifted(entry, position.sign, distance)
