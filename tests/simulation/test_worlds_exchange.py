"""The simulated exchange, its network and its referee: every fate happens, and every breach is blamed."""

from __future__ import annotations

from collections import Counter

import pytest

from backtest_kit.core.events import ActivePing
from backtest_kit.core.orders import OrderKind, OrderRequest, OrderSide
from backtest_kit.core.position import Fill, opened
from backtest_kit.core.values import MINUTE, Signal, Source, Terms
from backtest_kit.errors import OrderDeletedError, OrderRejectedError, OrderTransientError
from backtest_kit.testing.worlds import (
    FATES,
    START,
    ExchangeOdds,
    Family,
    Report,
    planned,
    simulate,
)
from backtest_kit.testing.worlds.network import ServerError

SOURCE = Source("BTCUSDT", "small", "simulated", mode="live")
SLOT = "BTCUSDT/small"


def order(
    kind: OrderKind = "open", side: OrderSide = "buy", quantity: float = 1.0, name: str = "A", **fields
) -> OrderRequest:
    """An order of one decision, valid for ever."""
    signal = Signal("long", 200.0, 1.0, id=fields.pop("decision", "d1"))
    return OrderRequest(
        source=SOURCE, client_order_id=name, attempt=0, kind=kind, side=side, quantity=quantity, price=100.0,
        cost=100.0, signal=signal, position=None, price_take_profit=200.0, price_stop_loss=fields.pop("stop", 1.0),
        time=START, not_after=fields.pop("not_after", START + 10**9),
    )  # fmt: skip


def ping(decision):
    """The question after a position of a decision."""
    position = opened(Signal("long", 200.0, 1.0, id=decision), START, 100.0, Terms())
    return ActivePing(source=SOURCE, time=START, price=100.0, position=position, terms=Terms())


def witness(act, *, plan=None, seconds=60.0, **options):
    """Lives through a world in which `act(ports)` is all that the engine does; returns its answers and the outcome."""
    answers: list = []

    async def main(ports):
        ports.show(Report)
        answers.append(await act(ports))
        await ports.clock.sleep(10_000)

    outcome = simulate(main, plan=plan if plan is not None else {}, seconds=seconds, settle_seconds=0.0, **options)
    return answers, outcome


async def attempt(awaitable):
    """An answer, or the error in its place."""
    try:
        return await awaitable
    except Exception as error:
        return error


# ---- fates -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fate", "answer", "trades"),
    [
        ("lost_request", TimeoutError, 0),
        ("lost_answer", TimeoutError, 1),
        ("slow_answer", TimeoutError, 1),
        ("error_before", ServerError, 0),
        ("error_after", ServerError, 1),
        ("rate_limited", OrderTransientError, 0),
        ("reset", ConnectionResetError, 1),
    ],
)
def test_d3_a_fate_decides_what_is_done_and_what_is_heard(fate, answer, trades):
    async def act(ports):
        return await attempt(ports.adapter.on_order_open_commit(order()))

    answers, outcome = witness(act, plan=planned(fates={1: fate}))
    assert type(answers[0]) is answer
    assert (outcome.trades, outcome.tally) == (trades, Counter({f"call {fate}": 1}))


def test_d5_a_late_acceptance_trades_after_everybody_has_given_up():
    async def act(ports):
        answer = await attempt(ports.adapter.on_order_open_commit(order()))
        before = await ports.adapter.find_order("A", SOURCE)
        await ports.clock.sleep(12)
        return answer, before, await ports.adapter.find_order("A", SOURCE)

    seen = Counter()
    for seed in range(40):
        answers, outcome = witness(act, plan=planned(fates={1: "late_acceptance"}), seed=seed)
        answer, before, after = answers[0]
        assert (after.status, outcome.trades) == ("filled", 1)
        seen[type(answer), before is None] += 1
    assert {(TimeoutError, True), (Fill, False)} <= set(seen)


def test_a_slow_request_may_come_after_its_time_and_is_refused():
    async def act(ports):
        await attempt(ports.adapter.on_order_open_commit(order(not_after=START + 500)))
        await ports.clock.sleep(20)
        return await ports.adapter.find_order("A", SOURCE)

    answers, outcome = witness(act, plan=planned(fates={1: "slow_request"}))
    assert (answers, outcome.trades) == ([None], 0)


def test_d9_a_request_that_is_delivered_twice_trades_once():
    async def act(ports):
        return await attempt(ports.adapter.on_order_open_commit(order()))

    heard = Counter()
    for seed in range(20):
        answers, outcome = witness(act, plan=planned(fates={1: "duplicate"}), seed=seed)
        heard[type(answers[0]).__name__] += 1
        assert outcome.trades == 1
    assert {"Fill", "Refusal"} == set(heard)


def test_every_fate_happens_by_seed():
    async def main(ports):
        ports.show(Report)
        while True:
            await attempt(ports.adapter.server_time())

    tally = simulate(main, family=Family(name="all", call=0.5), seconds=300.0).tally
    assert {f"call {fate}" for fate in FATES} == set(tally)


# ---- orders ------------------------------------------------------------------------------------------------------


def test_d8_a_client_order_id_is_free_again_when_its_order_is_done():
    async def act(ports):
        await ports.adapter.on_order_open_commit(order())
        return await attempt(ports.adapter.on_order_open_commit(order()))

    answers, outcome = witness(act)
    assert isinstance(answers[0], Fill)
    assert any("double entry" in violation for violation in outcome.violations)


def test_d6_an_accepted_order_may_not_show_for_a_while():
    async def act(ports):
        await ports.adapter.on_order_open_commit(order())
        at_once = await ports.adapter.find_order("A", SOURCE)
        await ports.clock.sleep(5)
        return at_once, (await ports.adapter.find_order("A", SOURCE)).status

    assert witness(act, plan=planned(visibility={1: "late"}), seed=1)[0] == [(None, "filled")]


def test_d12_a_market_order_may_fill_in_part():
    async def act(ports):
        fill = await ports.adapter.on_order_open_commit(order())
        return fill.quantity, (await ports.adapter.find_order("A", SOURCE)).status

    answers, _ = witness(act, plan=planned(fill={1: "partial"}))
    assert 0 < answers[0][0] < 1
    assert answers[0][1] == "partly_filled"


def test_d13_an_order_may_go_on_filling():
    async def act(ports):
        answer = await attempt(ports.adapter.on_order_open_commit(order()))
        first = await ports.adapter.find_order("A", SOURCE)
        waiting = [each.client_order_id for each in await ports.adapter.open_orders(SOURCE)]
        await ports.clock.sleep(21)
        last = await ports.adapter.find_order("A", SOURCE)
        return type(answer), first.status, waiting, last.status, first.fill.quantity < last.fill.quantity == 1.0

    assert witness(act, plan=planned(fill={1: "slow"}))[0] == [(TimeoutError, "open", ["A"], "filled", True)]


def test_d14_what_has_filled_stays_filled_when_an_order_is_cancelled():
    async def act(ports):
        await attempt(ports.adapter.on_order_open_commit(order()))
        await ports.adapter.cancel_order("A", SOURCE)
        again = await attempt(ports.adapter.cancel_order("A", SOURCE))
        report = await ports.adapter.find_order("A", SOURCE)
        await ports.clock.sleep(21)
        return type(again), report.status, report == await ports.adapter.find_order("A", SOURCE)

    assert witness(act, plan=planned(fill={1: "slow"}))[0] == [(OrderDeletedError, "partly_filled", True)]


def test_d17_what_is_refused_for_good_is_said_so():
    async def act(ports):
        adapter = ports.adapter
        return [
            type(await attempt(adapter.on_order_open_commit(each)))
            for each in (order(), order(quantity=1e-9), order("close", "sell"), order(not_after=START))
        ]

    assert witness(act, plan=planned(order={1: "rejected"}), seed=1)[0] == [
        [OrderRejectedError, OrderRejectedError, OrderRejectedError, OrderTransientError]
    ]


def test_fills_carry_real_prices_fees_and_trade_ids():
    async def act(ports):
        return await ports.adapter.on_order_open_commit(order(quantity=0.30000000000000004))

    answers, _ = witness(act, paths={"BTCUSDT": [50.0, 50.0]})
    assert answers == [Fill(50.0, 0.3, 0.3 * 50 * 0.001, ("T1",))]


# ---- the referee -------------------------------------------------------------------------------------------------


async def _buy_then(ports, *orders):
    await ports.adapter.on_order_open_commit(order())
    for each in orders:
        await attempt(ports.adapter.on_order_close_commit(each))


@pytest.mark.parametrize(
    ("then", "blamed"),
    [
        (order(name="B"), "double entry: 20000 lots where 10000 were wanted"),
        (order(name="B", decision="d2"), "double entry: d2 on top of d1"),
        (order("average_buy", name="B"), ""),
        (order("close", "sell", name="B"), ""),
    ],
)
def test_d8_the_referee_blames_a_second_entry(then, blamed):
    _, outcome = witness(lambda ports: _buy_then(ports, then))
    found = [violation for violation in outcome.violations if "entry" in violation]
    assert [violation.startswith(blamed) for violation in found] == [True] * bool(blamed)


def test_d23_selling_more_than_is_held_is_cut_or_blamed_by_venue():
    seen = set()
    for seed in range(10):
        _, outcome = witness(lambda ports: _buy_then(ports, order("close", "sell", 2.0, "B")), seed=seed)
        seen.add(any(violation.startswith("oversold") for violation in outcome.violations))
    assert seen == {True, False}


def test_a17_an_order_of_an_older_process_after_a_newer_one_is_blamed():
    async def main(ports):
        ports.show(Report)
        number = int(ports.name[-1])
        if number == 1:
            await ports.clock.sleep(1)
        side = "buy" if number == 2 else "sell"
        await attempt(
            ports.adapter.on_order_open_commit(order("open" if number == 2 else "close", side, name=ports.name))
        )
        await ports.clock.sleep(10_000)

    for seed in range(20):
        plan = planned(crashes={1: "pause"})
        violations = simulate(main, seed, plan=plan, seconds=60.0, settle_seconds=0.0).violations
        if any("stale process: an order of process 1 after one of 2" in each for each in violations):
            return
    pytest.fail("no paused process was overtaken by its twin")


def test_e_a_position_closed_by_hand_is_reported_and_not_oversold():
    async def main(ports):
        ports.show(Report)
        await attempt(ports.adapter.on_order_open_commit(order()))
        await ports.clock.sleep(100)
        await attempt(ports.adapter.on_order_close_commit(order("close", "sell", name="B")))
        await ports.clock.sleep(10_000)

    for seed in range(6):
        family = Family(name="hands", incidents=(("by_hand", 1),))
        outcome = simulate(main, seed, family, seconds=60.0, settle_seconds=100.0)
        assert outcome.trades == 2
        assert [each.split(":")[0] for each in outcome.violations] == ["wrong money"]


# ---- candles -----------------------------------------------------------------------------------------------------


def test_candles_are_closed_unless_a_fault_says_otherwise():
    async def act(ports):
        await ports.clock.sleep(30.0)
        faulty = [await attempt(ports.exchange.get_candles("BTCUSDT", "1m", START - 3 * MINUTE, 10)) for _ in range(5)]
        return [[row[0] for row in rows] if isinstance(rows, list) else type(rows) for rows in faulty]

    closed = [START - 3 * MINUTE, START - 2 * MINUTE, START - MINUTE]
    plan = planned(candles={2: "late", 3: "forming", 4: "missing", 5: "fails"})
    plain, late, forming, missing, fails = witness(act, plan=plan)[0][0]
    assert (plain, late, forming, fails) == (closed, closed[:2], [*closed, START], ConnectionError)
    assert len(missing) == 2
    assert set(missing) < set(closed)


def test_prices_run_through_the_extremes_of_their_candle():
    async def act(ports):
        market = ports.exchange.market
        prices = [market.price("BTCUSDT", START + second * 1000) for second in range(60)]
        return prices, market.bar("BTCUSDT", START), market.bar("BTCUSDT", START + MINUTE)

    prices, (opened, high, low, closed, _), following = witness(act)[0][0]
    assert (prices[0], max(prices), min(prices)) == (opened, high, low)
    assert following[0] == closed


def test_a_script_gives_the_prices():
    async def act(ports):
        await ports.clock.sleep(60 * 3 - 0.5)
        with pytest.raises(ValueError, match="no interval"):
            await ports.exchange.get_candles("BTCUSDT", "1h", START, 5)
        await ports.clock.sleep(1)
        return await ports.exchange.get_candles("BTCUSDT", "1m", START - MINUTE, 5)

    paths = {"BTCUSDT": [10.0, (10.0, 12.0, 9.0, 11.0, 5.0), 13.0]}
    answers: list = []

    async def main(ports):
        ports.show(Report)
        answers.extend(await act(ports))
        await ports.clock.sleep(10_000)

    assert simulate(main, paths=paths).violations == ()
    assert [row[1:5] for row in answers] == [
        (10.0, 10.0, 10.0, 10.0), (10.0, 10.0, 10.0, 10.0), (10.0, 12.0, 9.0, 11.0), (11.0, 13.0, 11.0, 13.0),
    ]  # fmt: skip


def test_the_odds_of_an_exchange_bring_all_of_its_faults():
    async def main(ports):
        ports.show(Report)
        for number in range(200):
            for kind, side in (("open", "buy"), ("close", "sell")):
                each = order(kind, side, name=f"{number}-{kind}", decision=f"d{number}")
                await attempt(ports.adapter.on_order_open_commit(each))
                await ports.clock.sleep(30)
            await attempt(ports.exchange.get_candles("BTCUSDT", "1m", START, 5))

    odds = ExchangeOdds(partial_fill=0.3, rejected=0.2, late_visibility=0.3, candles=0.9)
    tally = simulate(main, family=Family(name="rough", exchange=odds), seconds=14_000.0).tally
    assert set(tally) == {
        "fill partial", "fill slow", "order rejected", "visibility late",
        "candles late", "candles forming", "candles missing", "candles fails",
    }  # fmt: skip
