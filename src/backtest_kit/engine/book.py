"""A book: one strategy on one symbol, the only holder of a state.

**Theory.** A book lives on the rows of its tape. At a moment (a tick at which its strategy is due, or the next loud
candle) it feeds an input to the machine, answers the orders that come out, keeps the new state and tells its events.
Between moments it does nothing: `peek` says when the next one is, as a key that orders the moments of all books on one
time line, and `advance` lives through those before a given key. So many books can share one time line and one
portfolio, and a book that is alone never waits.

The key of a moment is `4 · tick + phase`: within a tick all books first absorb the candle that has just closed (phase
0), then they tell what it brought about (phase 1), then jobs on engine time run (phase 2), then strategies are asked
(phase 3). So user code of one book finds all others at the same candle. The tick of row `r` is the minute boundary at
which the candle of row `r − 1` has closed.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from backtest_kit.core.candles import Tape
from backtest_kit.core.events import Event, Wanted
from backtest_kit.core.forward import absorb, minute_at, quiet_until
from backtest_kit.core.inputs import Cut, Filled, Input, Refused, SettleAtNext
from backtest_kit.core.machine import decide, settled
from backtest_kit.core.state import Active, Idle, Opening, Order, Scheduled, State, unanswered
from backtest_kit.core.values import MINUTE, Source, Time
from backtest_kit.engine.admission import Admission
from backtest_kit.engine.context import Context, enter
from backtest_kit.engine.decisions import idle_until, next_due, rejected
from backtest_kit.engine.listeners import Listeners, Subscription
from backtest_kit.engine.market import Market
from backtest_kit.engine.notices import AfterEnd, BeforeStart, Written
from backtest_kit.engine.params import Params
from backtest_kit.engine.pings import ping, ping_of
from backtest_kit.engine.tally import Tally
from backtest_kit.engine.telling import Teller
from backtest_kit.engine.watchdog import Watchdog
from backtest_kit.engine.window import IndicatorColumns
from backtest_kit.errors import ContextError
from backtest_kit.registry import RiskSchema, StrategySchema
from backtest_kit.settings import Settings

NO_LIMIT = 2**62
ABSORB, TELL, JOBS, DECIDE = range(4)
_PINGS: dict[type[State], int] = {Active: int(Wanted.ACTIVE_PING), Scheduled: int(Wanted.SCHEDULE_PING)}
_IDLE_PING = int(Wanted.IDLE_PING)


def key_at(tick: int, phase: int) -> int:
    """The key of a phase of the tick of a row."""
    return 4 * tick + phase


def tick_and_phase(key: int) -> tuple[int, int]:
    return divmod(key, 4)


def last_tick_before(limit: int, phase: int) -> int:
    """The last tick whose phase lies before a key."""
    return (limit - 1 - phase) // 4


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
        self.market, self.tape, self.ticks, self.gaps = market, tape, ticks, list(gaps)
        self.admission, self.watchdog = admission, watchdog
        self.prices = memoryview(tape.price)  # type: ignore[arg-type]  # one float is read from it faster than from the array
        self.peers: dict[tuple[str, str], Book] = {}
        self.touched: list[Book] = []
        self.tally = Tally()
        self.state: State = Idle()
        self.row = ticks.first
        self.tick, self.asked = ticks.first, -1
        self.stopped = self.done = False
        self.context = Context(self, params, indicators)
        self.context.when = tape.time(ticks.first)
        self.context.price = self.prices[ticks.first - 1]
        self.teller = Teller(listeners, callbacks, self.context, self.tally)
        self.key: int | None = None
        self._unpublished: list[Event] = []
        self._tell_at: int | None = None
        self._loud = 0
        self._loud_of: tuple[State | None, int, int] = (None, 0, 0)

    # ---- the time line -------------------------------------------------------------------------------------------

    def peek(self) -> int:
        """The key of the next moment that this book has to live through; NO_LIMIT when it is done."""
        if self.teller.is_stale:
            self.teller.follow()
            self.key = None
        if self.key is None:
            self.key = self._next_key()
        return self.key

    async def advance(self, limit: int) -> None:
        """Lives through own moments before `limit`, in order, until there is a result or a book is touched."""
        enter(self.context)
        results, touched = self.teller.results, self.touched
        while not self.done and not results and not touched and (key := self.peek()) < limit:
            if self._unpublished:
                await self.publish()
            elif type(self.state) is Idle:
                await idle_until(self, tick_and_phase(key)[0], last_tick_before(limit, DECIDE))
            else:
                await self._manage_until(limit)
            self.key = None
            if self._unpublished and self._tell_at is None:
                await self.publish()

    def take_results(self) -> list[Event]:
        """What has happened since, for whoever iterates the run."""
        results, self.teller.results = self.teller.results, []
        return results

    async def begin(self) -> None:
        enter(self.context)
        await self.teller.tell(BeforeStart(self.source, self.tape.time(self.ticks.first)))

    async def end(self) -> None:
        """The last tick is over."""
        if not self.done:
            self.done = True
            self.key = NO_LIMIT
            if not self.stopped:
                last = self.ticks.last
                self.context.when, self.context.price = self.tape.time(last), self.prices[last - 1]
                self.context.in_candle = False
            await self.teller.tell(AfterEnd(self.source, self.context.when))

    def stop(self) -> None:
        """No new signals; what waits is cancelled at the next candle; what is open is watched to its end."""
        self.stopped = True
        self.key = None
        self.touch()

    @property
    def moment(self) -> int:
        """The key of the moment at which the book stands."""
        return key_at(self.tape.row(self.context.when), TELL if self.context.in_candle else DECIDE)

    def _next_key(self) -> int:
        if self.done:
            return NO_LIMIT
        if self._unpublished:
            return self._tell_at or 0
        if type(self.state) is Idle:
            if self.stopped:
                return 0
            tick = self.tick if self.teller.wanted & _IDLE_PING else next_due(self, self.tick)
            return key_at(min(tick, self.ticks.last + 1), DECIDE)
        if self.stopped and type(self.state) is Scheduled and self.state.wish is None:
            self.command(SettleAtNext("cancel", self.context.when, "stopped"))
        stop = self._last_row()
        loud = self._next_loud(stop)
        if self._pings() and self.row < self._told_by_pings(loud, stop):
            return key_at(self.row + 1, TELL)
        if loud < stop:
            return key_at(loud + 1, ABSORB)
        return key_at(stop, DECIDE if stop == self.ticks.last else ABSORB)

    # ---- an open or scheduled signal -----------------------------------------------------------------------------

    async def _manage_until(self, limit: int) -> None:
        """One moment: pings of the quiet candles before `limit`, or the next loud candle, or the end of the candles."""
        stop = self._last_row()
        loud = self._next_loud(stop)
        quiet = self._told_by_pings(loud, stop)
        if self._pings() and self.row < quiet:
            self.row = await ping(self, self.row, min(quiet, last_tick_before(limit, TELL)))
            return
        if self._pings():
            self._unpublished.extend(ping_of(self, row) for row in range(self.row, loud))
        self.state = absorb(self.state, self.tape, self.row, loud, self.terms)
        self.row = loud
        if loud < stop:
            self.row = loud + 1
            minute = minute_at(self.tape, loud)
            await self.feed(minute, minute.time + MINUTE, minute.price, key_at(loud + 1, TELL))
        if loud == stop or (self.row == stop != self.ticks.last and type(self.state) is not Idle):
            await self._cut(stop)  # where candles end in a gap: before anybody is told of this tick

    async def _cut(self, stop: int) -> None:
        """The frame ends at this tick, or its candles do: leave at the average price."""
        at_end = stop == self.ticks.last
        time, price = self.tape.time(stop), float(self.tape.price[stop - 1])
        cut = Cut(time, price, "frame_end" if at_end else "gap")
        await self.feed(cut, time, price, None if at_end else key_at(stop, TELL))
        self.tick = self.ticks.at_or_after(stop + 1)

    async def feed(self, given: Input, when: Time, price: float, tell_at: int | None = None) -> None:
        """An input becomes a new state and events; its orders are answered; events are told, now or at `tell_at`."""
        self.context.when, self.context.price = when, price
        self.context.in_candle = tell_at is not None
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
        if type(state) is not type(before) and self.teller.listening(Written):
            events += (Written(self.source, when, state),)
        if events and tell_at is None:
            await self.teller.tell_all(events)
        elif events:
            self._unpublished.extend(events)
            self._tell_at = tell_at

    async def _answer(self, state: State, order: Order) -> Input:
        """What a broker would say. Here every order is filled as modelled, once risk has agreed to a late entry."""
        if type(state) is Opening and state.from_schedule and self.profiles:
            check = (self.profiles, self.source, state.signal, order.price, self.context.when)
            rejection = await self.admission.admit(*check)
            if rejection is not None:
                self._unpublished.append(rejected(self, state.signal, order.price, order.time, rejection))
                return Refused(order.id, order.time, rejection.reason, final=True, reason="risk")
        return Filled(order.id, order.time)

    async def publish(self) -> None:
        """Tells what candles and the commands of user code have brought about since."""
        self.key = None
        while self._unpublished:
            events, self._unpublished, self._tell_at = self._unpublished, [], None
            await self.teller.tell_all(events)

    # ---- what others say to this book ----------------------------------------------------------------------------

    def command(self, given: Input) -> Event:
        """A user's command, carried out at once; its events are told when the code that gave it has ended."""
        before, self.key = self.state, None
        self.state, events = settled(before, given, self.terms, self.source)
        if self.profiles:
            self._place(before)
        self._unpublished.extend(events)
        return events[-1]

    async def tell_fact(self, event: Event) -> None:
        """Tells a fact that is no change of state: a signal that was refused or that broke a rule."""
        await self.teller.tell_all([event])

    def announce(self, event: Event) -> None:
        """Tells an event when the code that made it has ended."""
        self._unpublished.append(event)
        self.key = None

    def candle_time(self) -> Time:
        """The stamp of what user code does now: the candle that has just closed, or the tick at which it decides."""
        return self.context.when - MINUTE if self.context.in_candle else self.context.when

    def peer(self, symbol: str, strategy_name: str | None = None) -> Book:
        """A book of this run, by default of the same strategy, brought to this book's time."""
        name = strategy_name or self.source.strategy_name
        book = self.peers.get((name, symbol))
        if book is None:
            known = ", ".join(each for strategy, each in self.peers if strategy == name)
            raise ContextError(f"{name} does not run on {symbol!r} here; it runs on {known or 'nothing in this run'}")
        if book is not self:
            first = next(each for each in self.peers.values() if each in (self, book))
            book.catch_up(self.context.when, untold=self.context.in_candle and first is self)
            book.context.in_candle = self.context.in_candle
            book.touch()
        return book

    def touch(self) -> None:
        """Somebody else speaks to this book: whoever runs now pauses, so that its next moment is found anew."""
        self.touched.append(self)

    def catch_up(self, when: Time, untold: bool = False) -> None:
        """Lives through the quiet candles that have closed by `when`, and takes it as the book's own time.

        `untold` says that its turn to tell the last of them is still to come: who listens by then hears of it.
        """
        row = min(self.tape.row(when), self._last_row())
        if type(self.state) is not Idle and self.row < row:
            loud = min(row, self._next_loud(self._last_row()))
            last = max(self.row, loud - (untold or self._pings()))
            self.state = absorb(self.state, self.tape, self.row, last, self.terms)
            if last < loud:
                self.state, events = settled(self.state, minute_at(self.tape, last), self.terms, self.source)
                self._unpublished.extend(events)
            self.row = max(self.row, loud)
            self.key = None
        if when > self.context.when:
            self.context.when, self.context.price = when, self.prices[self.tape.row(when) - 1]

    def renew(self, now: Time, told: bool, asked: bool) -> None:
        """Listeners have come or gone at `now`: what this book passed over before, nobody hears any more.

        `told` and `asked` say whether it has told its candle and asked its strategy at that tick already.
        """
        self.catch_up(now if told else now - MINUTE)
        if type(self.state) is Idle:
            self.tick = max(self.tick, self.ticks.at_or_after(self.tape.row(now) + asked))
        self.key = None

    @property
    def disturbed(self) -> bool:
        """Whether user code has changed what comes next: by a command, a stop, or by a listener that came or went."""
        return self.key is None or bool(self.touched) or self.teller.is_stale

    # ---- small questions -----------------------------------------------------------------------------------------

    def _pings(self) -> bool:
        """Whether somebody wants to hear of every quiet candle of this state."""
        return bool(self.teller.wanted & _PINGS.get(type(self.state), 0))

    def _told_by_pings(self, loud: int, stop: int) -> int:
        """The first row that pings do not reach: a loud one, or the last one before a gap, where the book is cut."""
        return loud - 1 if loud == stop != self.ticks.last else loud

    def _next_loud(self, stop: int) -> int:
        """The first row up to `stop` that has to be fed; kept while the state and the listeners stay as they are."""
        if not self.terms.fast_forward:
            return min(self.row, stop)
        asked = (self.state, self.teller.wanted, stop)
        known = self._loud_of
        if known[0] is not self.state or known[1:] != asked[1:] or self._loud < self.row:
            self._loud = quiet_until(self.state, self.tape, self.row, stop, self.teller.wanted, self.terms)
            self._loud_of = asked
        return self._loud

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
