"""`backtest-kit backtest FILE`: runs the strategies that a Python file registers, on its exchange and its frame."""

from __future__ import annotations

import contextlib
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from backtest_kit.app import default
from backtest_kit.cli import choices
from backtest_kit.cli.failures import reported
from backtest_kit.cli.outcome import finish
from backtest_kit.cli.play import play
from backtest_kit.cli.user_code import load

Names = list[str] | None
Name = str | None


def backtest(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Registers strategies, an exchange and a frame.")],
    symbol: Annotated[
        Names, typer.Option(metavar="NAME", help="Repeatable. Default: all of the exchange, if few.")
    ] = None,
    strategy: Annotated[Names, typer.Option(metavar="NAME", help="Repeatable. Default: the only one.")] = None,
    exchange: Annotated[Name, typer.Option(metavar="NAME", help="Default: the only one.")] = None,
    frame: Annotated[Name, typer.Option(metavar="NAME", help="Default: the only one.")] = None,
    start: Annotated[Name, typer.Option("--from", metavar="TIME", help="First tick, such as 2024-01-01.")] = None,
    stop: Annotated[Name, typer.Option("--to", metavar="TIME", help="Last tick, such as 2024-02-01T12:00.")] = None,
    param: Annotated[Names, typer.Option(metavar="NAME=VALUE", help="A strategy's parameter. Repeatable.")] = None,
    setting: Annotated[Names, typer.Option("--set", metavar="NAME=VALUE", help="A setting. Repeatable.")] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither read nor keep candles on disk.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print data only, as JSON.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log what happens; show tracebacks.")] = False,
    html: Annotated[bool, typer.Option("--html", help="Write the report as a page for a browser, too.")] = False,
    dump_folder: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Default: ./dump")] = None,
    no_dump: Annotated[bool, typer.Option("--no-dump", help="Write neither report nor trades.")] = False,
) -> None:
    """Backtest the strategies of a Python file.

    A `.env` in the folder of FILE counts before that of the working folder.
    """
    if html and no_dump:
        raise typer.BadParameter("--html writes a file, and --no-dump says to write none")
    with reported(verbose):
        logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(message)s")
        with _data_alone() if as_json else contextlib.nullcontext():
            default.load_settings(file.resolve().parent)
            load(file)
            strategies = choices.strategies(strategy or ())
            source = choices.chosen(default.exchanges, exchange)
            record = default.backtest(
                choices.symbols(symbol or (), source),
                [each.name for each in strategies],
                source.name,
                choices.frame(frame, start, stop).name,
                choices.params(param or (), strategies),
                **choices.settings(setting or (), no_cache),
            )
            played = play(record, quiet=as_json, verbose=verbose)
        folder = None if no_dump else dump_folder or record.plan.settings.dump_folder
        finish(played, folder, as_json=as_json, html=html)


def _data_alone() -> contextlib.AbstractContextManager[object]:
    """What the user's code prints goes to standard error while it runs."""
    return contextlib.redirect_stdout(sys.stderr)
