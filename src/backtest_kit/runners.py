"""The runners: what a user starts. `Backtest` replays history through the registered strategies, `Live` trades them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from backtest_kit.app import App, default
from backtest_kit.core.values import Mode
from backtest_kit.engine.answers import ReadyPath, ReadyText
from backtest_kit.engine.control import ControlFolder
from backtest_kit.iteration import Background, Results
from backtest_kit.live_plan import LiveJob, live_job, plugs_of
from backtest_kit.live_record import LiveRecord
from backtest_kit.ports import BrokerAdapter, Clock
from backtest_kit.reporters import report_path
from backtest_kit.reports.files import write_text
from backtest_kit.reports.tables import Columns
from backtest_kit.results import BacktestResult, LiveResult, Result


class RunStatus(Struct, frozen=True):
    """One run that was started: what it runs, how far it is, how many trades it has closed."""

    symbols: tuple[str, ...]
    strategy_names: tuple[str, ...]
    exchange_name: str
    frame_name: str
    status: str
    trades: int


class BacktestRunner:
    """Backtests of one `App`, `Backtest` those of the default one; a name left out is the only one registered."""

    def __init__(self, app: App) -> None:
        self._app = app

    def run(
        self,
        symbol: str | Iterable[str],
        *,
        strategy_name: str | Iterable[str] | None = None,
        exchange_name: str | None = None,
        frame_name: str | None = None,
        params: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Results:
        """A backtest that runs while its results are iterated, with `for` or `async for`.

        Yields scheduled, opened, cancelled and closed events in order. Several symbols or strategies run on one time
        line and share their risk profiles. `params` are values for the strategy's declared parameters; further keywords
        are settings of this run alone (`fill_rule="level"`, `fast_forward=False`). Raises at once for wrong names and
        values, while iterating for bad candles (DataError) and for a strategy that fails (StrategyError).
        """
        record = self._app.backtest(symbol, strategy_name, exchange_name, frame_name, params, **settings)
        return Results(record, self._app.listeners)

    def background(
        self,
        symbol: str | Iterable[str],
        *,
        strategy_name: str | Iterable[str] | None = None,
        exchange_name: str | None = None,
        frame_name: str | None = None,
        params: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Background:
        """The same without iterating: listeners and callbacks get the events. Returns a function that stops it."""
        record = self._app.backtest(symbol, strategy_name, exchange_name, frame_name, params, **settings)
        return Background(record, self._app.listeners)

    def stop(
        self,
        symbol: str | None = None,
        *,
        strategy_name: str | None = None,
        exchange_name: str | None = None,
        frame_name: str | None = None,
    ) -> None:
        """Stops runs that fit the names: no new signals, what waits is cancelled, what is open goes on to its end."""
        self._app.find(symbol, strategy_name, exchange_name, frame_name)
        for record in self._app.records:
            if record.run.outcome is None and record.plan.fits(symbol, strategy_name, exchange_name, frame_name):
                record.run.stop(
                    lambda book: (
                        symbol in (None, book.source.symbol) and strategy_name in (None, book.source.strategy_name)
                    )
                )

    def list(self) -> tuple[RunStatus, ...]:
        """The latest run of every combination of names, oldest first."""
        return tuple(
            RunStatus(
                record.plan.symbols,
                record.plan.strategy_names,
                record.plan.exchange_name,
                record.plan.frame_name,
                record.run.outcome or ("running" if record.run.is_running else "waiting"),
                sum(len(book.closed) for book in record.books()),
            )
            for record in self._app.records
        )

    def get_data(
        self,
        symbol: str | None = None,
        *,
        strategy_name: str | None = None,
        exchange_name: str | None = None,
        frame_name: str | None = None,
    ) -> BacktestResult:
        """Trades and statistics of the latest run that fits: of all books, or of the symbol or strategy named."""
        record = self._app.find(symbol, strategy_name, exchange_name, frame_name)
        return record.result(symbol, strategy_name)

    def get_report(
        self,
        symbol: str | None = None,
        *,
        strategy_name: str | None = None,
        exchange_name: str | None = None,
        frame_name: str | None = None,
        columns: Columns[Any] = None,
    ) -> ReadyText:
        """The report of the same as markdown. `columns` chooses those of the trades by name, and adds (`Column`)."""
        data = self.get_data(symbol, strategy_name=strategy_name, exchange_name=exchange_name, frame_name=frame_name)
        return ReadyText(data.to_markdown(columns))

    def dump(
        self,
        symbol: str | None = None,
        *,
        strategy_name: str | None = None,
        exchange_name: str | None = None,
        frame_name: str | None = None,
        columns: Columns[Any] = None,
        path: str | Path | None = None,
    ) -> ReadyPath:
        """Writes report (`.md`) and trades (`.csv`), each whole or not at all; returns the report's path.

        `path` is a folder, or the name of a `.md` file; by default `<dump_folder>/backtest/<strategy>_<symbol>.md`.
        """
        data = self.get_data(symbol, strategy_name=strategy_name, exchange_name=exchange_name, frame_name=frame_name)
        return _dumped(data, report_path(self._app, "backtest", path, data.facts), columns)


class LiveRunner:
    """Live trading of one `App`; `Live` is that of the default one, `Paper` the same on paper.

    What was traded is read from the ledger, so it is there after a restart too.
    """

    def __init__(self, app: App, mode: Mode = "live") -> None:
        self._app, self._mode = app, mode
        self._jobs: list[LiveJob] = []

    def run(
        self,
        symbol: str | Iterable[str],
        *,
        strategy_name: str | Iterable[str] | None = None,
        exchange_name: str | None = None,
        params: Mapping[str, Any] | None = None,
        paper: bool = False,
        clock: Clock | None = None,
        **settings: Any,
    ) -> Results:
        """Trading on the wall clock while its results are iterated, with `for` or `async for`; it ends by `stop` alone.

        Yields scheduled, opened, cancelled and closed events. What was open when the process died goes on. `paper`
        fills orders without an exchange; otherwise they go to the broker adapter, and without one nothing is sent.
        `clock` replaces that of the machine. Raises at once for wrong names and values, and while iterating where kept
        state cannot be trusted (StateDamagedError) or another process trades it (StoreLockedError).
        """
        return Results(
            self._job(symbol, strategy_name, exchange_name, params, paper, clock, settings), self._app.listeners
        )

    def background(
        self,
        symbol: str | Iterable[str],
        *,
        strategy_name: str | Iterable[str] | None = None,
        exchange_name: str | None = None,
        params: Mapping[str, Any] | None = None,
        paper: bool = False,
        clock: Clock | None = None,
        **settings: Any,
    ) -> Background:
        """The same without iterating: listeners and callbacks get the events. Returns a function that stops it."""
        return Background(
            self._job(symbol, strategy_name, exchange_name, params, paper, clock, settings), self._app.listeners
        )

    def stop(self, symbol: str | None = None, *, strategy_name: str | None = None) -> None:
        """Stops what trades under these names: no new signals, what waits is cancelled, what is open is watched on."""
        for job in self._jobs:
            job.run.stop(
                lambda book: symbol in (None, book.source.symbol) and strategy_name in (None, book.source.strategy_name)
            )

    def _job(
        self,
        symbol: str | Iterable[str],
        strategy_name: str | Iterable[str] | None,
        exchange_name: str | None,
        params: Mapping[str, Any] | None,
        paper: bool,
        clock: Clock | None,
        settings: Mapping[str, Any],
    ) -> LiveJob:
        mode: Mode = "paper" if paper else self._mode
        plugs = plugs_of(self._app, mode, clock, settings)
        job = live_job(self._app, plugs, mode, symbol, strategy_name, exchange_name, params, **settings)
        job.run.obey(ControlFolder(job.plan.settings.data_folder, mode))
        self._jobs = [*(each for each in self._jobs if each.run.is_running), job]
        return job

    def get_data(
        self,
        symbol: str | None = None,
        *,
        strategy_name: str | None = None,
        exchange_name: str | None = None,
        mode: Mode | None = None,
    ) -> LiveResult:
        """Trades, events and statistics of everything that was traded under these names, also before a restart.

        `mode` chooses "live" or "paper"; without it paper trading is told of where nothing was traded live. Raises
        ConfigError where the ledger has nothing that fits.
        """
        names, meant = (symbol, strategy_name, exchange_name), mode or (self._mode if self._mode == "paper" else None)
        return LiveRecord.read(self._app.ledger, self._app.settings, *names, mode=meant).result()

    def get_report(
        self,
        symbol: str | None = None,
        *,
        strategy_name: str | None = None,
        exchange_name: str | None = None,
        mode: Mode | None = None,
        columns: Columns[Any] = None,
    ) -> ReadyText:
        """The same as markdown: the latest state of every signal, and the figures over all closed trades."""
        data = self.get_data(symbol, strategy_name=strategy_name, exchange_name=exchange_name, mode=mode)
        return ReadyText(data.to_markdown(columns))

    def dump(
        self,
        symbol: str | None = None,
        *,
        strategy_name: str | None = None,
        exchange_name: str | None = None,
        mode: Mode | None = None,
        columns: Columns[Any] = None,
        path: str | Path | None = None,
    ) -> ReadyPath:
        """Writes report (`.md`) and trades (`.csv`), by default to `<dump_folder>/<mode>/<strategy>_<symbol>.md`."""
        data = self.get_data(symbol, strategy_name=strategy_name, exchange_name=exchange_name, mode=mode)
        return _dumped(data, report_path(self._app, data.facts.mode, path, data.facts), columns)


class BrokerFace:
    """Where the orders of live trading go."""

    def __init__(self, app: App) -> None:
        self._app = app

    def use_broker_adapter(self, adapter: BrokerAdapter) -> None:
        """Takes an adapter; `enable()` puts it in use. Raises ConfigError for what is none."""
        self._app.broker.use_broker_adapter(adapter)

    def enable(self) -> None:
        """From the next start of live trading on orders are sent. Raises ConfigError where there is no adapter."""
        self._app.broker.enable()

    def disable(self) -> None:
        """From the next start of live trading on no orders are sent."""
        self._app.broker.disable()


def _dumped(data: Result, target: Path, columns: Columns[Any]) -> ReadyPath:
    """Writes the report and, beside it, the trades."""
    report = data.to_markdown(columns)
    write_text(target.with_suffix(".csv"), data.to_csv())
    return ReadyPath(write_text(target, report))


Backtest = BacktestRunner(default)
"""Backtests of what is registered with the module functions."""
Live = LiveRunner(default)
"""Live trading of what is registered with the module functions."""
Paper = LiveRunner(default, "paper")
"""The same on paper: real prices, and orders that are filled without an exchange."""
Broker = BrokerFace(default)
"""The broker adapter that live trading sends its orders to."""
