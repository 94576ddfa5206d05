"""Who starts processes, and starts them again: what systemd does for a program, and what a power cut does to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context

from backtest_kit.errors import StateDamagedError, StoreError
from backtest_kit.testing.worlds.disk import Platter
from backtest_kit.testing.worlds.faults import Faults
from backtest_kit.testing.worlds.loop import OWNER, VirtualLoop
from backtest_kit.testing.worlds.process import Process, ProcessDead

_RESTART_SECONDS = (0.1, 2.0, 15.0, 40.0)
_TWIN_ODDS = 0.7


class Supervisor:
    """Starts processes until it is told to stop; a machine of its own, on which they share a disk.

    `launch` is the life of one process. `odds` of 1 is how often one of `kinds` ("kill", "power", "pause") happens at a
    point. A pause may bring a twin, and with odds `lost_locks` the process loses its locks meanwhile, as on a network
    drive. A process that ends by a StoreError or an OSError has stopped on purpose and is started again; where it says
    that its state is damaged, that waits for a person. `blame` is told of any other error.
    """

    def __init__(
        self,
        loop: VirtualLoop,
        faults: Faults,
        platter: Platter,
        launch: Callable[[Process], Awaitable[None]],
        *,
        odds: float = 0.0,
        kinds: Sequence[str] = ("kill",),
        lost_locks: float = 0.0,
        log: Callable[..., None],
        blame: Callable[[str], None],
    ) -> None:
        self.loop, self.faults, self.platter, self.launch = loop, faults, platter, launch
        self.odds, self.kinds, self.lost_locks, self.log, self.blame = odds, kinds, lost_locks, log, blame
        self.processes: list[Process] = []
        self.halted = ""
        self.crashes = 0
        self.stopped = False

    def living(self) -> list[Process]:
        """The processes that are alive, oldest first."""
        return [process for process in self.processes if process.alive]

    def start(self) -> None:
        """Starts a process, beside those that there are."""
        if self.stopped or self.halted:
            return
        process = Process(len(self.processes) + 1, self._strike)
        self.processes.append(process)
        self.log("start", process.name)
        context = Context()  # nothing is inherited from whoever caused the start
        context.run(OWNER.set, process)
        self.loop.create_task(self._run(process), context=context)

    def start_if_none_lives(self) -> None:
        if not self.living():
            self.start()

    def kill(self, process: Process, kind: str, label: str) -> None:
        """Ends a process, or with "power" all of them; one is started again some time later."""
        self.crashes += 1
        self.log("crash", kind, process.name, label)
        for each in self.living() if kind == "power" else [process]:
            self._bury(each)
        self.platter.crash(kind)
        self._start_later()

    def kill_all(self, label: str) -> None:
        """Ends every process that lives."""
        for process in self.living():
            self.kill(process, "kill", label)

    def _strike(self, process: Process, label: str) -> None:
        kind = self.faults.at("point", self.odds, self.kinds)
        if kind == "pause":
            self._pause(process, label)
        elif kind:
            self.kill(process, kind, label)

    def _pause(self, process: Process, label: str) -> None:
        luck = self.faults.stream("pause")
        process.paused_until = self.loop.time() + luck.uniform(1.0, 45.0)
        self.log("pause", process.name, label)
        if luck.random() < self.lost_locks:
            self.platter.release(process)
        if luck.random() < _TWIN_ODDS:
            self.loop.call_later(luck.uniform(0.0, 30.0), self.start)

    def _bury(self, process: Process) -> None:
        process.alive = False
        self.platter.release(process)
        this = asyncio.current_task(self.loop)
        for task in self.loop.tasks_of(process):
            if task is not this:
                task.cancel()

    async def _run(self, process: Process) -> None:
        failed = True
        try:
            await self.launch(process)
            failed = False
        except (asyncio.CancelledError, ProcessDead):
            pass
        except BaseException as error:
            if process.alive:
                self._judge(process, error)
        if process.alive and not self.stopped:
            self.log("end", process.name)
            self._bury(process)
            if failed:
                self._start_later()

    def _judge(self, process: Process, error: BaseException) -> None:
        """What an error that has ended a process means."""
        self.log("failed", process.name, type(error).__name__, error)
        if isinstance(error, StateDamagedError):
            self.halted = str(error)
        elif not isinstance(error, StoreError | OSError):
            self.blame(f"the engine has failed: {type(error).__name__}: {error}")

    def _start_later(self) -> None:
        seconds = self.faults.stream("restart").choice(_RESTART_SECONDS)
        self.loop.call_later(seconds, self.start_if_none_lives)
