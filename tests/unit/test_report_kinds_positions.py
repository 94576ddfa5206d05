"""Reports on positions: milestones, breakeven, best and worst moments; from trades, events, or both at once."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

import backtest_kit as bk
from backtest_kit.core.events import (
    ActivePing,
    BreakevenReached,
    Event,
    HighestProfit,
    LossReached,
    MaxDrawdown,
    ProfitReached,
    SignalClosed,
    SignalOpened,
)
from backtest_kit.core.position import Milestone, profit
from backtest_kit.reports.kinds.extremes import highest_profit, max_drawdown
from backtest_kit.reports.kinds.milestones import breakeven, partial
from tests.unit.told import FREE, HOSTILE, at, is_harmless, position, signal, source, trade, with_extremes
from tests.worlds import SYMBOL, fresh_world, given, run, walk

world = pytest.fixture(autouse=True)(fresh_world)


def mark(kind: Any, level: int, minute: float, price: float = 101.0) -> Milestone:
    return Milestone(kind, level, at(minute), price)


def gained(signal_id: str, minute: float, level: int, opened: float = 0) -> Event:
    return ProfitReached(source(), at(minute), 100 + level / 10, position(signal_id, opened), level)


def lost(signal_id: str, minute: float, level: int, opened: float = 0) -> Event:
    return LossReached(source(), at(minute), 100 - level / 10, position(signal_id, opened), level)


# ---- milestones ----


def test_milestones_of_trades_stand_in_order_of_time_and_are_counted_by_level() -> None:
    first = trade("a", 0, milestones=(mark("profit", 10, 5), mark("profit", 20, 9), mark("breakeven", 0, 6)))
    second = trade("b", 1, milestones=(mark("loss", 10, 7), mark("profit", 10, 8)))
    found = partial([second, first])
    assert [(each.signal_id, each.kind, each.level) for each in found.rows] == [
        ("a", "profit", 10),
        ("b", "loss", 10),
        ("b", "profit", 10),
        ("a", "profit", 20),
    ]
    assert (found.total, found.profit, found.loss) == (4, 3, 1)
    assert [(each.level, each.profit, each.loss) for each in found.levels] == [(10, 2, 1), (20, 1, 0)]


def test_levels_that_one_candle_passed_stand_in_their_order() -> None:
    found = partial([trade(milestones=(mark("profit", 20, 5), mark("profit", 10, 5)))])
    assert [each.level for each in found.rows] == [10, 20]


def test_what_an_event_told_and_a_trade_recorded_is_one_row() -> None:
    recorded = trade("a", 0, milestones=(mark("profit", 10, 5), mark("profit", 20, 9)))
    assert len(partial([recorded], [gained("a", 9, 20), gained("a", 5, 10), gained("a", 5, 10)]).rows) == 2


def test_open_positions_show_the_milestones_that_were_told_and_those_that_they_carry() -> None:
    carried = replace(position("a"), milestones=(mark("profit", 10, 3), mark("profit", 20, 4)))
    ping = ActivePing(source(), at(8), 102.0, carried, FREE)
    found = partial([], [lost("a", 6, 10), gained("a", 3, 10), ping])
    assert [(each.kind, each.level, each.time) for each in found.rows] == [
        ("profit", 10, at(3)),
        ("profit", 20, at(4)),
        ("loss", 10, at(6)),
    ]
    assert {each.price_open for each in found.rows} == {100.0}


def test_an_id_that_is_used_again_is_another_position() -> None:
    trades = [trade("x", 0, milestones=(mark("profit", 10, 5),)), trade("x", 60, milestones=(mark("profit", 10, 65),))]
    assert [each.time for each in partial(trades, [gained("x", 65, 10, opened=60)]).rows] == [at(5), at(65)]


def test_breakeven_counts_each_position_once() -> None:
    told = BreakevenReached(source(), at(6), 101.0, position("a"))
    found = breakeven([trade("a", milestones=(mark("breakeven", 0, 6), mark("profit", 10, 6)))], [told, told])
    assert found.total == 1
    text = found.report("B").to_markdown()
    assert "- Positions that reached it: 1\n" in text
    assert "| Time (UTC) | Symbol | Strategy | Signal | Side | Price | Entry |\n" in text


def test_records_without_milestones_give_an_empty_report() -> None:
    assert (
        partial([trade()]).report("P").to_markdown() == "# P\n\nNo milestone of profit or loss has been passed yet.\n"
    )
    assert breakeven([]).report("B").to_markdown() == "# B\n\nNo position has reached breakeven yet.\n"


# ---- best and worst moments ----


def told(kind: type[Any], minute: float, peak: Any = (101, 1, 1.0), trough: Any = (99, 2, -1.0)) -> Event:
    event: Event = kind(source(), at(minute), 100.0, with_extremes(position("open"), peak, trough))
    return event


def test_the_best_moment_says_when_and_how_much_was_given_back() -> None:
    best = {"peak_pnl_percent": 4.0, "peak_price": 104.0, "peak_at": at(12)}
    found = highest_profit(
        [trade("a", 2, **best), trade("b", 0, pnl_percent=-2.0, peak_pnl_percent=1.0, peak_at=at(6))]
    )
    second, first = found.rows
    assert (first.signal_id, first.percent, first.price, first.time) == ("a", 4.0, 104.0, at(12))
    assert (first.minutes, first.earned, first.reversal) == (10.0, 1.0, 3.0)
    assert (second.signal_id, second.reversal) == ("b", 3.0)
    assert (found.total, found.avg_percent, found.extreme_percent) == (2, 2.5, 4.0)
    assert (found.avg_minutes, found.avg_reversal) == (8.0, 3.0)


def test_the_worst_moment_says_when_and_how_much_was_won_back() -> None:
    worst = {"trough_pnl_percent": -3.0, "trough_price": 97.0, "trough_at": at(4)}
    found = max_drawdown([trade("a", **worst), trade("b", trough_pnl_percent=-1.0)])
    assert (found.rows[0].percent, found.rows[0].minutes, found.rows[0].reversal) == (-3.0, 4.0, 4.0)
    assert (found.avg_percent, found.extreme_percent, found.avg_reversal) == (-2.0, -3.0, 3.0)


def test_old_records_without_time_and_price_of_the_moment_stay_readable() -> None:
    text = highest_profit([trade(peak_pnl_percent=2.0)]).report().to_markdown()
    assert "| long | 100.000 | 2.0000 | N/A | N/A | N/A | 1.0000 | 1.0000 |" in text
    assert "- Mean time from the entry to it: N/A (no time was recorded)\n" in text


def test_trades_without_a_recorded_moment_are_not_in_it() -> None:
    assert highest_profit([trade()]).rows == ()
    assert "No position has a recorded drawdown yet." in max_drawdown([trade()]).report().to_markdown()
    assert max_drawdown([]).missing["extreme_percent"] == "no position"


def test_of_an_open_position_the_latest_event_wins() -> None:
    events = [told(HighestProfit, 9, peak=(103, 9, 3.0)), told(SignalOpened, 0), told(HighestProfit, 4)]
    (row,) = highest_profit([], events).rows
    assert (row.percent, row.price, row.minutes, row.earned, row.reversal) == (3.0, 103, 9.0, None, None)
    assert highest_profit([], events).missing == {"avg_reversal": "no position was closed"}
    (row,) = max_drawdown([], [told(MaxDrawdown, 9, trough=(95, 9, -5.0)), told(SignalOpened, 0)]).rows
    assert (row.percent, row.minutes) == (-5.0, 9.0)


def test_a_trade_replaces_what_events_told_of_the_same_position() -> None:
    closed = trade("open", peak_pnl_percent=5.0, peak_at=at(20))
    (row,) = highest_profit([closed], [told(HighestProfit, 9)]).rows
    assert (row.percent, row.earned) == (5.0, 1.0)


def test_a_position_that_only_its_last_event_says_to_be_closed_has_earned_something() -> None:
    held = with_extremes(position("open"), (103, 3, 3.0), (99, 1, -1.0))
    event = SignalClosed(source(), at(9), 102.0, held, profit(held, 102.0, FREE), "closed")
    (row,) = highest_profit([], [event]).rows
    assert (row.earned, row.reversal) == pytest.approx((2.0, 1.0))


# ---- all of them ----


def test_names_of_others_cannot_change_the_form_of_the_reports() -> None:
    hostile = replace(position(), signal=signal(HOSTILE, note=HOSTILE))
    event = ProfitReached(source(HOSTILE, HOSTILE), at(1), 101.0, hostile, 10)
    for found in (partial([], [event]), highest_profit([], [event]), max_drawdown([], [event])):
        text = found.report(HOSTILE).to_markdown()
        assert len(found.rows) == 1
        assert is_harmless(text)


def test_what_listeners_were_told_is_what_the_trades_of_a_run_recorded() -> None:
    given({SYMBOL: walk(2000, 5)}, frame=(10, 1990))
    heard: list[Event] = []
    for listen in (bk.listen_partial_profit, bk.listen_partial_loss, bk.listen_breakeven):
        listen(heard.append)

    @bk.strategy("s")
    def get_signal(symbol: str, when: object, price: float) -> bk.Signal:
        return bk.Signal.bracket("long", price, take_profit_percent=1, stop_loss_percent=1)

    run(SYMBOL)
    data = bk.Backtest.get_data(SYMBOL, strategy_name="s", exchange_name="memory", frame_name="frame")
    recorded = (*partial(data.trades).rows, *breakeven(data.trades).rows)
    assert len(recorded) == len(heard) > 20
    assert [(each.time, each.level) for each in partial(data.trades, heard).rows] == [
        (each.time, each.level) for each in partial(data.trades).rows
    ]
    assert [each.time for each in partial([], heard).rows] == [each.time for each in partial(data.trades).rows]
