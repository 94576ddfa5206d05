"""The live engine with one rule taken away, many times over: `python -m tests.simulation.mutants`.

Each mutant is a small patch of the real engine or of its file store. Simulated worlds must notice it, or their faults
do not bite where the rule stands. A mutant names the family of worlds that catches it and the first seed there that
does. A breach is a violation, or a halt of an engine whose disk has flipped no bit: it has lost its own state.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from msgspec import Struct
from msgspec.structs import replace

from backtest_kit import live_plan
from backtest_kit.core.inputs import Filled
from backtest_kit.core.machine import decide
from backtest_kit.core.orders import ExitReport
from backtest_kit.core.position import Fill
from backtest_kit.core.state import Active, Closing, Opening, State
from backtest_kit.engine import gate, live_book
from backtest_kit.engine.gate import Answer, Gate
from backtest_kit.engine.live_book import LiveBook
from backtest_kit.engine.slot import Slot, client_order_id, decoded, encoded
from backtest_kit.errors import StateDamagedError, StoreError
from backtest_kit.stores.documents import FileStore
from backtest_kit.stores.durable_files import DurableFiles
from backtest_kit.stores.file_names import PREVIOUS, path_of
from backtest_kit.stores.ownership import Ownership
from backtest_kit.testing.worlds import FAMILIES, Outcome, simulate
from tests.simulation.live_engine import live
from tests.simulation.verdicts import SECONDS, quiet

Patch = tuple[Any, str, Any]
"""Whose name, which name, and what stands there instead."""


class Mutant(Struct, frozen=True):
    """An engine without one rule. `seed` is the first of `family` that catches it; None: none does, and `why` not."""

    name: str
    missing: str
    family: str
    seed: int | None
    patches: tuple[Patch, ...]
    why: str = ""

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """While this lasts the rule is missing."""
        with ExitStack() as stack:
            for owner, name, instead in self.patches:
                stack.enter_context(patch.object(owner, name, instead))
            yield


def breaches(found: Outcome) -> tuple[str, ...]:
    """What is wrong in a world."""
    if found.halted and found.family != "bit_flip":
        return (*found.violations, f"halted: {found.halted}")
    return found.violations


def lived(mutant: Mutant, seed: int) -> tuple[str, ...]:
    """What is wrong in one world of the mutant's family."""
    with quiet(), mutant.at_work():
        return breaches(world_of(mutant.family, seed))


def world_of(family: str, seed: int) -> Outcome:
    """One world of a family, with the engine as it is at this moment."""
    return simulate(live, seed, FAMILIES[family], seconds=SECONDS)


def first_caught(mutant: Mutant, seeds: int, first: int = 0) -> tuple[int | None, str]:
    """The first of so many seeds that catches a mutant, and the first breach there; None where none does."""
    for seed in range(first, first + seeds):
        if found := lived(mutant, seed):
            return seed, found[0]
    return None, ""


# ---- what is kept, and when ----

_write, _answered, _operation = LiveBook._write, LiveBook._answered, LiveBook._operation
_ask, _check, _find_out = Gate.ask, Gate.check, Gate.find_out
_newest = FileStore._newest


async def _no_intent(book, state, operation, events):
    if operation is None or operation.progress != "asked":
        await _write(book, state, operation, events)
    else:
        book._note(events)
        book.slot, book.state = replace(book.slot, state=state, operation=operation), state


async def _no_unknown(book, state, operation, events):
    if operation is None or operation.progress != "unknown":
        return await _write(book, state, operation, events)
    return await _write(book, state, None, events)


async def _in_memory_where_the_disk_fails(book, state, operation, events):
    try:
        await _write(book, state, operation, events)
    except StoreError:
        book.slot, book.state = replace(book.slot, state=state, operation=operation), state


def _without_operation(content: str, source: Any) -> Slot:
    return replace(decoded(content, source), operation=None)


def _without_counter(content: str, source: Any) -> Slot:
    return replace(decoded(content, source), operations=0)


def _without_events(slot: Slot) -> str:
    return encoded(replace(slot, told=slot.told + len(slot.events), events=()))


def _without_bucket(slot: Slot) -> str:
    return encoded(replace(slot, asked=-1))


def _without_told(slot: Slot, count: int) -> Slot:
    return replace(slot, events=slot.events[count:])


# ---- what became of an order ----


def _unknown_is(kind: str):
    async def ask(self, request):
        answer = await _ask(self, request)
        return replace(answer, kind=kind) if answer.kind == "unknown" else answer

    return ask


def _believed(earlier_ms: int):
    async def find_out(self, client_order_id, source, not_after):
        return await _find_out(self, client_order_id, source, not_after - earlier_ms)

    return find_out


async def _asks_again_instead(self, client_order_id, source, not_after):
    return Answer("again")


def _open_is_final(report):
    return _ANSWER_OF(replace(report, status="partly_filled") if report.status == "open" else report)


_ANSWER_OF = gate._answer_of


def _with_a_new_id(book, order):
    book.slot = replace(book.slot, operation=None)
    return _operation(book, order)


def _rejected_exit_is_done(book, state, operation, answer):
    given_up = operation.order.kind == "close" and answer.kind == "never"
    return _answered(book, state, operation, Answer("done") if given_up else answer)


def _whole(state: State, given: Filled) -> Fill | None:
    """The fill as if all that was wished had been filled."""
    if given.fill is None or not isinstance(state, Opening | Closing):
        return given.fill
    if isinstance(state, Closing):
        return replace(given.fill, quantity=state.position.coins * state.position.signal.leverage)
    return replace(given.fill, quantity=state.order.amount * state.signal.leverage / state.order.price)


def _fills_are_whole(kind: type[State]):
    def judged(state, given, terms, source):
        if isinstance(given, Filled) and isinstance(state, kind):
            given = replace(given, fill=_whole(state, given))
        return decide(state, given, terms, source)

    return judged


def _as_modelled(state, given, terms, source):
    if isinstance(given, Filled) and isinstance(state, Active):
        given = replace(given, fill=None)
    return decide(state, given, terms, source)


def _without_fee(book, side, fill):
    _COUNT(book, side, replace(fill, fee=0.0) if fill is not None else None)


_COUNT = LiveBook._count


# ---- the exchange's word ----


async def _error_is_closed(self, ping):
    try:
        return await _check(self, ping)
    except Exception:
        held = ping.position.coins * ping.position.signal.leverage
        return ExitReport("closed", Fill(ping.price, held))


async def _adds_unseen(book, state, order):
    book._may_be_gone = False
    return await _risk_says_no(book, state, order)


_risk_says_no = LiveBook._risk_says_no


async def _does_not_look(book, row):
    return None


# ---- the store ----


async def _nothing(*_arguments):
    return None


async def _in_place(files, path, content):
    await files.done(files.disk.write(path, content), path, "written")
    await files.synced(files.disk.sync(path), path)


async def _damaged_is_none(store, key):
    try:
        return await _newest(store, key)
    except StateDamagedError:
        return None


async def _damaged_is_previous(store, key):
    try:
        return await _newest(store, key)
    except StateDamagedError:
        path = path_of(key)
        await store._files.rename(path + PREVIOUS, path + ".json")
        return await _newest(store, key)


async def _whatever_is_there(store, key, sequence):
    return await store._newest(key)


MUTANTS = (
    Mutant("sends first", "the intent is written before the order is sent", "kill", 0, (
        (LiveBook, "_write", _no_intent),)),
    Mutant("forgets the unknown", "an order without an answer is kept", "net", 1, (
        (LiveBook, "_write", _no_unknown),)),
    Mutant("forgets at restart", "a restart goes on with the operation that it finds", "kill", 0, (
        (live_plan, "decoded", _without_operation),)),
    Mutant("ignores the disk", "nothing counts that could not be written (disk full)", "disk_full", 2, (
        (LiveBook, "_write", _in_memory_where_the_disk_fails),)),
    Mutant("ignores failed syncs", "nothing counts that could not be written (sync failed)", "fsync_eio", 2, (
        (LiveBook, "_write", _in_memory_where_the_disk_fails),)),
    Mutant("keeps no events", "facts are in the document until they are told", "kill", 0, (
        (live_book, "encoded", _without_events),)),
    Mutant("tells before writing", "what commands bring about is written before it is told", "kill", 45, (
        (LiveBook, "_facts_unwritten", lambda _: False),)),
    Mutant("counts no telling", "the number of facts that were told is counted", "calm", 0, (
        (Slot, "after_telling", _without_told),)),
    Mutant("asks the strategy again", "the bucket that was asked for is kept", "kill", None, (
        (live_book, "encoded", _without_bucket),),
        "a signal has an id of its own minute, so asked again in that minute a strategy gives the same one"),
    Mutant("uses ids again", "client order ids are never used for another order", "kill", 1, (
        (live_plan, "decoded", _without_counter),
        (live_book, "client_order_id", lambda tag, source, _, number: client_order_id(tag, source, 0, number)))),
    Mutant("takes a new id each time", "a refused order is asked again under its own id", "net", None, (
        (LiveBook, "_operation", _with_a_new_id),),
        "where orders can be looked up, only what was surely not taken is asked for again"),
    Mutant("unknown is absent", "an unknown outcome is found out, not taken for a no", "net", 0, (
        (Gate, "ask", _unknown_is("absent")),)),
    Mutant("unknown is done", "an unknown outcome is found out, not taken for a yes", "net", 0, (
        (Gate, "ask", _unknown_is("done")),)),
    Mutant("unknown is asked again", "an order is not sent again before it was looked for", "net", 0, (
        (Gate, "ask", _unknown_is("again")),)),
    Mutant("does not look for orders", "after a restart an order is looked for before it is sent again", "kill", 0, (
        (Gate, "find_out", _asks_again_instead),)),
    Mutant("believes not found", "not found proves nothing while the order may still be on its way", "kill", 0, (
        (Gate, "find_out", _believed(10**9)),)),
    Mutant("forgets the settling time", "an order may be matched and shown later than it was sent", "kill", 96, (
        (Gate, "find_out", _believed(15_000)),)),
    Mutant("open is final", "an order that is still open has no outcome", "kill", 104, (
        (gate, "_answer_of", _open_is_final),)),
    Mutant("decides while unknown", "nothing is decided while an order is unknown", "net", 1, (
        (LiveBook, "is_blocked", False),)),
    Mutant("gives exits up", "an exit that was rejected is asked for again", "net", 0, (
        (LiveBook, "_answered", _rejected_exit_is_done),)),
    Mutant("exits are whole", "the rest of a partly filled exit is asked for again", "net", 38, (
        (live_book, "decide", _fills_are_whole(Closing)),)),
    Mutant("entries are whole", "a partly filled entry is a smaller position", "net", 59, (
        (live_book, "decide", _fills_are_whole(Opening)),)),
    Mutant("books the wish", "additions and partial exits are booked as filled", "net", 6, (
        (live_book, "decide", _as_modelled),)),
    Mutant("leaves fees out", "fees are counted", "calm", 0, (
        (LiveBook, "_count", _without_fee),)),
    Mutant("ignores others", "a position that was closed by hand is closed", "external", 0, (
        (LiveBook, "_look_at_position", _does_not_look),)),
    Mutant("adds unseen", "nothing is added to a position that could not be looked at", "external", 168, (
        (LiveBook, "_risk_says_no", _adds_unseen),)),
    Mutant("errors are exits", "a check that fails says nothing about the position", "net", 0, (
        (Gate, "check", _error_is_closed),)),
    Mutant("trusts the wall clock", "times of orders are by the exchange's clock", "clock", 0, (
        (Gate, "now", lambda self: self._clock.now()),)),
    Mutant("takes no lock", "one process at a time", "two_processes", 14, (
        (Ownership, "lock", _nothing),)),
    Mutant("has no fence", "a process that another has followed may not write", "two_processes", 0, (
        (Ownership, "lock", _nothing), (Ownership, "check", _nothing),
        (FileStore, "_expected", _whatever_is_there))),
    Mutant("does not sync files", "a file is synced before it gets its name", "power", 0, (
        (DurableFiles, "_sync_temporary", _nothing),)),
    Mutant("does not sync folders", "a folder is synced before a name in it counts", "power", 0, (
        (DurableFiles, "sync_folder", _nothing),)),
    Mutant("writes in place", "a new content is a new file", "power", 3, (
        (DurableFiles, "replace", _in_place),)),
    Mutant("trusts what it finds", "after an end that was not clean everything is written anew", "power", None, (
        (FileStore, "_write_all_anew", _nothing),),
        "whatever is done is written down first, which syncs the folder with all names in it"),
    Mutant("damaged is none", "a damaged document is no missing one", "bit_flip", 0, (
        (FileStore, "_newest", _damaged_is_none),)),
    Mutant("damaged is previous", "the generation before is never used in silence", "bit_flip", 72, (
        (FileStore, "_newest", _damaged_is_previous),)),
)  # fmt: skip


# ---- the table ----


def search(task: tuple[int, int]) -> tuple[int, int | None, str]:
    """The mutant of a number, the first seed of so many that catches it, and how."""
    number, seeds = task
    return number, *first_caught(MUTANTS[number], seeds)


def main() -> int:
    """Looks for the first seed that catches each mutant, and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants")
    parser.add_argument("--seeds", type=int, default=2_000, metavar="N", help="how many worlds at most, for each")
    parser.add_argument("--name", action="append", help="only mutants with this in their name")
    options = parser.parse_args()
    chosen = [
        number
        for number, mutant in enumerate(MUTANTS)
        if options.name is None or any(each in mutant.name for each in options.name)
    ]
    surprises = 0
    with multiprocessing.get_context("spawn").Pool() as pool:
        for number, seed, how in pool.imap(search, [(number, options.seeds) for number in chosen]):
            mutant = MUTANTS[number]
            surprises += seed != mutant.seed
            where = "not caught" if seed is None else f"seed {seed}"
            sys.stdout.write(f"{mutant.name:<26}{mutant.family:<15}{where:<12}{how[:110]}\n")
            sys.stdout.flush()
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
