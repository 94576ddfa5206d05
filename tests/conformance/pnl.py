"""The profit of positions against recorded results: entries, partial exits, effective price, profit after costs.

A file holds one position a line: `entries`, `partials` (each with the basis and the number of entries just before
it), `price_close`, and what the profit must be. Numbers must agree to 1e-9 relative.
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from backtest_kit.core.position import Position, averaged, opened, profit, reduced
from backtest_kit.core.values import Signal, Terms

RELATIVE = 1e-9
TERMS = Terms(slippage_percent=0.1, fee_percent=0.1)


def check(path: Path | str) -> tuple[int, list[str]]:
    """How many positions agree, and a text for each difference of the others: line, number, ours, theirs."""
    passed, failed = 0, []
    for line, vector in enumerate(read(path), start=1):
        differences = [f"{vector.get('name', f'line {line}')} {each}" for each in differing(vector)]
        passed += not differences
        failed += differences
    return passed, failed


def read(path: Path | str) -> Iterator[dict[str, Any]]:
    """The positions of a file of JSON lines, compressed or not."""
    content = Path(path).read_bytes()
    text = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    yield from (json.loads(line) for line in text.splitlines() if line.strip())


def differing(vector: Mapping[str, Any]) -> Iterator[str]:
    """What differs in one position, as "number: ours …, theirs …"."""
    position = _entered(vector)
    for partial in vector["partials"]:
        position = _with_entries(position, vector, partial["entry_count"])
        yield from _compared("cost_basis", position.basis, partial["cost_basis"])
        position = reduced(position, 0, partial["price"], partial["percent"], partial["type"], TERMS)
    position = _with_entries(position, vector, len(vector["entries"]))
    ours, theirs = profit(position, vector["price_close"], TERMS), vector["expected"]
    yield from _compared("pnl_percentage", ours.percent, theirs["pnl_percentage"])
    yield from _compared("pnl_cost", ours.cost, theirs["pnl_cost"])
    yield from _compared("pnl_entries", ours.invested, theirs["pnl_entries"])
    yield from _compared("price_open", ours.price_open, theirs["price_open"])
    yield from _compared("price_close", ours.price_close, theirs["price_close"])
    yield from _compared("effective_price", position.effective_price, vector["effective_price"])
    yield from _rest(position, vector.get("totalClosed"))


def _rest(position: Position, theirs: Mapping[str, float] | None) -> Iterator[str]:
    if theirs is not None:
        yield from _compared("remainingCostBasis", position.basis, theirs["remainingCostBasis"])
        yield from _compared("totalClosedPercent", 100 - position.held_percent, theirs["totalClosedPercent"])


def _entered(vector: Mapping[str, Any]) -> Position:
    first = vector["entries"][0]
    signal = Signal(
        vector["position"], first["price"], first["price"], cost=first["cost"], leverage=vector.get("leverage", 1.0)
    )
    return opened(signal, 0, first["price"], TERMS)


def _with_entries(position: Position, vector: Mapping[str, Any], count: int) -> Position:
    for entry in vector["entries"][len(position.entries) : count]:
        position = averaged(position, 0, entry["price"], entry["cost"], TERMS)
    return position


def _compared(number: str, ours: float, theirs: float) -> Iterator[str]:
    if not math.isclose(ours, theirs, rel_tol=RELATIVE, abs_tol=1e-12):
        yield f"{number}: ours {ours!r}, theirs {theirs!r}"
