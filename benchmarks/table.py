"""What was measured, as rows of one plain table."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct


class Floor(Struct, frozen=True):
    """What a measured value has to reach: at least `limit`, or at most it."""

    limit: float
    at_most: bool = False

    def is_met(self, value: float) -> bool:
        return value <= self.limit if self.at_most else value >= self.limit

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.limit:g}"


class Row(Struct, frozen=True):
    """One measured value in its unit.

    For a timed run also: its 1-minute candles over all symbols, the minutes of market time that it lived through, the
    best time of all repetitions, how much of that went into loading and checking candles, and the memory (bytes) that
    the first repetition took at its peak beyond what was there before it.
    """

    case: str
    what: str
    value: float
    unit: str
    floor: Floor | None = None
    candles: int = 0
    market_minutes: int = 0
    seconds: float = 0.0
    loading_seconds: float = 0.0
    peak_bytes: int | None = None

    @property
    def verdict(self) -> str:
        if self.floor is None:
            return ""
        return "met" if self.floor.is_met(self.value) else "NOT met"

    @property
    def is_missed(self) -> bool:
        return self.floor is not None and not self.floor.is_met(self.value)


_HEADS = ("case", "what", "candles", "seconds", "× real time", "loading", "peak MB", "measured", "", "floor", "")
_LEFT = {0, 1, 8, 9, 10}


def text(rows: Sequence[Row]) -> str:
    """The rows as aligned lines, words to the left and numbers to the right."""
    cells = [_HEADS, *(_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(_HEADS))]
    return "\n".join(_line(line, widths) for line in [cells[0], tuple("─" * width for width in widths), *cells[1:]])


def as_dicts(rows: Sequence[Row]) -> list[dict[str, object]]:
    """The rows as plain values for JSON; `met` is None where there is no floor."""
    return [
        {
            "case": row.case,
            "what": row.what,
            "measured": row.value,
            "unit": row.unit,
            "floor": None if row.floor is None else row.floor.limit,
            "met": None if row.floor is None else not row.is_missed,
            "candles": row.candles or None,
            "seconds": row.seconds or None,
            "times_real_time": _times_real_time(row),
            "loading_seconds": row.loading_seconds if row.seconds else None,
            "peak_bytes": row.peak_bytes,
        }
        for row in rows
    ]


def _cells(row: Row) -> tuple[str, ...]:
    fast = _times_real_time(row)
    return (
        row.case,
        row.what,
        f"{row.candles:,}" if row.candles else "",
        f"{row.seconds:.4f}" if row.seconds else "",
        f"{fast:,.0f}" if fast else "",
        f"{row.loading_seconds / row.seconds:.0%}" if row.seconds else "",
        f"{row.peak_bytes / 1e6:.1f}" if row.peak_bytes is not None else "",
        f"{row.value:.2f}",
        row.unit,
        str(row.floor or ""),
        row.verdict,
    )


def _times_real_time(row: Row) -> float | None:
    return row.market_minutes * 60 / row.seconds if row.seconds else None


def _line(cells: tuple[str, ...], widths: Sequence[int]) -> str:
    aligned = (
        cell.ljust(width) if i in _LEFT else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join(aligned).rstrip()
