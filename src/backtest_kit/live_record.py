"""What live and paper trading have brought about, read from the ledger; it is the same before and after a restart."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from operator import attrgetter

from backtest_kit.core.events import Event, RiskRejected, SignalClosed, SignalInvalid
from backtest_kit.core.values import Mode, Source
from backtest_kit.errors import ConfigError
from backtest_kit.ports import Ledger
from backtest_kit.reports.facts import InvalidSignal, RunFacts
from backtest_kit.reports.trades import Trade, trade_of
from backtest_kit.results import LiveResult
from backtest_kit.settings import Settings, differing
from backtest_kit.stores.ledger import source_of
from backtest_kit.version import __version__

_KEPT_INVALID = 100


class LiveRecord:
    """The history of some books; `sources` are theirs, `events` all that the ledger has of them, in order of time."""

    def __init__(self, sources: Sequence[Source], events: Sequence[Event], settings: Settings) -> None:
        self.sources, self.events, self._settings = tuple(sources), tuple(events), settings

    @classmethod
    def read(
        cls,
        ledger: Ledger,
        settings: Settings,
        symbol: str | None,
        strategy_name: str | None,
        exchange_name: str | None,
        mode: Mode | None = None,
    ) -> LiveRecord:
        """Everything in the ledger that fits the names; raises ConfigError where there is nothing."""
        found = {
            stream: source
            for stream in ledger.streams()
            if (source := source_of(stream)) is not None
            and symbol in (None, source.symbol)
            and strategy_name in (None, source.strategy_name)
            and exchange_name in (None, source.exchange_name)
            and mode in (None, source.mode)
        }
        if not found:
            asked = ", ".join(name for name in (symbol, strategy_name, exchange_name, mode) if name)
            raise ConfigError(f"nothing of {asked or 'any strategy'} has been run, neither as a backtest nor live")
        events = sorted((event for stream in found for event in ledger.scan(stream)), key=attrgetter("time"))
        return cls(list(found.values()), events, settings)

    @cached_property
    def trades(self) -> tuple[Trade, ...]:
        """All closed trades, by closing time."""
        closed = (event for event in self.events if isinstance(event, SignalClosed))
        return tuple(trade_of(event, self._settings) for event in closed)

    def result(self) -> LiveResult:
        """What people look at."""
        facts = self.facts()
        return LiveResult(
            f"Live trading of {', '.join(facts.strategy_names)} on {', '.join(facts.symbols)}",
            self.trades,
            facts,
            events=self.events,
            initial_balance=self._settings.initial_balance,
            max_rows=self._settings.max_report_rows,
        )

    def facts(self) -> RunFacts:
        """The facts that the ledger knows; what only a backtest counts is 0."""
        refused = [event for event in self.events if isinstance(event, SignalInvalid)]
        invalid = [InvalidSignal(event.time, "; ".join(event.reasons)) for event in refused]
        return RunFacts(
            symbols=tuple(dict.fromkeys(each.symbol for each in self.sources)),
            strategy_names=tuple(dict.fromkeys(each.strategy_name for each in self.sources)),
            exchange_name=", ".join(dict.fromkeys(each.exchange_name for each in self.sources)),
            frame_name="",
            start=min((trade.opened_at for trade in self.trades), default=self._first),
            stop=self._last,
            candles=0,
            decisions=0,
            no_signal=0,
            invalid_signals=tuple(invalid[:_KEPT_INVALID]),
            invalid_signal_count=len(invalid),
            risk_rejections=sum(isinstance(event, RiskRejected) for event in self.events),
            not_enough_history=0,
            ambiguous=sum(trade.ambiguous for trade in self.trades),
            gaps=(),
            frame_end_closes=0,
            errors=0,
            settings=differing(self._settings),
            duration_seconds=0.0,
            version=__version__,
            mode="paper" if all(each.mode == "paper" for each in self.sources) else "live",
        )

    @property
    def _first(self) -> int:
        return self.events[0].time if self.events else 0

    @property
    def _last(self) -> int:
        return self.events[-1].time if self.events else 0
