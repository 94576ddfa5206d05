"""The schedule report: each scheduled signal once, as it last stood, whatever the order of the events."""

from __future__ import annotations

import random
from typing import Any

import pytest

from backtest_kit.core.events import Event, SignalCancelled, SignalOpened, SignalScheduled
from backtest_kit.reports.kinds.schedule import schedule
from tests.unit.told import HOSTILE, at, is_harmless, position, signal, source


def scheduled(signal_id: str, minute: float, symbol: str = "BTCUSDT", **fields: Any) -> Event:
    return SignalScheduled(source(symbol), at(minute), 101.0, signal(signal_id, price_open=100.0, **fields))


def entered(signal_id: str, minute: float, symbol: str = "BTCUSDT") -> Event:
    return SignalOpened(source(symbol), at(minute), 100.0, position(signal_id, minute, price_open=100.0))


def cancelled(signal_id: str, minute: float, reason: Any = "timeout", symbol: str = "BTCUSDT") -> Event:
    return SignalCancelled(source(symbol), at(minute), 101.0, signal(signal_id, price_open=100.0), reason)


STORY = [
    scheduled("a", 0),
    entered("a", 10),
    scheduled("b", 5),
    cancelled("b", 125),
    scheduled("c", 20),
    cancelled("c", 80, "price_reject"),
    scheduled("d", 30),
    entered("d", 60),
    scheduled("e", 40),
    cancelled("e", 160),
    scheduled("f", 200),
]


def test_rates_are_of_those_opened_or_cancelled_and_means_are_minutes() -> None:
    found = schedule(STORY)
    assert (found.scheduled, found.opened, found.cancelled, found.waiting) == (6, 2, 3, 1)
    assert (found.activation_rate, found.cancellation_rate) == (40.0, 60.0)
    assert (found.avg_activation_minutes, found.avg_cancelled_minutes) == (20.0, 100.0)
    assert [(each.name, each.number) for each in found.reasons] == [("timeout", 2), ("price_reject", 1)]
    assert found.missing == {}


def test_there_is_one_row_a_signal_with_its_latest_state() -> None:
    rows = {each.signal_id: each for each in schedule(STORY).rows}
    assert list(rows) == ["a", "b", "c", "d", "e", "f"]
    assert (rows["a"].state, rows["a"].scheduled_at, rows["a"].settled_at) == ("opened", at(0), at(10))
    assert (rows["c"].state, rows["c"].reason, rows["c"].waited_minutes) == ("cancelled", "price_reject", 60.0)
    assert (rows["f"].state, rows["f"].settled_at, rows["f"].waited_minutes) == ("waiting", None, None)
    assert rows["b"].price_open == 100.0


def test_the_order_of_the_events_does_not_matter() -> None:
    shuffled = STORY[:]
    random.Random(1).shuffle(shuffled)
    assert schedule(shuffled) == schedule(STORY)


def test_an_event_that_is_told_twice_counts_once() -> None:
    assert schedule([each for event in STORY for each in (event, event)]) == schedule(STORY)


def test_a_signal_that_is_filled_in_its_first_minute_waited_for_none() -> None:
    (row,) = schedule([entered("a", 3), scheduled("a", 3)]).rows
    assert (row.state, row.waited_minutes) == ("opened", 0.0)


def test_an_id_that_is_used_again_after_its_end_is_another_signal() -> None:
    found = schedule([scheduled("x", 0), cancelled("x", 5), scheduled("x", 9), entered("x", 12)])
    assert [(each.state, each.scheduled_at) for each in found.rows] == [("cancelled", at(0)), ("opened", at(9))]


def test_an_id_on_another_symbol_is_another_signal() -> None:
    found = schedule([scheduled("x", 0), scheduled("x", 1, "ETHUSDT"), cancelled("x", 2, symbol="ETHUSDT")])
    assert [(each.symbol, each.state) for each in found.rows] == [("BTCUSDT", "waiting"), ("ETHUSDT", "cancelled")]


def test_signals_entered_at_once_are_not_in_it() -> None:
    assert schedule([entered("now", 0), cancelled("refused", 1, "refused")]).rows == ()


def test_without_scheduled_signals_every_figure_says_why_it_is_missing() -> None:
    found = schedule([])
    assert (found.scheduled, found.activation_rate, found.avg_activation_minutes) == (0, None, None)
    assert found.missing["activation_rate"] == found.missing["cancellation_rate"] == "no signal was scheduled"
    assert found.report("S").to_markdown() == "# S\n\nNo signals have been scheduled yet.\n"


def test_signals_that_all_wait_have_no_rate_yet() -> None:
    text = schedule([scheduled("a", 0)]).report().to_markdown()
    assert "- Activation rate: N/A (no scheduled signal has been opened or cancelled yet)\n" in text
    assert "- Mean wait of the cancelled: N/A (no scheduled signal was cancelled)\n" in text
    assert (
        "| 2024-01-01T00:00Z | BTCUSDT | s | a | long | 100.000 | 110.000 | 90.0000 | waiting | N/A | N/A |  |  |"
        in text
    )


@pytest.mark.parametrize("hostile", [HOSTILE])
def test_names_of_others_cannot_change_the_form_of_the_report(hostile: str) -> None:
    event = scheduled(hostile, 0, hostile, note=hostile)
    assert is_harmless(schedule([event]).report(hostile).to_markdown())
