"""What user code may see and ask at one instant: candles that have closed, prices, its position, commands.

A book has one `Context`, which moves with its time. The ambient functions (`get_candles(…)` and the rest) find it
through a context variable, so they work in everything that the strategy calls or gathers.
"""

from __future__ import annotations

from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from backtest_kit.core.monitor import reaches_breakeven
from backtest_kit.core.position import Entry, Exit, Extreme, Position, Profit, profit
from backtest_kit.core.state import Active, Closing
from backtest_kit.core.values import MINUTE, NEVER, Interval, Mode, Signal, Terms, Time
from backtest_kit.engine.answers import ReadyFloat
from backtest_kit.engine.lookups import Lookups
from backtest_kit.engine.market import price_at
from backtest_kit.engine.params import Params
from backtest_kit.engine.window import CandleWindow, IndicatorColumns
from backtest_kit.errors import ConfigError, ContextError, LookAheadError

if TYPE_CHECKING:
    from backtest_kit.engine.book import Book

_current: ContextVar[Context | None] = ContextVar("backtest_kit_context", default=None)
running = _current.get
"""The context of the strategy that is running here, or None; `current` for those who need one."""


def current() -> Context:
    """The context of the strategy that is running here; raises ContextError where none is."""
    context = _current.get()
    if context is None:
        raise ContextError(
            "no strategy is running here: call this in get_signal, a callback or a listener, or say which book "
            "is meant with strategy_name= and exchange_name="
        )
    return context


def enter(context: Context) -> None:
    """From here on, ambient functions speak of this context."""
    _current.set(context)


class PositionSnapshot(Struct, frozen=True):
    """An open position at one instant: prices in quote currency, shares in percent, times in epoch ms."""

    signal: Signal
    price: float
    effective_price: float
    price_take_profit: float
    price_stop_loss: float
    liquidation_price: float | None
    entries: tuple[Entry, ...]
    partials: tuple[Exit, ...]
    invested: float
    held_cost: float
    held_percent: float
    pnl: Profit
    peak: Extreme
    drawdown: Extreme
    opened_at: Time
    minutes_active: int
    minutes_left: int | None
    profit_level: int
    loss_level: int
    breakeven_reachable: bool

    @classmethod
    def of(cls, position: Position, price: float, when: Time, terms: Terms) -> PositionSnapshot:
        left = None if position.expires_at >= NEVER else max(0, (position.expires_at - when) // MINUTE)
        return cls(
            signal=position.signal,
            price=price,
            effective_price=position.effective_price,
            price_take_profit=position.price_take_profit,
            price_stop_loss=position.price_stop_loss,
            liquidation_price=position.liquidation_price,
            entries=position.entries,
            partials=position.exits,
            invested=position.invested,
            held_cost=position.basis,
            held_percent=position.held_percent,
            pnl=profit(position, price, terms),
            peak=position.peak,
            drawdown=position.trough,
            opened_at=position.pending_at,
            minutes_active=max(0, (when - position.pending_at) // MINUTE),
            minutes_left=left,
            profit_level=position.profit_level,
            loss_level=position.loss_level,
            breakeven_reachable=reaches_breakeven(position, price, terms),
        )


class Context(Lookups):
    """One instant of one book.

    `when` is epoch ms; every candle it gives has closed by then. `price` is the average price.
    """

    __slots__ = ("_book", "_market", "_panes", "in_candle", "indicators", "may_await", "params", "price", "when")

    def __init__(self, book: Book, params: Params, indicators: IndicatorColumns | None) -> None:
        self._book, self._market, self.params = book, book.market, params
        self._panes = book.market.panes
        self.indicators = indicators or IndicatorColumns({}, 0, 1)
        self.when: Time = 0
        self.price = 0.0
        self.may_await = False
        self.in_candle = False
        self.indicators.follow(self)

    @property
    def symbol(self) -> str:
        return self._book.source.symbol

    @property
    def strategy_name(self) -> str:
        return self._book.source.strategy_name

    @property
    def exchange_name(self) -> str:
        return self._book.source.exchange_name

    @property
    def frame_name(self) -> str:
        return self._book.source.frame_name

    @property
    def mode(self) -> Mode:
        return self._book.source.mode

    @property
    def date(self) -> datetime:
        """`when` as a datetime in UTC."""
        return datetime.fromtimestamp(self.when / 1000, UTC)

    def get_candles(self, symbol: str, interval: str | Interval, limit: int) -> CandleWindow:
        """The last `limit` candles closed by `when`, oldest first; never the forming one.

        Raises NotEnoughHistoryError where the market has fewer (in `get_signal`: no decision), DataError for bad data.
        Where candles have to be fetched for an `async def` strategy, the answer must be awaited.
        """
        pane = self._panes.get((symbol, interval))
        if pane is not None and type(limit) is int:
            stop = (self.when - pane.start) // pane.step
            first = stop - limit
            if 0 <= first < stop <= pane.rows:
                return CandleWindow(pane, first, stop)
        answer: CandleWindow = self._market.window(symbol, interval, limit, self.when, self.may_await)
        return answer

    def get_raw_candles(
        self,
        symbol: str,
        interval: str | Interval,
        *,
        limit: int | None = None,
        start: Time | None = None,
        end: Time | None = None,
    ) -> CandleWindow:
        """Candles by any two of `limit`, `start` and `end` (epoch ms), or by one of them; never past `when`.

        `start` alone reaches up to now, `limit` alone are the last ones, `end` alone raises ConfigError.
        """
        length = Interval.parse(interval)
        step, now = int(length), length.floor(self.when)
        if limit is not None and (type(limit) is not int or limit < 1):
            raise ConfigError(f"limit must be a whole number above 0, not {limit!r}")
        if start is None and limit is None:
            raise ConfigError("get_raw_candles needs limit, or start, or two of limit, start and end")
        stop = now if end is None else length.floor(end)
        first = length.floor(start + step - 1) if start is not None else stop - (limit or 0) * step
        if start is not None and limit is not None:
            stop = first + limit * step if end is None else min(stop, first + limit * step)
        if stop > now:
            raise LookAheadError(
                f"candles up to {stop} are asked for, but at {self.when} only those before {now} have closed"
            )
        if stop <= first:
            raise ConfigError(f"no candle lies between {first} and {stop}")
        answer: CandleWindow = self._market.between(symbol, length, first, stop, self.may_await)
        return answer

    def get_average_price(self, symbol: str | None = None) -> ReadyFloat:
        """The engine's price of a symbol at `when`: volume-weighted over the last candles."""
        if symbol is None or symbol == self.symbol:
            return ReadyFloat(self.price)
        tape = self._market.tapes.get(symbol)
        if tape is not None:
            return ReadyFloat(price_at(tape, self.when))
        answer: ReadyFloat = self._average_elsewhere(symbol)
        return answer

    def get_position(self, symbol: str | None = None) -> PositionSnapshot | None:
        """The open position of this strategy on a symbol of the run, at this instant; None when nothing is open."""
        book = self._book.peer(symbol or self.symbol)
        if not isinstance(book.state, Active | Closing):
            return None
        price = self.price if book is self._book else price_at(book.tape, self.when)
        return PositionSnapshot.of(book.state.position, price, self.when, book.terms)

    def __repr__(self) -> str:
        return f"Context({self._book.source}, {self.date:%Y-%m-%d %H:%M} UTC)"


def book_of(context: Context) -> Book:
    """The book of a context: for the engine alone, since a book knows candles that a strategy must not see yet."""
    return context._book


def leave(outer: Context | None) -> None:
    """Gives the place back to whoever had it: code between two results of a run is not inside of it."""
    _current.set(outer)
