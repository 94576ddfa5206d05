"""Risk checks across books: check, reserve, then hold or release.

A profile's validations see the candidate, the price and every open or reserved position of all strategies and symbols
that share the profile, the candidate's own place excluded. A validation admits by returning None or True. It rejects by
returning False, a text or an object `{id, note}`, or by raising. Check and reservation are one step: no other book of
the run is asked in between.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from backtest_kit.core.portfolio import Holding, Portfolio
from backtest_kit.core.position import Position
from backtest_kit.core.values import Signal, Source, Sourced, Time
from backtest_kit.engine.listeners import Listeners
from backtest_kit.engine.notices import Failure
from backtest_kit.registry import RiskSchema

Validation: TypeAlias = Callable[["RiskCheck"], Any]


class RiskCheck(Sourced, frozen=True):
    """What a risk validation sees: the candidate, the average price (quote currency), the rest of the portfolio."""

    signal: Signal
    price: float
    when: Time
    risk_name: str
    portfolio: Portfolio

    @property
    def active_positions(self) -> tuple[Holding, ...]:
        """Open and reserved positions that share the profile, oldest first."""
        return self.portfolio.holdings

    @property
    def active_count(self) -> int:
        return len(self.portfolio)

    @property
    def price_open(self) -> float:
        """Where the candidate would enter."""
        return self.signal.price_open if self.signal.price_open is not None else self.price


class Rejection(Sourced, frozen=True):
    """Whose signal was refused, which profile said no, and why; `active` positions were open or reserved under it."""

    signal: Signal
    risk_name: str
    reason: str
    reason_id: str
    active: int


class Admission:
    """The risk profiles of one run (backtest) or process (live), and the portfolio of each."""

    def __init__(self, listeners: Listeners) -> None:
        self._listeners = listeners
        self._portfolios: dict[str, Portfolio] = {}
        self._lock: asyncio.Lock | None = None

    def portfolio(self, risk_name: str) -> Portfolio:
        return self._portfolios.get(risk_name, Portfolio())

    async def admit(
        self, profiles: Sequence[RiskSchema], source: Source, signal: Signal, price: float, when: Time
    ) -> Rejection | None:
        """Asks every profile; on the first refusal everything is as before, else a place is reserved in all of them."""
        if not profiles:
            return None
        self._lock = self._lock or asyncio.Lock()
        async with self._lock:
            for profile in profiles:
                rejection = await self._ask(profile, source, signal, price, when)
                if rejection is not None:
                    await self._call(profile, "on_rejected", rejection, source, when)
                    return rejection
            place = Holding(source, signal, when, price)
            for profile in profiles:
                self._portfolios[profile.name] = self.portfolio(profile.name).with_holding(place)
                await self._call(profile, "on_allowed", place, source, when)
        return None

    def hold(self, profiles: Sequence[RiskSchema], source: Source, position: Position) -> None:
        """The reserved place has become a position, or the position has changed."""
        for profile in profiles:
            place = Holding(source, position.signal, position.pending_at, position.price_open, position)
            self._portfolios[profile.name] = self.portfolio(profile.name).with_holding(place)

    def release(self, profiles: Sequence[RiskSchema], source: Source) -> None:
        """The signal came to nothing, or the position has closed."""
        for profile in profiles:
            self._portfolios[profile.name] = self.portfolio(profile.name).released(source)

    async def _ask(
        self, profile: RiskSchema, source: Source, signal: Signal, price: float, when: Time
    ) -> Rejection | None:
        others = self.portfolio(profile.name).without(source)
        check = RiskCheck(source, signal, price, when, profile.name, others)
        for validation in profile.validations:
            try:
                answer = validation(check)
                if inspect.isawaitable(answer):
                    answer = await answer
            except Exception as error:
                answer = str(error) or type(error).__name__
            reason = _reason(answer)
            if reason is not None:
                return Rejection(source, signal, profile.name, reason[1], reason[0], len(others))
        return None

    async def _call(self, profile: RiskSchema, name: str, argument: object, source: Source, when: Time) -> None:
        """A callback: `on_rejected(Rejection)`, `on_allowed(Holding)`; its failure is an event and no verdict."""
        callback = profile.callbacks.get(name)
        if callback is None:
            return
        try:
            answer = callback(argument)
            if inspect.isawaitable(answer):
                await answer
        except Exception as error:
            where = f"{name} of risk {profile.name!r}"
            await self._listeners.report_failure(Failure(source, when, error, where))


def _reason(answer: object) -> tuple[str, str] | None:
    """(id, note) of a refusal; None when the validation has no objection."""
    if answer is None or answer is True:
        return None
    if answer is False:
        return "", "refused"
    if isinstance(answer, str):
        return "", answer
    if isinstance(answer, Mapping):
        return str(answer.get("id", "")), str(answer.get("note", ""))
    return str(getattr(answer, "id", "")), str(getattr(answer, "note", answer))


def at_most_open(count: int) -> Validation:
    """A validation: no more than `count` positions open or reserved at once under the profile."""

    def check(candidate: RiskCheck) -> str | None:
        if candidate.active_count >= count:
            return f"positions open or reserved: {candidate.active_count}, allowed: at most {count}"
        return None

    return check


def reward_to_risk(least: float) -> Validation:
    """A validation: the take profit stands at least `least` times as far from the entry as the stop loss."""

    def check(candidate: RiskCheck) -> str | None:
        entry, signal = candidate.price_open, candidate.signal
        reward, risk = abs(signal.price_take_profit - entry), abs(entry - signal.price_stop_loss)
        if reward < least * risk * (1 - 1e-9):
            return f"reward to risk is {reward / risk:.2f}, at least {least:g} is asked for"
        return None

    return check
