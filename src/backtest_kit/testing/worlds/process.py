"""A simulated process: it has its ports through a guard, can be paused, and can die before and after every call of one.

When it is dead it can do nothing more: every port raises ProcessDead, which is no Exception, so that `except Exception`
does not catch it; code that catches it all the same, again and again, is left waiting for ever.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar, cast

from backtest_kit.ports import BrokerAdapter

T = TypeVar("T")

_MOST_LAST_WORDS = 100


class ProcessDead(BaseException):
    """This process is no more."""


class Process:
    """One run of the program. `number` grows with every start; `strike` says what happens at a point of its life.

    `strike(process, label)` is called at each point: it may call `die` (by way of whoever watches processes) or set
    `paused_until`, in seconds of the world.
    """

    def __init__(self, number: int, strike: Callable[[Process, str], None]) -> None:
        self.number, self._strike = number, strike
        self.name = f"process-{number}"
        self.alive, self.paused_until = True, 0.0
        self._last_words = 0

    def point(self, label: str) -> None:
        """A point at which the process may die; raises ProcessDead when it has."""
        self.check()
        self._strike(self, label)
        self.check()

    def check(self) -> None:
        """Raises ProcessDead when the process is dead."""
        if not self.alive:
            raise ProcessDead(self.name)

    async def reach(self, label: str) -> None:
        """A point at which the process may die or be paused; returns when it goes on."""
        if not self.alive:
            self._last_words += 1
            if self._last_words > _MOST_LAST_WORDS:
                await asyncio.get_running_loop().create_future()
        await self._resumed()
        self.point(label)
        await self._resumed()
        self.check()

    async def _resumed(self) -> None:
        loop = asyncio.get_running_loop()
        while self.alive and loop.time() < self.paused_until:
            await asyncio.sleep(self.paused_until - loop.time())


class _Guarded:
    """A port as one process has it: methods are wrapped below, everything else is the port's own."""

    def __init__(self, target: Any, process: Process, label: str) -> None:
        self.guarded, self.guarding, self.guarded_label = target, process, label

    def __getattr__(self, name: str) -> Any:
        return getattr(self.guarded, name)


def guard(port: T, process: Process, label: str) -> T:
    """The same port, for one process: a point before and after every call that is awaited, and no call once it is dead.

    A broker's adapter stays one, and has exactly the hooks that it had.
    """
    return cast("T", _guarded(type(port))(port, process, label))  # type: ignore[arg-type]


@lru_cache(maxsize=256)
def _guarded(kind: type) -> type:
    methods: dict[str, Any] = {}
    for name in dir(kind):
        method = getattr(kind, name)
        if not name.startswith("_") and callable(method) and method is not getattr(BrokerAdapter, name, None):
            methods[name] = _awaited(name, method) if inspect.iscoroutinefunction(method) else _plain(name, method)
    bases = (_Guarded, BrokerAdapter) if issubclass(kind, BrokerAdapter) else (_Guarded,)
    return type(f"Guarded{kind.__name__}", bases, methods)


def _awaited(name: str, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @wraps(method)
    async def call(self: _Guarded, *arguments: Any, **options: Any) -> Any:
        process, label = self.guarding, f"{self.guarded_label}.{name}"
        await process.reach(f"before {label}")
        try:
            result = await getattr(self.guarded, name)(*arguments, **options)
        except Exception:
            await process.reach(f"after {label}")
            raise
        await process.reach(f"after {label}")
        return result

    return call


def _plain(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(self: _Guarded, *arguments: Any, **options: Any) -> Any:
        self.guarding.check()
        return getattr(self.guarded, name)(*arguments, **options)

    return call
