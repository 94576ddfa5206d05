"""A row of numbers as a line of characters: ▁▂▃▄▅▆▇█."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backtest_kit.core.candles import Floats

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.:-=+*#"


def sparkline(values: Sequence[float] | Floats, width: int = 20, *, ascii_only: bool = False) -> str:
    """The course of `values` in at most `width` characters, each the mean of its share of them, lowest to highest.

    What is no finite number is left out; a share with nothing else in it is a blank. Values that do not differ make a
    flat line at half height, no values an empty text. `ascii_only` is for terminals that cannot print blocks.
    """
    levels = ASCII if ascii_only else BLOCKS
    means = _means(np.asarray(values, dtype=np.float64), width)
    known = means[np.isfinite(means)]
    if not len(known):
        return " " * len(means)
    low, span = known.min(), known.max() - known.min()
    if span <= 1e-12:  # of the largest value: nothing but rounding
        return "".join(" " if np.isnan(each) else levels[3] for each in means)
    return "".join(" " if np.isnan(each) else levels[round((each - low) / span * 7)] for each in means)


def prints_blocks(encoding: str | None) -> bool:
    """Whether text in this encoding can hold the block characters."""
    try:
        BLOCKS.encode(encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def _means(values: Floats, width: int) -> Floats:
    """The mean of the finite values in each of at most `width` equal shares, NaN for none, scaled to −1…1."""
    count = min(len(values), width)
    if count <= 0:
        return np.empty(0)
    finite = np.isfinite(values)
    largest = np.abs(values[finite]).max(initial=0.0)
    scaled = np.divide(values, largest or 1.0, out=np.zeros(len(values)), where=finite)
    starts = np.arange(count) * len(values) // count
    known = np.add.reduceat(finite.astype(np.float64), starts)
    sums = np.add.reduceat(scaled, starts)
    means: Floats = np.divide(sums, known, out=np.full(count, np.nan), where=known > 0)
    return means
