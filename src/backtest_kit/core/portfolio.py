"""All books of a risk profile together: what is open, what is reserved, how much it is.

A place is reserved while a signal is on its way (checked, not yet open), becomes a holding when it opens, and is
released when the signal comes to nothing or the position closes. A portfolio is a value: `with_holding` and `released`
return the next one.
"""

from __future__ import annotations

from msgspec import Struct

from backtest_kit.core.position import Position
from backtest_kit.core.values import Signal, Source, Sourced, Time


class Holding(Sourced, frozen=True):
    """One book's place in a portfolio. `position` is None while the place is only reserved."""

    signal: Signal
    since: Time
    price: float
    position: Position | None = None

    @property
    def is_reserved(self) -> bool:
        return self.position is None

    @property
    def exposure(self) -> float:
        """Quote currency at work: money still in the position (or meant for it) times leverage."""
        money = self.signal.cost if self.position is None else self.position.basis
        return money * self.signal.leverage


class Portfolio(Struct, frozen=True):
    """Holdings by book, at most one a book."""

    holdings: tuple[Holding, ...] = ()

    def __len__(self) -> int:
        return len(self.holdings)

    @property
    def exposure(self) -> float:
        """Quote currency at work in all holdings, reserved ones included."""
        total = 0.0
        for holding in self.holdings:
            total = total + holding.exposure
        return total

    def of(self, source: Source) -> Holding | None:
        return next((holding for holding in self.holdings if holding.source == source), None)

    def without(self, source: Source) -> Portfolio:
        """The portfolio as a book sees it that asks about itself: its own place does not count against it."""
        return Portfolio(tuple(holding for holding in self.holdings if holding.source != source))

    def with_holding(self, holding: Holding) -> Portfolio:
        """A place reserved or taken; an earlier one of the same book is replaced."""
        return Portfolio((*self.without(holding.source).holdings, holding))

    def released(self, source: Source) -> Portfolio:
        """The portfolio after a book has given up its place."""
        return self.without(source)
