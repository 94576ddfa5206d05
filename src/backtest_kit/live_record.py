"""What live and paper trading have brought about, read from the ledger; it is the same before and after a restart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from operator import attrgetter

from backtest_kit.core.events import Event, RiskRejected, SignalClosed, SignalInvalid
from backtest_kit.core.values import Mode, Source
from backtest_kit.errors import ConfigError, UnknownNameError, nearest_names
from backtest_kit.ports import Ledger
from backtest_kit.reports.facts import InvalidSignal, RunFacts
from backtest_kit.reports.trades import Trade, trade_of
from backtest_kit.results import LiveResult
from backtest_kit.settings import Settings, differing
from backtest_kit.stores.ledger import source_of
from backtest_kit.version import __version__

LIVE_MODES: tuple[Mode, ...] = ("live", "paper")
_KEPT_INVALID = 100


class LiveRecord:
    """The history of some books of one mode: `sources` are theirs, `events` all in the ledger, in order of time."""

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
        """Everything in the ledger that fits the names; raises ConfigError where there is nothing.

        Without a mode it is live trading, and paper trading where there is none: money that was real is never added to
        money that was not.
        """
        if mode is not None and mode not in LIVE_MODES:
            raise UnknownNameError("mode of live trading", mode, LIVE_MODES)
        traded = {stream: source for stream in ledger.streams() if (source := source_of(stream)) is not None}
        fitting = {
            stream: source
            for stream, source in traded.items()
            if symbol in (None, source.symbol)
            and strategy_name in (None, source.strategy_name)
            and exchange_name in (None, source.exchange_name)
        }
        for each in LIVE_MODES if mode is None else (mode,):
            found = {stream: source for stream, source in fitting.items() if source.mode == each}
            if found:
                break
        else:
            raise _nothing(traded.values(), (symbol, strategy_name, exchange_name), mode)
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
            f"{facts.mode.capitalize()} trading of {', '.join(facts.strategy_names)} on {', '.join(facts.symbols)}",
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
            mode=self.sources[0].mode,
        )

    @property
    def _first(self) -> int:
        return self.events[0].time if self.events else 0

    @property
    def _last(self) -> int:
        return self.events[-1].time if self.events else 0


def _nothing(sources: Iterable[Source], asked: Sequence[str | None], mode: Mode | None) -> ConfigError:
    """Why there is nothing of these names, with those in the ledger that may have been meant."""
    known = {name for each in sources if mode in (None, each.mode) for name in _names(each)}
    meant = [near for name in asked if name is not None and name not in known for near in nearest_names(name, known)]
    what = ", ".join(name for name in asked if name) or "any strategy"
    how = {"live": "live", "paper": "on paper"}.get(mode or "", "live or on paper")
    question = f"; did you mean {' or '.join(map(repr, meant))}?" if meant else ""
    return ConfigError(f"nothing of {what} has been traded {how}{question}")


def _names(source: Source) -> tuple[str, ...]:
    return source.symbol, source.strategy_name, source.exchange_name
