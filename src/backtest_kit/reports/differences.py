"""Where decisions of live trading and of its replay differ, and why.

A difference has one cause, the first of these that there is evidence for. Candles that were others before a decision
or during its life: *data*. A tick at which the strategy was not asked, so that it decided later or never: *timing*. A
price, or an order, that the broker made otherwise: *fill*; its fee: *fee*. What is left is *code*. While one side
holds what the other does not, its further decisions follow from that: they have the cause of what they follow from.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isclose

from msgspec import Struct
from msgspec.structs import replace

from backtest_kit.core.events import Event, RiskRejected, SignalClosed
from backtest_kit.core.values import MINUTE, Interval, Signal, Terms, Time
from backtest_kit.reports.decisions import Decision, Pair
from backtest_kit.reports.kinds.parity import Aspect, Cause, Difference
from backtest_kit.reports.tables import minute, price

_BACK = Interval.D1  # how long before a decision a candle that is another one counts as its cause
_SAME = 1e-9  # relative: the same arithmetic in another order
_LEVELS = ("price_open", "price_take_profit", "price_stop_loss")
_FIELDS = ("position", *_LEVELS, "minute_estimated_time", "cost", "leverage")


class Evidence(Struct, frozen=True):
    """What the journal knows of one book.

    `interval` is that of its strategy. `asked` are the ticks at which live trading asked it, None where there is no
    journal; `changed` are spans [start, stop) in which it saw other candles than the replay.
    """

    interval: Interval
    terms: Terms
    asked: frozenset[Time] | None = None
    changed: tuple[tuple[Time, Time], ...] = ()

    def may_have_been_asked(self, tick: Time) -> bool:
        return self.asked is None or tick in self.asked

    def has_changed(self, start: Time, stop: Time) -> bool:
        """Whether a candle of [start, stop) may be another one."""
        return any(first < stop and start < last for first, last in self.changed)


def differences_of(pairs: Sequence[Pair], evidence: Evidence) -> list[Difference]:
    """All differences of the decisions of one book, in order of time."""
    live = [each for each, _ in pairs if each is not None]
    replay = [each for _, each in pairs if each is not None]
    blamed: dict[int, Cause] = {}
    found: list[Difference] = []
    for ours, theirs in pairs:
        rows: list[Difference]
        if ours is not None and theirs is not None and ours.time == theirs.time:
            rows = _of_same(ours, theirs, evidence)
        else:
            cause = _followed(ours, replay, blamed, evidence) or _followed(theirs, live, blamed, evidence)
            rows = [_of_other(ours, theirs, cause or _why_other(ours, theirs, evidence))]
        found += rows
        causes = [row.cause for row in rows if row.cause != "fee"]
        blamed |= {id(each): causes[0] for each in (ours, theirs) if each is not None and causes}
    return found


def _followed(
    decision: Decision | None, others: Sequence[Decision], blamed: dict[int, Cause], evidence: Evidence
) -> Cause | None:
    """The cause for which the other side could not decide the same: it was busy, or had been asked already."""
    if decision is None:
        return None
    bucket = evidence.interval.floor(decision.time)  # a strategy is asked once in it
    before = (each for each in others if each.time < decision.time and id(each) in blamed)
    return next((blamed[id(each)] for each in before if each.until >= decision.time or each.time >= bucket), None)


def _why_other(ours: Decision | None, theirs: Decision | None, evidence: Evidence) -> Cause:
    """Why a decision was made by one side alone, or at another time."""
    times = [each.time for each in (ours, theirs) if each is not None]
    if evidence.has_changed(min(times) - _BACK, max(times)):
        return "data"
    if theirs is None:
        return "code"
    if evidence.asked is None:
        return "timing" if ours is not None else "code"
    is_late = ours is None or ours.time > theirs.time
    return "timing" if is_late and not evidence.may_have_been_asked(theirs.time) else "code"


def _of_other(ours: Decision | None, theirs: Decision | None, cause: Cause) -> Difference:
    return _difference(ours, theirs, cause, "decision", _decided(ours), _decided(theirs))


def _decided(decision: Decision | None) -> str:
    if decision is None:
        return "nothing"
    side = f"{decision.signal.position} " if decision.signal is not None else ""
    return f"{side}at {minute(decision.time)}, {decision.outcome}"


def _of_same(ours: Decision, theirs: Decision, evidence: Evidence) -> list[Difference]:
    """What differs in the lives of one decision: at most one thing besides fees."""
    fee = _fee(ours, theirs, evidence.terms)
    main = (
        _signals(ours, theirs, evidence)
        or _outcomes(ours, theirs, evidence)
        or _commands(ours, theirs, evidence)
        or _prices(ours, theirs, evidence)
    )
    if main is None:
        return [fee] if fee is not None else []
    if fee is None:
        return [main]
    return [replace(main, money=main.money - (fee.money or 0.0) if main.money is not None else None), fee]


def _signals(ours: Decision, theirs: Decision, evidence: Evidence) -> Difference | None:
    mine, other = ours.signal, theirs.signal
    if mine is None or other is None or all(_equal(getattr(mine, each), getattr(other, each)) for each in _FIELDS):
        return None
    before = evidence.has_changed(ours.time - _BACK, ours.time) or not _equal(ours.price, theirs.price)
    return _difference(ours, theirs, "data" if before else "code", "signal", _asked(mine), _asked(other))


def _asked(signal: Signal) -> str:
    entry = f" at {price(signal.price_open)}" if signal.price_open is not None else ""
    return f"{signal.position}{entry}, take {price(signal.price_take_profit)}, stop {price(signal.price_stop_loss)}"


def _outcomes(ours: Decision, theirs: Decision, evidence: Evidence) -> Difference | None:
    same_entry = _time(ours.opened) == _time(theirs.opened)
    if same_entry and (ours.outcome, ours.until) == (theirs.outcome, theirs.until):
        return None
    cause = _why_outcome(ours, theirs, evidence)
    return _difference(ours, theirs, cause, "outcome", _led_to(ours), _led_to(theirs))


def _why_outcome(ours: Decision, theirs: Decision, evidence: Evidence) -> Cause:
    first, last = min(ours.until, theirs.until), max(ours.until, theirs.until)
    if evidence.has_changed(ours.time - _BACK, ours.time) or evidence.has_changed(ours.time, first + MINUTE):
        return "data"
    if isinstance(ours.end, RiskRejected) or isinstance(theirs.end, RiskRejected):
        return "timing"  # live books are beside each other: which of them is admitted first is a matter of moments
    if any(each.outcome != "done" for each in ours.orders):
        return "fill"
    if ours.outcome == theirs.outcome and last - first <= evidence.interval:
        return "timing"
    return "code"


def _led_to(decision: Decision) -> str:
    entry = f"entered {minute(decision.opened.time)}, " if decision.opened is not None else ""
    return f"{entry}{decision.outcome}" + (f" {minute(decision.end.time)}" if decision.end is not None else "")


def _commands(ours: Decision, theirs: Decision, evidence: Evidence) -> Difference | None:
    mine, other = (_given(each) for each in (ours, theirs))
    if mine == other:
        return None
    changed = evidence.has_changed(ours.time - _BACK, min(ours.until, theirs.until))
    return _difference(ours, theirs, "data" if changed else "code", "commands", "; ".join(mine), "; ".join(other))


def _given(decision: Decision) -> list[str]:
    """The commands that were carried out, each as a text."""
    return [f"{each.command} {each.amount:.6g} at {minute(each.time)}" for each in decision.commands if each.accepted]


def _prices(ours: Decision, theirs: Decision, evidence: Evidence) -> Difference | None:
    """Where the prices of entry or exit differ from what the model expects of the replay's."""
    worse = {
        "entry": _entry_worse(ours, theirs, evidence.terms),
        "exit": _exit_worse(ours, theirs, evidence.terms),
    }
    told = [f"{name} {abs(by):.4f} % {'worse' if by > 0 else 'better'}" for name, by in worse.items() if abs(by) > 1e-7]
    if not told:
        return None
    seen = ours.until + MINUTE if ours.end is not None else ours.time
    is_modelled = bool(ours.orders) and all(each.price is None for each in ours.orders)
    cause: Cause = "data" if is_modelled or evidence.has_changed(ours.time - _BACK, seen) else "fill"
    return _difference(ours, theirs, cause, "price", ", ".join(told), "as modelled", sum(worse.values()))


def _entry_worse(ours: Decision, theirs: Decision, terms: Terms) -> float:
    """How much worse the first entry was than modelled, in percent of it."""
    if ours.opened is None or theirs.opened is None:
        return 0.0
    mine, other = ours.opened.position, theirs.opened.position.price_open
    slip = terms.slippage_percent / 100 if mine.entries[0].fill is not None else 0.0
    return mine.sign * (mine.price_open / (other * (1 + mine.sign * slip)) - 1) * 100


def _exit_worse(ours: Decision, theirs: Decision, terms: Terms) -> float:
    """How much worse the exit was than modelled, in percent; of several fills their mean counts."""
    if not isinstance(ours.end, SignalClosed) or not isinstance(theirs.end, SignalClosed):
        return 0.0
    sign, other = ours.end.position.sign, theirs.end.pnl.price_close
    closes = [each for each in ours.orders if each.kind == "close" and each.outcome == "done"]
    fills = [(each.price, each.quantity or 0.0) for each in closes if each.price is not None]
    units = sum(quantity for _, quantity in fills)
    mine = sum(at * quantity for at, quantity in fills) / units if units else ours.end.pnl.price_close
    slip = 0.0 if closes and not fills else terms.slippage_percent / 100
    return sign * (1 - mine / (other * (1 - sign * slip))) * 100


def _fee(ours: Decision, theirs: Decision, terms: Terms) -> Difference | None:
    """Where the fees of the real fills were not those of the model."""
    fills = [(each.price * each.quantity, each.fee) for each in ours.orders if each.price and each.quantity]
    paid, modelled = (sum(each.fee or 0.0 for each in ours.orders), sum(each[0] for each in fills))
    modelled *= terms.fee_percent / 100
    if isclose(paid, modelled, rel_tol=1e-6, abs_tol=_SAME):
        return None
    row = _difference(ours, theirs, "fee", "fee", f"{paid:.6g} paid", f"{modelled:.6g} modelled")
    return replace(row, money=modelled - paid)


def _difference(
    ours: Decision | None,
    theirs: Decision | None,
    cause: Cause,
    what: Aspect,
    live: str,
    replay: str,
    percent: float | None = None,
) -> Difference:
    one = ours or theirs
    assert one is not None
    return Difference(
        time=one.time,
        symbol=one.source.symbol,
        strategy_name=one.source.strategy_name,
        signal_id=one.id,
        position=one.signal.position if one.signal is not None else None,
        cause=cause,
        what=what,
        live=live,
        replay=replay,
        percent=percent,
        money=_money(ours, theirs),
    )


def _money(ours: Decision | None, theirs: Decision | None) -> float | None:
    mine, other = (each.profit if each is not None else 0.0 for each in (ours, theirs))
    return None if mine is None or other is None else mine - other


def _time(event: Event | None) -> Time | None:
    return event.time if event is not None else None


def _equal(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return isclose(one, other, rel_tol=_SAME)
    return one == other
