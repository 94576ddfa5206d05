"""Orders in live trading: refused, lost, unknown, partly filled; and what a kill leaves behind."""

from __future__ import annotations

import math

import numpy as np
import pytest

import backtest_kit as bk
from backtest_kit.core.events import OrderAnswered, SignalCancelled, SignalClosed, SignalOpened
from backtest_kit.core.position import Fill
from backtest_kit.errors import OrderRejectedError, OrderTransientError
from tests.live_worlds import Broker, DictStore, HandClock, Killed, LookingBroker, traded
from tests.worlds import MINUTE, START, at, fresh_app

ROWS = 600


@pytest.fixture(autouse=True)
def _one_long_after_the_other():
    """A market that rises for an hour and falls for an hour; the strategy buys whenever it may."""
    with fresh_app():
        prices = 100 + 3 * np.sin(np.arange(ROWS) * math.pi / 60)
        columns = {"open": prices, "high": prices + 0.1, "low": prices - 0.1, "close": prices, "volume": np.ones(ROWS)}
        bk.add_exchange("m", bk.MemoryExchange({"BTCUSDT": {"timestamp": START + MINUTE * np.arange(ROWS), **columns}}))
        bk.add_strategy("s", lambda symbol, when, price: bk.Signal("long", price + 1, price - 1), interval="15m")
        yield


def kinds(events) -> list[str]:
    return [event.action for event in events]


def test_without_a_broker_signals_are_followed_and_nothing_is_sent():
    assert kinds(traded(60))[:2] == ["opened", "closed"]


def test_an_entry_that_is_refused_three_times_is_made_once_under_one_id():
    answers = iter([OrderTransientError("busy")] * 3)
    broker = Broker(lambda order: _raised(next(answers, None)))
    events = traded(20, broker=broker)
    entries = [order for order in broker.orders if order.kind == "open"]
    assert [order.attempt for order in entries[:4]] == [0, 1, 2, 3]
    assert len({order.client_order_id for order in entries[:4]}) == 1
    first = next(event for event in events if isinstance(event, SignalOpened))
    assert first.position.entries[0].fill == broker.taken[entries[0].client_order_id]


def test_d17_an_entry_that_is_rejected_for_good_is_given_up():
    broker = Broker(lambda order: _raised(OrderRejectedError("too small")))
    events = traded(10, broker=broker)
    assert isinstance(events[0], SignalCancelled)
    assert (events[0].reason, events[0].note) == ("refused", "OrderRejectedError: too small")
    assert len({order.client_order_id for order in broker.orders}) == len(broker.orders)


def test_d2_an_entry_whose_answer_was_lost_is_adopted_with_its_real_fill():
    broker = LookingBroker()
    lost = iter([True])

    def trade_and_lose(order):
        broker.taken.setdefault(order.client_order_id, Fill(order.price * 1.001, order.quantity, 0.07))
        if next(lost, False):
            raise TimeoutError

    broker._script = trade_and_lose
    opened = traded(10, broker=broker)[0]
    assert isinstance(opened, SignalOpened)
    assert opened.position.entries[0].fill == broker.taken[broker.orders[0].client_order_id]
    assert [order.kind for order in broker.orders][:2] == ["open", "close"]


def test_d1_an_entry_that_never_arrived_is_dropped_once_that_is_proven():
    broker = LookingBroker(lambda order: _raised(ConnectionError("reset")) if len(broker.orders) == 1 else None)
    events = traded(30, broker=broker)
    assert kinds(events)[0] == "cancelled"
    assert broker.orders[0].client_order_id not in broker.taken
    assert len({order.client_order_id for order in broker.orders}) == len(broker.orders)


def test_d18_a_close_that_is_refused_for_an_hour_is_made_in_the_end_and_alarms_meanwhile():
    clock = HandClock()

    def frozen_for_an_hour(order):
        if order.kind == "close" and clock.now() < at(120):
            raise OrderRejectedError("frozen")

    broker = Broker(frozen_for_an_hour)
    alarms = []
    with _listening(OrderAnswered, alarms):
        events = traded(140, broker=broker, clock=clock)
    closed = next(event for event in events if isinstance(event, SignalClosed))
    assert kinds(events)[:2] == ["opened", "closed"]
    assert closed.time >= at(119)
    assert any(event.alarm for event in alarms)
    closes = [order.client_order_id for order in broker.orders if order.kind == "close" and order.time < at(119)]
    assert len(set(closes)) == len(closes), "an exit that was rejected for good is a new order the next time"


def test_d12_a_partly_filled_exit_is_followed_by_another_for_the_rest():
    broker = Broker()
    real = broker.take

    def half_first(order):
        if order.kind == "close" and sum(each.kind == "close" for each in broker.orders) == 1:
            broker.taken[order.client_order_id] = Fill(order.price, order.quantity / 2, 0.02)

    broker._script, broker.take = half_first, real
    events = traded(60, broker=broker)
    first, second = [order for order in broker.orders if order.kind == "close"][:2]
    assert second.quantity == pytest.approx(first.quantity / 2)
    assert first.client_order_id != second.client_order_id
    assert kinds(events)[:2] == ["opened", "closed"]


@pytest.mark.parametrize("answer", ["done", 7, Fill(-1.0, 1.0), Fill(100.0, math.nan), Fill(0.0, 0.0)])
def test_an_answer_that_is_no_fill_books_nothing(answer):
    class Odd(Broker):
        async def on_order_open_commit(self, order):
            self.orders.append(order)
            return answer

    broker = Odd()
    events = traded(5, broker=broker)
    assert events == []
    assert len({order.client_order_id for order in broker.orders}) == 1


@pytest.mark.parametrize("dies_at", range(1, 25))
def test_a1_to_a5_a_kill_at_any_write_leads_to_one_entry_and_one_exit(dies_at):
    store, broker, clock = DictStore(), LookingBroker(), HandClock()
    store.dies_at = dies_at
    before = []
    with pytest.raises(Killed):
        before += traded(120, store, broker, clock=clock)
    store.dies_at = None
    traded(60, store, broker, clock=clock)
    bought, sold = _traded(broker, "open"), _traded(broker, "close")
    entries = [order for order in broker.orders if order.kind == "open"]
    assert len({order.signal.id for order in entries}) == len({order.client_order_id for order in entries})
    assert 0 <= bought - sold <= max(order.quantity for order in entries) * (1 + 1e-9)


def _traded(broker: Broker, kind: str) -> float:
    """Units that the broker has traded by orders of a kind."""
    kinds = {order.client_order_id: order.kind for order in broker.orders}
    return sum(fill.quantity for name, fill in broker.taken.items() if kinds[name] == kind)


def _raised(error: Exception | None) -> None:
    if error is not None:
        raise error


def _listening(kind, into):
    import contextlib

    from backtest_kit.app import default
    from backtest_kit.engine.listeners import Subscription

    stack = contextlib.ExitStack()
    stack.callback(default.listeners.add(Subscription([kind], into.append)))
    return stack


def test_a_refusal_by_any_exception_is_asked_again_under_the_same_id_until_it_is_answered():
    answers = iter([RuntimeError("no"), ValueError("not yet"), TimeoutError()])
    broker = Broker(lambda order: _raised(next(answers, None)))
    events = traded(20, broker=broker)
    entries = [order for order in broker.orders if order.kind == "open"][:4]
    assert [order.attempt for order in entries] == [0, 1, 2, 3]
    assert len({(order.client_order_id, order.quantity) for order in entries}) == 1
    first = next(event for event in events if isinstance(event, SignalOpened))
    assert first.position.entries[0].fill == broker.taken[entries[0].client_order_id]


def test_an_entry_taken_without_an_answer_is_not_lost_by_an_adapter_that_cannot_look_up():
    broker = Broker()
    lost = iter([True])

    def trade_and_lose(order):
        broker.take(order)
        if next(lost, False):
            raise TimeoutError

    broker._script = trade_and_lose
    opened = traded(10, broker=broker)[0]
    assert isinstance(opened, SignalOpened)
    assert len([order for order in broker.orders if order.signal.id == opened.signal.id and order.kind == "open"]) == 2
