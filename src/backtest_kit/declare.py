"""Giving names to things: exchanges, frames, strategies, risk profiles, sizings, jobs; and settings.

`add_…` takes a new name, `override_…` changes a known one, `list_…` shows what there is. A wrong name raises with the
nearest ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from backtest_kit.app import default
from backtest_kit.core.sizing import Sizing, quantity
from backtest_kit.core.values import Interval
from backtest_kit.engine.schedule import Job
from backtest_kit.errors import ConfigError
from backtest_kit.exchanges import as_exchange
from backtest_kit.ports import Store
from backtest_kit.registry import (
    ExchangeSchema,
    FrameSchema,
    Moment,
    RiskSchema,
    SizingSchema,
    StrategySchema,
)
from backtest_kit.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])


def add_exchange(name: str, exchange: Any = None, *, note: str = "", **functions: Any) -> None:
    """Names a source of candles: an exchange object, a function `get_candles(symbol, interval, since, limit)`, or
    functions by keyword.

    `since` is epoch ms. Rows may be lists `[timestamp, open, high, low, close, volume]`, mappings, arrays or
    DataFrames. Optional functions: `format_price`, `format_quantity`, `get_order_book`, `get_aggregated_trades`; each
    `def` or `async def`.
    """
    default.exchanges.add(ExchangeSchema(name, as_exchange(exchange, **functions), note))


def override_exchange(name: str, exchange: Any = None, *, note: str = "", **functions: Any) -> None:
    """Puts another source in the place of a named one."""
    default.exchanges.override(ExchangeSchema(name, as_exchange(exchange, **functions), note))


def list_exchanges() -> tuple[ExchangeSchema, ...]:
    """The named exchanges, oldest first."""
    return default.exchanges.list()


def add_frame(name: str, *, start: Moment, end: Moment, interval: str | Interval = "1m", note: str = "") -> None:
    """Names a span of history: ticks from `start` to `end`, both included, every `interval`.

    Times: ISO text, datetime, epoch ms.
    """
    default.frames.add(FrameSchema.of(name, start=start, end=end, interval=interval, note=note))


def override_frame(
    name: str,
    *,
    start: Moment | None = None,
    end: Moment | None = None,
    interval: str | Interval | None = None,
    note: str | None = None,
) -> None:
    """Changes a named frame in the parts given."""
    old = default.frames.get(name)
    default.frames.override(
        FrameSchema.of(
            name,
            start=old.start if start is None else start,
            end=old.stop if end is None else end,
            interval=old.interval if interval is None else interval,
            note=old.note if note is None else note,
        )
    )


def list_frames() -> tuple[FrameSchema, ...]:
    """The named frames, oldest first."""
    return default.frames.list()


def add_risk(
    name: str,
    *,
    validations: Iterable[Callable[..., Any]] | Callable[..., Any],
    callbacks: Mapping[str, Callable[..., Any]] | None = None,
    note: str = "",
) -> None:
    """Names a risk profile.

    Each validation sees a `RiskCheck`; it rejects by returning a text, False or `{id, note}`, or by raising.
    """
    default.risks.add(RiskSchema.of(name, validations, callbacks=callbacks, note=note))


def override_risk(
    name: str,
    *,
    validations: Iterable[Callable[..., Any]] | Callable[..., Any] | None = None,
    callbacks: Mapping[str, Callable[..., Any]] | None = None,
    note: str | None = None,
) -> None:
    """Changes a named risk profile in the parts given."""
    old = default.risks.get(name)
    default.risks.override(
        RiskSchema.of(
            name,
            old.validations if validations is None else validations,
            callbacks=old.callbacks if callbacks is None else callbacks,
            note=old.note if note is None else note,
        )
    )


def list_risks() -> tuple[RiskSchema, ...]:
    """The named risk profiles, oldest first."""
    return default.risks.list()


def add_sizing(name: str, *, method: str, note: str = "", **parameters: Any) -> None:
    """Names a way to size positions: method "fixed_percentage", "kelly" or "atr", with the parameters of `Sizing`."""
    default.sizings.add(SizingSchema(name, _sizing(method, parameters), note))


def override_sizing(name: str, *, method: str, note: str = "", **parameters: Any) -> None:
    """Puts another way in the place of a named one."""
    default.sizings.override(SizingSchema(name, _sizing(method, parameters), note))


def list_sizings() -> tuple[SizingSchema, ...]:
    """The named sizings, oldest first."""
    return default.sizings.list()


def position_size(sizing_name: str, **inputs: Any) -> float:
    """The quantity (units) of a named sizing; `inputs` are those of its method: balance, price_open, …"""
    return quantity(default.sizings.get(sizing_name).sizing, **inputs)


def _sizing(method: str, parameters: Mapping[str, Any]) -> Sizing:
    try:
        return Sizing(method=method, **parameters)  # type: ignore[arg-type]
    except TypeError as error:
        raise ConfigError(f"sizing: {error}; its parameters are {', '.join(Sizing.__struct_fields__)}") from None


def add_strategy(
    name: str,
    get_signal: Callable[..., Any],
    *,
    interval: str | Interval = "1m",
    risk_name: str | None = None,
    risk_names: Iterable[str] = (),
    callbacks: Mapping[str, Callable[..., Any]] | None = None,
    params: Mapping[str, Any] | None = None,
    indicators: Callable[..., Any] | None = None,
    indicator_history: int = 500,
    note: str = "",
) -> None:
    """Names a strategy: `get_signal(symbol, when, price)`, asked once every `interval` while nothing is open.

    It is `def` or `async def`; `when` is epoch ms, `price` the average price. It returns a `Signal`, a mapping of its
    fields, or None. `callbacks` (`on_open`, `on_close`, …) get the event. `params={"fast": Param(10, low=5, high=50)}`
    are read as `get_context().params.fast`. `indicators(candles)` returns named columns over whole candle columns of
    `interval`; `get_context().indicators[name]` shows the rows up to now.
    """
    profiles = (*((risk_name,) if risk_name else ()), *((risk_names,) if isinstance(risk_names, str) else risk_names))
    default.strategies.add(
        StrategySchema.of(
            name,
            get_signal,
            interval=interval,
            risk_names=profiles,
            callbacks=callbacks,
            params=params,
            indicators=indicators,
            indicator_history=indicator_history,
            note=note,
        )
    )


def strategy(name: str, **options: Any) -> Callable[[F], F]:
    """`add_strategy` as a decorator: `@strategy("sma-cross", interval="15m")`. The function itself is unchanged."""

    def register(function: F) -> F:
        add_strategy(name, function, **options)
        return function

    return register


def override_strategy(name: str, **changes: Any) -> None:
    """Changes a named strategy in the parts given (the arguments of `add_strategy`)."""
    old = default.strategies.get(name)
    options: dict[str, Any] = {
        "interval": old.interval,
        "risk_names": old.risk_names,
        "callbacks": old.callbacks,
        "params": old.parameters,
        "indicators": old.indicators,
        "indicator_history": old.indicator_history,
        "note": old.note,
        "get_signal": old.get_signal,
    }
    if "risk_name" in changes:
        changes["risk_names"] = (changes.pop("risk_name"),)
    unknown = set(changes) - set(options)
    if unknown:
        raise ConfigError(f"a strategy has no {', '.join(sorted(unknown))}; it has {', '.join(options)}")
    options |= changes
    default.strategies.override(StrategySchema.of(name, options.pop("get_signal"), **options))


def list_strategies() -> tuple[StrategySchema, ...]:
    """The named strategies, oldest first."""
    return default.strategies.list()


def add_cron(
    name: str, handler: Callable[..., Any], *, interval: str | Interval, symbols: Iterable[str] | str | None = None
) -> Job:
    """Runs `handler(tick)` at every boundary of `interval` on engine time: once, however many books pass it.

    With `symbols` once per symbol. A job that fails is tried again at the next minute until its next boundary.
    """
    return default.schedule.add(name, interval, handler, symbols)


def remove_cron(name: str) -> Job:
    """Forgets a job."""
    return default.schedule.remove(name)


def list_crons() -> tuple[Job, ...]:
    """The jobs on engine time, oldest first."""
    return default.schedule.list()


def use_store(store: Store | None) -> None:
    """Keeps the state of live trading in `store` from its next start on; None: in files of the data folder again."""
    default.store = store


def set_config(**settings: object) -> Settings:
    """Changes settings, checked as a whole: all of them or none. Unknown names raise with the nearest."""
    return default.set_config(**settings)


def get_config() -> Settings:
    """The settings as they are now."""
    return default.settings
