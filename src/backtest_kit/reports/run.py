"""One run as reports see it: what was recorded, and every number computed from it, each when it is first asked for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from backtest_kit.core.events import Event
from backtest_kit.reports.account import Account, account
from backtest_kit.reports.diagnosis import Finding, findings
from backtest_kit.reports.equity import EquityCurve, EquityPoint, Prices, equity_curve
from backtest_kit.reports.facts import RunFacts
from backtest_kit.reports.pooled import Heat, heat
from backtest_kit.reports.rows import Rows
from backtest_kit.reports.significance import Significance, significance
from backtest_kit.reports.statistics import Statistics, compute
from backtest_kit.reports.trades import Trade


class RunData:
    """What was recorded of a run, and what follows from it.

    `title` is plain text from the user's names; `trades` stand in the order of closing, `events` are all facts in the
    order of time; `prices` are the candles for pictures, one `Prices` a symbol (none, if they were not kept). A figure
    is computed when it is first asked for.
    """

    def __init__(
        self,
        title: str,
        trades: Sequence[Trade],
        facts: RunFacts,
        *,
        events: Sequence[Event] = (),
        prices: Sequence[Prices] = (),
        initial_balance: float = 10_000.0,
        trials: int = 1,
        max_rows: int = 250,
    ) -> None:
        self.title, self.facts = title, facts
        self.trades: Rows[Trade] = Rows(trades, Trade)
        self.events: Rows[Event] = Rows(events, Event)
        self.prices = tuple(prices)
        self.initial_balance, self.trials, self.max_rows = initial_balance, trials, max_rows

    @cached_property
    def statistics(self) -> Statistics:
        """All figures per trade; of several symbols those of the pooled sample."""
        several = len({trade.symbol for trade in self.trades}) > 1
        return self.heat.portfolio if several else compute(self.trades)

    @cached_property
    def heat(self) -> Heat:
        """The figures of each symbol, and of all pooled."""
        return heat(self.trades)

    @cached_property
    def curve(self) -> EquityCurve:
        """The account over time."""
        stop = self.facts.stop if self.facts.ended_at is None else self.facts.ended_at
        return equity_curve(self.trades, self.prices, self.facts.start, stop, self.initial_balance)

    @cached_property
    def equity(self) -> Rows[EquityPoint]:
        """The same as rows, for tables and files."""
        return Rows(self.curve.points(), EquityPoint)

    @cached_property
    def account(self) -> Account:
        """The figures of the account over time."""
        return account(self.curve, self.trades)

    @cached_property
    def significance(self) -> Significance:
        """How far the result can be trusted."""
        return significance(self.trades, trials=self.trials)

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """What a professional would notice."""
        return findings(self)
