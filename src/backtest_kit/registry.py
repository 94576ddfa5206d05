"""What a user has declared, by name: exchanges, frames, strategies, risk profiles, sizings.

A declaration is a frozen value, judged when it is made, so that a name in a registry always stands for
something that can run. A wrong name is answered with the nearest ones.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import partial
from numbers import Integral, Real
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from msgspec import Struct

from backtest_kit.core.sizing import Sizing
from backtest_kit.core.values import Interval, Time
from backtest_kit.errors import ConfigError, DuplicateNameError, UnknownNameError

Moment: TypeAlias = str | int | date | datetime
ParameterValue: TypeAlias = float | int | bool | str

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STRATEGY_CALLBACKS = (
    "on_open",
    "on_close",
    "on_active",
    "on_schedule",
    "on_cancel",
    "on_tick",
    "on_idle",
    "on_partial_profit",
    "on_partial_loss",
    "on_breakeven",
    "on_active_ping",
    "on_schedule_ping",
    "on_write",
)
RISK_CALLBACKS = ("on_allowed", "on_rejected")


class Named(Protocol):
    """Anything that carries the name under which it is registered."""

    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


class Registry(Generic[T]):
    """The declarations of one kind ("strategy"), in the order in which they were made."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}

    def add(self, item: T) -> T:
        """Take a new declaration; raises DuplicateNameError when its name is taken."""
        if item.name in self._items:
            remedy = f"override_{self.kind} replaces it"
            raise DuplicateNameError(f"{self.kind} {item.name!r} is registered already; {remedy}")
        self._items[item.name] = item
        return item

    def override(self, item: T) -> T:
        """Put a declaration in the place of the one with its name; raises UnknownNameError without one."""
        self.get(item.name)
        self._items[item.name] = item
        return item

    def get(self, name: str) -> T:
        """The declaration of that name; raises UnknownNameError with the nearest names."""
        found = self._items.get(name) if isinstance(name, str) else None
        if found is None:
            raise UnknownNameError(self.kind, str(name), self._items)
        return found

    def remove(self, name: str) -> T:
        """Forget the declaration of that name, and return it."""
        self.get(name)
        return self._items.pop(name)

    def list(self) -> tuple[T, ...]:
        """All declarations, oldest first."""
        return tuple(self._items.values())

    def only(self) -> T:
        """The one declaration there is; raises ConfigError when there is none or a choice."""
        if len(self._items) == 1:
            return next(iter(self._items.values()))
        plural = self.kind[:-1] + "ies" if self.kind.endswith("y") else self.kind + "s"
        if not self._items:
            raise ConfigError(f"no {plural} are registered; add_{self.kind} registers one")
        names = ", ".join(repr(name) for name in self._items)
        raise ConfigError(f"several {plural} are registered: {names}; say which one with {self.kind}_name")

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __len__(self) -> int:
        return len(self._items)


class ExchangeSchema(Struct, frozen=True):
    """A source of candles under a name. `exchange` is an object with `get_candles`."""

    name: str
    exchange: Any
    note: str = ""

    def __post_init__(self) -> None:
        _require_name("exchange", self.name)


class FrameSchema(Struct, frozen=True):
    """A span of time to test on: the ticks from `start` to `stop`, epoch ms on whole minutes."""

    name: str
    interval: Interval
    start: Time
    stop: Time
    note: str = ""

    @classmethod
    def of(
        cls, name: str, *, start: Moment, end: Moment, interval: str | Interval = Interval.M1, note: str = ""
    ) -> FrameSchema:
        """The frame from `start` to `end`, each in any form of `parse_time`, cut down to the minute."""
        _require_name("frame", name)
        first, last = (Interval.M1.floor(parse_time(each)) for each in (start, end))
        if last < first:
            raise ConfigError(f"frame {name!r} ends before it starts: {end} is before {start}")
        return cls(name, Interval.parse(interval), first, last, note)


class RiskSchema(Struct, frozen=True):
    """A risk profile: validations that must all accept a trade, and who is told about their verdict."""

    name: str
    validations: tuple[Callable[..., Any], ...]
    callbacks: Mapping[str, Callable[..., Any]] = {}
    note: str = ""

    @classmethod
    def of(
        cls,
        name: str,
        validations: Iterable[Callable[..., Any]] | Callable[..., Any],
        *,
        callbacks: Mapping[str, Callable[..., Any]] | None = None,
        note: str = "",
    ) -> RiskSchema:
        """The profile with one validation or several."""
        _require_name("risk", name)
        each = (validations,) if callable(validations) else tuple(validations)
        for validation in each:
            _require_callable(f"a validation of risk {name!r}", validation)
        return cls(name, each, _callbacks(f"risk {name!r}", callbacks, RISK_CALLBACKS), note)


class SizingSchema(Struct, frozen=True):
    """A way of sizing under a name."""

    name: str
    sizing: Sizing
    note: str = ""

    def __post_init__(self) -> None:
        _require_name("sizing", self.name)


class Parameter(Struct, frozen=True):
    """A number, switch or word that a strategy lets others choose: its default and what it may be.

    `Parameter(10, low=5, high=50)`, `Parameter("ema", choices=("ema", "sma"))`. Limits are inclusive.
    """

    default: ParameterValue
    low: float | None = None
    high: float | None = None
    choices: tuple[ParameterValue, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.default, (bool, Real, str)):
            raise ConfigError(f"a parameter is a number, true, false or a text, not {self.default!r}")
        if (self.low is not None or self.high is not None) and not _is_number(self.default):
            raise ConfigError(f"only a number has limits, and the default is {self.default!r}")
        if problem := self.problem(self.default):
            raise ConfigError(f"the default {problem}")

    def problem(self, value: object) -> str:
        """What is wrong with a value for this parameter, as the end of a sentence; empty: nothing."""
        if self.choices:
            return "" if value in self.choices else f"must be one of {self.choices}, not {value!r}"
        wanted = _kind(self.default)
        if _kind(value) != wanted and not (wanted == "a number" and _is_number(value)):
            return f"must be {wanted}, not {value!r}"
        low, high = self.low, self.high
        if (low is not None and not value >= low) or (high is not None and not value <= high):  # type: ignore[operator]
            return f"must be {_limits(low, high)}, not {value!r}"
        return ""


class StrategySchema(Struct, frozen=True):
    """A strategy: the function asked for signals, how often, under which risks, with which parameters."""

    name: str
    interval: Interval
    get_signal: Callable[..., Any]
    risk_names: tuple[str, ...] = ()
    callbacks: Mapping[str, Callable[..., Any]] = {}
    parameters: Mapping[str, Parameter] = {}
    indicators: Callable[..., Any] | None = None
    indicator_history: int = 500
    note: str = ""
    is_async: bool = False

    @classmethod
    def of(
        cls,
        name: str,
        get_signal: Callable[..., Any],
        *,
        interval: str | Interval = Interval.M1,
        risk_names: Iterable[str] | str = (),
        callbacks: Mapping[str, Callable[..., Any]] | None = None,
        params: Mapping[str, object] | None = None,
        indicators: Callable[..., Any] | None = None,
        indicator_history: int = 500,
        note: str = "",
    ) -> StrategySchema:
        """The strategy in the form in which users write it; raises ConfigError for what cannot be."""
        _require_name("strategy", name)
        _require_callable(f"get_signal of strategy {name!r}", get_signal)
        if indicators is not None:
            _require_callable(f"indicators of strategy {name!r}", indicators)
        return cls(
            name=name,
            interval=Interval.parse(interval),
            get_signal=get_signal,
            risk_names=(risk_names,) if isinstance(risk_names, str) else tuple(risk_names),
            callbacks=_callbacks(f"strategy {name!r}", callbacks, STRATEGY_CALLBACKS),
            parameters=declared(params or {}),
            indicators=indicators,
            indicator_history=indicator_history,
            note=note,
            is_async=is_async(get_signal),
        )


def declared(params: Mapping[str, object]) -> dict[str, Parameter]:
    """The declared parameters in full: `{"fast": Parameter(10, low=5), "slow": 30, "top": (70, 50, 90)}`.

    A triple is default, lowest, highest.
    """
    found = {}
    for name, given in params.items():
        if not isinstance(name, str) or not name.isidentifier():
            raise ConfigError(f"a parameter is read as context.params.NAME, so {name!r} cannot be its name")
        found[name] = _parameter(name, given)
    return found


def resolve(parameters: Mapping[str, Parameter], given: Mapping[str, object]) -> dict[str, ParameterValue]:
    """The value of every parameter: the given ones, else the defaults.

    Raises UnknownNameError for a name that is not declared, ConfigError with every value that cannot be.
    """
    for name in given:
        if name not in parameters:
            raise UnknownNameError("parameter", name, parameters)
    problems = [f"{name} {wrong}" for name, value in given.items() if (wrong := parameters[name].problem(value))]
    if problems:
        raise ConfigError("; ".join(problems))
    values: dict[str, Any] = {name: each.default for name, each in parameters.items()}
    return values | {name: _in_kind(value, values[name]) for name, value in given.items()}


def parse_time(value: Moment) -> Time:
    """Epoch ms of a time: ISO text ("2026-02-01", "2026-02-01T12:30Z"), datetime, date, or epoch ms.

    What names no time zone is in UTC. Raises ConfigError for anything else.
    """
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    moment: object = value
    if isinstance(moment, str):
        moment = _from_iso(moment)
    elif isinstance(moment, date) and not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    if not isinstance(moment, datetime) or not moment == moment:  # noqa: PLR0124 - pandas' NaT is a datetime
        raise ConfigError(f"a time is an ISO text, a datetime, a date or epoch milliseconds, not {value!r}")
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(milliseconds=1)


def _from_iso(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        raise ConfigError(f"{text!r} is no time; write it like 2026-02-01 or 2026-02-01T12:30Z") from None


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it gives something to await: an `async def`, a partial of one, an object called like one."""
    while isinstance(function, partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _parameter(name: str, given: object) -> Parameter:
    if isinstance(given, Parameter):
        return given
    try:
        if not isinstance(given, tuple):
            return Parameter(given)  # type: ignore[arg-type]
        if len(given) != 3:
            raise ConfigError(f"a tuple is (default, lowest, highest), not {given!r}")
        return Parameter(*given)
    except ConfigError as error:
        raise ConfigError(f"parameter {name!r}: {error}") from None


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, Integral):
        return "a whole number"
    return "a number" if isinstance(value, Real) else "something else"


def _in_kind(value: object, default: object) -> object:
    """A whole number as a float where the default is one, so that a parameter never changes its type."""
    return float(value) if isinstance(default, float) and isinstance(value, Real) else value


def _limits(low: float | None, high: float | None) -> str:
    if low is None:
        return f"at most {high}"
    return f"at least {low}" if high is None else f"from {low} to {high}"


def _callbacks(
    owner: str, given: Mapping[str, Callable[..., Any]] | None, allowed: tuple[str, ...]
) -> dict[str, Callable[..., Any]]:
    for name, function in (given or {}).items():
        if name not in allowed:
            raise UnknownNameError(f"callback of {owner}", str(name), allowed)
        _require_callable(f"{name} of {owner}", function)
    return dict(given or {})


def _require_name(kind: str, name: object) -> None:
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise ConfigError(f"the name of the {kind} must be a printable text that is not empty, not {name!r}")


def _require_callable(what: str, function: object) -> None:
    if not callable(function):
        raise ConfigError(f"{what} must be a function, not {function!r}")
