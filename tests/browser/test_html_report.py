"""The HTML report in a browser: it draws, it answers, it asks nobody for anything, and it runs nobody's script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backtest_kit.reports.html.page import LIBRARY, html_report
from backtest_kit.reports.run import RunData
from tests.browser.browser import drawn_run, opened

needs_library = pytest.mark.skipif(not LIBRARY.is_file(), reason="the chart library is not installed: make charts")

PHONE = {"viewport": {"width": 375, "height": 740}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
COLOURS = """chart => {
    const seen = new Set();
    for (const canvas of document.querySelectorAll(chart + " canvas")) {
        if (!canvas.width || !canvas.height) continue;
        const dots = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        for (let i = 0; i < dots.length; i += 4) {
            if (dots[i + 3] > 200) seen.add(dots[i] << 16 | dots[i + 1] << 8 | dots[i + 2]);
        }
    }
    return seen.size;
}"""


@pytest.fixture
def written(tmp_path: Path) -> Any:
    """Writes the report of a run to a file."""

    def write(run: RunData) -> Path:
        path = tmp_path / "report.html"
        path.write_text(html_report(run, version="1.0.0"), "utf-8")
        return path

    return write


@needs_library
def test_candles_and_account_are_drawn_without_an_error_or_a_request(written: Any) -> None:
    path = written(drawn_run())
    with opened(path) as page:
        assert page.evaluate(COLOURS, "#candle-chart") > 10
        assert page.evaluate(COLOURS, "#equity-chart") > 10
        assert page.told == []
        assert page.asked == [path.as_uri()]


@needs_library
def test_a_chosen_trade_moves_the_chart_to_its_symbol_and_time(written: Any) -> None:
    with opened(written(drawn_run())) as page:
        before = page.inner_text("#chart-state")
        row = page.locator("#trade-rows tr", has_text="BTCUSDT").last
        number = row.locator("button").inner_text()
        row.click()
        page.wait_for_timeout(300)
        after = page.inner_text("#chart-state")
        assert before != after
        assert after.startswith(("2023-12", "2024-01"))
        assert page.locator("#chart-symbol option:checked").inner_text() == "BTCUSDT"
        assert page.inner_text("#chosen h3").startswith(f"Trade {number}: ")
        assert page.locator("#trade-rows tr[aria-current]").count() == 1
        page.click("#later")
        assert page.locator("#trade-rows tr[aria-current] button").inner_text() != number
        assert page.told == []


@needs_library
def test_the_keyboard_reaches_trades_and_chart(written: Any) -> None:
    with opened(written(drawn_run())) as page:
        page.locator("#trade-rows button").nth(2).focus()
        page.keyboard.press("Enter")
        assert page.locator("#chosen h3").is_visible()
        page.focus("#candle-chart")
        before = page.inner_text("#chart-state")
        page.keyboard.press("ArrowLeft")
        page.wait_for_timeout(300)
        assert page.inner_text("#chart-state") != before


@pytest.mark.parametrize(
    "hostile", ["<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>", "'\"><svg onload=alert(1)>"]
)
def test_hostile_names_run_no_script_and_make_no_element(hostile: str, written: Any) -> None:
    facts = {"strategy_names": (hostile,), "exchange_name": hostile, "settings": {hostile: hostile}}
    run = drawn_run((hostile, "B"), 12, 300, hostile, facts, strategy_name=hostile, note=hostile, close_reason=hostile)
    path = written(run)
    with opened(path) as page:
        page.locator("#trade-rows tr").first.click()
        page.wait_for_timeout(200)
        assert page.told == []
        assert page.asked == [path.as_uri()]
        assert page.locator("img, [onerror], [onload]").count() == 0
        assert hostile in page.inner_text("#chosen")
        assert page.inner_text("h1") == hostile


def test_a_phone_never_scrolls_sideways(written: Any) -> None:
    with opened(written(drawn_run(note="a note that is quite long and goes on and on, as they do")), **PHONE) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        page.locator("#trade-rows tr").first.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_colours_follow_the_system_and_the_switch(written: Any) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    path = written(drawn_run(count=5))
    with opened(path, color_scheme="dark") as page:
        dark = page.evaluate(ground)
        page.click("#theme")
        light = page.evaluate(ground)
        assert page.inner_text("#theme") == "Dark"
        assert page.told == []
    with opened(path, color_scheme="light") as page:
        assert page.evaluate(ground) == light != dark


def test_many_trades_are_listed_a_page_at_a_time_sorted_and_filtered(written: Any) -> None:
    run = drawn_run(("BTCUSDT",), 600, 4000)
    with opened(written(run)) as page:
        assert page.locator("#trade-rows tr").count() == 250
        page.click("#next-page")
        page.click("#next-page")
        assert page.locator("#trade-rows tr").count() == 100
        assert page.inner_text("#list-count") == "501 to 600 of 600"
        page.click("#trade-heads button:has-text('Profit %')")
        best = max(range(600), key=lambda i: run.trades[i].pnl_percent) + 1
        assert page.locator("#trade-rows button").first.inner_text() == str(best)
        page.select_option("#list-outcome", "lost")
        lost = sum(each.pnl_percent < 0 for each in run.trades)
        assert page.inner_text("#list-count") == f"1 to 250 of {lost} (600 in all)"


def test_orders_of_a_trade_in_parts_are_told_in_full(written: Any) -> None:
    run = drawn_run(("BTCUSDT",), 10, 400)
    with opened(written(run)) as page:
        page.locator("#trade-rows button", has_text="1").last.click()
        orders = page.locator("#chosen table tr td:nth-child(2)").all_inner_texts()
        money = page.locator("#chosen table tr td:nth-child(4)").all_inner_texts()
        assert orders == ["entry", "average", "partial profit", "exit"]
        assert money == ["500.00", "500.00", "400.00", "600.00"]


@pytest.mark.parametrize("way", ["without scripts", "on paper"])
def test_the_account_is_seen_without_scripts_and_on_paper(way: str, written: Any) -> None:
    with opened(written(drawn_run()), java_script_enabled=way != "without scripts") as page:
        if way == "on paper":
            page.emulate_media(media="print")
        assert page.locator("#equity-picture svg.picture").first.is_visible()
        assert not page.locator("#candle-chart").is_visible()
        assert page.told == []
