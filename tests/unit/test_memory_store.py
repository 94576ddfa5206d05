"""The store in memory: the contract's suite covers its rules; here is what it adds, for tests of the engine."""

from __future__ import annotations

import pytest

from backtest_kit.errors import ConfigError, StaleWriteError, StoreError, StoreLockedError
from backtest_kit.ports import Document, Store
from backtest_kit.stores import MemoryStore


async def test_a_twin_shares_the_memory_and_waits_for_the_lock() -> None:
    store: Store = MemoryStore()
    assert isinstance(store, MemoryStore)
    twin = store.twin()
    assert await store.open("first") == 1
    with pytest.raises(StoreLockedError, match="first"):
        await twin.open("second")
    await store.write("a", Document(1, 1, "{}"), 0)
    await store.close()
    assert await twin.open("second") == 2
    assert await twin.read("a") == Document(1, 1, "{}")


async def test_a_handle_that_lost_its_hold_is_fenced_by_the_next_epoch() -> None:
    store = MemoryStore()
    twin = store.twin()
    await store.open("first")
    store.lose_hold()
    await twin.open("second")
    for change in (store.write("a", Document(1, 1, "{}"), 0), store.delete("a", 0), store.append("a", "line")):
        with pytest.raises(StaleWriteError, match="second"):
            await change
    await store.close()
    with pytest.raises(StoreLockedError):
        await MemoryStore.twin(store).open("third")


async def test_opening_twice_is_a_mistake_of_the_caller() -> None:
    store = MemoryStore()
    await store.open("one")
    with pytest.raises(StoreError, match="open already"):
        await store.open("one")


@pytest.mark.parametrize("content", ["", "{", "nan", '{"a": NaN}', "\ud800"])
async def test_content_that_is_no_json_is_refused(content: str) -> None:
    store = MemoryStore()
    epoch = await store.open("one")
    with pytest.raises(ConfigError, match="JSON"):
        await store.write("a", Document(1, epoch, content), 0)
    assert await store.read("a") is None


@pytest.mark.parametrize("document", [Document(2, 1, "{}"), Document(0, 1, "{}"), Document(1, 2, "{}")])
async def test_a_number_or_an_epoch_that_cannot_be_is_refused(document: Document) -> None:
    store = MemoryStore()
    await store.open("one")
    with pytest.raises(ConfigError):
        await store.write("a", document, 0)


async def test_an_empty_key_is_refused() -> None:
    store = MemoryStore()
    await store.open("one")
    for call in (store.read(""), store.append("", "line"), store.write("", Document(1, 1, "{}"), 0)):
        with pytest.raises(ConfigError, match="key"):
            await call
