"""An exchange made of the user's own functions, and whether what they return may be kept on disk."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Collection, Iterator
from inspect import iscoroutinefunction
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

from backtest_kit.core.values import Interval, Time
from backtest_kit.errors import ConfigError, ContextError

_SIMPLE = (str, int, float, bool, bytes, complex, type(None))
_LOCAL_READS = {
    "open", "read_csv", "read_parquet", "read_feather", "read_pickle", "read_text", "read_bytes",
    "scan_csv", "scan_parquet", "loadtxt", "genfromtxt", "fromfile", "memmap", "load", "random", "randn",
    "randint", "normal", "standard_normal", "default_rng",
}  # fmt: skip


class FunctionExchange:
    """Wraps `get_candles(symbol, interval, since, limit)`, `def` or `async def`, as an exchange.

    The other functions of an exchange are optional. `intervals` are the labels that `get_candles` knows
    (None: unknown, it is tried). `cache` says whether closed candles may be kept on disk; None decides by
    looking at the function: yes, when its answer can only come from outside of this process. Not, when it is
    a method or a callable object, when a closure cell, a default or a global that it uses holds data (a list,
    a mapping, an array, a DataFrame, an object of the user's own class), or when it reads local files or
    draws random numbers: such a source is here already, and a copy on disk would go stale. `fingerprint`
    changes with the code of the function, of the functions of the same package that it calls, and with the
    simple values that they use, so an edited function does not meet the candles of the old one.
    """

    def __init__(
        self,
        get_candles: Callable[..., Any],
        *,
        format_price: Callable[[str, float], Any] | None = None,
        format_quantity: Callable[[str, float], Any] | None = None,
        get_order_book: Callable[..., Any] | None = None,
        get_aggregated_trades: Callable[..., Any] | None = None,
        intervals: Collection[str] | None = None,
        cache: bool | None = None,
    ) -> None:
        for name, function in (("get_candles", get_candles), ("format_price", format_price)):
            if function is not None and not callable(function):
                raise ConfigError(f"{name} must be a function, not {type(function).__name__}")
        self._get_candles, self._book, self._trades = get_candles, get_order_book, get_aggregated_trades
        self._formats = {"price": format_price, "quantity": format_quantity}
        self.intervals = None if intervals is None else frozenset(str(Interval.parse(each)) for each in intervals)
        printed = fingerprint_of(get_candles)
        self.is_async = iscoroutinefunction(get_candles)
        self.cacheable = cache if cache is not None else printed is not None
        self.fingerprint = printed or ""

    def get_candles(self, symbol: str, interval: str, since: Time, limit: int) -> Any:
        """What the user's function returns: a table, or an awaitable of one."""
        return self._get_candles(symbol, interval, since, limit)

    def get_order_book(self, symbol: str, depth: int, start: Time, stop: Time) -> Any:
        """What the user's function returns; ContextError when there is none."""
        return _given(self._book, "get_order_book")(symbol, depth, start, stop)

    def get_aggregated_trades(self, symbol: str, start: Time, stop: Time) -> Any:
        """What the user's function returns; ContextError when there is none."""
        return _given(self._trades, "get_aggregated_trades")(symbol, start, stop)

    def format_price(self, symbol: str, price: float) -> Any:
        """The user's text of a price; without a function, up to eight digits after the point."""
        return self._formatted("price", symbol, price)

    def format_quantity(self, symbol: str, quantity: float) -> Any:
        """The user's text of a quantity; without a function, up to eight digits after the point."""
        return self._formatted("quantity", symbol, quantity)

    def _formatted(self, kind: str, symbol: str, value: float) -> Any:
        function = self._formats[kind]
        return function(symbol, value) if function else f"{value:.8f}".rstrip("0").rstrip(".")


def fingerprint_of(function: Callable[..., Any]) -> str | None:
    """A short hash of a function's code and the simple values that it uses; None when it holds data."""
    if not isinstance(function, FunctionType):
        return None
    digest = hashlib.blake2b(digest_size=8)
    try:
        for part in _parts(function, set()):
            digest.update(part.encode())
            digest.update(b"\0")
    except _DataInside:
        return None
    return digest.hexdigest()


class _DataInside(Exception):  # noqa: N818 - not an error: it ends the walk through a function
    """The function holds data of this process."""


def _parts(function: FunctionType, seen: set[int]) -> Iterator[str]:
    """The texts that make a function what it is: code, defaults, closure, the globals that it names."""
    if id(function) in seen:
        return
    seen.add(id(function))
    names: set[str] = set()
    yield from _code_parts(function.__code__, names)
    if names & _LOCAL_READS:
        raise _DataInside
    held: list[Any] = [*(function.__defaults__ or ()), *sorted((function.__kwdefaults__ or {}).items())]
    held += [cell.cell_contents for cell in function.__closure__ or () if _is_set(cell)]
    held += [function.__globals__[name] for name in sorted(names) if name in function.__globals__]
    for value in held:
        yield from _value_parts(value, _top(function.__module__), seen)


def _code_parts(code: CodeType, names: set[str]) -> Iterator[str]:
    names.update(code.co_names)
    yield code.co_code.hex()
    yield " ".join((*code.co_names, *code.co_varnames, *code.co_freevars))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code_parts(constant, names)
        else:
            yield repr(sorted(constant, key=repr) if isinstance(constant, frozenset) else constant)


def _value_parts(value: Any, package: str, seen: set[int]) -> Iterator[str]:
    if isinstance(value, _SIMPLE):
        yield repr(value)
    elif isinstance(value, tuple | frozenset):
        for each in value if isinstance(value, tuple) else sorted(value, key=repr):
            yield from _value_parts(each, package, seen)
    elif isinstance(value, FunctionType) and _top(value.__module__) == package:
        yield from _parts(value, seen)
    elif isinstance(value, ModuleType):
        yield value.__name__
    elif isinstance(value, type | FunctionType | BuiltinFunctionType):
        yield f"{value.__module__}.{value.__qualname__}"
    elif _is_client(value, package):
        yield f"{type(value).__module__}.{type(value).__qualname__}"
    else:
        raise _DataInside


def _is_client(value: object, package: str) -> bool:
    """Whether an object is a library's connection to somewhere else, rather than data or a file."""
    top = _top(type(value).__module__)
    if top == package or top in sys.stdlib_module_names or top in ("numpy", "pandas", "polars", "pyarrow"):
        return False
    return not any(hasattr(value, name) for name in ("__len__", "__getitem__", "__next__", "__array__"))


def _top(module: str | None) -> str:
    return (module or "").partition(".")[0]


def _is_set(cell: Any) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _given(function: Callable[..., Any] | None, name: str) -> Callable[..., Any]:
    if function is None:
        raise ContextError(f"this exchange has no {name}; give one to FunctionExchange({name}=…)")
    return function
