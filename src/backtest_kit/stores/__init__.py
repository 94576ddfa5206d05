"""Where things are kept: durable state, candles as columns on disk, the history of all facts as lines."""

from __future__ import annotations

from backtest_kit.stores.candles import CandleFiles
from backtest_kit.stores.disk import FolderDisk
from backtest_kit.stores.documents import FileStore
from backtest_kit.stores.durable_files import StoreFullError
from backtest_kit.stores.ledger import FileLedger, MemoryLedger, source_of, stream_of
from backtest_kit.stores.memory import MemoryStore

__all__ = [
    "CandleFiles",
    "FileLedger",
    "FileStore",
    "FolderDisk",
    "MemoryLedger",
    "MemoryStore",
    "StoreFullError",
    "source_of",
    "stream_of",
]
