"""The source of a package as the house rules see it: its modules, what each imports, and its functions.

Nothing is imported or run; everything is read from the syntax trees.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PACKAGE = "backtest_kit"
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One source file: its dotted name, its path below the package's parent, and its text."""

    name: str
    path: Path
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, str(self.path))

    @property
    def part(self) -> str:
        """The part of the house that it stands in: `core`, `app`, …; empty for the package itself."""
        return self.name.split(".")[1] if "." in self.name else ""

    @property
    def line_count(self) -> int:
        return len(self.text.splitlines())

    def functions(self) -> Iterator[Function]:
        """Every function and method, nested ones too."""
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))

    def imports(self) -> Iterator[tuple[str, str]]:
        """(module, name) of every import that runs, also in functions; no name for `import module`."""
        for node in running_nodes(self.tree):
            if isinstance(node, ast.Import):
                yield from ((alias.name, "") for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                origin = self._origin(node)
                yield from ((origin, alias.name) for alias in node.names)

    def _origin(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.name.split(".")
        above = node.level - 1 if self.path.name == "__init__.py" else node.level
        return ".".join([*package[: len(package) - above], *([node.module] if node.module else [])])


def running_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below, but for what stands under `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield other
                yield from running_nodes(other)
            continue
        yield child
        yield from running_nodes(child)


def length(function: Function) -> int:
    """Lines from `def` to the last statement, less the docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is None or len(function.body) == 1:
        return lines
    return lines - ((first.end_lineno or first.lineno) - first.lineno + 1)


def read(source: Path) -> list[Module]:
    """The modules of the package below the folder `source` (the repository's `src`)."""
    return [
        Module(_dotted(path.relative_to(source)), path.relative_to(source), path.read_text("utf-8"))
        for path in sorted((source / PACKAGE).rglob("*.py"))
    ]


def _dotted(path: Path) -> str:
    names = path.with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


def import_graph(modules: list[Module]) -> dict[str, set[str]]:
    """Which modules of the package each module imports, by their dotted names."""
    known = {module.name for module in modules}
    return {module.name: set(_targets(module, known)) for module in modules}


def _targets(module: Module, known: set[str]) -> Iterator[str]:
    for origin, name in module.imports():
        if f"{origin}.{name}" in known:
            yield f"{origin}.{name}"
        elif origin in known:
            yield origin
