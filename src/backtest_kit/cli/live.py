"""`backtest-kit live FILE`: trades the strategies of a Python file on the wall clock; and what paper trading shares.

A run is one line an event on standard output, and everything else on standard error. Ctrl-C or SIGTERM lets every book
finish what it is doing and ends the process; what is open is kept and goes on at the next start. The second one ends
the process at once, which loses nothing either: whatever counts was written down before.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, TextIO

import msgspec
import typer
from msgspec import Struct

from backtest_kit.app import default
from backtest_kit.cli import choices
from backtest_kit.cli.failures import FAILED, INTERRUPTED, reported, say
from backtest_kit.cli.play import Watch
from backtest_kit.cli.status import UNSAFE, kept_in, store_folder
from backtest_kit.cli.user_code import load
from backtest_kit.core.events import (
    Committed,
    Event,
    OrderAnswered,
    PositionEvent,
    RiskRejected,
    SignalCancelled,
    SignalClosed,
    SignalInvalid,
    SignalOpened,
    SignalScheduled,
)
from backtest_kit.core.state import Active, Closing, Opening, Scheduled
from backtest_kit.core.values import Mode
from backtest_kit.engine.control import ControlFolder, kill_switch
from backtest_kit.engine.listeners import Subscription
from backtest_kit.engine.notices import Failure
from backtest_kit.errors import ConfigError, StateDamagedError, StoreLockedError
from backtest_kit.live_plan import LiveJob, Plugs, live_job, plugs_of
from backtest_kit.ports import Clock
from backtest_kit.registry import ExchangeSchema
from backtest_kit.reports.tables import minute, one_line, price

Names = list[str] | None
NO_ADAPTER = "no broker adapter is enabled: signals are followed, no orders are sent"
_SHOWN: tuple[type[Event], ...] = (
    SignalScheduled,
    SignalOpened,
    SignalClosed,
    SignalCancelled,
    Committed,
    RiskRejected,
    SignalInvalid,
    OrderAnswered,
)


class Wanted(Struct, frozen=True, kw_only=True):
    """What is to be traded, as the options say it."""

    mode: Mode
    symbols: Sequence[str] = ()
    strategies: Sequence[str] = ()
    exchange: str | None = None
    params: Sequence[str] = ()
    settings: Sequence[str] = ()
    data: Path | None = None


def live(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Registers strategies, an exchange, and a broker.")],
    symbol: Annotated[
        Names, typer.Option(metavar="NAME", help="Repeatable. Default: all of the exchange, if few.")
    ] = None,
    strategy: Annotated[Names, typer.Option(metavar="NAME", help="Repeatable. Default: the only one.")] = None,
    exchange: Annotated[str | None, typer.Option(metavar="NAME", help="Default: the only one.")] = None,
    param: Annotated[Names, typer.Option(metavar="NAME=VALUE", help="A strategy's parameter. Repeatable.")] = None,
    setting: Annotated[Names, typer.Option("--set", metavar="NAME=VALUE", help="A setting. Repeatable.")] = None,
    data: Annotated[Path | None, typer.Option(metavar="FOLDER", help="State. Default: setting data_folder.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Send real orders without asking first.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log what happens; show tracebacks.")] = False,
) -> None:
    """Trade the strategies of a Python file for real.

    Orders go to the broker adapter that FILE enables with Broker.enable(); without one, signals are followed and no
    order is sent. Ctrl-C ends the process; what is open is kept on disk and goes on at the next start.

    Exit codes: 0 stopped, 1 failed, 2 wrong use, 3 unsafe to start (state is damaged, or another process trades it),
    130 interrupted.
    """
    wanted = Wanted(
        mode="live",
        symbols=symbol or (),
        strategies=strategy or (),
        exchange=exchange,
        params=param or (),
        settings=setting or (),
        data=data,
    )
    with trading(verbose), shown_events(as_json, verbose):
        default.load_settings(file.resolve().parent)
        load(file)
        job, plugs = planned(wanted)
        _agreed(job, plugs, yes)
        trade(job, plugs)


@contextlib.contextmanager
def trading(verbose: bool) -> Iterator[None]:
    """Ends a command that trades with a message and an exit code, 3 where it is not safe to start."""
    with reported(verbose):
        logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(message)s")
        try:
            yield
        except (StateDamagedError, StoreLockedError) as error:
            say(f"unsafe to start: {error}")
            raise typer.Exit(UNSAFE) from None


@contextlib.contextmanager
def shown_events(as_json: bool, verbose: bool) -> Iterator[None]:
    """Prints every fact as a line and every error once; what user code prints goes beside data, not into it."""
    show = _json_line if as_json else _line
    output = sys.stdout

    def see(event: Event) -> None:
        _print(output, show(event))

    cancels = [
        default.listeners.add(Subscription(_SHOWN, see)),
        default.listeners.add(Subscription([Failure], Watch(verbose).warn)),
    ]
    try:
        with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
            yield
    finally:
        for cancel in cancels:
            cancel()


def planned(wanted: Wanted, clock_of: Callable[[ExchangeSchema], Clock] | None = None) -> tuple[LiveJob, Plugs]:
    """Looks up everything that was asked for; nothing is opened yet. Raises ConfigError."""
    given = choices.settings(wanted.settings)
    default.set_config(**given | ({"data_folder": str(wanted.data)} if wanted.data is not None else {}))
    strategies = choices.strategies(wanted.strategies)
    exchange = choices.chosen(default.exchanges, wanted.exchange)
    symbols = choices.symbols(wanted.symbols, exchange)
    params = choices.params(wanted.params, strategies)
    plugs = plugs_of(default, wanted.mode, clock_of(exchange) if clock_of else None, {})
    names = [each.name for each in strategies]
    job = live_job(default, plugs, wanted.mode, symbols, names, exchange.name, params)
    job.run.obey(ControlFolder(default.settings.data_folder, wanted.mode))
    return job, plugs


def trade(job: LiveJob, plugs: Plugs) -> None:
    """Trades until it is stopped or interrupted, and says what is left open. Ends with 130 after Ctrl-C."""
    _greet(job)
    ending = Ending(job)
    with ending.listening():
        asyncio.run(_traded(job, plugs, ending))
    states = [book.state for book in job.run.books]
    positions = sum(isinstance(state, Active | Closing) for state in states)
    waiting = sum(isinstance(state, Scheduled | Opening) for state in states)
    say(f"stopped; {_what_is_left(positions, waiting)}")
    if ending.heard == signal.SIGINT:
        raise typer.Exit(INTERRUPTED)


class Ending:
    """Ctrl-C and SIGTERM: the first lets the books finish what they are doing, the second ends the process at once."""

    def __init__(self, job: LiveJob) -> None:
        self.heard: int | None = None
        self._job = job
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[Any] | None = None
        self._leaving: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        before = {each: signal.signal(each, self._hear) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def begin(self) -> None:
        """The loop runs from here on."""
        self._loop, self._main = asyncio.get_running_loop(), asyncio.current_task()
        if self.heard is not None:
            self._leave()

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        if self.heard is not None:
            os._exit(INTERRUPTED)
        self.heard = number
        say("ending when what is under way is done; once more ends at once")
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._leave)

    def _leave(self) -> None:
        if self._job.run.has_begun:
            self._leaving = asyncio.get_running_loop().create_task(self._job.run.leave())
        elif self._main is not None:
            self._main.cancel()


async def _traded(job: LiveJob, plugs: Plugs, ending: Ending) -> None:
    """The whole life of a run. Being called off before it has begun is an end like any other."""
    try:
        ending.begin()
        async with contextlib.aclosing(job.run.results()) as results:  # type: ignore[type-var]
            async for _ in results:
                pass
    except asyncio.CancelledError:
        if ending.heard is None:
            raise
    finally:
        await plugs.store.close()


def _agreed(job: LiveJob, plugs: Plugs, yes: bool) -> None:
    """Says that no orders are sent, or asks whether they may be."""
    if plugs.adapter is None:
        say(NO_ADAPTER)
    elif not yes:
        what = f"real orders will be sent by {type(plugs.adapter).__name__}: {job.source}"
        if not sys.stdin.isatty():
            raise ConfigError(f"{what}; give --yes to agree")
        try:
            agreed = typer.confirm(f"{what}. Go on?", err=True)
        except typer.Abort:
            agreed = False
        if not agreed:
            say("nothing was started")
            raise typer.Exit(FAILED)


# ---- what is said


def _greet(job: LiveJob) -> None:
    plan = job.plan
    folder = plan.settings.data_folder
    say(f"{plan.mode}: {job.source}; state in {store_folder(folder, plan.mode)}; Ctrl-C ends it")
    if kill := kill_switch(folder):
        say(f"the kill switch is on ({kill}): nothing is entered; `backtest-kit kill --release` releases it")
    for held in kept_in(folder, [plan.mode]):
        slot = held.slot
        if slot is None or slot.source not in plan.sources():
            continue
        if isinstance(slot.state, Active | Closing):
            position = slot.state.position
            at = f"{price(position.effective_price)} since {minute(position.pending_at)}"
            say(f"goes on: {position.signal.position} {slot.source}, entered at {at}")
        if slot.paused:
            say(f"paused: {slot.source}; `backtest-kit resume` lets it enter again")


def _what_is_left(positions: int, waiting: int) -> str:
    if positions + waiting == 0:
        return "nothing is open"
    parts = [
        f"{count} {name}{'' if count == 1 else 's'}"
        for count, name in ((positions, "position"), (waiting, "waiting signal"))
        if count
    ]
    one = positions + waiting == 1
    stays, goes = ("stays open", "goes") if one else ("stay open", "go")
    return f"{' and '.join(parts)} {stays} and {goes} on at the next start"


def _print(output: TextIO, line: str) -> None:
    if line:
        print(line, file=output, flush=True)


def _line(event: Event) -> str:
    """An event for people; empty for one that says nothing new."""
    told = _said(event)
    if not told:
        return ""
    names = f"{one_line(event.symbol, 20):<10}  {one_line(event.strategy_name, 30):<16}"
    return f"{minute(event.time)}  {names}  {told}"


def _said(event: Event) -> str:
    if isinstance(event, SignalClosed):
        profit = event.pnl
        return f"closed     {_at(event)}  {profit.percent:+.2f} %  {profit.cost:+.2f}  {event.close_reason}"
    if isinstance(event, PositionEvent):
        levels = f"take {price(event.position.price_take_profit)} stop {price(event.position.price_stop_loss)}"
        return f"{event.action:<9}  {_at(event)}  {levels}"
    if isinstance(event, SignalScheduled):
        return f"scheduled  {event.signal.position} at {price(event.signal.price_open or event.price)}"
    if isinstance(event, SignalCancelled):
        return f"cancelled  {event.signal.position}  {event.reason}{_note(event.note)}"
    if isinstance(event, Committed):
        return f"command    {event.command}{'' if event.accepted else ' refused' + _note(event.reason)}"
    if isinstance(event, RiskRejected):
        return f"rejected   {event.signal.position} by {event.risk_name}{_note(event.reason)}"
    if isinstance(event, SignalInvalid):
        return f"invalid    {one_line('; '.join(event.reasons), 200)}"
    if isinstance(event, OrderAnswered) and event.outcome != "done":
        return f"order      {event.kind} {event.outcome}, attempt {event.attempt}{_note(event.note)}"
    return ""


def _at(event: PositionEvent) -> str:
    return f"{event.signal.position} at {price(event.price)}"


def _note(text: str) -> str:
    return f": {one_line(text, 200)}" if text else ""


def _json_line(event: Event) -> str:
    """An event as one line of JSON; what it does not have is null."""
    signal_of = getattr(event, "signal", None)
    pnl = getattr(event, "pnl", None)
    told: Mapping[str, Any] = {
        "time": minute(event.time),
        "mode": event.mode,
        "symbol": event.symbol,
        "strategy": event.strategy_name,
        "exchange": event.exchange_name,
        "what": event.action,
        "side": signal_of.position if signal_of is not None else None,
        "price": getattr(event, "price", None),
        "profit_percent": pnl.percent if pnl is not None else None,
        "profit": pnl.cost if pnl is not None else None,
        "reason": getattr(event, "close_reason", None) or getattr(event, "reason", None),
        "note": getattr(event, "note", None),
        "signal_id": signal_of.id if signal_of is not None else None,
        "details": _details(event),
    }
    return msgspec.json.encode(told).decode()


def _details(event: Event) -> dict[str, Any] | None:
    """What only some events have."""
    if isinstance(event, OrderAnswered):
        names: Sequence[str] = ("client_order_id", "kind", "attempt", "outcome", "quantity", "fee", "alarm")
    elif isinstance(event, Committed):
        names = ("command", "amount", "accepted")
    elif isinstance(event, SignalInvalid):
        names = ("reasons",)
    else:
        return None
    return {name: getattr(event, name) for name in names}
