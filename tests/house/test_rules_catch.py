"""Every house rule is shown a small tree that breaks it, and must say so: no rule may be vacuous."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.house import repository_rules, source_rules
from tests.house.repository_rules import INDEX_HOSTS, repository_files
from tests.house.source_tree import read

Files = dict[str, str]

LONG_FUNCTION = "def long():\n" + "    x = 1\n" * 50
MEDIUM_FUNCTION = "def medium():\n" + "    x = 1\n" * 8

BAD_SOURCE: list[tuple[source_rules.Rule, Files, str]] = [
    (
        source_rules.imports_point_inwards,
        {
            "core/machine.py": "from backtest_kit.engine.book import Book\n",
            "engine/book.py": "class Book: ...\n",
        },
        "core/machine.py imports engine",
    ),
    (
        source_rules.imports_point_inwards,
        {"core/machine.py": "def f():\n    import backtest_kit.engine\n", "engine/__init__.py": ""},
        "core/machine.py imports engine",
    ),
    (
        source_rules.imports_point_inwards,
        {"exchanges/memory.py": "from backtest_kit import engine\n", "engine/__init__.py": ""},
        "exchanges/memory.py imports engine",
    ),
    (
        source_rules.imports_point_inwards,
        {"stores/memory.py": "from ..exchanges import memory\n", "exchanges/memory.py": ""},
        "stores/memory.py imports exchanges",
    ),
    (
        source_rules.imports_point_inwards,
        {"engine/live.py": "import backtest_kit\n", "__init__.py": ""},
        "engine/live.py imports backtest_kit",
    ),
    (
        source_rules.imports_point_inwards,
        {"attic/old.py": "import backtest_kit.errors\n", "errors.py": ""},
        "the part 'attic' has no place in REACH",
    ),
    (
        source_rules.no_import_cycles,
        {
            "core/a.py": "import backtest_kit.core.b\n",
            "core/b.py": "import backtest_kit.core.c\n",
            "core/c.py": "def f():\n    from backtest_kit.core import a\n",
        },
        "import cycle: ",
    ),
    (source_rules.files_are_short, {"errors.py": "x = 1\n" * 401}, "errors.py has 401 lines"),
    (source_rules.functions_are_short, {"errors.py": LONG_FUNCTION}, "long has 51 lines"),
    (
        source_rules.most_functions_are_very_short,
        {"errors.py": MEDIUM_FUNCTION},
        "the median function has 9 lines",
    ),
    (source_rules.most_functions_are_very_short, {"errors.py": ""}, "there is no function at all"),
    (source_rules.core_imports_only_arithmetic, {"core/a.py": "import time\n"}, "core/a.py imports time"),
    (
        source_rules.core_imports_only_arithmetic,
        {"core/a.py": "def f():\n    import os.path\n"},
        "imports os.path",
    ),
    (
        source_rules.core_imports_only_arithmetic,
        {"core/a.py": "from collections import deque\n"},
        "imports collections",
    ),
    (
        source_rules.core_imports_only_arithmetic,
        {"core/a.py": "from backtest_kit import ports\n"},
        "backtest_kit.ports",
    ),
    (source_rules.core_touches_nothing, {"core/a.py": "async def f(): ...\n"}, "async or await"),
    (source_rules.core_touches_nothing, {"core/a.py": "def f():\n    print(1)\n"}, "core/a.py:2 has print()"),
    (source_rules.core_touches_nothing, {"core/a.py": "x = open('a')\n"}, "open()"),
    (source_rules.core_touches_nothing, {"core/a.py": "x = np.random.random()\n"}, "random numbers"),
    (source_rules.public_names_are_few, {"__init__.py": "x = 1\n"}, "does not list its public names"),
    (source_rules.public_names_are_few, {"errors.py": ""}, "does not list its public names"),
    (source_rules.public_names_are_few, {"__init__.py": f"__all__ = {['n'] * 141}\n"}, "has 141 names"),
    (source_rules.names_say_something, {"core/price_utils.py": ""}, "'price_utils' says nothing"),
    (source_rules.names_say_something, {"common/prices.py": ""}, "'common' says nothing"),
    (
        source_rules.nothing_is_left_to_do,
        {"errors.py": "x = 1\n# TO" + "DO: more\n"},
        "errors.py:2 says TO" + "DO",
    ),
]

LOCK = {"requirements.lock": "numpy==2 \\\n    --hash=sha256:00\n"}
BAD_REPOSITORY: list[tuple[repository_rules.Rule, Files, str]] = [
    *(
        (
            repository_rules.no_package_index_is_named,
            {"docs/a.md": f"see\nhttps://{host}/x\n"},
            "a.md:2 names",
        )
        for host in INDEX_HOSTS
    ),
    (repository_rules.lock_names_no_place, {"a.md": "\n"}, "requirements.lock is missing"),
    (repository_rules.lock_names_no_place, {"requirements.lock": "numpy==2\n"}, "has no hashes"),
    (repository_rules.lock_names_no_place, {"requirements.lock": "--index-url x\n"}, "holds '-url'"),
    (repository_rules.lock_names_no_place, {"requirements.lock": "a @ file:///x\n"}, "holds '://'"),
    (repository_rules.lock_names_no_place, {"requirements.lock": "--find-links x\n"}, "holds '--find-links'"),
    (repository_rules.only_sources_are_kept, {".venv/pyvenv.cfg": "\n"}, "pyvenv.cfg does not belong"),
    (
        repository_rules.only_sources_are_kept,
        {"web/charts.production.mjs": "\n"},
        "charts.production.mjs does not",
    ),
    (repository_rules.only_sources_are_kept, {"uv.lock": "\n"}, "uv.lock does not belong"),
    (repository_rules.texts_end_with_a_newline, {"a.md": "no end"}, "a.md does not end with a newline"),
]


def written(root: Path, files: Files) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return root


def breaches_of_source(rule: source_rules.Rule, tmp_path: Path, files: Files) -> str:
    written(tmp_path / "backtest_kit", files)
    return "\n".join(rule(read(tmp_path)))


@pytest.mark.parametrize(("rule", "files", "expected"), BAD_SOURCE)
def test_a_rule_about_source_catches_its_breach(
    rule: source_rules.Rule, files: Files, expected: str, tmp_path: Path
) -> None:
    assert expected in breaches_of_source(rule, tmp_path, files)


@pytest.mark.parametrize(("rule", "files", "expected"), BAD_REPOSITORY)
def test_a_rule_about_the_repository_catches_its_breach(
    rule: repository_rules.Rule, files: Files, expected: str, tmp_path: Path
) -> None:
    written(tmp_path, files)
    assert expected in "\n".join(rule(tmp_path, [Path(name) for name in files]))


def test_every_rule_has_a_tree_that_breaks_it() -> None:
    assert {rule for rule, _, _ in BAD_SOURCE} == set(source_rules.RULES)
    assert {rule for rule, _, _ in BAD_REPOSITORY} == set(repository_rules.RULES)


def test_imports_for_the_type_checker_do_not_count(tmp_path: Path) -> None:
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from backtest_kit.engine import Book\n"
    files = {"core/a.py": text, "engine/__init__.py": "Book = 1\n"}
    assert breaches_of_source(source_rules.imports_point_inwards, tmp_path, files) == ""


def test_a_docstring_does_not_make_a_function_long(tmp_path: Path) -> None:
    files = {"errors.py": 'def f():\n    """One.\n' + "\n" * 60 + '    """\n    return 1\n'}
    assert breaches_of_source(source_rules.functions_are_short, tmp_path, files) == ""


def test_a_new_file_counts_before_it_is_added_and_an_ignored_one_never(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    written(tmp_path, {".gitignore": "secret\n", "new.md": "\n", "secret": "\n"})
    assert repository_files(tmp_path) == [Path(".gitignore"), Path("new.md")]
