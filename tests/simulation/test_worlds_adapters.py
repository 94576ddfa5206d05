"""The broker adapters of a simulated exchange: the honest one, those that misbehave, and the guard before them."""

from __future__ import annotations

import asyncio
from functools import partial

from backtest_kit.core.events import SignalScheduled
from backtest_kit.core.position import Fill
from backtest_kit.core.values import Signal
from backtest_kit.errors import OrderRejectedError, OrderTransientError
from backtest_kit.ports import BrokerAdapter
from backtest_kit.testing.worlds import (
    START,
    ForgetfulAdapter,
    HangingAdapter,
    NonsenseAdapter,
    RefusingAdapter,
    SimAdapter,
    StubbornAdapter,
)
from tests.simulation.test_worlds_exchange import SOURCE, attempt, order, ping, witness


def test_an_adapter_may_refuse_forget_hang_and_talk_nonsense():
    async def send(ports, name):
        return await attempt(asyncio.wait_for(ports.adapter.on_order_open_commit(order(name=name)), 5.0))

    async def act(ports):
        return [type(await send(ports, "A")), type(await send(ports, "B"))]

    heard = {make: witness(act, adapter=make)[0][0] for make in (RefusingAdapter, ForgetfulAdapter, HangingAdapter)}
    assert heard == {
        RefusingAdapter: [OrderTransientError, OrderTransientError],
        ForgetfulAdapter: [TimeoutError, Fill],
        HangingAdapter: [TimeoutError, Fill],
    }
    hanging = partial(HangingAdapter, after_sending=True)
    assert [witness(act, adapter=each)[1].trades for each in (ForgetfulAdapter, HangingAdapter, hanging)] == [2, 1, 2]
    assert witness(act, adapter=NonsenseAdapter)[0][0] == [Fill, Fill]


def test_d18_a_stubborn_adapter_closes_after_its_time():
    async def act(ports):
        await ports.adapter.on_order_open_commit(order())
        first = await attempt(ports.adapter.on_order_close_commit(order("close", "sell", name="B")))
        await ports.clock.sleep(31)
        return type(first), type(await attempt(ports.adapter.on_order_close_commit(order("close", "sell", name="C"))))

    answers, outcome = witness(act, adapter=partial(StubbornAdapter, seconds=30.0))
    assert (answers, outcome.trades) == ([(OrderRejectedError, Fill)], 2)


def test_a8_a_protective_stop_rests_triggers_and_is_taken_back():
    async def act(ports):
        await ports.adapter.on_order_open_commit(order(stop=90.0))
        resting = [each.client_order_id for each in await ports.adapter.open_orders(SOURCE)]
        await ports.adapter.on_order_close_commit(order("close", "sell", name="B"))
        gone = await ports.adapter.open_orders(SOURCE)
        await ports.adapter.on_order_open_commit(order(stop=90.0, name="C", decision="d2"))
        before = await ports.adapter.on_order_active_check(ping("d2"))
        await ports.clock.sleep(100)
        return resting, list(gone), before, (await ports.adapter.on_order_active_check(ping("d2"))).reason

    make = partial(SimAdapter, protective=True)
    paths = {"BTCUSDT": [100.0, (100.0, 100.0, 80.0, 85.0, 1.0)]}
    answers, outcome = witness(act, adapter=make, paths=paths, seconds=200.0)
    assert answers == [(["A-stop"], [], None, "stop_loss")]
    assert [each for each in outcome.violations if "wrong money" not in each] == []


def test_an_order_that_nobody_knows_of_is_an_orphan():
    async def act(ports):
        await ports.adapter.on_order_open_commit(order(stop=1.0))

    _, outcome = witness(act, adapter=partial(SimAdapter, protective=True))
    assert "orphan order: stop A-stop of BTCUSDT/small rests at the exchange" in outcome.violations


def test_the_guard_adds_no_hook_to_an_adapter_that_has_few():
    class Few(BrokerAdapter):
        async def on_order_open_commit(self, order):
            return Fill(1.0, 2.0)

    async def act(ports):
        kind = type(ports.adapter)
        return kind.find_order is BrokerAdapter.find_order, await ports.adapter.on_order_open_commit(order())

    assert witness(act, adapter=lambda _exchange, _sender: Few())[0] == [(True, Fill(1.0, 2.0))]


def test_the_guard_leaves_an_adapter_what_it_is():
    async def act(ports):
        await ports.adapter.wait_for_init()
        scheduled = SignalScheduled(source=SOURCE, time=START, price=1.0, signal=Signal("long", 2.0, 0.5))
        await ports.adapter.on_order_schedule_check(scheduled)
        return type(ports.adapter).find_order.__qualname__, ports.adapter.protective, await ports.adapter.server_time()

    answers, outcome = witness(act)
    assert answers[0][:2] == ("SimAdapter.find_order", False)
    assert START < answers[0][2] < START + 2000
    assert outcome.counts["call"] == 3
