"""How much to buy: a quantity in units of the base currency, from the money there is and what may be lost.

Three methods. *Fixed percentage* risks the same share of the balance on every trade, measured to the stop
loss (R. Vince, "Portfolio Management Formulas", 1990). *Kelly* stakes a fraction of the share that makes
wealth grow fastest (J. L. Kelly, "A New Interpretation of Information Rate", 1956). *ATR* measures the
risk of a unit by the average true range instead of a stop (J. W. Wilder, "New Concepts in Technical
Trading Systems", 1978).

All amounts are in quote currency, percentages are percent. An argument that cannot be right raises
ConfigError.
"""

from __future__ import annotations

from math import inf
from typing import Literal, TypeAlias, get_args

import numpy as np
from msgspec import Struct

from backtest_kit.errors import ConfigError, UnknownNameError

SizingMethod: TypeAlias = Literal["fixed_percentage", "kelly", "atr"]


class Sizing(Struct, frozen=True, kw_only=True):
    """A method of sizing with its numbers; making one with numbers that cannot be raises ConfigError.

    `risk_percent` is the share of the balance that a trade may lose (fixed percentage, ATR),
    `kelly_fraction` the share of the full Kelly stake, `atr_multiple` how many average ranges count as
    the risk of a unit. The quantity is first raised to `minimum_quantity`, then lowered to the caps: a
    position worth `maximum_position_percent` of the balance, and `maximum_quantity`. None: no cap.
    """

    method: SizingMethod
    risk_percent: float = 1.0
    kelly_fraction: float = 0.25
    atr_multiple: float = 2.0
    minimum_quantity: float = 0.0
    maximum_quantity: float | None = None
    maximum_position_percent: float | None = None

    def __post_init__(self) -> None:
        if self.method not in get_args(SizingMethod):
            raise UnknownNameError("sizing method", str(self.method), get_args(SizingMethod))
        _require_positive(
            risk_percent=self.risk_percent, kelly_fraction=self.kelly_fraction, atr_multiple=self.atr_multiple
        )
        if self.minimum_quantity != 0:
            _require_positive(minimum_quantity=self.minimum_quantity)
        if self.maximum_quantity is not None:
            _require_positive(maximum_quantity=self.maximum_quantity)
        if self.maximum_position_percent is not None:
            _require_positive(maximum_position_percent=self.maximum_position_percent)


def quantity(
    sizing: Sizing,
    *,
    balance: float,
    price_open: float,
    price_stop_loss: float | None = None,
    win_rate: float | None = None,
    win_loss_ratio: float | None = None,
    average_true_range: float | None = None,
) -> float:
    """The units to buy at `price_open`: what the method says, then the minimum, then the caps.

    Fixed percentage needs `price_stop_loss`; Kelly `win_rate` (0…1) and `win_loss_ratio`; ATR
    `average_true_range`.
    """
    if sizing.method == "fixed_percentage":
        stop = _given("price_stop_loss", price_stop_loss, sizing)
        units = fixed_percentage(balance, sizing.risk_percent, price_open, stop)
    elif sizing.method == "kelly":
        rate, ratio = _given("win_rate", win_rate, sizing), _given("win_loss_ratio", win_loss_ratio, sizing)
        units = kelly(balance, price_open, rate, ratio, sizing.kelly_fraction)
    else:
        average_range = _given("average_true_range", average_true_range, sizing)
        units = atr(balance, sizing.risk_percent, average_range, sizing.atr_multiple)
    return _limited(units, sizing, balance, price_open)


def fixed_percentage(balance: float, risk_percent: float, price_open: float, price_stop_loss: float) -> float:
    """The units of which a stop loses `risk_percent` of the balance: `balance·risk/100 / |open − stop|`."""
    _require_balance(balance)
    _require_positive(risk_percent=risk_percent, price_open=price_open, price_stop_loss=price_stop_loss)
    distance = abs(price_open - price_stop_loss)
    if distance == 0:
        raise ConfigError(f"price_open and price_stop_loss are both {price_open!r}: there is no risk to measure")
    return balance * risk_percent / 100 / distance


def kelly(balance: float, price_open: float, win_rate: float, win_loss_ratio: float, fraction: float = 0.25) -> float:
    """The units of a fraction of the Kelly stake: `balance · max(0, (W·R − (1 − W))/R) · fraction / open`.

    W is the share of trades that win (0…1), R the average win over the average loss. A game without an edge
    gives 0. A quarter of the full stake is usual, because W and R are estimates.
    """
    _require_balance(balance)
    _require_positive(price_open=price_open, win_loss_ratio=win_loss_ratio, fraction=fraction)
    if not (_is_number(win_rate) and 0 <= win_rate <= 1):
        raise ConfigError(f"win_rate is a share from 0 to 1, not {win_rate!r}")
    share = (win_rate * win_loss_ratio - (1 - win_rate)) / win_loss_ratio
    return balance * max(0.0, share) * fraction / price_open


def atr(balance: float, risk_percent: float, average_true_range: float, multiple: float = 2.0) -> float:
    """The units that lose `risk_percent` of the balance in `multiple` average ranges.

    `balance · risk / 100 / (atr · multiple)`; `average_true_range` is in quote currency per unit, like a
    price.
    """
    _require_balance(balance)
    _require_positive(risk_percent=risk_percent, average_true_range=average_true_range, multiple=multiple)
    return balance * risk_percent / 100 / (average_true_range * multiple)


def _limited(units: float, sizing: Sizing, balance: float, price_open: float) -> float:
    units = max(units, sizing.minimum_quantity)
    if sizing.maximum_position_percent is not None:
        _require_positive(price_open=price_open)
        units = min(units, balance * sizing.maximum_position_percent / 100 / price_open)
    if sizing.maximum_quantity is not None:
        units = min(units, sizing.maximum_quantity)
    return units


def _given(name: str, value: float | None, sizing: Sizing) -> float:
    if value is None:
        raise ConfigError(f"{sizing.method} sizing needs {name}")
    return value


def _require_positive(**numbers: float) -> None:
    wrong = {name: value for name, value in numbers.items() if not (_is_number(value) and 0 < value < inf)}
    if wrong:
        shown = " and ".join(f"{name} is {value!r}" for name, value in wrong.items())
        raise ConfigError(f"a finite number above 0 is needed, but {shown}")


def _require_balance(balance: float) -> None:
    if not (_is_number(balance) and 0 <= balance < inf):
        raise ConfigError(f"balance is a finite number, 0 or more, not {balance!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
