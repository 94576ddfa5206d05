"""The colours of pictures, on light and on dark ground.

Gain is a bluish green and loss a vermilion: people who do not tell red from green tell these two apart (after M. Okabe
and K. Ito, "Color Universal Design", 2008).
"""

from __future__ import annotations

from msgspec import Struct

from backtest_kit.errors import UnknownNameError


class Theme(Struct, frozen=True, kw_only=True):
    """Colours as #rrggbb: the ground and what is written on it, what was gained and lost, candles, the account."""

    ground: str
    ink: str
    muted: str
    grid: str
    gain: str
    loss: str
    candle_up: str
    candle_down: str
    account: str
    benchmark: str


LIGHT = Theme(
    ground="#ffffff",
    ink="#1b2128",
    muted="#68717d",
    grid="#e9ebef",
    gain="#00857c",
    loss="#d4502a",
    candle_up="#8ec5bf",
    candle_down="#e5a894",
    account="#2458b3",
    benchmark="#9aa2ad",
)
DARK = Theme(
    ground="#14181e",
    ink="#e4e8ee",
    muted="#939dab",
    grid="#262c35",
    gain="#2bb8ab",
    loss="#f0764f",
    candle_up="#2f6c68",
    candle_down="#8a4b38",
    account="#7aa7f7",
    benchmark="#6f7986",
)
THEMES = {"light": LIGHT, "dark": DARK}

Colour = tuple[float, float, float]


def theme_named(name: str) -> Theme:
    """The theme of that name. Raises UnknownNameError, which says what there is."""
    if name not in THEMES:
        raise UnknownNameError("theme", name, THEMES)
    return THEMES[name]


def rgb(colour: str) -> Colour:
    """#rrggbb as three numbers from 0 to 1."""
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def blend(ground: str, colour: str, share: float) -> Colour:
    """`share` (0 to 1) of a colour, the rest ground."""
    pairs = zip(rgb(ground), rgb(colour), strict=True)
    red, green, blue = ((1 - share) * under + share * over for under, over in pairs)
    return red, green, blue


def readable_on(colour: Colour, theme: Theme) -> str:
    """The ink of the theme where it stands out on a colour (3 : 1, what WCAG 2.2 asks of large text), or the ground."""
    return theme.ink if _contrast(rgb(theme.ink), colour) >= 3 else theme.ground


def _contrast(first: Colour, second: Colour) -> float:
    low, high = sorted((_luminance(first), _luminance(second)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: Colour) -> float:
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
