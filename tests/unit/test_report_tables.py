"""Tables as data: cells that cannot break a table, numbers with fixed digits, CSV without formulas."""

from __future__ import annotations

import pytest

from backtest_kit.reports.tables import (
    TRADE_COLUMNS,
    Column,
    markdown_table,
    minute,
    plain,
    price,
)
from backtest_kit.reports.trades import Trade


def trade(**fields: object) -> Trade:
    base: dict[str, object] = {
        "symbol": "BTCUSDT",
        "strategy_name": "sma_cross",
        "position": "long",
        "opened_at": 1_704_067_200_000,
        "closed_at": 1_704_067_200_000 + 90 * 60_000,
        "price_open": 42_123.4,
        "price_close": 0.00001234567,
        "cost": 100.0,
        "pnl_percent": 1.23456789,
        "pnl_cost": 1.23456789,
        "close_reason": "take_profit",
    }
    return Trade(**(base | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("a|b", r"a\|b"),
        ("two\nlines\r\nand\u2028more", "two lines and more"),
        ("<script>", "&lt;script&gt;"),
        ("`code`", r"\`code\`"),
        ("![image](x)", r"!\[image\](x)"),
        ("back\\slash|", "back\\\\slash\\|"),
        ("&lt;", "&amp;lt;"),
        ("hid\u202eden\x00", "hidden"),
        ("  spaces  ", "spaces"),
        ("sma_cross", "sma_cross"),
    ],
)
def test_text_of_others_is_harmless_in_a_cell(text: str, cell: str) -> None:
    assert plain(text) == cell


def test_a_long_text_is_cut_before_it_is_escaped() -> None:
    cell = plain("|" * 500)
    assert cell == r"\|" * 199 + "…"


def test_a_note_with_a_pipe_leaves_the_number_of_columns_alone() -> None:
    lines = markdown_table(TRADE_COLUMNS, [trade(note="a | b\n| c |", symbol="X|Y")]).split("\n")
    assert len(lines) == 3
    assert len({line.replace(r"\|", "").count("|") for line in lines}) == 1


def test_a_missing_value_is_written_as_not_available() -> None:
    column = Column[Trade]("best", "Best", lambda row: row.peak_pnl_percent, str)
    assert column.cell(trade()) == "N/A"
    assert column.cell(trade(peak_pnl_percent=0.0)) == "0.0"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (42_123.4, "42123.40"),
        (1_234_567.891, "1234567.89"),
        (1.5, "1.50000"),
        (0.00001234567, "0.0000123457"),
        (0.0, "0.00"),
        (float("nan"), "nan"),
    ],
)
def test_a_price_has_six_significant_digits_and_two_decimals_at_least(value: float, text: str) -> None:
    assert price(value) == text


def test_a_time_is_an_iso_minute_in_utc() -> None:
    assert minute(1_706_706_300_000) == "2024-01-31T13:05Z"


def test_column_keys_are_unique() -> None:
    assert len({each.key for each in TRADE_COLUMNS}) == len(TRADE_COLUMNS)
