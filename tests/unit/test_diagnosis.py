"""Each rule of the diagnosis notices what it is for, says its number, and is silent just beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from backtest_kit.reports.account import Account
from backtest_kit.reports.diagnosis import MOST_SERIOUS_FIRST, RULES, Finding, findings
from backtest_kit.reports.equity import EquityCurve
from backtest_kit.reports.facts import InvalidSignal, RunFacts
from backtest_kit.reports.run import RunData
from backtest_kit.reports.significance import IntervalOf, Significance
from backtest_kit.reports.tables import one_line
from backtest_kit.reports.trades import Trade

START = 1_704_067_200_000  # 2024-01-01
HOUR = 3_600_000
DAY = 24 * HOUR

FACTS = RunFacts(
    symbols=("BTCUSDT",),
    strategy_names=("sma_cross",),
    exchange_name="demo",
    frame_name="january",
    start=START,
    stop=START + 60 * DAY,
    candles=86_400,
    decisions=1000,
    no_signal=900,
    invalid_signals=(),
    invalid_signal_count=0,
    risk_rejections=0,
    not_enough_history=0,
    ambiguous=0,
    gaps=(),
    frame_end_closes=0,
    errors=0,
    settings={},
    duration_seconds=0.5,
)
ACCOUNT = Account(
    initial_balance=10_000.0,
    final_balance=11_000.0,
    total_return=10.0,
    days=60.0,
    cagr=None,
    volatility=20.0,
    sharpe_ratio=1.5,
    sortino_ratio=2.0,
    calmar_ratio=None,
    max_drawdown=8.0,
    max_drawdown_days=12.0,
    average_exposure=60.0,
    max_exposure=100.0,
    time_in_market=60.0,
    turnover=30.0,
    fees=4.0,
    slippage=0.0,
    cost_share=10.0,
    benchmark_return=5.0,
    alpha=None,
    beta=None,
    best_day=1.0,
    worst_day=-1.0,
    missing={},
)
SIGNIFICANCE = Significance(
    avg_pnl=IntervalOf(0.1, 0.9),
    win_rate=IntervalOf(40.0, 60.0),
    sharpe_ratio=IntervalOf(0.1, 0.5),
    profit_factor=IntervalOf(1.1, 3.0),
    p_value=0.01,
    probabilistic_sharpe_ratio=0.99,
    deflated_sharpe_ratio=0.99,
    minimum_track_record_length=20.0,
    trials=1,
    missing={},
)
SOUND = [2.0, -1.0] * 20


def trade(pnl: float, number: int = 0, **fields: Any) -> Trade:
    """A trade of 100 that made `pnl`, closed an hour after the one before it."""
    base: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "strategy_name": "sma_cross",
        "position": "long",
        "opened_at": START + number * HOUR,
        "closed_at": START + (number + 1) * HOUR,
        "price_open": 100.0,
        "price_close": 100.0 + pnl,
        "cost": 100.0,
        "pnl_percent": pnl,
        "pnl_cost": pnl,
        "close_reason": "take_profit" if pnl > 0 else "stop_loss",
        "fees": 0.1,
    }
    return Trade(**base | fields)


def trades_of(pnls: Sequence[float], **fields: Any) -> list[Trade]:
    return [trade(pnl, number, **fields) for number, pnl in enumerate(pnls)]


def run_of(
    trades: Sequence[Trade] | None = None,
    *,
    account: dict[str, Any] | None = None,
    significance: dict[str, Any] | None = None,
    **facts: Any,
) -> RunData:
    """A run about which there is nothing to say, but for what is given."""
    run = RunData("Backtest", trades_of(SOUND) if trades is None else trades, replace(FACTS, **facts))
    run.__dict__["account"] = replace(ACCOUNT, **(account or {}))
    run.__dict__["significance"] = replace(SIGNIFICANCE, **(significance or {}))
    balance = 10_000 + np.cumsum([0.0, *(each.pnl_cost for each in run.trades)])
    times = START + np.arange(len(balance)) * HOUR
    run.__dict__["curve"] = EquityCurve(times, balance, balance * 0, balance * 0, balance)
    return run


def named(field: str, sums: dict[str, float]) -> list[Trade]:
    """Twenty trades of each name that win and lose in turn and together make its sum."""
    return [
        trade((2 if n % 2 else -2) + each / 20, k * 20 + n, **{field: name})
        for k, (name, each) in enumerate(sums.items())
        for n in range(20)
    ]


def monthly(*sums: float) -> list[Trade]:
    months = named("symbol", {f"{k}": each for k, each in enumerate(sums)})
    return [replace(each, symbol="A", closed_at=START + int(each.symbol) * 31 * DAY) for each in months]


def ended(number: int, reason: str, of: int = 40) -> list[Trade]:
    return [trade(SOUND[n], n, **({"close_reason": reason} if n < number else {})) for n in range(of)]


def ambiguous(number: int, pnls: Sequence[float]) -> list[Trade]:
    """The first losing trades could as well have made +2."""
    both = {"ambiguous": True, "pnl_percent_if_ambiguous": 2.0}
    return [trade(pnl, n, **(both if n % 2 and n // 2 < number else {})) for n, pnl in enumerate(pnls)]


LOST = {"final_balance": 0.0, "total_return": -100.0}
HELD = {"benchmark_return": 30.0}
LONG_GAPS = ((START + DAY // 2, START + DAY), (START, START + DAY), (START + 59 * DAY, START + 80 * DAY))
FOR_NOTHING = (InvalidSignal(START, "stop\nabove\x1b entry"),)

NOTICED: list[tuple[str, str, RunData, float, str]] = [
    ("no_trades", "serious", run_of([]), 0, "No trades were closed. Of 1000 decisions 900 gave no signal."),
    ("no_trades", "serious", run_of([], not_enough_history=7), 0, "could not decide for want of history 7 times."),
    ("no_trades", "serious", run_of([], invalid_signal_count=1), 0, "Its signal was invalid once."),
    (
        "no_trades",
        "serious",
        run_of([], risk_rejections=2, errors=3),
        0,
        "refused its signal 2 times. User code failed 3",
    ),
    ("no_trades", "serious", run_of([], decisions=0), 0, "no decision of the strategy was counted"),
    ("account_blown", "serious", run_of(account=LOST), -100, "of 10,000.00 nothing was left"),
    ("liquidations", "serious", run_of(ended(2, "liquidation")), 2, "2 positions were liquidated"),
    ("liquidations", "serious", run_of(ended(1, "liquidation")), 1, "One position was liquidated"),
    ("too_few_trades", "note", run_of(trades_of(SOUND[:29])), 29, "29 closed trades are few"),
    ("too_few_trades", "serious", run_of(trades_of(SOUND[:9])), 9, "9 closed trades: fewer than 10"),
    ("too_few_trades", "serious", run_of(trades_of([1.0])), 1, "1 closed trade: fewer than 10"),
    (
        "costs_eat_the_edge",
        "warning",
        run_of(trades_of(SOUND, fees=0.4, slippage=0.2)),
        24 / 44 * 100,
        "24.00 of +44.00",
    ),
    ("costs_eat_the_edge", "serious", run_of(trades_of([1.0, -1.1] * 20)), 200, "slippage of 4.00, -2.00"),
    ("best_trades", "serious", run_of(trades_of([10.0, *[-1.0, 0.9] * 20])), 125, "of +8.00 would have been -2.00"),
    ("best_trades", "warning", run_of(trades_of([10.0, *[1.0, -0.9] * 20])), 10 / 12 * 100, "83 % of the result"),
    ("best_trades", "warning", run_of(trades_of([10.0, 10.0, *[1.0, -1.1] * 29])), 2, "the other 58 together"),
    ("not_significant", "warning", run_of(significance={"p_value": 0.2}), 0.2, "The profit may be chance: p = 0.20"),
    ("not_significant", "warning", run_of(significance={"avg_pnl": IntervalOf(-0.1, 0.9)}), -0.1, "-0.10 % to"),
    (
        "not_significant",
        "note",
        run_of(trades_of([1.0, -2.0] * 20), significance={"p_value": 0.9, "avg_pnl": IntervalOf(-0.9, 0.1)}),
        -0.9,
        "The loss may be chance: the mean trade",
    ),
    ("many_trials", "warning", run_of(significance={"trials": 20, "deflated_sharpe_ratio": 0.6}), 0.6, "is 60 %"),
    ("too_good", "warning", run_of(account={"sharpe_ratio": 4.5}), 4.5, "Sharpe ratio (daily, per year) of 4.5: "),
    ("too_good", "warning", run_of(trades_of([6.0, -1.0] * 20)), 6, "Profit factor of 6.0: "),
    ("too_good", "warning", run_of(trades_of([*[1.0] * 39, -8.0])), 97.5, "Win rate of 97.5 %: "),
    ("long_drawdown", "warning", run_of(account={"max_drawdown_days": 31.0}), 31, "31.0 of 60.0 days (52 %"),
    ("ambiguous_candles", "warning", run_of(ambiguous(3, SOUND)), 7.5, "sum is +20.00 %, with the target +29.00 %"),
    (
        "ambiguous_candles",
        "warning",
        run_of(ambiguous(1, [1.0, -1.02] * 20)),
        2.5,
        "is -0.40 %, with the target +2.62 %",
    ),
    ("ambiguous_candles", "warning", run_of(ambiguous=4), 10, "4 of 40 trades (10 %) closed on a candle"),
    ("time_exits", "warning", run_of(ended(21, "time_expired")), 52.5, "21 of 40 trades (52 %) were closed by time"),
    ("small_moves", "warning", run_of(trades_of(SOUND, fees=0.9)), 1.5, "made or lost 1.50 %"),
    (
        "large_losses",
        "warning",
        run_of(trades_of([1.0, 1.0, 1.0, 1.0, -3.5] * 8)),
        3.5,
        "(-3.50 %) takes 3.5 mean wins (+1.00 %)",
    ),
    (
        "one_symbol",
        "warning",
        run_of(named("symbol", {"A": -1.0, "B": 9.0, "C": -2.0})),
        9,
        "B: +9.00; the other 2 symbols together",
    ),
    (
        "one_side",
        "warning",
        run_of(named("position", {"long": 9.0, "short": -2.0})),
        9,
        "long: +9.00; the other 1 side",
    ),
    ("one_month", "warning", run_of(monthly(-1.0, 9.0, -1.0)), 9, "one month, 2024-02: +9.00; the other 2 months"),
    ("below_buy_and_hold", "warning", run_of(account=HELD), -20, "+30.00 %, the account made +10.00 %."),
    (
        "below_buy_and_hold",
        "note",
        run_of(account=HELD | {"average_exposure": 4.0}),
        -20,
        "with 4.0 % of it in the market",
    ),
    ("errors", "warning", run_of(errors=2), 2, "User code failed 2 times"),
    (
        "invalid_signals",
        "warning",
        run_of(invalid_signal_count=20, invalid_signals=FOR_NOTHING),
        20,
        "(20 %) were invalid; the first: stop above entry.",
    ),
    ("risk_rejections", "note", run_of(risk_rejections=60), 60, "refused 60 of 100 signals (60 %)"),
    ("not_enough_history", "note", run_of(not_enough_history=200), 20, "200 of 1000 decisions (20 %)"),
    ("not_enough_history", "warning", run_of(not_enough_history=600), 60, "600 of 1000 decisions (60 %)"),
    ("gaps", "note", run_of(gaps=((START, START + HOUR),)), 1 / 14.4, "1 gap in the candles, 1.0 hours (0.069 % of"),
    ("gaps", "warning", run_of(gaps=LONG_GAPS), 2 / 60 * 100, "3 gaps in the candles, 48.0 hours (3.3 % of"),
    ("frame_end", "note", run_of(frame_end_closes=5), 12.5, "5 of 40 trades (12 %) were closed only because the frame"),
    ("idle_money", "note", run_of(account={"max_exposure": 3.0}), 3, "Never more than 3 % of the balance was at work"),
]

JUST_BESIDE: list[tuple[str, RunData]] = [
    ("too_few_trades", run_of(trades_of(SOUND[:30]))),
    ("costs_eat_the_edge", run_of(trades_of(SOUND, fees=0.5))),
    ("costs_eat_the_edge", run_of(trades_of([-1.0] * 40))),
    ("best_trades", run_of(trades_of([10.0, *[1.0, -0.5] * 20]))),
    ("best_trades", run_of(trades_of([-1.0] * 40))),
    ("not_significant", run_of(significance={"p_value": 0.05, "avg_pnl": IntervalOf(0.01, 0.9)})),
    ("not_significant", run_of(trades_of([1.0, -2.0] * 20), significance={"p_value": 1.0, "avg_pnl": None})),
    ("many_trials", run_of(significance={"trials": 20, "deflated_sharpe_ratio": 0.95})),
    ("many_trials", run_of(significance={"trials": 1, "deflated_sharpe_ratio": 0.5})),
    ("too_good", run_of(account={"sharpe_ratio": 4.0})),
    ("too_good", run_of(trades_of([*[0.1] * 39, -8.0]))),
    ("too_good", run_of(trades_of([1.0] * 9))),
    ("long_drawdown", run_of(account={"max_drawdown_days": 30.0})),
    ("ambiguous_candles", run_of(ambiguous(2, SOUND))),
    ("time_exits", run_of(ended(20, "time_expired"))),
    ("time_exits", run_of(ended(4, "time_expired", of=4))),
    ("small_moves", run_of(trades_of(SOUND, fees=0.7))),
    ("small_moves", run_of(trades_of([0.01, -0.01] * 20, fees=0.0))),
    ("large_losses", run_of(trades_of([1.0, 1.0, 1.0, 1.0, -2.9] * 8))),
    ("large_losses", run_of(trades_of([1.0, -3.5] * 20))),
    ("one_symbol", run_of(named("symbol", {"A": 9.0, "B": 0.5}))),
    ("one_symbol", run_of(named("symbol", {"A": 1.0, "B": -9.0}))),
    ("one_month", run_of(monthly(9.0, -1.0))),
    ("below_buy_and_hold", run_of(account={"benchmark_return": 10.0})),
    ("invalid_signals", run_of(invalid_signal_count=10)),
    ("risk_rejections", run_of(risk_rejections=50)),
    ("not_enough_history", run_of(not_enough_history=100)),
    ("frame_end", run_of(frame_end_closes=4)),
    ("idle_money", run_of(account={"max_exposure": 10.0})),
]


def noticed(run: RunData, rule: str) -> list[Finding]:
    return [each for each in findings(run) if each.rule == rule]


@pytest.mark.parametrize(("rule", "severity", "run", "value", "text"), NOTICED)
def test_a_rule_notices_what_it_is_for_and_says_its_number(
    rule: str, severity: str, run: RunData, value: float, text: str
) -> None:
    (found,) = noticed(run, rule)
    assert found.severity == severity
    assert found.value == pytest.approx(value)
    assert text in found.text
    assert found.text.endswith(".")


@pytest.mark.parametrize(("rule", "run"), JUST_BESIDE)
def test_a_rule_is_silent_just_beside_what_it_is_for(rule: str, run: RunData) -> None:
    assert rule in RULES
    assert noticed(run, rule) == []


def test_every_rule_has_a_row_here() -> None:
    assert {rule for rule, *_ in NOTICED} == set(RULES)


def test_a_sound_run_is_not_praised() -> None:
    assert findings(run_of()) == ()


def test_the_most_serious_comes_first_and_equals_keep_the_order_of_the_rules() -> None:
    run = run_of(trades_of([10.0, -1.0]), errors=1, account={"benchmark_return": 50.0, "average_exposure": 1.0})
    found = [(each.severity, each.rule) for each in findings(run)]
    assert found == [
        ("serious", "too_few_trades"),
        ("serious", "best_trades"),
        ("warning", "errors"),
        ("note", "below_buy_and_hold"),
    ]


def test_old_records_without_costs_or_figures_are_read_as_well() -> None:
    unknown = {each: None for each in Account.__struct_fields__ if getattr(ACCOUNT, each) is not None}
    known = ("initial_balance", "final_balance", "total_return", "days", "max_drawdown", "max_drawdown_days", "missing")
    account = {each: None for each in unknown if each not in (*known, "fees", "slippage")}
    nothing = dict.fromkeys(("avg_pnl", "win_rate", "p_value", "deflated_sharpe_ratio"))
    run = run_of(trades_of(SOUND, fees=0.0), account=account, significance=nothing)
    assert findings(run) == ()


def test_text_of_the_user_is_one_printable_line_and_cut_off() -> None:
    name = "<img src=x onerror=alert(1)>\n\x1b[31m\u202e" + "x" * 100
    (found,) = noticed(run_of(named("symbol", {name: 9.0, "B": -2.0})), "one_symbol")
    assert found.text.startswith("All profit came from one symbol, <img src=x onerror=alert(1)> [31mxxx")
    assert found.text.isprintable()
    assert len(found.text) < 160


def test_a_line_of_text_holds_nothing_invisible_and_ends_in_an_ellipsis_where_it_was_cut() -> None:
    assert one_line(" a\t b\r\n\x00c ") == "a b c"
    assert one_line("abcdef", 6) == "abcdef"
    assert one_line("abcdefg", 6) == "abcde…"


@given(
    pnls=st.lists(st.floats(-100, 1000), max_size=40),
    fees=st.floats(0, 10),
    counts=st.lists(st.integers(0, 2000), min_size=5, max_size=5),
    chance=st.none() | st.floats(0, 1),
    figure=st.none() | st.floats(-1e6, 1e6),
)
def test_whatever_was_recorded_every_finding_is_a_finite_number_in_a_printable_sentence(
    pnls: list[float], fees: float, counts: list[int], chance: float | None, figure: float | None
) -> None:
    names = ("decisions", "invalid_signal_count", "risk_rejections", "not_enough_history", "frame_end_closes")
    figures = ("sharpe_ratio", "benchmark_return", "max_exposure", "average_exposure")
    between = None if figure is None else IntervalOf(figure - 1, figure + 1)
    run = run_of(
        trades_of(pnls, fees=fees),
        account=dict.fromkeys(figures, figure),
        significance={"p_value": chance, "deflated_sharpe_ratio": chance, "avg_pnl": between, "trials": 9},
        **dict(zip(names, counts, strict=True)),
    )
    found = findings(run)
    assert all(math.isfinite(each.value) and each.text.isprintable() for each in found)
    ranks = [MOST_SERIOUS_FIRST.index(each.severity) for each in found]
    assert ranks == sorted(ranks)
