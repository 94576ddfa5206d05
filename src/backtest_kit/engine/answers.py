"""Answers that may be awaited or not.

A `def` writes `price = get_average_price(s)`, an `async def` may write `price = await get_average_price(s)`.
In a backtest most answers are here already, so both spellings give the same value; live, some have to be waited for.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import PosixPath, WindowsPath
from typing import Any


class ReadyFloat(float):
    """A number that is here already."""

    def __await__(self) -> Generator[None, None, float]:
        return float(self)
        yield


class ReadyText(str):
    """A text that is here already."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, str]:
        return str(self)
        yield


class ReadyList(list[Any]):
    """A list that is here already."""

    def __await__(self) -> Generator[None, None, list[Any]]:
        return list(self)
        yield


class ReadyPath(WindowsPath if os.name == "nt" else PosixPath):  # type: ignore[misc]
    """A path that is here already: the file has been written."""

    def __await__(self) -> Generator[None, None, ReadyPath]:
        return self
        yield


class Outcome:
    """What became of a command: true when it was accepted; `reason` says why it was not. `await` gives a plain bool."""

    __slots__ = ("accepted", "reason")

    def __init__(self, accepted: bool, reason: str = "") -> None:
        self.accepted, self.reason = accepted, reason

    def __bool__(self) -> bool:
        return self.accepted

    def __eq__(self, other: object) -> bool:
        return self.accepted == bool(other) if isinstance(other, bool | Outcome) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.accepted)

    def __await__(self) -> Generator[None, None, bool]:
        return self.accepted
        yield

    def __repr__(self) -> str:
        return "accepted" if self.accepted else f"refused: {self.reason}"
