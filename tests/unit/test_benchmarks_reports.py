"""The figures and reports of many trades are measured, on days instead of years, and from the start every time."""

from __future__ import annotations

import pytest

from benchmarks import reports, run
from benchmarks.measures import Size
from benchmarks.table import Row

TINY = Size(days=20, repetitions=1, seconds=0)


@pytest.mark.parametrize("name", reports.CASES)
def test_every_figure_and_every_page_is_timed(name: str) -> None:
    together, *each, page, notebook = reports.CASES[name](name, TINY)
    assert [row.what.strip() for row in each] == list(reports.FIGURES)
    assert 0 < together.value <= page.value
    assert sum(row.value for row in each) == pytest.approx(together.value)
    assert notebook.value > 0
    assert {row.case for row in (together, *each, page, notebook)} == {name}


def test_a_repetition_begins_with_nothing_computed() -> None:
    anew = reports.recorded(days=20, symbols=2)
    first = anew()
    assert first.statistics.total_trades == len(first.trades) == 546
    assert "statistics" in vars(first)
    assert "statistics" not in vars(anew())
    assert anew().trades == first.trades


def test_the_reports_are_cases_beside_those_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []

    def measure(name: str, _size: Size) -> list[Row]:
        measured.append(name)
        return []

    monkeypatch.setattr(run, "_in_own_process", measure)
    assert run.main(["--case", "reports"]) == 0
    assert measured == list(reports.CASES)
