"""The first report: all that a reader needs to judge a run stands in it, and nothing that is not so."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from backtest_kit.reports.facts import InvalidSignal, RunFacts
from backtest_kit.reports.markdown import METRICS, backtest_report
from backtest_kit.reports.statistics import METRIC_NAMES, compute
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
    return backtest_report("sma_cross on BTCUSDT", compute(trades), trades, facts(**fields))


def test_every_metric_has_one_row() -> None:
    assert [each.key for each in METRICS] != []
    assert sorted(each.key for each in METRICS) == sorted(METRIC_NAMES)


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
    text = backtest_report(
        hostile,
        compute(trades),
        trades,
        facts(
            symbols=(hostile,),
            strategy_names=(hostile,),
            exchange_name=hostile,
            frame_name=hostile,
            settings={hostile: hostile},
            invalid_signals=(InvalidSignal(START, hostile),),
            invalid_signal_count=1,
        ),
    )
    assert "<" not in text
    assert text.count("\n#") == 3
    assert {line.replace(r"\|", "").count("|") for line in text.split("\n") if line.startswith("|")} == {
        4,
        19,
    }
    assert "`" not in text.replace(r"\`", "")


def test_the_report_ends_with_one_line_feed() -> None:
    text = report([trade()])
    assert text.endswith("|\n")
    assert not text.endswith("\n\n")
