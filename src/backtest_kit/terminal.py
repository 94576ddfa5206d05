"""A progress bar on a terminal; nothing anywhere else."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from backtest_kit.engine.listeners import Listeners, Subscription
from backtest_kit.engine.notices import Progress
from backtest_kit.record import Record

NO_BAR = "BACKTEST_KIT_NO_PROGRESS"


@contextlib.contextmanager
def progress_bar(listeners: Listeners, record: Record) -> Iterator[None]:
    """Shows the progress of one run on standard error while it goes on, if that is a terminal."""
    if not sys.stderr.isatty() or os.environ.get(NO_BAR):
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task(str(record.source), total=None)

        def show(event: Progress) -> None:
            bar.update(task, completed=event.done, total=event.total)

        mine = Subscription([Progress], show, where=lambda event: event.source == record.source)
        cancel = listeners.add(mine)
        try:
            yield
        finally:
            cancel()
