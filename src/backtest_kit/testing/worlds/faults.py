"""Who decides what goes wrong: a seed, or a plan that lists it.

Every occasion on which something may go wrong has a kind ("call", "point", "sync", …) and a number, counted from 1 in
its kind. A seed draws what happens there; a plan says it, and nothing else happens. What has happened is kept, as a
plan: run again under it, a world repeats itself, and a shorter plan that still fails is easier to understand. Each kind
draws from a stream of its own, so that a fault taken away leaves the others where they were.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import TypeAlias

Plan: TypeAlias = Mapping[tuple[str, int], str]
"""What happens on which occasion: {("point", 12): "kill", ("call", 3): "lost_answer"}."""


def planned(
    crashes: Mapping[int, str] | None = None, fates: Mapping[int, str] | None = None, **others: Mapping[int, str]
) -> Plan:
    """A plan from crashes by number of point ("kill", "power", "pause"), fates by number of call, and other kinds."""
    kinds = {"point": crashes or {}, "call": fates or {}, **others}
    return {(kind, number): what for kind, each in kinds.items() for number, what in each.items()}


class Faults:
    """Decides every fault of one world. `happened` is the plan of what came of it; `counts` the occasions by kind."""

    def __init__(self, seed: int, plan: Plan | None = None, log: Callable[..., None] | None = None) -> None:
        self.seed, self.plan, self._log = seed, plan, log
        self.over = False
        self.happened: dict[tuple[str, int], str] = {}
        self.counts: Counter[str] = Counter()
        self._streams: dict[str, Random] = {}

    def at(self, kind: str, odds: float, choices: Sequence[str]) -> str:
        """What goes wrong on this occasion, "" for nothing; nothing does any more once faults are over."""
        self.counts[kind] += 1
        if self.over:
            return ""
        number = self.counts[kind]
        if self.plan is not None:
            what = self.plan.get((kind, number), "")
        elif odds and self.stream(kind).random() < odds:
            what = self.stream(kind).choice(choices)
        else:
            return ""
        if what:
            self.happened[kind, number] = what
            if self._log is not None:
                self._log("fault", kind, number, what)
        return what

    def stream(self, name: str) -> Random:
        """A source of randomness of its own, for one purpose."""
        found = self._streams.get(name)
        if found is None:
            found = self._streams[name] = Random(f"{self.seed}/{name}")
        return found

    def tally(self) -> Counter[str]:
        """How often each fault has happened: "call lost_answer", "point kill"."""
        return Counter(_named(self.happened.items()))


def _named(happened: Iterable[tuple[tuple[str, int], str]]) -> Iterable[str]:
    return (f"{kind} {what}" for (kind, _), what in happened)
