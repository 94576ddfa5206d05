"""The ambient functions and the context: what they say at one instant, and that they say nothing outside of a run."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from datetime import UTC, datetime

import pytest

import backtest_kit as bk
from tests.worlds import (
    MINUTE,
    SYMBOL,
    approx,
    at,
    flat,
    fresh_world,
    given,
    long,
    minute_of,
    once,
    rows_of,
    run,
    short,
    walk,
)

world = pytest.fixture(autouse=True)(fresh_world)

TABLE = walk(500, 4)


def looked(look, frame=(100, 103), **options):
    """What `look()` returns at every tick of a run that trades nothing."""
    answers = []
    given({SYMBOL: TABLE, "ETHUSDT": walk(500, 5)}, frame=frame)
    bk.add_strategy("s", lambda symbol, when, price: answers.append(look()), **options)
    assert run() == []
    return answers


def average(table, minute):
    """The engine's price at a minute, the slow way: over the five candles before it."""
    weighted, volume = 0.0, 0.0
    for row in range(minute - 5, minute):
        weighted += (table["high"][row] + table["low"][row] + table["close"][row]) / 3 * table["volume"][row]
        volume += table["volume"][row]
    return weighted / volume if volume else sum(table["close"][minute - 5 : minute]) / 5


# ---- inside ----


def test_the_context_says_where_and_when_it_is():
    def look():
        context = bk.get_context()
        return (
            (bk.get_symbol(), bk.get_mode(), bk.get_date()),
            (context.symbol, context.strategy_name, context.exchange_name, context.frame_name, context.mode),
            (minute_of(context.when), context.date),
        )

    for number, answer in enumerate(looked(look)):
        date = datetime(2024, 1, 1, 1, 40 + number, tzinfo=UTC)
        assert answer == (
            (SYMBOL, "backtest", date),
            (SYMBOL, "s", "memory", "frame", "backtest"),
            (100 + number, date),
        )


def test_the_price_is_the_average_of_the_last_five_closed_minutes():
    answers = looked(lambda: (bk.get_context().price, bk.get_average_price(), bk.get_average_price(SYMBOL)), (100, 160))
    for number, prices in enumerate(answers):
        assert prices == (approx(average(TABLE, 100 + number)),) * 3


def test_the_price_of_a_symbol_outside_of_the_run_is_the_same_average():
    other = walk(500, 5)
    for number, price in enumerate(looked(lambda: bk.get_average_price("ETHUSDT"), (100, 160))):
        assert price == approx(average(other, 100 + number))


def test_f7_without_volume_the_price_is_the_plain_mean_of_the_closes():
    prices = []
    table = flat(100, {12: 110.0})
    table["volume"][:] = 0.0
    given(table, frame=(14, 14))
    bk.add_strategy("s", lambda symbol, when, price: prices.append(price))
    run()
    assert prices == [(100 * 3 + 110 * 2) / 5]


def test_the_close_price_is_that_of_the_last_closed_candle():
    answers = looked(lambda: (bk.get_close_price(SYMBOL), bk.get_close_price(SYMBOL, "15m")), (100, 110))
    closes = TABLE["close"]
    assert answers == [(closes[minute - 1], closes[89 if minute < 105 else 104]) for minute in range(100, 111)]


async def test_everything_may_be_awaited_in_an_async_strategy():
    answers = []
    given(TABLE, frame=(100, 101))

    @bk.strategy("s")
    async def get_signal(symbol, when, price):
        answers.append(
            (
                await bk.get_average_price() == price,
                await bk.get_close_price(symbol) == bk.get_close_price(symbol),
                await bk.format_price(symbol, price) == bk.format_price(symbol, price),
                len(await bk.get_candles(symbol, "1m", 3)),
                len(await bk.get_raw_candles(symbol, "1m", limit=3)),
                await bk.commit_close_pending(symbol),
            )
        )

    assert [event async for event in bk.Backtest.run(SYMBOL)] == []
    assert answers == [(True, True, True, 3, 3, False)] * 2


def test_the_context_follows_gathered_coroutines_tasks_and_copied_contexts():
    seen = []
    given({"A": walk(500, 1), "B": walk(500, 2)}, frame=(100, 140))

    async def ask(delay):
        await asyncio.sleep(delay)
        return bk.get_symbol(), bk.get_context().when, len(bk.get_candles(bk.get_symbol(), "1m", 2))

    @bk.strategy("s")
    async def get_signal(symbol, when, price):
        answers = await asyncio.gather(ask(0), ask(0.0001), asyncio.create_task(ask(0)))
        in_thread = await asyncio.to_thread(lambda: (bk.get_symbol(), bk.get_context().when, 2))
        copied = contextvars.copy_context().run(lambda: (bk.get_symbol(), bk.get_context().when, 2))
        seen.extend(answer == (symbol, when, 2) for answer in (*answers, in_thread, copied))

    run(["A", "B"])
    assert seen == [True] * (2 * 41 * 5)


def test_a_context_is_named_in_a_readable_way():
    assert looked(lambda: repr(bk.get_context()))[0] == "Context(s on BTCUSDT at memory, 2024-01-01 01:40 UTC)"


# ---- outside ----


OUTSIDE = [
    bk.get_context,
    bk.get_date,
    bk.get_mode,
    bk.get_symbol,
    lambda: bk.get_candles(SYMBOL, "1m", 1),
    lambda: bk.get_raw_candles(SYMBOL, "1m", limit=1),
    lambda: bk.get_average_price(SYMBOL),
    lambda: bk.get_close_price(SYMBOL),
    lambda: bk.get_order_book(SYMBOL),
    lambda: bk.get_aggregated_trades(SYMBOL),
    lambda: bk.format_price(SYMBOL, 1.0),
    lambda: bk.format_quantity(SYMBOL, 1.0),
]


@pytest.mark.parametrize("number", range(len(OUTSIDE)))
def test_outside_of_a_run_ambient_functions_say_so(number):
    with pytest.raises(bk.ContextError, match="no strategy is running"):
        OUTSIDE[number]()


@pytest.mark.parametrize("number", range(len(OUTSIDE)))
def test_after_a_run_it_is_outside_again(number):
    looked(bk.get_symbol)
    with pytest.raises(bk.ContextError, match="no strategy is running"):
        OUTSIDE[number]()


def test_after_a_failed_run_it_is_outside_again():
    with pytest.raises(bk.StrategyError):
        looked(lambda: 1 / 0)
    with pytest.raises(bk.ContextError):
        bk.get_symbol()


def test_another_thread_is_outside():
    answers = []

    def ask():
        try:
            bk.get_symbol()
        except bk.ContextError:
            answers.append("outside")

    def look():
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()

    looked(look, (100, 100))
    assert answers == ["outside"]


# ---- the position ----


def test_the_position_is_a_snapshot_of_all_that_is_known():
    snapshots = {}
    given(flat(201, {20: 101, 40: 106}), frame=(10, 100))

    def on_ping(event):
        snapshots[minute_of(event.time)] = bk.get_position()
        if event.time == at(50):
            assert bk.commit_partial_profit(SYMBOL, 40)

    bk.add_strategy("s", once(long(110, 90, 120, leverage=2.0)), callbacks={"on_active_ping": on_ping})
    run()
    before, after = snapshots[50], snapshots[51]
    assert (before.price, before.effective_price, before.invested, before.held_cost) == (106.0, 100.0, 100.0, 100.0)
    assert (before.price_take_profit, before.price_stop_loss, before.signal.leverage) == (110, 90, 2.0)
    assert (minute_of(before.opened_at), before.minutes_active, before.minutes_left) == (10, 41, 79)
    assert (before.profit_level, before.loss_level, before.breakeven_reachable) == (60, 0, True)
    assert (before.peak.price, before.drawdown.price) == (106.0, 100.0)
    entry, leaving = 100 * 1.001, 106 * 0.999
    assert before.pnl.percent == approx(((leaving - entry) / entry * 100 - 0.1 * (1 + leaving / entry)) * 2)
    assert before.liquidation_price < 60
    assert (len(before.entries), before.partials) == (1, ())
    assert (after.held_percent, after.held_cost, len(after.partials)) == (60.0, 60.0, 1)
    assert snapshots[12].breakeven_reachable is False


def test_a_position_without_a_time_limit_has_no_minutes_left():
    seen = []
    given(flat(100), frame=(10, 20))
    callbacks = {"on_open": lambda event: seen.append(bk.get_position().minutes_left)}
    bk.add_strategy("s", once(short(minutes=None)), callbacks=callbacks)
    run(max_signal_lifetime_minutes=None)
    assert seen == [None]


def test_there_is_no_position_before_the_opening_and_after_the_close():
    seen = []
    given(flat(100), frame=(10, 40))

    @bk.strategy("s")
    def get_signal(symbol, when, price):
        seen.append(bk.get_position())
        return long(102, 98, 3) if when == at(15) else None

    bk.listen_signal_closed(lambda event: seen.append(bk.get_position()))
    run()
    assert set(seen) == {None}


# ---- questions to the exchange ----


def exchange(asynchronous=False, **functions):
    """An exchange of functions; all but the candles as given, `async def` where asked for."""

    def awaited(function):
        async def answer(*arguments):
            await asyncio.sleep(0)
            return function(*arguments)

        return answer if asynchronous else function

    bk.add_exchange(
        "functions",
        lambda symbol, interval, since, limit: rows_of(TABLE, since, limit),
        **{name: awaited(function) for name, function in functions.items()},
    )
    bk.add_frame("frame", start=at(127), end=at(127))


def asked_once(question, asynchronous):
    """The answer to a question in a strategy; awaited in an `async def` where it has to be."""
    answers = []

    def get_signal(symbol, when, price):
        answers.append(question(symbol))

    async def get_signal_later(symbol, when, price):
        answers.append(await question(symbol))

    bk.add_strategy("s", get_signal_later if asynchronous else get_signal)
    run()
    return answers[0]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["def", "async def"])
def test_the_order_book_is_asked_for_the_aligned_ten_minutes_that_have_ended(asynchronous):
    asked = []

    def get_order_book(symbol, depth, start, stop):
        asked.append((symbol, depth, minute_of(start), minute_of(stop)))
        return {"bids": [[99, 1]], "asks": [[101, 1]]}

    exchange(asynchronous, get_order_book=get_order_book)
    book = asked_once(lambda symbol: bk.get_order_book(symbol, 5), asynchronous)
    assert book == {"bids": [[99, 1]], "asks": [[101, 1]]}
    assert asked == [(SYMBOL, 5, 110, 120)]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["def", "async def"])
def test_trades_are_those_of_the_last_fifty_nine_minutes_or_the_newest_paged_backwards(asynchronous):
    asked = []

    def get_aggregated_trades(symbol, start, stop):
        asked.append((minute_of(start), minute_of(stop)))
        return [{"time": time} for time in range(max(start, at(20)), stop, 20 * MINUTE)]

    exchange(asynchronous, get_aggregated_trades=get_aggregated_trades)
    trades = asked_once(bk.get_aggregated_trades, asynchronous)
    assert asked == [(68, 127)]
    assert [minute_of(trade["time"]) for trade in trades] == [68, 88, 108]
    bk.override_strategy("s", get_signal=later(5) if asynchronous else now(5))
    run()
    assert asked[1:] == [(68, 127), (9, 68)]
    assert [minute_of(trade["time"]) for trade in ANSWERS.pop()] == [20, 40, 60, 68, 88, 108][-5:]


ANSWERS: list[list[dict[str, int]]] = []


def now(limit):
    def get_signal(symbol, when, price):
        ANSWERS.append(bk.get_aggregated_trades(symbol, limit))

    return get_signal


def later(limit):
    async def get_signal(symbol, when, price):
        ANSWERS.append(await bk.get_aggregated_trades(symbol, limit))

    return get_signal


def test_an_exchange_without_an_order_book_says_so():
    exchange()
    with pytest.raises(bk.ContextError, match="get_order_book"):
        asked_once(bk.get_order_book, False)


@pytest.mark.parametrize("limit", [0, -1, 2.5, "3"])
def test_a_limit_of_trades_is_a_whole_number_above_zero(limit):
    exchange(get_aggregated_trades=lambda *asked: [])
    with pytest.raises((bk.StrategyError, bk.ConfigError), match="limit"):
        asked_once(lambda symbol: bk.get_aggregated_trades(symbol, limit), False)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["def", "async def"])
def test_prices_and_quantities_are_written_as_the_exchange_writes_them(asynchronous):
    exchange(
        asynchronous,
        format_price=lambda symbol, price: f"{symbol} {price:.1f}",
        format_quantity=lambda symbol, quantity: f"{quantity:.3f}",
    )
    assert asked_once(lambda symbol: bk.format_price(symbol, 1.26), asynchronous) == f"{SYMBOL} 1.3"


def test_without_a_rule_of_the_exchange_eight_digits_are_written():
    answers = looked(
        lambda: (bk.format_price(SYMBOL, 1.5), bk.format_quantity(SYMBOL, 1 / 3), bk.format_price(SYMBOL, 100.0))
    )
    assert answers[0] == ("1.5", "0.33333333", "100")
