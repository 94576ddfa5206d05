"""Pictures as files: PNG or SVG, written whole or not at all, the same picture to the same bytes."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

from backtest_kit.errors import ConfigError
from backtest_kit.reports.files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg")


def save(figure: Figure, path: str | Path) -> Path:
    """Writes a picture as PNG or SVG, as the suffix says, and makes its folder.

    Raises ConfigError, with the path in it, for another suffix and where nothing can be written.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in SUFFIXES:
        raise ConfigError(f"{target}: a picture is written as {' or '.join(SUFFIXES)}")
    content = svg(figure) if suffix == ".svg" else png(figure)
    return write_whole(target, [content])


def png(figure: Figure) -> bytes:
    """A picture as the bytes of a PNG."""
    out = io.BytesIO()
    figure.savefig(
        out, format="png", dpi=figure.dpi, facecolor=figure.get_facecolor(), pil_kwargs={"compress_level": 4}
    )
    return out.getvalue()


def svg(figure: Figure) -> bytes:
    """A picture as the bytes of an SVG, without the time at which it was made."""
    out = io.BytesIO()
    figure.savefig(out, format="svg", facecolor=figure.get_facecolor(), metadata={"Date": None})
    return _numbered(out.getvalue().decode()).encode()


_RANDOM = r"(?:h|m|p|image|C[0-9a-f]+_[0-9a-f]+_)[0-9a-f]{10}"


def _numbered(text: str) -> str:
    """The SVG with its random names of shapes counted up: matplotlib's own way to steady them is a setting shared by
    all of a process.
    """
    names = dict.fromkeys(re.findall(rf'\bid="({_RANDOM})"', text))
    numbered = {name: f"shape{i}" for i, name in enumerate(names)}
    return re.sub(rf'(\bid="|#)({_RANDOM})\b', lambda found: found[1] + numbered.get(found[2], found[2]), text)
