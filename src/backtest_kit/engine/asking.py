"""Asking a strategy: the hottest loop of a backtest, once for `def` and once for `async def`.

Both walk over the ticks at which the strategy is due and stop at the first answer. They touch nothing but the context's
time and price, so a decision costs a function call and little else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backtest_kit.core.values import MINUTE

if TYPE_CHECKING:
    from backtest_kit.engine.book import Book


def ask(book: Book, row: int, last: int, stride: int) -> tuple[int, Any]:
    """Asks a `def` strategy at ticks `row`, `row + stride`, … up to `last`.

    Returns the tick of the first answer that is not None with that answer, or the first tick not asked with None. A
    tick whose price is unknown (NaN) is passed over.
    """
    get_signal, symbol, context, prices = book.strategy.get_signal, book.source.symbol, book.context, book.prices
    start, touched, asked = book.tape.start, book.touched, 0
    try:
        while row <= last and not touched:
            price = prices[row - 1]
            if price == price:  # noqa: PLR0124  # false for NaN alone, and faster than a call
                context.when = when = start + row * MINUTE
                context.price = price
                asked += 1
                answer = get_signal(symbol, when, price)
                if answer is not None:
                    return row, answer
            row += stride
    finally:
        book.tally.decisions += asked
    return row, None


async def ask_async(book: Book, row: int, last: int, stride: int) -> tuple[int, Any]:
    """The same for an `async def` strategy. Awaiting one that does not suspend costs no more than a call."""
    get_signal, symbol, context, prices = book.strategy.get_signal, book.source.symbol, book.context, book.prices
    start, touched, asked = book.tape.start, book.touched, 0
    try:
        while row <= last and not touched:
            price = prices[row - 1]
            if price == price:  # noqa: PLR0124
                context.when = when = start + row * MINUTE
                context.price = price
                asked += 1
                answer = await get_signal(symbol, when, price)
                if answer is not None:
                    return row, answer
            row += stride
    finally:
        book.tally.decisions += asked
    return row, None
