"""The command line `backtest-kit`: one file a command, and beside them what commands share.

Exit codes: 0 done, 1 failed, 2 wrong use, 3 unsafe to start, 130 interrupted. Data goes to standard output, everything
else to standard error. Nothing is imported here that only one command needs.
"""

from __future__ import annotations

from typing import Annotated

import typer

import backtest_kit
from backtest_kit.cli.backtest import backtest
from backtest_kit.cli.control import close, kill, pause, resume, stop
from backtest_kit.cli.demo import demo
from backtest_kit.cli.live import live
from backtest_kit.cli.paper import paper
from backtest_kit.cli.parity import parity
from backtest_kit.cli.status import status

app = typer.Typer(
    name="backtest-kit",
    help="Write a trading strategy once; backtest it, and trade it on paper and live.",
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
    """Write a trading strategy once; backtest it, and trade it on paper and live."""


app.command("demo")(demo)
app.command("backtest")(backtest)
app.command("paper")(paper)
app.command("live")(live)
app.command("status")(status)
app.command("stop")(stop)
app.command("pause")(pause)
app.command("resume")(resume)
app.command("close")(close)
app.command("kill")(kill)
app.command("parity")(parity)


def main() -> None:
    """What the installed command calls."""
    app(prog_name="backtest-kit")
