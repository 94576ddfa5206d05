"""Subscribing to events: `listen_…(handler)`, or as a decorator, with `where=`, `once=` and `per_signal=`.

Every function returns a `Listening`: called without arguments it unsubscribes; with an event it calls the handler, so
that a decorated function can still be called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, overload

from backtest_kit.app import RESULTS, default
from backtest_kit.core.events import (
    ActivePing,
    BreakevenReached,
    Committed,
    Event,
    HighestProfit,
    IdlePing,
    LossReached,
    MaxDrawdown,
    OrderAnswered,
    ProfitReached,
    RiskRejected,
    SchedulePing,
    SignalCancelled,
    SignalClosed,
    SignalInvalid,
    SignalOpened,
    SignalScheduled,
)
from backtest_kit.engine.listeners import Subscription
from backtest_kit.engine.notices import (
    AfterEnd,
    BeforeStart,
    DoneBacktest,
    DoneLive,
    Failure,
    Performance,
    Progress,
    RunFailed,
)
from backtest_kit.errors import ConfigError

Handler = Callable[[Any], Any]
Where = Callable[[Any], bool]
Modes = tuple[str, ...]


class Listening:
    """A subscription: `listening()` ends it, `listening(event)` calls its handler."""

    def __init__(self, handler: Handler, cancel: Callable[[], None]) -> None:
        self._handler, self._cancel = handler, cancel
        self.__doc__ = handler.__doc__
        self.__name__ = getattr(handler, "__name__", type(handler).__name__)

    def __call__(self, *event: Any) -> Any:
        return self._handler(*event) if event else self._cancel()


class Listen:
    """A way to subscribe to certain kinds of events."""

    def __init__(self, name: str, kinds: tuple[type[Event], ...], doc: str, modes: Modes = ()) -> None:
        self.__name__ = self.__qualname__ = name
        self.__doc__ = doc
        self._kinds, self._modes = kinds, modes

    @overload
    def __call__(
        self, handler: Handler, *, where: Where | None = None, once: bool = False, per_signal: bool = False
    ) -> Listening: ...
    @overload
    def __call__(
        self, handler: None = None, *, where: Where | None = None, once: bool = False, per_signal: bool = False
    ) -> Callable[[Handler], Listening]: ...
    def __call__(
        self,
        handler: Handler | None = None,
        *,
        where: Where | None = None,
        once: bool = False,
        per_signal: bool = False,
    ) -> Listening | Callable[[Handler], Listening]:
        """Subscribes a `def` or `async def` handler of one argument, the event; without a handler, as a decorator.

        `where(event)` picks events, `once` ends after the first, `per_signal` takes the first of every signal.
        """
        if handler is None:
            return lambda function: self(function, where=where, once=once, per_signal=per_signal)
        if not callable(handler):
            raise ConfigError(f"{self.__name__} takes a function of one argument, the event, not {handler!r}")
        subscription = Subscription(self._kinds, handler, _both(where, self._modes), once, per_signal)
        return Listening(handler, default.listeners.add(subscription))

    def __repr__(self) -> str:
        return f"<{self.__name__}>"


def _both(where: Where | None, modes: Modes) -> Where | None:
    if not modes:
        return where
    if where is None:
        return lambda event: event.mode in modes
    return lambda event: event.mode in modes and where(event)


listen_signal = Listen(
    "listen_signal", RESULTS, "All results of all books: idle, scheduled, waiting, opened, active, closed, cancelled."
)
listen_signal_backtest = Listen("listen_signal_backtest", RESULTS, "All results of backtests.", ("backtest",))
listen_signal_live = Listen("listen_signal_live", RESULTS, "All results of live and paper trading.", ("live", "paper"))
listen_signal_idle = Listen(
    "listen_signal_idle", (IdlePing,), "Ticks at which nothing is open and nothing was decided."
)
listen_signal_scheduled = Listen("listen_signal_scheduled", (SignalScheduled,), "Limit entries that begin to wait.")
listen_signal_waiting = Listen(
    "listen_signal_waiting", (SchedulePing,), "Candles on which a limit entry went on waiting."
)
listen_signal_opened = Listen("listen_signal_opened", (SignalOpened,), "Positions entered.")
listen_signal_active = Listen("listen_signal_active", (ActivePing,), "Candles on which a position stayed open.")
listen_signal_closed = Listen("listen_signal_closed", (SignalClosed,), "Positions left.")
listen_signal_cancelled = Listen("listen_signal_cancelled", (SignalCancelled,), "Signals that never became a position.")
listen_active_ping = Listen(
    "listen_active_ping", (ActivePing,), "Every candle of an open position: the place to manage it."
)
listen_schedule_ping = Listen("listen_schedule_ping", (SchedulePing,), "Every candle of a scheduled signal.")
listen_idle_ping = Listen("listen_idle_ping", (IdlePing,), "Every tick at which nothing is open or decided.")
listen_partial_profit = Listen(
    "listen_partial_profit", (ProfitReached,), "Milestones on the way to the take profit: 10, 20, … 100 %."
)
listen_partial_loss = Listen("listen_partial_loss", (LossReached,), "Milestones on the way to the stop loss.")
listen_breakeven = Listen("listen_breakeven", (BreakevenReached,), "A stop at the entry would now cover all costs.")
listen_highest_profit = Listen("listen_highest_profit", (HighestProfit,), "A new best price of an open position.")
listen_max_drawdown = Listen("listen_max_drawdown", (MaxDrawdown,), "A new worst price of an open position.")
listen_risk = Listen("listen_risk", (RiskRejected,), "Signals that a risk profile refused.")
listen_strategy_commit = Listen("listen_strategy_commit", (Committed,), "Commands, carried out or refused.")
listen_validation = Listen(
    "listen_validation", (SignalInvalid,), "Signals that broke a rule, with all the rules that they broke."
)
listen_progress = Listen("listen_progress", (Progress,), "How far a run has come, percent by percent.")
listen_before_start = Listen("listen_before_start", (BeforeStart,), "A book is about to see its first tick.")
listen_after_end = Listen("listen_after_end", (AfterEnd,), "A book has seen its last tick.")
listen_done_backtest = Listen("listen_done_backtest", (DoneBacktest,), "A backtest is over, and how it ended.")
listen_done_live = Listen("listen_done_live", (DoneLive,), "Live trading of a book was stopped, and it holds nothing.")
listen_order = Listen("listen_order", (OrderAnswered,), "What came of every order that a broker was asked for.")
listen_performance = Listen("listen_performance", (Performance,), "How long parts of a run took.")
listen_error = Listen("listen_error", (Failure,), "Errors of user code that a run survived.")
listen_exit = Listen("listen_exit", (RunFailed,), "Runs in the background that ended by an error.")
