"""The error family: everything that this package raises on purpose, as one tree.

Every message names the cause and, where there is one, the remedy. Expected refusals (a rejected signal, a command that
does not fit the position) are values with reasons, not exceptions; what stands here is for input that is wrong, data
that cannot be trusted, and user code that failed.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class BacktestKitError(Exception):
    """The root: `except BacktestKitError` catches all that the package raises on purpose."""


class ConfigError(BacktestKitError, ValueError):
    """A setting, an option or an argument that cannot be used as it is."""


class UnknownNameError(ConfigError, LookupError):
    """A name that nothing is registered under. The message offers the nearest ones.

    `kind` is what was looked for ("strategy"), `name` what was given, `known` what exists, `nearest` the likely meant
    ones.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, tuple(sorted(known))
        self.nearest = nearest_names(name, self.known)
        super().__init__(f"unknown {kind} {name!r}{_suggestion(kind, self.nearest, self.known)}")


class DuplicateNameError(ConfigError):
    """A name that is registered already; `override_…` replaces it on purpose."""


class ContextError(BacktestKitError, RuntimeError):
    """An ambient function was called where no strategy is running, or this mode does not have what was asked for."""


class LookAheadError(BacktestKitError):
    """User code asked for something that is not known yet at its `when`."""


class DataError(BacktestKitError):
    """Candles that are missing, malformed or impossible. Names symbol, interval, the first bad minute and the remedy.

    `symbol`, `interval` (label such as "1m"), `first_bad` (epoch ms of the first bad candle, None when unknown).
    """

    def __init__(self, message: str, *, symbol: str = "", interval: str = "", first_bad: int | None = None) -> None:
        super().__init__(message)
        self.symbol, self.interval, self.first_bad = symbol, interval, first_bad


class NotEnoughHistoryError(DataError):
    """The market has fewer closed candles before `when` than were asked for (a new listing, the start of a file).

    Raised inside `get_signal` it means "no decision": it is counted in the report, and the run goes on.
    """


class SignalError(BacktestKitError, ValueError):
    """A signal that cannot be accepted; `reasons` holds every rule that it breaks, not only the first."""

    def __init__(self, reasons: Iterable[str], where: str = "") -> None:
        self.reasons = tuple(reasons)
        super().__init__(f"invalid signal{' ' + where if where else ''}: " + "; ".join(self.reasons))


class StrategyError(BacktestKitError):
    """User code of a strategy failed.

    The message names strategy, symbol and time; `__cause__` is the original error.
    """


class StrategyTimeoutError(StrategyError, TimeoutError):
    """`get_signal` did not answer within `get_signal_timeout_seconds`."""


class CommandError(BacktestKitError, ValueError):
    """A command with an argument that can never be right (a negative cost, 120 percent)."""


class StoreError(BacktestKitError):
    """Kept state cannot be read or written. The message names the place and the way out."""


class StateDamagedError(StoreError):
    """Kept state is torn, altered, somebody else's or of a newer version; it is left as it is, and not traded on."""


class StaleWriteError(StoreError):
    """Somebody else has written since: another process owns this state now, and this one must stop."""


class StoreLockedError(StoreError):
    """Another process holds the store."""


class OrderError(BacktestKitError):
    """A broker's answer to an order, raised by an adapter: the engine's state stays as it was."""


class OrderTransientError(OrderError):
    """The order was surely not taken (a rate limit, a lost connection before it was sent): it is asked again."""


class OrderRejectedError(OrderError):
    """The order was refused for good: an entry is given up; an exit is tried again as a new order."""


class OrderDeletedError(OrderError):
    """The order or position that was asked about is gone from the exchange."""


def nearest_names(name: str, known: Iterable[str], most: int = 3) -> tuple[str, ...]:
    """The names in `known` that `name` was probably meant to be, best first; spelling counts, case does not."""
    by_lower = {each.lower(): each for each in known}
    return tuple(by_lower[match] for match in get_close_matches(str(name).lower(), by_lower, n=most, cutoff=0.5))


def _suggestion(kind: str, nearest: tuple[str, ...], known: tuple[str, ...]) -> str:
    if nearest:
        return "; did you mean " + " or ".join(repr(each) for each in nearest) + "?"
    if known:
        return f"; registered: {', '.join(known[:10])}{', …' if len(known) > 10 else ''}"
    if kind == "parameter":
        return "; none are declared"
    plural = {"strategy": "strategies", "exchange": "exchanges"}.get(kind, kind + "s")
    return f"; no {plural} are registered yet"
