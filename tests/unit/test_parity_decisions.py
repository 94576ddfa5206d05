"""Decisions of live trading and of a replay side by side: which belong together, and by which cause they differ."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backtest_kit as bk
from backtest_kit.core.candles import Tape
from backtest_kit.core.events import RiskRejected, SignalClosed, SignalOpened, SignalScheduled
from backtest_kit.core.inputs import ExitReason
from backtest_kit.core.position import opened, profit
from backtest_kit.core.values import Interval, Source, Terms
from backtest_kit.engine.journal import Asked, JournalLine, candle_mark, code_mark
from backtest_kit.parity import journal
from backtest_kit.reports.decisions import decisions_of, pairs_of
from backtest_kit.reports.differences import Evidence, differences_of
from backtest_kit.stores import FileLedger, stream_of
from tests.worlds import START, at, fresh_world, once, walk

world = pytest.fixture(autouse=True)(fresh_world)


def evidence(**known: Any) -> Evidence:
    return Evidence(Interval.M5, Terms(), **known)


def test_a_signal_that_risk_admitted_on_one_side_only_is_timing() -> None:
    """Live books are beside each other, so it is a matter of moments which of two is admitted first."""
    source = Source("AAA", "s", "m", mode="paper")
    signal = bk.Signal("long", 110.0, 90.0, id="x")
    position = opened(signal, at(0), 100.0, Terms())
    entered = decisions_of([SignalOpened(source, at(0), 100.0, position)])
    refused = decisions_of([RiskRejected(source, at(0), 100.0, signal, "one", "full")])
    rows = differences_of(pairs_of(entered, refused, Interval.M5), evidence())
    assert [(row.cause, row.what, row.money) for row in rows] == [("timing", "outcome", None)]
    assert pairs_of([], refused, Interval.M5) == []


def test_a_late_exit_of_the_same_kind_is_timing_and_a_command_of_a_person_is_not() -> None:
    source, signal = Source("AAA", "s", "m", mode="live"), bk.Signal("long", 110.0, 90.0, id="x")
    position = opened(signal, at(0), 100.0, Terms())
    entered = SignalOpened(source, at(0), 100.0, position)

    def left(minute: int, reason: ExitReason, price: float = 110.0) -> SignalClosed:
        return SignalClosed(source, at(minute), price, position, profit(position, price, Terms()), reason)

    expected = decisions_of([entered, left(10, "take_profit")])
    late, told, very_late = left(12, "take_profit"), left(10, "closed"), left(60, "take_profit")
    for end, cause in ((late, "timing"), (told, "code"), (very_late, "code")):
        rows = differences_of(pairs_of(decisions_of([entered, end]), expected, Interval.M5), evidence())
        assert [(row.cause, row.what) for row in rows] == [(cause, "outcome")]
    changed = evidence(changed=((at(5), at(6)),))
    rows = differences_of(pairs_of(decisions_of([entered, left(60, "closed")]), expected, Interval.M5), changed)
    assert [row.cause for row in rows] == ["data"]


def test_facts_after_the_last_known_tick_are_left_out() -> None:
    source, signal = Source("AAA", "s", "m"), bk.Signal("long", 110.0, 90.0, 99.0, id="x")
    position = opened(signal, at(3), 99.0, Terms())
    facts = [SignalScheduled(source, at(3), 100.0, signal), SignalOpened(source, at(3), 99.0, position)]
    assert [each.outcome for each in decisions_of(facts)] == ["open"]
    assert [each.outcome for each in decisions_of(facts, at(4))] == ["open"]
    assert [each.outcome for each in decisions_of(facts, at(3))] == ["waiting"]
    assert decisions_of(facts, at(2)) == []
    assert [each.known_at for each in decisions_of(facts)] == [at(4)]


def test_a_candle_mark_is_another_one_for_every_other_number() -> None:
    table = walk(30, 1)
    columns = [np.asarray(table[name]) for name in ("open", "high", "low", "close")]
    mark = candle_mark(Tape(START, *columns), at(5), at(20))
    for number in range(4):
        for row, differs in ((4, False), (5, True), (19, True), (20, False)):
            other = [column.copy() for column in columns]
            other[number][row] += 1e-9
            assert (candle_mark(Tape(START, *other), at(5), at(20)) != mark) is differs


def test_a_strategy_without_source_has_no_code_mark() -> None:
    bk.add_strategy("built-in", max)
    bk.add_strategy("own", once(None))
    assert [code_mark(each) == "" for each in bk.list_strategies()] == [True, False]


def test_a_line_that_cannot_be_written_costs_no_trade_and_is_made_up_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, table = Source("AAA", "s", "m", mode="live"), walk(30, 1)
    tape = Tape(START, *(np.asarray(table[name]) for name in ("open", "high", "low", "close")))
    (tmp_path / "journal").write_text("a file where a folder should be")
    notes = journal(tmp_path)
    bk.add_strategy("s", once(None))
    notes.begin(source, at(5), "1", bk.list_strategies()[0], {}, Terms())
    notes.ask(source, tape, 10)
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    (tmp_path / "journal").unlink()
    notes.ask(source, tape, 15)
    (line,) = FileLedger(tmp_path / "journal", JournalLine).scan(stream_of(source))
    assert line == Asked(source, at(15), float(tape.price[14]), at(5), candle_mark(tape, at(5), at(15)))
