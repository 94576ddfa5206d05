"""The words of the trade as values: time, side, interval, signal, instrument, and the terms of trading."""

from __future__ import annotations

from decimal import Decimal
from enum import IntEnum
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from backtest_kit.errors import ConfigError, UnknownNameError

Time: TypeAlias = int
"""Milliseconds since 1970-01-01 UTC. A candle's time is the time at which it opens."""

Side: TypeAlias = Literal["long", "short"]
ExitRule: TypeAlias = Literal["touch", "stop_touch", "vwap"]
FillRule: TypeAlias = Literal["honest", "level"]
Mode: TypeAlias = Literal["backtest", "paper", "live"]

MINUTE: Time = 60_000
NEVER: Time = 2**62
_MONDAY: Time = 4 * 86_400_000  # 1970-01-05: weeks open on a Monday, at every exchange


class Interval(IntEnum):
    """The length of a candle in milliseconds; `Interval.parse("15m")`, `str(Interval.M15) == "15m"`."""

    M1 = MINUTE
    M3 = 3 * MINUTE
    M5 = 5 * MINUTE
    M15 = 15 * MINUTE
    M30 = 30 * MINUTE
    H1 = 60 * MINUTE
    H2 = 120 * MINUTE
    H4 = 240 * MINUTE
    H6 = 360 * MINUTE
    H8 = 480 * MINUTE
    H12 = 720 * MINUTE
    D1 = 1440 * MINUTE
    W1 = 10080 * MINUTE

    @classmethod
    def parse(cls, label: str | Interval) -> Interval:
        """The interval of a label such as "1m", "4h", "1d"; raises UnknownNameError with the nearest labels."""
        found = _BY_LABEL.get(label) if isinstance(label, str) else label
        if isinstance(found, Interval):
            return found
        raise UnknownNameError("interval", str(label), (each for each in _BY_LABEL))

    @property
    def label(self) -> str:
        return f"{self.name[1:]}{self.name[0].lower()}"

    @property
    def minutes(self) -> int:
        return int(self) // MINUTE

    def floor(self, time: Time) -> Time:
        """The opening time of the candle of this interval that contains `time` (UTC; weeks open on Monday)."""
        if self is Interval.W1:
            return time - (time - _MONDAY) % int(self)
        return time - time % int(self)

    def __str__(self) -> str:
        return self.label


_BY_LABEL: dict[str, Interval] = {each.label: each for each in Interval}


def sign_of(side: Side) -> int:
    """+1 for a long and −1 for a short: with it every rule is written once, as `sign · (price − level)`."""
    return 1 if side == "long" else -1


class Instrument(Struct, frozen=True):
    """An exchange's rounding rules for one symbol; applied once, with `Decimal`, where orders leave the house."""

    symbol: str
    price_step: Decimal
    quantity_step: Decimal
    cost_min: Decimal = Decimal(0)


class Source(Struct, frozen=True):
    """Whose event it is: which strategy on which symbol of which exchange, over which frame, in which mode."""

    symbol: str
    strategy_name: str
    exchange_name: str
    frame_name: str = ""
    mode: Mode = "backtest"

    def __str__(self) -> str:
        return f"{self.strategy_name} on {self.symbol} at {self.exchange_name}"


class Sourced(Struct, frozen=True):
    """Anything that belongs to one book, with shortcuts to its names."""

    source: Source

    @property
    def symbol(self) -> str:
        return self.source.symbol

    @property
    def strategy_name(self) -> str:
        return self.source.strategy_name

    @property
    def exchange_name(self) -> str:
        return self.source.exchange_name

    @property
    def frame_name(self) -> str:
        return self.source.frame_name

    @property
    def mode(self) -> Mode:
        return self.source.mode


class Signal(Struct, frozen=True):
    """What a strategy asks for: a position with a take profit, a stop loss and a time limit.

    Prices are absolute, in quote currency per unit. `price_open` None enters at the average price; given, it is a limit
    entry. `minute_estimated_time` is the longest life in minutes (None: no limit). `cost` is the quote currency put in,
    before leverage. `id` is derived from strategy, symbol, exchange and time when left empty, so that a replay makes
    the same one.
    """

    position: Side
    price_take_profit: float
    price_stop_loss: float
    price_open: float | None = None
    minute_estimated_time: int | None = 1440
    cost: float = 100.0
    leverage: float = 1.0
    isolated: bool = True
    id: str = ""
    note: str = ""
    symbol: str = ""

    @property
    def sign(self) -> int:
        return 1 if self.position == "long" else -1

    @classmethod
    def bracket(
        cls, position: Side, price: float, take_profit_percent: float, stop_loss_percent: float, **fields: Any
    ) -> Signal:
        """A signal whose levels stand in percent around `price` (or around `price_open`, when that is given).

        `Signal.bracket("long", 100.0, take_profit_percent=2, stop_loss_percent=1)` has its take at 102 and its stop at
        99. Further fields of `Signal` pass through; an unknown one raises ConfigError.
        """
        unknown = set(fields) - set(cls.__struct_fields__)
        if unknown:
            raise UnknownNameError("field of a signal", sorted(unknown)[0], cls.__struct_fields__)
        if position not in ("long", "short"):
            raise ConfigError(f'position must be "long" or "short", not {position!r}')
        entry = fields.get("price_open") or price
        sign = sign_of(position)
        return cls(
            position=position,
            price_take_profit=entry * (1 + sign * take_profit_percent / 100),
            price_stop_loss=entry * (1 - sign * stop_loss_percent / 100),
            **fields,
        )

    @classmethod
    def moonbag(cls, position: Side, price: float, stop_loss_percent: float, **fields: Any) -> Signal:
        """A signal that is meant to be trailed: its take profit stands far away, 50 % from `price`."""
        return cls.bracket(position, price, 50.0, stop_loss_percent, **fields)


class Terms(Struct, frozen=True, kw_only=True):
    """The numbers that trading rules depend on: costs, fill and exit rules, limits. Handed in, and recorded with a run.

    Percentages are percent of a price (0.1 = 0.1 %), durations are minutes. None for `max_signal_lifetime_minutes`
    allows positions without a time limit. A distance check whose number is 0 is off.
    """

    slippage_percent: float = 0.1
    fee_percent: float = 0.1
    breakeven_threshold_percent: float = 0.2
    avg_price_candles: int = 5
    schedule_await_minutes: int = 120
    max_signal_lifetime_minutes: int | None = 1440
    exit_rule: ExitRule = "touch"
    fill_rule: FillRule = "honest"
    min_take_profit_distance_percent: float = 0.5
    min_stop_loss_distance_percent: float = 0.5
    max_stop_loss_distance_percent: float = 20.0
    long_enabled: bool = True
    short_enabled: bool = True
    dca_everywhere: bool = False
    partials_everywhere: bool = False
    trailing_everywhere: bool = False

    @property
    def breakeven_percent(self) -> float:
        """How far, in percent, the price must run before the stop may move to the entry: twice all costs and a rest."""
        return 2 * (self.slippage_percent + self.fee_percent) + self.breakeven_threshold_percent
