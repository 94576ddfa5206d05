"""The pieces of an HTML page: text made harmless, tables with captions, lists of facts, sections.

Every text that reaches the page from Python passes `escaped`; the rest of the markup is written here.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from msgspec import Struct

from backtest_kit.reports.tables import MAX_CELL, NOT_AVAILABLE, two_digits


class Cell(Struct, frozen=True):
    """One cell: plain text, not yet escaped, and its `look`, the names of CSS classes ("n" is a number)."""

    text: str
    look: str = ""


def legible(value: object, most: int = MAX_CELL) -> str:
    """A user's text as one line without anything invisible, at most `most` characters of it; not escaped."""
    text = str(value)
    if not text.isprintable():
        text = "".join(each if each.isprintable() else " " if each.isspace() else "" for each in text)
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def escaped(value: object, most: int = MAX_CELL) -> str:
    """A user's text as it may stand in HTML, between tags or in quotes."""
    return html.escape(legible(value, most))


def signed(value: float | None, digits: int = 2, unit: str = "") -> Cell:
    """A gain or a loss: sign, number and unit in the colour of its sign; N/A for None."""
    if value is None:
        return Cell(NOT_AVAILABLE, "n none")
    rounded = round(value, digits) + 0.0  # never "-0.00"
    look = "gain" if rounded > 0 else "loss" if rounded < 0 else ""
    text = f"{rounded:+,.{digits}f}" if rounded else f"{rounded:.{digits}f}"
    return Cell(f"{text} {unit}".rstrip().replace("-", "−"), f"n {look}".rstrip())


def number(value: float | None, digits: int = 0, unit: str = "") -> Cell:
    """A number with its unit, thousands set apart; N/A for None."""
    text = NOT_AVAILABLE if value is None else f"{value:,.{digits}f} {unit}".rstrip()
    return Cell(text.replace("-", "−"), "n none" if value is None else "n")


def share(part: float, whole: float) -> str:
    """A part of a whole as percent; N/A of nothing."""
    return f"{two_digits(part / whole * 100)} %" if whole else NOT_AVAILABLE


def table(caption: str, heads: Sequence[Cell | str], rows: Iterable[Sequence[Cell | str]], look: str = "") -> str:
    """A table that a screen reader understands, in a box that scrolls by itself where the page is narrow.

    The first cell of a row names it.
    """
    top = "".join(f'<th scope="col"{_look(each)}>{_text(each)}</th>' for each in heads)
    body = "\n".join(f"<tr>{_row(each)}</tr>" for each in rows)
    name = html.escape(caption)
    return (
        f'<div class="scroll {look}" tabindex="0" role="region" aria-label="{name}">\n'
        f"<table><caption>{name}</caption>\n<thead><tr>{top}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def _row(cells: Sequence[Cell | str]) -> str:
    first, *rest = cells
    named = f'<th scope="row"{_look(first)}>{_text(first)}</th>'
    return named + "".join(f"<td{_look(each)}>{_text(each)}</td>" for each in rest)


def _text(cell: Cell | str) -> str:
    return html.escape(legible(cell if isinstance(cell, str) else cell.text, 1000))


def _look(cell: Cell | str) -> str:
    return f' class="{cell.look}"' if isinstance(cell, Cell) and cell.look else ""


def facts_list(pairs: Iterable[tuple[str, Cell | str]]) -> str:
    """Names with their values, as a list of definitions."""
    lines = (f"<div><dt>{html.escape(name)}</dt><dd{_look(value)}>{_text(value)}</dd></div>" for name, value in pairs)
    return '<dl class="facts">\n' + "\n".join(lines) + "\n</dl>"


def section(anchor: str, title: str, *parts: str, look: str = "") -> str:
    """A part of the page under its heading; `anchor` is its id, `parts` are finished HTML."""
    names = f' class="{look}"' if look else ""
    inner = "\n".join(each for each in parts if each)
    return (
        f'<section id="{anchor}"{names} aria-labelledby="{anchor}-title">\n'
        f'<h2 id="{anchor}-title">{html.escape(title)}</h2>\n{inner}\n</section>'
    )


def paragraph(text: str, look: str = "") -> str:
    """A sentence or some, escaped."""
    return f"<p{_look(Cell('', look))}>{html.escape(text)}</p>"
