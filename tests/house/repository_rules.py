"""The house rules about the repository: each takes its root and its files and
returns a sentence for every breach.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

Rule = Callable[[Path, list[Path]], list[str]]

# Put together from two halves, so that this file does not name what it looks for.
INDEX_HOSTS = [
    "pypi" + ".org", "pypi" + ".python.org", "files.pythonhosted" + ".org", "registry.npmjs" + ".org",
    "registry.yarnpkg" + ".com", "conda.anaconda" + ".org", "repo.anaconda" + ".com",
]  # fmt: skip
_INDEX = re.compile("|".join(map(re.escape, INDEX_HOSTS)), re.IGNORECASE)

NOT_SOURCE = {".venv", "venv", "node_modules", "__pycache__", "dist", "build", ".mypy_cache", ".pytest_cache"}
NOT_SOURCE_ENDINGS = (
    ".whl",
    ".tar.gz",
    ".zip",
    ".bundle",
    ".pyc",
    ".min.js",
    ".production.js",
    ".production.mjs",
)
LOCKS_WITH_HOSTS = {"uv.lock", "pylock.toml"}


def repository_files(root: Path) -> list[Path]:
    """Every file that is in the repository, or would be after `git add --all`, relative to its root."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=root, check=True, capture_output=True, text=True,
    )  # fmt: skip
    names = {Path(name) for name in listed.stdout.split("\0") if name}
    return sorted(name for name in names if (root / name).is_file())


def _texts(root: Path, files: list[Path]) -> Iterator[tuple[Path, str]]:
    for file in files:
        content = (root / file).read_bytes()
        if b"\0" not in content and not content.startswith(b"\x1f\x8b"):
            yield file, content.decode("utf-8", "replace")


def no_package_index_is_named(root: Path, files: list[Path]) -> list[str]:
    """Where packages come from is the business of the machine that installs them."""
    return [
        f"{file}:{number} names a package index"
        for file, text in _texts(root, files)
        for number, line in enumerate(text.splitlines(), start=1)
        if _INDEX.search(line)
    ]


def lock_names_no_place(root: Path, files: list[Path]) -> list[str]:
    """requirements.lock holds names, versions and hashes, and no address of any kind."""
    lock = root / "requirements.lock"
    if not lock.is_file():
        return ["requirements.lock is missing"]
    text = lock.read_text("utf-8")
    unhashed = "" if "--hash=sha256:" in text else "requirements.lock has no hashes"
    return [
        *filter(None, [unhashed]),
        *(f"requirements.lock holds {mark!r}" for mark in ("://", "-url", "--find-links") if mark in text),
    ]


def only_sources_are_kept(root: Path, files: list[Path]) -> list[str]:
    """No environment, build, bundle of foreign code or lock that names its index is in the repository."""
    return [
        f"{file} does not belong in the repository"
        for file in files
        if NOT_SOURCE & set(file.parts) or file.name.endswith(NOT_SOURCE_ENDINGS) or file.name in LOCKS_WITH_HOSTS
    ]


def texts_end_with_a_newline(root: Path, files: list[Path]) -> list[str]:
    return [
        f"{file} does not end with a newline" for file, text in _texts(root, files) if text and not text.endswith("\n")
    ]


RULES: list[Rule] = [
    no_package_index_is_named,
    lock_names_no_place,
    only_sources_are_kept,
    texts_end_with_a_newline,
]
