"""What live trading plugs together: clock, candles, broker and store, in place of the frame of a backtest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from backtest_kit.app import App, callbacks_of, names_of, resolved
from backtest_kit.brokers import PaperBroker
from backtest_kit.core.candles import Tape
from backtest_kit.core.events import Event
from backtest_kit.core.stamps import iso
from backtest_kit.core.values import Interval, Mode, Source, Time
from backtest_kit.engine.admission import Admission
from backtest_kit.engine.book import Ticks
from backtest_kit.engine.clock import SystemClock
from backtest_kit.engine.gate import Gate
from backtest_kit.engine.journal import Journal
from backtest_kit.engine.live import LiveRun
from backtest_kit.engine.live_book import Desk, LedgerLine, LiveBook
from backtest_kit.engine.live_market import LiveMarket
from backtest_kit.engine.loop_watchdog import LoopWatchdog
from backtest_kit.engine.notices import Failure
from backtest_kit.engine.params import Params
from backtest_kit.engine.slot import Slot, decoded, key_of
from backtest_kit.errors import DataError
from backtest_kit.parity import journal
from backtest_kit.ports import BrokerAdapter, Clock, Document, Ledger, Store
from backtest_kit.settings import Settings, changed
from backtest_kit.stores import FileStore, stream_of
from backtest_kit.version import __version__

_FAR_ROW = 2**40  # a live frame has no end
_UNTIL_NEXT_ATTEMPT_SECONDS = 5.0


class LivePlan(Struct, frozen=True):
    """What is to be traded, by name; `settings` are those of the run, `start` is when it was planned, epoch ms."""

    symbols: tuple[str, ...]
    strategy_names: tuple[str, ...]
    exchange_name: str
    mode: Mode
    start: Time
    settings: Settings

    def sources(self) -> list[Source]:
        """All books, in order."""
        return [
            Source(symbol, name, self.exchange_name, mode=self.mode)
            for name in self.strategy_names
            for symbol in self.symbols
        ]


class LiveJob:
    """Live trading that was asked for: its plan and its run."""

    def __init__(self, plan: LivePlan, run: LiveRun) -> None:
        self.plan, self.run = plan, run
        self.source = Source(
            ", ".join(plan.symbols), ", ".join(plan.strategy_names), plan.exchange_name, mode=plan.mode
        )

    @property
    def start(self) -> Time:
        """When it was asked for."""
        return self.plan.start

    def finish(self) -> None:
        """Nothing is left behind but what the store keeps."""


class History(LedgerLine, Protocol):
    """Where the facts of a run go; `count` says how many of a book are there already."""

    def count(self, source: Source) -> int: ...


class Plugs(Struct, frozen=True):
    """What a live run is plugged into.

    `history` makes the place of its facts. `tag` marks this installation's orders (eight hex digits); "": a kept one.
    """

    store: Store
    adapter: BrokerAdapter | None
    clock: Clock
    history: Callable[[Iterable[Source]], History] | None = None
    tag: str = ""
    journal: Journal | None = None


def plugs_of(app: App, mode: Mode, clock: Clock | None, settings: Mapping[str, Any]) -> Plugs:
    """What is plugged in by default: the app's store or files in the data folder, its broker or one on paper."""
    values, time = changed(app.settings, **settings), clock or SystemClock()
    folder = Path(values.data_folder) / "paper" if mode == "paper" else Path(values.data_folder)
    store = app.store or FileStore(folder)
    if mode == "live":
        return Plugs(store, app.broker.adapter, time, partial(Facts, app.ledger), journal=journal(values.data_folder))
    paper = PaperBroker(fee_percent=values.fee_percent, slippage_percent=values.slippage_percent, sleep=time.sleep)
    return Plugs(store, paper, time, partial(Facts, app.ledger), journal=journal(values.data_folder))


def live_job(
    app: App,
    plugs: Plugs,
    mode: Mode,
    symbols: str | Iterable[str],
    strategy_names: str | Iterable[str] | None,
    exchange_name: str | None,
    params: Mapping[str, Any] | None = None,
    **settings: object,
) -> LiveJob:
    """Plans live trading: looks up every name, checks parameters and settings. Nothing is loaded yet."""
    exchange = app.exchanges.get(exchange_name) if exchange_name is not None else app.exchanges.only()
    chosen = (app.strategies.only().name,) if strategy_names is None else names_of("strategy", strategy_names)
    strategies = [app.strategies.get(name) for name in chosen]
    values = changed(app.settings, **{"on_error": "continue", **settings})
    given = resolved(strategies, params or {})
    for strategy in strategies:
        for name in strategy.risk_names:
            app.risks.get(name)
    clock = plugs.clock
    plan = LivePlan(names_of("symbol", symbols), chosen, exchange.name, mode, clock.now(), values)
    gate = Gate(plugs.adapter, clock)
    prepare = partial(_books, app, plugs, gate, plan, given)
    return LiveJob(plan, LiveRun(prepare, plugs.store.close, app.listeners, clock, gate))


async def _ready(app: App, plugs: Plugs, gate: Gate, plan: LivePlan) -> None:
    """Waits until the adapter is ready, however long its exchange is out of reach."""
    while True:
        try:
            await gate.prepare()
            return
        except Exception as error:
            source = Source(", ".join(plan.symbols), ", ".join(plan.strategy_names), plan.exchange_name, mode=plan.mode)
            await app.listeners.report_failure(Failure(source, plugs.clock.now(), error, "the broker's start"))
            await plugs.clock.sleep(_UNTIL_NEXT_ATTEMPT_SECONDS)


async def _books(
    app: App, plugs: Plugs, gate: Gate, plan: LivePlan, given: Mapping[str, Mapping[str, Any]]
) -> list[LiveBook]:
    """Reads every document, then makes the books; nothing is sent before all of them could be read."""
    epoch = await plugs.store.open(f"backtest-kit {plan.mode}")
    tag = plugs.tag or await _tag(plugs.store, epoch)
    await _ready(app, plugs, gate, plan)
    now = Interval.M1.floor(gate.now())
    history = plugs.history(plan.sources()) if plugs.history is not None else None
    kept = {source: await _kept(plugs.store, source, now, history) for source in plan.sources()}
    settings = plan.settings
    market = LiveMarket(app.history(plan.exchange_name, settings), now, settings.avg_price_candles)
    admission, desk = Admission(app.listeners), Desk(plugs.store, gate, tag, epoch, history, plugs.journal)
    books: list[LiveBook] = []
    peers: dict[tuple[str, str], LiveBook] = {}
    for source, (slot, sequence) in kept.items():
        strategy = app.strategies.get(source.strategy_name)
        if plugs.journal is not None:
            parameters = given[strategy.name]
            plugs.journal.begin(source, slot.absorbed_until, __version__, strategy, parameters, settings)
        first = min(each.absorbed_until for other, (each, _) in kept.items() if other.symbol == source.symbol)
        tape = await _first_candles(app, plugs, gate, market, source, first)
        book = LiveBook(
            desk,
            slot,
            sequence,
            source=source,
            strategy=strategy,
            profiles=[app.risks.get(name) for name in strategy.risk_names],
            settings=settings,
            market=market,
            tape=tape,
            ticks=Ticks(tape.row(max(now, first)), _FAR_ROW, 1),
            listeners=app.listeners,
            callbacks=callbacks_of(strategy),
            admission=admission,
            watchdog=LoopWatchdog(settings.get_signal_timeout_seconds),
            params=Params(given[strategy.name]),
        )
        peers[strategy.name, source.symbol] = book
        book.peers = peers  # type: ignore[assignment]
        books.append(book)
    return books


async def _first_candles(app: App, plugs: Plugs, gate: Gate, market: LiveMarket, source: Source, first: Time) -> Tape:
    """The candles from where a symbol was left up to now; waits for as long as the exchange does not show them."""
    while True:
        now = Interval.M1.floor(gate.now())
        try:
            if now < first:
                raise DataError(f"the clock stands at {iso(now)}, but candles up to {iso(first)} were traded already")
            return await market.follow(source.symbol, first, now)
        except DataError as error:
            await app.listeners.report_failure(Failure(source, plugs.clock.now(), error, "the first candles"))
            await plugs.clock.sleep(_UNTIL_NEXT_ATTEMPT_SECONDS)


async def _tag(store: Store, epoch: int) -> str:
    """The mark of this installation's orders, made once and kept."""
    kept = await store.read("installation")
    if kept is None:
        kept = Document(1, epoch, f'"{token_hex(4)}"')
        await store.write("installation", kept, 0)
    return kept.content.strip('"')


class Facts:
    """The ledger as the books of a run write it. A fact that is in it already, from before a crash, is not repeated."""

    def __init__(self, ledger: Ledger, sources: Iterable[Source]) -> None:
        self._ledger = ledger
        self._counts = {source: sum(1 for _ in ledger.scan(stream_of(source))) for source in sources}

    def count(self, source: Source) -> int:
        """How many facts of a book are in it."""
        return self._counts[source]

    async def record(self, event: Event, number: int) -> None:
        """Adds fact number `number` of a book, unless it is there."""
        if number > self._counts[event.source]:
            await asyncio.to_thread(self._ledger.append, stream_of(event.source), event)
            self._counts[event.source] += 1


async def _kept(store: Store, source: Source, now: Time, history: History | None) -> tuple[Slot, int]:
    """The document of a book with its sequence number; a new one where it never traded."""
    document = await store.read(key_of(source))
    if document is None:
        return Slot(source=source, absorbed_until=now, told=history.count(source) if history else 0), 0
    slot = decoded(document.content, source)
    if slot.operation is not None and slot.operation.progress == "asked":
        slot = replace(slot, operation=replace(slot.operation, progress="unknown"))
    return slot, document.sequence
