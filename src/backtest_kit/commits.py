"""Commands on a book: sell a part, add, move the levels, leave, cancel, activate, create.

Each finds its book through the context of the code that calls it; from outside of a run, between two results, with the
names of the book that is meant. A command is carried out at once or refused with a reason (`Outcome`, true or false);
arguments that can never be right raise CommandError. What a command brings about is told when the code that gave it has
ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backtest_kit.app import default
from backtest_kit.core.events import Committed
from backtest_kit.core.inputs import Input, LeaveAtNext, Manage, ManageKind, Queue, SettleAtNext
from backtest_kit.core.state import Active
from backtest_kit.core.validation import normalised, reasons_against, signal_from
from backtest_kit.core.values import Signal
from backtest_kit.engine.answers import Outcome
from backtest_kit.engine.book import Book
from backtest_kit.engine.context import book_of, running
from backtest_kit.errors import CommandError, SignalError

# ---- commands on an open position ----


def commit_partial_profit(
    symbol: str,
    percent: float | None = None,
    *,
    cost: float | None = None,
    price: float | None = None,
    strategy_name: str | None = None,
    exchange_name: str | None = None,
) -> Outcome:
    """Sells `percent` of what is held (or so much that `cost` of its basis is), in profit."""
    return _partial("partial_profit", symbol, percent, cost, price, strategy_name, exchange_name)


def commit_partial_loss(
    symbol: str,
    percent: float | None = None,
    *,
    cost: float | None = None,
    price: float | None = None,
    strategy_name: str | None = None,
    exchange_name: str | None = None,
) -> Outcome:
    """Sells `percent` of what is held (or so much that `cost` of its basis is), in loss."""
    return _partial("partial_loss", symbol, percent, cost, price, strategy_name, exchange_name)


def commit_average_buy(
    symbol: str,
    cost: float = 100.0,
    *,
    price: float | None = None,
    strategy_name: str | None = None,
    exchange_name: str | None = None,
) -> Outcome:
    """Adds an entry of `cost` (quote currency), at a better price than every earlier one."""
    if not _number("cost", cost) > 0:
        raise CommandError(f"cost must be above 0, not {cost!r}")
    return _manage("average_buy", symbol, float(cost), price, strategy_name, exchange_name)


def commit_breakeven(
    symbol: str, *, price: float | None = None, strategy_name: str | None = None, exchange_name: str | None = None
) -> Outcome:
    """Moves the stop to the entry, once the price has run far enough to cover all costs."""
    return _manage("breakeven", symbol, 0.0, price, strategy_name, exchange_name)


def commit_trailing_stop(
    symbol: str,
    percent_shift: float | None = None,
    *,
    stop_price: float | None = None,
    price: float | None = None,
    strategy_name: str | None = None,
    exchange_name: str | None = None,
) -> Outcome:
    """Moves the stop: its original distance from the entry, in percent, plus `percent_shift`; or to `stop_price`.

    Only tighter.
    """
    book = _book(symbol, strategy_name, exchange_name)
    shift = _shift(book, percent_shift, stop_price, stop=True)
    return _manage("trailing_stop", symbol, shift, price, strategy_name, exchange_name)


def commit_trailing_take(
    symbol: str,
    percent_shift: float | None = None,
    *,
    take_price: float | None = None,
    price: float | None = None,
    strategy_name: str | None = None,
    exchange_name: str | None = None,
) -> Outcome:
    """Moves the take profit: its original distance, in percent, plus `percent_shift`; or to `take_price`.

    Later moves only nearer.
    """
    book = _book(symbol, strategy_name, exchange_name)
    shift = _shift(book, percent_shift, take_price, stop=False)
    return _manage("trailing_take", symbol, shift, price, strategy_name, exchange_name)


# ---- wishes for the next candle or tick ----


def commit_close_pending(
    symbol: str, *, note: str = "", strategy_name: str | None = None, exchange_name: str | None = None
) -> Outcome:
    """Leaves the open position at the next candle, at its average price."""
    book = _book(symbol, strategy_name, exchange_name)
    return _give(book, LeaveAtNext("closed", book.candle_time(), None, note))


def commit_create_take_profit(
    symbol: str, *, price: float | None = None, strategy_name: str | None = None, exchange_name: str | None = None
) -> Outcome:
    """Reports that the take profit was filled elsewhere: closes at the next candle, at `price` or the level."""
    book = _book(symbol, strategy_name, exchange_name)
    return _give(book, LeaveAtNext("take_profit", book.candle_time(), _price(price)))


def commit_create_stop_loss(
    symbol: str, *, price: float | None = None, strategy_name: str | None = None, exchange_name: str | None = None
) -> Outcome:
    """Reports that the stop loss was filled elsewhere: closes at the next candle, at `price` or the level."""
    book = _book(symbol, strategy_name, exchange_name)
    return _give(book, LeaveAtNext("stop_loss", book.candle_time(), _price(price)))


def commit_cancel_scheduled(
    symbol: str, *, note: str = "", strategy_name: str | None = None, exchange_name: str | None = None
) -> Outcome:
    """Cancels the scheduled signal at the next candle."""
    book = _book(symbol, strategy_name, exchange_name)
    return _give(book, SettleAtNext("cancel", book.candle_time(), note))


def commit_activate_scheduled(
    symbol: str, *, note: str = "", strategy_name: str | None = None, exchange_name: str | None = None
) -> Outcome:
    """Enters a scheduled signal at the next candle, without waiting for its price."""
    book = _book(symbol, strategy_name, exchange_name)
    return _give(book, SettleAtNext("activate", book.candle_time(), note))


def commit_create_signal(
    symbol: str,
    signal: Signal | Mapping[str, Any],
    *,
    strategy_name: str | None = None,
    exchange_name: str | None = None,
) -> Outcome:
    """A signal of the user's own, taken instead of the strategy's the next time that the strategy would be asked.

    It is validated here (SignalError with every reason) and again when it is taken.
    """
    book = _book(symbol, strategy_name, exchange_name)
    wanted = signal_from(signal)
    if wanted is None:
        raise SignalError(("a signal is needed, not None",))
    wanted = normalised(wanted)
    reasons = reasons_against(wanted, book.context.price, book.source.symbol, book.terms)
    if reasons:
        raise SignalError(reasons)
    return _give(book, Queue(book.candle_time(), wanted))


def commit_signal_notify(
    symbol: str, note: str, *, strategy_name: str | None = None, exchange_name: str | None = None
) -> Outcome:
    """Tells the listeners of commits something about the current signal; changes nothing."""
    book = _book(symbol, strategy_name, exchange_name)
    state = book.state
    position = state.position if isinstance(state, Active) else None
    signal = position.signal if position else getattr(state, "signal", None)
    context = book.context
    event = Committed(
        book.source, book.candle_time(), "signal_notify", context.price, 0.0, True, note, position, signal
    )
    book.announce(event)
    return Outcome(True)


# ---- how a command finds its book ----


def _book(symbol: str | None, strategy_name: str | None, exchange_name: str | None) -> Book:
    context = running()
    if context is not None:
        own = book_of(context)
        if (
            exchange_name in (None, context.exchange_name)
            and (strategy_name or context.strategy_name, symbol) in own.peers
        ):
            return own.peer(symbol or context.symbol, strategy_name)
        if strategy_name is None:
            return own.peer(symbol or context.symbol)
    return default.running_book(symbol, strategy_name, exchange_name)


def _give(book: Book, given: Input) -> Outcome:
    event = book.command(given)
    assert isinstance(event, Committed)
    return Outcome(event.accepted, event.reason)


def _manage(
    kind: ManageKind,
    symbol: str,
    amount: float,
    price: float | None,
    strategy_name: str | None,
    exchange_name: str | None,
) -> Outcome:
    book = _book(symbol, strategy_name, exchange_name)
    at = _price(price)
    return _give(book, Manage(kind, book.candle_time(), book.context.price if at is None else at, amount))


def _partial(
    kind: ManageKind,
    symbol: str,
    percent: float | None,
    cost: float | None,
    price: float | None,
    strategy_name: str | None,
    exchange_name: str | None,
) -> Outcome:
    if (percent is None) == (cost is None):
        raise CommandError("a partial exit needs percent (of what is held) or cost (of its basis), one of them")
    if cost is not None:
        book = _book(symbol, strategy_name, exchange_name)
        if not _number("cost", cost) > 0:
            raise CommandError(f"cost must be above 0, not {cost!r}")
        basis = book.state.position.basis if isinstance(book.state, Active) else cost
        if cost > basis * (1 + 1e-9):
            return Outcome(False, f"only {basis} is held, {cost} cannot be sold")
        percent = min(100.0, cost / basis * 100) if basis else 100.0
    if not 0 < _number("percent", percent) <= 100:
        raise CommandError(f"percent must be above 0 and at most 100, not {percent!r}")
    return _manage(kind, symbol, float(percent or 0), price, strategy_name, exchange_name)


def _shift(book: Book, shift: float | None, level: float | None, *, stop: bool) -> float:
    """The shift that was given, or the one that puts the level at an absolute price."""
    if (shift is None) == (level is None):
        raise CommandError("say the shift in percent or the absolute price, one of them")
    if shift is not None:
        return _number("percent_shift", shift)
    wanted = _price(level) or 0.0
    if not isinstance(book.state, Active):
        return 0.0
    position = book.state.position
    entry = position.effective_price
    if stop:
        original = abs(entry - position.signal.price_stop_loss) / entry * 100
        return position.sign * (entry - wanted) / entry * 100 - original
    original = abs(position.signal.price_take_profit - entry) / entry * 100
    return position.sign * (wanted - entry) / entry * 100 - original


def _price(price: float | None) -> float | None:
    if price is not None and not _number("price", price) > 0:
        raise CommandError(f"price must be above 0, not {price!r}")
    return None if price is None else float(price)


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or abs(value) == float("inf"):  # noqa: PLR0124
        raise CommandError(f"{name} must be a number, not {value!r}")
    return float(value)
