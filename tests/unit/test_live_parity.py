"""The same strategy on the same candles: a backtest and live trading make the same decisions, stamps and trades."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import backtest_kit as bk
from backtest_kit.brokers import PaperBroker
from backtest_kit.core.events import Event, SignalClosed
from backtest_kit.core.values import Side
from tests.live_worlds import DictStore, HandClock, traded
from tests.worlds import MINUTE, START, at, fresh_app

ROWS, FIRST, LAST = 1_200, 60, 1_000
SYMBOLS = ("AAA", "BBB")


def market(seed: int) -> dict[str, dict[str, Any]]:
    chance = np.random.default_rng(seed)
    return {symbol: _walk(chance) for symbol in SYMBOLS}


def _walk(chance: np.random.Generator) -> dict[str, Any]:
    close = 100 * np.exp(np.cumsum(chance.normal(0, 0.0012, ROWS)))
    opening = np.append(100.0, close[:-1])
    wick = 1 + np.abs(chance.normal(0, 0.0005, (2, ROWS)))
    high, low = np.maximum(opening, close) * wick[0], np.minimum(opening, close) / wick[1]
    times, volume = START + MINUTE * np.arange(ROWS), chance.random(ROWS) + 0.1
    return {"timestamp": times, "open": opening, "high": high, "low": low, "close": close, "volume": volume}


def declare(seed: int) -> None:
    """A strategy of both sides with market and limit entries, one position at a time under a shared risk profile."""
    bk.add_exchange("m", bk.MemoryExchange(market(seed)))
    bk.add_frame("f", interval="1m", start=at(FIRST), end=at(LAST))
    bk.add_risk("one", validations=[bk.at_most_open(1)])

    async def get_signal(symbol: str, when: int, price: float) -> bk.Signal:
        closes = (await bk.get_candles(symbol, "5m", 6)).close
        sign = 1 if closes[-1] > closes[0] else -1
        entry = price * (1 - sign * 0.001) if when // (5 * MINUTE) % 3 == 0 else None
        level = entry or price
        side: Side = "long" if sign > 0 else "short"
        return bk.Signal(
            side, level * (1 + sign * 0.01), level * (1 - sign * 0.01), price_open=entry, minute_estimated_time=90
        )

    bk.add_strategy("s", get_signal, interval="5m", risk_name="one")


def stamped(events: list[Event]) -> list[tuple[object, ...]]:
    return [(event.action, event.symbol, event.time, event.price) for event in events]  # type: ignore[attr-defined]


def before_the_end(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Without the last tick, at which a backtest makes room by leaving what is open."""
    return [each for each in rows if each[2] < at(LAST)]


@pytest.mark.parametrize("seed", range(6))
def test_decisions_stamps_and_trades_are_those_of_the_backtest(seed: int) -> None:
    with fresh_app():
        declare(seed)
        results = list(bk.Backtest.run(SYMBOLS))
        tested = stamped([each for each in results if getattr(each, "close_reason", "") != "frame_end"])
        lived = stamped(traded(LAST - FIRST + 2, symbols=SYMBOLS, clock=HandClock(FIRST)))
        assert len(tested) > 20
        assert sorted(before_the_end(lived)) == sorted(before_the_end(tested))


@pytest.mark.parametrize("seed", range(3))
def test_on_paper_the_same_trades_earn_the_same(seed: int) -> None:
    with fresh_app():
        declare(seed)
        closed = [each for each in bk.Backtest.run("AAA") if isinstance(each, SignalClosed)][:-1]
        paper = traded(LAST - FIRST + 2, broker=PaperBroker(), symbols=["AAA"], clock=HandClock(FIRST))
        earned = [each for each in paper if isinstance(each, SignalClosed)]
        assert [each.time for each in earned[: len(closed)]] == [each.time for each in closed]
        for ours, theirs in zip(earned, closed, strict=False):
            assert ours.pnl.percent == pytest.approx(theirs.pnl.percent, abs=0.003)
            assert ours.position.entries[0].fill is not None


@pytest.mark.parametrize("seed", range(3))
def test_c6_a_restart_after_hours_lives_through_what_was_missed(seed: int) -> None:
    """Positions are left at the minute and price that they would have been left at; nothing is entered twice."""
    with fresh_app():
        declare(seed)
        whole = stamped(traded(600, symbols=["AAA"], clock=HandClock(FIRST)))
        store = DictStore()
        before = stamped(traded(200, store, symbols=["AAA"], clock=HandClock(FIRST)))
        after = stamped(traded(200, store, symbols=["AAA"], clock=HandClock(FIRST + 400)))
        opened = [each for each in before + after if each[0] == "opened"]
        assert len(set(opened)) == len(opened)
        if before[-1][0] == "opened":
            assert after[0] == whole[len(before)]


def test_indicator_columns_are_those_of_the_backtest() -> None:
    with fresh_app():
        bk.add_exchange("m", bk.MemoryExchange(market(3)))
        bk.add_frame("f", interval="1m", start=at(FIRST), end=at(LAST))

        def columns(candles: bk.Candles) -> dict[str, Any]:
            return {"mean": np.convolve(candles.close, np.ones(4) / 4)[: len(candles.close)]}

        def get_signal(symbol: str, when: int, price: float) -> bk.Signal | None:
            mean = bk.get_context().indicators["mean"]
            if price <= mean[-1]:
                return None
            return bk.Signal("long", price * 1.008, price * 0.992, minute_estimated_time=60)

        bk.add_strategy("s", get_signal, interval="5m", indicators=columns, indicator_history=10)
        tested = [each for each in bk.Backtest.run("AAA") if getattr(each, "close_reason", "") != "frame_end"]
        lived = traded(LAST - FIRST + 2, symbols=["AAA"], clock=HandClock(FIRST))
        assert len(tested) > 10
        assert before_the_end(stamped(lived)) == before_the_end(stamped(tested))
