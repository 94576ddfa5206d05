"""The live report: the latest state of every signal, counts of everything, and the figures of all closed trades."""

from __future__ import annotations

import random
from typing import Any

import pytest

from backtest_kit.core.events import (
    ActivePing,
    Committed,
    Event,
    IdlePing,
    SchedulePing,
    SignalCancelled,
    SignalClosed,
    SignalOpened,
    SignalScheduled,
)
from backtest_kit.core.position import profit
from backtest_kit.reports.kinds.live import live
from backtest_kit.reports.pooled import heat
from backtest_kit.reports.statistics import compute
from tests.unit.told import FREE, HOSTILE, at, is_harmless, position, signal, source, trade


def idle(minute: float, symbol: str = "BTCUSDT", strategy: str = "s") -> Event:
    return IdlePing(source(symbol, strategy), at(minute), 100.0)


def active(signal_id: str, minute: float, price: float = 101.0, opened: float = 0) -> Event:
    return ActivePing(source(), at(minute), price, position(signal_id, opened), FREE)


def opened(signal_id: str, minute: float) -> Event:
    return SignalOpened(source(), at(minute), 100.0, position(signal_id, minute))


def closed(signal_id: str, minute: float, start: float = 0, note: str = "") -> Event:
    held = position(signal_id, start)
    return SignalClosed(source(), at(minute), 102.0, held, profit(held, 102.0, FREE), "take_profit", note=note)


def scheduled(signal_id: str, minute: float, kind: Any = SignalScheduled) -> Event:
    given = signal(signal_id, price_open=99.0)
    if kind is SchedulePing:
        return SchedulePing(source(), at(minute), 100.0, given, at(0))
    if kind is SignalCancelled:
        return SignalCancelled(source(), at(minute), 100.0, given, "timeout")
    return SignalScheduled(source(), at(minute), 100.0, given)


def states(events: list[Event]) -> list[tuple[str, str]]:
    ids = [getattr(getattr(event, "signal", None), "id", "") for event in live(events).rows]
    return list(zip([event.action for event in live(events).rows], ids, strict=True))


STORY = [
    idle(0),
    idle(1),
    scheduled("a", 2),
    scheduled("a", 3, SchedulePing),
    scheduled("a", 4, SchedulePing),
    scheduled("a", 5, SignalCancelled),
    opened("b", 6),
    active("b", 7, 101.0, 6),
    active("b", 8, 103.0, 6),
    closed("b", 9, 6),
    idle(10),
    opened("c", 11),
    active("c", 12, 101.5, 11),
]


def test_there_is_one_row_a_signal_with_its_latest_state_and_the_latest_idle_one() -> None:
    assert states(STORY) == [("cancelled", "a"), ("closed", "b"), ("idle", ""), ("active", "c")]
    assert [event.time for event in live(STORY).rows] == [at(5), at(9), at(10), at(12)]


def test_everything_is_counted_also_what_has_no_row_any_more() -> None:
    found = live(STORY)
    assert (found.idle, found.scheduled, found.waiting, found.cancelled) == (3, 1, 2, 1)
    assert (found.opened, found.active, found.closed) == (2, 3, 1)


def test_the_order_of_the_events_does_not_matter() -> None:
    shuffled = STORY[:]
    random.Random(3).shuffle(shuffled)
    assert live(shuffled) == live(STORY)


@pytest.mark.parametrize(
    ("events", "latest"),
    [
        ([closed("a", 3, 3), opened("a", 3)], [("closed", "a")]),
        ([scheduled("a", 3, SignalCancelled), scheduled("a", 3)], [("cancelled", "a")]),
        ([active("a", 3), active("a", 3, 99.0)], [("active", "a")]),
        ([closed("a", 3), closed("a", 3)], [("closed", "a")]),
    ],
)
def test_of_one_minute_that_counts_which_comes_last_in_life(events: list[Event], latest: list[tuple[str, str]]) -> None:
    assert states(events) == latest


def test_an_id_that_is_used_again_after_its_end_is_another_signal() -> None:
    events = [opened("x", 0), closed("x", 5), opened("x", 9), active("x", 10, opened=9)]
    assert states(events) == [("closed", "x"), ("active", "x")]


def test_idle_rows_are_one_for_each_strategy_on_each_symbol() -> None:
    events = [idle(0), idle(1, "ETHUSDT"), idle(2, strategy="t"), idle(3)]
    assert [(each.symbol, each.strategy_name) for each in live(events).rows] == [
        ("ETHUSDT", "s"),
        ("BTCUSDT", "t"),
        ("BTCUSDT", "s"),
    ]


def test_what_is_no_tick_has_no_row() -> None:
    assert live([Committed(source(), at(0), "breakeven", 1.0, position=position())]).rows == ()


def test_the_figures_are_over_all_closed_trades() -> None:
    trades = [trade(str(number), number) for number in range(12)]
    assert live(STORY, trades).statistics == compute(trades)
    several = [*trades, trade("e", symbol="ETHUSDT")]
    assert live(STORY, several).statistics == heat(several).portfolio
    text = live(STORY, trades).report().to_markdown(max_rows=1)
    assert "| Closed trades | 12 |  |\n" in text
    assert "The last 1 of 4." in text


def test_each_state_shows_what_it_knows() -> None:
    text = live(STORY, []).report("L").to_markdown()
    assert "## Closed trades" not in text
    assert "- Candles in a position: 3\n" in text
    assert "| cancelled | BTCUSDT | s | a | long | 100.000 | 99.0000 | 110.000 | 90.0000 | N/A | timeout |  |" in text
    assert (
        "| closed | BTCUSDT | s | b | long | 102.000 | 100.000 | 110.000 | 90.0000 | 2.0000 | take_profit |  |" in text
    )
    assert "| idle | BTCUSDT | s | N/A | N/A | 100.000 | N/A | N/A | N/A | N/A |  |  |" in text
    assert "| active | BTCUSDT | s | c | long | 101.500 | 100.000 | 110.000 | 90.0000 | 1.5000 |  |  |" in text


def test_without_events_the_report_says_so() -> None:
    assert live([]).report("L").to_markdown() == "# L\n\nNo events yet: nothing has happened.\n"


def test_names_of_others_cannot_change_the_form_of_the_report() -> None:
    events = [idle(0, HOSTILE, HOSTILE), closed(HOSTILE, 3, note=HOSTILE), active(HOSTILE + "2", 3)]
    found = live(events, [trade(HOSTILE, symbol=HOSTILE)])
    assert len(found.rows) == 3
    assert is_harmless(found.report(HOSTILE).to_markdown())
