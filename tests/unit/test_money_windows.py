"""Money windows: what closed on which UTC day, seen from a given moment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest_kit.reports.trades import Trade
from backtest_kit.reports.windows import DAY, MoneyWindow, money_windows

MIDNIGHT = 1_710_460_800_000  # 2024-03-15T00:00Z
NOON = MIDNIGHT + DAY // 2


def closed(at: int, pnl: float = 1.0, money: float | None = None) -> Trade:
    return Trade(
        symbol="BTCUSDT",
        strategy_name="sma_cross",
        position="long",
        opened_at=at - 40 * DAY,
        closed_at=at,
        price_open=100.0,
        price_close=101.0,
        cost=200.0,
        pnl_percent=pnl,
        pnl_cost=2 * pnl if money is None else money,
        close_reason="take_profit",
    )


def counts(*trades: Trade, now: int = NOON) -> tuple[int, int, int, int]:
    found = money_windows(trades, now)
    return found.today.trades, found.yesterday.trades, found.last_7_days.trades, found.last_31_days.trades


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (NOON + 1, (0, 0, 0, 0)),
        (NOON, (1, 0, 1, 1)),
        (MIDNIGHT, (1, 0, 1, 1)),
        (MIDNIGHT - 1, (0, 1, 1, 1)),
        (MIDNIGHT - DAY, (0, 1, 1, 1)),
        (MIDNIGHT - DAY - 1, (0, 0, 1, 1)),
        (MIDNIGHT - 6 * DAY, (0, 0, 1, 1)),
        (MIDNIGHT - 6 * DAY - 1, (0, 0, 0, 1)),
        (MIDNIGHT - 30 * DAY, (0, 0, 0, 1)),
        (MIDNIGHT - 30 * DAY - 1, (0, 0, 0, 0)),
    ],
)
def test_a_trade_counts_on_the_day_on_which_it_closed(at: int, expected: tuple[int, int, int, int]) -> None:
    assert counts(closed(at)) == expected


def test_a_day_begins_at_midnight_and_its_last_millisecond_belongs_to_it() -> None:
    assert counts(closed(MIDNIGHT), now=MIDNIGHT) == (1, 0, 1, 1)
    assert counts(closed(MIDNIGHT), now=MIDNIGHT + DAY - 1) == (1, 0, 1, 1)
    assert counts(closed(MIDNIGHT), now=MIDNIGHT + DAY) == (0, 1, 1, 1)


def test_a_window_states_its_bounds_money_percent_wins_and_losses() -> None:
    trades = [closed(NOON, 1.5), closed(NOON, -1.0), closed(MIDNIGHT, 0.0), closed(MIDNIGHT, 2.0, money=-3.0)]
    assert money_windows(trades, NOON).today == MoneyWindow(
        start=MIDNIGHT, stop=MIDNIGHT + DAY, trades=4, pnl_cost=-2.0, pnl_percent=2.5, wins=2, losses=1
    )


def test_without_trades_nothing_was_earned() -> None:
    found = money_windows([], NOON)
    assert {(each.trades, each.pnl_cost, each.wins) for each in (found.today, found.last_31_days)} == {(0, 0.0, 0)}
    assert (found.last_7_days.start, found.last_31_days.start) == (MIDNIGHT - 6 * DAY, MIDNIGHT - 30 * DAY)
    assert (found.yesterday.start, found.yesterday.stop) == (MIDNIGHT - DAY, MIDNIGHT)


@given(st.lists(st.integers(NOON - 40 * DAY, NOON + DAY)), st.integers(NOON - 2 * DAY, NOON + DAY))
def test_longer_windows_hold_the_shorter_ones(times: list[int], now: int) -> None:
    today, yesterday, week, month = counts(*map(closed, times), now=now)
    assert today + yesterday <= week <= month <= sum(each <= now for each in times)
