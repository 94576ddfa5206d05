"""Pictures show what was traded, in the right place and in the right words, and stay readable whatever comes."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import fields

from backtest_kit.core.candles import Candles
from backtest_kit.core.values import Interval
from backtest_kit.errors import ConfigError, UnknownNameError
from backtest_kit.reports import charts
from backtest_kit.reports.charts.account import telling_rows
from backtest_kit.reports.charts.candles import bars_of, marks_of, symbol_of
from backtest_kit.reports.charts.canvas import Canvas
from backtest_kit.reports.charts.cells import cell_colour
from backtest_kit.reports.charts.heat import POOLED, heat_rows
from backtest_kit.reports.charts.scales import on_axis
from backtest_kit.reports.charts.theme import DARK, LIGHT, rgb
from backtest_kit.reports.charts.trades import areas_of, bins_of, edge_of
from backtest_kit.reports.charts.wording import change, digits_of, drawable, money, number, percent, period, span
from backtest_kit.reports.equity import EquityCurve, Prices
from backtest_kit.reports.facts import RunFacts
from backtest_kit.reports.run import RunData
from backtest_kit.reports.trades import Leg, Trade

HOUR = 3_600_000
DAY = 24 * HOUR
START = 1_704_067_200_000  # 2024-01-01
HOSTILE = "<img src=x onerror=alert(1)> $\\frac{a$ _x_ =cmd|x [x](javascript:..)\n\x00\x1b[31m 币\ud800\u202e --> "


def trade(number: int = 0, **given: Any) -> Trade:
    pnl = given.get("pnl_percent", 2.0 if number % 3 else -1.0)
    opened = START + number * 6 * HOUR
    base: dict[str, Any] = {
        "symbol": "BTCUSDT", "strategy_name": "s", "position": "long" if number % 2 == 0 else "short",
        "opened_at": opened, "closed_at": opened + 3 * HOUR, "price_open": 100.0 + number % 7,
        "price_close": 101.0 + number % 7, "cost": 100.0, "pnl_percent": pnl, "pnl_cost": pnl,
        "close_reason": "take_profit", "price_take_profit": 104.0, "price_stop_loss": 98.0,
    }  # fmt: skip
    return Trade(**(base | given))


def prices(symbol: str = "BTCUSDT", rows: int = 240) -> Prices:
    close = 100 + np.sin(np.arange(rows) / 9) * 5
    return Prices(symbol, Candles(Interval.H1, START, close - 0.5, close + 1, close - 1, close, np.ones(rows)))


def run(
    trades: Sequence[Trade] = (), candles: Sequence[Prices] = (), title: str = "Backtest of s", **given: Any
) -> RunData:
    counts = {each.name: 0 for each in fields(RunFacts) if each.required}
    known = {"strategy_names": ("s",), "exchange_name": "demo", "frame_name": "f", "start": START}
    rest = {"stop": START + 10 * DAY, "invalid_signals": (), "gaps": (), "settings": {}, "duration_seconds": 1.0}
    symbols = tuple(dict.fromkeys([each.symbol for each in candles] + [each.symbol for each in trades]))
    values: dict[str, Any] = {**counts, "symbols": symbols, **known, **rest, **given}
    return RunData(title, trades, RunFacts(**values), prices=candles)


def with_curve(data: RunData, equity: Sequence[float], step: int = DAY, benchmark: float = float("nan")) -> RunData:
    rows = len(equity)
    zeros, held = np.zeros(rows), np.full(rows, benchmark)
    data.__dict__["curve"] = EquityCurve(START + step * np.arange(rows), np.array(equity), zeros, zeros, held)
    return data


def words(figure: Any) -> list[str]:
    """All that is written in a picture but the numbers of axes."""
    texts = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    texts += [text for axes in figure.axes if axes.get_legend() for text in axes.get_legend().get_texts()]
    return [*(text.get_text() for text in texts), *(axes.get_title(loc="left") for axes in figure.axes)]


def row(axes: Any, label: str) -> Any:
    """The line or collection of that label."""
    return next(each for each in [*axes.lines, *axes.collections] if str(each.get_label()).startswith(label))


def points(line: Any) -> list[tuple[float, float]]:
    return list(zip(line.get_xdata().tolist(), list(line.get_ydata()), strict=True))


MANY = [trade(i) for i in range(36)]
FULL = run(MANY, [prices()])
RUNS = {
    "nothing": run,
    "no trades": lambda: run((), [prices()]),
    "one trade": lambda: run([trade()], [prices()]),
    "no prices": lambda: run(MANY),
    "all wins": lambda: run([trade(i, pnl_percent=1.0 + i) for i in range(12)], [prices()]),
    "break-even": lambda: run([trade(i, pnl_percent=0.0, price_close=100.0) for i in range(12)], [prices()]),
    "equal closing times": lambda: run([trade(0, cost=0.0) for _ in range(5)]),
    "a minute": lambda: run([trade(0, closed_at=START)], stop=START),
    "blown": lambda: run([trade(0, pnl_percent=-150.0, pnl_cost=-20_000.0), trade(1)], [prices()]),
    "gaps of years": lambda: run([trade(0), trade(1, closed_at=START + 9000 * DAY)], [prices()]),
    "candles of nothing": lambda: run(
        [trade()], [Prices("BTCUSDT", Candles(Interval.H1, START, *(np.full(24, np.nan) for _ in range(5))))]
    ),
    "no candles": lambda: run([trade()], [Prices("BTCUSDT", Candles.empty(Interval.H1, START))]),
    "hostile": lambda: run([trade(i, symbol=HOSTILE[i % 2 :]) for i in range(20)], title=HOSTILE),
    "tiny prices": lambda: run([trade(0, price_open=1e-8, price_close=2e-8)]),
}


@pytest.mark.parametrize("kind", charts.KINDS)
@pytest.mark.parametrize("name", RUNS)
def test_every_picture_of_every_run_is_drawn_without_a_warning(name: str, kind: str) -> None:
    figure = charts.draw(RUNS[name](), kind, theme="dark" if len(name) % 2 else "light")
    assert charts.png(figure).startswith(b"\x89PNG")
    assert any("2024 (UTC)" in text or "2024 to" in text for text in words(figure))


def test_orders_are_marked_at_their_time_and_price() -> None:
    legs = (
        Leg(START, "entry", 100.0, 50.0),
        Leg(START + HOUR, "average", 98.0, 50.0),
        Leg(START + 2 * HOUR, "partial_profit", 103.0, 60.0),
        Leg(START + 3 * HOUR, "exit", 104.0, 40.0),
    )
    axes = charts.candles_chart(run([trade(0, legs=legs, pnl_percent=3.0)], [prices()])).axes[0]
    at = on_axis([each.time for each in legs]).tolist()
    assert points(row(axes, "Long 1")) == [(at[0], 100.0)]
    assert points(row(axes, "Average 1")) == [(at[1], 98.0)]
    assert points(row(axes, "Partial exit 1")) == [(at[2], 103.0)]
    assert points(row(axes, "Exit with gain 1")) == [(at[3], 104.0)]


def test_a_trade_without_recorded_orders_is_marked_at_its_entry_and_exit() -> None:
    marks = marks_of(trade(1, pnl_percent=-1.0))
    assert [(each.kind, each.time - START, each.price) for each in marks] == [
        ("short", 6 * HOUR, 101.0),
        ("exit_loss", 9 * HOUR, 102.0),
    ]


def test_levels_are_drawn_over_the_life_of_their_trade() -> None:
    axes = charts.candles_chart(run([trade(0), trade(1, price_stop_loss=None)], [prices()])).axes[0]
    first, last = on_axis([START, START + 3 * HOUR]).tolist()
    assert row(axes, "Take profit").get_segments()[0].tolist() == [[first, 104.0], [last, 104.0]]
    assert len(row(axes, "Take profit").get_segments()) == 2
    assert [each.tolist() for each in row(axes, "Stop loss").get_segments()] == [[[first, 98.0], [last, 98.0]]]


def test_a_far_take_profit_does_not_press_the_candles_flat() -> None:
    axes = charts.candles_chart(run([trade(0, price_take_profit=9_000.0)], [prices()])).axes[0]
    assert axes.get_ylim()[1] < 110


def test_candles_stand_between_their_open_and_close() -> None:
    axes = charts.candles_chart(run((), [prices(rows=3)]), "BTCUSDT").axes[0]
    middle = on_axis([START + HOUR // 2])[0]
    body, wick = row(axes, "_bodies").get_paths()[0].vertices, row(axes, "_wicks").get_segments()[0]
    assert (body[:, 1].min(), body[:, 1].max()) == (99.5, 100.0)
    assert body[:4, 0].mean() == pytest.approx(middle)
    assert wick.tolist() == [[middle, 99.0], [middle, 101.0]]


def test_thousands_of_trades_are_a_handful_of_artists() -> None:
    data = run([trade(i) for i in range(10_000)], [prices(rows=5_000)], stop=START + 2500 * DAY)
    figure = charts.draw(data, "candles")
    assert len(figure.axes[0].lines) + len(figure.axes[0].collections) < 12
    assert len(charts.svg(figure)) < 3_000_000


def test_the_symbol_that_was_traded_most_is_shown_unless_one_is_named() -> None:
    data = run([trade(0, symbol="A"), trade(1, symbol="B"), trade(2, symbol="B")])
    assert symbol_of(data, None) == "B"
    assert any(text.startswith("A") for text in words(charts.draw(data, "candles", symbol="A")))
    with pytest.raises(UnknownNameError, match="unknown symbol 'BB'; did you mean 'B'"):
        charts.draw(data, symbol="BB")


@given(st.integers(1, 3_000), st.integers(0, 30), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_longer_candles_keep_every_extreme_and_are_few(rows: int, late: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    columns = random.uniform(1, 2, (4, rows))
    columns[:, random.uniform(size=rows) < 0.1] = np.nan
    opens, highs, lows, closes = columns
    candles = Candles(Interval.H1, START + late * HOUR, opens, highs, lows, closes, np.ones(rows))
    bars, there = bars_of(candles), ~np.isnan(columns[0])
    assert len(bars.times) <= 421
    assert np.isfinite([bars.open, bars.high, bars.low, bars.close]).all()
    if there.any():
        assert (bars.high.max(), bars.low.min()) == (columns[1][there].max(), columns[2][there].min())
        assert (bars.open[0], bars.close[-1]) == (columns[0][there][0], columns[3][there][-1])
    assert (bars.times % bars.step == 0).all()


def test_the_account_is_drawn_as_it_is_with_the_fall_below() -> None:
    data = with_curve(run(), [1000.0, 1200.0, 900.0, 1500.0], benchmark=1000.0)
    account, fall = charts.equity_chart(data).axes
    days = on_axis(data.curve.times).tolist()
    assert points(row(account, "Account 1,500 (+50.0 %)")) == list(zip(days, data.curve.equity.tolist(), strict=True))
    assert points(row(account, "Buy and hold 1,000 (0.0 %)"))[-1] == (days[-1], 1000.0)
    assert row(fall, "_drawdown").get_ydata().tolist() == pytest.approx([0, 0, -25, 0])
    assert points(row(fall, "Deepest −25.0 %"))[0] == pytest.approx((days[2], -25.0))


def test_without_prices_there_is_no_market_to_compare_with() -> None:
    texts = words(charts.equity_chart(with_curve(run(), [1000.0, 1100.0])))
    assert "Account 1,100 (+10.0 %)" in texts
    assert not any("Buy and hold" in each for each in texts)


@given(st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), min_size=1, max_size=400), st.integers(1, 40))
@settings(deadline=None)
def test_fewer_points_draw_the_same_extremes(values: list[float], most: int) -> None:
    column = np.array(values)
    rows = telling_rows(column, most=most)
    assert len(rows) <= 3 * most + 1
    assert (rows[0], rows[-1]) == (0, len(values) - 1)
    if np.isfinite(column).any():
        assert np.nanmax(column[rows]) == np.nanmax(column)
        assert np.nanmin(column[rows]) == np.nanmin(column)


def test_the_months_are_written_and_coloured_by_their_sign() -> None:
    equity = [1000.0] + [1100.0] * 31 + [990.0] * 29
    axes: Any = charts.monthly_chart(with_curve(run(), equity)).axes[0]
    assert [text.get_text() for text in axes.texts][:5] == ["+10.0 %", "−10.0 %", "−1.0 %", "2024", "Jan"]
    colours = axes.collections[0].get_facecolor()
    assert tuple(colours[0][:3]) == pytest.approx(cell_colour(LIGHT, 1.0))
    assert tuple(colours[1][:3]) == pytest.approx(cell_colour(LIGHT, -1.0))


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_colours_of_cells_are_centred_at_zero_and_have_an_end(theme: Any) -> None:
    assert cell_colour(theme, 0.0) == rgb(theme.ground)
    assert cell_colour(theme, 7.0) == cell_colour(theme, 1.0) != cell_colour(theme, 0.5)
    assert cell_colour(theme, 1.0)[2] > cell_colour(theme, -1.0)[2]  # blue tells them apart without red and green


def test_every_trade_is_a_point_at_its_closing_time_and_profit() -> None:
    axes = charts.trades_chart(FULL).axes[0]
    drawn = [tuple(each) for name in ("Gain 24", "Loss 12") for each in row(axes, name).get_offsets().data.tolist()]
    assert sorted(drawn) == sorted((on_axis([each.closed_at])[0], each.pnl_percent) for each in MANY)
    assert row(axes, "Average +1.00 %").get_ydata() == [1.0, 1.0]


def test_trades_can_stand_by_how_long_they_lasted() -> None:
    axes = charts.draw(FULL, "trades", across="duration").axes[0]
    assert set(row(axes, "Gain").get_offsets().data[:, 0].tolist()) == {180.0}
    with pytest.raises(UnknownNameError, match="did you mean 'duration'"):
        charts.draw(FULL, "trades", across="durations")


def test_the_bars_beside_count_every_trade() -> None:
    bars: Any = charts.trades_chart(FULL).axes[1]
    assert sum(bar.get_width() for bar in bars.patches) == len(MANY)


@given(st.lists(st.floats(-1e4, 1e4, allow_subnormal=False), min_size=1, max_size=60))
@settings(deadline=None)
def test_no_bin_holds_gains_and_losses(profits: list[float]) -> None:
    edges = bins_of(np.array(profits))
    assert np.min(np.abs(edges)) == 0
    assert np.histogram(profits, edges)[0].sum() == len(profits)


def test_a_trade_far_from_all_others_is_named_and_does_not_press_them_flat() -> None:
    data = run([*MANY, trade(36, pnl_percent=5_000.0)])
    axes = charts.trades_chart(data).axes[0]
    edge = edge_of(np.array([each.pnl_percent for each in data.trades]))
    assert points(row(axes, "Beyond the scale 1, furthest +5,000 %"))[0][1] == edge == 16.0
    assert edge < axes.get_ylim()[1] < 20
    assert edge_of(np.array([1.0, -2.0, 500.0])) == float("inf")


def test_the_area_of_a_point_grows_with_the_money() -> None:
    small, large = areas_of(np.array([50.0, 100.0])).tolist()
    assert 0 < small < large
    assert areas_of(np.zeros(2)).tolist() == [80.0, 80.0]


def test_the_heat_map_has_a_row_a_symbol_and_one_for_all() -> None:
    data = run([trade(i, symbol=f"S{i % 2}") for i in range(24)])
    axes = charts.heat_chart(data).axes[0]
    names = [each.symbol for each in data.heat.symbols]
    texts = [text.get_text() for text in axes.texts]
    assert texts[24:28] == [*names, POOLED, "Trades"]
    assert texts[:2] == ["12", percent(data.heat.symbols[0].statistics.win_rate or 0)]
    assert texts[16:18] == ["24", percent(data.heat.portfolio.win_rate or 0)]


def test_what_a_symbol_has_too_few_trades_for_is_not_available() -> None:
    assert "N/A" in words(charts.heat_chart(run([trade(0)])))


def test_of_very_many_symbols_the_best_and_the_worst_are_shown() -> None:
    rows = heat_rows(run([trade(i, symbol=f"S{i}") for i in range(150)]).heat, 60)
    assert len(rows) == 62
    assert [name for name, figures in rows if figures is None] == ["… 90 more"]


def test_the_overview_states_the_key_figures() -> None:
    texts = words(charts.draw(FULL))
    assert {"Backtest of s", "Return", "Trades", "36", "Win rate", percent(FULL.statistics.win_rate or 0)} <= set(texts)
    assert {"Account, in quote currency", "Drawdown", "BTCUSDT, 1h candles", "Return by month"} <= set(texts)
    assert "Symbols" not in texts
    assert "Symbols" in words(charts.draw(run([trade(0), trade(1, symbol="B")])))


def test_wrong_names_say_what_was_meant() -> None:
    with pytest.raises(UnknownNameError, match="unknown picture 'equty'; did you mean 'equity'"):
        charts.draw(FULL, "equty")
    with pytest.raises(UnknownNameError, match="unknown theme 'drak'; did you mean 'dark'"):
        charts.draw(FULL, theme="drak")
    with pytest.raises(ConfigError, match="the picture 'equity' has no option 'symbol'; it has theme"):
        charts.draw(FULL, "equity", symbol="BTCUSDT")


def test_without_matplotlib_the_way_to_get_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ConfigError, match=r"pictures need matplotlib: pip install 'backtest-kit\[charts\]'"):
        charts.draw(FULL, "equity")


@pytest.mark.parametrize("name", ["picture.png", "deep/er/picture.PNG"])
def test_a_picture_is_saved_as_its_suffix_says(tmp_path: Path, name: str) -> None:
    written = charts.save(charts.draw(FULL, "equity"), str(tmp_path / name))
    assert written == tmp_path / name
    assert written.read_bytes().startswith(b"\x89PNG")
    assert [each.name for each in written.parent.iterdir()] == [written.name]


def test_a_picture_that_cannot_be_saved_names_its_path(tmp_path: Path) -> None:
    figure = charts.draw(FULL, "months")
    with pytest.raises(ConfigError, match=r"a\.pdf: a picture is written as \.png or \.svg"):
        charts.save(figure, tmp_path / "a.pdf")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match=r"file/a\.png"):
        charts.save(figure, tmp_path / "file" / "a.png")


def test_the_same_run_gives_the_same_svg_in_several_threads_and_changes_no_setting() -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    with ThreadPoolExecutor(4) as threads:
        drawn = set(threads.map(lambda _: charts.svg(charts.draw(FULL)), range(4)))
    assert len(drawn) == 1
    assert b"<dc:date>" not in drawn.pop()
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("kind", charts.KINDS)
def test_words_of_users_are_drawn_literally_and_stay_words(kind: str) -> None:
    figure = charts.draw(RUNS["hostile"](), kind)
    tree = ET.fromstring(charts.svg(figure))
    assert {each.tag.split("}")[-1] for each in tree.iter()}.isdisjoint({"img", "script", "a", "foreignObject"})
    assert figure.texts[0].get_text().startswith("<img src=x onerror=alert(1)> $\\frac{a$ _x_ =cmd|x")
    assert "\x1b" not in "".join(words(figure))


@given(st.text(max_size=60))
@settings(max_examples=60, deadline=None)
def test_any_text_can_be_drawn(text: str) -> None:
    charts.png(Canvas(3, 1, "light", text, drawable(text)).figure)


def test_a_long_title_is_cut_where_the_picture_ends() -> None:
    canvas = Canvas(4, 1, "light", "W" * 500)
    assert canvas.figure.texts[0].get_text().endswith("W…")
    assert canvas.figure.texts[0].get_window_extent().x1 <= canvas.figure.bbox.width


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (number(-12345.678, 1), "−12,345.7"),
        (number(-0.001, 1), "0.0"),
        (money(999.5), "999.50"),
        (money(13_482.4), "13,482"),
        (change(12.5), "+12.5 %"),
        (change(-12.5), "−12.5 %"),
        (change(0.04), "0.0 %"),
        (change(206_672.4), "+206,672 %"),
        (drawable("a\n\x00b  币"), "a b □"),
        (period(START, START + DAY), "1 Jan 2024 (UTC)"),
        (period(START, START + 31 * DAY + 1), "1 Jan 2024 to 1 Feb 2024 (UTC)"),
        (span(2 * DAY), "2d"),
        (str(digits_of([0.0, 0.25])), "1"),
        (str(digits_of([0.0, 2e-6])), "6"),
    ],
)
def test_numbers_and_words_are_written_as_a_trader_reads_them(written: str, text: str) -> None:
    assert written == text
