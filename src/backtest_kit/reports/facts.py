"""What happened in a backtest beside its closed trades: the facts that a report states as well."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from backtest_kit.core.values import Mode, Time


class InvalidSignal(Struct, frozen=True):
    """A signal that was not accepted: when it was given (epoch ms), and every rule that it broke."""

    time: Time
    reason: str


class RunFacts(Struct, frozen=True, kw_only=True):
    """The facts of one run. No count has a default, so that none is stated that nobody counted.

    `start` and `stop` are epoch ms, `stop` exclusive; `candles` are 1-minute candles over all symbols.
    `decisions` counts how often a strategy was asked, `no_signal` how often it answered nothing,
    `not_enough_history` how often it could not decide because the market had too few candles before it.
    `invalid_signals` holds the first few of `invalid_signal_count`. `ambiguous` counts trades that closed on
    a candle that reached both stop and take profit, `frame_end_closes` those that were open when the frame
    ended, `gaps` are the [start, stop) without candles, `errors` failures of user code that did not end the
    run. `settings` are those that differ from the defaults. `ended_at` is how far the run came, epoch ms; None: to its
    end. `data_hash` stands for all its candles: another one means other data. `version` is that of the package.
    """

    symbols: tuple[str, ...]
    strategy_names: tuple[str, ...]
    exchange_name: str
    frame_name: str
    start: Time
    stop: Time
    candles: int
    decisions: int
    no_signal: int
    invalid_signals: tuple[InvalidSignal, ...]
    invalid_signal_count: int
    risk_rejections: int
    not_enough_history: int
    ambiguous: int
    gaps: tuple[tuple[Time, Time], ...]
    frame_end_closes: int
    errors: int
    settings: Mapping[str, object]
    duration_seconds: float
    ended_at: Time | None = None
    data_hash: str = ""
    version: str = ""
    mode: Mode = "backtest"

    @property
    def is_backtest(self) -> bool:
        """Whether candles, decisions, gaps and duration were counted; live trading has no end to count up to."""
        return self.mode == "backtest"
