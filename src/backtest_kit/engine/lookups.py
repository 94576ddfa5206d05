"""What user code asks of the exchange beyond candles: order book, trades, formatting, prices of other symbols."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from backtest_kit.core.candles import average_price
from backtest_kit.core.values import MINUTE, Interval, Time
from backtest_kit.engine.answers import ReadyFloat, ReadyList, ReadyText
from backtest_kit.engine.window import CandleWindow
from backtest_kit.errors import ConfigError, ContextError, LookAheadError

if TYPE_CHECKING:
    from backtest_kit.engine.market import Market

_BOOK_MINUTES = 10
_TRADES_MINUTES = 59
_PAGES_AT_MOST = 10_000


class Lookups:
    """The part of a context that asks the exchange; every answer ends at `when`."""

    __slots__ = ()

    if TYPE_CHECKING:
        _market: Market
        may_await: bool
        when: Time

        def get_candles(self, symbol: str, interval: str | Interval, limit: int) -> CandleWindow: ...

    def get_next_candles(self, symbol: str, interval: str | Interval, limit: int) -> CandleWindow:
        """Always raises where a strategy is running: what follows `when` is the future.

        To label finished trades, ask outside of a run: `backtest_kit.get_next_candles(…, exchange_name=…, when=…)`.
        """
        raise LookAheadError(
            f"get_next_candles({symbol!r}, {str(interval)!r}, {limit}) shows the future while a strategy is running; "
            "ask after the run, with exchange_name= and when="
        )

    def get_close_price(self, symbol: str, interval: str | Interval = "1m") -> Any:
        """The close of the last closed candle of an interval."""
        candles = self.get_candles(symbol, interval, 1)
        if isinstance(candles, CandleWindow):
            return ReadyFloat(candles.close[-1])
        return _last_close(candles)

    def get_order_book(self, symbol: str, depth: int = 20) -> Any:
        """Bids and asks as of the aligned 10-minute window that ends at `when`; as the exchange gives them."""
        length = _BOOK_MINUTES * MINUTE
        stop = self.when - self.when % length
        return self._ask("get_order_book", symbol, depth, stop - length, stop)

    def get_aggregated_trades(self, symbol: str, limit: int | None = None) -> Any:
        """Trades before `when`, oldest first: the last 59 minutes, or the newest `limit`, paged backwards."""
        stop = self.when - self.when % MINUTE
        if limit is None:
            return self._ask("get_aggregated_trades", symbol, stop - _TRADES_MINUTES * MINUTE, stop)
        if type(limit) is not int or limit < 1:
            raise ConfigError(f"limit must be a whole number above 0, not {limit!r}")
        return self._paged_trades(symbol, limit, stop)

    def format_price(self, symbol: str, price: float) -> Any:
        """The price as the exchange writes it, rounded to its step."""
        return self._format("format_price", symbol, price)

    def format_quantity(self, symbol: str, quantity: float) -> Any:
        """The quantity as the exchange writes it, rounded to its step."""
        return self._format("format_quantity", symbol, quantity)

    def _average_elsewhere(self, symbol: str) -> Any:
        candles = self.get_candles(symbol, "1m", self._market.span)
        return ReadyFloat(average_price(candles)) if isinstance(candles, CandleWindow) else _average_of(candles)

    def _format(self, name: str, symbol: str, number: float) -> Any:
        function = getattr(self._market.history.exchange, name, None)
        if function is None:
            return ReadyText(f"{number:.8f}".rstrip("0").rstrip("."))
        answer = function(symbol, number)
        return answer if inspect.isawaitable(answer) else ReadyText(answer)

    def _ask(self, name: str, *arguments: Any) -> Any:
        function = getattr(self._market.history.exchange, name, None)
        if function is None:
            raise ContextError(f"exchange {self._market.history.name!r} has no {name}; give one to add_exchange")
        answer = function(*arguments)
        return ReadyList(answer) if isinstance(answer, list) else _Ready.of(answer)

    def _paged_trades(self, symbol: str, limit: int, stop: Time) -> Any:
        page = _TRADES_MINUTES * MINUTE
        trades: list[Any] = []
        for number in range(_PAGES_AT_MOST):
            end = stop - number * page
            answer = self._ask("get_aggregated_trades", symbol, end - page, end)
            if inspect.isawaitable(answer) and not isinstance(answer, ReadyList):
                return self._paged_trades_awaited(symbol, limit, stop, answer)
            if not answer:
                break
            trades = [*answer, *trades]
            if len(trades) >= limit:
                break
        return ReadyList(trades[-limit:])

    async def _paged_trades_awaited(self, symbol: str, limit: int, stop: Time, first: Any) -> list[Any]:
        page = _TRADES_MINUTES * MINUTE
        trades = list(await first)
        last = len(trades)
        for number in range(1, _PAGES_AT_MOST):
            if len(trades) >= limit or not last:
                break
            end = stop - number * page
            earlier = list(await self._ask("get_aggregated_trades", symbol, end - page, end))
            last, trades = len(earlier), [*earlier, *trades]
        return trades[-limit:]


class _Ready(dict[str, Any]):
    """A mapping (an order book) that is here already."""

    @staticmethod
    def of(answer: Any) -> Any:
        return _Ready(answer) if isinstance(answer, dict) else answer

    def __await__(self) -> Any:
        return dict(self)
        yield


async def _last_close(candles: Any) -> float:
    return float((await candles).close[-1])


async def _average_of(candles: Any) -> float:
    return average_price(await candles)
