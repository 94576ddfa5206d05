"""The HTML report: whole, honest about what is missing, small, and deaf to whatever is written in a name or a note."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest_kit.core.candles import Candles
from backtest_kit.core.values import Interval
from backtest_kit.reports.account import Account
from backtest_kit.reports.equity import EquityCurve, Prices
from backtest_kit.reports.html import page as html_module
from backtest_kit.reports.html.data import candle_data, coarser, kept_rows
from backtest_kit.reports.html.figures import ACCOUNT_FIGURES, EXPLANATIONS, SIGNIFICANCE_FIGURES
from backtest_kit.reports.html.page import html_report
from backtest_kit.reports.html.pictures import equity_picture
from backtest_kit.reports.html.tables import legible, signed
from backtest_kit.reports.months import monthly_returns
from backtest_kit.reports.run import RunData
from backtest_kit.reports.significance import Significance
from backtest_kit.reports.statistics import METRIC_NAMES
from tests.browser.browser import HOUR, MINUTE, START, drawn_run, facts_of, walk

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    '"><svg onload=alert(1)>',
    "[x](javascript:alert(1))",
    "=cmd|x",
    "line\nbreak\x00\x1b[31m\u2028\u202e\ud800",
    "<!--",
)


class Page(HTMLParser):
    """The elements of a page with their attributes, its visible text, and its scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.blocks: dict[str, list[str]] = {"script": [], "style": [], "data": []}
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._inside = "data" if dict(attrs).get("type") == "application/json" else tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.blocks[self._inside].append(data)
        else:
            self.text += data

    @property
    def policy(self) -> str:
        return next(a["content"] or "" for _, a in self.elements if a.get("http-equiv") == "Content-Security-Policy")

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads("".join(self.blocks["data"]))
        return found


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A chart library that does nothing, in place of the one from npm, which need not be there."""
    path = tmp_path / "library.js"
    path.write_text("const LightweightCharts = {};\n", "utf-8")
    monkeypatch.setattr(html_module, "LIBRARY", path)
    return path


def bare_run(**fields: object) -> RunData:
    """A run without trades or candles."""
    return RunData("Nothing", [], facts_of(("BTCUSDT",), START + 24 * HOUR), **fields)  # type: ignore[arg-type]


# ---- whole -----------------------------------------------------------------------------------------------------------


def test_the_page_loads_nothing_from_outside(library: Path) -> None:
    page = Page(html_report(drawn_run()))
    addresses = [a[name] for _, a in page.elements for name in ("src", "href", "srcset", "action", "data") if name in a]
    assert [each for each in addresses if not str(each).startswith("#")] == ["https://www.tradingview.com/"]
    assert not re.search(r"url\(|@import|@font-face", "".join(page.blocks["style"]))
    assert "default-src 'none'" in page.policy


def test_the_policy_states_the_hash_of_every_block_and_no_other(library: Path) -> None:
    page = Page(html_report(drawn_run(count=3, rows=50)))
    blocks = page.blocks["script"] + page.blocks["style"]
    hashes = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in blocks]
    assert len(page.blocks["script"]) == 5
    assert sorted(re.findall(r"'sha256-([^']+)'", page.policy)) == sorted(hashes)
    assert "unsafe" not in page.policy


def test_no_element_has_a_style_or_a_handler_that_the_policy_would_refuse(library: Path) -> None:
    page = Page(html_report(drawn_run(count=3, rows=50)))
    names = {name for _, attributes in page.elements for name in attributes}
    assert "style" not in names
    assert not {name for name in names if name.startswith("on")}


def test_every_table_has_a_caption_and_heads_with_a_scope(library: Path) -> None:
    text = html_report(drawn_run())
    assert text.count("<table") == text.count("<caption>") > 8
    assert not re.findall(r"<th(?![^>]*scope=)[ >]", text)
    assert text.startswith('<!doctype html>\n<html lang="en">')


def test_ids_are_unique_and_every_inner_link_has_its_place(library: Path) -> None:
    page = Page(html_report(drawn_run()))
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {str(a["href"])[1:] for _, a in page.elements if str(a.get("href", "")).startswith("#")} <= set(ids)


def test_every_figure_is_explained() -> None:
    assert sorted(EXPLANATIONS) == sorted(METRIC_NAMES)
    assert [each.key for each in ACCOUNT_FIGURES if each.key not in Account.__struct_fields__] == []
    assert {each.key for each in ACCOUNT_FIGURES} >= set(Account.__struct_fields__) - {"missing"}
    assert {each.key for each in SIGNIFICANCE_FIGURES} >= set(Significance.__struct_fields__) - {"missing"}


def test_a_figure_that_is_missing_says_why(library: Path) -> None:
    page = Page(html_report(drawn_run(symbols=("BTCUSDT",), count=3, rows=200)))
    assert "Mean profit of a trade over its scatter. Not available: needs 10 trades, has 3." in page.text
    assert "N/A" in page.text


def test_the_run_is_stated_with_its_settings_and_refusals(library: Path) -> None:
    text = Page(html_report(drawn_run(), version="1.2.3")).text
    for each in ("fee_percent", "2024-01-01T00:00Z", "1.42 s", "1.2.3", "price_stop_loss lies above price_open"):
        assert each in text
    assert "Invalid signals, the first 1 of 3" in text


def test_ambiguous_candles_state_the_band_of_the_result(library: Path) -> None:
    run = drawn_run(symbols=("BTCUSDT",), count=20)
    net = sum(each.pnl_cost for each in run.trades)
    other = net + 2 * 1000 * 2 / 100
    assert sum(each.ambiguous for each in run.trades) == 2
    text = Page(html_report(run)).text
    band = f"Net profit: {signed(net).text} if the stop came first (as reported), {signed(other).text} if"
    assert band in text


def test_all_trades_are_in_the_data_and_point_at_their_names(library: Path) -> None:
    run = drawn_run()
    data = Page(html_report(run)).data
    assert data["symbols"] == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
    assert [data["symbols"][row[0]] for row in data["trades"]] == [each.symbol for each in run.trades]
    assert [row[3] for row in data["trades"]] == [each.opened_at // 1000 for each in run.trades]
    assert [row[9] for row in data["trades"]] == [round(each.pnl_cost, 4) for each in run.trades]


# ---- little ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_trades_make_a_whole_page(count: int, library: Path) -> None:
    page = Page(html_report(drawn_run(symbols=("BTCUSDT",), count=count, rows=100)))
    assert ("No trades were closed." in page.text) == (count == 0)
    assert "The run" in page.text
    assert not re.search(r"\b(nan|inf)\b", page.text.lower())


def test_a_run_without_candles_says_so_and_shows_the_rest(library: Path) -> None:
    full = drawn_run(symbols=("BTCUSDT",))
    page = Page(html_report(RunData(full.title, full.trades, full.facts)))
    assert "The candles of this run were not kept" in page.text
    assert "Per trade, in percent of what it invested" in page.text


def test_nothing_at_all_is_still_a_page(library: Path) -> None:
    assert "No trades were closed." in Page(html_report(bare_run())).text


def test_without_the_chart_library_a_sentence_takes_the_place_of_the_candles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(html_module, "LIBRARY", tmp_path / "missing.js")
    text = html_report(drawn_run())
    assert "the chart library was not there" in Page(text).text
    assert "TradingView" not in text
    assert 'class="picture"' in text
    assert 'id="trade-rows"' in text


def test_a_script_that_would_end_its_own_element_is_refused(library: Path) -> None:
    library.write_text("const text = '</SCRIPT>';\n", "utf-8")
    with pytest.raises(ValueError, match=r"library\.js cannot stand inside a page"):
        html_report(bare_run())


def test_line_ends_of_windows_do_not_change_the_hashes(library: Path) -> None:
    before = Page(html_report(bare_run())).policy
    library.write_bytes(b"const LightweightCharts = {};\r\n")
    assert Page(html_report(bare_run())).policy == before


# ---- hostile ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hostile", HOSTILE)
def test_names_and_notes_add_no_element(hostile: str, library: Path) -> None:
    def elements(name: str) -> list[tuple[str, ...]]:
        facts = {"strategy_names": (name,), "exchange_name": name, "frame_name": name, "settings": {name: name}}
        run = drawn_run((name,), 9, 100, f"On {name}", facts, strategy_name=name, note=name, close_reason=name)
        return [(tag, *sorted(attributes)) for tag, attributes in Page(html_report(run, version=name)).elements]

    assert elements(hostile) == elements("quiet")


@given(st.text(max_size=300))
def test_any_text_becomes_one_visible_line(text: str) -> None:
    found = legible(text)
    assert len(found) <= 200
    assert found.isprintable()
    assert legible(found) == found


def test_the_data_cannot_end_its_element_and_reads_back_as_it_was(library: Path) -> None:
    text = html_report(drawn_run(("<&>",), 3, 100, note="</script>\u2028&amp;"))
    page = Page(text)
    assert not set("<>&") & set("".join(page.blocks["data"]))
    assert page.data["symbols"] == ["<&>"]
    assert page.data["notes"] == ["</script> &amp;"]


# ---- small -----------------------------------------------------------------------------------------------------------


def test_ten_thousand_trades_with_long_notes_stay_under_three_megabytes(library: Path) -> None:
    library.write_text("x" * 200_000, "utf-8")
    run = drawn_run(("BTCUSDT",), 10_000, 60_000, note="the price crossed the mean " * 9)
    assert len(run.trades) == 10_000
    assert len(html_report(run).encode()) < 3_000_000


def decoded(data: dict[str, Any]) -> Any:
    """Time in seconds, open, high, low, close of candles, as the page's script reads them."""
    time, before, rows = int(data["start"]), 0, []
    for t, o, h, low, c in zip(*(data[each] for each in "tohlc"), strict=True):
        time += t * data["step"]
        opening, close = before + o, before + o + c
        rows.append((time, opening, max(opening, close) + h, min(opening, close) - low, close))
        before = close
    return np.array(rows) / np.array([1] + [10 ** int(data["digits"])] * 4)


@pytest.mark.parametrize("level", [42_000.0, 98.0, 0.000012])
def test_candles_read_back_to_six_digits(level: float) -> None:
    candles = walk(300, level=level)
    rows = decoded(candle_data(Prices("X", candles), 1000))
    columns = (candles.open, candles.high, candles.low, candles.close)
    assert rows[:, 0].tolist() == (candles.time // 1000).tolist()
    for found, given_column in zip(rows.T[1:], columns, strict=True):
        np.testing.assert_allclose(found, given_column, rtol=1e-5)


def test_missing_candles_are_absent_from_the_picture() -> None:
    candles = walk(10)
    close = candles.close.copy()
    close[3:5] = np.nan
    holed = Candles(Interval.H1, START, candles.open, candles.high, candles.low, close, candles.volume)
    data = candle_data(Prices("X", holed), 100)
    assert data["t"] == [0, 1, 1, 3, 1, 1, 1, 1]


def test_candles_that_are_all_missing_are_none() -> None:
    nothing = np.full(5, np.nan)
    assert candle_data(Prices("X", Candles(Interval.H1, START, *[nothing] * 5)), 100)["t"] == []


@given(st.integers(1, 400), st.integers(1, 50), st.integers(0, 30))
def test_longer_candles_are_few_and_keep_the_extremes(rows: int, most: int, late: int) -> None:
    whole = walk(rows + late)
    candles = whole.rows(late, rows + late)
    times, (opens, highs, lows, closes), minutes = coarser(candles, most)
    assert len(times) <= most + 1
    assert (np.diff(times) > 0).all()
    assert (times % (minutes * MINUTE) == 0).all()
    assert (opens[0], highs.max(), lows.min(), closes[-1]) == (
        candles.open[0],
        candles.high.max(),
        candles.low.min(),
        candles.close[-1],
    )


@given(st.lists(st.floats(1, 1000), min_size=2, max_size=500), st.integers(3, 60))
def test_a_picture_keeps_the_ends_and_the_extremes_of_the_account(values: list[float], most: int) -> None:
    equity = np.array(values)
    kept = equity[kept_rows(equity, -equity, most)]
    assert (kept[0], kept[-1], kept.min(), kept.max()) == (values[0], values[-1], min(values), max(values))
    assert len(kept) <= most + 2


# ---- the account -----------------------------------------------------------------------------------------------------


def curve(days: list[str], values: list[float]) -> EquityCurve:
    times = np.array(days, dtype="datetime64[ms]").astype(np.int64)
    money = np.array(values, dtype=float)
    return EquityCurve(times, money, money * 0, money * 0, money)


def test_the_months_are_returns_from_end_to_end_of_month() -> None:
    found = monthly_returns(
        curve(["2023-12-15", "2024-01-01", "2024-01-20", "2024-02-01", "2024-02-03"], [100, 110, 90, 99, 99])
    )
    (year, first), (next_year, second) = found
    assert (year, next_year) == (2023, 2024)
    assert first[:11] == [None] * 11
    assert first[11] == pytest.approx(10)
    assert second[0] == pytest.approx(-10)
    assert second[1] == pytest.approx(0)
    assert second[12] == pytest.approx(-10)


def test_the_months_of_a_lost_account_have_no_returns() -> None:
    ((_, found),) = monthly_returns(curve(["2024-01-01", "2024-01-20", "2024-02-20"], [100, 0, 0]))
    assert found[0] == -100
    assert found[1] is None


@pytest.mark.parametrize("values", [[100, 100], [0, 0], [1e-9, 2e-9], [1e12, 3e12]])
def test_the_picture_of_the_account_takes_any_size_of_money(values: list[float]) -> None:
    picture = equity_picture(curve(["2024-01-01", "2024-01-02"], values))
    assert picture.count("<svg") == 6
    assert "nan" not in picture
    assert "inf" not in picture
