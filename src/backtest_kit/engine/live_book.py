"""A book in live trading: every change is written down before it counts, and every order is asked of a broker.

**Theory.** A tick is the same as in a backtest: the candles that have closed since the last one go through the machine
one by one, then the strategy is asked. What differs is what happens when a state asks for an order:

```
decide → new state with an order → WRITE {state, operation} → ask the broker → answer → decide → WRITE → tell
```

So at any moment at which the process may die, what is kept says what was asked for and what is not answered yet. A
restart reads the document, finds out about the operation, runs the candles that were missed and goes on: there is no
other recovery. While an operation is unknown the book stands still, for nothing can be decided about a position that
may or may not be there.

Facts are told after they were written, in order, at least once: those of a document that a dead process has not told
for certain are told by the next. Notices of single candles are not kept.
"""

from __future__ import annotations

from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from backtest_kit.core.events import FACTS, ActivePing, Committed, Event, OrderAnswered
from backtest_kit.core.forward import minute_at
from backtest_kit.core.inputs import Filled, Input, LeftElsewhere, Manage, Refused, SettleAtNext
from backtest_kit.core.machine import decide
from backtest_kit.core.orders import OrderRequest, OrderSide
from backtest_kit.core.position import Fill
from backtest_kit.core.state import Active, Closing, Idle, Opening, Order, Scheduled, State, unanswered
from backtest_kit.core.values import MINUTE, Time
from backtest_kit.engine.book import Book
from backtest_kit.engine.context import enter
from backtest_kit.engine.decisions import one_tick, rejected
from backtest_kit.engine.gate import Answer, Gate
from backtest_kit.engine.indicators import indicators_of
from backtest_kit.engine.journal import Journal
from backtest_kit.engine.live_market import LiveMarket
from backtest_kit.engine.notices import Failure, Written
from backtest_kit.engine.slot import Operation, Slot, client_order_id, encoded, key_of
from backtest_kit.ports import Document, Store

_OUTCOMES = {"done": "done", "again": "refused", "never": "rejected", "absent": "absent", "unknown": "unknown"}

_MOST_ORDERS_A_TICK = 20


class LedgerLine(Protocol):
    """The history of facts, as a book writes it: fact number `number` (1, 2, 3, …) of its stream."""

    async def record(self, event: Event, number: int) -> None: ...


class Desk(Struct, frozen=True):
    """What a live book works with: where it keeps its document and asks for orders, and who it is."""

    store: Store
    gate: Gate
    tag: str
    epoch: int
    ledger: LedgerLine | None = None
    journal: Journal | None = None
    alarm_after: int = 5


class LiveBook(Book):
    """One strategy on one symbol, on the wall clock."""

    def __init__(self, desk: Desk, slot: Slot, sequence: int, **parts: Any) -> None:
        super().__init__(**parts)
        self.desk, self.slot, self._sequence = desk, slot, sequence
        self.state, self.asked = slot.state, slot.asked
        self.row = self.tape.row(slot.absorbed_until)
        self._unpublished = list(slot.events)
        self._untold = len(slot.events)
        self._asked_now = 0
        self._may_be_gone = False  # the last look at the position has failed
        self._indicators_at: Time = -1
        if isinstance(self.state, Active | Closing):
            self.admission.hold(self.profiles, self.source, self.state.position)

    @property
    def is_blocked(self) -> bool:
        """Whether it is not known what became of an order: nothing is decided before that."""
        operation = self.slot.operation
        return operation is not None and operation.progress != "refused"

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is open, waits, or is asked for."""
        return type(self.state) is Idle and self.slot.operation is None

    async def follow(self, tick: Time) -> None:
        """Lets the tape reach up to a tick. Raises DataError while the exchange does not have its candles."""
        assert isinstance(self.market, LiveMarket)
        self.tape = await self.market.reach(self.source.symbol, tick)
        self.prices = memoryview(self.tape.price)  # type: ignore[arg-type]
        if self.strategy.indicators is not None:
            await self._follow_indicators(tick)

    async def _follow_indicators(self, tick: Time) -> None:
        """Computes the columns of the indicator hook anew when a candle of the strategy's interval has closed."""
        bucket = self.strategy.interval.floor(tick)
        if bucket != self._indicators_at:
            columns = await indicators_of(self.strategy, self.source.symbol, self.market)
            assert columns is not None
            self.context.indicators = columns
            columns.follow(self.context)
            self._indicators_at = bucket

    async def live_through(self, row: int) -> None:
        """One tick: the candles before `row` are absorbed, then the strategy is asked, where it is due."""
        enter(self.context)
        self._asked_now = 0
        await self.publish()
        await self._find_out()
        await self._look_at_position(row)
        if self.stopped and type(self.state) is Scheduled and self.state.wish is None:
            self.command(SettleAtNext("cancel", self.tape.time(row), "stopped"))
        if self.slot.operation is not None and not self.is_blocked:  # asked again once, not for every missed candle
            self.row = max(self.row, row - 1)
        while type(self.state) is not Idle and self.row < row and not self.is_blocked:
            minute = minute_at(self.tape, self.row)
            self.row += 1
            await self.feed(minute, minute.time + MINUTE, minute.price, 0)
            await self.publish()
        if type(self.state) is Idle and not self.is_blocked and not self.done:
            self.row = row
            await self._ask_strategy(row)
            await self.publish()

    async def _look_at_position(self, row: int) -> None:
        """Takes over what has happened to the position at the exchange without our asking."""
        self._may_be_gone = False
        if not isinstance(self.state, Active | Closing) or self.is_blocked:
            return
        time, price = self.tape.time(row), self.prices[row - 1]
        try:
            report = await self.desk.gate.check(ActivePing(self.source, time, price, self.state.position, self.terms))
        except Exception as error:  # not known: what is open is watched as before, and not added to
            self._may_be_gone = True
            await self.teller.listeners.report_failure(Failure(self.source, time, error, "on_order_active_check"))
            return
        if report is not None:
            side: OrderSide = "sell" if self.state.position.signal.position == "long" else "buy"
            self._count(side, report.fill)
            state, events = decide(self.state, LeftElsewhere(report.reason, time, report.fill), self.terms, self.source)
            before = self.state
            await self._write(state, None, events)
            if self.profiles:
                self._place(before)
            await self.publish()

    async def _ask_strategy(self, row: int) -> None:
        asked = self.asked
        if not self.stopped and not self.slot.paused:
            await one_tick(self, row)
        if self.asked != asked and self.desk.journal is not None:
            self.desk.journal.ask(self.source, self.tape, row)
        if self.asked != asked and type(self.state) is Idle:
            await self._write(self.state, self.slot.operation, ())

    # ---- inputs ----

    async def feed(self, given: Input, when: int, price: float, tell_at: int | None = None) -> None:
        """An input becomes a new state; it is written down, its order is asked for, and what happened is told."""
        self.context.when, self.context.price = when, price
        self.context.in_candle = tell_at is not None
        state, events = decide(self.state, given, self.terms, self.source)
        await self._settle(state, events)
        if tell_at is None:
            await self.publish()

    def command(self, given: Input) -> Event:
        """A user's command: judged at once; a broker is asked for it when the code that gave it has ended."""
        self.state, events = decide(self.state, given, self.terms, self.source)
        self._note(events)
        if events:
            return events[-1]
        assert isinstance(given, Manage)
        return Committed(self.source, given.time, given.kind, given.price, given.amount)

    async def tell_fact(self, event: Event) -> None:
        """A fact is written down first, like any other."""
        self._note((event,))

    async def publish(self) -> None:
        """Asks for what commands have ordered, writes down what is new, and tells it."""
        while self._unpublished or self._has_to_ask(self.state):
            if self._has_to_ask(self.state) or self._facts_unwritten():
                await self._settle(self.state, ())
            events, self._unpublished = self._unpublished, []
            facts = [event for event in events if type(event) in FACTS]
            await self._record(facts)
            await self.teller.tell_all(events)
            told = len(facts)
            if told:
                self.slot = self.slot.after_telling(told)
                self._untold -= told
                await self._write(self.state, self.slot.operation, ())

    async def _record(self, facts: list[Event]) -> None:
        """Adds facts to the history before they are told."""
        if self.desk.ledger is not None:
            for number, event in enumerate(facts, start=self.slot.told + 1):
                await self.desk.ledger.record(event, number)

    # ---- orders ----

    async def _settle(self, state: State, events: tuple[Event, ...]) -> None:
        """Asks for the orders of a state, one after the other, and keeps what came of it."""
        before = self.state
        while self._has_to_ask(state):
            order = unanswered(state)
            assert order is not None
            refusal = await self._risk_says_no(state, order)
            if refusal is not None:
                state, more = decide(state, refusal, self.terms, self.source)
                events += more
            else:
                operation = self._operation(order)
                await self._write(state, operation, events)
                answer = await self.desk.gate.ask(self._request(operation, state))
                state, events, rest = self._answered(state, operation, answer)
                await self._write(state, rest, events)
                events = ()
        if type(state) is not type(before) and self.teller.listening(Written):
            self._note((Written(self.source, self.context.when, state),))
        if any(type(event) in FACTS for event in events) or type(state) is not type(before) or self._facts_unwritten():
            await self._write(state, self.slot.operation, events)
        else:
            self._note(events)
            self.state = state
        if self.profiles:
            self._place(before)

    def _has_to_ask(self, state: State) -> bool:
        """Whether an order waits to be asked for; of very many small fills the rest waits for the next tick."""
        return unanswered(state) is not None and not self.is_blocked and self._asked_now < _MOST_ORDERS_A_TICK

    async def _find_out(self) -> None:
        """What became of an order whose answer is not known; after a restart that may be the one sent last."""
        operation = self.slot.operation
        if operation is None or operation.progress == "refused":
            return
        gate = self.desk.gate
        if gate.can_look_up:
            answer = await gate.find_out(operation.client_order_id, self.source, operation.not_after)
            if answer.kind == "unknown" and operation.progress == "unknown":
                return
        else:
            order = replace(operation.order, attempt=operation.order.attempt + 1)
            operation = replace(operation, order=order, not_after=gate.not_after)
            answer = await gate.ask(self._request(operation, self.state))
            if answer.kind == "again":  # this time it was not sent; of the time before nobody knows
                answer = replace(answer, kind="unknown")
        before = self.state
        state, events, after = self._answered(before, operation, answer)
        await self._write(state, after, events)
        if self.profiles:
            self._place(before)
        if not self.is_blocked:
            await self._settle(self.state, ())
        await self.publish()

    def _operation(self, order: Order) -> Operation:
        """The operation of an order: the refused one again, under its own id, or a new one."""
        self._asked_now += 1
        known, gate = self.slot.operation, self.desk.gate
        if known is not None and known.order.id == order.id:
            return Operation(known.client_order_id, order, gate.not_after)
        number = self.slot.operations + 1
        self.slot = replace(self.slot, operations=number)
        return Operation(client_order_id(self.desk.tag, self.source, self.desk.epoch, number), order, gate.not_after)

    def _answered(
        self, state: State, operation: Operation, answer: Answer
    ) -> tuple[State, tuple[Event, ...], Operation | None]:
        """The state after a broker's answer, what to tell of it, and what is left of the operation."""
        order, time = operation.order, self.context.when
        told = self._told(operation, answer)
        if answer.kind == "unknown":
            return state, (told,), replace(operation, progress="unknown")
        if answer.kind == "done":
            self._count(self._request(operation, state).side, answer.fill)
            state, events = decide(state, Filled(order.id, order.time, answer.fill), self.terms, self.source)
            return state, (told, *events), None
        final = order.kind == "open" and answer.kind != "again"
        state, events = decide(state, Refused(order.id, time, answer.note, final=final), self.terms, self.source)
        again = answer.kind == "again" and order.kind in ("open", "close")
        return state, (told, *events), replace(operation, progress="refused") if again else None

    def _count(self, side: OrderSide, fill: Fill | None) -> None:
        """Adds a fill to what the exchange must show of this book."""
        if fill is not None:
            sign = 1 if side == "buy" else -1
            quantity, paid = self.slot.quantity + sign * fill.quantity, sign * fill.price * fill.quantity + fill.fee
            self.slot = replace(self.slot, quantity=quantity, cash=self.slot.cash - paid)

    def _told(self, operation: Operation, answer: Answer) -> OrderAnswered:
        order, fill = operation.order, answer.fill
        return OrderAnswered(
            self.source,
            order.time,
            operation.client_order_id,
            order.kind,
            order.attempt,
            _OUTCOMES[answer.kind],  # type: ignore[arg-type]
            price=fill.price if fill else None,
            quantity=fill.quantity if fill else None,
            fee=fill.fee if fill else None,
            note=answer.note,
            alarm=answer.kind != "done" and order.attempt + 1 >= self.desk.alarm_after,
        )

    async def _risk_says_no(self, state: State, order: Order) -> Refused | None:
        """A late entry is checked against risk again, once; a refused order that is asked again is not.

        Nothing is added to a position that may have been closed by hand: that would hide it.
        """
        if order.kind == "average_buy" and self._may_be_gone:
            return Refused(order.id, order.time, "it is not known whether the position is still open", final=True)
        if not (type(state) is Opening and state.from_schedule and self.profiles and order.attempt == 0):
            return None
        check = (self.profiles, self.source, state.signal, order.price, self.context.when)
        rejection = await self.admission.admit(*check)
        if rejection is None:
            return None
        self._note((rejected(self, state.signal, order.price, order.time, rejection),))
        return Refused(order.id, order.time, rejection.reason, final=True, reason="risk")

    def _request(self, operation: Operation, state: State) -> OrderRequest:
        order = operation.order
        position = state.position if isinstance(state, Active | Closing) else None
        signal = position.signal if position is not None else state.signal  # type: ignore[union-attr]
        enters = order.kind in ("open", "average_buy")
        return OrderRequest(
            source=self.source,
            client_order_id=operation.client_order_id,
            attempt=order.attempt,
            kind=order.kind,
            side="buy" if enters == (signal.position == "long") else "sell",
            quantity=_quantity(order, state),
            price=order.price,
            cost=order.amount if enters else 0.0,
            signal=signal,
            position=position,
            price_take_profit=position.price_take_profit if position else signal.price_take_profit,
            price_stop_loss=position.price_stop_loss if position else signal.price_stop_loss,
            reason=state.reason if isinstance(state, Closing) else None,
            time=order.time,
            not_after=operation.not_after,
        )

    # ---- the document ----

    def _note(self, events: tuple[Event, ...]) -> None:
        self._unpublished.extend(events)

    def _facts_unwritten(self) -> bool:
        return sum(type(event) in FACTS for event in self._unpublished) > self._untold

    async def _write(self, state: State, operation: Operation | None, events: tuple[Event, ...]) -> None:
        """Makes the state true: first on disk, then here."""
        self._note(events)
        facts = tuple(event for event in self._unpublished if type(event) in FACTS)
        slot = replace(
            self.slot,
            state=state,
            operation=operation,
            absorbed_until=self.tape.time(self.row),
            asked=self.asked,
            events=facts,
        )
        document = Document(self._sequence + 1, self.desk.epoch, encoded(slot))
        await self.desk.store.write(key_of(self.source), document, self._sequence)
        self._sequence += 1
        self._untold = len(facts)
        self.slot, self.state = slot, state


def _quantity(order: Order, state: State) -> float:
    """Units of the base asset that an order trades, with leverage; 0 where it only moves a level."""
    if order.kind in ("open", "average_buy"):
        signal = state.position.signal if isinstance(state, Active | Closing) else state.signal  # type: ignore[union-attr]
        return order.amount * signal.leverage / order.price
    if not isinstance(state, Active | Closing):
        return 0.0
    held = state.position.coins * state.position.signal.leverage
    share = {"close": 1.0, "partial_profit": order.amount / 100, "partial_loss": order.amount / 100}
    return held * share.get(order.kind, 0.0)
