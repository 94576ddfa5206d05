"""Where things are kept: candles as columns on disk."""

from __future__ import annotations

from backtest_kit.stores.candles import CandleFiles

__all__ = ["CandleFiles"]
