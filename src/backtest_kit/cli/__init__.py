"""The command line `backtest-kit`: one file a command, and beside them what commands share.

Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted. Data goes to standard output, everything else to standard
error. Nothing is imported here that only one command needs.
"""

from __future__ import annotations

from typing import Annotated

import typer

import backtest_kit
from backtest_kit.cli.backtest import backtest
from backtest_kit.cli.demo import demo

app = typer.Typer(
    name="backtest-kit",
    help="Write a trading strategy once; backtest it here.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"backtest-kit {backtest_kit.__version__}")
        raise typer.Exit


@app.callback()
def about(
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version and end.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Write a trading strategy once; backtest it here."""


app.command("demo")(demo)
app.command("backtest")(backtest)


def main() -> None:
    """What the installed command calls."""
    app(prog_name="backtest-kit")
