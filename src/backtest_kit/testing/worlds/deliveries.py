"""What has reached the listeners: outside of every process, so that it survives all of them."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct


class Delivery(Struct, frozen=True):
    """An event that has been delivered. `number` counts from 1 in its stream; `process` is who has delivered it."""

    stream: str
    number: int
    event: object
    process: int


class Deliveries:
    """All events, in the order of their delivery; `blame` is told what is out of order.

    At least once: a process may begin with numbers that are there already, with the same content. In each process every
    number follows the last one, and nobody skips a number.
    """

    def __init__(self, blame: Callable[[str], None]) -> None:
        self.blame = blame
        self.all: list[Delivery] = []
        self._first: dict[tuple[str, int], str] = {}
        self._highest: dict[str, int] = {}
        self._last: dict[tuple[int, str], int] = {}

    def highest(self, stream: str) -> int:
        """The highest number that has been delivered, 0 for none."""
        return self._highest.get(stream, 0)

    def take(self, process: int, stream: str, number: int, event: object) -> None:
        """Takes an event that a process delivers."""
        self.all.append(Delivery(stream, number, event, process))
        last = self._last.get((process, stream))
        if last is not None and number != last + 1:
            self.blame(f"event {number} of {stream} was delivered after {last} by process {process}")
        if not 1 <= number <= self.highest(stream) + 1:
            self.blame(f"event {number} of {stream} was delivered after {self.highest(stream)}: a gap")
        content = self._first.setdefault((stream, number), repr(event))
        if content != repr(event):
            self.blame(f"event {number} of {stream} was delivered with two contents: {content} and {event!r}")
        self._last[process, stream] = number
        self._highest[stream] = max(number, self.highest(stream))
