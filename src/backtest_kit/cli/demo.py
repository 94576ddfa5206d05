"""`backtest-kit demo`: two example strategies on a synthetic market, without a network, to the written report."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from backtest_kit.app import default
from backtest_kit.cli.failures import reported
from backtest_kit.cli.outcome import finish
from backtest_kit.cli.play import play
from backtest_kit.core.values import MINUTE
from backtest_kit.exchanges import DemoExchange
from backtest_kit.registry import ExchangeSchema, FrameSchema, parse_time

EXAMPLES = ("trend_follower", "mean_reversion")
STRATEGIES = ("trend-follower", "mean-reversion")
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
START = parse_time("2024-01-01")
_DAY = 1440 * MINUTE


WHAT_NEXT = """
The market is synthetic and the strategies are examples: the numbers say nothing about a real market.
What next: write a strategy of your own (the README has one of twenty lines), and run it:
    backtest-kit backtest my_strategy.py"""


def demo(
    seed: Annotated[int, typer.Option(help="Which synthetic market.", min=0, metavar="NUMBER")] = 0,
    days: Annotated[
        int, typer.Option(help="How many days from 2024-01-01 on.", min=1, max=3650, metavar="NUMBER")
    ] = 90,
    symbol: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Repeatable; any name will do.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print data only, as JSON.")] = False,
    html: Annotated[bool, typer.Option("--html", help="Write the report as a page for a browser, too.")] = False,
    dump_folder: Annotated[
        Path | None, typer.Option("--dump-folder", "--out", metavar="FOLDER", help="Default: ./dump")
    ] = None,
) -> None:
    """Backtest two example strategies, offline.

    Writes the report and the trades. The same seed gives the same result. The market is made up: what is earned or lost
    in it says nothing about a real one.
    """
    with reported():
        for name in EXAMPLES:
            import_module(f"backtest_kit.examples.{name}")
        default.exchanges.add(ExchangeSchema("demo", DemoExchange(seed)))
        frame = default.frames.add(FrameSchema.of(f"{days}-days", start=START, end=START + days * _DAY))
        record = default.backtest(symbol or SYMBOLS, STRATEGIES, "demo", frame.name)
        played = play(record, quiet=as_json)
        finish(played, dump_folder or default.settings.dump_folder, as_json=as_json, html=html, after=WHAT_NEXT)
