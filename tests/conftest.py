"""What every test may use: the recorded results in `../shared`, hypothesis profiles, the rule about skipping.

HYPOTHESIS_PROFILE picks a profile: `fast` (the default), `ci` (the same examples every time) or `thorough`.
BACKTEST_KIT_NO_SKIPS=1 turns a skipped test into a failed one, except where this machine cannot have what the
test asks for: an outside account (`needs_account`), or `../shared` where it is missing (`needs_shared`).
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
WITHOUT_SHARED = "the recorded results are not here: ../shared, beside the repository, is missing"
NO_SKIPS = os.environ.get("BACKTEST_KIT_NO_SKIPS") == "1"

# A busy machine makes any time limit on an example a coin toss.
settings.register_profile("fast", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("fast"), derandomize=True, max_examples=100)
settings.register_profile("thorough", settings.get_profile("fast"), max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder `../shared`; a test that asks for it is `needs_shared`, and skipped where it is missing."""
    return SHARED


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "shared" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.needs_shared)
        if item.get_closest_marker("needs_shared") and not SHARED.is_dir():
            item.add_marker(pytest.mark.skip(reason=WITHOUT_SHARED))


def may_skip(item: pytest.Item) -> bool:
    """Whether `item` asks for something that this machine cannot have."""
    without_shared = item.get_closest_marker("needs_shared") is not None and not SHARED.is_dir()
    return without_shared or item.get_closest_marker("needs_account") is not None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    # An expected failure is reported as skipped too; it did run.
    if NO_SKIPS and report.skipped and not hasattr(report, "wasxfail") and not may_skip(item):
        refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if NO_SKIPS and report.skipped:
        refuse_skip(report)
    return report


def refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Makes a failure of the report of a skip, and says why."""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    report.outcome = "failed"
    report.longrepr = f"{reason}\nBACKTEST_KIT_NO_SKIPS=1 counts a skipped test as failed."
