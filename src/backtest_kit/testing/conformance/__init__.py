"""The suites that an implementation of a port must pass, for ours and for those of others."""

from __future__ import annotations

from backtest_kit.testing.conformance.store import STORE_RULES, Trial, check_store

__all__ = ["STORE_RULES", "Trial", "check_store"]
