"""Sparklines: as many characters as asked for, lowest to highest, whatever the numbers are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest_kit.reports.sparkline import ASCII, BLOCKS, prints_blocks, sparkline

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("values", "width", "expected"),
    [
        ([], 20, ""),
        ([1, 2], 0, ""),
        (range(8), 20, BLOCKS),
        (range(7, -1, -1), 20, BLOCKS[::-1]),
        ([5.0], 20, "▄"),
        ([5.0] * 5, 3, "▄▄▄"),
        ([1e-9, 2e-9], 9, "▁█"),
        ([10_000, 10_000 + 1e-9], 9, "▄▄"),
        ([0, 0, 7, 7], 2, "▁█"),
        ([0, 2, 4, 10, 20, 20], 3, "▁▃█"),
        ([1, NAN, 3], 3, "▁ █"),
        ([1, NAN, 3, 3], 2, "▁█"),
        ([1, INF, -INF, 3], 4, "▁  █"),
        ([NAN, NAN], 5, "  "),
        ([2, NAN, 2], 3, "▄ ▄"),
        ([-1.7e308, 1.7e308], 2, "▁█"),
        ([0.0, 5e-324], 2, "▁█"),
    ],
)
def test_the_line_follows_the_numbers(values: list[float], width: int, expected: str) -> None:
    assert sparkline(values, width) == expected


def test_columns_of_numpy_are_read_as_they_are() -> None:
    assert sparkline(np.linspace(0.0, 1.0, 10_000), 8) == BLOCKS


def test_without_blocks_the_same_line_is_drawn_with_plain_characters() -> None:
    assert sparkline(range(8), ascii_only=True) == ASCII
    assert ASCII.isascii()


@pytest.mark.parametrize("encoding", ["utf-8", "UTF-16", "cp437", "ascii", "latin-1", "no such", "", None])
def test_an_encoding_prints_blocks_only_if_it_has_all_of_them(encoding: str | None) -> None:
    assert prints_blocks(encoding) == (encoding in ("utf-8", "UTF-16"))


@given(st.lists(st.floats(), max_size=60), st.integers(0, 30))
def test_any_numbers_make_a_line_of_at_most_the_width(values: list[float], width: int) -> None:
    line = sparkline(values, width)
    assert len(line) == min(len(values), width)
    assert set(line) <= {*BLOCKS, " "}


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20, unique=True))
def test_the_lowest_and_the_highest_number_get_the_lowest_and_the_highest_character(values: list[float]) -> None:
    line = sparkline(values)
    if set(line) != {BLOCKS[3]}:
        assert line[values.index(min(values))] == BLOCKS[0]
        assert line[values.index(max(values))] == BLOCKS[-1]
