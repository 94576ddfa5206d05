"""What files of the store hold: documents of every release, and histories whose end may be torn."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest_kit.errors import StateDamagedError
from backtest_kit.ports import Document
from backtest_kit.stores import FileStore
from backtest_kit.stores.document_text import DamagedText
from backtest_kit.stores.history_text import heading_of, history_in, line_of
from tests.unit.test_file_store import KEY, filled

GOLDEN = Path(__file__).parents[1] / "data" / "state"


# ---- versions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", sorted(each.name for each in GOLDEN.iterdir()))
async def test_b18_what_any_release_has_written_is_read_and_goes_on(tmp_path: Path, version: str) -> None:
    folder = tmp_path / version
    shutil.copytree(GOLDEN / version, folder)
    store = FileStore(folder)
    epoch = await store.open("now")
    assert epoch == 4
    assert list(await store.keys()) == ["risk/max three", KEY]
    found = await store.read(KEY)
    assert found is not None
    assert (found.sequence, found.epoch) == (2, 2)
    assert json.loads(found.content)["state"] == {
        "type": "active", "price": 42000.5, "count": 9007199254740993, "note": "Größe ₿",
    }  # fmt: skip
    assert [line async for line in store.scan("journal/ticks")] == [f'{{"tick": {n}, "note": "₿"}}' for n in (0, 1)]
    await store.write(KEY, Document(3, epoch, "{}"), 2)
    await store.append("journal/ticks", "more")
    await store.close()


async def test_b18_an_older_schema_is_brought_forward_and_its_file_kept(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    written = path.read_bytes()

    def renamed(key: str, content: dict[str, object]) -> dict[str, object]:
        return {"remark" if name == "note" else name: value for name, value in content.items()} | {"of": key}

    store = FileStore(tmp_path, migrations=(renamed, lambda key, content: content | {"schema": 3}))
    epoch = await store.open("newer")
    found = await store.read(KEY)
    assert found is not None
    assert json.loads(found.content) == {
        "schema": 3, "state": {"type": "active", "price": 42000.5}, "remark": "₿", "of": KEY,
    }  # fmt: skip
    assert path.read_bytes() == written, "reading changes nothing"
    await store.write(KEY, Document(3, epoch, found.content), 2)
    await store.write(KEY, Document(4, epoch, found.content), 3)
    await store.close()
    assert Path(f"{path}.schema-1").read_bytes() == written
    assert json.loads(path.read_bytes())["schema"] == 3
    with pytest.raises(StateDamagedError, match=r"newer version .*install that version again"):
        await FileStore(tmp_path).read(KEY)


async def test_b18_a_document_that_no_migration_understands_is_damage(tmp_path: Path) -> None:
    await filled(tmp_path)
    store = FileStore(tmp_path, migrations=(lambda key, content: content["nothing"],))
    with pytest.raises(StateDamagedError, match="cannot be brought from schema 1"):
        await store.read(KEY)


# ---- histories -------------------------------------------------------------------------------------------------------


@given(cut=st.integers(0, 400), tail=st.sampled_from([b"", bytes(30), b"\x00\n", b"gar\nbage", b'{"n": 4, "crc": 1,']))
def test_b1_b8_a_torn_end_of_a_history_is_passed_over(cut: int, tail: bytes) -> None:
    parts = [heading_of("s"), *(line_of(number, f"line {number}") for number in (1, 2, 3))]
    text = b"".join(parts)[:cut]
    found = history_in(text + tail, "s")
    whole = [number for number in range(len(parts)) if len(b"".join(parts[: number + 1])) <= cut]
    assert found.lines == tuple(f"line {number}" for number in whole if number)
    assert found.whole == len(b"".join(parts[: len(whole)]))


def test_b7_any_changed_line_before_the_last_is_damage_and_so_is_a_last_one_that_can_be_read() -> None:
    parts = [heading_of("s"), *(line_of(number, f"line {number}") for number in (1, 2, 3))]
    for at in range(3):
        with pytest.raises(DamagedText, match=f"line {at + 1} "):
            history_in(b"".join([*parts[:at], b"\0" * 9 + b"\n", *parts[at + 1 :]]), "s")
    for at, changed in ((2, parts[2].replace(b"line 2", b"lime 2")), (3, parts[3].replace(b"line 3", b"lime 3"))):
        with pytest.raises(DamagedText, match="checksum"):
            history_in(b"".join([*parts[:at], changed, *parts[at + 1 :]]), "s")
    with pytest.raises(DamagedText, match="line 3 has number 3, where 2 belongs"):
        history_in(parts[0] + parts[1] + parts[3], "s")
    with pytest.raises(DamagedText, match="holds the history 's', not 't'"):
        history_in(b"".join(parts), "t")
    with pytest.raises(DamagedText, match="newer version"):
        history_in(parts[0].replace(b":1", b":2") + b"something else\n", "s")


async def test_b1_a_torn_end_is_cut_off_before_the_next_line_and_kept_for_people(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    await store.open("one")
    await store.append("journal/a", "one")
    await store.append("journal/a", "two")
    await store.close()
    path = tmp_path / "journal/a.jsonl"
    path.write_bytes(path.read_bytes() + b'{"n":3,"c')
    assert [line async for line in store.scan("journal/a")] == ["one", "two"]
    await store.open("two")
    await store.append("journal/a", "three")
    assert [line async for line in store.scan("journal/a")] == ["one", "two", "three"]
    assert Path(f"{path}.torn").read_bytes() == b'{"n":3,"c'
    path.write_bytes(path.read_bytes().replace(b"one", b"won"))
    with pytest.raises(StateDamagedError, match=r"a\.jsonl line 2 .*checksum"):
        [line async for line in store.scan("journal/a")]
    await store.close()
