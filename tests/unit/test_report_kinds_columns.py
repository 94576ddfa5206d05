"""What all reports share: columns chosen, ordered and added; the rows that are shown; text that stays text."""

from __future__ import annotations

import pytest
from msgspec import Struct

from backtest_kit.errors import ConfigError, UnknownNameError
from backtest_kit.reports.metrics import Line, Metric
from backtest_kit.reports.report import MAX_COUNTS, Report, Subject, counted, counts_table
from backtest_kit.reports.rows import Rows
from backtest_kit.reports.tables import Column, chosen, four_digits
from tests.unit.told import HOSTILE, is_harmless


class Apple(Struct, frozen=True):
    name: str
    weight: float | None


NAME = Column[Apple]("name", "Name", lambda row: row.name)
WEIGHT = Column[Apple]("weight", "Weight", lambda row: row.weight, "{:.1f}".format)
COLOUR = Column[Apple]("colour", "Colour", lambda _row: "red")
USUAL = (NAME, WEIGHT)


def report(*names: str, **fields: object) -> Report[Apple]:
    base: dict[str, object] = {"title": "Apples", "heading": "Rows", "columns": USUAL, "further": (COLOUR,)}
    rows = Rows([Apple(name, 1.0) for name in names])
    return Report(**(base | {"rows": rows, "empty": "No apples yet."} | fields))  # type: ignore[arg-type]


def keys(wanted: object) -> list[str]:
    return [each.key for each in chosen(USUAL, wanted, (COLOUR,))]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (None, ["name", "weight"]),
        (["weight", "name"], ["weight", "name"]),
        (["weight"], ["weight"]),
        ("weight", ["weight"]),
        (iter(["name", "colour"]), ["name", "colour"]),
        (["*", "colour"], ["name", "weight", "colour"]),
        (["weight", "*"], ["weight", "name"]),
        ([COLOUR], ["colour"]),
        (["name", "name"], ["name"]),
    ],
)
def test_columns_are_chosen_and_ordered_by_their_keys(wanted: object, found: list[str]) -> None:
    assert keys(wanted) == found


def test_a_column_of_ones_own_is_added_or_replaces_that_of_its_key() -> None:
    own, loud = Column[Apple]("own", "Own", lambda _row: 1), Column[Apple]("name", "NAME", lambda row: row.name.upper())
    assert chosen(USUAL, ["*", own]) == (*USUAL, own)
    assert chosen(USUAL, ["*", loud]) == (WEIGHT, loud)
    assert chosen(USUAL, ["name", "weight", loud]) == (loud, WEIGHT)


def test_an_unknown_column_is_refused_with_the_nearest_ones() -> None:
    with pytest.raises(UnknownNameError, match="unknown column 'colur'; did you mean 'colour'"):
        keys(["name", "colur"])
    with pytest.raises(UnknownNameError, match="unknown column '5'; registered: colour, name, weight"):
        keys([5])
    with pytest.raises(UnknownNameError):
        report().to_markdown(columns=["nmae"])


def test_a_table_without_columns_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one column"):
        keys([])


@pytest.mark.parametrize(
    ("max_rows", "keep", "names", "said"),
    [
        (2, "last", ["c", "d"], "The last 2 of 4."),
        (2, "first", ["a", "b"], "The first 2 of 4."),
        (4, "last", ["a", "b", "c", "d"], "All 4."),
        (250, "first", ["a", "b", "c", "d"], "All 4."),
        (None, "last", ["a", "b", "c", "d"], "All 4."),
        (0, "last", [], "The last 0 of 4."),
        (-1, "first", [], "The first 0 of 4."),
    ],
)
def test_as_many_rows_are_shown_as_asked_for_and_it_is_said(
    max_rows: int | None, keep: str, names: list[str], said: str
) -> None:
    text = report("a", "b", "c", "d", keep=keep).to_markdown(columns=["name"], max_rows=max_rows)
    assert f"## Rows\n\n{said} The metrics are over all of them.\n\n| Name |\n| --- |\n" in text + "\n"
    assert [line for line in text.split("\n") if line in ("| a |", "| b |", "| c |", "| d |")] == [
        f"| {name} |" for name in names
    ]


def test_an_empty_report_is_its_sentence() -> None:
    assert report().to_markdown() == "# Apples\n\nNo apples yet.\n"


def test_a_missing_value_is_not_available_and_a_missing_figure_says_why() -> None:
    lines = (Line("Heaviest", "N/A", "no apple was weighed"), Line("Apples", "1"))
    text = report(rows=Rows([Apple("a", None)]), summary=lines).to_markdown()
    assert "## Figures\n\n- Heaviest: N/A (no apple was weighed)\n- Apples: 1\n" in text
    assert "| a | N/A |" in text


def test_a_metric_is_written_with_its_unit_or_not_at_all() -> None:
    metric = Metric("weight", "Weight", "kg", four_digits)
    assert metric.line(Apple("a", 0.25)) == Line("Weight", "0.2500 kg", "")
    assert metric.line(Apple("a", None)) == Line("Weight", "N/A", "")


def test_counts_are_ranked_by_number_and_then_by_name() -> None:
    assert [(each.name, each.number) for each in counted("banana")] == [("a", 3), ("n", 2), ("b", 1)]
    assert [each.name for each in counted("ba")] == ["a", "b"]


def test_a_small_table_with_very_many_rows_is_cut_and_says_so() -> None:
    counts = counted(f"reason {number:03}" for number in range(MAX_COUNTS + 10))
    text = counts_table("Reason", counts).to_markdown()
    assert text.startswith(f"## By reason\n\nThe first {MAX_COUNTS} of {MAX_COUNTS + 10}.\n\n| Reason | Number |")
    assert text.count("\n| reason ") == MAX_COUNTS


@pytest.mark.parametrize("format_of_own", [str, repr, "{}!".format])
def test_no_text_and_no_format_of_others_can_break_the_report(format_of_own: object) -> None:
    own = Column[Apple](HOSTILE, HOSTILE, lambda row: row.name, format_of_own)  # type: ignore[arg-type]
    written = report(
        HOSTILE,
        "b",
        title=HOSTILE,
        heading=HOSTILE,
        notes=(HOSTILE,),
        summary=(Line(HOSTILE, HOSTILE, HOSTILE),),
        tables=(counts_table(HOSTILE, counted([HOSTILE])),),
    ).to_markdown(columns=["*", own])
    assert is_harmless(written)
    assert written.count("\n#") == 3
    assert "`" not in written.replace(r"\`", "")


class Basket(Subject, frozen=True):
    names: tuple[str, ...]

    def report(self, title: str = "Basket") -> Report[Apple]:
        return report(*self.names, title=title)


def test_a_subject_becomes_markdown_with_its_own_title_or_that_given() -> None:
    basket = Basket(("a", "b"))
    assert basket.to_markdown() == report("a", "b", title="Basket").to_markdown()
    assert basket.to_markdown("Mine", ["name"], 1) == report("a", "b", title="Mine").to_markdown(["name"], 1)


def test_a_subject_that_was_given_no_report_says_so() -> None:
    with pytest.raises(NotImplementedError, match="Subject has no report"):
        Subject().to_markdown()
