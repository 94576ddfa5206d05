"""The report of orders: every leg of every position, with side, quantity and money."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from backtest_kit.core.events import ActivePing, Committed, SignalClosed, SignalOpened
from backtest_kit.core.position import averaged, profit, reduced
from backtest_kit.reports.kinds.orders import orders
from backtest_kit.reports.trades import Leg, trade_of
from tests.unit.told import FREE, HOSTILE, at, is_harmless, position, signal, source, trade

SIMPLE = (Leg(at(0), "entry", 100.0, 100.0), Leg(at(30), "exit", 110.0, 100.0))


def test_a_long_is_bought_and_sold_and_a_short_sold_and_bought_back() -> None:
    found = orders([trade("l", legs=SIMPLE), trade("s", position="short", legs=SIMPLE)])
    assert [(each.signal_id, each.side, each.kind, each.quantity, each.money) for each in found.rows] == [
        ("l", "buy", "entry", 1.0, 100.0),
        ("s", "sell", "entry", 1.0, 100.0),
        ("l", "sell", "exit", 1.0, pytest.approx(110.0)),
        ("s", "buy", "exit", 1.0, pytest.approx(110.0)),
    ]
    assert (found.total, found.buys, found.sells) == (4, 2, 2)
    assert (found.bought, found.sold) == pytest.approx((210.0, 210.0))
    assert [(each.name, each.number) for each in found.by_kind] == [("entry", 2), ("exit", 2)]


def test_leverage_is_in_quantity_and_money_but_not_in_the_own_money() -> None:
    entry = orders([trade(leverage=3.0, legs=SIMPLE)]).rows[0]
    assert (entry.quantity, entry.money, entry.cost) == (3.0, 300.0, 100.0)


def test_what_leaves_in_parts_is_in_all_what_came_in() -> None:
    legs = (
        Leg(at(0), "entry", 100.0, 100.0),
        Leg(at(5), "average", 50.0, 100.0),
        Leg(at(9), "partial_profit", 80.0, 50.0),
        Leg(at(12), "exit", 90.0, 150.0),
    )
    rows = orders([trade(legs=legs)]).rows
    assert [each.quantity for each in rows] == pytest.approx([1.0, 2.0, 0.75, 2.25])
    assert [each.money for each in rows] == pytest.approx([100.0, 100.0, 60.0, 202.5])


def test_the_orders_of_a_closed_position_agree_with_its_profit() -> None:
    held = reduced(averaged(position(), at(3), 95.0, 50.0, FREE), at(6), 104.0, 40.0, "profit", FREE)
    event = SignalClosed(source(), at(9), 103.0, held, profit(held, 103.0, FREE), "closed")
    closed = trade_of(event, FREE)
    found = orders([closed])
    assert [each.kind for each in found.rows] == ["entry", "average", "partial_profit", "exit"]
    assert found.sold - found.bought == pytest.approx(closed.pnl_cost)
    assert orders([], [event]) == found
    assert orders([closed], [event]) == found


def test_open_positions_have_the_orders_that_their_latest_event_knows() -> None:
    before = position("open")
    after = averaged(before, at(3), 95.0, 50.0, FREE)
    events = [
        Committed(source(), at(3), "average_buy", 95.0, 50.0, position=after),
        SignalOpened(source(), at(0), 100.0, before),
        ActivePing(source(), at(2), 96.0, before, FREE),
        Committed(source(), at(5), "breakeven", 95.0, accepted=False, reason="too early"),
    ]
    assert [(each.kind, each.time) for each in orders([], events).rows] == [("entry", at(0)), ("average", at(3))]


def test_trades_that_do_not_say_which_orders_they_had_are_counted() -> None:
    found = orders([trade("old"), trade("new", legs=SIMPLE)])
    assert (found.total, found.unrecorded) == (2, 1)
    assert "\n\nTrades whose orders were not recorded: 1.\n\n" in found.report().to_markdown()
    assert orders([trade()]).report("O").to_markdown() == (
        "# O\n\nNo orders were recorded.\n\nTrades whose orders were not recorded: 1.\n"
    )


def test_legs_that_cannot_be_do_not_divide_by_nothing() -> None:
    (row,) = orders([trade(legs=(Leg(at(1), "exit", 100.0, 100.0),))]).rows
    assert (row.quantity, row.money) == (0.0, 0.0)


def test_without_orders_the_report_says_so() -> None:
    assert orders([]).report("O").to_markdown() == "# O\n\nNo orders have been made yet.\n"


def test_an_order_is_one_line_of_the_table() -> None:
    text = orders([trade(legs=SIMPLE, symbol="SHIB", leverage=2.0)]).report().to_markdown(max_rows=1)
    assert "| 2024-01-01T00:30Z | SHIB | s | one | sell | exit | 110.000 | 2 | 220.00 | 100.00 |\n" in text
    assert "The last 1 of 2." in text


def test_names_of_others_cannot_change_the_form_of_the_report() -> None:
    held = replace(position(), signal=signal(HOSTILE, note=HOSTILE))
    found = orders(
        [trade(HOSTILE, symbol=HOSTILE, legs=SIMPLE)], [SignalOpened(source(HOSTILE, "t"), at(0), 100.0, held)]
    )
    assert found.total == 3
    assert is_harmless(found.report(HOSTILE).to_markdown())
