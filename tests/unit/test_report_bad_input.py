"""Runs that are hard to report: no trade, one, all alike, a lost account, years without any, names that mean harm."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from msgspec.structs import replace

import backtest_kit as bk
from backtest_kit.app import default
from backtest_kit.cli import outcome
from backtest_kit.cli.play import Played
from backtest_kit.core.values import MINUTE
from backtest_kit.reports.html import page as html_page
from backtest_kit.reports.trades import Trade
from tests.worlds import SYMBOL, approx, at, flat, fresh_app, given, run, walk

HOSTILE = "<img src=x onerror=alert(1)>"
NOTES = (
    "=cmd|x",
    HOSTILE,
    "</script><script>alert(1)</script><!--",
    "\u202e\u2066right to left\u2069 \x00\x1b[31m\x07\ud800\u2028end",
    "long " * 2000,
    "| a \\| b `c` [d](javascript:alert(1)) ~~e~~",
    "$\\frac{x}{",
    "+1\r\n-2\t@3",
)
REPORTERS = (
    bk.Schedule,
    bk.Heat,
    bk.Partial,
    bk.Breakeven,
    bk.HighestProfit,
    bk.MaxDrawdown,
    bk.Risk,
    bk.Performance,
    bk.Strategy,
    bk.Orders,
    bk.Walker,
)
PICTURES = ("overview", "candles", "equity", "months", "trades", "heat")
DAY = 1440 * MINUTE


@pytest.fixture(autouse=True)
def world(tmp_path: Path) -> Iterator[None]:
    with fresh_app(tmp_path):
        yield


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its text outside of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.scripts: list[str] = []
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self._inside = tag == "script"

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.scripts.append(data)


def sample(percents: Sequence[float], **fields: Any) -> list[Trade]:
    """A trade an hour that made so many percent of 100; `fields` are what differs in each."""
    return [
        Trade(
            **{
                "symbol": SYMBOL,
                "strategy_name": "s",
                "position": "long",
                "opened_at": at(60 * n),
                "closed_at": at(60 * n + 30),
                "price_open": 100.0,
                "price_close": 100.0 + percent,
                "cost": 100.0,
                "pnl_percent": percent,
                "pnl_cost": percent,
                "close_reason": "closed",
                "signal_id": f"s-{n}",
                **fields,
            }
        )
        for n, percent in enumerate(percents)
    ]


def of_trades(trades: Sequence[Trade], stop: int | None = None, **options: Any) -> bk.BacktestResult:
    """A result of these trades, with the facts of a run that traded nothing."""
    given(flat(100), frame=(10, 50))
    bk.add_strategy("s", lambda symbol, when, price: None)
    run()
    facts = replace(bk.Backtest.get_data().facts, start=at(0), stop=stop or at(60 * 24 * 30), ended_at=None)
    return bk.BacktestResult("A backtest", trades, facts, **options)


def readable(data: bk.BacktestResult, folder: Path) -> str:
    """Asks a result for everything it has; returns its page. No figure may be NaN or infinite."""
    for figures in (data.statistics, data.account, data.significance):
        for name, value in msgspec.to_builtins(figures).items():
            assert not isinstance(value, float) or math.isfinite(value), name
            assert value is not None or name in figures.missing, name
    report = data.to_markdown()
    assert not re.search(r"\b(nan|inf|None)\b", report)
    assert len(data.to_csv().splitlines()) >= len(data.trades) + 1
    assert json.loads(msgspec.json.encode(data.trades)) is not None
    for kind in PICTURES:
        data.plot(folder / f"{kind}.svg", kind=kind)
        ElementTree.parse(folder / f"{kind}.svg")
    assert len(data._repr_html_()) < 20_000
    assert repr(data).startswith("BacktestResult(")
    assert all("nan" not in finding.text.lower() for finding in data.findings)
    page = data.to_html()
    Elements(page)
    assert not re.search(r">[+−-]?(nan|inf)\b", page)
    return page


# ---- samples ---------------------------------------------------------------------------------------------------------

SAMPLES: dict[str, list[Trade]] = {
    "none": [],
    "one win": sample([1.5]),
    "one loss": sample([-1.5]),
    "one that made nothing": sample([0.0]),
    "all wins": sample([1.0, 2.0, 0.5] * 8),
    "all losses": sample([-1.0, -2.0, -0.5] * 8),
    "all the same": sample([1.0] * 24),
    "nothing won or lost": sample([0.0] * 24),
    "closed together": sample([1.0, -1.0, 2.0] * 8, opened_at=at(0), closed_at=at(60)),
    "opened and closed at once": sample([1.0, -1.0, 2.0] * 8, opened_at=at(60), closed_at=at(60)),
    "one id for all": sample([1.0, -1.0, 2.0] * 8, signal_id="s"),
    "no ids": sample([1.0, -1.0, 2.0] * 8, signal_id=""),
    "a lost trade of leverage": sample([1.0] * 12 + [-250.0] + [3.0] * 12, leverage=20.0),
    "a lost account": sample([1.0] * 12 + [-100.0] + [3.0] * 12, cost=20_000.0, pnl_cost=-20_000.0),
    "tiny": sample([1e-9, -1e-9] * 12, cost=1e-6, pnl_cost=1e-15),
    "huge": sample([1e6, -99.0] * 12, cost=1e12, pnl_cost=1e15),
    "gaps of years": [
        replace(each, opened_at=at(0) + n * 700 * DAY, closed_at=at(5) + n * 700 * DAY)
        for n, each in enumerate(sample([1.0, -2.0, 3.0, 0.5]))
    ],
}


@pytest.mark.parametrize("name", SAMPLES)
def test_every_face_of_a_hard_sample_is_readable(name: str, tmp_path: Path) -> None:
    trades = SAMPLES[name]
    stop = max((trade.closed_at for trade in trades), default=at(0)) + DAY
    page = readable(of_trades(trades, stop), tmp_path)
    if not trades:
        assert "No trades were closed." in page


def test_without_a_trade_nothing_is_claimed() -> None:
    data = of_trades([])
    assert (data.total_trades, data.win_rate, data.sharpe_ratio, data.profit_factor) == (0, None, None, None)
    assert (data.account.total_return, data.account.max_drawdown) == (0.0, 0.0)
    assert "No trades were closed." in data.to_markdown()


def test_a_lost_account_stays_lost_and_is_called_so() -> None:
    data = of_trades(SAMPLES["a lost account"])
    assert data.account.final_balance == 0.0
    assert (data.account.total_return, data.account.max_drawdown) == (-100.0, 100.0)
    assert min(point.equity for point in data.equity) == 0.0
    assert data.statistics.max_drawdown == 100.0
    assert any(finding.severity == "serious" for finding in data.findings)


def test_trades_that_closed_together_are_all_counted_and_their_order_does_not_change_the_sum() -> None:
    trades = SAMPLES["closed together"]
    one, other = of_trades(trades), bk.BacktestResult("x", trades[::-1], bk.Backtest.get_data().facts)
    assert one.total_trades == other.total_trades == 24
    assert one.total_pnl == approx(other.total_pnl) == approx(16.0)
    assert one.account.final_balance == approx(10_016.0)


def test_orders_and_moments_of_positions_with_the_same_id_stay_apart() -> None:
    given({"A": walk(400, 1), "B": walk(400, 2)}, frame=(10, 390))

    def get_signal(symbol: str, when: int, price: float) -> bk.Signal:
        return bk.Signal.bracket("long", price, take_profit_percent=1, stop_loss_percent=1, id=str(when))

    for name in ("one", "other"):
        bk.add_strategy(name, get_signal)
    run(["A", "B"], strategy_name=["one", "other"])
    data = bk.Backtest.get_data()
    assert len({trade.signal_id for trade in data.trades}) <= len(data.trades) / 2
    assert bk.Orders.get_data().total == 2 * len(data.trades) > 20
    assert bk.HighestProfit.get_data().total == bk.MaxDrawdown.get_data().total == len(data.trades)
    passed = [each for trade in data.trades for each in trade.milestones]
    assert bk.Partial.get_data().total == sum(each.kind != "breakeven" for each in passed)
    assert bk.Breakeven.get_data().total == sum(each.kind == "breakeven" for each in passed)


# ---- names and notes that mean harm ----------------------------------------------------------------------------------


def hostile_run() -> bk.BacktestResult:
    """Every name and every note is an attack; two strategies, so that there is something to refuse and to compare."""
    given({HOSTILE: walk(600, 1), "=B|'\u202e\u0645\ud800": walk(600, 2)}, frame=(10, 590))
    bk.add_risk(HOSTILE, validations=[bk.at_most_open(1)])
    number = iter(range(10**6))

    def get_signal(symbol: str, when: int, price: float) -> bk.Signal:
        note = NOTES[next(number) % len(NOTES)]
        return bk.Signal.bracket("long", price, take_profit_percent=1, stop_loss_percent=1, note=note)

    for name in (HOSTILE, "`|=x"):
        bk.add_strategy(name, get_signal, risk_name=HOSTILE)
    run([HOSTILE, "=B|'\u202e\u0645\ud800"], strategy_name=[HOSTILE, "`|=x"])
    data = bk.Backtest.get_data()
    assert len(data.trades) > len(NOTES)
    return data


def test_markdown_has_neither_elements_nor_broken_tables_nor_anything_invisible() -> None:
    hostile_run()
    for report in (bk.Backtest.get_report(), *(reporter.get_report() for reporter in REPORTERS)):
        assert "<" not in report
        assert not re.search(r"(?<!\\)\]\(", report)
        assert all(character.isprintable() or character == "\n" for character in report)
        tables = [line for line in report.splitlines() if line.startswith("|")]
        for head, rule in pairwise(tables):
            if set(rule) <= set("| -"):
                assert len(re.findall(r"(?<!\\)\|", head)) == len(re.findall(r"(?<!\\)\|", rule))
        widths = [len(re.findall(r"(?<!\\)\|", line)) for line in tables]
        assert all(width >= 3 for width in widths)


def test_the_page_has_no_element_and_no_script_that_is_not_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "library.js"
    library.write_text("const LightweightCharts = {};\n")
    monkeypatch.setattr(html_page, "LIBRARY", library)
    page = Elements(hostile_run().to_html())
    with fresh_app():
        own = Elements(of_trades(sample([1.0])).to_html())
    assert "img" not in page.tags
    assert set(page.tags) - {"ul", "li"} <= set(own.tags)
    assert not {name for name in page.attributes if name.startswith("on")}
    assert page.scripts[1:] == own.scripts[1:]
    assert set(json.loads(page.scripts[0])["notes"]) >= {"=cmd|x", HOSTILE}
    assert "<" not in page.scripts[0]


def test_a_notebook_gets_no_element_of_theirs() -> None:
    data = hostile_run()
    for text in (data._repr_html_(), data.trades._repr_html_(), data.events._repr_html_()):
        found = Elements(text)
        assert not {"img", "script", "iframe"} & set(found.tags)
        assert not {name for name in found.attributes if name.startswith("on")}
        assert found.scripts == []


def test_no_cell_of_a_table_file_is_a_formula(tmp_path: Path) -> None:
    data = hostile_run()
    for rows in (data.trades, data.events):
        text = Path(rows.to_csv(tmp_path / "x.csv")).read_text("utf-8")
        cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
        suspicious = [cell for cell in cells if cell.lstrip()[:1] in tuple("=+-@")]
        assert all(re.fullmatch(r"-?[\d.]+(e[+-]?\d+)?", cell) for cell in suspicious)
        assert any(cell == "'=cmd|x" for cell in cells)
        assert not {"\x00", "\x1b", "\x07"} & set(text)
    assert "'=cmd|x" in bk.Backtest.dump().with_suffix(".csv").read_text("utf-8")


def test_json_lines_keep_every_text_but_half_characters(tmp_path: Path) -> None:
    data = hostile_run()
    lines = Path(data.trades.to_jsonl(tmp_path / "x.jsonl")).read_bytes().splitlines()
    back = [msgspec.json.decode(line, type=Trade) for line in lines]
    assert len(back) == len(data.trades)
    assert [each.note for each in back] == [trade.note.replace("\ud800", "?") for trade in data.trades]
    assert max(len(each.note) for each in back) == 10_000


def test_every_picture_is_well_formed_and_has_no_element_of_theirs(tmp_path: Path) -> None:
    data = hostile_run()
    for kind in PICTURES:
        for theme in ("light", "dark"):
            data.plot(tmp_path / "x.svg", kind=kind, theme=theme)
            tags = {each.tag.rpartition("}")[2] for each in ElementTree.parse(tmp_path / "x.svg").iter()}
            assert not {"img", "script", "foreignObject", "a"} & tags


def test_the_terminal_is_told_nothing_that_it_would_obey(capsys: pytest.CaptureFixture[str]) -> None:
    hostile_run()
    outcome.show(Played(default.records[-1], None, 0))
    told = capsys.readouterr().out
    assert "<img" in told
    assert all(character.isprintable() or character == "\n" for character in told)


def test_json_on_the_terminal_is_valid_whatever_the_names_are(capsys: pytest.CaptureFixture[str]) -> None:
    data = hostile_run()
    outcome.print_json(Played(default.records[-1], None, 0), {})
    told = json.loads(capsys.readouterr().out)
    assert [trade["closed_at"] for trade in told["trades"]] == [trade.closed_at for trade in data.trades]
    assert told["facts"]["symbols"] == [HOSTILE, "=B|'\u202e\u0645?"]
    assert {book["strategy_name"] for book in told["books"]} == {HOSTILE, "`|=x"}


def test_every_file_of_it_stays_in_the_dump_folder(tmp_path: Path) -> None:
    hostile_run()
    for reporter in (bk.Backtest, *REPORTERS):
        reporter.dump()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == len(REPORTERS) + 2
    assert all(re.fullmatch(r"[\w.~\-]+", path.name) for path in files)
