"""How a command fails: a message on standard error, a stable exit code, a traceback only where it was asked for."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Iterator

import typer

from backtest_kit.cli.user_code import StrategyFileError, places
from backtest_kit.errors import BacktestKitError, ConfigError

FAILED, WRONG_USE, INTERRUPTED = 1, 2, 130


@contextlib.contextmanager
def reported(verbose: bool = False) -> Iterator[None]:
    """Ends the command with a message and an exit code, whatever is raised inside.

    A ConfigError (names, options, settings, folders) is wrong use, every other error a failure.
    """
    try:
        yield
    except KeyboardInterrupt:
        say("interrupted")
        raise typer.Exit(INTERRUPTED) from None
    except Exception as error:
        if isinstance(error, typer.Exit | BrokenPipeError):  # a reader that has gone is typer's to handle
            raise
        if verbose:
            traceback.print_exception(error)
        say(f"error: {message_of(error)}")
        raise typer.Exit(WRONG_USE if isinstance(error, ConfigError) else FAILED) from None


def message_of(error: Exception) -> str:
    """The message of an error that was meant to be read, and the places in the user's code where it arose."""
    if not isinstance(error, BacktestKitError):
        return f"{type(error).__name__}: {error} (--verbose shows where)"
    told = isinstance(error, StrategyFileError)
    return "\n".join([str(error), *(() if told else places(error.__cause__))])


def say(text: str) -> None:
    """A line for the person in front of the terminal, who may have sent the data elsewhere."""
    print(text, file=sys.stderr)
