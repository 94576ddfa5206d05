"""Pings of quiet candles: the listener runs on every one, the machine on none.

Rows before the next loud one leave the position as it is (see `forward.quiet_until`), so their pings differ in time and
price alone and are made without the machine. A command given in a ping ends the walk: from the next candle on the
position is another one.
"""

from __future__ import annotations

from inspect import isawaitable
from typing import TYPE_CHECKING

from backtest_kit.core.events import ActivePing, SchedulePing
from backtest_kit.core.state import Active, Scheduled
from backtest_kit.core.values import MINUTE
from backtest_kit.engine.listeners import Subscription

if TYPE_CHECKING:
    from backtest_kit.engine.book import Book

_ROWS = 4096  # prices turned into Python numbers at a time


async def ping(book: Book, first: int, stop: int) -> int:
    """Pings for the quiet rows [first, stop) of an open or scheduled signal; returns the row after the last ping."""
    kind = ActivePing if type(book.state) is Active else SchedulePing
    listening = book.teller.listening(kind)
    book.context.in_candle = True
    for row in range(first, stop, _ROWS):
        last = min(row + _ROWS, stop)
        if kind is ActivePing and len(listening) == 1 and listening[0].plain:
            reached = await _one_listener(book, row, last, listening[0])
        else:
            reached = await _any_listeners(book, row, last, listening)
        if reached < last or book.disturbed:
            return reached
    return stop


async def _one_listener(book: Book, first: int, stop: int, subscription: Subscription) -> int:
    """The usual case, without anything between an open position's candle and its listener."""
    state, source, terms, context = book.state, book.source, book.terms, book.context
    if type(state) is not Active:
        return first
    position, handler, is_async = state.position, subscription.handler, subscription.is_async
    listeners, version, touched = book.teller.listeners, book.teller.listeners.version, book.touched
    context.may_await = is_async
    when = book.tape.time(first)
    for row, price in enumerate(book.tape.price[first:stop].tolist(), first + 1):
        event = ActivePing(source, when, price, position, terms)
        context.when = when = when + MINUTE
        context.price = price
        try:
            answer = handler(event)
            if answer is not None and (is_async or isawaitable(answer)):
                await answer
        except Exception as error:
            await book.teller.report(event, error, f"listener {subscription.name}")
        if book.key is None or touched or listeners.version != version:  # `book.disturbed`, without a call
            return row
    return stop


async def _any_listeners(book: Book, first: int, stop: int, listening: tuple[Subscription, ...]) -> int:
    context = book.context
    for row in range(first, stop):
        event = ping_of(book, row)
        context.when, context.price = event.time + MINUTE, event.price
        for each in listening:
            await book.teller.deliver(each, event)
        if book.disturbed:
            return row + 1
    return stop


def ping_of(book: Book, row: int) -> ActivePing | SchedulePing:
    """The ping of a quiet candle of an open or scheduled signal."""
    time, price, state = book.tape.time(row), book.prices[row], book.state
    if type(state) is Active:
        return ActivePing(book.source, time, price, state.position, book.terms)
    assert type(state) is Scheduled
    return SchedulePing(book.source, time, price, state.signal, state.scheduled_at)
