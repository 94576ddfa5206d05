"""The way to an exchange and back, and what may become of one call on it.

| fate | the exchange | the caller |
|---|---|---|
| lost_request | hears nothing | waits in vain, TimeoutError |
| lost_answer | has done it | TimeoutError |
| slow_request | hears of it seconds later | an answer or TimeoutError, whatever comes first |
| slow_answer | has done it | TimeoutError |
| late_acceptance | lets it in, and matches it up to 10 s later | TimeoutError, or a late answer |
| duplicate | hears of it twice | the first of the two answers |
| error_before | fails before it has read it | ServerError |
| error_after | does it, and fails to say so | ServerError |
| rate_limited | does not read it | RateLimitedError |
| reset | does it; the connection breaks | ConnectionResetError |

`TimeoutError`, `ServerError` and `ConnectionResetError` prove nothing; only `RateLimitedError` means "surely not done".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from backtest_kit.testing.worlds.faults import Faults

FATES = (
    "lost_request", "lost_answer", "slow_request", "slow_answer", "late_acceptance", "duplicate", "error_before",
    "error_after", "rate_limited", "reset",
)  # fmt: skip

TIMEOUT_SECONDS = 3.0
MATCHING_SECONDS = 10.0
"""The longest time from the gate of the exchange to its matching engine."""


class ServerError(Exception):
    """5xx: the exchange has failed, before or after it did what was asked."""


class RateLimitedError(Exception):
    """429: too many requests; this one was not processed."""


class Network:
    """Carries calls. `odds` is how often a call has a fate, of 1. `in_flight` counts what may still come about."""

    def __init__(self, faults: Faults, odds: float = 0.0, fates: tuple[str, ...] = FATES) -> None:
        self.faults, self.odds, self.fates = faults, odds, fates
        self.in_flight = 0

    async def call(self, serve: Callable[[], Any], admit: Callable[[], None] | None = None) -> Any:
        """The answer of `serve`, or what it raised: it runs at the exchange, once the request is there.

        `admit` guards the gate, and raises what is refused there; matching may come later. Raises TimeoutError,
        ServerError, ConnectionResetError, RateLimitedError.
        """
        fate = self.faults.at("call", self.odds, self.fates)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        journey = _Journey(self, fate, answer, serve, admit)
        journey.depart()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await answer
        except TimeoutError:
            raise TimeoutError(f"no answer within {TIMEOUT_SECONDS:g} s") from None

    def latency(self) -> float:
        """Seconds one way."""
        return self.faults.stream("latency").uniform(0.01, 0.15)

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Lets something happen at the exchange, whatever becomes of the caller."""
        self.in_flight += 1

        def arrive() -> None:
            self.in_flight -= 1
            action()

        asyncio.get_running_loop().call_later(seconds, arrive)


class _Journey:
    """One request on its way, and its answer on the way back."""

    __slots__ = ("admit", "answer", "fate", "network", "serve")

    def __init__(
        self,
        network: Network,
        fate: str,
        answer: asyncio.Future[Any],
        serve: Callable[[], Any],
        admit: Callable[[], None] | None,
    ) -> None:
        self.network, self.fate, self.answer, self.serve, self.admit = network, fate, answer, serve, admit

    def depart(self) -> None:
        """Sends the request on its way: once, twice, or never."""
        if self.fate == "lost_request":
            return
        slow = self._between(1.0, 8.0) if self.fate == "slow_request" else 0.0
        for _ in range(2 if self.fate == "duplicate" else 1):
            self.network.later(self.network.latency() + slow, self._arrive)

    def _arrive(self) -> None:
        if self.fate == "error_before":
            return self._reply(ServerError("503 service unavailable"))
        if self.fate == "rate_limited":
            return self._reply(RateLimitedError("429 too many requests"))
        try:
            if self.admit is not None:
                self.admit()
        except Exception as refusal:
            return self._reply(refusal)
        if self.fate == "error_after":
            self._reply(ServerError("500 execution status unknown"))
        if self.fate == "reset":
            self._reply(ConnectionResetError("connection reset by peer"))
        if self.fate != "late_acceptance":
            return self._match()
        return self.network.later(self._between(0.5, MATCHING_SECONDS * 0.99), self._match)

    def _match(self) -> None:
        try:
            result = self.serve()
        except Exception as refusal:
            result = refusal
        if self.fate not in ("lost_answer", "error_after", "reset"):
            self._reply(result)

    def _reply(self, result: Any) -> None:
        """Brings an answer back; it finds nobody when the caller has given up or is dead."""

        def deliver() -> None:
            if self.answer.done():
                return
            if isinstance(result, Exception):
                self.answer.set_exception(result)
            else:
                self.answer.set_result(result)

        slow = TIMEOUT_SECONDS + 1.0 if self.fate == "slow_answer" else 0.0
        asyncio.get_running_loop().call_later(self.network.latency() + slow, deliver)

    def _between(self, least: float, most: float) -> float:
        return self.network.faults.stream("delay").uniform(least, most)
