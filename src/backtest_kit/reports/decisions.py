"""Decisions of live trading and of its replay as they stand in their facts, and which of them belong together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from backtest_kit.core.events import (
    Committed,
    Event,
    OrderAnswered,
    RiskRejected,
    SignalCancelled,
    SignalClosed,
    SignalInvalid,
    SignalOpened,
    SignalScheduled,
)
from backtest_kit.core.values import MINUTE, NEVER, Interval, Signal, Source, Time
from backtest_kit.reports.kinds.life import signal_of
from backtest_kit.reports.tables import minute

_BEGINS = (SignalScheduled, SignalOpened, SignalCancelled, RiskRejected, SignalInvalid)


class Decision(Struct, frozen=True, kw_only=True):
    """One decision and what came of it.

    `first` is its first fact, `end` its last: None while its position is open or its entry waits. `price` is the
    average price at it, where it is known.
    """

    source: Source
    time: Time
    id: str
    first: Event
    signal: Signal | None
    price: float | None = None
    opened: SignalOpened | None = None
    end: Event | None = None
    commands: tuple[Committed, ...] = ()
    orders: tuple[OrderAnswered, ...] = ()

    @property
    def until(self) -> Time:
        return self.end.time if self.end is not None else NEVER

    @property
    def known_at(self) -> Time:
        """The tick at which its last fact is known: its own, or the one after the candle of a later fact."""
        later = (each for each in (self.opened, self.end) if each is not None and each is not self.first)
        return max((self.time, *(each.time + MINUTE for each in later)))

    @property
    def profit(self) -> float | None:
        """What it earned, quote currency; 0 for what was never a position, None while it is one."""
        if isinstance(self.end, SignalClosed):
            return self.end.pnl.cost
        return None if self.opened is not None else 0.0

    @property
    def is_refused(self) -> bool:
        """Whether it was a signal that was not acceptable, or that risk did not admit."""
        return self.opened is None and isinstance(self.end, RiskRejected | SignalInvalid)

    @property
    def outcome(self) -> str:
        """What became of it, in words."""
        end = self.end
        if isinstance(end, SignalClosed):
            return f"closed by {end.close_reason}"
        if isinstance(end, SignalCancelled):
            return f"cancelled ({end.reason})"
        if end is not None:
            return "refused by risk" if isinstance(end, RiskRejected) else "not acceptable"
        return "open" if self.opened is not None else "waiting"


Pair: TypeAlias = tuple[Decision | None, Decision | None]
"""A decision of live trading and that of the replay; None where one of them did not make it."""


def decisions_of(events: Iterable[Event], known: Time = NEVER) -> list[Decision]:
    """The decisions in the facts of one book, which are in their order, up to the tick `known`.

    What happens in a candle is known at the tick after it. The end of a frame is no end of a position.
    """
    found: list[Decision] = []
    current: Decision | None = None
    early: tuple[OrderAnswered, ...] = ()
    for event in events:
        if isinstance(event, OrderAnswered) and current is None:
            early = (*early, event)
        elif event.time > known or (current is not None and event.time == known):
            break
        elif current is None and isinstance(event, _BEGINS):
            current, early = _begun(event, early), ()
        elif current is not None:
            current = _continued(current, event)
        if current is not None and _ends(current, event):
            found.append(current)
            current = None
    return found if current is None else [*found, current]


def _begun(event: Event, orders: tuple[OrderAnswered, ...]) -> Decision:
    signal = signal_of(event)
    return Decision(
        source=event.source,
        time=event.time,
        first=event,
        id=signal.id if signal is not None and signal.id else f"{event.action} {minute(event.time)}",
        signal=signal,
        price=None if isinstance(event, SignalOpened) else getattr(event, "price", None),
        opened=event if isinstance(event, SignalOpened) else None,
        end=event if isinstance(event, SignalCancelled | RiskRejected | SignalInvalid) else None,
        orders=orders,
    )


def _continued(decision: Decision, event: Event) -> Decision:
    if isinstance(event, OrderAnswered):
        return replace(decision, orders=(*decision.orders, event))
    if isinstance(event, Committed):
        return replace(decision, commands=(*decision.commands, event))
    if isinstance(event, SignalOpened):
        return replace(decision, opened=event)
    if isinstance(event, SignalClosed | SignalCancelled) and not _is_cut(event):
        return replace(decision, end=event)
    return decision


def _ends(decision: Decision, event: Event) -> bool:
    return decision.end is not None or _is_cut(event)


def _is_cut(event: Event) -> bool:
    return "frame_end" in (getattr(event, "close_reason", ""), getattr(event, "reason", ""))


def pairs_of(live: Sequence[Decision], replay: Sequence[Decision], interval: Interval) -> list[Pair]:
    """Decisions by their signal ids; of those left over, the nearest of one side within an interval. In order.

    A refused signal that the other did not have led to nothing: it is left out.
    """
    rest = _named(replay)
    pairs: list[Pair] = []
    left: list[Decision] = []
    for key, each in _named(live).items():
        if key in rest:
            pairs.append((each, rest.pop(key)))
        elif not each.is_refused:
            left.append(each)
    rest = {key: each for key, each in rest.items() if not each.is_refused}
    for each in left:
        near = [key for key, other in rest.items() if _is_near(each, other, interval)]
        first = min(near, key=lambda key: abs(rest[key].time - each.time), default=None)
        pairs.append((each, rest.pop(first) if first is not None else None))
    pairs += [(None, each) for each in rest.values()]
    return sorted(pairs, key=lambda pair: min(each.time for each in pair if each is not None))


def _is_near(one: Decision, other: Decision, interval: Interval) -> bool:
    return abs(other.time - one.time) <= interval and _side(other) == _side(one)


def _named(decisions: Sequence[Decision]) -> dict[tuple[str, int], Decision]:
    """Decisions by id; users may use an id again."""
    seen: Counter[str] = Counter()
    found = {}
    for each in decisions:
        found[each.id, seen[each.id]] = each
        seen[each.id] += 1
    return found


def _side(decision: Decision) -> str:
    return decision.signal.position if decision.signal is not None else ""
