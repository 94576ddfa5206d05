"""How a book that holds nothing goes from tick to tick: it asks its strategy, judges the answer, asks risk, enters."""

from __future__ import annotations

import asyncio
import inspect
from datetime import UTC, datetime
from math import isnan
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from backtest_kit.core.events import IdlePing, RiskRejected, SignalInvalid, Wanted
from backtest_kit.core.inputs import Decided
from backtest_kit.core.state import Idle
from backtest_kit.core.validation import normalised, reasons_against, signal_from
from backtest_kit.core.values import MINUTE, Signal, Time
from backtest_kit.engine.admission import Rejection
from backtest_kit.engine.asking import ask, ask_async
from backtest_kit.engine.notices import Failure
from backtest_kit.engine.watchdog import Hang
from backtest_kit.errors import (
    BacktestKitError,
    NotEnoughHistoryError,
    SignalError,
    StrategyError,
    StrategyTimeoutError,
)

if TYPE_CHECKING:
    from backtest_kit.engine.book import Book

_IDLE_PING = int(Wanted.IDLE_PING)
_FAR = 2**40  # a stride that ends a walk after its first tick
_NOT_ASKED = -1


async def idle_until(book: Book, row: int, last: int) -> None:
    """Asks the strategy at its ticks from `row`, which is due, to `last`, until one answer has to be looked at."""
    if book.stopped or row > book.ticks.last:
        await book.end()
    elif book.teller.wanted & _IDLE_PING or book.state.queued is not None:  # type: ignore[union-attr]
        await one_tick(book, row)
    else:
        await _walk(book, row, min(last, book.ticks.last), _stride(book, row))


async def one_tick(book: Book, row: int) -> None:
    """One tick on its own: a queued signal of the user's goes first, and a tick that brings nothing is an idle ping."""
    book.context.when, book.context.price, book.context.in_candle = book.tape.time(row), book.prices[row - 1], False
    book.tick = row + book.ticks.step
    if isnan(book.context.price):  # nothing is asked without a price, and what is queued waits
        return
    queued: Signal | None = book.state.queued  # type: ignore[union-attr]
    if next_due(book, row) == row:
        if queued is not None:
            book.asked = book.strategy.interval.floor(book.context.when)
            book.state = replace(book.state, queued=None)
            if not await _judge(book, row, queued):
                book.asked = _NOT_ASKED
        else:
            await _walk(book, row, row, _FAR)
            if type(book.state) is Idle:
                book.tick = row + book.ticks.step
    if type(book.state) is Idle:
        await book.teller.tell(IdlePing(book.source, book.tape.time(row), book.context.price))


async def _walk(book: Book, row: int, last: int, stride: int) -> None:
    """Asks from tick to tick; leaves `book.tick` after the last one that was asked."""
    context, start = book.context, book.tape.start
    context.may_await, context.in_candle = book.strategy.is_async, False
    book.watchdog.watch(context, book.strategy.is_async)
    asked_before = book.tally.decisions
    try:
        if book.strategy.is_async:
            row, answer = await ask_async(book, row, last, stride)
        else:
            row, answer = ask(book, row, last, stride)
            if inspect.isawaitable(answer):  # a `def` that hands on what an `async def` returns
                answer = await answer
    except NotEnoughHistoryError:
        book.tally.not_enough_history += 1
        answer = None
    except (Exception, Hang, asyncio.CancelledError) as error:
        answer = None
        await _failed(book, error)
    finally:
        book.watchdog.rest()
    if book.tally.decisions > asked_before:
        asked = (context.when - start) // MINUTE
        book.asked = book.strategy.interval.floor(context.when)
        book.tick = asked + book.ticks.step
        if answer is not None:
            await _judge(book, asked, answer)
    else:
        book.tick = book.ticks.at_or_after(min(row, book.ticks.last + 1))


async def _judge(book: Book, row: int, answer: Any) -> bool:
    """What a strategy has returned: entered, scheduled, refused or ignored; False when the signal itself was bad."""
    when, price = book.tape.time(row), book.context.price
    book.tally.signals += 1
    signal: Signal | None = None
    try:
        signal = signal_from(answer)
        if signal is not None:
            signal = normalised(signal)
            reasons = reasons_against(signal, price, book.source.symbol, book.terms)
        else:
            return True
    except SignalError as error:
        reasons = error.reasons
    if reasons:
        await _invalid(book, SignalInvalid(book.source, when, price, reasons, signal))
        return False
    if signal is None or (signal.id and signal.id == book.state.last_signal_id):  # type: ignore[union-attr]
        return True
    if _in_gap(book, row):
        return True
    await _enter(book, row, _named(book, signal, when), price, when)
    return True


async def _enter(book: Book, row: int, signal: Signal, price: float, when: Time) -> None:
    rejection = await book.admission.admit(book.profiles, book.source, signal, price, when)
    if rejection is not None:
        book.asked, book.tick = _NOT_ASKED, row + book.ticks.step
        await book.tell_fact(rejected(book, signal, price, when, rejection))
        return
    book.row = row
    await book.feed(Decided(when, price, signal), when, price)


def _named(book: Book, signal: Signal, when: Time) -> Signal:
    """The signal with its derived id, so that a replay makes the same one, and its symbol."""
    source = book.source
    derived = f"{source.strategy_name}-{source.symbol}-{source.exchange_name}-{when}"
    return replace(signal, id=signal.id or derived, symbol=source.symbol)


def rejected(book: Book, signal: Signal, price: float, time: Time, rejection: Rejection) -> RiskRejected:
    """Counts a refusal of risk, and says it as an event."""
    book.tally.risk_rejections += 1
    name, reason = rejection.risk_name, rejection.reason
    return RiskRejected(book.source, time, price, signal, name, reason, rejection.reason_id, rejection.active)


async def _invalid(book: Book, event: SignalInvalid) -> None:
    book.tally.count_invalid(event)
    await book.tell_fact(event)


async def _failed(book: Book, error: BaseException) -> None:
    """A strategy raised or hung: the run ends with it, or goes on where `on_error` says so."""
    where = f"strategy {book.source.strategy_name!r} on {book.source.symbol} at {_shown(book.context.when)}"
    wrapped: Exception
    if isinstance(error, Hang | asyncio.CancelledError):
        if not book.watchdog.fired:
            raise error
        task = asyncio.current_task()
        if task is not None and isinstance(error, asyncio.CancelledError):
            task.uncancel()
        wrapped = StrategyTimeoutError(f"{where} did not answer within {book.watchdog.limit:g} s")
    elif isinstance(error, BacktestKitError) and not isinstance(error, ValueError | LookupError):
        error.args = (f"{where}: {error}", *error.args[1:])
        wrapped = error
    else:
        wrapped = StrategyError(f"{where} raised {type(error).__name__}: {error}")
    book.tally.errors += 1
    book.tally.failed_decisions += 1
    if book.terms.on_error == "raise":
        raise wrapped from (error if wrapped is not error else None)
    wrapped.__cause__ = error if wrapped is not error else None
    await book.teller.listeners.report_failure(Failure(book.source, book.context.when, wrapped, "get_signal"))


# ---- when the strategy is due --------------------------------------------------------------------------------


def next_due(book: Book, row: int) -> int:
    """The first tick at or after `row` whose bucket of the strategy's interval has not been asked yet."""
    tick = book.ticks.at_or_after(row)
    interval, time = book.strategy.interval, book.tape.time(tick)
    if interval.floor(time) != book.asked:
        return tick
    return book.ticks.at_or_after(tick + (book.asked + int(interval) - time) // MINUTE)


def _stride(book: Book, row: int) -> int:
    """How many rows there are from a due tick to the next, from `row` on; `_FAR` when that varies."""
    step, length = book.ticks.step, book.strategy.interval.minutes
    if step % length == 0:
        return step
    aligned = book.strategy.interval.floor(book.tape.time(row)) == book.tape.time(row)
    return length if aligned and length % step == 0 else _FAR


def _in_gap(book: Book, row: int) -> bool:
    """Whether the candle that follows a tick is missing: nothing is opened at the edge of a gap."""
    return any(first <= row < stop for first, stop in book.gaps)


def _shown(time: Time) -> str:
    return f"{datetime.fromtimestamp(time / 1000, UTC):%Y-%m-%d %H:%M} UTC"
