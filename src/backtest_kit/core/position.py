"""An open position: what was put in, what was taken out, and what it is worth.

Money is counted as in chapter 7 of the engine's semantics. `basis` is the money still in the position and `coins` what
it bought, at the prices of the entries; their quotient is the effective entry price. A partial exit shrinks both by the
same share and so leaves the effective price where it is; an average buy adds to both and moves it.

A leg E → X costs slippage `s` on both prices and the fee `f` on both amounts: `o = E·(1 ± s/100)`, `x = X·(1 ∓ s/100)`,
`gross = ±(x − o)/o·100`, fee on entry `f`, on exit `f·x/o`. Where an exchange has reported a real fill, its price
stands without slippage and its fee replaces the model's.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from backtest_kit.core.rules import expiry, farther_from_stop
from backtest_kit.core.values import Signal, Terms, Time


class Fill(Struct, frozen=True):
    """What an exchange reports of an order: mean price, quantity in units, fee in quote currency, ids of its trades."""

    price: float
    quantity: float
    fee: float = 0.0
    trade_ids: tuple[str, ...] = ()


class Entry(Struct, frozen=True):
    """Money put in at a price. `fill` is the real one, where there is a real one."""

    time: Time
    price: float
    cost: float
    fill: Fill | None = None


class Exit(Struct, frozen=True):
    """A part taken out: `percent` of what was held then, when `basis` was in it at `entry_price` (effective)."""

    time: Time
    price: float
    percent: float
    kind: Literal["profit", "loss", "close"]
    basis: float
    entry_price: float
    fill: Fill | None = None


class Extreme(Struct, frozen=True):
    """The best or worst price of a position's life so far, and what leaving there would have paid, in percent."""

    price: float
    time: Time
    percent: float


MilestoneKind: TypeAlias = Literal["profit", "loss", "breakeven"]


class Milestone(Struct, frozen=True):
    """A mark that a position passed: a tenth of the way to its take profit or its stop, or its breakeven price.

    `level` is percent of the way (10, 20, …); 0 for breakeven. `price` is the average price that passed it.
    """

    kind: MilestoneKind
    level: int
    time: Time
    price: float


class Profit(Struct, frozen=True):
    """Profit after costs: in percent of the money put in (times leverage), and in quote currency."""

    percent: float
    cost: float
    price_open: float
    price_close: float
    invested: float


class Position(Struct, frozen=True):
    """A position that is open.

    Its signal keeps what was asked for; the levels here are as they have been moved since.
    """

    signal: Signal
    pending_at: Time
    entries: tuple[Entry, ...]
    price_take_profit: float
    price_stop_loss: float
    expires_at: Time
    basis: float
    coins: float
    peak: Extreme
    trough: Extreme
    exits: tuple[Exit, ...] = ()
    liquidation_price: float | None = None
    profit_level: int = 0
    loss_level: int = 0
    breakeven_reached: bool = False
    stop_trailed: bool = False
    take_trailed: bool = False
    operations: int = 1
    milestones: tuple[Milestone, ...] = ()

    @property
    def sign(self) -> int:
        return 1 if self.signal.position == "long" else -1

    @property
    def price_open(self) -> float:
        """The price of the first entry; `effective_price` counts all of them."""
        return self.entries[0].price

    @property
    def effective_price(self) -> float:
        """Entry price of what is held, counting every entry; of the last part, when nothing is held any more."""
        return self.basis / self.coins if self.coins else self.exits[-1].entry_price

    @property
    def invested(self) -> float:
        """All money that was ever put in, quote currency."""
        if len(self.entries) == 1:
            return self.entries[0].cost
        return sum_left([entry.cost for entry in self.entries])

    @property
    def held_percent(self) -> float:
        """How much of the invested money is still in, percent."""
        return self.basis / self.invested * 100

    @property
    def stop_level(self) -> float:
        """The price at which a falling market (for a short: rising) ends the position: its stop or its liquidation."""
        if self.liquidation_price is None:
            return self.price_stop_loss
        return farther_from_stop(self.sign, self.price_stop_loss, self.liquidation_price)


def opened(signal: Signal, time: Time, price: float, terms: Terms, fill: Fill | None = None) -> Position:
    """A fresh position of a signal, entered at `price` (or at the real fill) in the minute `time`."""
    entry = _entry(time, price, signal.cost, signal.leverage, fill)
    nothing = Extreme(entry.price, time, 0.0)
    position = Position(
        signal=signal,
        pending_at=time,
        entries=(entry,),
        price_take_profit=signal.price_take_profit,
        price_stop_loss=signal.price_stop_loss,
        expires_at=expiry(time, signal.minute_estimated_time),
        basis=entry.cost,
        coins=entry.cost / entry.price,
        peak=nothing,
        trough=nothing,
    )
    at_once = Extreme(entry.price, time, profit_percent(position, entry.price, terms))
    return with_liquidation(replace(position, trough=at_once), terms)


def averaged(
    position: Position, time: Time, price: float, cost: float, terms: Terms, fill: Fill | None = None
) -> Position:
    """The position with one more entry: the effective price moves towards it."""
    entry = _entry(time, price, cost, position.signal.leverage, fill)
    return with_liquidation(
        replace(
            position,
            entries=(*position.entries, entry),
            basis=position.basis + entry.cost,
            coins=position.coins + entry.cost / entry.price,
        ),
        terms,
    )


def reduced(
    position: Position,
    time: Time,
    price: float,
    percent: float,
    kind: Literal["profit", "loss", "close"],
    terms: Terms,
    fill: Fill | None = None,
) -> Position:
    """The position with `percent` of what is held taken out; at 100 nothing is left."""
    leg = Exit(time, fill.price if fill else price, percent, kind, position.basis, position.effective_price, fill)
    rest = 1 - percent / 100
    return with_liquidation(
        replace(position, exits=(*position.exits, leg), basis=position.basis * rest, coins=position.coins * rest), terms
    )


def profit(position: Position, price: float, terms: Terms, fill: Fill | None = None) -> Profit:
    """What leaving the rest at `price` (or at the real fill) makes of the whole position, earlier parts included."""
    percent = profit_percent(position, price, terms, fill)
    invested = position.invested
    return Profit(percent, percent / 100 * invested, position.effective_price, fill.price if fill else price, invested)


def profit_percent(position: Position, price: float, terms: Terms, fill: Fill | None = None) -> float:
    """`profit(...).percent`: gross of every leg by weight, less fees on entry and every exit, times leverage."""
    sign, entries = position.sign, position.entries
    slip = sign * terms.slippage_percent / 100
    real = entries[0].fill is not None if len(entries) == 1 else any(entry.fill is not None for entry in entries)
    if not real and fill is None and not position.exits:  # the common case, in the formula's own order of operations
        o, x = position.effective_price * (1 + slip), price * (1 - slip)
        return (sign * (x - o) / o * 100 - terms.fee_percent * (1 + x / o)) * position.signal.leverage
    invested = position.invested
    modelled, fee = _entry_costs(position, invested, terms) if real else (1.0, terms.fee_percent)
    slip_in, total = slip * modelled, 0.0
    for leg in position.exits:
        weight = leg.percent / 100 * leg.basis / invested
        gross, paid = _leg(
            position, invested, leg.entry_price * (1 + slip_in), leg.price, slip, weight, leg.fill, terms
        )
        total = total + gross
        fee = fee + paid
    weight = position.basis / invested
    gross, paid = _leg(position, invested, position.effective_price * (1 + slip_in), price, slip, weight, fill, terms)
    return (total + gross - (fee + paid)) * position.signal.leverage


def with_liquidation(position: Position, terms: Terms) -> Position:
    """The position with its liquidation price: where an isolated one has lost all of its money, None if nowhere.

    Profit is affine in the exit price, so two points give the price at which it is −100 %.
    """
    if not position.signal.isolated or not position.coins:
        return position if position.liquidation_price is None else replace(position, liquidation_price=None)
    entry = position.price_open
    here = profit_percent(position, entry, terms)
    slope = (profit_percent(position, 0.9 * entry, terms) - here) / (0.9 * entry - entry)
    if slope == 0 or position.basis == 0:
        return replace(position, liquidation_price=None)
    level = entry + (-100 - here) / slope
    return replace(position, liquidation_price=level if 0 < level < float("inf") else None)


def with_closing_price(position: Position, time: Time, price: float, percent: float) -> Position:
    """The position with the price at which it was left folded into peak and trough, by profit."""
    if percent < position.trough.percent:
        position = replace(position, trough=Extreme(price, time, percent))
    if percent > 0 and percent > position.peak.percent:
        position = replace(position, peak=Extreme(price, time, percent))
    return position


def sum_left(numbers: list[float]) -> float:
    """The sum, added left to right; `sum` compensates since Python 3.12, so it rounds by version."""
    total = 0.0
    for each in numbers:
        total = total + each
    return total


def _entry(time: Time, price: float, cost: float, leverage: float, fill: Fill | None) -> Entry:
    if fill is None:
        return Entry(time, price, cost)
    return Entry(time, fill.price, fill.price * fill.quantity / leverage, fill)


def _entry_costs(position: Position, invested: float, terms: Terms) -> tuple[float, float]:
    """The share of the money that went in at modelled prices, and the fees of all entries in percent of all money."""
    fees = modelled = 0.0
    for entry in position.entries:
        fees = fees + (entry.fill.fee if entry.fill else 0.0)
        modelled = modelled + (0.0 if entry.fill else entry.cost)
    share = modelled / invested
    return share, terms.fee_percent * share + fees / invested * 100 / position.signal.leverage


def _leg(
    position: Position,
    invested: float,
    o: float,
    price: float,
    slip: float,
    weight: float,
    fill: Fill | None,
    terms: Terms,
) -> tuple[float, float]:
    """Gross percent and exit fee percent of one leg, both times its weight and before leverage."""
    sign = position.sign
    if fill is not None:
        return weight * (sign * (fill.price - o) / o * 100), fill.fee / invested * 100 / position.signal.leverage
    x = price * (1 - slip)
    return weight * (sign * (x - o) / o * 100), weight * terms.fee_percent * x / o
