"""The composition root: what is registered, and what is plugged in. Modes differ here and nowhere else.

An `App` holds everything that has a name, all listeners, the settings and the candles loaded so far. The module
functions of the package speak to one default instance; a program that wants several worlds in one process makes its
own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from backtest_kit.core.events import (
    ActivePing,
    BreakevenReached,
    Event,
    IdlePing,
    LossReached,
    ProfitReached,
    SchedulePing,
    SignalCancelled,
    SignalClosed,
    SignalOpened,
    SignalScheduled,
)
from backtest_kit.core.values import MINUTE, Source
from backtest_kit.engine.admission import Admission
from backtest_kit.engine.backtest import BacktestRun, frame_rows
from backtest_kit.engine.book import Book, Ticks
from backtest_kit.engine.history import History
from backtest_kit.engine.indicators import indicators_of
from backtest_kit.engine.listeners import Listeners, Subscription
from backtest_kit.engine.market import Market
from backtest_kit.engine.notices import Written
from backtest_kit.engine.params import Params
from backtest_kit.engine.schedule import Schedule
from backtest_kit.engine.watchdog import Watchdog
from backtest_kit.errors import ConfigError
from backtest_kit.ports import BrokerAdapter, Ledger, Store
from backtest_kit.record import Plan, Record
from backtest_kit.registry import (
    ExchangeSchema,
    FrameSchema,
    Registry,
    RiskSchema,
    SizingSchema,
    StrategySchema,
    resolve,
)
from backtest_kit.settings import Settings, changed, from_environment, load_environment
from backtest_kit.stores import CandleFiles, FileLedger

RESULTS: tuple[type[Event], ...] = (
    IdlePing,
    SignalScheduled,
    SchedulePing,
    SignalOpened,
    ActivePing,
    SignalClosed,
    SignalCancelled,
)
_CALLBACK_KINDS: dict[str, tuple[type[Event], ...]] = {
    "on_open": (SignalOpened,),
    "on_close": (SignalClosed,),
    "on_active": (ActivePing,),
    "on_schedule": (SignalScheduled,),
    "on_cancel": (SignalCancelled,),
    "on_tick": RESULTS,
    "on_idle": (IdlePing,),
    "on_partial_profit": (ProfitReached,),
    "on_partial_loss": (LossReached,),
    "on_breakeven": (BreakevenReached,),
    "on_active_ping": (ActivePing,),
    "on_schedule_ping": (SchedulePing,),
    "on_write": (Written,),
}
_CANDLE_SETTINGS = (
    "candle_retry_count",
    "candle_retry_delay_seconds",
    "max_candles_per_request",
    "price_anomaly_factor",
    "on_gap",
    "data_folder",
    "cache_candles",
)


class BrokerDesk:
    """The broker adapter that live trading sends its orders to; none: signals are followed, and no orders are sent."""

    def __init__(self) -> None:
        self._adapter: BrokerAdapter | None = None
        self._enabled = False

    @property
    def adapter(self) -> BrokerAdapter | None:
        """The adapter that is in use, when it is enabled."""
        return self._adapter if self._enabled else None

    def use_broker_adapter(self, adapter: BrokerAdapter) -> None:
        """Takes an adapter; `enable()` puts it in use. Raises ConfigError for what is none."""
        if not isinstance(adapter, BrokerAdapter):
            raise ConfigError(f"a broker adapter extends BrokerAdapter; {type(adapter).__name__} does not")
        self._adapter = adapter

    def enable(self) -> None:
        """From the next start of live trading on orders are sent. Raises ConfigError where there is no adapter."""
        if self._adapter is None:
            raise ConfigError("there is no broker adapter to enable: Broker.use_broker_adapter(…) first")
        self._enabled = True

    def disable(self) -> None:
        """From the next start of live trading on no orders are sent."""
        self._enabled = False


class App:
    """One world: registrations, listeners, settings, candles, runs."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.exchanges: Registry[ExchangeSchema] = Registry("exchange")
        self.frames: Registry[FrameSchema] = Registry("frame")
        self.risks: Registry[RiskSchema] = Registry("risk")
        self.sizings: Registry[SizingSchema] = Registry("sizing")
        self.strategies: Registry[StrategySchema] = Registry("strategy")
        self.listeners = Listeners()
        self.schedule = Schedule()
        self.records: list[Record] = []
        self.broker = BrokerDesk()
        self.store: Store | None = None
        self._settings = settings
        self._histories: dict[str, tuple[Any, tuple[Any, ...], History]] = {}

    # ---- settings ------------------------------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """The settings; at first use those of the environment and of `.env` in the working folder."""
        if self._settings is None:
            self.load_settings()
        return self._settings or Settings()

    def load_settings(self, strategy_folder: Path | None = None) -> None:
        """Takes `CC_…` variables: the working folder's `.env`, the strategy's over it, the environment over both."""
        self._settings = from_environment(load_environment(Path.cwd(), strategy_folder))

    def set_config(self, **new: object) -> Settings:
        """Changes settings, all or none of them."""
        self._settings = changed(self.settings, **new)
        return self._settings

    @property
    def ledger(self) -> Ledger:
        """The history of live and paper trading, in the data folder."""
        return FileLedger(Path(self.settings.data_folder) / "ledger")

    def history(self, exchange_name: str, settings: Settings) -> History:
        """The candles of an exchange; loaded ones are kept until the exchange or the settings change."""
        exchange = self.exchanges.get(exchange_name).exchange
        wanted = tuple(getattr(settings, name) for name in _CANDLE_SETTINGS)
        known = self._histories.get(exchange_name)
        if known is not None and known[0] is exchange and known[1] == wanted:
            return known[2]
        store = CandleFiles(Path(settings.data_folder) / "candles") if settings.cache_candles else None
        history = History(exchange_name, exchange, settings, store)
        self._histories[exchange_name] = (exchange, wanted, history)
        return history

    # ---- runs ----------------------------------------------------------------------------------------------------

    def backtest(
        self,
        symbols: str | Iterable[str],
        strategy_names: str | Iterable[str] | None,
        exchange_name: str | None,
        frame_name: str | None,
        params: Mapping[str, Any] | None = None,
        **settings: object,
    ) -> Record:
        """Plans a backtest: looks up every name, checks parameters and settings, and records the run.

        Nothing is loaded yet.

        A name that is None is the only one that is registered.
        """
        chosen = names_of("symbol", symbols)
        strategies = [self.strategies.get(name) for name in self._strategy_names(strategy_names)]
        exchange = self.exchanges.get(exchange_name) if exchange_name is not None else self.exchanges.only()
        frame = self.frames.get(frame_name) if frame_name is not None else self.frames.only()
        values = changed(self.settings, **settings)
        given = resolved(strategies, params or {})
        for strategy in strategies:
            for name in strategy.risk_names:
                self.risks.get(name)
        plan = Plan(
            chosen, tuple(each.name for each in strategies), exchange.name, frame.name, frame.start, frame.stop, values
        )
        prepare = partial(self._prepare, plan, frame, strategies, given)
        run = BacktestRun(prepare, self.listeners, self.schedule, values.get_signal_timeout_seconds)
        record = Record(plan, run)
        self._remember(record)
        return record

    def find(
        self, symbol: str | None, strategy_name: str | None, exchange_name: str | None, frame_name: str | None
    ) -> Record:
        """The latest run with a book of these names; raises ConfigError where there is none."""
        self._check_names(strategy_name, exchange_name, frame_name)
        for record in reversed(self.records):
            if record.plan.fits(symbol, strategy_name, exchange_name, frame_name):
                return record
        asked = [name for name in (symbol, strategy_name, exchange_name, frame_name) if name]
        raise ConfigError(f"no backtest of {', '.join(asked) or 'anything'} has been run; Backtest.run(…) runs one")

    def running_book(
        self, symbol: str | None, strategy_name: str | None, exchange_name: str | None, frame_name: str | None = None
    ) -> Book:
        """The book of a run under way that outside code means; raises ConfigError where there is none or a choice."""
        self._check_names(strategy_name, exchange_name, frame_name)
        found = [
            book
            for record in self.records
            if record.run.is_running
            for book in record.run.books
            if symbol in (None, book.source.symbol)
            and strategy_name in (None, book.source.strategy_name)
            and exchange_name in (None, book.source.exchange_name)
            and frame_name in (None, book.source.frame_name)
        ]
        if len(found) == 1:
            book = found[0]
            book.catch_up(max(each.context.when for each in book.peers.values()))
            book.touch()
            return book
        names = ", ".join(str(name) for name in (symbol, strategy_name, exchange_name, frame_name) if name)
        trouble = "several runs under way fit" if found else "no run under way fits"
        raise ConfigError(f"{trouble} {names or 'this'}: name symbol, strategy_name, exchange_name and frame_name")

    def _check_names(self, strategy_name: str | None, exchange_name: str | None, frame_name: str | None) -> None:
        for registry, name in (
            (self.strategies, strategy_name),
            (self.exchanges, exchange_name),
            (self.frames, frame_name),
        ):
            if name is not None:
                registry.get(name)

    def _strategy_names(self, names: str | Iterable[str] | None) -> tuple[str, ...]:
        return (self.strategies.only().name,) if names is None else names_of("strategy", names)

    def _remember(self, record: Record) -> None:
        """Keeps the latest run of every plan."""
        same = record.plan
        kept = [
            each
            for each in self.records
            if each.run.is_running
            or (each.plan.symbols, each.plan.strategy_names, each.plan.exchange_name, each.plan.frame_name)
            != (same.symbols, same.strategy_names, same.exchange_name, same.frame_name)
        ]
        self.records = [*kept, record]

    async def _prepare(
        self,
        plan: Plan,
        frame: FrameSchema,
        strategies: list[StrategySchema],
        given: Mapping[str, Mapping[str, Any]],
        watchdog: Watchdog,
    ) -> list[Book]:
        """Loads the candles of a run and makes its books."""
        settings, step = plan.settings, int(frame.interval)
        first, last = frame_rows(frame.start, frame.stop, step, settings.avg_price_candles)
        end = frame.start + (last - first) * MINUTE
        market = Market(self.history(plan.exchange_name, settings), frame.start, end, settings.avg_price_candles)
        ticks, admission = Ticks(first, last, step // MINUTE), Admission(self.listeners)
        books: list[Book] = []
        peers: dict[tuple[str, str], Book] = {}
        for strategy in strategies:
            for symbol in plan.symbols:
                tape = await market.tape(symbol)
                book = Book(
                    source=Source(symbol, strategy.name, plan.exchange_name, plan.frame_name),
                    strategy=strategy,
                    profiles=[self.risks.get(name) for name in strategy.risk_names],
                    settings=settings,
                    market=market,
                    tape=tape,
                    ticks=ticks,
                    listeners=self.listeners,
                    callbacks=callbacks_of(strategy),
                    admission=admission,
                    watchdog=watchdog,
                    params=Params(given[strategy.name]),
                    indicators=await indicators_of(strategy, symbol, market),
                    gaps=[(tape.row(start), tape.row(stop)) for start, stop in market.gaps(symbol)],
                )
                peers[strategy.name, symbol] = book
                book.peers = peers
                books.append(book)
        return books


def resolved(strategies: list[StrategySchema], params: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The parameters of each strategy: of those given, the ones that it declares. One that none declares is wrong."""
    declared = {name: each for strategy in strategies for name, each in strategy.parameters.items()}
    resolve(declared, {name: value for name, value in params.items() if name not in declared})
    return {
        strategy.name: resolve(
            strategy.parameters, {name: value for name, value in params.items() if name in strategy.parameters}
        )
        for strategy in strategies
    }


def callbacks_of(strategy: StrategySchema) -> list[Subscription]:
    """A strategy's callbacks as listeners of its own book."""
    return [Subscription(_CALLBACK_KINDS[name], function) for name, function in strategy.callbacks.items()]


def names_of(kind: str, names: str | Iterable[str]) -> tuple[str, ...]:
    """One name or several, each once, in the order given; raises ConfigError for anything else."""
    if not isinstance(names, Iterable):
        raise ConfigError(f"{kind}: a name or a list of names, not {names!r}")
    found = (names,) if isinstance(names, str) else tuple(dict.fromkeys(names))
    if not found or not all(isinstance(name, str) and name.strip() for name in found):
        raise ConfigError(f"{kind}: a name or a list of names, not {names!r}")
    return found


default = App()
"""The world that the module functions of the package speak to."""
