"""Reports on one subject each, of backtests and of live trading: `Schedule.get_report("BTCUSDT")`, `Heat.dump()`, …"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from backtest_kit.app import App, default
from backtest_kit.core.events import Event
from backtest_kit.core.values import Mode
from backtest_kit.engine.answers import ReadyPath, ReadyText
from backtest_kit.errors import ConfigError, UnknownNameError
from backtest_kit.live_record import LIVE_MODES, LiveRecord
from backtest_kit.reports.facts import RunFacts
from backtest_kit.reports.files import file_name, write_text
from backtest_kit.reports.kinds.commits import strategy_commits
from backtest_kit.reports.kinds.comparison import WalkerStatistics, comparison
from backtest_kit.reports.kinds.extremes import highest_profit, max_drawdown
from backtest_kit.reports.kinds.heat import heat_statistics
from backtest_kit.reports.kinds.milestones import breakeven, partial
from backtest_kit.reports.kinds.orders import orders
from backtest_kit.reports.kinds.performance import Timing, performance
from backtest_kit.reports.kinds.risk import risk_rejections
from backtest_kit.reports.kinds.schedule import schedule
from backtest_kit.reports.report import Subject
from backtest_kit.reports.tables import Columns
from backtest_kit.reports.trades import Trade
from backtest_kit.results import Result

Found = TypeVar("Found", bound=Subject)

_COMPARISON = "Comparison of strategies"


class Material(Struct, frozen=True):
    """What a report is made of: the trades and facts of a run, and how long its parts took."""

    facts: RunFacts
    trades: Sequence[Trade]
    events: Sequence[Event]
    timings: Sequence[Timing]


class Reporter(Generic[Found]):
    """One kind of report.

    Names choose the run: its latest backtest in this process that fits, or, where there is none, live trading as the
    ledger has it. `mode` ("backtest", "live", "paper") says which of them is meant.
    """

    def __init__(self, app: App, kind: str, title: str, compute: Callable[[Material], Found]) -> None:
        self._app, self._kind, self._title, self._compute = app, kind, title, compute

    def get_data(
        self,
        symbol: str | None = None,
        *,
        strategy_name: str | None = None,
        exchange_name: str | None = None,
        frame_name: str | None = None,
        mode: Mode | None = None,
    ) -> Found:
        """The rows and the figures over them. Raises ConfigError when nothing that fits has been run."""
        return self._compute(self._material(symbol, strategy_name, exchange_name, frame_name, mode))

    def get_report(
        self,
        symbol: str | None = None,
        *,
        strategy_name: str | None = None,
        exchange_name: str | None = None,
        frame_name: str | None = None,
        mode: Mode | None = None,
        columns: Columns[Any] = None,
    ) -> ReadyText:
        """The same as markdown. `columns` chooses those of the rows by name, and adds new ones (`Column`)."""
        return ReadyText(self._text(self._material(symbol, strategy_name, exchange_name, frame_name, mode), columns))

    def dump(
        self,
        symbol: str | None = None,
        *,
        strategy_name: str | None = None,
        exchange_name: str | None = None,
        frame_name: str | None = None,
        mode: Mode | None = None,
        columns: Columns[Any] = None,
        path: str | Path | None = None,
    ) -> ReadyPath:
        """Writes the report whole or not at all, and returns its path.

        `path` is a folder, or the name of a `.md` file; by default `<dump_folder>/<kind>/<strategy>_<symbol>.md`.
        """
        material = self._material(symbol, strategy_name, exchange_name, frame_name, mode)
        target = report_path(self._app, self._kind, path, material.facts)
        return ReadyPath(write_text(target, self._text(material, columns)))

    def _text(self, material: Material, columns: Columns[Any]) -> str:
        names, symbols = ", ".join(material.facts.strategy_names), ", ".join(material.facts.symbols)
        title = f"{self._title} of {names} on {symbols}"
        return self._compute(material).to_markdown(title, columns, self._app.settings.max_report_rows)

    def _material(
        self,
        symbol: str | None,
        strategy_name: str | None,
        exchange_name: str | None,
        frame_name: str | None,
        mode: Mode | None,
    ) -> Material:
        names = (symbol, strategy_name, exchange_name)
        if mode in LIVE_MODES:
            return _traded(LiveRecord.read(self._app.ledger, self._app.settings, *names, mode=mode))
        if mode not in (None, "backtest"):
            raise UnknownNameError("mode", mode, ("backtest", *LIVE_MODES))
        try:
            record = self._app.find(*names, frame_name)
        except ConfigError as wrong:
            if mode == "backtest" or frame_name is not None:
                raise
            return self._traded_at_least(names, wrong)
        result: Result = record.result(symbol, strategy_name)
        return Material(result.facts, result.trades, result.events, record.timings())

    def _traded_at_least(self, names: tuple[str | None, str | None, str | None], wrong: ConfigError) -> Material:
        """Live trading of these names; where there is none, `wrong` says why there is no backtest either."""
        try:
            return _traded(LiveRecord.read(self._app.ledger, self._app.settings, *names))
        except ConfigError as error:
            if isinstance(wrong, UnknownNameError):
                raise wrong from None
            raise ConfigError(f"{wrong}; {error}") from None


class WalkerReporter:
    """The comparison of strategies: all that were tested on the same market and frame as the latest backtest."""

    def __init__(self, app: App) -> None:
        self._app = app

    def get_data(
        self,
        symbol: str | None = None,
        *,
        exchange_name: str | None = None,
        frame_name: str | None = None,
        metric: str = "sharpe_ratio",
    ) -> WalkerStatistics:
        """The strategies ranked by a metric, the best first. Raises UnknownNameError for a metric that is none."""
        return comparison(self._runs(symbol, exchange_name, frame_name), metric)

    def get_report(
        self,
        symbol: str | None = None,
        *,
        exchange_name: str | None = None,
        frame_name: str | None = None,
        metric: str = "sharpe_ratio",
        columns: Columns[Any] = None,
    ) -> ReadyText:
        """The comparison as markdown."""
        data = self.get_data(symbol, exchange_name=exchange_name, frame_name=frame_name, metric=metric)
        return ReadyText(data.to_markdown(_COMPARISON, columns, self._app.settings.max_report_rows))

    def dump(
        self,
        symbol: str | None = None,
        *,
        exchange_name: str | None = None,
        frame_name: str | None = None,
        metric: str = "sharpe_ratio",
        columns: Columns[Any] = None,
        path: str | Path | None = None,
    ) -> ReadyPath:
        """Writes it whole or not at all, by default to `<dump_folder>/walker/<strategies>_<symbols>.md`."""
        runs = self._runs(symbol, exchange_name, frame_name)
        facts = replace(next(iter(runs.values())).facts, strategy_names=tuple(sorted(runs)))
        text = comparison(runs, metric).to_markdown(_COMPARISON, columns, self._app.settings.max_report_rows)
        return ReadyPath(write_text(report_path(self._app, "walker", path, facts), text))

    def _runs(self, symbol: str | None, exchange_name: str | None, frame_name: str | None) -> dict[str, Result]:
        """The latest result of each strategy, the latest first. Raises ConfigError when nothing fits."""
        record = self._app.find(symbol, None, exchange_name, frame_name)
        place = (record.plan.exchange_name, record.plan.frame_name, record.plan.start, record.plan.stop)
        runs: dict[str, Result] = {}
        for each in reversed(self._app.records):
            plan = each.plan
            if (plan.exchange_name, plan.frame_name, plan.start, plan.stop) != place:
                continue
            if plan.symbols == record.plan.symbols or symbol in plan.symbols:
                for name in plan.strategy_names:
                    runs.setdefault(name, each.result(symbol, name))
        return runs


def _traded(live: LiveRecord) -> Material:
    return Material(live.facts(), live.trades, live.events, ())


def report_path(app: App, kind: str, path: str | Path | None, facts: RunFacts) -> Path:
    """Where a report is written: the `.md` file named, or one in the folder named or of its kind."""
    target = Path(app.settings.dump_folder) / kind if path is None else Path(path)
    return target if target.suffix.lower() == ".md" else target / f"{file_name(facts.strategy_names, facts.symbols)}.md"


Schedule = Reporter(default, "schedule", "Scheduled signals", lambda run: schedule(run.events))
"""Limit entries: how many were filled, how long they waited."""
Heat = Reporter(default, "heat", "Symbols", lambda run: heat_statistics(run.trades))
"""Symbols × metrics, and all trades pooled."""
Partial = Reporter(default, "partial", "Milestones", lambda run: partial(run.trades, run.events))
"""How far positions came on the way to their take profit and their stop."""
Breakeven = Reporter(default, "breakeven", "Breakeven", lambda run: breakeven(run.trades, run.events))
"""Positions whose price ran so far that a stop at the entry would have covered all costs."""
HighestProfit = Reporter(
    default, "highest_profit", "Highest profits", lambda run: highest_profit(run.trades, run.events)
)
"""The best moment of every position, and what was given back after it."""
MaxDrawdown = Reporter(default, "max_drawdown", "Deepest losses", lambda run: max_drawdown(run.trades, run.events))
"""The worst moment of every position."""
Risk = Reporter(default, "risk", "Rejections", lambda run: risk_rejections(run.events))
"""Signals that risk rules refused, and why."""
Performance = Reporter(default, "performance", "Durations", lambda run: performance(run.timings))
"""How long the parts of a run took."""
Strategy = Reporter(default, "strategy", "Commands", lambda run: strategy_commits(run.events))
"""Commands given to open positions and waiting signals."""
Orders = Reporter(default, "orders", "Orders", lambda run: orders(run.trades, run.events))
"""Every order of every trade."""
Walker = WalkerReporter(default)
"""The strategies tested on the same market and frame, compared."""
