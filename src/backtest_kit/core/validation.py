"""Why a signal is not acceptable: every rule that it breaks, each as a sentence with its numbers.

A signal is written by user code, so nothing about it is taken for granted: a field may hold None, NaN, a
text or a list. Numbers are `int`, `float`, `Decimal` and numpy scalars; `bool` is none. Nothing here
raises because of what a field holds. The rules are those of the engine's semantics, chapter 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from math import inf, isfinite, isnan, nan

import numpy as np
from msgspec import NODEFAULT
from msgspec.structs import fields, replace

from backtest_kit.core.values import Signal, Terms, sign_of
from backtest_kit.errors import SignalError, nearest_names

_NUMBERS = (int, float, np.integer, np.floating, Decimal)
_TOLERANCE = 1e-9  # relative: a level that was computed as price · 1.005 stands 0.5 % away
_LONGEST_SHOWN = 60  # characters of a value that is quoted in a sentence


def reasons_against(signal: Signal, price: float, symbol: str, terms: Terms) -> tuple[str, ...]:
    """Every rule that the signal breaks at a price, on a symbol, under the terms; empty: it is acceptable.

    `price` is the engine's price in quote currency. A signal enters at once without a `price_open`, or when
    the market is already better than that; then the price must stand strictly between stop and take profit.
    """
    reasons: list[str] = []
    sign = _side(signal.position, terms, reasons)
    take = _positive("price_take_profit", signal.price_take_profit, reasons)
    stop = _positive("price_stop_loss", signal.price_stop_loss, reasons)
    market = _positive("the market price", price, reasons)
    entry = market if signal.price_open is None else _positive("price_open", signal.price_open, reasons)
    _distances(entry, take, stop, terms, reasons)
    if sign:
        _order(sign, entry, take, stop, market, reasons)
    _lifetime(signal.minute_estimated_time, terms.max_signal_lifetime_minutes, reasons)
    _positive("cost", signal.cost, reasons)
    _positive("leverage", signal.leverage, reasons)
    _switch("isolated", signal.isolated, reasons)
    _text("id", signal.id, reasons)
    _text("note", signal.note, reasons)
    if _text("symbol", signal.symbol, reasons) and signal.symbol != symbol:
        reasons.append(f"symbol is {_quoted(signal.symbol)}, but the strategy was asked for {symbol!r}")
    return tuple(reasons)


def normalised(signal: Signal) -> Signal:
    """The same signal in exact types: prices and money as `float`, a life in minutes as `int` or None.

    Fields that hold no number are left as they are (`reasons_against` names them). A signal in exact types
    is returned itself.
    """
    changes = {
        name: value for name, convert in _CONVERSIONS if (value := convert(held := getattr(signal, name))) is not held
    }
    return replace(signal, **changes) if changes else signal


def signal_from(answer: object) -> Signal | None:
    """The signal in what a strategy returned: None, a `Signal`, or a mapping with the field names of one.

    Raises SignalError for anything else, and for a mapping with unknown or missing names, all of them at
    once.
    """
    if answer is None or isinstance(answer, Signal):
        return answer
    if not isinstance(answer, Mapping):
        shown = f"{_quoted(answer)} ({type(answer).__name__})"
        raise SignalError((f"a strategy returns a Signal, a mapping or None, not {shown}",))
    reasons = [_unknown_field(key) for key in answer if key not in Signal.__struct_fields__]
    missing = [name for name in _REQUIRED if name not in answer]
    if missing:
        reasons.append(f"missing: {', '.join(missing)}")
    if reasons:
        raise SignalError(reasons)
    return Signal(**answer)


def _side(position: object, terms: Terms, reasons: list[str]) -> int:
    """+1 or −1, or 0 where the side is unknown."""
    if isinstance(position, str):
        if position == "long":
            if not terms.long_enabled:
                reasons.append("long positions are switched off (long_enabled is false)")
            return sign_of("long")
        if position == "short":
            if not terms.short_enabled:
                reasons.append("short positions are switched off (short_enabled is false)")
            return sign_of("short")
    reasons.append(f'position must be "long" or "short", not {_quoted(position)}')
    return 0


def _positive(name: str, value: object, reasons: list[str]) -> float:
    """The value as a number; NaN, which breaks no later rule, when it is not a finite number above 0."""
    number = value if type(value) is float else _number(value)
    if 0 < number < inf:
        return number
    reasons.append(f"{name} must be a finite number above 0, not {_quoted(value)}")
    return nan


def _distances(entry: float, take: float, stop: float, terms: Terms, reasons: list[str]) -> None:
    """How far the levels stand from the entry, in percent of it. A limit of 0 is off, and itself passes."""
    away = abs(take - entry) / entry * 100
    least = terms.min_take_profit_distance_percent
    if away < least * (1 - _TOLERANCE):
        reasons.append(f"the take profit is {away:.6g} % away from the entry, less than {least:g} %")
    away = abs(stop - entry) / entry * 100
    least, most = terms.min_stop_loss_distance_percent, terms.max_stop_loss_distance_percent
    if away < least * (1 - _TOLERANCE):
        reasons.append(f"the stop loss is {away:.6g} % away from the entry, less than {least:g} %")
    if most and away > most * (1 + _TOLERANCE):
        reasons.append(f"the stop loss is {away:.6g} % away from the entry, more than {most:g} %")


def _order(sign: int, entry: float, take: float, stop: float, market: float, reasons: list[str]) -> None:
    """Take profit, entry and stop loss stand in the order of the side; so does a price that is entered at."""
    if sign * (take - entry) <= 0:
        reasons.append(_misplaced(sign, "take profit", take, sign, entry))
    if sign * (stop - entry) >= 0:
        reasons.append(_misplaced(sign, "stop loss", stop, -sign, entry))
    elif sign * (market - entry) <= 0 and sign * (market - stop) <= 0:
        reasons.append(f"{_misplaced(sign, 'stop loss', stop, -sign, market)}, the market price, where it would enter")


def _misplaced(sign: int, name: str, level: float, direction: int, reference: float) -> str:
    side, place = "long" if sign > 0 else "short", "above" if direction > 0 else "below"
    shown = f"{level:.15g} is not {place} {reference:.15g}"
    return f"the {name} of a {side} must stand {place} its entry, but {shown}"


def _lifetime(minutes: object, longest: int | None, reasons: list[str]) -> None:
    """A whole number of minutes from 1 to the longest life; no limit only where there is no longest life."""
    number = minutes if type(minutes) is int else inf if minutes is None else _number(minutes)
    if number != inf and not (number >= 1 and number % 1 == 0):
        reasons.append(f"minute_estimated_time must be a whole number above 0, not {_quoted(minutes)}")
    elif longest is not None and number > longest:
        shown = "unlimited" if number == inf else _quoted(minutes)
        reasons.append(f"minute_estimated_time must be {longest} (max_signal_lifetime_minutes) or less, not {shown}")


def _switch(name: str, value: object, reasons: list[str]) -> None:
    if type(value) is not bool and not isinstance(value, np.bool_):
        reasons.append(f"{name} must be true or false, not {_quoted(value)}")


def _text(name: str, value: object, reasons: list[str]) -> bool:
    """Whether the value is a text with something in it. None counts as an empty one."""
    if isinstance(value, str):
        return value != ""
    if value is not None:
        reasons.append(f"{name} must be a text, not {_quoted(value)}")
    return False


def _number(value: object) -> float:
    """The value as a float; NaN when it is not a number. An integer beyond all floats is infinite."""
    if type(value) is float:
        return value
    if isinstance(value, bool) or not isinstance(value, _NUMBERS):
        return nan
    try:
        return float(value)
    except OverflowError:
        return inf
    except ValueError:  # a signalling NaN of Decimal
        return nan


def _as_float(value: object) -> object:
    number = _number(value)
    return value if type(value) is float or isnan(number) else number


def _as_minutes(value: object) -> object:
    if value is None or type(value) is int:
        return value
    number = _number(value)
    if number == inf:
        return None
    return int(number) if isfinite(number) and number.is_integer() else value


def _as_switch(value: object) -> object:
    return bool(value) if isinstance(value, np.bool_) else value


def _as_text(value: object) -> object:
    return "" if value is None else value


def _as_side(value: object) -> object:
    """A plain text where a member of a text enumeration was given."""
    if type(value) is str or not isinstance(value, str):
        return value
    return next((each for each in ("long", "short") if each == value), value)


_CONVERSIONS: tuple[tuple[str, Callable[[object], object]], ...] = (
    ("position", _as_side),
    ("price_take_profit", _as_float),
    ("price_stop_loss", _as_float),
    ("price_open", _as_float),
    ("minute_estimated_time", _as_minutes),
    ("cost", _as_float),
    ("leverage", _as_float),
    ("isolated", _as_switch),
    ("id", _as_text),
    ("note", _as_text),
    ("symbol", _as_text),
)
_REQUIRED = tuple(each.name for each in fields(Signal) if each.default is NODEFAULT)


def _unknown_field(key: object) -> str:
    nearest = nearest_names(key, Signal.__struct_fields__) if isinstance(key, str) else ()
    meant = f"; did you mean {' or '.join(map(repr, nearest))}?" if nearest else ""
    return f"unknown field {_quoted(key)}{meant}"


def _quoted(value: object) -> str:
    """The value as it is written in Python, cut when it is long."""
    if isinstance(value, (np.integer, np.floating)):
        return str(value)
    try:
        text = repr(value)
    except Exception:  # a value of user code whose repr fails is named by its type
        return f"a {type(value).__name__}"
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"
