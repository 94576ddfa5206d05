"""The house rules about source: each takes the modules and returns a sentence for every breach."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from graphlib import CycleError, TopologicalSorter
from statistics import median

from tests.house.source_tree import PACKAGE, Module, import_graph, length, running_nodes

Rule = Callable[[list[Module]], list[str]]

MOST_LINES_A_FILE = 400
MOST_LINES_A_FUNCTION = 50
MEDIAN_LINES_A_FUNCTION = 8
MOST_PUBLIC_NAMES = 140
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "service", "misc"}

_INNER = {"core", "errors"}
_ADAPTERS = {"exchanges", "brokers", "stores", "notifiers", "llm"}
_OUTCOME = {"record", "live_record", "results", "reports", "version"}
_APP = {"research", "engine", "registry", "settings", "ports"} | _OUTCOME | _ADAPTERS | _INNER
_FACE = {"declare", "listen", "ambient", "commits"}  # the public functions, side by side
_RUNNERS = {"app", "iteration", "terminal", "reporters", "live_plan", "parity"} | _FACE | _APP

# Which parts each part may import, beside itself: imports point inwards, and adapters do not know each other.
REACH: dict[str, set[str]] = {
    "errors": set(),
    "core": {"errors"},
    "ports": _INNER,
    "settings": _INNER,
    "reports": _INNER,
    **dict.fromkeys(sorted(_ADAPTERS), {"ports"} | _INNER),
    "registry": {"ports", "settings"} | _INNER,
    "engine": {"ports", "settings", "registry"} | _INNER,
    "research": {"engine", "reports", "ports", "settings"} | _INNER,
    "version": set(),
    "results": {"reports", "version"} | _INNER,
    "live_record": {"results", "reports", "settings", "stores", "ports", "version"} | _INNER,
    "record": {"engine", "results", "reports", "settings", "version"} | _INNER,
    "terminal": {"engine"} | _INNER,
    "iteration": {"terminal", "engine"} | _INNER,
    "testing": {"engine", "ports", "settings"} | _INNER,
    "app": _APP,
    **dict.fromkeys(sorted(_FACE), {"app"} | _APP),
    "reporters": {"app"} | _APP,
    "parity": {"app", "iteration"} | _APP,
    "live_plan": {"app", "iteration", "parity"} | _APP,
    "runners": _RUNNERS,
    "": {"runners"} | _RUNNERS,
    "web": {"", "runners"} | _RUNNERS,
    "examples": {"", "runners"} | _RUNNERS,
    "cli": {"", "runners", "web", "examples"} | _RUNNERS,
    "__main__": {"cli"},
}

CORE_MAY_IMPORT = {
    "__future__",
    "bisect",
    "collections.abc",
    "decimal",
    "enum",
    "functools",
    "itertools",
    "math",
    "operator",
    "typing",
    "msgspec",
    "numpy",
    f"{PACKAGE}.core",
    f"{PACKAGE}.errors",
}
CORE_MAY_NOT_CALL = {"open", "print", "input", "eval", "exec", "__import__"}


def imports_point_inwards(modules: list[Module]) -> list[str]:
    """A part imports only the parts that stand further in."""
    graph = import_graph(modules)
    return [
        breach
        for module in modules
        for target in sorted(graph[module.name])
        if (breach := _outward(module, target.removeprefix(PACKAGE).removeprefix(".").split(".")[0]))
    ]


def _outward(module: Module, target: str) -> str:
    if module.part not in REACH:
        return f"{module.path}: the part {module.part!r} has no place in REACH; give it one"
    if target == module.part or target in REACH[module.part]:
        return ""
    return f"{module.path} imports {target or PACKAGE}: not further in than {module.part or PACKAGE}"


def no_import_cycles(modules: list[Module]) -> list[str]:
    """No chain of imports leads back to its start, lazy ones counted."""
    try:
        TopologicalSorter(import_graph(modules)).prepare()
    except CycleError as cycle:
        return ["import cycle: " + " → ".join(reversed(cycle.args[1]))]
    return []


def files_are_short(modules: list[Module]) -> list[str]:
    return [
        f"{module.path} has {module.line_count} lines, more than {MOST_LINES_A_FILE}"
        for module in modules
        if module.line_count > MOST_LINES_A_FILE
    ]


def functions_are_short(modules: list[Module]) -> list[str]:
    return [
        f"{module.path}:{function.lineno} {function.name} has {lines} lines, over {MOST_LINES_A_FUNCTION}"
        for module in modules
        for function in module.functions()
        if (lines := length(function)) > MOST_LINES_A_FUNCTION
    ]


def most_functions_are_very_short(modules: list[Module]) -> list[str]:
    lengths = [length(function) for module in modules for function in module.functions()]
    if not lengths:
        return ["there is no function at all: the rules look in the wrong place"]
    middle = median(lengths)
    if middle <= MEDIAN_LINES_A_FUNCTION:
        return []
    return [f"the median function has {middle} lines, more than {MEDIAN_LINES_A_FUNCTION}"]


def core_imports_only_arithmetic(modules: list[Module]) -> list[str]:
    return [
        f"{module.path} imports {origin}: not among what the core may import"
        for module in _core(modules)
        for origin in sorted({origin if origin != PACKAGE else f"{origin}.{name}" for origin, name in module.imports()})
        if not any(f"{origin}.".startswith(f"{allowed}.") for allowed in CORE_MAY_IMPORT)
    ]


def core_touches_nothing(modules: list[Module]) -> list[str]:
    """The core awaits nothing, reads and prints nothing, and draws no random numbers."""
    return [
        f"{module.path}:{getattr(node, 'lineno', 0)} has {what}: the core is pure"
        for module in _core(modules)
        for node in running_nodes(module.tree)
        if (what := _impurity(node))
    ]


def _core(modules: list[Module]) -> Iterator[Module]:
    return (module for module in modules if module.part == "core")


def _impurity(node: ast.AST) -> str:
    if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
        return "async or await"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CORE_MAY_NOT_CALL:
        return f"{node.func.id}()"
    if isinstance(node, ast.Attribute) and ast.unparse(node) in {"np.random", "numpy.random"}:
        return "random numbers"
    return ""


def public_names_are_few(modules: list[Module]) -> list[str]:
    """The package lists its public names in `__all__`, and they are few enough to be learned."""
    names = next((_listed(module.tree) for module in modules if module.name == PACKAGE), None)
    if names is None:
        return [f"{PACKAGE}/__init__.py does not list its public names in __all__"]
    if len(names) > MOST_PUBLIC_NAMES:
        return [f"{PACKAGE}.__all__ has {len(names)} names, more than {MOST_PUBLIC_NAMES}"]
    return []


def _listed(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if any(isinstance(each, ast.Name) and each.id == "__all__" for each in targets) and value is not None:
            return list(ast.literal_eval(value))
    return None


def names_say_something(modules: list[Module]) -> list[str]:
    return [
        f"{module.path}: {name!r} says nothing about what is inside"
        for module in modules
        for name in module.path.with_suffix("").parts
        if VAGUE_NAMES & set(name.lower().split("_"))
    ]


def nothing_is_left_to_do(modules: list[Module]) -> list[str]:
    unfinished = re.compile(r"\b(TODO|FIXME|XXX)\b")
    return [
        f"{module.path}:{number} says {found[0]}"
        for module in modules
        for number, line in enumerate(module.text.splitlines(), start=1)
        if (found := unfinished.search(line))
    ]


RULES: list[Rule] = [
    imports_point_inwards,
    no_import_cycles,
    files_are_short,
    functions_are_short,
    most_functions_are_very_short,
    core_imports_only_arithmetic,
    core_touches_nothing,
    public_names_are_few,
    names_say_something,
    nothing_is_left_to_do,
]
