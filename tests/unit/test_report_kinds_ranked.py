"""Ranked reports: the heat table of symbols, and the comparison of strategies."""

from __future__ import annotations

import pytest

from backtest_kit.errors import UnknownNameError
from backtest_kit.reports.kinds.comparison import LOWER_IS_BETTER, RANKABLE, WalkerStatistics, comparison
from backtest_kit.reports.kinds.heat import heat_statistics
from backtest_kit.reports.pooled import heat
from backtest_kit.reports.run import RunData
from backtest_kit.reports.significance import significance
from backtest_kit.reports.statistics import METRIC_NAMES
from backtest_kit.reports.trades import Trade
from tests.unit.told import HOSTILE, facts, is_harmless, trade


def trades(*profits: float, symbol: str = "BTCUSDT") -> list[Trade]:
    return [
        trade(f"{symbol}-{i}", i * 60, pnl_percent=each, pnl_cost=each, symbol=symbol) for i, each in enumerate(profits)
    ]


def run(*profits: float, trials: int = 1) -> RunData:
    return RunData("r", trades(*profits), facts(), trials=trials)


GOOD = run(*[1.0, 2.0, -0.5, 1.5] * 5)
FAIR = run(*[1.0, 2.0, -2.0, 1.5] * 5)
POOR = run(*[1.0, -2.0, -1.5, 0.5] * 5)
SHORT = run(9.0)


# ---- heat ----


def test_the_heat_table_has_a_row_a_symbol_and_one_of_all_pooled() -> None:
    every = [*trades(1.0, -1.0), *trades(3.0, symbol="ETHUSDT")]
    found = heat_statistics(every)
    assert [each.symbol for each in found.rows] == ["BTCUSDT", "ETHUSDT"]
    assert found.portfolio == heat(every).portfolio
    text = found.report("H").to_markdown()
    assert "| BTCUSDT | 2 | 50.00 % | 0.0000 % |" in text
    assert "| all, pooled | 3 | 66.67 % | 3.0000 % |" in text
    assert "- Sharpe ratio per trade: N/A (needs 10 trades, has 3)\n" in text


def test_the_heat_table_can_show_every_metric() -> None:
    text = heat_statistics(trades(1.0)).report().to_markdown(columns=["symbol", *METRIC_NAMES])
    header = next(line for line in text.split("\n") if line.startswith("| Symbol"))
    assert header.count("|") == len(METRIC_NAMES) + 2


def test_a_heat_table_of_no_trades_says_so() -> None:
    assert heat_statistics([]).report("H").to_markdown() == "# H\n\nNo trades have been closed yet.\n"


# ---- comparison ----


def names(found: WalkerStatistics) -> list[str]:
    return [each.name for each in found.rows]


def test_strategies_are_ranked_by_the_sharpe_ratio_and_those_without_one_come_last() -> None:
    found = comparison({"short": SHORT, "poor": POOR, "good": GOOD, "fair": FAIR})
    assert names(found) == ["good", "fair", "poor", "short"]
    assert [each.place for each in found.rows] == [1, 2, 3, 4]
    assert found.rows[0].value == GOOD.statistics.sharpe_ratio
    assert (found.best, found.tried) == (found.rows[0], 4)


def test_another_metric_ranks_otherwise() -> None:
    assert names(comparison({"good": GOOD, "short": SHORT}, "total_pnl")) == ["good", "short"]
    assert names(comparison({"good": GOOD, "short": SHORT}, "avg_pnl")) == ["short", "good"]


def test_of_what_hurts_the_least_is_the_best() -> None:
    found = comparison({"poor": POOR, "good": GOOD}, "max_drawdown")
    assert names(found) == ["good", "poor"]
    assert "- Ranked by: Maximum drawdown (whole account in every trade), the lowest first\n" in (
        found.report().to_markdown()
    )
    assert set(RANKABLE) > LOWER_IS_BETTER


def test_equals_stay_in_the_order_given() -> None:
    assert names(comparison({"b": GOOD, "a": GOOD, "c": GOOD})) == ["b", "a", "c"]


@pytest.mark.parametrize(("metric", "meant"), [("sharp_ratio", "sharpe_ratio"), ("totl_pnl", "total_pnl")])
def test_an_unknown_metric_is_refused_with_the_nearest_one(metric: str, meant: str) -> None:
    with pytest.raises(UnknownNameError, match=f"unknown metric '{metric}'; did you mean '{meant}'"):
        comparison({"good": GOOD}, metric)
    with pytest.raises(UnknownNameError):
        comparison({}, "trend")


def test_the_best_is_judged_as_one_of_all_that_were_tried() -> None:
    found = comparison({"poor": POOR, "good": GOOD, "fair": FAIR})
    alone, of_three = significance(GOOD.trades), significance(GOOD.trades, trials=3)
    assert found.deflated_sharpe_ratio == of_three.deflated_sharpe_ratio
    assert of_three.deflated_sharpe_ratio is not None
    assert alone.deflated_sharpe_ratio is not None
    assert of_three.deflated_sharpe_ratio < alone.deflated_sharpe_ratio
    assert "3 strategies were tried. The best of several looks better than it is" in found.report().to_markdown()


def test_trials_of_the_best_itself_count_when_they_are_more() -> None:
    searched = run(*[1.0, 2.0, -0.5, 1.5] * 5, trials=50)
    found = comparison({"searched": searched, "poor": POOR})
    assert found.deflated_sharpe_ratio == significance(searched.trades, trials=50).deflated_sharpe_ratio


def test_where_no_strategy_has_the_metric_none_is_the_best() -> None:
    found = comparison({"a": SHORT, "b": run()})
    assert (found.best, found.deflated_sharpe_ratio) == (None, None)
    assert found.missing == {"deflated_sharpe_ratio": "no strategy has the metric"}
    assert "- Best: none (no strategy has a value of Sharpe ratio per trade)\n" in found.report().to_markdown()


def test_a_single_strategy_is_not_warned_of() -> None:
    text = comparison({"good": GOOD}).report("W").to_markdown()
    assert "were tried" not in text
    assert text.startswith("# W\n\n## Figures\n\n- Strategies: 1\n- Ranked by: Sharpe ratio per trade\n- Best: good\n")


def test_the_table_shows_the_best_where_it_is_cut_and_every_metric_on_request() -> None:
    found = comparison({"poor": POOR, "good": GOOD})
    text = found.report().to_markdown(columns=["place", "name", "avg_win"], max_rows=1)
    assert text.endswith(
        "The first 1 of 2. The metrics are over all of them.\n\n"
        "| Place | Strategy | Mean win |\n| --- | --- | --- |\n| 1 | good | 1.5000 % |\n"
    )


def test_no_strategies_are_said_to_be_none() -> None:
    assert comparison({}).report("W").to_markdown() == "# W\n\nNo strategies have been compared yet.\n"


def test_names_of_others_cannot_change_the_form_of_the_reports() -> None:
    assert is_harmless(comparison({HOSTILE: GOOD, "b": FAIR}).report(HOSTILE).to_markdown())
    assert is_harmless(heat_statistics(trades(1.0, symbol=HOSTILE)).report(HOSTILE).to_markdown())
