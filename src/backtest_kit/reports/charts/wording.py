"""What pictures say: numbers with units, days in UTC, and the words of users made drawable."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache

from backtest_kit.core.values import MINUTE, Time

FONT = "DejaVu Sans"  # it comes with matplotlib: the same picture everywhere
MISSING_GLYPH = "□"
_DAY = 1440 * MINUTE


def drawable(text: object, most: int = 160) -> str:
    """Text as one line that the font can draw: nothing invisible; what it has no glyph for becomes a box."""
    line = "".join(each for each in " ".join(str(text)[: 8 * most].split()) if each.isprintable())
    return shortened("".join(each if ord(each) in _glyphs() else MISSING_GLYPH for each in line), most)


def shortened(text: str, most: int) -> str:
    """At most so many characters; an ellipsis says that there were more."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def number(value: float, digits: int) -> str:
    """With thousands separators, and a real minus: −12,345.6; a zero has no sign."""
    text = f"{value:,.{digits}f}"
    return text.removeprefix("-") if not text.strip("-0.,") else text.replace("-", "−")


def money(value: float) -> str:
    """Two digits below a thousand, none above."""
    return number(value, 2 if abs(value) < 1000 else 0)


def percent(value: float, digits: int = 1) -> str:
    """A share in percent, without a sign where it is positive: 12.5 %; from a thousand on without digits."""
    return f"{number(value, digits if abs(value) < 1000 else 0)} %"


def change(value: float, digits: int = 1) -> str:
    """A gain or loss in percent, with its sign: +12.5 %."""
    text = percent(value, digits)
    return f"+{text}" if value > 0 and text.strip("0., %") else text


def digits_of(ticks: Sequence[float]) -> int:
    """How many digits after the point tell ticks at equal distances apart: 0 to 12."""
    step = abs(ticks[1] - ticks[0]) if len(ticks) > 1 else 0.0
    return max(0, min(12, -math.floor(math.log10(step) + 1e-6))) if step > 0 else 2


def day(time: Time) -> str:
    """Epoch ms as a day in UTC: 31 Jan 2024."""
    moment = datetime.fromtimestamp(time / 1000, UTC)
    return f"{moment.day} {MONTHS[moment.month - 1]} {moment.year}"


def period(start: Time, stop: Time) -> str:
    """The days from `start` until before `stop`, in UTC."""
    first, last = day(start), day(max(start, stop - 1))
    return f"{first} (UTC)" if first == last else f"{first} to {last} (UTC)"


def span(milliseconds: int) -> str:
    """A length of time in its largest whole unit: 15m, 4h, 1d."""
    for unit, name in ((_DAY, "d"), (60 * MINUTE, "h")):
        if milliseconds >= unit and milliseconds % unit == 0:
            return f"{milliseconds // unit}{name}"
    return f"{milliseconds // MINUTE}m"


MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@cache
def _glyphs() -> frozenset[int]:
    """The characters that the font has, both regular and bold."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    files = [findfont(FontProperties(family=FONT, weight=weight)) for weight in ("normal", "bold")]
    regular, bold = (frozenset(get_font(file).get_charmap()) for file in files)
    return regular & bold
