"""An asyncio event loop in virtual time: it waits for nobody, and the same seed runs the same tasks in the same order.

When nothing is ready, time jumps to the next timer. Tasks that are ready together run in an order drawn from the seed,
so that code which depends on the accident of an order is found. There are no sockets, threads or executors: they raise.
A loop in which nothing can ever happen again raises DeadlockError; one that spins while time stands still raises
LivelockError.
"""

from __future__ import annotations

import asyncio
import random
from asyncio import base_events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

OWNER: ContextVar[object] = ContextVar("owner", default=None)
"""Whose task this is: tasks inherit it from the task that made them."""

_MOST_ROUNDS_AT_ONE_TIME = 100_000
_LAST_ROUNDS = 20


class DeadlockError(BaseException):
    """Every task waits for another one, and no timer is left."""


class LivelockError(BaseException):
    """Tasks go on and on, and time does not."""


class NumberedTask(asyncio.Task[Any]):
    """A task whose hash is its number, so that sets of tasks have the same order in every run."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], *, number: int, owner: object, **options: Any) -> None:
        self.number, self.owner = number, owner
        super().__init__(coroutine, **options)

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


class VirtualLoop(base_events.BaseEventLoop):
    """The loop. `time` is virtual seconds since its start; `failures` are (owner, error) that nobody has asked for."""

    _ready: deque[Any]

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.failures: list[tuple[object, BaseException]] = []
        self._seconds, self._clock_resolution = 0.0, 1e-9
        self._selector = _Selector(self)
        self._order = random.Random(f"{seed}/order")
        self._rounds, self._tasks_made = 0, 0
        self.set_task_factory(self._numbered)
        self.set_exception_handler(self._keep)

    def time(self) -> float:
        return self._seconds

    def advance(self, seconds: float) -> None:
        """Lets time pass, once nothing is left to do now."""
        self._seconds += seconds
        self._rounds = 0

    def tasks_of(self, owner: object) -> list[NumberedTask]:
        """The tasks of an owner that have not ended, oldest first."""
        return [task for task in self._unfinished() if task.owner is owner]

    def finish(self) -> None:
        """Cancels what still runs, lets it clean up, and closes the loop; what does not end then is abandoned."""
        self.set_exception_handler(lambda _loop, _context: None)
        for task in self._unfinished():
            task.cancel()
        self.run_until_complete(_rounds(_LAST_ROUNDS))
        self.run_until_complete(self.shutdown_asyncgens())
        self.close()

    def _unfinished(self) -> list[NumberedTask]:
        found = [task for task in asyncio.all_tasks(self) if isinstance(task, NumberedTask)]
        return sorted(found, key=lambda task: task.number)

    def _numbered(self, _loop: Any, coroutine: Any, **options: Any) -> NumberedTask:
        self._tasks_made += 1
        context: Context | None = options.get("context")
        owner = OWNER.get() if context is None else context.get(OWNER)
        return NumberedTask(coroutine, loop=self, number=self._tasks_made, owner=owner, **options)

    def _keep(self, _loop: Any, context: dict[str, Any]) -> None:
        task = context.get("task") or context.get("future")
        error = context.get("exception")
        self.failures.append((getattr(task, "owner", None), error or RuntimeError(context["message"])))

    def _run_once(self) -> None:
        if len(self._ready) > 1:
            shuffled = list(self._ready)
            self._order.shuffle(shuffled)
            self._ready = deque(shuffled)
        self._rounds += 1
        if self._rounds > _MOST_ROUNDS_AT_ONE_TIME:
            self._rounds = 0  # so that finish can still run
            raise LivelockError(f"{_MOST_ROUNDS_AT_ONE_TIME} rounds, and it is still {self._seconds:.6f} s")
        super()._run_once()  # type: ignore[misc]

    def _process_events(self, _events: object) -> None:
        """There are no events from outside."""

    def run_in_executor(self, *_arguments: object) -> NoReturn:
        raise RuntimeError("a simulated world has no threads")

    def call_soon_threadsafe(self, *_arguments: object, **_options: object) -> NoReturn:
        raise RuntimeError("a simulated world has no threads")

    async def create_connection(self, *_arguments: object, **_options: object) -> NoReturn:
        raise RuntimeError("a simulated world has no sockets")

    async def create_server(self, *_arguments: object, **_options: object) -> NoReturn:
        raise RuntimeError("a simulated world has no sockets")


class _Selector:
    """Stands where an event loop waits for sockets: waiting is letting virtual time pass."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[object]:
        if timeout is None:
            raise DeadlockError(f"nothing can happen any more after {self._loop.time():.6f} s")
        if timeout > 0:
            self._loop.advance(timeout)
        return []


async def _rounds(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def run(main: Callable[[], Coroutine[Any, Any, T]], seed: int = 0) -> T:
    """Runs `main()` to its end in a virtual loop of its own, and cancels the tasks that it leaves behind."""
    loop = VirtualLoop(seed)
    try:
        return loop.run_until_complete(main())
    finally:
        loop.finish()
