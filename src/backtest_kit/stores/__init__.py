"""Where things are kept: candles as columns on disk, the history of all facts as lines."""

from __future__ import annotations

from backtest_kit.stores.candles import CandleFiles
from backtest_kit.stores.ledger import FileLedger, MemoryLedger, source_of, stream_of

__all__ = ["CandleFiles", "FileLedger", "MemoryLedger", "source_of", "stream_of"]
