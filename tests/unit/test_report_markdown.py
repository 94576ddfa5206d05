"""The report of a run: all that a reader needs to judge a run stands in it, and nothing that is not so."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from backtest_kit.errors import ConfigError, UnknownNameError
from backtest_kit.reports.account import Account
from backtest_kit.reports.diagnosis import Finding
from backtest_kit.reports.facts import InvalidSignal, RunFacts
from backtest_kit.reports.markdown import backtest_report
from backtest_kit.reports.metrics import ACCOUNT_METRICS, COST_METRICS, METRICS, SIGNIFICANCE_METRICS
from backtest_kit.reports.run import RunData
from backtest_kit.reports.significance import Significance
from backtest_kit.reports.statistics import METRIC_NAMES
from backtest_kit.reports.tables import Column
from backtest_kit.reports.trades import Trade

MINUTE = 60_000
START = 1_704_067_200_000


def trade(number: int = 0, **fields: object) -> Trade:
    base: dict[str, object] = {
        "symbol": "BTCUSDT",
        "strategy_name": "sma_cross",
        "position": "long",
        "opened_at": START + number * 60 * MINUTE,
        "closed_at": START + (number * 60 + 30) * MINUTE,
        "price_open": 100.0,
        "price_close": 101.0,
        "cost": 100.0,
        "pnl_percent": 0.6,
        "pnl_cost": 0.6,
        "close_reason": "take_profit",
        "note": f"trade {number}",
    }
    return Trade(**(base | fields))  # type: ignore[arg-type]


def facts(**fields: object) -> RunFacts:
    base: dict[str, object] = {
        "symbols": ("BTCUSDT",),
        "strategy_names": ("sma_cross",),
        "exchange_name": "demo",
        "frame_name": "january",
        "start": START,
        "stop": START + 1440 * MINUTE,
        "candles": 1440,
        "decisions": 96,
        "no_signal": 90,
        "invalid_signals": (),
        "invalid_signal_count": 0,
        "risk_rejections": 0,
        "not_enough_history": 0,
        "ambiguous": 0,
        "gaps": (),
        "frame_end_closes": 0,
        "errors": 0,
        "settings": {},
        "duration_seconds": 0.5,
    }
    return RunFacts(**(base | fields))  # type: ignore[arg-type]


def report(trades: Sequence[Trade], **fields: object) -> str:
    return backtest_report(RunData("sma_cross on BTCUSDT", trades, facts(**fields)))


def test_every_metric_has_one_row() -> None:
    assert [each.key for each in METRICS] != []
    assert sorted(each.key for each in METRICS) == sorted(METRIC_NAMES)
    of_account = [each.key for each in (*ACCOUNT_METRICS, *COST_METRICS)]
    assert sorted(of_account) == sorted(set(Account.__struct_fields__) - {"missing"})
    of_significance = [each.key for each in SIGNIFICANCE_METRICS]
    assert sorted(of_significance) == sorted(set(Significance.__struct_fields__) - {"missing"})


def test_the_heading_and_the_run_are_stated() -> None:
    text = report([trade()], settings={"fee_percent": 0.05})
    assert text.startswith("# sma_cross on BTCUSDT\n\n## Run\n")
    assert "- Frame: january, 2024-01-01T00:00Z to 2024-01-02T00:00Z\n" in text
    assert "- Candles: 1440 of one minute, in 0.50 s\n" in text
    assert "- Decisions: 96, of which 90 gave no signal\n" in text
    assert "- Settings that differ from the defaults: fee_percent = 0.05\n" in text
    assert "- Invalid signals: 0\n" in text
    assert "- Gaps in the candles: 0\n" in text


def test_a_metric_shows_its_unit_and_a_missing_one_its_reason() -> None:
    text = report([trade()])
    assert "| Total profit (sum over trades) | 0.6000 % |  |" in text
    assert "| Sharpe ratio per trade | N/A | needs 10 trades, has 1 |" in text


def test_trades_stand_in_a_table_with_utc_minutes() -> None:
    text = report([trade(1)])
    assert "| 2024-01-01T01:30Z | BTCUSDT | sma_cross | long | 2024-01-01T01:00Z | 30 | 100.000 | 101.000 |" in text


def test_only_the_last_trades_are_listed_and_their_number_is_told() -> None:
    text = report([trade(number) for number in range(300)])
    assert "The last 250 of 300. The metrics are over all of them." in text
    assert "| trade 49 |" not in text
    assert "| trade 50 |" in text
    assert "| trade 299 |" in text
    assert "| Closed trades | 300 |" in text


def test_few_trades_are_listed_all() -> None:
    assert "All 2. The metrics are over all of them." in report([trade(0), trade(1)])


def test_several_symbols_get_a_row_each_and_one_pooled() -> None:
    text = report([trade(0), trade(1, symbol="ETHUSDT")])
    assert "## By symbol" in text
    assert "| ETHUSDT | 1 |" in text
    assert "| all, pooled | 2 |" in text
    assert "## By symbol" not in report([trade(0)])


def test_ambiguous_candles_tell_what_the_other_answer_would_have_given() -> None:
    stopped = trade(pnl_percent=-1.4, ambiguous=True, pnl_percent_if_ambiguous=1.6)
    text = report([stopped, trade(1)], ambiguous=1)
    assert (
        "- Ambiguous candles (stop and take profit both reached): 1; the stop was taken, "
        "which gave -1.4000 % in all; the take profit would have given 1.6000 %\n"
    ) in text
    assert "Ambiguous" not in report([trade(1)])


def test_trades_that_the_end_of_the_frame_closed_are_counted() -> None:
    assert "- Closed because the frame ended: 1\n" in report([trade(close_reason="frame_end")], frame_end_closes=1)


def test_refusals_and_failures_are_counted() -> None:
    text = report([trade()], risk_rejections=2, not_enough_history=3, errors=4)
    assert "- Signals refused by risk rules: 2\n" in text
    assert "- Decisions without enough history: 3\n" in text
    assert "- Errors of user code that did not end the run: 4\n" in text


def test_invalid_signals_are_shown_with_time_and_reason_as_far_as_they_are_kept() -> None:
    kept = (InvalidSignal(START, "stop loss 101 is above | the entry 100"),)
    text = report([trade()], invalid_signals=kept, invalid_signal_count=5)
    assert (
        "- Invalid signals: 5\n  - 2024-01-01T00:00Z: stop loss 101 is above \\| the entry 100\n  - and 4 more\n"
    ) in text


def test_gaps_are_shown_and_many_of_them_are_cut() -> None:
    gaps = tuple((START + n * 10 * MINUTE, START + (n * 10 + 5) * MINUTE) for n in range(30))
    text = report([trade()], gaps=gaps)
    assert "- Gaps in the candles: 30\n  - 2024-01-01T00:00Z to 2024-01-01T00:05Z\n" in text
    assert "  - and 10 more\n" in text


def test_an_empty_result_says_so_and_why() -> None:
    text = report([], decisions=96, no_signal=90, invalid_signal_count=4, risk_rejections=1, not_enough_history=2)
    assert "No trades were closed." in text
    assert "- The strategy was asked 96 times and gave no signal 90 times.\n" in text
    assert "- It could not decide for want of history 2 times.\n" in text
    assert "- Its signal was invalid 4 times.\n" in text
    assert "- Risk rules refused its signal once.\n" in text
    assert "## Metrics" not in text
    assert "## Closed trades" not in text


def test_a_strategy_that_was_never_asked_is_said_to_be_so() -> None:
    text = report([], decisions=0, no_signal=0)
    assert "- The strategy was never asked: no decision fell into the frame.\n" in text


@pytest.mark.parametrize("hostile", ["<img src=x onerror=alert(1)>", "a\n# heading", "x | y", "`rm`"])
def test_names_and_notes_cannot_change_the_form_of_the_report(hostile: str) -> None:
    trades = [trade(0, note=hostile, symbol=hostile, strategy_name=hostile, close_reason=hostile)]
    hostile_facts = facts(
        symbols=(hostile,),
        strategy_names=(hostile,),
        exchange_name=hostile,
        frame_name=hostile,
        settings={hostile: hostile},
        invalid_signals=(InvalidSignal(START, hostile),),
        invalid_signal_count=1,
        data_hash=hostile,
        version=hostile,
    )
    run = RunData(hostile, trades, hostile_facts)
    run.__dict__["findings"] = (Finding("hostile", "note", hostile, 1.0),)
    own = Column[Trade](hostile, hostile, lambda each: each.note, str)
    text = backtest_report(run, columns=["*", own])
    assert "<" not in text
    assert text.count("\n#") == 7
    assert {line.replace(r"\|", "").count("|") for line in text.split("\n") if line.startswith("|")} == {
        4,
        20,
    }
    assert "`" not in text.replace(r"\`", "")


def test_the_report_ends_with_one_line_feed() -> None:
    text = report([trade()])
    assert text.endswith("|\n")
    assert not text.endswith("\n\n")


def test_what_stands_out_is_said_before_the_numbers_with_its_gravity() -> None:
    run = RunData("r", [trade()], facts())
    run.__dict__["findings"] = (Finding("costs", "serious", "Costs took 80 % of the profit | all of it.", 80.0),)
    text = backtest_report(run)
    assert "## What stands out\n\n- serious: Costs took 80 % of the profit \\| all of it.\n" in text
    assert text.index("## What stands out") < text.index("## Metrics")


def test_without_findings_nothing_is_said_to_stand_out() -> None:
    run = RunData("r", [trade()], facts())
    run.__dict__["findings"] = ()
    assert "stands out" not in backtest_report(run)


def test_the_account_is_stated_in_money_and_over_time() -> None:
    text = report([trade(pnl_cost=25.0)])
    assert "| Initial balance | 10000.00 |  |\n| Final balance | 10025.00 |  |\n| Return | 0.25 % |  |\n" in text
    assert "| Yearly growth (CAGR) | N/A | needs 14 days, has 1 |" in text


def test_costs_lead_from_the_profit_before_them_to_the_profit_after() -> None:
    text = report([trade(pnl_cost=6.0, fees=3.0, slippage=1.0), trade(1, pnl_cost=0.0)])
    assert (
        "## Costs\n\n- Profit before costs: 10.00\n- Fees: 3.00\n- Slippage: 1.00\n"
        "- Share of the profit before costs: 40.00 %\n- Profit after costs: 6.00\n"
    ) in text


def test_costs_without_a_profit_before_them_have_no_share_of_it() -> None:
    text = report([trade(pnl_cost=-6.0, fees=3.0, slippage=1.0)])
    assert "- Share of the profit before costs: N/A (no profit before costs)\n" in text


def test_significance_states_intervals_or_why_there_are_none() -> None:
    profits = [1.0, -0.5, 0.8, -0.2, 1.1, 0.3, -0.7, 0.9, 0.4, 0.6, 0.2, -0.1]
    run = RunData("r", [trade(i, pnl_percent=each) for i, each in enumerate(profits)], facts(), trials=7)
    found, text = run.significance, backtest_report(run)
    assert found.avg_pnl is not None
    assert f"| Mean profit per trade | {found.avg_pnl.low:.4f} to {found.avg_pnl.high:.4f} % |  |" in text
    assert "| Variants tried | 7 |  |" in text
    assert "| Mean profit per trade | N/A | needs 10 trades, has 1 |" in report([trade()])


def test_what_the_run_was_made_of_is_stated_where_it_is_known() -> None:
    text = report([trade()], data_hash="6f0a", version="1.2.3", ended_at=START + 60 * MINUTE)
    assert "- Ended before its stop, at: 2024-01-01T01:00Z\n" in text
    assert "- Fingerprint of the candles: 6f0a\n- Version of the package: 1.2.3\n" in text
    unknown = report([trade()], ended_at=START + 1440 * MINUTE)
    assert "Ended before" not in unknown
    assert "Fingerprint" not in unknown


def test_columns_choose_order_and_add_those_of_the_trades() -> None:
    reward = Column[Trade]("reward", "Reward", lambda each: each.pnl_percent * 2, "{:.1f}".format)
    text = backtest_report(RunData("r", [trade()], facts()), columns=["note", "symbol", reward, "fees"])
    assert text.endswith(
        "| Note | Symbol | Reward | Fees |\n| --- | --- | --- | --- |\n| trade 0 | BTCUSDT | 1.2 | 0.00 |\n"
    )


def test_an_unknown_column_is_refused_even_without_trades() -> None:
    with pytest.raises(UnknownNameError, match="unknown column 'symbl'; did you mean 'symbol'"):
        backtest_report(RunData("r", [], facts()), columns=["symbl"])
    with pytest.raises(ConfigError, match="at least one column"):
        backtest_report(RunData("r", [], facts()), columns=[])


def test_the_number_of_listed_trades_is_that_of_the_run() -> None:
    text = backtest_report(RunData("r", [trade(number) for number in range(5)], facts(), max_rows=2))
    assert "The last 2 of 5." in text
    assert "| trade 2 |" not in text
    assert "| trade 3 |" in text
