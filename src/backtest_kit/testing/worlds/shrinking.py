"""Making a failing plan shorter, and listing every plan with one fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from backtest_kit.testing.worlds.faults import Plan


def shrunk(plan: Plan, fails: Callable[[Plan], bool]) -> Plan:
    """A plan of which no element can be left out without its succeeding; `fails` says whether a plan still fails.

    Elements are left out in runs: half of them first, single ones last, and again until nothing more can go.
    """
    kept = sorted(plan.items())
    size = max(1, len(kept) // 2)
    while kept:
        shorter = _without_a_run(kept, size, fails)
        if shorter is not None:
            kept = shorter
        elif size == 1:
            break
        else:
            size //= 2
        size = max(1, min(size, len(kept) // 2))
    return dict(kept)


def _without_a_run(
    items: list[tuple[tuple[str, int], str]], size: int, fails: Callable[[Plan], bool]
) -> list[tuple[tuple[str, int], str]] | None:
    for start in range(0, len(items), size):
        rest = items[:start] + items[start + size :]
        if fails(dict(rest)):
            return rest
    return None


def single_faults(kind: str, occasions: int, choices: tuple[str, ...]) -> Iterator[Plan]:
    """Every plan in which one thing goes wrong: each choice on each occasion of a kind, counted from 1."""
    for number in range(1, occasions + 1):
        for what in choices:
            yield {(kind, number): what}
