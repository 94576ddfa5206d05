"""Reports on one subject, asked for by name: during a run, after it, of parts of it, and when there is none."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import backtest_kit as bk
from backtest_kit.core.values import Side
from tests.worlds import (
    SYMBOL,
    at,
    collected,
    flat,
    fresh_world,
    given,
    long,
    minute_of,
    once,
    run,
    short,
    walk,
    without,
)

world = pytest.fixture(autouse=True)(fresh_world)

KINDS: dict[str, Any] = {
    "schedule": bk.Schedule,
    "heat": bk.Heat,
    "partial": bk.Partial,
    "breakeven": bk.Breakeven,
    "highest_profit": bk.HighestProfit,
    "max_drawdown": bk.MaxDrawdown,
    "risk": bk.Risk,
    "performance": bk.Performance,
    "strategy": bk.Strategy,
    "orders": bk.Orders,
    "walker": bk.Walker,
}
OF_BOOKS = {kind: reporter for kind, reporter in KINDS.items() if kind not in ("performance", "walker")}
ASKS = ("get_data", "get_report", "dump")
every_kind = pytest.mark.parametrize(("kind", "reporter"), KINDS.items(), ids=KINDS)
every_kind_of_books = pytest.mark.parametrize(("kind", "reporter"), OF_BOOKS.items(), ids=OF_BOOKS)


def eventful(symbols: tuple[str, ...] = ("A", "B"), rows: int = 600, **options: Any) -> list[Any]:
    """Two strategies: one trades at the market and gives commands, one with limit entries; a rule that refuses some."""
    given({symbol: walk(rows, number) for number, symbol in enumerate(symbols)}, frame=(10, rows - 10))
    bk.add_risk("one", validations=[bk.at_most_open(1)])

    @bk.strategy("market", risk_name="one")
    def market(symbol: str, when: int, price: float) -> bk.Signal:
        return bk.Signal.bracket("long", price, take_profit_percent=2, stop_loss_percent=1, minute_estimated_time=90)

    @bk.strategy("limit", risk_name="one")
    def limit(symbol: str, when: int, price: float) -> bk.Signal:
        return short(price * 0.985, price * 1.015, 60, price_open=price * 1.003)

    @bk.listen_active_ping
    def manage(event: Any) -> None:
        if event.source.strategy_name == "market" and minute_of(event.time) % 7 == 0:
            bk.commit_partial_profit(event.symbol, 20)

    return run(list(symbols), strategy_name=["market", "limit"], **options)


# ---- what is asked for -----------------------------------------------------------------------------------------------


@every_kind
def test_a_report_is_written_to_a_folder_of_its_kind_under_the_names_of_the_run(
    kind: str, reporter: Any, tmp_path: Path
) -> None:
    eventful()
    names = "limit-market" if kind == "walker" else "market-limit"
    path = reporter.dump()
    assert path == tmp_path / kind / f"{names}_A-B.md"
    assert path.read_text("utf-8") == reporter.get_report()
    assert reporter.dump(path=tmp_path / "mine.md") == tmp_path / "mine.md"
    assert reporter.dump(path=tmp_path / "folder").parent == tmp_path / "folder"


@every_kind_of_books
def test_the_rows_of_one_book_are_those_of_the_whole_run_that_are_its_own(kind: str, reporter: Any) -> None:
    eventful()
    whole = reporter.get_data().rows
    assert len(whole) > 0
    for symbol in "AB":
        found = [row.symbol for row in reporter.get_data(symbol).rows]
        assert found == [row.symbol for row in whole if row.symbol == symbol]
    if kind != "heat":
        for name in ("market", "limit"):
            own = tuple(row for row in whole if row.strategy_name == name)
            assert reporter.get_data(strategy_name=name).rows == own
        one = tuple(row for row in whole if (row.strategy_name, row.symbol) == ("limit", "B"))
        assert reporter.get_data("B", strategy_name="limit").rows == one


@every_kind_of_books
def test_a_report_of_one_book_says_and_is_filed_under_whose_it_is(kind: str, reporter: Any, tmp_path: Path) -> None:
    eventful()
    assert reporter.get_report("B", strategy_name="limit").splitlines()[0].endswith(" of limit on B")
    assert reporter.dump("B", strategy_name="limit") == tmp_path / kind / "limit_B.md"


@every_kind
def test_columns_are_chosen_added_and_misspelt(kind: str, reporter: Any) -> None:
    eventful()
    first = {"heat": "total_pnl", "performance": "count", "walker": "avg_pnl"}.get(kind, "symbol")
    report = reporter.get_report(columns=[first, bk.Column("mine", "Mine", lambda row: "| <b>")])
    header = next(line for line in reversed(report.splitlines()) if line.startswith("| ---"))
    assert header == "| --- | --- |"
    assert report.rstrip().endswith("| \\| &lt;b&gt; |")
    assert reporter.dump(columns=[first]).read_text("utf-8") == reporter.get_report(columns=[first])
    with pytest.raises(bk.UnknownNameError, match=f"did you mean '{first}'"):
        reporter.get_report(columns=[first[:-1]])


@every_kind
async def test_every_answer_may_be_awaited(kind: str, reporter: Any) -> None:
    given(flat(100), frame=(10, 50))
    bk.add_strategy("s", once(long(102, 98, 3)))
    assert len(await collected(bk.Backtest.run(SYMBOL))) == 2
    assert await reporter.get_data() == reporter.get_data()
    assert await reporter.get_report() == reporter.get_report()
    assert (await reporter.dump()).exists()


# ---- names -----------------------------------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("ask", ASKS)
def test_where_nothing_was_run_every_question_says_so(ask: str, kind: str, reporter: Any, tmp_path: Path) -> None:
    with pytest.raises(bk.ConfigError, match=r"no backtest of anything has been run; Backtest\.run"):
        getattr(reporter, ask)()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"strategy_name": "markt"}, "unknown strategy 'markt'; did you mean 'market'?"),
        ({"exchange_name": "memry"}, "unknown exchange 'memry'; did you mean 'memory'?"),
        ({"frame_name": "frmae"}, "unknown frame 'frmae'; did you mean 'frame'?"),
        ({"mode": "backtst"}, "unknown mode 'backtst'; did you mean 'backtest'?"),
    ],
)
def test_a_misspelt_name_is_told_with_the_one_that_was_meant(names: dict[str, str], said: str) -> None:
    eventful()
    for reporter in OF_BOOKS.values():
        with pytest.raises(bk.UnknownNameError) as caught:
            reporter.get_data(**names)
        assert str(caught.value) == said


def test_a_symbol_that_was_not_run_is_named() -> None:
    eventful()
    with pytest.raises(bk.ConfigError, match="no backtest of C has been run"):
        bk.Risk.get_data("C")


def test_the_mode_backtest_never_looks_into_the_ledger(tmp_path: Path) -> None:
    with pytest.raises(bk.ConfigError, match="no backtest of anything has been run"):
        bk.Heat.get_data(mode="backtest")
    assert list(tmp_path.iterdir()) == []


# ---- while it runs, and when it ends early ---------------------------------------------------------------------------


def test_a_strategy_that_asks_about_its_own_run_sees_nothing_that_is_to_come() -> None:
    tables = {"A": without(walk(400, 1), *range(200, 205)), "B": walk(400, 2)}
    seen: list[tuple[int, bk.BacktestResult]] = []

    def look(symbol: str, when: int, price: float) -> bk.Signal:
        if len(seen) < 200:
            seen.append((when, bk.Backtest.get_data()))
        return bk.Signal.bracket("long", price, take_profit_percent=1, stop_loss_percent=1, minute_estimated_time=15)

    given(tables, frame=(10, 390))
    bk.add_strategy("s", look)
    run(["A", "B"], on_gap="skip")
    assert len(seen) > 10
    for when, data in seen:
        assert all(prices.candles.stop <= when for prices in data.prices)
        assert all(event.time <= when for event in data.events)
        assert all(stop <= when for _, stop in data.facts.gaps)
        assert data.facts.ended_at is not None
        assert data.facts.ended_at <= when
        assert max(data.curve.times) <= when
    assert any(data.facts.gaps for _, data in seen)
    assert len({data.facts.data_hash for _, data in seen}) > 10


def test_what_a_strategy_sees_of_its_own_run_does_not_depend_on_the_candles_after_it() -> None:
    known: list[list[Any]] = []
    for tail in (3, 4):
        table = walk(400, 1)
        for name in ("open", "high", "low", "close"):
            table[name][200:] = table[name][200:] + (tail if name != "low" else 0)
        seen: list[Any] = []

        def look(symbol: str, when: int, price: float, seen: list[Any] = seen) -> bk.Signal | None:
            if minute_of(when) <= 200:
                data = bk.Backtest.get_data()
                seen.append((data.facts.data_hash, data.trades, data.events, data.total_pnl, bk.Partial.get_report()))
                return bk.Signal.bracket("long", price, take_profit_percent=1, stop_loss_percent=1)
            return None

        bk.add_strategy(f"s{tail}", look)
        bk.add_exchange(f"memory{tail}", bk.MemoryExchange({SYMBOL: table}))
        bk.add_frame(f"frame{tail}", interval="1m", start=at(10), end=at(390))
        run(strategy_name=f"s{tail}", exchange_name=f"memory{tail}", frame_name=f"frame{tail}")
        known.append([[str(each).replace(f"s{tail}", "s").replace(f"memory{tail}", "m").replace(f"frame{tail}", "f")
                       for each in moment] for moment in seen])  # fmt: skip
    assert len(known[0]) > 5
    assert known[0] == known[1]


@every_kind
def test_a_report_can_be_asked_for_before_the_first_candle_and_in_the_middle(kind: str, reporter: Any) -> None:
    given(walk(300, 1), frame=(10, 290))
    bk.add_strategy(
        "s", lambda symbol, when, price: bk.Signal.bracket("long", price, take_profit_percent=1, stop_loss_percent=1)
    )
    results = bk.Backtest.run(SYMBOL)
    assert reporter.get_report().startswith("# ")
    assert next(iter(results)).action == "opened"
    assert reporter.dump().read_text("utf-8") == reporter.get_report()


def test_a_run_that_is_stopped_counts_the_candles_that_it_has_lived_through() -> None:
    given({"A": flat(300), "B": flat(300)}, frame=(10, 290))
    for name in ("up", "down"):
        bk.add_strategy(name, lambda symbol, when, price: long(102, 98, 10))
    for event in bk.Backtest.run(["A", "B"], strategy_name=["up", "down"]):
        if minute_of(event.time) >= 50:
            bk.Backtest.stop("A", strategy_name="up")
        if minute_of(event.time) >= 90:
            bk.Backtest.stop(strategy_name="down")
    up, down = (bk.Backtest.get_data("A", strategy_name=name) for name in ("up", "down"))
    ended = up.facts.ended_at or 0
    assert up.trades[-1].closed_at <= ended <= at(70)
    assert up.facts.candles == minute_of(ended) - 10
    assert 80 <= down.facts.candles < 110
    assert bk.Backtest.get_data("B", strategy_name="up").facts.candles == 280
    assert f"Ended before its stop, at: {datetime.fromtimestamp(ended / 1000, UTC):%Y-%m-%dT%H:%MZ}" in up.to_markdown()
    assert "Ended before its stop" in up.to_html()


def test_the_fingerprint_of_a_symbol_does_not_depend_on_who_asks_first() -> None:
    hashes = []
    for order in (("up", "down"), ("down", "up")):
        given_name = "-".join(order)
        bk.add_exchange(given_name, bk.MemoryExchange({"A": walk(300, 1)}))
        bk.add_frame(given_name, interval="1m", start=at(10), end=at(290))
        for name in order:
            bk.add_strategy(f"{given_name}-{name}", lambda symbol, when, price: long(price + 2, price - 2, 10))
        names = [f"{given_name}-{name}" for name in ("up", "down")]
        for event in bk.Backtest.run("A", strategy_name=names, exchange_name=given_name, frame_name=given_name):
            if minute_of(event.time) >= 50:
                bk.Backtest.stop(strategy_name=names[0])
        found = {name: bk.Backtest.get_data("A", strategy_name=f"{given_name}-{name}") for name in order}
        hashes.append({name: data.facts.data_hash for name, data in found.items()})
    assert hashes[0] == hashes[1]
    assert hashes[0]["up"] == hashes[0]["down"]


def test_the_fingerprint_of_several_symbols_tells_other_candles_and_other_owners_apart() -> None:
    found = []
    for number, seeds in enumerate(((1, 1), (2, 2), (1, 2), (2, 1))):
        bk.add_exchange(str(number), bk.MemoryExchange({"A": walk(100, seeds[0]), "B": walk(100, seeds[1])}))
        if not number:
            bk.add_frame("frame", interval="1m", start=at(10), end=at(90))
            bk.add_strategy("s", once(None))
        run(["A", "B"], exchange_name=str(number))
        found.append(bk.Backtest.get_data().facts.data_hash)
        run(["B", "A"], exchange_name=str(number))
        assert bk.Backtest.get_data().facts.data_hash == found[-1]
    assert len(set(found)) == 4


async def test_a_run_that_was_interrupted_keeps_what_it_has_done() -> None:
    given(flat(5000), frame=(10, 4990))

    @bk.strategy("s")
    async def get_signal(symbol: str, when: int, price: float) -> bk.Signal:
        if minute_of(when) > 100:
            await asyncio.sleep(0)
            task.cancel()
        return long(102, 98, 3)

    task = asyncio.ensure_future(collected(bk.Backtest.run(SYMBOL)))
    with pytest.raises(asyncio.CancelledError):
        await task
    data = bk.Backtest.get_data()
    assert bk.Backtest.list()[0].status == "interrupted"
    assert 20 < len(data.trades) < 40
    assert data.facts.candles < 200
    assert bk.Orders.get_data().total == len(data.events)
    assert "Ended before its stop" in bk.Backtest.get_report()


# ---- milestones ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_milestones_are_the_same_whether_candles_are_skipped_or_not(seed: int) -> None:
    given({symbol: walk(900, seed * 2 + number) for number, symbol in enumerate("AB")}, frame=(10, 890))

    @bk.strategy("s")
    def get_signal(symbol: str, when: int, price: float) -> bk.Signal:
        side: Side = "long" if minute_of(when) % 2 else "short"
        return bk.Signal.bracket(side, price, take_profit_percent=3, stop_loss_percent=2, minute_estimated_time=120)

    told = []
    for fast in (True, False):
        run(["A", "B"], fast_forward=fast)
        told.append([reporter.get_data() for reporter in (bk.Partial, bk.Breakeven, bk.HighestProfit, bk.MaxDrawdown)])
    assert told[0] == told[1]
    assert told[0][0].total > 20


def test_milestones_told_to_a_listener_are_those_of_the_report() -> None:
    given(walk(900, 5), frame=(10, 890))
    heard: list[tuple[int, int]] = []
    bk.listen_partial_profit(lambda event: heard.append((event.time, event.level)))
    bk.listen_partial_loss(lambda event: heard.append((event.time, event.level)))

    @bk.strategy("s")
    def get_signal(symbol: str, when: int, price: float) -> bk.Signal:
        return bk.Signal.bracket("long", price, take_profit_percent=3, stop_loss_percent=2, minute_estimated_time=120)

    run()
    rows = bk.Partial.get_data().rows
    assert sorted((row.time, row.level) for row in rows) == sorted(heard)
    assert len(heard) > 5


# ---- the comparison --------------------------------------------------------------------------------------------------


def test_strategies_that_were_run_one_after_the_other_are_compared_and_filed_under_all_their_names(
    tmp_path: Path,
) -> None:
    given(walk(600, 3), frame=(10, 590))
    for name, side in (("up", "long"), ("down", "short")):
        bk.add_strategy(
            name,
            lambda symbol, when, price, side=side: bk.Signal.bracket(
                side, price, take_profit_percent=1, stop_loss_percent=1, minute_estimated_time=60
            ),
        )
        run(strategy_name=name)
    data = bk.Walker.get_data()
    assert {row.name for row in data.rows} == {"up", "down"}
    assert {row.name: row.statistics for row in data.rows} == {
        name: bk.Backtest.get_data(strategy_name=name).statistics for name in ("up", "down")
    }
    assert data.best is not None
    assert data.best.value == max(row.value or -9 for row in data.rows)
    assert bk.Walker.dump() == bk.Walker.dump(metric="total_pnl") == tmp_path / "walker" / f"down-up_{SYMBOL}.md"


def test_a_comparison_by_a_figure_that_there_is_not_says_which_was_meant() -> None:
    eventful()
    with pytest.raises(bk.UnknownNameError, match="did you mean 'sharpe_ratio'"):
        bk.Walker.get_data(metric="sharp_ratio")
    with pytest.raises(bk.ConfigError, match="no backtest of C has been run"):
        bk.Walker.dump("C")
