"""What every `Store` must do, as rules that can be run: `await check_store(make)`.

`make()` gives a new handle of one and the same store, as another process would get it; at first the store is empty.
Each rule opens and closes handles of its own and keeps to keys of its own. Two rules need a hand from outside, and are
left out without it: `lose(store)` makes a handle lose its hold without knowing, as a pause that outlasts a lease does;
`damage(key)` spoils what is kept of a key. With pytest, a rule a test:

    @pytest.mark.parametrize("rule", STORE_RULES, ids=lambda rule: rule.__name__)
    async def test_my_store_keeps_the_rule(rule, tmp_path):
        await rule(Trial(lambda: MyStore(tmp_path)))
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from msgspec import Struct

from backtest_kit.errors import StaleWriteError, StateDamagedError, StoreError, StoreLockedError
from backtest_kit.ports import Document, Store

KEYS = (
    "a", "A", "b", "a/b", "a/B", "a_b", "a%2Fb", "a b", "..", "../a", "/a", "a//b", "a.json", "epoch", "lock",
    "signals/BTCUSDT_sma-cross_binance", "Ünïcode ₿", "CON", "a\\b", "'; --", "x" * 300,
)  # fmt: skip
CONTENTS = (
    "{}", "null", '"text"', "0.1", "1e300", "9007199254740993", '[1, [2, {"a": null}]]', '{"a": "₿ \\u0000 \\" \\n"}',
    '{"type": "active", "price": 42000.5, "note": ""}',
)  # fmt: skip


class Trial(Struct, frozen=True):
    """A store on trial: how a handle is made, and the two hands from outside."""

    make: Callable[[], Store]
    lose: Callable[[Store], Awaitable[None]] | None = None
    damage: Callable[[str], Awaitable[None]] | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[tuple[Store, int]]:
        """An open handle and its epoch."""
        store = self.make()
        epoch = await store.open("conformance")
        try:
            yield store, epoch
        finally:
            await store.close()


Rule = Callable[[Trial], Awaitable[None]]


async def check_store(
    make: Callable[[], Store],
    *,
    lose: Callable[[Store], Awaitable[None]] | None = None,
    damage: Callable[[str], Awaitable[None]] | None = None,
) -> None:
    """Runs every rule; raises AssertionError that names the first one which is broken, and how."""
    trial = Trial(make, lose, damage)
    for rule in STORE_RULES:
        try:
            await rule(trial)
        except Exception as error:
            raise AssertionError(f"{rule.__name__}: {error or type(error).__name__}") from error


# ---- one owner -------------------------------------------------------------------------------------------------------


async def every_opening_has_a_higher_epoch(trial: Trial) -> None:
    epochs = []
    for _ in range(3):
        async with trial.opened() as (_, epoch):
            epochs.append(epoch)
    _require(epochs[0] >= 1 and epochs == sorted(set(epochs)), f"open gave the epochs {epochs}")


async def a_store_that_is_held_is_refused_to_others(trial: Trial) -> None:
    async with trial.opened() as (store, epoch):
        await _refused(StoreLockedError, trial.make().open("another"), "opening a store that another handle holds")
        await _put(store, "held/a", 1, epoch)
    async with trial.opened() as (store, _):
        _require(await store.read("held/a") is not None, "what the holder wrote after the refusal is gone")


async def nothing_is_written_without_opening_or_after_closing(trial: Trial) -> None:
    async with trial.opened() as (store, epoch):
        pass
    for each, what in ((trial.make(), "not opened"), (store, "closed")):
        await _refused(StoreError, _put(each, "shut/a", 1, epoch), f"writing to a store that was {what}")
        await _refused(StoreError, each.append("shut/a", "line"), f"appending to a store that was {what}")
    async with trial.opened() as (store, _):
        _require(await store.read("shut/a") is None, "a refused document is there")
        _require(await _lines(store, "shut/a") == [], "a refused line is there")


async def an_older_epoch_writes_nothing_any_more(trial: Trial) -> None:
    if trial.lose is None:
        return
    async with AsyncExitStack() as stack:
        old, old_epoch = await stack.enter_async_context(trial.opened())
        await _put(old, "fenced/a", 1, old_epoch)
        await trial.lose(old)
        new, _ = await stack.enter_async_context(trial.opened())
        await _refused(StaleWriteError, _put(old, "fenced/a", 2, old_epoch), "a write of an older epoch")
        await _refused(StaleWriteError, _put(old, "fenced/b", 1, old_epoch), "a first write of an older epoch")
        await _refused(StaleWriteError, old.delete("fenced/a", 1), "a deletion by an older epoch")
        await _refused(StaleWriteError, old.append("fenced/a", "line"), "a line by an older epoch")
        found = await new.read("fenced/a")
        _require(found is not None and found.sequence == 1, "an older epoch has changed a document")


# ---- documents -------------------------------------------------------------------------------------------------------


async def what_was_never_written_is_not_there(trial: Trial) -> None:
    async with trial.opened() as (store, _):
        _require(await store.read("never/a") is None, "a key that was never written has a document")
        _require("never/a" not in await store.keys(), "a key that was never written is listed")
        _require(await _lines(store, "never/a") == [], "a history that was never written has lines")
        await store.delete("never/a", 0)


async def what_is_written_is_read_back_also_by_the_next_owner(trial: Trial) -> None:
    for number, content in enumerate(CONTENTS):
        key = f"kept/{number}"
        async with trial.opened() as (store, epoch):
            await store.write(key, Document(1, epoch, content), 0)
            await _holds(store, key, 1, epoch, content)
        async with trial.opened() as (store, _):
            await _holds(store, key, 1, epoch, content)


async def a_document_of_a_megabyte_is_kept(trial: Trial) -> None:
    content = json.dumps(["0123456789abcdef" * 64] * 1_000)
    async with trial.opened() as (store, epoch):
        await store.write("large/a", Document(1, epoch, content), 0)
        await _holds(store, "large/a", 1, epoch, content)


async def a_write_replaces_the_document_that_was_expected_and_no_other(trial: Trial) -> None:
    async with trial.opened() as (store, epoch):
        await _refused(StaleWriteError, _put(store, "next/a", 4, epoch), "expecting number 3 where there is none")
        await _put(store, "next/a", 1, epoch)
        await _put(store, "next/a", 2, epoch)
        for sequence in (1, 2, 4):
            what = f"expecting number {sequence - 1} where there is number 2"
            await _refused(StaleWriteError, _put(store, "next/a", sequence, epoch), what)
        await _holds(store, "next/a", 2, epoch, '{"sequence": 2}')
        await _put(store, "next/a", 3, epoch)
        await _holds(store, "next/a", 3, epoch, '{"sequence": 3}')


async def a_deleted_document_is_gone_and_may_be_written_anew(trial: Trial) -> None:
    async with trial.opened() as (store, epoch):
        await _put(store, "gone/a", 1, epoch)
        await _put(store, "gone/a", 2, epoch)
        await _refused(StaleWriteError, store.delete("gone/a", 1), "deleting number 1 where there is number 2")
        await _refused(StaleWriteError, store.delete("gone/a", 0), "deleting nothing where there is number 2")
        await store.delete("gone/a", 2)
        _require(await store.read("gone/a") is None, "a deleted document is still read")
        _require("gone/a" not in await store.keys(), "a deleted key is still listed")
    async with trial.opened() as (store, epoch):
        _require(await store.read("gone/a") is None, "a deleted document is back after opening again")
        await _put(store, "gone/a", 1, epoch)
        await _holds(store, "gone/a", 1, epoch, '{"sequence": 1}')


async def any_text_is_a_key_of_its_own(trial: Trial) -> None:
    async with trial.opened() as (store, epoch):
        before = set(await store.keys())
        for key in KEYS:
            await store.write(key, Document(1, epoch, json.dumps(key)), 0)
        listed = sorted(set(await store.keys()) - before)
        _require(listed == sorted(KEYS), f"listed are {listed}, written were {sorted(KEYS)}")
        for key in KEYS:
            await _holds(store, key, 1, epoch, json.dumps(key))
        for at, key in enumerate(KEYS):
            await store.delete(key, 1)
            left = sorted(set(await store.keys()) - before)
            _require(left == sorted(KEYS[at + 1 :]), f"deleting {key!r} left {left}")


async def keys_are_written_at_the_same_time(trial: Trial) -> None:
    async with trial.opened() as (store, epoch):
        keys = [f"many/{number}" for number in range(20)]
        await asyncio.gather(*(_put(store, key, 1, epoch) for key in keys))
        await asyncio.gather(*(_put(store, key, 2, epoch) for key in keys))
        for key in keys:
            await _holds(store, key, 2, epoch, '{"sequence": 2}')


async def of_several_writes_on_one_document_one_succeeds(trial: Trial) -> None:
    async with trial.opened() as (store, epoch):
        writes = (store.write("race/a", Document(1, epoch, str(number)), 0) for number in range(5))
        answers = await asyncio.gather(*writes, return_exceptions=True)
        won = [number for number, answer in enumerate(answers) if answer is None]
        lost = [answer for answer in answers if isinstance(answer, StaleWriteError)]
        _require(len(won) == 1 and len(lost) == 4, f"the writes answered {answers}")
        await _holds(store, "race/a", 1, epoch, str(won[0]))


async def a_write_that_is_cancelled_is_done_or_not_done(trial: Trial) -> None:
    async with trial.opened() as (store, epoch):
        await _put(store, "cut/a", 1, epoch)
        sequence = 1
        for turns in range(12):
            task = asyncio.ensure_future(_put(store, "cut/a", sequence + 1, epoch))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await _put(store, "cut/b", turns + 1, epoch)
            found = await store.read("cut/a")
            _require(
                found is not None and found.sequence in (sequence, sequence + 1), f"{found} is neither old nor new"
            )
            sequence = found.sequence if found else sequence
            await _holds(store, "cut/a", sequence, epoch, json.dumps({"sequence": sequence}))


async def damage_is_told_and_left_alone(trial: Trial) -> None:
    if trial.damage is None:
        return
    async with trial.opened() as (store, epoch):
        for key in ("hurt/a", "hurt/b"):
            await _put(store, key, 1, epoch)
            await _put(store, key, 2, epoch)
        await trial.damage("hurt/a")
        for _ in range(2):
            await _refused(StateDamagedError, store.read("hurt/a"), "reading a damaged document")
            await _refused(StateDamagedError, _put(store, "hurt/a", 3, epoch), "writing over a damaged document")
            await _refused(StateDamagedError, _put(store, "hurt/a", 1, epoch), "taking damage for nothing")
            await _refused(StateDamagedError, store.delete("hurt/a", 2), "deleting a damaged document")
        await _put(store, "hurt/b", 3, epoch)
        await _holds(store, "hurt/b", 3, epoch, '{"sequence": 3}')


# ---- histories -------------------------------------------------------------------------------------------------------


async def lines_come_back_as_they_were_in_their_order(trial: Trial) -> None:
    lines = ["first", "", '{"a": "₿"}', "  blanks  ", "\ttabs\\", "same", "same", "line\nfeed", "\x00", "x" * 10_000]
    for line in lines:
        async with trial.opened() as (store, _):
            await store.append("lines/a", line)
    async with trial.opened() as (store, _):
        for line in lines:
            await store.append("lines/a", line)
        _require(await _lines(store, "lines/a") == lines * 2, "the lines of a history are others than were appended")


async def histories_and_documents_do_not_mix(trial: Trial) -> None:
    async with trial.opened() as (store, epoch):
        await _put(store, "mixed/a", 1, epoch)
        await store.append("mixed/a", "one")
        await store.append("mixed/A", "two")
        await store.append("mixed/a/b", "three")
        await _holds(store, "mixed/a", 1, epoch, '{"sequence": 1}')
        found = [await _lines(store, stream) for stream in ("mixed/a", "mixed/A", "mixed/a/b", "mixed/b")]
        _require(found == [["one"], ["two"], ["three"], []], f"the histories hold {found}")
        listed = [key for key in await store.keys() if key.startswith("mixed/")]
        _require(listed == ["mixed/a"], f"{listed} are listed as documents")
        await store.delete("mixed/a", 1)
        _require(await _lines(store, "mixed/a") == ["one"], "deleting a document took the history of that name along")


STORE_RULES: tuple[Rule, ...] = (
    every_opening_has_a_higher_epoch,
    a_store_that_is_held_is_refused_to_others,
    nothing_is_written_without_opening_or_after_closing,
    an_older_epoch_writes_nothing_any_more,
    what_was_never_written_is_not_there,
    what_is_written_is_read_back_also_by_the_next_owner,
    a_document_of_a_megabyte_is_kept,
    a_write_replaces_the_document_that_was_expected_and_no_other,
    a_deleted_document_is_gone_and_may_be_written_anew,
    any_text_is_a_key_of_its_own,
    keys_are_written_at_the_same_time,
    of_several_writes_on_one_document_one_succeeds,
    a_write_that_is_cancelled_is_done_or_not_done,
    damage_is_told_and_left_alone,
    lines_come_back_as_they_were_in_their_order,
    histories_and_documents_do_not_mix,
)


# ---- what the rules are made of --------------------------------------------------------------------------------------


async def _put(store: Store, key: str, sequence: int, epoch: int) -> None:
    await store.write(key, Document(sequence, epoch, json.dumps({"sequence": sequence})), sequence - 1)


async def _holds(store: Store, key: str, sequence: int, epoch: int, content: str) -> None:
    found = await store.read(key)
    _require(found is not None, f"the document {key!r} is gone")
    if found is not None:
        _require((found.sequence, found.epoch) == (sequence, epoch), f"{key!r} is {found}, not of {sequence, epoch}")
        _require(json.loads(found.content) == json.loads(content), f"{key!r} holds {found.content}, not {content}")


async def _lines(store: Store, stream: str) -> list[str]:
    return [line async for line in store.scan(stream)]


async def _refused(error: type[Exception], call: Awaitable[object], what: str) -> None:
    try:
        await call
    except error:
        return
    except Exception as other:
        raise AssertionError(f"{what} raised {other!r}, not {error.__name__}") from other
    raise AssertionError(f"{what} was not refused with {error.__name__}")


def _require(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise AssertionError(otherwise)
