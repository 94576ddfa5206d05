"""The ledger: what was appended is there, in its order, whatever happens to the end of its file."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from backtest_kit.core.events import BookEvent, Event
from backtest_kit.core.values import Source
from backtest_kit.engine.notices import Performance
from backtest_kit.errors import ConfigError, DataError
from backtest_kit.ports import Ledger
from backtest_kit.stores import FileLedger, MemoryLedger, source_of, stream_of
from tests.unit.sample_events import EVENTS, SOURCE, many_events

STREAM = "binance/sma_BTCUSDT"
FEW = tuple(many_events(8))


def filled(folder: Path, events: tuple[Event, ...] = FEW) -> tuple[FileLedger, Path]:
    ledger = FileLedger(folder, durable=False)
    for event in events:
        ledger.append(STREAM, event)
    return ledger, ledger.path(STREAM)


@pytest.fixture(params=["memory", "files"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    return MemoryLedger() if request.param == "memory" else FileLedger(tmp_path / "ledger")


def test_events_of_every_kind_are_read_back_as_they_were(ledger: Ledger) -> None:
    for event in EVENTS:
        ledger.append(STREAM, event)
    assert list(ledger.scan(STREAM)) == list(EVENTS)


def test_streams_do_not_mix_and_are_listed_by_name(ledger: Ledger) -> None:
    for number, stream in enumerate(("b", "a/b", "a", "a/B")):
        ledger.append(stream, EVENTS[number])
    assert list(ledger.streams()) == ["a", "a/B", "a/b", "b"]
    assert list(ledger.scan("a/b")) == [EVENTS[1]]


def test_a_stream_that_does_not_exist_is_empty_and_scanning_makes_none(ledger: Ledger) -> None:
    assert list(ledger.scan("nothing")) == []
    assert list(ledger.streams()) == []


@pytest.mark.parametrize("name", ["", "x" * 1001, "\ud800"])
def test_a_name_that_is_none_is_refused(ledger: Ledger, name: str) -> None:
    with pytest.raises(ConfigError, match="stream"):
        ledger.append(name, EVENTS[0])


def test_a_new_ledger_of_the_same_folder_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    filled(tmp_path, FEW[:3])
    ledger, path = filled(tmp_path, FEW[3:])
    assert list(ledger.scan(STREAM)) == list(FEW)
    heading, *lines = map(json.loads, path.read_text().splitlines())
    assert heading == {"ledger": 1, "stream": STREAM}
    assert [line["n"] for line in lines] == list(range(1, 9))


@pytest.mark.parametrize(
    "stream",
    ["../../etc/passwd", "/etc/passwd", "..", ".", "a//b", "C:\\x", "CON", "a\0b", "a\nb", "x" * 900, "Ünïcode ₿", "%"],
)
def test_every_name_stays_inside_of_the_folder(tmp_path: Path, stream: str) -> None:
    ledger = FileLedger(tmp_path / "inside", durable=False)
    ledger.append(stream, EVENTS[0])
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files == [ledger.path(stream)]
    assert all(re.fullmatch(r"[\w%~.\-]+", part) for part in files[0].relative_to(tmp_path).parts)
    assert list(ledger.streams()) == [stream]
    assert list(ledger.scan(stream)) == [EVENTS[0]]


names = st.text(st.sampled_from("aAbB/._%~-\0 "), min_size=1, max_size=6)


@given(one=names, other=names)
def test_no_two_names_share_a_file_even_where_case_is_not_told_apart(one: str, other: str) -> None:
    ledger = FileLedger("folder")
    same = str(ledger.path(one)).lower() == str(ledger.path(other)).lower()
    assert same == (one == other)


def test_names_with_separators_inside_make_streams_of_their_own() -> None:
    sources = [
        Source("c", "a_b", "x"), Source("b_c", "a", "x"), Source("c", "a/b", "x"), Source("c", "b", "x/a"),
        Source("c", "a%5Fb", "x"),
    ]  # fmt: skip
    sources.append(Source("BTCUSDT", "sma-cross", "binance", mode="live"))
    assert stream_of(sources[-1]) == "live/binance/sma-cross_BTCUSDT"
    assert len({stream_of(each) for each in sources}) == len(sources)
    assert [source_of(stream_of(each)) for each in sources] == sources


@pytest.mark.parametrize("name", ["notes", "live/a/b", "demo/a/b_c", "live/a/b_c_d", "live/a%2f/b_c", "live/a/b_c/d"])
def test_a_stream_of_something_else_is_no_books(name: str) -> None:
    assert source_of(name) is None


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return filled(tmp_path_factory.mktemp("whole"))[1].read_bytes()


@given(data=st.data())
def test_a_file_cut_anywhere_is_a_prefix_and_goes_on_from_there(
    whole: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(whole)))
    rest = data.draw(st.sampled_from([b"", b"\0" * 40, b'{"n":', b"\0" * 40 + b"}\n"]))
    ledger = FileLedger(tmp_path_factory.mktemp("cut"), durable=False)
    path = ledger.path(STREAM)
    path.parent.mkdir(parents=True)
    path.write_bytes(whole[:cut] + rest)
    kept = max(0, whole[:cut].count(b"\n") - 1)
    assert list(ledger.scan(STREAM)) == list(FEW[:kept])
    ledger.append(STREAM, FEW[-1])
    ledger.append(STREAM, FEW[0])
    assert list(FileLedger(ledger.path("x").parent).scan(STREAM)) == [*FEW[:kept], FEW[-1], FEW[0]]


@given(data=st.data())
def test_no_changed_byte_before_the_last_line_goes_unnoticed(
    whole: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    last = whole.rindex(b"\n", 0, -1) + 1
    at = data.draw(st.integers(0, last - 1))
    flipped = whole[at] ^ (1 << data.draw(st.integers(0, 7)))
    ledger = FileLedger(tmp_path_factory.mktemp("flip"), durable=False)
    path = ledger.path(STREAM)
    path.parent.mkdir(parents=True)
    path.write_bytes(whole[:at] + bytes([flipped]) + whole[at + 1 :])
    with pytest.raises(DataError, match=re.escape(str(path))):
        list(ledger.scan(STREAM))


def test_damage_names_file_line_and_remedy_after_all_that_is_whole_was_read(tmp_path: Path) -> None:
    ledger, path = filled(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:4], lines[4].replace(b"100", b"101", 1), *lines[5:]]))
    found: list[Event] = []
    with pytest.raises(DataError, match=r"line 5 is damaged.*put the file back from a copy") as caught:
        found.extend(ledger.scan(STREAM))
    assert str(path) in str(caught.value)
    assert found == list(FEW[:3])


@pytest.mark.parametrize(
    "change", [lambda lines: lines[:3] + lines[4:], lambda lines: [*lines[:4], lines[3], *lines[4:]]]
)
def test_a_line_that_is_missing_or_there_twice_is_damage(tmp_path: Path, change) -> None:
    ledger, path = filled(tmp_path)
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(DataError, match=r"line \d holds event \d, where event \d belongs"):
        list(ledger.scan(STREAM))


def test_nothing_is_appended_behind_a_damaged_last_line(tmp_path: Path) -> None:
    _, path = filled(tmp_path)
    before = path.read_bytes()[:-3] + b"x}\n"
    path.write_bytes(before)
    with pytest.raises(DataError, match="the last line is damaged"):
        FileLedger(tmp_path).append(STREAM, FEW[0])
    assert path.read_bytes() == before


def test_a_file_of_a_newer_form_is_refused_with_the_remedy(tmp_path: Path) -> None:
    ledger, path = filled(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"ledger":1', b'"ledger":2', 1))
    for use in (lambda: list(ledger.scan(STREAM)), lambda: FileLedger(tmp_path).append(STREAM, FEW[0])):
        with pytest.raises(DataError, match=r"newer version of this package .* update the package"):
            use()


def test_a_file_that_was_renamed_is_neither_listed_nor_read(tmp_path: Path) -> None:
    ledger, path = filled(tmp_path)
    other = ledger.path("other")
    path.rename(other)
    assert list(ledger.streams()) == []
    with pytest.raises(DataError, match="renamed or copied"):
        list(ledger.scan("other"))


def test_other_kinds_of_events_are_kept_when_they_are_named(tmp_path: Path) -> None:
    timing = Performance(SOURCE, 0, "tick", 1.5)
    with pytest.raises(ConfigError, match="'performance' cannot be kept"):
        FileLedger(tmp_path).append(STREAM, timing)
    ledger = FileLedger(tmp_path, BookEvent | Performance)
    ledger.append(STREAM, timing)
    ledger.append(STREAM, FEW[0])
    assert list(ledger.scan(STREAM)) == [timing, FEW[0]]
    with pytest.raises(DataError, match="line 2 is whole, but holds an event that is not known here"):
        list(FileLedger(tmp_path).scan(STREAM))


@pytest.mark.parametrize("change", [{"price": float("nan")}, {"price": float("inf")}, {"time": object()}])
def test_an_event_that_could_not_be_read_back_is_refused_and_leaves_no_trace(tmp_path: Path, change) -> None:
    ledger, path = filled(tmp_path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="cannot be kept in the ledger"):
        ledger.append(STREAM, replace(FEW[0], **change))
    assert path.read_bytes() == before


def test_a_write_that_fails_leaves_the_file_as_it_was_and_names_it(tmp_path: Path, monkeypatch) -> None:
    _, path = filled(tmp_path)
    before = path.read_bytes()

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    ledger = FileLedger(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ConfigError, match=r"cannot be written: No space left") as caught:
            ledger.append(STREAM, FEW[0])
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before
    ledger.append(STREAM, FEW[0])
    assert list(ledger.scan(STREAM)) == [*FEW, FEW[0]]


def test_an_append_is_durable_unless_that_is_declined(tmp_path: Path, monkeypatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    FileLedger(tmp_path, durable=False).append("a", FEW[0])
    assert synced == []
    FileLedger(tmp_path).append("a", FEW[0])
    assert len(synced) == 1
    FileLedger(tmp_path).append("new/b", FEW[0])
    assert len(synced) == 1 + 1 + 2  # the file, its folder, and the folder of its folder


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ledger = FileLedger(tmp_path / "file")
    with pytest.raises(ConfigError, match=re.escape(str(tmp_path / "file"))):
        ledger.append(STREAM, FEW[0])


def test_two_ledgers_in_turn_make_one_history(tmp_path: Path) -> None:
    both = FileLedger(tmp_path), FileLedger(tmp_path)
    for number, event in enumerate(FEW):
        both[number % 2].append(STREAM, event)
    assert list(both[0].scan(STREAM)) == list(FEW)


def _append(folder: Path) -> None:
    filled(folder, tuple(many_events(100)))


def test_two_processes_at_once_make_a_history_without_gaps(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_append, args=(tmp_path,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    found = list(FileLedger(tmp_path).scan(STREAM))
    assert sorted(found, key=repr) == sorted([*many_events(100)] * 2, key=repr)


def test_a_scan_reads_line_by_line_while_others_append(tmp_path: Path) -> None:
    ledger, _path = filled(tmp_path)
    events = ledger.scan(STREAM)
    assert next(events) == FEW[0]
    ledger.append(STREAM, FEW[0])
    assert list(events)[: len(FEW) - 1] == list(FEW[1:])
