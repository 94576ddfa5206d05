"""A strategy's parameters as it reads them: `context.params.fast` or `context.params["fast"]`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from backtest_kit.errors import UnknownNameError


class Params(Mapping[str, Any]):
    """Read-only values by name; an unknown one raises with the nearest."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        object.__setattr__(self, "_values", dict(values))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"parameters are read-only; give {name}=… to the run instead")

    def __getitem__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            raise UnknownNameError("parameter", name, self._values) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Params({', '.join(f'{name}={value!r}' for name, value in self._values.items())})"
