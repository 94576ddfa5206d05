"""Prints the part of requirements.lock that some requirement lists need, hashes included.

    python .ci/locked.py core dev > wanted.txt

A list is `core` (what every user needs), `build` (what builds the package), an extra or a dependency group of
pyproject.toml. The lock holds everything at once; a demonstration needs a small part of it, and pip still
checks every hash. The lock says under each package who asked for it (`# via`), so the closure of a list is
walked from there. Only the standard library is used: this runs before anything is installed.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_ENTRY = re.compile(r"^(?=[A-Za-z0-9])", re.MULTILINE)


def normal(requirement: str) -> str:
    """The name at the head of a requirement as it is compared: lower case, each run of `-_.` one dash."""
    name = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", requirement)
    if name is None:
        raise SystemExit(f"not a requirement: {requirement!r}")
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def requirement_lists(pyproject: str) -> dict[str, set[str]]:
    """Package names by the name of the list that asks for them."""
    read = tomllib.loads(pyproject)
    project = read["project"]
    extras = {name: {normal(each) for each in wanted} for name, wanted in project["optional-dependencies"].items()}
    extras["all"] = set().union(*extras.values()) - {normal(project["name"])}  # it refers to the other extras
    own = {
        "core": project["dependencies"],
        "build": read["build-system"]["requires"],
        **read["dependency-groups"],
    }
    return extras | {name: {normal(each) for each in wanted} for name, wanted in own.items()}


def entries(lock: str) -> list[tuple[str, set[str], str]]:
    """Every pinned package of the lock: its name, who asked for it, its text."""
    texts = [text for text in _ENTRY.split(lock) if text and not text.startswith("#")]
    return [(normal(text), _askers(text), text) for text in texts]


def _askers(text: str) -> set[str]:
    remarks = [
        line.strip().removeprefix("#").strip().removeprefix("via").strip()
        for line in text.splitlines()
        if line.strip().startswith("#")
    ]
    return {normal(each) for each in remarks if each}


def closure(wanted: set[str], lock: str) -> str:
    """The text of the lock for `wanted` and what is there because of it; exits where it is not locked."""
    pinned = entries(lock)
    if missing := wanted - {name for name, _, _ in pinned}:
        raise SystemExit(f"not in requirements.lock: {', '.join(sorted(missing))}; run `make lock`")
    reached = set(wanted)
    while more := {name for name, askers, _ in pinned if askers & reached} - reached:
        reached |= more
    return "".join(text for name, _, text in pinned if name in reached)


def main(names: list[str]) -> None:
    """Writes the pins of the named lists to standard output."""
    lists = requirement_lists((ROOT / "pyproject.toml").read_text("utf-8"))
    if unknown := set(names) - lists.keys():
        raise SystemExit(f"unknown list {', '.join(sorted(unknown))}; pyproject.toml has {', '.join(lists)}")
    wanted = set().union(*(lists[name] for name in names))
    sys.stdout.write(closure(wanted, (ROOT / "requirements.lock").read_text("utf-8")))


if __name__ == "__main__":
    main(sys.argv[1:])
