"""The real program killed over and over: `python -m tests.simulation.real_kills --kills 100`.

Paper trading on a made-up market runs as a process of its own, with a clock that is thousands of times as fast, over
real files. It is ended by SIGKILL: from outside at a random time after its start, or by itself before or after a random
one of its own syncs and renames. After every kill what is on disk must fit together; then it is started again. At last
it is asked to end in order.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from backtest_kit.core.events import Event, OrderAnswered, SignalClosed, SignalOpened
from backtest_kit.core.state import Active, Closing
from backtest_kit.core.values import Source
from backtest_kit.engine.slot import Slot, decoded, key_of
from backtest_kit.stores import FileLedger, FileStore, stream_of

SYMBOLS = {"LONGUSDT": 1, "SHORTUSDT": -1}
"""What is traded, and on which side."""

_RUN = "from backtest_kit.cli import main; main()"
_PATIENCE_SECONDS = 30.0
_STEPS = 400  # syncs and renames; a start makes about ten, a position about fifty
_BUYS = ("open", "average_buy")
PROGRAM = """
import itertools, os, signal
import backtest_kit as bk

bk.add_exchange("made-up", bk.DemoExchange(seed=1))

def manage(ping):
    number = ping.time // 60_000
    if number % 3 == 0:
        bk.commit_average_buy(ping.source.symbol, 50.0)
    elif number % 3 == 1:
        bk.commit_partial_profit(ping.source.symbol, 30.0)
    else:
        bk.commit_partial_loss(ping.source.symbol, 40.0)

@bk.strategy("busy", interval="1m", callbacks={"on_active_ping": manage})
def busy(symbol, when, price):
    side = "long" if symbol.startswith("LONG") else "short"
    return bk.Signal.bracket(side, price, take_profit_percent=1, stop_loss_percent=1, minute_estimated_time=5)

last, numbers = int(os.environ["LAST_STEP"]), itertools.count(1)

def counted(step):
    def call(*arguments, **options):
        if next(numbers) == last:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = step(*arguments, **options)
        if next(numbers) == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer
    return call

if last:
    os.fsync, os.replace = counted(os.fsync), counted(os.replace)
"""


class Tally(Struct):
    """What came of all lives: `starts` that were killed before they had traded are counted among the `kills`."""

    kills: int = 0
    by_itself: int = 0
    facts: int = 0
    trades: int = 0
    seconds: float = 0.0


def killed(folder: Path, seed: int, kills: int) -> tuple[Tally, list[str]]:
    """Kills the program so many times; what happened, and everything that was wrong after a kill or at the end."""
    began, chance, tally, wrong = time.monotonic(), random.Random(seed), Tally(), list[str]()
    (folder / "strategy.py").write_text(PROGRAM)
    for number in range(kills):
        by_itself = number % 2 == 1
        _live(folder, chance, by_itself)
        tally.kills, tally.by_itself = number + 1, tally.by_itself + by_itself
        wrong += [f"after kill {number + 1}: {each}" for each in breaches(folder)]
    wrong += [f"at the end: {each}" for each in (*_last_life(folder), *breaches(folder))]
    facts = [event for symbol in SYMBOLS for event in _kept(folder, symbol)[1]]
    tally.facts, tally.trades = len(facts), sum(isinstance(each, SignalClosed) for each in facts)
    tally.seconds = time.monotonic() - began
    return tally, wrong


def _started(folder: Path, last_step: int) -> subprocess.Popen[bytes]:
    symbols = [word for symbol in SYMBOLS for word in ("--symbol", symbol)]
    settings = ["--set", "partials_everywhere=true", "--set", "dca_everywhere=true"]
    own = ["--from", "2024-01-01", "--speed", "6000", *symbols, *settings]
    source = Path(__file__).resolve().parents[2] / "src"
    with (folder / "errors.txt").open("w") as errors:
        return subprocess.Popen(
            [sys.executable, "-c", _RUN, "paper", "strategy.py", *own],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(source), "LAST_STEP": str(last_step)},
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )


def _live(folder: Path, chance: random.Random, by_itself: bool) -> None:
    """One life, which ends by SIGKILL."""
    process = _started(folder, chance.randrange(1, 2 * _STEPS) if by_itself else 0)
    try:
        if not by_itself:
            time.sleep(chance.uniform(0.2, 1.6))
        else:
            process.wait(_PATIENCE_SECONDS)
    finally:
        process.kill()
        code = process.wait()
    if code != -signal.SIGKILL:
        raise AssertionError(f"the program has ended by itself, with {code}: {(folder / 'errors.txt').read_text()}")


def _last_life(folder: Path) -> list[str]:
    """Starts the program once more, lets it trade on, and asks it to end."""
    before = len(_kept(folder, next(iter(SYMBOLS)))[1])
    process, end = _started(folder, 0), time.monotonic() + _PATIENCE_SECONDS
    try:
        while len(_kept(folder, next(iter(SYMBOLS)))[1]) < before + 20:
            if time.monotonic() > end or process.poll() is not None:
                return [f"it does not trade any more: {(folder / 'errors.txt').read_text()}"]
            time.sleep(0.05)
        process.terminate()
        code = process.wait(_PATIENCE_SECONDS)
        return [] if code == 0 else [f"asked to end it has ended with {code}: {(folder / 'errors.txt').read_text()}"]
    finally:
        process.kill()
        process.wait()


# ---- what must fit together on disk ----


def breaches(folder: Path) -> list[str]:
    """Everything that does not fit: between document and history, in the history, and between fills and position."""
    return [f"{symbol} {breach}" for symbol in SYMBOLS for breach in _breaches_of(*_kept(folder, symbol), symbol)]


def _kept(folder: Path, symbol: str) -> tuple[Slot | None, list[Event]]:
    """The document of a slot and its history; reading raises where anything is damaged or a number is missing."""
    source = Source(symbol, "busy", "made-up", mode="paper")
    facts = list(FileLedger(folder / "data/ledger").scan(stream_of(source)))
    document = asyncio.run(FileStore(folder / "data/paper").read(key_of(source)))
    return (None if document is None else decoded(document.content, source)), facts


def _breaches_of(slot: Slot | None, facts: Sequence[Event], symbol: str) -> Iterator[str]:
    if slot is None:
        if facts:
            yield "has a history and no document"
        return
    if not slot.told <= len(facts) <= slot.told + len(slot.events):
        yield f"has told {slot.told} facts and keeps {len(slot.events)}, but its history has {len(facts)}"
    if [*facts[slot.told :]] != [*slot.events[: len(facts) - slot.told]]:
        yield "has told other facts than it keeps"
    whole = [*facts[: slot.told], *slot.events]
    yield from _trades_fit(whole)
    yield from _fills_fit(whole, slot, SYMBOLS[symbol])


def _trades_fit(facts: Sequence[Event]) -> Iterator[str]:
    trades = [each for each in facts if isinstance(each, SignalOpened | SignalClosed)]
    opened = [each.signal.id for each in trades if isinstance(each, SignalOpened)]
    closed = [each.signal.id for each in trades if isinstance(each, SignalClosed)]
    actions = [each.action for each in trades]
    if actions != ["opened", "closed"] * (len(actions) // 2) + ["opened"] * (len(actions) % 2):
        yield f"does not open and close in turn: {actions[-6:]}"
    if len(set(opened)) != len(opened) or closed != opened[: len(closed)]:
        yield "uses the id of a signal twice, or closes another one than it opened"


def _fills_fit(facts: Sequence[Event], slot: Slot, sign: int) -> Iterator[str]:
    orders = [each for each in facts if isinstance(each, OrderAnswered) and each.outcome == "done" and each.quantity]
    filled = sum(sign * (1 if each.kind in _BUYS else -1) * (each.quantity or 0.0) for each in orders)
    if abs(filled - slot.quantity) > 1e-9 * (1 + len(orders)):
        yield f"has filled {filled} and believes {slot.quantity}"
    ids = [each.client_order_id for each in orders]
    if len(set(ids)) != len(ids):
        yield "has filled one client order id twice"
    state = slot.state
    held = state.position.coins * state.position.signal.leverage if isinstance(state, Active | Closing) else 0.0
    if abs(sign * held - slot.quantity) > 1e-6 * max(1.0, held):
        yield f"holds {sign * held} by its position, {slot.quantity} by its fills"


def main() -> int:
    """Kills the program, and says what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.real_kills")
    parser.add_argument("--kills", type=int, default=100, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="real-kills-") as folder:
        tally, wrong = killed(Path(folder), options.seed, options.kills)
    lives = f"{tally.kills} kills, {tally.by_itself} of them at a sync or rename"
    said = f"{lives}; {tally.facts} facts, {tally.trades} trades; {len(wrong)} breaches, {tally.seconds:.0f} s"
    sys.stdout.write("".join(f"{line}\n" for line in [*wrong, said]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
