"""Live and paper trading as a user starts them: the same names as a backtest, without a frame."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import backtest_kit as bk
from backtest_kit.errors import ConfigError, UnknownNameError
from backtest_kit.ports import Document
from tests.live_worlds import Broker, DictStore, HandClock
from tests.worlds import MINUTE, START, fresh_app

ROWS = 3_000


@pytest.fixture(autouse=True)
def _world(tmp_path: Path):
    with fresh_app():
        prices = 100 + 3 * np.sin(np.arange(ROWS) / 20)
        columns = {"open": prices, "high": prices + 0.1, "low": prices - 0.1, "close": prices, "volume": np.ones(ROWS)}
        bk.add_exchange("m", bk.MemoryExchange({"BTCUSDT": {"timestamp": START + MINUTE * np.arange(ROWS), **columns}}))
        bk.add_strategy("s", lambda symbol, when, price: bk.Signal("long", price + 1, price - 1), interval="15m")
        bk.set_config(data_folder=str(tmp_path / "data"), dump_folder=str(tmp_path / "dump"))
        yield


def some(results, count: int = 4, stop=None) -> list[str]:
    """The first results, then the rest until it has stopped."""
    found = []
    for event in results:
        found.append(event.action)
        if len(found) == count:
            (stop or bk.Live.stop)()
    return found


def test_live_trading_yields_results_until_it_is_stopped_and_holds_nothing():
    found = some(bk.Live.run("BTCUSDT", clock=HandClock()))
    assert found[:4] == ["opened", "closed", "opened", "closed"]
    assert found.count("opened") == found.count("closed")


def test_paper_trading_fills_with_costs_and_is_told_apart():
    told = []
    bk.listen_signal_live(told.append)
    some(bk.Paper.run("BTCUSDT", clock=HandClock()), stop=bk.Paper.stop)
    closed = next(event for event in told if event.action == "closed")
    assert closed.mode == "paper"
    assert closed.position.entries[0].fill.fee > 0
    assert bk.Paper.get_data().total_trades >= 2
    assert bk.Live.get_data().facts.mode == "paper", "nothing was traded live"


def test_paper_is_also_a_word_of_live_run():
    told = []
    bk.listen_order(told.append)
    some(bk.Live.run("BTCUSDT", clock=HandClock(), paper=True))
    assert {event.outcome for event in told} == {"done"}


def test_the_state_is_readable_on_disk_and_idle_after_the_close(tmp_path: Path):
    some(bk.Live.run("BTCUSDT", clock=HandClock()))
    (document,) = (tmp_path / "data" / "signals").glob("BTCUSDT_s_m.json")
    content = json.loads(document.read_text())["content"]
    assert content["state"]["type"] == "idle"
    assert content["operation"] is None


def test_orders_go_to_the_broker_once_it_is_enabled():
    broker = Broker()
    bk.Broker.use_broker_adapter(broker)
    some(bk.Live.run("BTCUSDT", clock=HandClock()))
    assert broker.orders == [], "it was not enabled"
    bk.Broker.enable()
    some(bk.Live.run("BTCUSDT", clock=HandClock(500)))
    assert [order.kind for order in broker.orders[:2]] == ["open", "close"]
    bk.Broker.disable()


def test_no_adapter_is_called_in_a_backtest():
    broker = Broker()
    bk.Broker.use_broker_adapter(broker)
    bk.Broker.enable()
    bk.add_frame("f", interval="1m", start=START + 20 * MINUTE, end=START + 500 * MINUTE)
    assert len(list(bk.Backtest.run("BTCUSDT"))) > 4
    assert broker.orders == []


def test_what_is_no_adapter_is_refused():
    with pytest.raises(ConfigError, match="extends BrokerAdapter"):
        bk.Broker.use_broker_adapter(object())


async def test_in_the_background_listeners_hear_and_stopping_ends_it():
    done, closed = [], []
    bk.listen_done_live(done.append)
    bk.listen_signal_closed(closed.append)
    stop = bk.Live.background("BTCUSDT", clock=HandClock())
    bk.listen_signal_opened(lambda event: stop(), once=True)
    await stop
    assert len(done) == len(closed) == 1


def test_a_store_of_the_users_own_serves_a_live_run():
    store = DictStore()
    bk.use_store(store)
    some(bk.Live.run("BTCUSDT", clock=HandClock()))
    assert {"signals/BTCUSDT_s_m", "installation"} <= set(store.documents)
    assert all(isinstance(each, Document) for each in store.documents.values())


def test_wrong_names_are_said_at_once():
    with pytest.raises(UnknownNameError, match="did you mean 's'"):
        bk.Live.run("BTCUSDT", strategy_name="ss")
    with pytest.raises(ConfigError):
        bk.Live.run("BTCUSDT", frame_rate=3)


def test_a_pause_between_two_runs_keeps_the_open_position():
    first = []
    for event in bk.Live.run("BTCUSDT", clock=HandClock()):
        first.append(event)
        break
    second = next(iter(bk.Live.run("BTCUSDT", clock=HandClock(12))))
    assert (first[0].action, second.action) == ("opened", "closed")
    assert first[0].position.signal.id == second.position.signal.id
