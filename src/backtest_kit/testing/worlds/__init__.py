"""Simulated worlds: an engine lives in virtual time, among faults that a seed decides, judged by its exchange.

`simulate(main, seed, family)` lives through one world; `FAMILIES` are kinds of worlds; `shrunk` makes a failing plan
shorter; `run` runs any coroutine in virtual time. See `world` for how an engine is put in.
"""

from backtest_kit.testing.worlds.adapter import SimAdapter
from backtest_kit.testing.worlds.clock import START, SimClock, TrueTime
from backtest_kit.testing.worlds.deliveries import Delivery
from backtest_kit.testing.worlds.disk import DiskOdds, Platter, SimDisk
from backtest_kit.testing.worlds.exchange import ExchangeOdds, SimExchange
from backtest_kit.testing.worlds.families import CALM, FAMILIES, Family
from backtest_kit.testing.worlds.faults import Faults, Plan, planned
from backtest_kit.testing.worlds.invariants import Report
from backtest_kit.testing.worlds.loop import DeadlockError, LivelockError, VirtualLoop, run
from backtest_kit.testing.worlds.network import FATES
from backtest_kit.testing.worlds.process import ProcessDead
from backtest_kit.testing.worlds.referee import slot_of
from backtest_kit.testing.worlds.scripted import (
    ForgetfulAdapter,
    HangingAdapter,
    NonsenseAdapter,
    RefusingAdapter,
    StubbornAdapter,
)
from backtest_kit.testing.worlds.shrinking import shrunk, single_faults
from backtest_kit.testing.worlds.world import Outcome, Ports, World, simulate

__all__ = [
    "CALM", "FAMILIES", "FATES", "START", "DeadlockError", "Delivery", "DiskOdds", "ExchangeOdds", "Family", "Faults",
    "ForgetfulAdapter", "HangingAdapter", "LivelockError", "NonsenseAdapter", "Outcome", "Plan", "Platter", "Ports",
    "ProcessDead", "RefusingAdapter", "Report", "SimAdapter", "SimClock", "SimDisk", "SimExchange", "StubbornAdapter",
    "TrueTime", "VirtualLoop", "World", "planned", "run", "shrunk", "simulate", "single_faults", "slot_of",
]  # fmt: skip
