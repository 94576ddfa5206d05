"""Running a backtest from any kind of program: a script, a notebook with a running loop, a service, a thread.

`Results` iterates with `for` and with `async for`. Without a running loop, `for` brings its own; inside of one it runs
the backtest on a loop in another thread, since a loop cannot wait for itself. `Background` runs without being iterated
at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import queue
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Protocol

from backtest_kit.core.events import Event
from backtest_kit.core.values import Source, Time
from backtest_kit.engine.listeners import Listeners
from backtest_kit.engine.notices import RunFailed
from backtest_kit.errors import ContextError
from backtest_kit.terminal import progress_bar

log = logging.getLogger("backtest_kit")


class Run(Protocol):
    """A run that is under way, or will be when its results are asked for."""

    def results(self) -> AsyncIterator[Event]: ...

    def stop(self) -> None: ...


class Job(Protocol):
    """A run that was asked for: whose it is, and what is to be done when it has ended."""

    @property
    def run(self) -> Run: ...

    @property
    def source(self) -> Source: ...

    @property
    def start(self) -> Time: ...

    def finish(self) -> None: ...


_END = object()


class Results:
    """The results of a backtest, as they happen.

    It runs while it is iterated, once; leaving the loop early stops it.
    """

    def __init__(self, record: Job, listeners: Listeners) -> None:
        self._record, self._listeners = record, listeners
        self._used = False

    async def __aiter__(self) -> AsyncIterator[Event]:
        self._begin()
        events = self._record.run.results()
        with progress_bar(self._listeners, self._record.source):
            try:
                async for event in events:
                    yield event
            finally:
                await events.aclose()  # type: ignore[attr-defined]
                self._record.finish()

    def __iter__(self) -> Iterator[Event]:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._on_own_loop()
        return self._in_thread()

    def _begin(self) -> None:
        if self._used:
            raise ContextError("these results have been iterated already; Backtest.run(…) again gives new ones")
        self._used = True

    def _on_own_loop(self) -> Generator[Event, None, None]:
        with asyncio.Runner() as runner:
            loop = runner.get_loop()
            events = self.__aiter__()
            try:
                while True:
                    try:
                        event = loop.run_until_complete(anext(events))
                    except StopAsyncIteration:
                        return
                    yield event
            finally:
                with contextlib.suppress(RuntimeError):  # a generator that Ctrl-C broke off is closed already
                    loop.run_until_complete(events.aclose())  # type: ignore[attr-defined]

    def _in_thread(self) -> Generator[Event, None, None]:
        """Iterates on a loop in another thread, one result at a time: the run waits for the program as elsewhere."""
        asked: queue.SimpleQueue[bool] = queue.SimpleQueue()
        given: queue.SimpleQueue[object] = queue.SimpleQueue()

        def work() -> None:
            steps = self._on_own_loop()
            try:
                while asked.get():
                    given.put(next(steps, _END))
            except BaseException as error:
                given.put(error)
            finally:
                steps.close()

        thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), name="backtest", daemon=True)
        thread.start()
        try:
            while True:
                asked.put(True)
                answer = given.get()
                if answer is _END:
                    return
                if isinstance(answer, BaseException):
                    raise answer
                assert isinstance(answer, Event)
                yield answer
        finally:
            asked.put(False)
            thread.join()


class Background:
    """A run in the background. Calling it stops it: no new signals, what is open is watched to its end.

    `wait(timeout)` blocks until it is over (True) or the time is (False), `await` waits in a coroutine; both raise what
    the run raised. In a program with a running loop it is a task of that loop, else a thread that the program waits for
    before it ends.
    """

    def __init__(self, record: Job, listeners: Listeners) -> None:
        self._record, self._listeners = record, listeners
        self._over = threading.Event()
        self.error: BaseException | None = None
        try:
            self._task: asyncio.Task[None] | None = asyncio.get_running_loop().create_task(self._consume())
        except RuntimeError:
            self._task = None
            threading.Thread(target=self._run, name="backtest", daemon=False).start()

    @property
    def done(self) -> bool:
        return self._over.is_set()

    def __call__(self) -> None:
        self._record.run.stop()

    def wait(self, timeout: float | None = None) -> bool:
        """Blocks until the run is over; not for the thread whose loop it runs on."""
        if self._task is not None and not self.done and _on_loop_of(self._task):
            raise ContextError("this run is a task of the running loop: `await` it instead of wait()")
        over = self._over.wait(timeout)
        if over and self.error is not None:
            raise self.error
        return over

    def __await__(self) -> Generator[object, None, None]:
        if self._task is not None:
            yield from asyncio.shield(self._task).__await__()
        else:
            yield from asyncio.to_thread(self._over.wait).__await__()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        asyncio.run(self._consume())

    async def _consume(self) -> None:
        try:
            async for _ in Results(self._record, self._listeners):
                pass
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self.error = error
            await self._tell(error)
        finally:
            self._over.set()

    async def _tell(self, error: BaseException) -> None:
        """A failed run in the background is an event; and in the log, when nobody listens."""
        source = self._record.source
        if RunFailed in self._listeners.kinds():
            await self._listeners.tell(RunFailed(source, self._record.start, error))
        else:
            log.error("the run of %s has failed: %s", source, error, exc_info=error)


def _on_loop_of(task: asyncio.Task[None]) -> bool:
    try:
        return asyncio.get_running_loop() is task.get_loop()
    except RuntimeError:
        return False
