"""`backtest-kit status`: what is kept of live and paper trading, and who trades it. Nothing is opened or written."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from msgspec import Struct

from backtest_kit.app import default
from backtest_kit.cli.failures import reported
from backtest_kit.core.state import Active, Closing, Idle, Scheduled
from backtest_kit.core.values import Mode, Signal, Source, Time
from backtest_kit.engine.control import KILL, Kill, kill_switch
from backtest_kit.engine.slot import Slot, decoded
from backtest_kit.errors import StateDamagedError
from backtest_kit.reports.tables import minute, one_line, price

if TYPE_CHECKING:
    from rich.table import Table

UNSAFE = 3
MODES: tuple[Mode, ...] = ("live", "paper")
COLUMNS = ("Mode", "Strategy", "Symbol", "State", "Side", "Entry", "Take", "Stop", "Order", "Paused", "Last write")
_NARROWEST = 140  # characters of a table in a file


class Holder(Struct, frozen=True):
    """The process that has opened a store last. `is_running` None: nobody here can know."""

    mode: Mode
    pid: int
    host: str
    is_running: bool | None

    def __str__(self) -> str:
        return f"process {self.pid}" + (f" on {self.host}" if self.is_running is None else "")


class Held(Struct, frozen=True):
    """What is kept of one book; no slot where it cannot be trusted, and `damage` says why. `written`: epoch ms."""

    mode: Mode
    key: str
    slot: Slot | None
    written: Time | None
    damage: str = ""


def store_folder(data_folder: str | Path, mode: Mode) -> Path:
    """Where the state of a mode is kept."""
    return Path(data_folder) / "paper" if mode == "paper" else Path(data_folder)


def holder(data_folder: str | Path, mode: Mode) -> Holder | None:
    """The process that opened the store of a mode last and did not close it; None where there is none."""
    folder = store_folder(data_folder, mode)
    try:
        found = re.match(r"process (\d+) on (\S+)", (folder / "lock").read_text())
        epoch = msgspec.json.decode((folder / "epoch.json").read_bytes())
        if found is None or epoch["content"]["clean"]:
            return None
    except (OSError, ValueError, LookupError, TypeError):
        return None
    pid, host = int(found[1]), found[2]
    return Holder(mode, pid, host, _is_alive(pid) if host == socket.gethostname() else None)


def kept_in(data_folder: str | Path, modes: Iterable[Mode] = MODES) -> list[Held]:
    """Everything that is kept of the books of these modes, in order of their names."""
    return [held for mode in modes for held in asyncio.run(_kept(store_folder(data_folder, mode), mode))]


def sources_in(kept: Iterable[Held]) -> list[Source]:
    return [each.slot.source for each in kept if each.slot is not None]


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print data only, as JSON.")] = False,
    data: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Default: the setting data_folder.")] = None,
) -> None:
    """Show what live and paper trading hold, and which process trades.

    Reads the files alone: it may be asked at any time, also while a process trades. Exit code 3 where something that is
    kept cannot be trusted.
    """
    with reported():
        folder = data or Path(default.settings.data_folder)
        kept, kill = kept_in(folder), kill_switch(folder)
        holders = [found for mode in MODES if (found := holder(folder, mode)) is not None]
        if as_json:
            _print_json(folder, kill, holders, kept)
        else:
            _print_table(folder, kill, holders, kept)
    if any(each.damage for each in kept):
        raise typer.Exit(UNSAFE)


class _Names(Struct, frozen=True):
    source: Source


async def _kept(folder: Path, mode: Mode) -> list[Held]:
    from backtest_kit.stores import FileStore
    from backtest_kit.stores.file_names import DOCUMENT, path_of

    store, found = FileStore(folder), []
    for key in await store.keys():
        if key.startswith("signals/"):
            written = _modified(folder / (path_of(key) + DOCUMENT))
            try:
                document = await store.read(key)
                if document is None:  # it was removed meanwhile
                    continue
                source = msgspec.json.decode(document.content, type=_Names).source
                found.append(Held(mode, key, decoded(document.content, source), written))
            except (StateDamagedError, msgspec.MsgspecError) as error:
                found.append(Held(mode, key, None, written, str(error)))
    return found


def _is_alive(pid: int) -> bool | None:
    """Whether a process of this machine is there; None where asking would disturb it."""
    if os.name != "posix":
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # it is there, and somebody else's
    return True


def _modified(path: Path) -> Time | None:
    try:
        return path.stat().st_mtime_ns // 1_000_000
    except OSError:
        return None


# ---- for people


def _print_table(folder: Path, kill: Kill, holders: list[Holder], kept: list[Held]) -> None:
    from rich.console import Console

    console = Console()
    if console.width < _NARROWEST and not console.is_terminal:
        console = Console(width=_NARROWEST)
    if kill:
        said = "open positions are closed, and nothing is entered" if kill == "flatten" else "nothing is entered"
        console.print(f"KILL SWITCH ON ({kill}): {said}. {folder / KILL}", style="bold red", highlight=False)
    for mode in MODES:
        console.print(f"{mode}: {_who(holders, mode)}", markup=False, highlight=False, soft_wrap=True)
    if kept:
        console.print(_table(kept))
    else:
        console.print(f"nothing has been traded in {folder}", markup=False, highlight=False, soft_wrap=True)
    for each in kept:
        if each.damage:
            console.print(f"DAMAGED: {each.damage}", style="bold red", markup=False, highlight=False, soft_wrap=True)


def _who(holders: list[Holder], mode: Mode) -> str:
    for each in holders:
        if each.mode == mode:
            state = {True: "trades", False: "has ended without closing its state", None: "may trade"}[each.is_running]
            return f"{each} {state}"
    return "no process trades"


def _table(kept: list[Held]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for title in COLUMNS:
        right = title in ("Entry", "Take", "Stop")
        table.add_column(title, justify="right" if right else "left", overflow="fold", no_wrap=title == COLUMNS[-1])
    for each in kept:
        table.add_row(*(Text(one_line(cell)) for cell in _cells(each)))
    return table


def _cells(held: Held) -> list[str]:
    row = _row(held)
    levels = [price(row[name]) if row[name] is not None else "" for name in ("entry", "take_profit", "stop_loss")]
    written = minute(held.written) if held.written is not None else ""
    paused = "yes" if row["paused"] else ""
    return [
        held.mode,
        row["strategy"],
        row["symbol"],
        row["state"],
        row["side"] or "",
        *levels,
        row["order"] or "",
        paused,
        written,
    ]


# ---- as data


def _print_json(folder: Path, kill: Kill, holders: list[Holder], kept: list[Held]) -> None:
    told = {
        "data_folder": str(folder),
        "kill_switch": kill or None,
        "processes": [msgspec.structs.asdict(each) for each in holders],
        "slots": [_row(each) for each in kept],
    }
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(told), indent=2).decode() + "\n")


def _row(held: Held) -> dict[str, Any]:
    """One book as data: times are ISO texts, what there is not is null."""
    row: dict[str, Any] = {
        "mode": held.mode,
        "strategy": held.key.removeprefix("signals/"),
        "symbol": "",
        "exchange": "",
        "state": "damaged",
        **dict.fromkeys(
            ("side", "entry", "take_profit", "stop_loss", "since", "signal_id", "order", "client_order_id")
        ),
        "paused": False,
        "written": _iso(held.written),
        "damage": held.damage or None,
    }
    if held.slot is not None:
        slot = held.slot
        row |= {"strategy": slot.source.strategy_name, "symbol": slot.source.symbol}
        row |= {"exchange": slot.source.exchange_name, "paused": slot.paused} | _of_state(slot) | _of_order(slot)
    return row


def _of_state(slot: Slot) -> dict[str, Any]:
    state = slot.state
    name = str(state.__struct_config__.tag)
    if isinstance(state, Idle):
        return {"state": name}
    if isinstance(state, Active | Closing):
        position = state.position
        signal, since, entry = position.signal, position.pending_at, position.effective_price
        levels = {"take_profit": position.price_take_profit, "stop_loss": position.price_stop_loss}
        return _named(name, signal, since) | {"entry": entry} | levels
    since = state.scheduled_at if isinstance(state, Scheduled) else state.order.time
    levels = {"take_profit": state.signal.price_take_profit, "stop_loss": state.signal.price_stop_loss}
    return _named(name, state.signal, since) | {"entry": state.signal.price_open} | levels


def _named(state: str, signal: Signal, since: Time) -> dict[str, Any]:
    return {"state": state, "side": signal.position, "since": _iso(since), "signal_id": signal.id}


def _of_order(slot: Slot) -> dict[str, Any]:
    """The order that has no final answer yet."""
    if slot.operation is None:
        return {}
    order = f"{slot.operation.order.kind} {slot.operation.progress}"
    return {"order": order, "client_order_id": slot.operation.client_order_id}


def _iso(time: Time | None) -> str | None:
    return None if time is None else datetime.fromtimestamp(time / 1000, UTC).isoformat(timespec="seconds")
