"""The documents are true: their Python runs, offline and as it stands; their commands work; their lists are complete.

All `python` blocks of a page are one program, run in an empty folder. A block that begins with `# name.py` is also
saved under that name, for the `backtest-kit` commands in the `sh` blocks, which are run afterwards.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import asdict

from backtest_kit.reports.diagnosis import RULES
from backtest_kit.reports.metrics import ACCOUNT_METRICS, COST_METRICS, METRICS, SIGNIFICANCE_METRICS, Metric
from backtest_kit.settings import SETTINGS, Settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
TEXTS = (*PAGES, ROOT / "ARCHITECTURE.md", ROOT / "llms.txt")
COMMAND = (sys.executable, "-c", "from backtest_kit.cli import main; main()")
OFFLINE = """
import socket as _socket

def _refused(*_):
    raise AssertionError("a document wants to talk to somebody")

_socket.socket.connect = _socket.getaddrinfo = _refused
"""


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def run(command: Sequence[str], folder: Path) -> str:
    """Runs a program that must succeed; what it said on standard output."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith("CC_")}
    environment = settings | {"PYTHONPATH": str(ROOT / "src"), "PYTHONWARNINGS": "error"}
    done = subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr.lower()
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_python_and_the_commands_of_a_page_run(page: Path, tmp_path: Path) -> None:
    programs = blocks(page, "python")
    assert programs
    for program in programs:
        if named := re.match(r"# (\w+\.py)\n", program):
            (tmp_path / named[1]).write_text(program, "utf-8")
    whole = tmp_path / f"{page.stem}_page.py"
    whole.write_text("\n".join([OFFLINE, *programs]), "utf-8")
    run([sys.executable, whole.name], tmp_path)
    for line in "".join(blocks(page, "sh")).splitlines():
        if line.startswith("backtest-kit "):
            assert run([*COMMAND, *shlex.split(line, comments=True)[1:]], tmp_path)


def test_the_strategy_of_the_readme_has_about_twenty_lines() -> None:
    program = blocks(ROOT / "README.md", "python")[0]
    assert len([line for line in program.splitlines() if line.strip()]) <= 22


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text.stem)
def test_every_file_that_a_text_links_to_exists(text: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", text.read_text("utf-8"))
    assert [link for link in links if not (text.parent / link).exists()] == []


def test_every_setting_is_explained_with_its_default_and_unit() -> None:
    rows = {
        row[1]: row
        for line in (ROOT / "docs/results-and-settings.md").read_text("utf-8").splitlines()
        if (row := [cell.strip() for cell in line.split("|")])[1:2] and line.startswith("| `")
    }
    expected = {f"`{name}`": ["", f"`{name}`", *cells, ""] for name, cells in setting_cells().items()}
    assert rows == expected


@pytest.mark.parametrize(
    ("heading", "metrics"),
    [
        ("Per trade", METRICS),
        ("The account", (*ACCOUNT_METRICS, *COST_METRICS)),
        ("Significance", SIGNIFICANCE_METRICS),
    ],
)
def test_every_figure_is_explained_once_in_its_chapter(heading: str, metrics: Sequence[Metric]) -> None:
    assert sorted(names_in_chapter(heading)) == sorted(each.key for each in metrics)


def test_every_rule_that_notices_something_is_explained() -> None:
    assert sorted(names_in_chapter("What stands out")) == sorted(RULES)


def names_in_chapter(heading: str) -> list[str]:
    """The names in the first cells of the tables of a chapter of the page on statistics."""
    page = (ROOT / "docs/statistics.md").read_text("utf-8")
    chapter = re.split(r"^## ", page, flags=re.MULTILINE)
    own = next(each for each in chapter if each.startswith(f"{heading}\n"))
    cells = [line.split("|")[1] for line in own.splitlines() if line.startswith("| `")]
    return [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]


def setting_cells() -> dict[str, list[str]]:
    """Default, unit and meaning of every setting, as the page writes them."""
    defaults = asdict(Settings())
    return {name: [written(defaults[name]), each.unit, each.note] for name, each in SETTINGS.items()}


def written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_the_tree_of_the_architecture_page_is_the_tree_of_the_source() -> None:
    package = ROOT / "src" / "backtest_kit"
    real = {str(file.relative_to(package)) for file in package.rglob("*.py") if file.name != "__init__.py"}
    assert drawn_tree() - {"__init__.py"} == real


def drawn_tree() -> set[str]:
    """The files drawn in the first block of ARCHITECTURE.md, relative to the package."""
    files: set[str] = set()
    folders: list[str] = []
    for line in blocks(ROOT / "ARCHITECTURE.md", "")[0].splitlines()[1:]:
        match = re.match(r"^(?P<depth>(?:[│ ]   )*)[├└]── (?P<name>[\w.]+/?)", line)
        assert match, line
        folders = folders[: len(match["depth"]) // 4]
        if match["name"].endswith("/"):
            folders.append(match["name"])
        else:
            files.add("".join(folders) + match["name"])
    return files
