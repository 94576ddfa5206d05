"""Reports on what was refused and what was commanded: risk rejections and commands of strategies."""

from __future__ import annotations

from typing import Any

from backtest_kit.core.events import Committed, Event, RiskRejected, SignalOpened
from backtest_kit.reports.kinds.commits import strategy_commits
from backtest_kit.reports.kinds.risk import risk_rejections
from tests.unit.told import HOSTILE, at, is_harmless, position, signal, source

OTHER = SignalOpened(source(), at(0), 100.0, position())


def refused(
    minute: float, reason: str = "too many", risk: str = "careful", symbol: str = "BTCUSDT", **fields: Any
) -> Event:
    return RiskRejected(source(symbol), at(minute), 100.0, signal(), risk, reason, **fields)


def command(minute: float, name: str = "breakeven", accepted: bool = True, **fields: Any) -> Event:
    return Committed(source(), at(minute), name, 101.0, 0.0, accepted, "" if accepted else "too early", **fields)


def numbers(counts: Any) -> dict[str, int]:
    return {each.name: each.number for each in counts}


def test_refusals_are_counted_by_symbol_strategy_profile_and_reason() -> None:
    found = risk_rejections([refused(3), OTHER, refused(1, "too wild", "wild", "ETHUSDT"), refused(2)])
    assert [each.time for each in found.rows] == [at(1), at(2), at(3)]
    assert found.total == 3
    assert numbers(found.by_symbol) == {"BTCUSDT": 2, "ETHUSDT": 1}
    assert numbers(found.by_strategy) == {"s": 3}
    assert numbers(found.by_risk) == {"careful": 2, "wild": 1}
    assert numbers(found.by_reason) == {"too many": 2, "too wild": 1}


def test_reasons_with_numbers_in_them_are_one_where_they_have_one_id() -> None:
    events = [refused(number, f"{number} are open", reason_id="at_most_open") for number in range(3)]
    assert numbers(risk_rejections(events).by_reason) == {"at_most_open": 3}


def test_a_refusal_is_one_line_of_the_table() -> None:
    text = risk_rejections([refused(0, active=3)]).report("R").to_markdown()
    assert "# R\n\n## Figures\n\n- Refused signals: 1\n\n## By symbol\n" in text
    assert (
        "| 2024-01-01T00:00Z | BTCUSDT | s | one | long | 100.000 | 110.000 | 90.0000 | careful | 3 | too many |  |"
        in text
    )


def test_without_refusals_the_report_says_so() -> None:
    assert risk_rejections([OTHER]).report("R").to_markdown() == (
        "# R\n\nNo signal has been refused by a risk profile yet.\n"
    )


def test_commands_are_counted_by_kind_and_answer() -> None:
    found = strategy_commits([command(2, accepted=False), OTHER, command(1), command(0, "trailing_stop")])
    assert [each.time for each in found.rows] == [at(0), at(1), at(2)]
    assert (found.total, found.accepted, found.refused) == (3, 2, 1)
    assert [(each.command, each.accepted, each.refused) for each in found.by_command] == [
        ("breakeven", 1, 1),
        ("trailing_stop", 1, 0),
    ]


def test_a_command_says_of_which_signal_it_was_as_far_as_that_is_known() -> None:
    events = [command(0, signal=signal("a")), command(1, position=position("b")), command(2, accepted=False)]
    text = strategy_commits(events).report().to_markdown(columns=["signal_id", "position", "accepted", "reason"])
    assert text.endswith(
        "| a | long | carried out |  |\n| b | long | carried out |  |\n| N/A | N/A | refused | too early |\n"
    )


def test_a_command_without_a_price_has_none() -> None:
    event = Committed(source(), at(0), "close_pending", None)
    assert "| close_pending | N/A | 0 | carried out |  |" in strategy_commits([event]).report().to_markdown()


def test_without_commands_the_report_says_so() -> None:
    assert strategy_commits([]).report("C").to_markdown() == "# C\n\nNo commands have been given yet.\n"


def test_names_of_others_cannot_change_the_form_of_the_reports() -> None:
    refusal = RiskRejected(source(HOSTILE, HOSTILE), at(0), 1.0, signal(HOSTILE, note=HOSTILE), HOSTILE, HOSTILE)
    commanded = Committed(source(HOSTILE), at(0), HOSTILE, 1.0, 0.0, False, HOSTILE, None, signal(HOSTILE))
    assert is_harmless(risk_rejections([refusal]).report(HOSTILE).to_markdown())
    assert is_harmless(strategy_commits([commanded]).report(HOSTILE).to_markdown())
