"""`backtest-kit stop`, `pause`, `resume`, `close`, `kill`: what a person says to a process that trades."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from backtest_kit.app import default
from backtest_kit.cli.failures import FAILED, reported, say
from backtest_kit.cli.status import MODES, holder, kept_in, sources_in
from backtest_kit.core.values import Mode, Source
from backtest_kit.engine.control import KILL, Action, Answer, ControlFolder, Request, fitting, kill_switch, put
from backtest_kit.errors import ConfigError, StoreError, UnknownNameError

WAIT_SECONDS = 5.0
_LOOK_EVERY_SECONDS = 0.05
_KEPT: tuple[Action, ...] = ("pause", "resume")  # these mean the next start as well
_STOP_ENTRIES = b"stop-entries\nNothing is entered while this file is here.\n"
_FLATTEN = b"flatten\nNothing is entered while this file is here, and open positions are closed.\n"

Symbol = Annotated[str | None, typer.Option("--symbol", metavar="NAME", help="Default: all.")]
Strategy = Annotated[str | None, typer.Option("--strategy", metavar="NAME", help="Default: all.")]
ModeName = Annotated[
    str | None, typer.Option("--mode", metavar="live|paper", help="Needed where both are there.", show_default=False)
]
Data = Annotated[Path | None, typer.Option("--data", metavar="FOLDER", help="Default: the setting data_folder.")]


def stop(symbol: Symbol = None, strategy: Strategy = None, mode: ModeName = None, data: Data = None) -> None:
    """Let a running process enter nothing new, watch what is open to its end, and end then.

    A signal that waits for its price is cancelled. The next start trades again; `pause` is what lasts.
    """
    _command("stop", symbol, strategy, mode, data)


def pause(symbol: Symbol = None, strategy: Strategy = None, mode: ModeName = None, data: Data = None) -> None:
    """Ask strategies for nothing new until `resume`, also after a restart.

    What is open is watched to its end, and a signal that waits for its price goes on waiting. Where no process runs, it
    counts from the next start on.
    """
    _command("pause", symbol, strategy, mode, data)


def resume(symbol: Symbol = None, strategy: Strategy = None, mode: ModeName = None, data: Data = None) -> None:
    """Ask strategies again after `pause`. Where no process runs, from the next start on."""
    _command("resume", symbol, strategy, mode, data)


def close(symbol: Symbol = None, strategy: Strategy = None, mode: ModeName = None, data: Data = None) -> None:
    """Close open positions at the next candle. The strategy goes on, and may enter again."""
    _command("close", symbol, strategy, mode, data)


def kill(
    flatten: Annotated[bool, typer.Option("--flatten", help="Close what is open, too.")] = False,
    stop_entries: Annotated[bool, typer.Option("--stop-entries", help="Only enter nothing; the default.")] = False,
    release: Annotated[bool, typer.Option("--release", help="Switch it off.")] = False,
    data: Data = None,
) -> None:
    """Switch everything off that trades in a data folder, live and on paper, until a person releases it.

    Nothing is entered, and signals that wait for their price are cancelled. The switch is the file KILL in the data
    folder: whoever creates it, with an editor too, has pulled it, and it lasts over restarts. The word "flatten" in it
    closes open positions.
    """
    if flatten + stop_entries + release > 1:
        raise typer.BadParameter("--flatten, --stop-entries and --release: one of them")
    with reported():
        path = _folder(data) / KILL
        if release:
            _release(path)
        else:
            put(path, _FLATTEN if flatten else _STOP_ENTRIES)
            said = "nothing is entered, and open positions are closed" if flatten else "nothing is entered"
            print(f"kill switch on: {said}, until `backtest-kit kill --release`. {path}")
            _say_who_obeys(path.parent)


def _release(path: Path) -> None:
    was = kill_switch(path.parent)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path} cannot be removed: {error.strerror or error}") from error
    print(f"kill switch released; it was {was}" if was else "the kill switch is not on")


def _say_who_obeys(folder: Path) -> None:
    running = [mode for mode in MODES if _may_run(folder, mode)]
    if not running:
        say("no process trades here; it counts from the next start on")
    for mode in running:
        say(f"{mode}: {holder(folder, mode)} obeys at its next tick, within a minute")


# ---- commands


def _command(action: Action, symbol: str | None, strategy: str | None, mode: str | None, data: Path | None) -> None:
    with reported():
        folder = _folder(data)
        meant = _mode(folder, mode, symbol, strategy)
        control = ControlFolder(folder, meant)
        if not _may_run(folder, meant):
            _leave_for_the_next_start(action, folder, meant, symbol, strategy)
            return
        until = None if action in _KEPT else int((time.time() + WAIT_SECONDS) * 1000)
        number = control.send(Request(action, meant, symbol, strategy, until))
        answer = _answer(control, number)
        if answer is None:
            _unanswered(action, control, number, f"{holder(folder, meant)}")
        else:
            _print(answer, meant)


def _leave_for_the_next_start(
    action: Action, folder: Path, mode: Mode, symbol: str | None, strategy: str | None
) -> None:
    """Keeps what counts later; says of the rest that nobody is there to do it."""
    sources = _sources(folder, mode)
    if not sources:
        raise ConfigError(f"nothing has been traded in {folder} ({mode}), and no process trades there")
    meant = fitting(symbol, strategy, sources)
    if action not in _KEPT:
        say(f"no process trades here ({mode}): there is nothing to {action}")
        raise typer.Exit(FAILED)
    ControlFolder(folder, mode).send(Request(action, mode, symbol, strategy))
    names = ", ".join(f"{each.strategy_name} on {each.symbol}" for each in meant)
    print(f"{mode}: {action} is kept for the next start: {names}")


def _answer(control: ControlFolder, number: str) -> Answer | None:
    """Waits for the answer to a command."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        answer = control.fetch(number)
        if answer is not None:
            return answer
        time.sleep(_LOOK_EVERY_SECONDS)
    return control.fetch(number)


def _unanswered(action: Action, control: ControlFolder, number: str, who: str) -> None:
    if action in _KEPT:
        print(f"{who} has not answered within {WAIT_SECONDS:g} s; {action} is kept until it does, or the next start")
        return
    control.withdraw(number)
    say(
        f"{who} has not answered within {WAIT_SECONDS:g} s, and the command was taken back. It may have begun with it: "
        "see `backtest-kit status`"
    )
    raise typer.Exit(FAILED)


def _print(answer: Answer, mode: Mode) -> None:
    if answer.error:
        raise ConfigError(answer.error)
    for each in answer.outcomes:
        print(f"{mode}: {each.strategy_name} on {each.symbol}: {each.note}")
    if not any(each.accepted for each in answer.outcomes):
        raise typer.Exit(FAILED)


# ---- who is meant


def _folder(data: Path | None) -> Path:
    return data or Path(default.settings.data_folder)


def _mode(folder: Path, name: str | None, symbol: str | None, strategy: str | None) -> Mode:
    """The mode that was named, or the one that trades here, or else the one that has state."""
    if name is not None:
        if name not in MODES:
            raise UnknownNameError("mode", name, MODES)
        return next(mode for mode in MODES if mode == name)
    running: Sequence[Mode] = [mode for mode in MODES if _may_run(folder, mode)]
    found = running or [mode for mode in MODES if _sources(folder, mode)]
    fits = [mode for mode in found if _has(_sources(folder, mode), symbol, strategy)] or found
    if not fits:
        raise ConfigError(
            f"nothing has been traded in {folder}, and no process trades there; --data names another folder"
        )
    if len(fits) > 1:
        raise ConfigError(f"both live and paper {'trade' if running else 'have traded'} here: say which with --mode")
    return fits[0]


def _has(sources: Sequence[Source], symbol: str | None, strategy: str | None) -> bool:
    return any(symbol in (None, each.symbol) and strategy in (None, each.strategy_name) for each in sources)


def _sources(folder: Path, mode: Mode) -> list[Source]:
    return sources_in(kept_in(folder, [mode]))


def _may_run(folder: Path, mode: Mode) -> bool:
    found = holder(folder, mode)
    return found is not None and found.is_running is not False
