"""`backtest-kit parity FILE`: what was traded live or on paper, beside a backtest of the same time."""

from __future__ import annotations

import contextlib
import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from backtest_kit.app import default
from backtest_kit.cli import choices
from backtest_kit.cli.failures import reported
from backtest_kit.cli.status import MODES
from backtest_kit.cli.user_code import load
from backtest_kit.core.values import Mode
from backtest_kit.errors import UnknownNameError
from backtest_kit.parity import parity as compared
from backtest_kit.reports.kinds.parity import METRICS, ParityStatistics
from backtest_kit.reports.tables import one_line

Name = str | None
Names = list[str] | None


def parity(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Registers the strategies that were traded.")],
    symbol: Annotated[Name, typer.Option(metavar="NAME", help="Default: all that was traded.")] = None,
    strategy: Annotated[Name, typer.Option(metavar="NAME", help="Default: all that was traded.")] = None,
    exchange: Annotated[Name, typer.Option(metavar="NAME", help="Default: the only one.")] = None,
    mode: Annotated[Name, typer.Option(metavar="MODE", help="live or paper. Default: live, else paper.")] = None,
    start: Annotated[Name, typer.Option("--from", metavar="TIME", help="Where the comparison begins.")] = None,
    stop: Annotated[Name, typer.Option("--to", metavar="TIME", help="Where the comparison ends.")] = None,
    param: Annotated[Names, typer.Option(metavar="NAME=VALUE", help="Default: as recorded. Repeatable.")] = None,
    setting: Annotated[Names, typer.Option("--set", metavar="NAME=VALUE", help="Default: as recorded.")] = None,
    data: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Default: the setting data_folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print data only, as JSON.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log what happens; show tracebacks.")] = False,
) -> None:
    """Decide again in a backtest what was decided live or on paper, and list what differs, by cause.

    Causes: data (other candles), timing (not asked in time), code, fill (other prices), fee. Nothing is traded or
    written. The exit code is 0 also where something differs.
    """
    with reported(verbose):
        logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(message)s")
        with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
            default.load_settings(file.resolve().parent)
            load(file)
            if data is not None:
                default.set_config(data_folder=str(data))
            strategies = default.strategies.list() if strategy is None else [default.strategies.get(strategy)]
            params = choices.params(param, strategies) if param else None
            terms: dict[str, Any] = choices.settings(setting or ())
            found = compared(default, symbol, strategy, exchange, _mode(mode), start, stop, params, **terms)
        if as_json:
            sys.stdout.write(msgspec.json.format(msgspec.json.encode(_data(found)), indent=2).decode() + "\n")
        else:
            sys.stdout.write(found.to_markdown(max_rows=default.settings.max_report_rows))


def _mode(name: str | None) -> Mode | None:
    for each in MODES:
        if each == name:
            return each
    if name is not None:
        raise UnknownNameError("mode of live trading", name, MODES)
    return None


def _data(found: ParityStatistics) -> dict[str, Any]:
    """Everything that was found as data: times are epoch ms, money is quote currency."""
    return {
        "mode": found.mode,
        "start": found.start,
        "stop": found.stop,
        **{each.key: getattr(found, each.key) for each in METRICS},
        "causes": {each.cause: {"number": each.number, "money": each.money} for each in found.effects},
        "differences": list(found.rows),
        "notes": [one_line(each, 200) for each in found.notes],
    }
