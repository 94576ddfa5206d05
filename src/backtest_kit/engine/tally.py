"""What a book counts while it runs, for the report."""

from __future__ import annotations

from backtest_kit.core.events import Event, SignalClosed, SignalInvalid

_KEPT = 100  # invalid signals kept with their reasons; all of them are counted


class Tally:
    """Counts of one book over one run, and its facts in order."""

    def __init__(self) -> None:
        self.decisions = 0
        self.signals = 0
        self.invalid: list[SignalInvalid] = []
        self.invalid_count = 0
        self.risk_rejections = 0
        self.not_enough_history = 0
        self.errors = 0
        self.failed_decisions = 0
        self.closed: list[SignalClosed] = []
        self.facts: list[Event] = []

    @property
    def no_signal(self) -> int:
        """How often the strategy was asked and wanted nothing."""
        return self.decisions - self.signals - self.not_enough_history - self.failed_decisions

    def count_invalid(self, event: SignalInvalid) -> None:
        self.invalid_count += 1
        if len(self.invalid) < _KEPT:
            self.invalid.append(event)
