"""A book: one strategy on one symbol, the only holder of a state.

**Theory.** A book lives on the rows of its tape. At a moment (a tick at which its strategy is due, or the next loud
candle) it feeds an input to the machine, answers the orders that come out, keeps the new state and tells its events.
Between moments it does nothing: `peek` says when the next one is, as a key that orders the moments of all books on one
time line, and `advance` lives through those before a given key. So many books can share one time line and one
portfolio, and a book that is alone never waits.

The key of a moment is `3 · tick + phase`: within a tick all books first absorb the candle that has just closed (phase
0), then jobs on engine time run (phase 1), then strategies are asked (phase 2). The tick of row `r` is the minute
boundary at which the candle of row `r − 1` has closed.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from backtest_kit.core.candles import Tape
from backtest_kit.core.events import (
    Event,
    SignalCancelled,
    SignalClosed,
    SignalOpened,
    SignalScheduled,
    Wanted,
)
from backtest_kit.core.forward import absorb, minute_at, quiet_until
from backtest_kit.core.inputs import Cut, Filled, Input, Minute, Refused, SettleAtNext
from backtest_kit.core.machine import decide
from backtest_kit.core.state import Active, Idle, Opening, Order, Scheduled, State, unanswered
from backtest_kit.core.values import MINUTE, Source, Time
from backtest_kit.engine.admission import Admission
from backtest_kit.engine.context import Context, enter
from backtest_kit.engine.decisions import idle_until, next_due, rejected
from backtest_kit.engine.listeners import Listeners, Subscription, wanted_kinds
from backtest_kit.engine.market import Market
from backtest_kit.engine.notices import AfterEnd, BeforeStart, Written
from backtest_kit.engine.params import Params
from backtest_kit.engine.pings import ping
from backtest_kit.engine.tally import Tally
from backtest_kit.engine.watchdog import Watchdog
from backtest_kit.engine.window import IndicatorColumns
from backtest_kit.errors import ContextError
from backtest_kit.registry import RiskSchema, StrategySchema
from backtest_kit.settings import Settings

NO_LIMIT = 2**62
_RESULTS = (SignalScheduled, SignalOpened, SignalClosed, SignalCancelled)
_PINGS: dict[type[State], int] = {Active: int(Wanted.ACTIVE_PING), Scheduled: int(Wanted.SCHEDULE_PING)}
_IDLE_PING = int(Wanted.IDLE_PING)


class Ticks(Struct, frozen=True):
    """The ticks of a frame as rows of the tape: from `first` to `last`, every `step` rows."""

    first: int
    last: int
    step: int

    def at_or_after(self, row: int) -> int:
        return self.first + max(0, -((self.first - row) // self.step)) * self.step


class Book:
    """One strategy on one symbol over one run."""

    def __init__(
        self,
        source: Source,
        strategy: StrategySchema,
        profiles: Sequence[RiskSchema],
        settings: Settings,
        market: Market,
        tape: Tape,
        ticks: Ticks,
        listeners: Listeners,
        callbacks: Sequence[Subscription],
        admission: Admission,
        watchdog: Watchdog,
        params: Params,
        indicators: IndicatorColumns | None = None,
        gaps: Sequence[tuple[int, int]] = (),
    ) -> None:
        self.source, self.strategy, self.profiles, self.terms = source, strategy, profiles, settings
        self.market, self.tape, self.ticks = market, tape, ticks
        self.listeners, self.admission, self.watchdog = listeners, admission, watchdog
        self.prices = memoryview(tape.price)  # type: ignore[arg-type]  # reading one float from it is twice as fast as from the array
        self.gaps = list(gaps)
        self.siblings: dict[str, Book] = {source.symbol: self}
        self.touched: list[Book] = []
        self.tally = Tally()
        self.results: list[Event] = []
        self.state: State = Idle()
        self.row = ticks.first
        self.stopped = self.done = False
        self.context = Context(self, params, indicators)
        self.context.when = tape.time(ticks.first)
        self._callbacks = callbacks
        self._unpublished: list[Event] = []
        self.tick, self.asked = ticks.first, -1
        self.key: int | None = None
        self._loud = 0
        self._version = -1
        self._routes: dict[type[Event], tuple[Subscription, ...]] = {}
        self.wanted = 0
        self._follow_listeners()

    # ---- the time line -------------------------------------------------------------------------------------------

    def peek(self) -> int:
        """The key of the next moment that this book has to live through; NO_LIMIT when it is done."""
        if self._version != self.listeners.version:
            self._follow_listeners()
        if self.key is None:
            self.key = self._next_key()
        return self.key

    async def advance(self, limit: int) -> None:
        """Lives through own moments before `limit`, in order, until there is a result or a book is touched."""
        enter(self.context)
        await self.publish()
        while not self.done and not self.results and not self.touched and self.peek() < limit:
            if type(self.state) is Idle:
                await idle_until(self, limit)
            else:
                await self._manage_until(limit)
            self.key = None
            if self._unpublished:
                await self.publish()

    async def begin(self) -> None:
        enter(self.context)
        await self.tell(BeforeStart(self.source, self.tape.time(self.ticks.first)))

    async def end(self) -> None:
        """The last tick is over."""
        if not self.done:
            self.done = True
            self.key = NO_LIMIT
            await self.tell(AfterEnd(self.source, self.context.when))

    def stop(self) -> None:
        """No new signals; what waits is cancelled at the next candle; what is open is watched to its end."""
        self.stopped = True
        self.key = None
        self.touched.append(self)

    @property
    def candles_done(self) -> int:
        """How many candles of its frame the book has lived through."""
        reached = self.ticks.last if self.done else min(self.tape.row(self.context.when), self.ticks.last)
        return reached - self.ticks.first

    def _next_key(self) -> int:
        if self.done:
            return NO_LIMIT
        if self.stopped and type(self.state) is Idle:
            return 0
        if self.stopped and type(self.state) is Scheduled and self.state.wish is None:
            self.command(SettleAtNext("cancel", self.context.when, "stopped"))
        if type(self.state) is Idle:
            tick = self.tick if self.wanted & _IDLE_PING else next_due(self, self.tick)
            return 3 * min(tick, self.ticks.last + 1) + 2
        stop = self._last_row()
        self._loud = self.row if self._every_candle() else self._quiet_until(stop)
        if self._loud < stop:
            return 3 * (self._loud + 1)
        return 3 * stop + (2 if stop == self.ticks.last else 0)

    # ---- an open or scheduled signal -----------------------------------------------------------------------------

    async def _manage_until(self, limit: int) -> None:
        """Absorbs quiet candles up to the next loud one and feeds that; or up to `limit`, or to the frame's end."""
        stop = self._last_row()
        reach = max(self.row, min(stop, (limit - 1) // 3))
        if not self._every_candle():
            loud = min(self._loud, reach)
        elif self.terms.fast_forward:
            quiet = self._quiet_until(reach)
            loud = await ping(self, self.row, quiet)
            if loud < quiet or self.disturbed:
                self.row = loud
                return
        else:
            loud = self.row
        self.state = absorb(self.state, self.tape, self.row, loud, self.terms)
        self.row = loud
        if loud < reach:
            self.row = loud + 1
            minute = minute_at(self.tape, loud)
            await self.feed(minute, minute.time + MINUTE, minute.price)
        elif loud == stop and 3 * stop + (2 if stop == self.ticks.last else 0) < limit:
            await self._cut(stop)

    async def _cut(self, stop: int) -> None:
        """The frame ends at this tick, or its candles do: leave at the average price."""
        at_end = stop == self.ticks.last
        time, price = self.tape.time(stop), float(self.tape.price[stop - 1])
        await self.feed(Cut(time, price, "frame_end" if at_end else "gap"), time, price)
        self.tick = self.ticks.at_or_after(stop + 1)

    async def feed(self, given: Input, when: Time, price: float) -> None:
        """An input becomes a new state and events; its orders are answered; the events are told."""
        self.context.when, self.context.price = when, price
        self.context.in_candle = type(given) is Minute
        before = self.state
        state, events = decide(before, given, self.terms, self.source)
        order = unanswered(state)
        while order is not None:
            state, more = decide(state, await self._answer(state, order), self.terms, self.source)
            events += more
            order = unanswered(state)
        self.state = state
        if self.profiles:
            self._place(before)
        if type(state) is Idle and type(before) is not Idle:
            self.tick = self.ticks.at_or_after(self.row)
        if events:
            await self._tell_all(events)
        if Written in self._routes and type(state) is not type(before):
            await self.tell(Written(self.source, self.context.when, state))

    async def _answer(self, state: State, order: Order) -> Input:
        """What a broker would say. Here every order is filled as modelled, once risk has agreed to a late entry."""
        if type(state) is Opening and state.from_schedule and self.profiles:
            check = (self.profiles, self.source, state.signal, order.price, self.context.when)
            rejection = await self.admission.admit(*check)
            if rejection is not None:
                await self.tell(rejected(self, state.signal, order.price, order.time, rejection))
                return Refused(order.id, order.time, rejection.reason, final=True, reason="risk")
        return Filled(order.id, order.time)

    def command(self, given: Input) -> Event:
        """A user's command, carried out at once; its events are told when the code that gave it has ended."""
        state, events = decide(self.state, given, self.terms, self.source)
        order = unanswered(state)
        while order is not None:
            state, more = decide(state, Filled(order.id, order.time), self.terms, self.source)
            events += more
            order = unanswered(state)
        before, self.state, self.key = self.state, state, None
        if self.profiles:
            self._place(before)
        self._unpublished.extend(events)
        return events[-1]

    def announce(self, event: Event) -> None:
        """Tells an event when the code that made it has ended."""
        self._unpublished.append(event)
        self.key = None

    def candle_time(self) -> Time:
        """The stamp of what user code does now: the candle that has just closed, or the tick at which it decides."""
        return self.context.when - MINUTE if self.context.in_candle else self.context.when

    def sibling(self, symbol: str) -> Book:
        """The book of the same strategy on another symbol of this run, brought to this book's time."""
        book = self.siblings.get(symbol)
        if book is None:
            known = ", ".join(self.siblings)
            raise ContextError(f"{self.source.strategy_name} does not run on {symbol!r} here; it runs on {known}")
        if book is not self:
            book.catch_up(self.context.when)
            book.context.in_candle = self.context.in_candle
            book.touch()
        return book

    def touch(self) -> None:
        """Somebody else speaks to this book: whoever runs now pauses, so that its next moment is found anew."""
        self.touched.append(self)

    def catch_up(self, when: Time) -> None:
        """Absorbs the quiet candles that have closed by `when`, and takes it as the book's own time."""
        row = min(self.tape.row(when), self._last_row())
        if type(self.state) is not Idle and self.row < row:
            row = min(row, self._quiet_until(row))
            self.state = absorb(self.state, self.tape, self.row, row, self.terms)
            self.row = row
        if when > self.context.when:
            self.context.when, self.context.price = when, float(self.tape.price[self.tape.row(when) - 1])

    @property
    def disturbed(self) -> bool:
        """Whether user code has changed what comes next: by a command, a stop, or by a listener that came or went."""
        return self.key is None or bool(self.touched) or self._version != self.listeners.version

    def listening(self, kind: type[Event]) -> tuple[Subscription, ...]:
        """Who listens to a kind of event now."""
        return self._routes.get(kind, ())

    # ---- telling -------------------------------------------------------------------------------------------------

    async def tell(self, event: Event) -> None:
        for each in self._routes.get(type(event), ()):
            await self.deliver(each, event)

    async def deliver(self, subscription: Subscription, event: Event) -> None:
        self.context.may_await = subscription.is_async
        await subscription.deliver(event, self.report)

    async def report(self, event: Event, error: Exception, where: str) -> None:
        """An error of a listener or a callback is counted, and becomes an event."""
        self.tally.errors += 1
        await self.listeners.report(event, error, where)

    async def _tell_all(self, events: Sequence[Event]) -> None:
        for event in events:
            kind = type(event)
            if kind in _RESULTS:
                self.results.append(event)
                if type(event) is SignalClosed:
                    self.tally.closed.append(event)
            if kind in self._routes:
                await self.tell(event)

    async def publish(self) -> None:
        """Tells what the commands of user code have brought about since."""
        while self._unpublished:
            events, self._unpublished = self._unpublished, []
            await self._tell_all(events)

    def _follow_listeners(self) -> None:
        """Takes over who listens to what now; callbacks of the strategy come first."""
        self._version = self.listeners.version
        routes: dict[type[Event], tuple[Subscription, ...]] = {}
        kinds = {kind for each in self._callbacks for kind in each.kinds} | self.listeners.kinds()
        for kind in kinds:
            routes[kind] = (*(each for each in self._callbacks if kind in each.kinds), *self.listeners.of(kind))
        self._routes, self.wanted, self.key = routes, int(wanted_kinds(routes)), None

    # ---- small questions -----------------------------------------------------------------------------------------

    def _every_candle(self) -> bool:
        """Whether every candle is a moment of its own: somebody wants its ping, or nothing may be skipped."""
        return not self.terms.fast_forward or bool(self.wanted & _PINGS.get(type(self.state), 0))

    def _quiet_until(self, stop: int) -> int:
        return quiet_until(self.state, self.tape, self.row, stop, self.wanted, self.terms)

    def _last_row(self) -> int:
        """The first row that is not absorbed: that of the last tick, or of the next gap."""
        for first, _ in self.gaps:
            if first >= self.row:
                return min(first, self.ticks.last)
        return self.ticks.last

    def _place(self, before: State) -> None:
        """Keeps the portfolio in step with the state."""
        state = self.state
        if isinstance(state, Active) and (not isinstance(before, Active) or before.position is not state.position):
            self.admission.hold(self.profiles, self.source, state.position)
        elif type(state) is Idle and type(before) is not Idle:
            self.admission.release(self.profiles, self.source)
