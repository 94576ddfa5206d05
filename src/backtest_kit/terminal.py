"""A progress bar on a terminal; nothing anywhere else."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from backtest_kit.core.values import Source
from backtest_kit.engine.listeners import Listeners, Subscription
from backtest_kit.engine.notices import Progress

NO_BAR = "BACKTEST_KIT_NO_PROGRESS"


@contextlib.contextmanager
def progress_bar(listeners: Listeners, source: Source) -> Iterator[None]:
    """Shows the progress of one run on standard error while it goes on, if that is a terminal."""
    if not sys.stderr.isatty() or os.environ.get(NO_BAR):
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Bar(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)
    task = bar.add_task(str(source), total=None)

    def show(event: Progress) -> None:
        bar.start()
        bar.update(task, completed=event.done, total=event.total)

    mine = Subscription([Progress], show, where=lambda event: event.source == source)
    cancel = listeners.add(mine)
    try:
        yield
    finally:
        cancel()
        bar.stop()
