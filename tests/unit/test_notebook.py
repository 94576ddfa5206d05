"""A run in a notebook: whole, small, escaped, and with nothing in it that runs or asks anybody."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from html.parser import HTMLParser

import numpy as np
import pytest
from msgspec.structs import replace

from backtest_kit.reports.equity import EquityCurve
from backtest_kit.reports.notebook import LAST_TRADES, rows_html, run_html
from backtest_kit.reports.run import RunData
from tests.unit.test_diagnosis import HOUR, START, run_of, trade, trades_of

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    '"><script>alert(1)</script>',
    "=cmd|x",
    "[x](javascript:alert(1))",
    "a\n\x1bb",
)


class Page(HTMLParser):
    """What a browser would make of a fragment: its elements, its text, and the rows of its tables."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.rows: list[list[str]] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == [], "elements that are never closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        if tag != "br":
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self._open and self._open[-1] in ("td", "th"):
            self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def with_equity(run: RunData, values: list[float]) -> RunData:
    equity = np.array(values)
    times = START + np.arange(len(values)) * HOUR
    run.__dict__["curve"] = EquityCurve(times, equity, equity * 0, equity * 0, equity)
    return run


def assert_harmless(page: Page) -> None:
    allowed = "div strong span br svg title g path polyline ul li table thead tbody tr th td"
    assert set(page.tags) <= set(allowed.split())
    assert {name for name, _ in page.attributes} <= {
        *("style", "viewbox", "width", "height", "role", "aria-label", "fill", "stroke", "d", "stroke-dasharray"),
        *("opacity", "points", "stroke-width", "stroke-linejoin", "scope", "cellpadding"),
    }
    assert not any("url(" in value or "http" in value for _, value in page.attributes)


def test_a_run_shows_title_key_figures_findings_and_its_trades_the_latest_first() -> None:
    run = run_of(trades_of([2.0, -1.0, 0.5]), errors=2)
    page = Page(run_html(run))
    assert page.text.startswith("Backtest Trades 3 Win rate 66.7 % Profit, sum over trades +1.50 % Profit factor 2.50")
    assert "Account 11,000.00 Return +10.00 % Max drawdown 8.00 % Sharpe ratio (daily) 1.50" in page.text
    assert "serious:  3 closed trades: fewer than 10" in page.text
    assert "warning:  User code failed 2 times" in page.text
    assert "Closed trades, all 3:" in page.text
    assert page.rows[1] == [
        *("2024-01-01 03:00", "BTCUSDT", "sma_cross", "long", "100.000", "100.500", "+0.50", "+0.50", "take profit"),
    ]
    assert [row[6] for row in page.rows[2:]] == ["-1.00", "+2.00"]
    assert_harmless(page)


def test_a_run_without_trades_says_so_and_shows_no_empty_table() -> None:
    page = Page(run_html(with_equity(run_of([]), [10_000.0])))
    assert "No trades were closed. Of 1000 decisions" in page.text
    assert "Win rate N/A" in page.text
    assert not {"table", "svg"} & set(page.tags)


def test_a_figure_that_cannot_be_said_is_not_available() -> None:
    page = Page(run_html(run_of(account={"sharpe_ratio": None, "max_drawdown": math.nan})))
    assert "Max drawdown N/A Sharpe ratio (daily) N/A" in page.text


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_the_user_are_text_and_nothing_else(name: str) -> None:
    trades = [trade(1.0 + n, n, symbol=name, strategy_name=name, note=name, close_reason=name) for n in range(3)]
    run = run_of([*trades, trade(-1.5, 9, symbol="B")])
    run.title = name
    page = Page(run_html(run))
    assert_harmless(page)
    assert page.texts[0] == " ".join(name.replace("\x1b", "").split())
    assert page.rows[-1][2].startswith(page.texts[0][:19])


def test_ten_thousand_trades_with_the_longest_names_stay_below_twenty_kilobytes() -> None:
    pnls = [2.0, -1.0] * 5000
    run = run_of(trades_of(pnls, symbol="<" * 300, strategy_name='"' * 300), errors=1)
    run.title = "<" * 300
    html = run_html(run)
    assert len(html.encode()) < 20_000
    page = Page(html)
    assert f"the last {LAST_TRADES} of 10000" in page.text
    assert len(page.rows) == LAST_TRADES + 1
    assert "Trades 10000" in page.text


def test_the_picture_of_the_equity_runs_from_left_to_right_and_higher_is_up() -> None:
    page = Page(run_html(with_equity(run_of(), [100.0, 150.0, math.nan, 50.0])))
    points = dict(page.attributes)["points"]
    assert points == "2.0,32.0 240.0,2.0 478.0,62.0"
    assert dict(page.attributes)["d"] == "M0 32.0H480"
    assert "Equity from 100.00 to 50.00, lowest 50.00, highest 150.00" in page.text


def test_the_picture_names_the_extremes_of_all_steps_though_it_draws_a_few() -> None:
    values = [100.0] * 10_000
    values[5001] = 3.0
    page = Page(run_html(with_equity(run_of(), values)))
    assert "lowest 3.00" in page.text
    assert len(dict(page.attributes)["points"].split()) == 120


def test_an_account_that_never_moved_is_a_line_half_way_up() -> None:
    page = Page(run_html(with_equity(run_of(), [100.0, 100.0])))
    assert dict(page.attributes)["points"] == "2.0,32.0 478.0,32.0"


def test_rows_become_a_table_with_numbers_on_the_right_and_missing_values_named() -> None:
    moment = datetime(2024, 1, 1, tzinfo=UTC)
    html = rows_html(["a", "<b>"], [(1, "<i>x</i>"), (0.1 + 0.2, None), (math.nan, True), ("=cmd|x", moment)])
    page = Page(html)
    assert page.rows == [
        ["a", "<b>"],
        ["1", "<i>x</i>"],
        ["0.3", "N/A"],
        ["N/A", "True"],
        ["=cmd|x", "2024-01-01 00:00:00+00:00"],
    ]
    assert html.count("text-align:right") == 2
    assert_harmless(page)


def test_rows_beyond_the_most_are_counted() -> None:
    page = Page(rows_html(["n"], ([n] for n in range(1000)), max_rows=3))
    assert [row[0] for row in page.rows] == ["n", "0", "1", "2"]
    assert "and 997 more rows" in page.text
    assert "more" not in Page(rows_html(["n"], [[1], [2]], max_rows=2)).text


def test_an_account_that_was_lost_is_shown_as_it_is() -> None:
    run = run_of(trades_of([-150.0] * 12), account={"final_balance": 0.0, "total_return": -100.0})
    run.__dict__["curve"] = replace(run.curve, equity=np.array([100.0, 0.0, 0.0]))
    page = Page(run_html(run))
    assert "serious:  The account was lost" in page.text
    assert "Account 0.00 Return -100.00 %" in page.text
