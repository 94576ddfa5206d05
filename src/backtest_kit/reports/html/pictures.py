"""Pictures of the HTML report that need no script: the account with its benchmark, and the drawdown, as SVG.

The curves are stretched to the width of the page, the labels beside and below them are not, so that they are readable
on a phone and on paper. Colours come from the style sheet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from backtest_kit.core.candles import Floats
from backtest_kit.reports.equity import EquityCurve
from backtest_kit.reports.html.data import drawdown_percent, kept_rows

_WIDE, _TOP, _LOW = 1000, 18, 24  # the curves' own width; pixels above and below them
_MOST_POINTS = 900


def equity_picture(curve: EquityCurve) -> str:
    """The account and its benchmark above, the drawdown below; empty without at least two rows."""
    if len(curve.times) < 2:
        return ""
    drawdown = drawdown_percent(curve.equity)
    kept = kept_rows(curve.equity, drawdown, _MOST_POINTS)
    places = _places(curve.times[kept].astype(float))
    labels = _dates(int(curve.times[0]), int(curve.times[-1]))
    lines = [("equity", curve.equity[kept])]
    if len(curve.benchmark) == len(curve.times) and np.isfinite(curve.benchmark).all():
        lines.insert(0, ("benchmark", curve.benchmark[kept]))
    above = _panel("The account over time", 240, places, lines, labels, fill=False)
    return above + "\n" + _panel("Drawdown in percent", 110, places, [("drawdown", drawdown[kept])], labels, fill=True)


def _panel(
    name: str, height: int, places: Floats, lines: Sequence[tuple[str, Floats]], labels: Sequence[str], *, fill: bool
) -> str:
    marks = _marks(min(float(each.min()) for _, each in lines), max(float(each.max()) for _, each in lines))
    low, high = marks[0], marks[-1]
    tall = height - _TOP - _LOW
    curves = "".join(_curve(look, places, (high - each) / (high - low) * tall, fill=fill) for look, each in lines)
    rows = "".join(_level(each, _TOP + (high - each) / (high - low) * tall, marks[1] - marks[0]) for each in marks)
    dates = "".join(_date(i, len(labels), text, height) for i, text in enumerate(labels))
    stretched = (
        f'<svg y="{_TOP}" width="100%" height="{tall}" viewBox="0 0 {_WIDE} {tall}" preserveAspectRatio="none">'
        f"{curves}</svg>"
    )
    plot = f'<svg class="plot" width="88%" height="{height}">{stretched}{dates}</svg>'
    return f'<svg class="picture" role="img" aria-label="{name}" width="100%" height="{height}">{rows}{plot}</svg>'


def _places(times: Floats) -> Floats:
    across: Floats = (times - times[0]) / (times[-1] - times[0]) * _WIDE
    return across


def _curve(look: str, places: Floats, heights: Floats, *, fill: bool) -> str:
    points = [f"{x:.1f},{y:.1f}" for x, y in zip(places.tolist(), heights.tolist(), strict=True)]
    area = f'<path class="{look}-area" d="M0,0L{"L".join(points)}L{_WIDE},0Z"/>' if fill else ""
    return f'{area}<path class="{look}" d="M{"L".join(points)}" fill="none" vector-effect="non-scaling-stroke"/>'


def _level(value: float, y: float, step: float) -> str:
    digits = max(0, -math.floor(math.log10(step)))
    text = f"{value + 0.0:,.{digits}f}".replace("-", "−")
    line = f'<line class="grid" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>'
    return f'{line}<text x="100%" y="{y - 3:.1f}" text-anchor="end">{text}</text>'


def _date(place: int, count: int, text: str, height: int) -> str:
    anchor = "start" if place == 0 else "end" if place == count - 1 else "middle"
    return f'<text x="{place * 100 / (count - 1):.0f}%" y="{height - 6}" text-anchor="{anchor}">{text}</text>'


def _marks(low: float, high: float) -> list[float]:
    """A few round numbers, the first not above `low` and the last not below `high`."""
    span = high - low or abs(high) or 1.0
    rough = span / 3
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(each * size for each in (1, 2, 5, 10) if each * size >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, max(last, first + 1) + 1)]


def _dates(start: int, stop: int) -> list[str]:
    """The days at the beginning, in the middle and at the end; times are epoch ms."""
    moments = (start, (start + stop) // 2, stop)
    return [datetime.fromtimestamp(each / 1000, UTC).strftime("%Y-%m-%d") for each in moments]
