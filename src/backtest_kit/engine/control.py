"""What a person says to a process that trades: commands and their answers as files, and the kill switch.

**Theory.** A command is a file in `<data>/control/`, which gets its name when it is whole. The process that trades
looks there once a second, carries the command out between two ticks of a book, writes the answer beside it, and then
removes the command. Where it is killed in between, the command is found again at the next start, and pausing twice is
pausing. `stop` and `close` mean what runs now: after `good_until` they are void; `pause` and `resume` wait for a start.

The kill switch is the file `<data>/KILL`, whoever made it. While it is there no strategy is asked and what waits for
its price is cancelled; with the word "flatten" in it, what is open is left at the next candle. It is looked at before
every tick, so there is nothing that a restart could forget.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from secrets import token_hex
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from backtest_kit.core.events import Committed
from backtest_kit.core.inputs import LeaveAtNext, SettleAtNext
from backtest_kit.core.state import Active, Idle, Scheduled
from backtest_kit.core.values import MINUTE, Mode, Source, Time
from backtest_kit.engine.context import enter
from backtest_kit.engine.live_book import LiveBook
from backtest_kit.errors import ConfigError, StoreError, UnknownNameError

Action: TypeAlias = Literal["stop", "pause", "resume", "close"]
Kill: TypeAlias = Literal["", "stop-entries", "flatten"]
FOLDER, KILL = "control", "KILL"
_COMMAND, _ANSWER, _TEMPORARY = ".command", ".answer", ".tmp"
_UNREAD_AFTER_SECONDS = 60.0  # an answer that nobody has fetched by then is removed


class Request(Struct, frozen=True):
    """What a person wants of the books of a mode; None for a name: all of them. `good_until`: epoch ms, wall clock."""

    action: Action
    mode: Mode
    symbol: str | None = None
    strategy_name: str | None = None
    good_until: Time | None = None


class Outcome(Struct, frozen=True):
    """What became of a command in one book."""

    symbol: str
    strategy_name: str
    accepted: bool
    note: str


class Answer(Struct, frozen=True):
    """What became of a command: book by book, or in `error` why it was not for anybody."""

    outcomes: tuple[Outcome, ...] = ()
    error: str = ""


class ControlFolder:
    """The place in a data folder where commands wait for the process that trades one mode there."""

    def __init__(self, data_folder: str | os.PathLike[str], mode: Mode) -> None:
        self._data, self._mode = Path(data_folder), mode
        self._folder = self._data / FOLDER

    # ---- who commands

    def send(self, request: Request) -> str:
        """Leaves a command; gives its number, by which it is asked for. Raises StoreError where it cannot be left."""
        number = f"{time.time_ns()}-{token_hex(4)}"
        put(self._path(number, _COMMAND), msgspec.json.encode(request))
        return number

    def fetch(self, number: str) -> Answer | None:
        """Takes the answer to a command, None while there is none."""
        path = self._path(number, _ANSWER)
        if not path.exists():
            return None
        answer = msgspec.json.decode(path.read_bytes(), type=Answer)
        path.unlink(missing_ok=True)
        return answer

    def withdraw(self, number: str) -> None:
        """Takes a command back, if nobody has it yet."""
        self._path(number, _COMMAND).unlink(missing_ok=True)

    # ---- who obeys

    def waiting(self) -> list[tuple[str, Request]]:
        """The commands that wait for this mode, oldest first. What cannot be read is answered so; what is void goes."""
        self._sweep()
        found = []
        for path in sorted(self._folder.glob(f"*.{self._mode}{_COMMAND}")):
            number = path.name.removesuffix(f".{self._mode}{_COMMAND}")
            try:
                request = msgspec.json.decode(path.read_bytes(), type=Request)
            except FileNotFoundError:
                continue  # it was withdrawn
            except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
                self.answer(number, Answer(error=f"{path} cannot be read: {error}"))
                continue
            if request.good_until is not None and request.good_until < time.time() * 1000:
                self.withdraw(number)
            else:
                found.append((number, request))
        return found

    def answer(self, number: str, answer: Answer) -> None:
        """Says what became of a command, which is done with now."""
        put(self._path(number, _ANSWER), msgspec.json.encode(answer))
        self.withdraw(number)

    @property
    def kill(self) -> Kill:
        """What the kill switch says now."""
        return kill_switch(self._data)

    def _sweep(self) -> None:
        """Removes answers that nobody has fetched."""
        for path in self._folder.glob(f"*.{self._mode}{_ANSWER}"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _UNREAD_AFTER_SECONDS:
                    path.unlink()

    def _path(self, number: str, ending: str) -> Path:
        return self._folder / f"{number}.{self._mode}{ending}"


def kill_switch(data_folder: str | os.PathLike[str]) -> Kill:
    """What the kill switch of a data folder says; one that cannot be read stops entries."""
    try:
        text = (Path(data_folder) / KILL).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError:
        return "stop-entries"
    return "flatten" if b"flatten" in text.lower() else "stop-entries"


def put(path: Path, content: bytes) -> None:
    """Makes a file appear as a whole, durably, with its folder. Raises StoreError."""
    temporary = path.with_name(path.name + _TEMPORARY)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}") from error


def _sync(folder: Path) -> None:
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


# ---- carrying out


async def carry_out(request: Request, turns: Mapping[LiveBook, asyncio.Lock], now: Time) -> Answer:
    """Does what was asked in every book that is meant, each between two of its ticks; `now` is the minute's start."""
    try:
        meant = fitting(request.symbol, request.strategy_name, [book.source for book in turns])
    except ConfigError as error:
        return Answer(error=str(error))
    books = [book for book in turns if book.source in meant]
    outcomes = await asyncio.gather(*(_obeyed(book, turns[book], request.action, now) for book in books))
    return Answer(tuple(outcomes))


def fitting(symbol: str | None, strategy_name: str | None, sources: Iterable[Source]) -> Sequence[Source]:
    """The books that fit names; raises ConfigError, with what may have been meant, where there are none."""
    known = tuple(sources)
    for kind, name, names in (
        ("symbol", symbol, {each.symbol for each in known}),
        ("strategy", strategy_name, {each.strategy_name for each in known}),
    ):
        if name is not None and name not in names:
            raise UnknownNameError(kind, name, names)
    found = [each for each in known if symbol in (None, each.symbol) and strategy_name in (None, each.strategy_name)]
    if not found:
        raise ConfigError(f"{strategy_name or 'no strategy'} does not trade {symbol or 'anything'} here")
    return found


def hold_back(book: LiveBook, kill: Kill, tick: Time) -> None:
    """Keeps a book from entering anything new at a tick, and leaves what is open where the kill switch says so.

    Candles that were missed are lived through first, so that nothing is left at a price of long ago.
    """
    book.asked = book.strategy.interval.floor(tick)  # it counts as asked, so the strategy is not
    state, minute = book.state, tick - MINUTE
    if type(state) is Scheduled and state.wish is None:
        book.command(SettleAtNext("cancel", minute, "kill switch"))
    elif kill == "flatten" and type(state) is Active and state.wish is None and book.row >= book.tape.row(minute):
        book.command(LeaveAtNext("closed", minute, note="kill switch"))


async def _obeyed(book: LiveBook, turn: asyncio.Lock, action: Action, now: Time) -> Outcome:
    async with turn:
        enter(book.context)
        accepted, note = _ACTIONS[action](book, now)
        await book.publish()
    return Outcome(book.source.symbol, book.source.strategy_name, accepted, note)


def _paused(book: LiveBook, now: Time) -> tuple[bool, str]:
    if book.slot.paused:
        return True, "was paused already"
    _note(book, "pause", now, paused=True)
    return True, f"paused: no new entries{_meanwhile(book)}"


def _resumed(book: LiveBook, now: Time) -> tuple[bool, str]:
    if not book.slot.paused:
        return True, "was not paused"
    _note(book, "resume", now, paused=False)
    return True, "resumed"


def _stopped(book: LiveBook, _now: Time) -> tuple[bool, str]:
    book.stop()
    return True, f"stopping: no new entries{_meanwhile(book)}"


def _closed(book: LiveBook, now: Time) -> tuple[bool, str]:
    said = book.command(LeaveAtNext("closed", now, note="closed by hand"))
    assert isinstance(said, Committed)
    return said.accepted, "closes at the next candle" if said.accepted else said.reason


_ACTIONS: Mapping[Action, Callable[[LiveBook, Time], tuple[bool, str]]] = {
    "pause": _paused,
    "resume": _resumed,
    "stop": _stopped,
    "close": _closed,
}


def _note(book: LiveBook, action: str, now: Time, *, paused: bool) -> None:
    """Sets the flag; the fact beside it makes the book write both down."""
    book.slot = replace(book.slot, paused=paused)
    book.announce(Committed(book.source, now, action, None))


def _meanwhile(book: LiveBook) -> str:
    if type(book.state) is Idle:
        return ""
    return "; what is open is watched to its end"
