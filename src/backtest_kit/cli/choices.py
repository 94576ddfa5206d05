"""What the options of a run mean: names, symbols, frames, parameters, settings.

A name that is left out is the only one there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from backtest_kit.app import default
from backtest_kit.errors import ConfigError
from backtest_kit.registry import ExchangeSchema, FrameSchema, Named, Parameter, Registry, StrategySchema
from backtest_kit.settings import SETTINGS, Switch, changed

T = TypeVar("T", bound=Named)

MOST_SYMBOLS = 10
AD_HOC = "command-line"
_REMEDIES = {
    "strategy": "decorate a function with @bk.strategy(…)",
    "exchange": "bk.add_exchange(…) names one",
    "frame": "bk.add_frame(…) names one, or give --from and --to",
}


def chosen(registry: Registry[T], name: str | None) -> T:
    """The one of that name, or the only one; raises ConfigError with the option to use."""
    if name is not None:
        return registry.get(name)
    known = registry.list()
    if len(known) == 1:
        return known[0]
    if not known:
        raise ConfigError(f"the file registers no {registry.kind}; {_REMEDIES[registry.kind]}")
    names = ", ".join(each.name for each in known)
    raise ConfigError(f"the file registers more than one {registry.kind}: {names}; say which with --{registry.kind}")


def strategies(names: Sequence[str]) -> list[StrategySchema]:
    """The strategies of these names, or the only one."""
    return [chosen(default.strategies, name) for name in (dict.fromkeys(names) or (None,))]


def symbols(given: Sequence[str], exchange: ExchangeSchema) -> tuple[str, ...]:
    """The symbols given, or all that the exchange has, where those are few."""
    if given:
        return tuple(given)
    listed = getattr(exchange.exchange, "symbols", None)
    known = tuple(listed()) if callable(listed) else ()
    if 0 < len(known) <= MOST_SYMBOLS:
        return known
    why = f"has {len(known)} symbols" if known else "does not say which symbols it has"
    raise ConfigError(f"exchange {exchange.name!r} {why}; give --symbol, once or more often")


def frame(name: str | None, start: str | None, stop: str | None) -> FrameSchema:
    """The frame of that name or the only one; with `start` or `stop` (ISO texts) a new one made from it."""
    if start is None and stop is None:
        return chosen(default.frames, name)
    base = chosen(default.frames, name) if name is not None or len(default.frames) == 1 else None
    if base is None and (start is None or stop is None):
        raise ConfigError("--from and --to: give both, or with --frame the frame from which the other is taken")
    made = FrameSchema.of(
        AD_HOC,
        start=base.start if base and start is None else str(start),
        end=base.stop if base and stop is None else str(stop),
        interval=base.interval if base else "1m",
    )
    return default.frames.override(made) if AD_HOC in default.frames else default.frames.add(made)


def pairs(option: str, given: Iterable[str]) -> dict[str, str]:
    """`name=value` texts as a mapping; the last of a name counts."""
    found = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise ConfigError(f"{option} {text}: write it as name=value")
        found[name.strip()] = value.strip()
    return found


def settings(given: Iterable[str], no_cache: bool = False) -> dict[str, object]:
    """Settings given as `name=value`, written as in the environment; unknown names and bad values raise ConfigError."""
    new = {name.lower().replace("-", "_"): text for name, text in pairs("--set", given).items()}
    values = {name: _setting(name, text) for name, text in new.items()}
    changed(default.settings, **values)
    return values | ({"cache_candles": False} if no_cache else {})


def params(given: Iterable[str], of: Iterable[StrategySchema]) -> dict[str, object]:
    """Parameters given as `name=value`, each in the kind of its declared default; not judged here."""
    declared: Mapping[str, Parameter] = {name: each for one in of for name, each in one.parameters.items()}
    return {
        name: _in_kind(text, declared[name].default) if name in declared else text
        for name, text in pairs("--param", given).items()
    }


def _setting(name: str, text: str) -> object:
    if name not in SETTINGS:
        return text
    try:
        return SETTINGS[name].check.parse(text)
    except ValueError:
        return text  # the check refuses it and says what it wants


def _in_kind(text: str, default_value: object) -> object:
    """The text as a value of the default's kind; the text itself where it is none, which the parameter then refuses."""
    if isinstance(default_value, str):
        return text
    if isinstance(default_value, bool):
        return Switch().parse(text)
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text
