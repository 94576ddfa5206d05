"""The store in files: what lies in the folder, and what is said about files that cannot be trusted."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest_kit.errors import ConfigError, StaleWriteError, StateDamagedError, StoreError, StoreLockedError
from backtest_kit.ports import Document
from backtest_kit.stores import FileStore, FolderDisk
from backtest_kit.stores.document_text import DamagedText, kept_in, text_of
from backtest_kit.stores.documents import RESERVE_BYTES
from backtest_kit.stores.file_names import is_path_of_a_key, key_of, path_of

KEY = "signals/BTCUSDT_sma-cross_binance"
CONTENT = '{"schema": 1, "state": {"type": "active", "price": 42000.50}, "note": "₿"}'


async def filled(folder: Path, generations: int = 2) -> Path:
    """A folder that was written to and closed; gives the path of the one document."""
    store = FileStore(folder)
    epoch = await store.open("first")
    for number in range(generations):
        await store.write(KEY, Document(number + 1, epoch, CONTENT), number)
    await store.close()
    return folder / f"{KEY}.json"


def fresh(schema: int = 1, key: str = KEY, sequence: int = 2, epoch: int = 1) -> bytes:
    return text_of(key, Document(sequence, epoch, CONTENT), schema)


# ---- what lies in the folder -----------------------------------------------------------------------------------------


async def test_a_document_is_readable_json_under_the_name_of_its_key(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    assert path == tmp_path / "signals/BTCUSDT_sma-cross_binance.json"
    text = path.read_text("utf-8")
    found = json.loads(text)
    assert list(found) == ["schema", "key", "sequence", "epoch", "checksum", "content"]
    assert (found["schema"], found["key"], found["sequence"], found["epoch"]) == (1, KEY, 2, 1)
    assert '\n      "price": 42000.50\n' in text, "numbers stay letter for letter as they were"
    assert json.loads(path.with_name(path.name + ".previous").read_bytes())["sequence"] == 1
    everything = {str(each.relative_to(tmp_path)) for each in tmp_path.rglob("*") if each.is_file()}
    assert everything == {"epoch.json", "lock", "reserve", f"{KEY}.json", f"{KEY}.json.previous"}
    assert (tmp_path / "reserve").stat().st_size == RESERVE_BYTES


async def test_a_document_that_was_laid_out_anew_is_still_the_same(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")), ensure_ascii=False).replace("42000.5", "42000.50"))
    found = await FileStore(tmp_path).read(KEY)
    assert found is not None
    assert json.loads(found.content) == json.loads(CONTENT)


async def test_reading_needs_no_opening_and_makes_nothing(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "data")
    assert await store.read(KEY) is None
    assert [line async for line in store.scan("journal")] == list(await store.keys()) == []
    await store.close()
    assert list(tmp_path.iterdir()) == []
    await filled(tmp_path / "data")
    holder = FileStore(tmp_path / "data")
    await holder.open("holder")
    assert list(await store.keys()) == [KEY]
    assert (await store.read(KEY) or Document(0, 0, "")).sequence == 2
    await holder.close()


@pytest.mark.parametrize(
    ("key", "file"),
    [
        (KEY, KEY),
        ("risk/main", "risk/main"),
        ("signals/BTC%2FUSDT_my%5Frule_x", "signals/BTC%2FUSDT_my%5Frule_x"),
        ("risk/My Profile", "risk/My-Profile~2f31f2ef25f7"),
        ("epoch", "epoch~54b40f3d6ce5"),
        ("../../etc/passwd", "--~e5bf5d8c0aa3/--~e5bf5d8c0aa3/etc/passwd"),
    ],
)
def test_names_of_files_are_safe_and_readable(key: str, file: str) -> None:
    assert re.sub("~.{12}", "~", path_of(key)) == re.sub("~.{12}", "~", file)
    assert is_path_of_a_key(path_of(key))
    assert key_of(path_of(key)) in (key, None)


keys = st.one_of(st.text(st.sampled_from("aAbB/._%~-\0 2F5"), min_size=1, max_size=6), st.text(min_size=1))


@given(one=keys, other=keys)
def test_no_two_keys_share_a_file_even_where_case_is_not_told_apart(one: str, other: str) -> None:
    try:
        paths = path_of(one).lower(), path_of(other).lower()
    except ConfigError:
        assert any("\ud800" <= each <= "\udfff" for each in one + other)
    else:
        assert (paths[0] == paths[1]) == (one == other)
        assert all(re.fullmatch(r"[\w%~/-]+", path, re.ASCII) for path in paths)


@pytest.mark.parametrize("key", ["", "x" * 1001, "\ud800"])
async def test_a_key_that_is_none_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match="key"):
        await FileStore(tmp_path).read(key)


@pytest.mark.parametrize("content", ["", "{", "nan", '{"a": NaN}', "[" * 5000, "\ud800"])
async def test_content_that_is_no_json_is_refused(tmp_path: Path, content: str) -> None:
    store = FileStore(tmp_path)
    epoch = await store.open("one")
    with pytest.raises(ConfigError, match="JSON"):
        await store.write(KEY, Document(1, epoch, content), 0)
    with pytest.raises(ConfigError, match="number"):
        await store.write(KEY, Document(2, epoch, "{}"), 0)
    with pytest.raises(ConfigError, match="epoch 9"):
        await store.write(KEY, Document(1, 9, "{}"), 0)
    with pytest.raises(ConfigError, match="no valid text"):
        await store.append("journal", "\ud800")
    assert list(await store.keys()) == []
    await store.close()


async def test_many_keys_are_written_at_once_and_a_cancelled_write_ends_before_the_next(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    epoch = await store.open("one")
    names = [f"signals/S{number}_a_b" for number in range(30)]
    writes = [asyncio.ensure_future(store.write(name, Document(1, epoch, CONTENT), 0)) for name in names]
    await asyncio.sleep(0)
    writes[0].cancel()
    await asyncio.gather(*writes, return_exceptions=True)
    assert writes[0].cancelled()
    assert list(await store.keys()) == sorted(names)
    await store.close()


# ---- damage ----------------------------------------------------------------------------------------------------------

DAMAGES = {
    "b1_torn": (lambda text: text[: len(text) // 2], "no whole document"),
    "b10_empty": (lambda text: b"", "is empty"),
    "b10_zeroed": (lambda text: bytes(len(text)), "nothing but zeros"),
    "b10_zeroed_at_the_end": (lambda text: text[:80] + bytes(len(text) - 80), "no whole document"),
    "b7_garbage": (lambda text: os.urandom(100), "no whole document"),
    "b7_a_changed_digit": (lambda text: text.replace(b"42000", b"42001"), "checksum"),
    "b7_a_changed_number": (lambda text: text.replace(b'"sequence": 2', b'"sequence": 3'), "checksum"),
    "b8_a_changed_last_byte": (lambda text: text.rstrip()[:-1] + b"|", "no whole document"),
    "b9_another_shape": (lambda text: b'{"schema": 1, "hello": "world"}', "no whole document"),
    "b9_a_number_that_cannot_be": (lambda text: fresh(sequence=0), "number that no document has"),
    "b9_a_field_too_many": (lambda text: text.replace(b'"key"', b'"more": 1, "key"'), "no whole document"),
    "b11_of_another_key": (
        lambda text: fresh(key="signals/ETHUSDT_a_b"),
        "holds the document of 'signals/ETHUSDT_a_b'",
    ),
    "b19_of_a_newer_version": (
        lambda text: fresh(schema=2),
        r"newer version of this package \(schema 2, known up to 1\)",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
async def test_damage_halts_one_key_and_leaves_its_files_alone(tmp_path: Path, name: str) -> None:
    path = await filled(tmp_path)
    spoil, why = DAMAGES[name]
    path.write_bytes(spoil(path.read_bytes()))
    before = {each: each.read_bytes() for each in path.parent.iterdir()}
    store = FileStore(tmp_path)
    epoch = await store.open("second")
    for call in (store.read(KEY), store.write(KEY, Document(3, epoch, "{}"), 2), store.delete(KEY, 2)):
        with pytest.raises(StateDamagedError, match=why) as raised:
            await call
        for said in (str(path), "number 1, is readable", "reconcile --adopt", "reconcile --flatten"):
            assert said in str(raised.value)
    assert list(await store.keys()) == [KEY]
    await store.write("signals/other", Document(1, epoch, CONTENT), 0)
    await store.close()
    assert {each: each.read_bytes() for each in before} == before


@given(st.data())
def test_b7_no_changed_bit_is_read_as_a_document(data: st.DataObject) -> None:
    text = fresh()
    at = data.draw(st.integers(0, len(text) * 8 - 1))
    changed = bytearray(text)
    changed[at // 8] ^= 1 << at % 8
    try:
        kept = kept_in(bytes(changed), 1)
    except DamagedText:
        return
    assert kept.key == KEY
    assert kept.document == kept_in(text, 1).document, "only a blank may have changed"


async def test_b17_a_missing_newest_document_is_damage_while_the_one_before_it_is_there(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    path.unlink()
    store = FileStore(tmp_path)
    epoch = await store.open("second")
    with pytest.raises(StateDamagedError, match=r"is missing .*number 1, is readable"):
        await store.read(KEY)
    with pytest.raises(StateDamagedError, match="is missing"):
        await store.write(KEY, Document(1, epoch, "{}"), 0)
    assert list(await store.keys()) == [KEY]
    await store.close()


async def test_b17_the_newest_document_counts_whatever_is_kept_before_it(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    previous = path.with_name(path.name + ".previous")
    for content in (b"", b"rubbish", fresh(sequence=9)):
        previous.write_bytes(content)
        assert (await FileStore(tmp_path).read(KEY) or Document(0, 0, "")).sequence == 2


async def test_a_key_is_free_again_when_a_person_has_set_its_files_aside(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    for number in (1, 2):
        path.write_bytes(b"rubbish")
        store = FileStore(tmp_path)
        epoch = await store.open("operator")
        places = await store.set_aside(KEY)
        assert f"{path}.damaged-{number}" in places
        assert Path(f"{path}.damaged-{number}").read_bytes() == b"rubbish"
        assert await store.read(KEY) is None
        await store.write(KEY, Document(1, epoch, CONTENT), 0)
        await store.close()


async def test_a_document_whose_key_nobody_can_tell_is_not_passed_over(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    epoch = await store.open("one")
    await store.write("risk/My Profile", Document(1, epoch, "{}"), 0)
    assert list(await store.keys()) == ["risk/My Profile"]
    (tmp_path / f"{path_of('risk/My Profile')}.json").write_bytes(b"")
    with pytest.raises(StateDamagedError, match="does not tell whose"):
        await store.keys()
    await store.close()


async def test_b12_left_over_files_are_swept_and_those_of_others_are_not(tmp_path: Path) -> None:
    await filled(tmp_path)
    ours = [f"{KEY}.json.tmp", "epoch.json.tmp", "journal/a.jsonl.tmp", "reserve.tmp", "signals/gone.json.tmp"]
    others = ["candles/x/1.candles.77.tmp", "notes.tmp", "reports/a b.json.tmp", "reports/My report.json"]
    for name in (*ours, *others):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    store = FileStore(tmp_path)
    await store.open("second")
    assert [name for name in ours if (tmp_path / name).exists()] == []
    assert [name for name in others if not (tmp_path / name).exists()] == []
    assert list(await store.keys()) == [KEY]
    await store.close()


# ---- one owner -------------------------------------------------------------------------------------------------------


async def test_a18_a_second_process_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    one, other = FileStore(tmp_path), FileStore(tmp_path)
    await one.open("one")
    with pytest.raises(
        StoreLockedError, match=f"{tmp_path} is held by process {os.getpid()} on .*choose another folder"
    ):
        await other.open("other")
    with pytest.raises(StoreError, match="open already, by this very process"):
        await one.open("one")
    await one.close()
    assert await other.open("other") == 2
    await other.close()


async def test_a17_a_process_that_lost_its_lock_finds_the_epoch_of_its_successor(tmp_path: Path) -> None:
    disk = FolderDisk(tmp_path)
    old, new = FileStore(tmp_path, disk), FileStore(tmp_path)
    epoch = await old.open("old")
    await disk.unlock("lock")
    await new.open("new")
    for change in (old.write(KEY, Document(1, epoch, "{}"), 0), old.delete(KEY, 0), old.append("journal", "x")):
        with pytest.raises(StaleWriteError, match=r"'new' has opened the store since \(epoch 2; this process has 1\)"):
            await change
    await old.close()
    assert await new.read(KEY) is None
    await new.write(KEY, Document(1, 2, "{}"), 0)
    with pytest.raises(StaleWriteError, match="of epoch 1 is not written any more"):
        await new.write(KEY, Document(2, 1, "{}"), 1)
    await new.close()


async def test_b13_a_folder_that_is_gone_or_put_back_from_a_copy_stops_everything(tmp_path: Path) -> None:
    for what in ("gone", "put back from a copy"):
        folder = tmp_path / what
        await filled(folder)
        copy = (folder / "epoch.json").read_bytes()
        store = FileStore(folder)
        epoch = await store.open("second")
        shutil.rmtree(folder)
        if what != "gone":
            folder.mkdir()
            (folder / "epoch.json").write_bytes(copy)
        with pytest.raises(StoreError, match=what):
            await store.write(KEY, Document(3, epoch, "{}"), 2)
        with pytest.raises(StoreError, match="nothing more is written"):
            await store.read(KEY)
        await store.close()


async def test_a_lost_epoch_is_counted_on_from_the_documents_and_a_damaged_one_is_said(tmp_path: Path) -> None:
    for _ in range(3):
        shutil.rmtree(tmp_path / "signals", ignore_errors=True)
        await _opened_and_written(tmp_path)
    (tmp_path / "epoch.json").unlink()
    store = FileStore(tmp_path)
    assert await store.open("next") == 4
    await store.close()
    (tmp_path / "epoch.json").write_bytes(b"{}")
    with pytest.raises(StateDamagedError, match=r"epoch\.json .*move it away"):
        await store.open("next")
    (tmp_path / "epoch.json").unlink()
    assert await store.open("the lock is free after a failed opening") == 4
    await store.close()


async def _opened_and_written(folder: Path) -> None:
    store = FileStore(folder)
    epoch = await store.open("one")
    await store.write(KEY, Document(1, epoch, CONTENT), 0)
    await store.close()


async def test_a_folder_that_cannot_be_written_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match=r"file/data.* cannot be locked"):
        await FileStore(tmp_path / "file" / "data").open("one")
