"""Brokers: where orders go."""

from __future__ import annotations

from backtest_kit.brokers.paper import PaperBroker

__all__ = ["PaperBroker"]
