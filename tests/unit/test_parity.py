"""Parity: paper trading over a recorded feed equals its replay, and every seeded difference has its own cause."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import backtest_kit as bk
from backtest_kit.app import App, default
from backtest_kit.brokers import PaperBroker
from backtest_kit.core.events import Event, SignalClosed, SignalOpened, SignalScheduled
from backtest_kit.core.values import Side
from backtest_kit.engine.journal import Journal
from backtest_kit.engine.live_book import LiveBook
from backtest_kit.live_plan import Facts, LiveJob, Plugs, live_job
from backtest_kit.parity import journal, parity
from backtest_kit.ports import BrokerAdapter
from backtest_kit.reports.kinds.parity import ParityStatistics
from backtest_kit.stores import stream_of
from backtest_kit.version import __version__
from tests.live_worlds import DictStore, HandClock
from tests.worlds import MINUTE, at, fresh_app, walk

ROWS, FIRST, MINUTES = 700, 60, 480
SYMBOL = "AAA"
Table = dict[str, Any]


@pytest.fixture(autouse=True)
def app(tmp_path: Path) -> Iterator[App]:
    with fresh_app(tmp_path) as fresh:
        yield fresh


def declare(table: Table, take: float = 1.0, **options: Any) -> None:
    """A strategy of both sides with market and limit entries that decides by the last half hour."""

    def get_signal(symbol: str, when: int, price: float) -> bk.Signal:
        closes = bk.get_candles(symbol, "5m", 6).close
        side: Side = "long" if closes[-1] > closes[0] else "short"
        entry = price * (0.999 if side == "long" else 1.001) if when // (5 * MINUTE) % 3 == 0 else None
        return bk.Signal.bracket(side, price, take, 1.0, price_open=entry, minute_estimated_time=60)

    bk.add_exchange("m", bk.MemoryExchange({SYMBOL: table}))
    bk.add_strategy("s", get_signal, interval="5m", **options)


def declare_again(app: App, table: Table, **changes: Any) -> None:
    """The same as another process finds it: other candles, or other code."""
    app.exchanges.remove("m")
    app.strategies.remove("s")
    declare(table, **changes)


class Recorder(Facts):
    """The same without a thread, for a clock that moves while somebody waits."""

    async def record(self, event: Event, number: int) -> None:
        if number > self._counts[event.source]:
            self._ledger.append(stream_of(event.source), event)
            self._counts[event.source] += 1


def trade(
    minutes: float = MINUTES,
    broker: BrokerAdapter | None = None,
    clock: HandClock | None = None,
    notes: Journal | None = None,
    symbols: tuple[str, ...] = (SYMBOL,),
    store: DictStore | None = None,
) -> None:
    """So many minutes of paper trading of all that is registered; its facts are in the ledger of the app."""
    facts = bk.FileLedger(Path(default.settings.data_folder) / "ledger", durable=False)
    plugs = Plugs(store or DictStore(), broker or PaperBroker(), clock or HandClock(FIRST), partial(Recorder, facts))
    names = [each.name for each in bk.list_strategies()]
    job = live_job(default, plugs, "paper", symbols, names, None)
    if notes is not None:
        _journalled(job, notes)
    asyncio.run(_until(job, plugs.clock, plugs.clock.now() + minutes * MINUTE))


async def _until(job: LiveJob, clock: Any, end: float) -> None:
    trading = asyncio.create_task(_listen(job))
    while clock.now() < end and not trading.done():
        await clock.sleep(5)
    trading.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await trading


async def _listen(job: LiveJob) -> None:
    async for _ in job.run.results():
        pass


def _journalled(job: LiveJob, notes: Journal) -> None:
    """Lets the books of a run write what they were asked on."""
    prepare = job.run._prepare

    async def prepared() -> list[LiveBook]:
        books = await prepare()
        for book in books:
            start = book.slot.absorbed_until
            notes.begin(book.source, start, __version__, book.strategy, dict(book.context.params), book.terms)
            book._ask_strategy = partial(_ask, book, book._ask_strategy, notes)  # type: ignore[method-assign]
        return books

    job.run._prepare = prepared


async def _ask(book: LiveBook, ask: Callable[[int], Any], notes: Journal, row: int) -> None:
    asked = book.asked
    await ask(row)
    if book.asked != asked:
        notes.ask(book.source, book.tape, row)


def notes_of(app: App) -> Journal:
    return journal(app.settings.data_folder)


def causes(found: ParityStatistics) -> set[str]:
    return {row.cause for row in found.rows}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("has_journal", [True, False])
def test_paper_trading_over_a_recorded_feed_decides_what_its_replay_decides(
    app: App, seed: int, has_journal: bool
) -> None:
    declare(walk(ROWS, seed))
    trade(notes=notes_of(app) if has_journal else None)
    found = parity(app)
    assert list(found.rows) == []
    assert found.decisions == found.equal > 10
    assert (found.decision_differences, found.effects) == (0, ())
    assert found.live_profit == pytest.approx(found.replay_profit, rel=1e-3, abs=0.01)
    assert bool(found.notes) is not has_journal


# ---- seeded differences ----


class Skipping(HandClock):
    """A clock that is a minute ahead of where it was, from one minute on."""

    def __init__(self, minute: float, skipped: float) -> None:
        super().__init__(minute)
        self._skipped = at(skipped)

    def now(self) -> int:
        now = super().now()
        return now if now < self._skipped else now + MINUTE

    def monotonic(self) -> float:
        return self.now() / 1000


def events_of(app: App, *kinds: type[Event]) -> list[Event]:
    """The facts of these kinds in the ledger."""
    return [event for name in app.ledger.streams() for event in app.ledger.scan(name) if isinstance(event, kinds)]


def changed_at(table: Table, minute: int, **values: float) -> Table:
    new = {name: column.copy() for name, column in table.items()}
    for name, value in values.items():
        new[name][minute] = value
    return new


@pytest.mark.parametrize("minute", [150, 240, 350])
def test_a_changed_candle_is_found_under_data_and_nothing_else(app: App, minute: int) -> None:
    table = walk(ROWS, 1)
    declare(table)
    trade(notes=notes_of(app))
    high = float(table["high"][minute]) + 4
    declare_again(app, changed_at(table, minute, close=high - 1, high=high, volume=500.0))
    found = parity(app)
    assert causes(found) == {"data"}
    assert all(row.time > at(minute) - 130 * MINUTE for row in found.rows)
    known = all(row.money is not None for row in found.rows)
    assert found.other_money == pytest.approx(0, abs=0.05 if known else 2.0)


def test_a_changed_candle_without_consequences_is_told(app: App) -> None:
    table = walk(ROWS, 1)
    declare(table)
    trade(notes=notes_of(app))
    declare_again(app, changed_at(table, 415, open=float(table["low"][415])))
    found = parity(app)
    assert list(found.rows) == []
    assert [note.split(" ticks ")[0].split(": ")[1].split(" of ")[0] for note in found.notes] == ["at 1"]


@pytest.mark.parametrize("seed", range(3))
def test_changed_code_is_found_under_code_and_nothing_else(app: App, seed: int) -> None:
    table = walk(ROWS, seed)
    declare(table)
    trade(notes=notes_of(app))
    declare_again(app, table, take=1.4)
    found = parity(app)
    assert causes(found) == {"code"}
    assert {row.what for row in found.rows} >= {"signal"}
    assert found.decision_differences == len(found.rows)


@pytest.mark.parametrize("seed", range(3))
def test_worse_fills_are_found_under_fill_with_their_percent_and_nothing_else(app: App, seed: int) -> None:
    declare(walk(ROWS, seed))
    trade(notes=notes_of(app), broker=PaperBroker(slippage_percent=0.25))
    found = parity(app)
    assert causes(found) == {"fill"}
    assert found.decision_differences == 0
    closed = [row for row in found.rows if row.money is not None]
    assert len(closed) == len(events_of(app, SignalClosed)) > 5
    assert all(
        row.percent == pytest.approx(0.3, abs=0.01) and row.money == pytest.approx(-0.3, abs=0.01) for row in closed
    )
    assert found.effects[0].money == pytest.approx(found.money, abs=0.05)


@pytest.mark.parametrize("seed", range(3))
def test_higher_fees_are_found_under_fee_and_nothing_else(app: App, seed: int) -> None:
    declare(walk(ROWS, seed))
    trade(notes=notes_of(app), broker=PaperBroker(fee_percent=0.15))
    found = parity(app)
    assert causes(found) == {"fee"}
    assert found.decision_differences == 0
    assert found.effects[0].money == pytest.approx(found.money, abs=0.06)


@pytest.mark.parametrize("has_journal", [True, False])
@pytest.mark.parametrize("number", [2, 5])
def test_a_late_decision_is_found_under_timing_and_nothing_else(tmp_path: Path, number: int, has_journal: bool) -> None:
    table = walk(ROWS, 3)
    with fresh_app(tmp_path / "punctual") as punctual:
        declare(table)
        trade()
        decided = events_of(punctual, SignalScheduled, SignalOpened)
        ids = list(dict.fromkeys(event.signal.id for event in decided))  # type: ignore[attr-defined]
        late = int(ids[number].split("-")[-1])
    with fresh_app(tmp_path / "late") as app:
        declare(table)
        trade(notes=notes_of(app) if has_journal else None, clock=Skipping(FIRST, (late - at(0)) / MINUTE))
        found = parity(app)
        assert causes(found) == {"timing"}
        assert found.rows[0].replay.startswith(found.rows[0].position or "nothing")
        assert min(row.time for row in found.rows) == late + MINUTE


def test_both_at_once_are_told_apart(app: App) -> None:
    declare(walk(ROWS, 2))
    trade(notes=notes_of(app), broker=PaperBroker(slippage_percent=0.2, fee_percent=0.12))
    found = parity(app)
    assert causes(found) == {"fill", "fee"}
    assert sum(each.money for each in found.effects) == pytest.approx(found.money, abs=0.05)


def test_what_the_journal_recorded_of_parameters_and_terms_counts_in_the_replay(app: App) -> None:
    bk.set_config(fee_percent=0.02, slippage_percent=0.03)
    declare(walk(ROWS, 1))
    trade(notes=notes_of(app), broker=PaperBroker(fee_percent=0.02, slippage_percent=0.03))
    bk.set_config(fee_percent=0.1, slippage_percent=0.1)
    assert list(parity(app).rows) == []
    assert causes(parity(app, fee_percent=0.05)) == {"fee"}


# ---- what else may be met ----


@pytest.mark.parametrize(("first", "outcome"), [(60, SignalScheduled), (65, SignalOpened)])
def test_what_waits_or_is_open_in_both_is_equal(app: App, first: int, outcome: type[Event]) -> None:
    declare(walk(ROWS, 1, volatility=0.001))
    trade(30, notes=notes_of(app), clock=HandClock(first))
    assert len(events_of(app, outcome)) == 1
    assert events_of(app, SignalClosed) == []
    found = parity(app)
    assert (list(found.rows), found.decisions, found.equal) == ([], 1, 1)


def test_c6_hours_without_a_process_are_timing(app: App) -> None:
    """While nobody asked the strategy the replay goes on; what follows from that is no difference of its own."""
    declare(walk(ROWS, 4))
    store, notes = DictStore(), notes_of(app)
    trade(100, notes=notes, store=store)
    trade(200, notes=notes, store=store, clock=HandClock(FIRST + 250))
    found = parity(app)
    assert causes(found) == {"timing"}
    assert {row.live for row in found.rows if row.time < at(FIRST + 220)} == {"nothing"}


def test_the_period_can_be_narrowed_and_begins_where_nothing_is_held(app: App) -> None:
    table = walk(ROWS, 2)
    declare(table)
    trade(notes=notes_of(app))
    whole = parity(app)
    for first in range(100, 400, 37):
        part = parity(app, start=at(first), stop=at(first + 120))
        assert list(part.rows) == []
        assert part.start >= at(first)
        assert part.stop <= at(first + 120)
        assert 0 < part.decisions < whole.decisions


def test_books_under_one_risk_profile_are_replayed_together(app: App) -> None:
    bk.add_risk("two", validations=[bk.at_most_open(2)])
    declare(walk(ROWS, 2), risk_name="two")
    app.exchanges.remove("m")
    bk.add_exchange("m", bk.MemoryExchange({"AAA": walk(ROWS, 2), "BBB": walk(ROWS, 3)}))
    trade(300, notes=notes_of(app), symbols=("AAA", "BBB"))
    found = parity(app)
    assert list(found.rows) == []
    assert found.decisions == found.equal > 10
    entered = {event.symbol for event in events_of(app, SignalOpened)}
    assert entered == {"AAA", "BBB"}


def test_an_exit_that_the_broker_refused_for_a_while_is_a_matter_of_fills(app: App) -> None:
    class Reluctant(PaperBroker):
        refusals = 0

        async def on_order_close_commit(self, order: Any) -> Any:
            if self.refusals < 3:
                self.refusals += 1
                raise bk.OrderTransientError("not now")
            return await super().on_order_close_commit(order)

    declare(walk(ROWS, 2))
    trade(notes=notes_of(app), broker=Reluctant())
    found = parity(app)
    assert causes(found) == {"fill"}
    assert found.rows[0].what == "outcome"


def test_the_replay_leaves_no_trace(app: App) -> None:
    declare(walk(ROWS, 1))
    trade(100, notes=notes_of(app))
    before = {name: len(list(app.ledger.scan(name))) for name in app.ledger.streams()}
    parity(app)
    assert (app.records, app.frames.list()) == ([], ())
    assert {name: len(list(app.ledger.scan(name))) for name in app.ledger.streams()} == before


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"symbol": "AAB"}, "nothing of AAB has been traded live or on paper; did you mean 'AAA'?"),
        ({"mode": "papr"}, "unknown mode of live trading 'papr'; did you mean 'paper'?"),
        ({"mode": "live"}, "nothing of any strategy has been traded live"),
        ({"start": "2025-01-01"}, "nothing was decided in this period"),
        ({"stop": "2023-01-01"}, "nothing was decided in this period"),
        ({"params": {"fast": 3}}, "fast"),
        ({"fee_precent": 3}, "fee_precent"),
    ],
)
def test_what_cannot_be_compared_is_said(app: App, names: dict[str, Any], message: str) -> None:
    declare(walk(ROWS, 1))
    trade(60)
    with pytest.raises(bk.ConfigError) as error:
        parity(app, **names)
    assert message in str(error.value)


def test_the_report_has_figures_causes_and_differences(app: App) -> None:
    declare(walk(ROWS, 1))
    trade(200, notes=notes_of(app), broker=PaperBroker(fee_percent=0.2))
    found = parity(app)
    text = found.to_markdown(max_rows=2)
    assert text.startswith("# Parity with a backtest\n")
    assert f"- Decisions compared: {found.decisions}\n" in text
    assert "## By cause\n\n| Cause | Differences | Money |\n| --- | --- | --- |\n| fee |" in text
    assert "## Differences\n\nThe last 2 of" in text
    assert "No differences:" in parity(app, fee_percent=0.2).to_markdown()


def test_the_journal_says_when_the_code_has_changed(app: App) -> None:
    table = walk(ROWS, 1)
    declare(table)
    trade(60, notes=notes_of(app))
    app.strategies.remove("s")
    bk.add_strategy("s", lambda symbol, when, price: None, interval="5m")
    found = parity(app)
    assert [note for note in found.notes if "the code of the strategy has changed" in note]
    assert causes(found) == {"code"}
