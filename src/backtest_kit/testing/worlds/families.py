"""Families of worlds: what may go wrong in each, and how often. Random seeds are drawn within a family."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from backtest_kit.testing.worlds.disk import DiskOdds
from backtest_kit.testing.worlds.exchange import ExchangeOdds
from backtest_kit.testing.worlds.network import FATES


class Family(Struct, frozen=True, kw_only=True):
    """What may go wrong. Odds are of 1, per occasion.

    `call`: a call of the exchange has one of `fates`. `point`: before or after a call of a port, one of `strikes`
    happens ("kill", "power", "pause"). `incidents`: what happens so many times at a time of its own ("jump" and "drift"
    of the clock, "fill_up" of the disk, "flip_bit", "by_hand": a position closed by somebody else, "twin": a second
    process is started). `lost_locks`: a paused process loses its locks.
    """

    name: str
    call: float = 0.0
    fates: tuple[str, ...] = FATES
    point: float = 0.0
    strikes: tuple[str, ...] = ("kill",)
    exchange: ExchangeOdds = ExchangeOdds()
    disk: DiskOdds = DiskOdds()
    incidents: tuple[tuple[str, int], ...] = ()
    lost_locks: float = 0.0


_ROUGH = ExchangeOdds(partial_fill=0.1, rejected=0.03, late_visibility=0.4, candles=0.03)
_DISK = DiskOdds(slow_sync=0.001)

CALM = Family(name="calm")
NET = Family(name="net", call=0.3, exchange=_ROUGH)
KILL = Family(name="kill", call=0.1, point=0.004, exchange=_ROUGH)
POWER = replace(KILL, name="power", strikes=("power",))
MIXED = Family(name="mixed", call=0.15, point=0.003, strikes=("kill", "power"), exchange=_ROUGH, disk=_DISK)
FSYNC_EIO = replace(MIXED, name="fsync_eio", disk=DiskOdds(sync_error=0.01, slow_sync=0.002))
DISK_FULL = replace(MIXED, name="disk_full", disk=DiskOdds(no_space=0.005), incidents=(("fill_up", 2),))
CLOCK = replace(MIXED, name="clock", incidents=(("jump", 6), ("drift", 2)))
EXTERNAL = replace(MIXED, name="external", incidents=(("by_hand", 3),))
TWO_PROCESSES = replace(MIXED, name="two_processes", strikes=("pause", "pause", "kill"), incidents=(("twin", 3),))
BIT_FLIP = replace(MIXED, name="bit_flip", incidents=(("flip_bit", 1),))
EVERYTHING = Family(
    name="everything",
    call=0.15,
    point=0.003,
    strikes=("kill", "power", "pause"),
    exchange=_ROUGH,
    disk=DiskOdds(sync_error=0.003, slow_sync=0.001, no_space=0.002),
    incidents=(("jump", 3), ("drift", 1), ("fill_up", 1), ("by_hand", 1), ("twin", 1)),
)

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        CALM, NET, KILL, POWER, MIXED, FSYNC_EIO, DISK_FULL, CLOCK, EXTERNAL, TWO_PROCESSES, BIT_FLIP, EVERYTHING,
    )
}  # fmt: skip
