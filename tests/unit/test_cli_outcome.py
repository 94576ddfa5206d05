"""What a command prints about a run: the table with its course of the account, the account, what was noticed."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from backtest_kit.cli.outcome import print_json, show
from backtest_kit.cli.play import Played
from backtest_kit.reports.equity import EquityCurve
from backtest_kit.reports.facts import InvalidSignal
from backtest_kit.reports.run import RunData
from backtest_kit.reports.trades import Trade
from tests.unit.test_diagnosis import HOUR, START, run_of, trade, trades_of


class Screen(io.StringIO):
    """A terminal, or a file, that keeps what is printed; `encoding` is what it can show."""

    encoding = "utf-8"

    def __init__(self, encoding: str, *, terminal: bool) -> None:
        super().__init__()
        self.encoding, self._terminal = encoding, terminal

    def isatty(self) -> bool:
        return self._terminal


class Recorded:
    """A record of one strategy on each symbol, with results made beforehand."""

    def __init__(self, results: dict[str, RunData], whole: RunData, strategy_name: str) -> None:
        self._results, self._whole = results, whole
        self.plan = SimpleNamespace(strategy_names=(strategy_name,), symbols=tuple(results))
        self.run = SimpleNamespace(outcome="finished")

    def result(self, symbol: str | None = None, strategy_name: str | None = None) -> RunData:
        return self._whole if symbol is None else self._results[symbol]


def played(results: dict[str, RunData], whole: RunData, strategy_name: str = "up", **fields: Any) -> Played:
    record: Any = Recorded(results, whole, strategy_name)
    return Played(**{"record": record, "interrupted_at": None, "failures": 0} | fields)


def rising(trades: Sequence[Trade] | None = None, **changes: Any) -> RunData:
    run = run_of(trades, **changes)
    equity = np.linspace(10_000.0, 11_000.0, 24)
    run.__dict__["curve"] = EquityCurve(START + np.arange(24) * HOUR, equity, equity * 0, equity * 0, equity)
    return run


def printed(
    what: Played,
    monkeypatch: pytest.MonkeyPatch,
    *,
    terminal: bool = False,
    encoding: str = "utf-8",
    width: int = 140,
) -> str:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLORTERM", "JPY_PARENT_PID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(width))
    screen = Screen(encoding, terminal=terminal)
    monkeypatch.setattr(sys, "stdout", screen)
    show(what)
    return screen.getvalue()


def rows_of(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]


def test_each_row_has_its_own_figures_and_its_own_course_of_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    falling = run_of(trades_of([-1.0] * 40), account={"total_return": -0.4})
    text = printed(played({"A": rising(), "B": falling}, rising()), monkeypatch)
    assert rows_of(text) == [
        ["up", "A", "40", "50.00 %", "+20.0000 %", "1.00 %", "2.0000", "0.3291", "▁▂▂▃▄▄▅▅▆▇▇█"],
        ["up", "B", "40", "0.00 %", "-40.0000 %", "33.10 %", "N/A", "N/A", "█▇▇▆▅▅▄▄▃▂▂▁"],
        ["all", "", "40", "50.00 %", "+20.0000 %", "1.00 %", "2.0000", "0.3291", "▁▂▂▃▄▄▅▅▆▇▇█"],
    ]


def test_a_file_gets_no_colours_and_a_terminal_gets_those_of_gain_and_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    falling = run_of(trades_of([-1.0] * 40), account={"total_return": -0.4})
    what = played({"A": rising(), "B": falling}, rising())
    assert "\x1b" not in printed(what, monkeypatch)
    shown = printed(what, monkeypatch, terminal=True)
    assert "\x1b[32m  +20.0000 %\x1b[0m" in shown
    assert "\x1b[31m  -40.0000 %\x1b[0m" in shown
    assert "\x1b[32m▁▂▂▃▄▄▅▅▆▇▇█\x1b[0m" in shown
    assert "\x1b[31m█▇▇▆▅▅▄▄▃▂▂▁\x1b[0m" in shown


def test_a_terminal_that_cannot_print_blocks_gets_plain_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(played({"A": rising()}, rising()), monkeypatch, encoding="ascii")
    assert text.isascii()
    assert "| _..:--==+**# |" in text


def test_a_narrow_terminal_shows_the_figures_without_the_course(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(played({"A": rising()}, rising()), monkeypatch, terminal=True, width=100)
    assert "+20.0000 %" in text
    assert "Equity" not in text
    assert "█" not in text


def test_below_the_table_stands_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    line = "Account: 10,000.00 became 11,000.00 (+10.00 %), max drawdown 8.00 %, Sharpe of daily returns, per year: "
    assert line + "1.50\n" in printed(played({"A": rising()}, rising()), monkeypatch)
    unknown = rising(account={"sharpe_ratio": None})
    assert line + "N/A\n" in printed(played({"A": unknown}, unknown), monkeypatch)


def test_what_was_noticed_stands_below_with_a_mark_the_most_serious_first(monkeypatch: pytest.MonkeyPatch) -> None:
    run = rising(trades_of([2.0, -1.0] * 4), errors=1, frame_end_closes=1)
    lines = printed(played({"A": run}, run), monkeypatch).splitlines()
    marked = [line.rstrip() for line in lines if line.startswith(("!", "-"))]
    assert marked[0] == "!! 8 closed trades: fewer than 10 say nothing about a strategy."
    assert marked[1].startswith("!  User code failed once without ending the run")
    assert marked[2].startswith("-  1 of 8 trades (12 %) were closed only because the frame ended")
    assert len(marked) == 3


def test_a_long_finding_goes_on_below_its_own_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    run = rising(account={"max_exposure": 3.0})
    lines = printed(played({"A": run}, run), monkeypatch).splitlines()
    (first,) = [n for n, line in enumerate(lines) if line.startswith("- Never more than 3 %")]
    assert lines[first + 1].startswith("  ")


def test_nothing_is_said_about_a_run_of_which_nothing_was_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = printed(played({"A": rising()}, rising()), monkeypatch).splitlines()
    assert lines[-1] == "86400 candles of one minute in 0.50 s"


def test_a_count_is_told_by_the_finding_about_it_or_else_by_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = rising(risk_rejections=3), rising(risk_rejections=60)
    assert "signals refused by risk rules: 3\n" in printed(played({"A": few}, few), monkeypatch)
    text = printed(played({"A": many}, many), monkeypatch)
    assert "Risk rules refused 60 of 100 signals" in text
    assert "signals refused by risk rules" not in text


def test_text_of_the_user_brings_neither_markup_nor_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "[red]\x1b[31mup\n<img src=x onerror=alert(1)>"
    reason = InvalidSignal(START, "\x1b]0;title\x07stop")
    run = rising(
        [trade(2.0 if n % 2 else -1.0, n, symbol=name) for n in range(40)],
        invalid_signals=(reason,),
        invalid_signal_count=1,
    )
    text = printed(played({name: run}, run, name, failures=1), monkeypatch)
    assert not {"\x1b", "\x07"} & set(text)
    assert "".join(row[0] for row in rows_of(text)).startswith("[red][31mup<img")
    assert "invalid signals: 1; the first at 2024-01-01T00:00Z: ]0;titlestop\n" in text
    assert "errors of user code that did not end the run: 1" in text


def test_json_is_data_only_and_each_book_carries_account_significance_and_findings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = Screen("utf-8", terminal=True)
    monkeypatch.setattr(sys, "stdout", screen)
    run = rising(errors=1)
    print_json(played({"A": run}, run), {})
    data = json.loads(screen.getvalue())
    (book,) = cast("list[dict[str, Any]]", data["books"])
    assert list(book) == ["strategy_name", "symbol", "statistics", "account", "significance", "findings"]
    assert book["account"]["final_balance"] == 11_000.0
    assert book["significance"]["avg_pnl"] == {"low": 0.1, "high": 0.9, "level": 95.0}
    assert [(each["rule"], each["severity"], each["value"]) for each in book["findings"]] == [("errors", "warning", 1)]
