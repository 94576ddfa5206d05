"""The statistics against recorded results: each set of trades as one series, by symbol, and pooled.

A file holds one set a line: `trades`, `single` (all trades as one series) and `heat` (`symbols`,
`portfolio`). Numbers must agree to 1e-9 relative; sums whose terms cancel leave rounding noise instead of
zero, so 1e-12 (percent) counts as zero too.
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from backtest_kit.reports.pooled import heat
from backtest_kit.reports.statistics import METRIC_NAMES, Statistics, compute
from backtest_kit.reports.trades import Trade

RELATIVE = 1e-9
NOISE = 1e-12


def check(path: Path | str) -> tuple[int, list[str]]:
    """How many sets agree, and a text for each difference of the others: set, part, metric, ours, theirs."""
    passed, failed = 0, []
    for vector in read(path):
        differences = [f"{vector['name']} {each}" for each in differing(vector)]
        passed += not differences
        failed += differences
    return passed, failed


def read(path: Path | str) -> Iterator[dict[str, Any]]:
    """The sets of a file of JSON lines, compressed or not."""
    content = Path(path).read_bytes()
    text = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    yield from (json.loads(line) for line in text.splitlines() if line.strip())


def differing(vector: Mapping[str, Any]) -> Iterator[str]:
    """What differs in one set, as "part metric: ours …, theirs …"."""
    trades = [_trade(row) for row in vector["trades"]]
    if "single" in vector:
        yield from _compared("single", compute(trades), vector["single"])
    if "heat" in vector:
        ours = heat(trades)
        rows = {each.symbol: each.statistics for each in ours.symbols}
        theirs = {row["symbol"]: row for row in vector["heat"]["symbols"]}
        if set(rows) != set(theirs):
            yield f"heat symbols: ours {sorted(rows)}, theirs {sorted(theirs)}"
        for symbol in rows.keys() & theirs.keys():
            yield from _compared(f"heat {symbol}", rows[symbol], theirs[symbol])
        yield from _compared("heat portfolio", ours.portfolio, vector["heat"]["portfolio"])


def _compared(part: str, ours: Statistics, theirs: Mapping[str, Any]) -> Iterator[str]:
    for metric, expected in theirs.items():
        if metric == "symbol":
            continue
        if metric not in METRIC_NAMES:
            yield f"{part} {metric}: not a metric here, theirs {expected!r}"
            continue
        actual = getattr(ours, metric)
        if not (_same(actual, expected) or _known(metric, ours, expected)):
            yield f"{part} {metric}: ours {actual!r}, theirs {expected!r}"


def _same(ours: object, theirs: object) -> bool:
    if isinstance(ours, (int, float)) and isinstance(theirs, (int, float)):
        return math.isclose(ours, theirs, rel_tol=RELATIVE, abs_tol=NOISE)
    return ours == theirs


def _known(metric: str, ours: Statistics, theirs: object) -> bool:
    """The differences ours to keep: 0 there and None here, where no trade was won, or none won or lost.

    In the reference `single` and `portfolio` have the 0 and a symbol's row has None; here all three have
    None.
    """
    if theirs != 0 or getattr(ours, metric) is not None:
        return False
    if metric == "certainty_ratio":
        return ours.win_count == 0
    return metric in ("win_rate", "expectancy") and ours.win_count + ours.loss_count == 0


def _trade(row: Mapping[str, Any]) -> Trade:
    """A recorded trade; what the statistics do not look at is filled with something plain."""
    return Trade(
        symbol=row["symbol"],
        strategy_name="recorded",
        position=row["position"],
        opened_at=row["opened_at"],
        closed_at=row["closed_at"],
        price_open=row["price_close"],
        price_close=row["price_close"],
        cost=100.0,
        pnl_percent=row["pnl_percent"],
        pnl_cost=row["pnl_cost"],
        close_reason="recorded",
        peak_pnl_percent=row["peak_pnl_percent"],
        trough_pnl_percent=row["max_drawdown_pnl_percent"],
    )
