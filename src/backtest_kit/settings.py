"""Every number of the engine that may be changed: default, unit, what it may be, and where it is read from.

`Settings` is a value. `changed` makes another one from it and judges it as a whole, so a set of settings
is either good or was never made. From the environment a setting is read as `CC_<NAME>`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches
from numbers import Integral, Real
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import asdict, replace

from backtest_kit.core.values import Terms
from backtest_kit.errors import ConfigError, nearest_names

PREFIX = "CC_"

_REFUSED = object()
_YES, _NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_OTHER_VARIABLES = (
    "CC_MONGO_CONNECTION_STRING",
    "CC_REDIS_HOST",
    "CC_REDIS_PORT",
    "CC_REDIS_USER",
    "CC_REDIS_PASSWORD",
)


class Settings(Terms, frozen=True, kw_only=True):
    """The terms of trading and the numbers of the shell around them; `SETTINGS` explains every field.

    Made with `changed`, `from_environment` or, with the defaults, `Settings()`; the constructor itself
    checks nothing.
    """

    get_signal_timeout_seconds: float = 180.0
    candle_retry_count: int = 3
    candle_retry_delay_seconds: float = 5.0
    max_candles_per_request: int = 1000
    price_anomaly_factor: float = 1000.0
    on_gap: Literal["raise", "skip"] = "raise"
    on_error: Literal["raise", "continue"] = "raise"
    max_events: int = 25
    max_report_rows: int = 250
    initial_balance: float = 10_000.0
    data_folder: str = "./data"
    dump_folder: str = "./dump"
    cache_candles: bool = True
    fast_forward: bool = True


class Number(Struct, frozen=True):
    """A check: a number from `low` to `high`, perhaps a whole one, or None where `none_means` something."""

    low: float
    high: float
    whole: bool = False
    none_means: str = ""

    def accept(self, value: object) -> Any:
        """The value in its exact type, or `_REFUSED`."""
        if value is None and self.none_means:
            return None
        if isinstance(value, bool) or not isinstance(value, Integral if self.whole else Real):
            return _REFUSED
        if not self.low <= value <= self.high:  # type: ignore[operator]
            return _REFUSED
        return int(value) if self.whole else float(value)  # type: ignore[call-overload]

    def parse(self, text: str) -> object:
        """The value that a text from the environment means, not judged yet; ValueError when it means none."""
        if self.none_means and text.lower() in ("none", "null", "inf", "infinity"):
            return None
        return int(text) if self.whole else float(text)

    @property
    def wanted(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        return f"{kind} from {self.low:,g} to {self.high:,g}" + (
            f" or None ({self.none_means})" if self.none_means else ""
        )


class Choice(Struct, frozen=True):
    """A check: one of a few words."""

    words: tuple[str, ...]

    def accept(self, value: object) -> Any:
        """The word, or `_REFUSED`."""
        return value if isinstance(value, str) and value in self.words else _REFUSED

    def parse(self, text: str) -> object:
        return text

    @property
    def wanted(self) -> str:
        return " or ".join(f'"{word}"' for word in self.words)


class Switch(Struct, frozen=True):
    """A check: true or false. In the environment also yes, on, 1 and no, off, 0."""

    def accept(self, value: object) -> Any:
        """The switch, or `_REFUSED`."""
        return value if isinstance(value, bool) else _REFUSED

    def parse(self, text: str) -> object:
        word = text.lower()
        return True if word in _YES else False if word in _NO else text

    @property
    def wanted(self) -> str:
        return "true or false"


class Folder(Struct, frozen=True):
    """A check: the path of a folder, which need not exist yet."""

    def accept(self, value: object) -> Any:
        """The path as a text, or `_REFUSED`."""
        return str(value) if isinstance(value, (str, os.PathLike)) and str(value).strip() else _REFUSED

    def parse(self, text: str) -> object:
        return text

    @property
    def wanted(self) -> str:
        return "the path of a folder"


Check: TypeAlias = Number | Choice | Switch | Folder


class Setting(Struct, frozen=True):
    """One row of the table of settings: unit ("" where it has none), check, and what it does in one line."""

    unit: str
    check: Check
    note: str


_PERCENT, _COUNT, _SWITCH = Number(0, 100), Number(1, 1_000_000, whole=True), Switch()
_LIFETIME = Number(1, 1_000_000_000, whole=True, none_means="no limit")
_EXIT_RULES, _FILL_RULES = Choice(("touch", "stop_touch", "vwap")), Choice(("honest", "level"))

_TABLE: tuple[tuple[str, str, Check, str], ...] = (
    ("slippage_percent", "% of price", _PERCENT, "what a market order loses on its price, each way"),
    ("fee_percent", "% of amount", _PERCENT, "what the exchange takes, each way"),
    (
        "breakeven_threshold_percent",
        "% of price",
        _PERCENT,
        "what must be left after costs to move a stop to its entry",
    ),
    (
        "avg_price_candles",
        "candles",
        Number(1, 1000, whole=True),
        "how many minutes the price is averaged over",
    ),
    ("schedule_await_minutes", "minutes", _COUNT, "how long a limit entry waits before it is cancelled"),
    ("max_signal_lifetime_minutes", "minutes", _LIFETIME, "the longest life that a signal may ask for"),
    ("exit_rule", "", _EXIT_RULES, "what price must reach a level for an exit there"),
    ("fill_rule", "", _FILL_RULES, "at what price a level that the market jumped over is filled"),
    (
        "min_take_profit_distance_percent",
        "% of entry",
        _PERCENT,
        "the nearest take profit of a signal; 0: any",
    ),
    ("min_stop_loss_distance_percent", "% of entry", _PERCENT, "the nearest stop loss of a signal; 0: any"),
    ("max_stop_loss_distance_percent", "% of entry", _PERCENT, "the farthest stop loss of a signal; 0: any"),
    ("long_enabled", "", _SWITCH, "whether long signals are accepted"),
    ("short_enabled", "", _SWITCH, "whether short signals are accepted"),
    ("dca_everywhere", "", _SWITCH, "whether an average buy may be dearer than the entries before it"),
    ("partials_everywhere", "", _SWITCH, "whether a partial exit may stand on either side of the entry"),
    ("trailing_everywhere", "", _SWITCH, "whether a trailed level may also move away from the market"),
    (
        "get_signal_timeout_seconds",
        "seconds",
        Number(0.001, 86_400),
        "how long a strategy may take to answer",
    ),
    ("candle_retry_count", "attempts", Number(1, 100, whole=True), "how often candles are asked for in all"),
    ("candle_retry_delay_seconds", "seconds", Number(0, 3600), "the pause between two such attempts"),
    ("max_candles_per_request", "candles", _COUNT, "the longest page that an exchange is asked for"),
    (
        "price_anomaly_factor",
        "times",
        Number(1, 1e12),
        "how far below the usual price one counts as an error",
    ),
    ("on_gap", "", Choice(("raise", "skip")), "whether missing minutes stop a backtest or are left out"),
    ("on_error", "", Choice(("raise", "continue")), "whether an error of a strategy stops a backtest"),
    ("max_events", "events", _COUNT, "how many of the latest events of a kind are kept for its report"),
    ("max_report_rows", "rows", _COUNT, "how many trades a report lists"),
    (
        "initial_balance",
        "quote currency",
        Number(1e-9, 1e18),
        "what the account holds when a backtest begins; figures of the account are shares of it",
    ),
    ("data_folder", "", Folder(), "where candles and state are kept"),
    ("dump_folder", "", Folder(), "where reports are written"),
    ("cache_candles", "", _SWITCH, "whether fetched candles are kept on disk"),
    ("fast_forward", "", _SWITCH, "whether a backtest skips quiet candles; false: one candle at a time, same result"),
)
SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {name: Setting(unit, check, note) for name, unit, check, note in _TABLE}
)
"""Every setting by name: unit, check and explanation."""


def changed(settings: Settings, /, **new: object) -> Settings:
    """The settings with some of them changed; raises ConfigError with every problem at once.

    Types are taken strictly: True is no number, and neither is "0.1". A whole number is one where a number
    is wanted.
    """
    return _judged(settings, new, [])


def from_environment(environ: Mapping[str, str], settings: Settings | None = None) -> Settings:
    """The settings (default: the defaults) with those changed that stand in `environ` as `CC_<NAME>`.

    A variable that looks like a misspelt setting is a ConfigError that suggests it; any other is not ours.
    """
    new: dict[str, object] = {}
    problems: list[str] = []
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or variable in _OTHER_VARIABLES:
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name in SETTINGS:
            new[name] = _parsed(SETTINGS[name].check, text.strip())
        elif meant := get_close_matches(name, SETTINGS, n=1, cutoff=0.8):
            problems.append(f"unknown variable {variable}; did you mean {PREFIX}{meant[0].upper()}?")
    return _judged(Settings() if settings is None else settings, new, problems, PREFIX)


def load_environment(
    project_folder: str | os.PathLike[str],
    strategy_folder: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """All variables: the project's `.env`, the strategy folder's over it, and the real environment over both.

    `environ` is the real environment (default: that of the process, which is read and never written).
    """
    found: dict[str, str] = {}
    for folder in (project_folder, strategy_folder):
        if folder is not None:
            found |= _read(Path(folder) / ".env")
    return found | dict(os.environ if environ is None else environ)


def differing(settings: Settings) -> dict[str, Any]:
    """The settings that differ from the defaults, by name, in the order of the table."""
    defaults, actual = asdict(Settings()), asdict(settings)
    return {name: actual[name] for name in SETTINGS if actual[name] != defaults[name]}


def _judged(settings: Settings, new: Mapping[str, object], problems: list[str], prefix: str = "") -> Settings:
    values: dict[str, Any] = {}
    for name, value in new.items():
        shown = f"{prefix}{name.upper()}" if prefix else name
        if name not in SETTINGS:
            problems.append(_unknown(name))
        elif (accepted := SETTINGS[name].check.accept(value)) is _REFUSED:
            problems.append(f"{shown} must be {SETTINGS[name].check.wanted}, not {value!r}")
        else:
            values[name] = accepted
    result = replace(settings, **values)
    problems += _contradictions(result)
    if problems:
        raise ConfigError("; ".join(problems))
    return result


def _contradictions(settings: Settings) -> list[str]:
    least, most = settings.min_stop_loss_distance_percent, settings.max_stop_loss_distance_percent
    if most and least > most:
        return [f"min_stop_loss_distance_percent {least:g} is more than max_stop_loss_distance_percent {most:g}"]
    return []


def _unknown(name: str) -> str:
    nearest = nearest_names(name, SETTINGS)
    return f"unknown setting {name!r}" + (f"; did you mean {' or '.join(map(repr, nearest))}?" if nearest else "")


def _parsed(check: Check, text: str) -> object:
    try:
        return check.parse(text)
    except ValueError:
        return text  # the check refuses it and says what it wants


def _read(file: Path) -> dict[str, str]:
    if not file.is_file():
        return {}
    from dotenv import dotenv_values

    try:
        return {name: text for name, text in dotenv_values(file).items() if text is not None}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
