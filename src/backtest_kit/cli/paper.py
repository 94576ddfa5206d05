"""`backtest-kit paper`: trades at real prices without an exchange; with `--demo` a made-up market in a hurry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from backtest_kit.app import default
from backtest_kit.cli.demo import EXAMPLES, START, SYMBOLS
from backtest_kit.cli.failures import say
from backtest_kit.cli.live import Names, Wanted, planned, shown_events, trade, trading
from backtest_kit.cli.status import kept_in
from backtest_kit.cli.user_code import load
from backtest_kit.core.values import Time
from backtest_kit.engine.clock import SystemClock
from backtest_kit.errors import ConfigError
from backtest_kit.exchanges import DemoExchange
from backtest_kit.ports import Clock
from backtest_kit.registry import ExchangeSchema, parse_time
from backtest_kit.reports.tables import minute

DEMO_SPEED = 600.0
_LOOK_EVERY_SECONDS = 0.001
DEMO_STRATEGY = "trend-follower"
DEMO_PARAMS = ("range_hours=6", "stop_percent=0.5")  # a short range and near levels, so that something happens soon


class PacedClock:
    """A clock that begins at `start` (epoch ms) and runs `speed` times as fast as the real one, while all wait.

    It stands still while `is_held` says so: work takes no time on it. So a run whose ticks take long falls behind, but
    no order of it comes too late.
    """

    def __init__(self, start: Time, speed: float) -> None:
        self._now, self._speed = float(start), speed
        self.is_held: Callable[[], bool] = lambda: False

    def now(self) -> Time:
        return int(self._now)

    def monotonic(self) -> float:
        return self._now / 1000

    async def sleep(self, seconds: float) -> None:
        target = self._now + seconds * 1000
        await asyncio.sleep(seconds / self._speed)
        while self.is_held():
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
        self._now = max(self._now, target)


def paper(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Registers strategies and an exchange.", show_default=False)
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="No FILE: an example strategy on a made-up market, offline.")
    ] = False,
    symbol: Annotated[
        Names, typer.Option(metavar="NAME", help="Repeatable. Default: all of the exchange, if few.")
    ] = None,
    strategy: Annotated[Names, typer.Option(metavar="NAME", help="Repeatable. Default: the only one.")] = None,
    exchange: Annotated[str | None, typer.Option(metavar="NAME", help="Default: the only one.")] = None,
    param: Annotated[Names, typer.Option(metavar="NAME=VALUE", help="A strategy's parameter. Repeatable.")] = None,
    setting: Annotated[Names, typer.Option("--set", metavar="NAME=VALUE", help="A setting. Repeatable.")] = None,
    data: Annotated[Path | None, typer.Option(metavar="FOLDER", help="State. Default: setting data_folder.")] = None,
    speed: Annotated[
        float | None,
        typer.Option(metavar="NUMBER", help="How many times as fast as the clock. With --demo 600.", min=0.01),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Where a clock of its own begins: 2024-01-01.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log what happens; show tracebacks.")] = False,
) -> None:
    """Trade on paper: real prices, and orders that are filled without an exchange, with fees and slippage.

    Start with `backtest-kit paper --demo`: positions are opened and closed within a minute. Everything is kept on
    disk: end it as you like, start it again, and open positions go on.

    With --speed or --from time is the run's own. It begins at --from (--demo: 2024-01-01), or where the kept state
    left off. Exit codes as of `live`.
    """
    if (file is None) != demo:
        raise typer.BadParameter("give a FILE, or --demo without one")
    wanted = Wanted(
        mode="paper",
        symbols=symbol or (SYMBOLS if demo else ()),
        strategies=strategy or ([DEMO_STRATEGY] if demo else ()),
        exchange=exchange,
        params=[*(DEMO_PARAMS if demo and not strategy else ()), *(param or ())],
        settings=setting or (),
        data=data,
    )
    with trading(verbose), shown_events(as_json, verbose):
        if file is not None:
            default.load_settings(file.resolve().parent)
            load(file)
        else:
            _declare_demo()
        first = START if demo and start is None else start
        pace = DEMO_SPEED if demo and speed is None else speed
        job, plugs = planned(wanted, lambda source: _clock(source, pace, first))
        if isinstance(plugs.clock, PacedClock):
            plugs.clock.is_held = lambda: job.run.is_busy
        trade(job, plugs)


def _declare_demo() -> None:
    for name in EXAMPLES:
        import_module(f"backtest_kit.examples.{name}")
    default.exchanges.add(ExchangeSchema("demo", DemoExchange()))


def _clock(exchange: ExchangeSchema, speed: float | None, start: str | Time | None) -> Clock:
    """The wall clock, or one that begins at `start` or where the state of this exchange left off, the later one."""
    if speed is None and start is None:
        return SystemClock()
    left_off = _left_off(exchange.name)
    begin = max(
        (time for time in (left_off, None if start is None else parse_time(start)) if time is not None), default=None
    )
    if begin is None:
        raise ConfigError("--speed needs to know where time begins: give --from TIME, such as --from 2024-01-01")
    say(f"the clock begins at {minute(begin)} and runs {speed or 1:g} times as fast")
    return PacedClock(begin, speed or 1.0)


def _left_off(exchange_name: str) -> Time | None:
    """The last minute that the kept state of an exchange knows of."""
    slots = [held.slot for held in kept_in(default.settings.data_folder, ["paper"]) if held.slot is not None]
    times = [max(each.absorbed_until, each.asked) for each in slots if each.source.exchange_name == exchange_name]
    return max(times, default=None)
