"""The user's own code: importing a strategy file, and finding the user's own lines in a traceback.

A mistake in a strategy file is told as Python would tell it, without the frames of whoever imported the file.
"""

from __future__ import annotations

import importlib.util
import linecache
import re
import sys
import sysconfig
import traceback
from pathlib import Path
from types import ModuleType

from backtest_kit.errors import BacktestKitError, ConfigError, nearest_names

_PACKAGE = Path(__file__).resolve().parent.parent
_EXAMPLES = _PACKAGE / "examples"
_LIBRARIES = tuple(
    {str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)


class StrategyFileError(BacktestKitError):
    """A strategy file that cannot be imported; the message has file, line and what stands there."""


def load(path: Path) -> ModuleType:
    """Imports a strategy file as a module, with its folder first on `sys.path`; its `__main__` part is not run.

    Raises ConfigError where there is no such file, StrategyFileError where the file itself fails.
    """
    file = _existing(path)
    folder = str(file.parent)
    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)
    try:
        return _executed(file)
    except SyntaxError as error:
        raise StrategyFileError(_syntax(error)) from error
    except SystemExit as error:
        remedy = 'what is only for running the file itself goes under `if __name__ == "__main__":`'
        raise StrategyFileError(
            f"{shown(file)} ended the program (SystemExit) while it was imported; {remedy}"
        ) from error
    except Exception as error:
        raise StrategyFileError(_told(file, error)) from error


def places(error: BaseException | None) -> list[str]:
    """The user's own lines that an error came through, outermost first; empty without an error or such lines."""
    frames = traceback.extract_tb(error.__traceback__) if error is not None else []
    return [_frame(each.filename, each.lineno, f" in {each.name}") for each in frames if _is_users(each.filename)]


def shown(path: str | Path) -> str:
    """A path as a person would write it: relative where it lies in the working folder."""
    given = Path(path)
    return str(given.relative_to(Path.cwd())) if given.is_relative_to(Path.cwd()) else str(given)


def _existing(path: Path) -> Path:
    if path.is_dir():
        inside = ", ".join(sorted(each.name for each in path.glob("*.py"))[:10])
        raise ConfigError(f"{path} is a folder; give one file" + (f" of it: {inside}" if inside else ""))
    if not path.is_file():
        raise ConfigError(f"{path} does not exist{_meant(path)}")
    if path.suffix != ".py":
        raise ConfigError(f"{path} is no Python file; a strategy file ends in .py")
    return path.resolve()


def _meant(path: Path) -> str:
    known = [each.name for each in path.parent.glob("*.py")] if path.parent.is_dir() else []
    nearest = nearest_names(path.name, known)
    return f"; did you mean {' or '.join(map(repr, nearest))}?" if nearest else f"; the working folder is {Path.cwd()}"


def _executed(file: Path) -> ModuleType:
    """The module of a file, compiled here: no bytecode of an earlier version is run, and none is left behind."""
    name = _module_name(file.stem)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    code = compile(_source(file), str(file), "exec", dont_inherit=True)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        exec(code, module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _module_name(stem: str) -> str:
    """The file's own name, so that its neighbours can import it; another where that means something else already."""
    name = re.sub(r"\W", "_", stem)
    return f"{name}_strategy_file" if name in sys.modules or name in sys.stdlib_module_names else name


def _source(file: Path) -> bytes:
    source = file.read_bytes()
    if b"\0" in source:
        raise StrategyFileError(f"{shown(file)} holds null bytes; it is no Python source")
    return source


def _syntax(error: SyntaxError) -> str:
    name, line = error.filename or "?", error.lineno or 0
    text = (error.text or linecache.getline(name, line)).rstrip()
    place = f"{shown(name)}:{line}: {type(error).__name__}: {error.msg}"
    if not text:
        return place
    indent = len(text) - len(text.lstrip())
    caret = " " * max(0, (error.offset or 0) - 1 - indent) + "^" if error.offset else ""
    return "\n    ".join(filter(None, [place, text.strip(), caret]))


def _told(file: Path, error: Exception) -> str:
    """A sentence, the user's own frames and the error, in the form of a traceback."""
    if isinstance(error, StrategyFileError):
        return str(error)
    last = "".join(traceback.format_exception_only(error)).strip()
    return "\n".join([f"{shown(file)} cannot be imported:", *places(error), last])


def _frame(filename: str, line: int | None, where: str) -> str:
    text = linecache.getline(filename, line or 0).strip()
    return f"  {shown(filename)}:{line}{where}" + (f"\n    {text}" if text else "")


def _is_users(filename: str) -> bool:
    """Whether a frame is of the user's own code: not of this package, of Python or of an installed library."""
    if filename.startswith("<"):
        return False
    path = Path(filename).resolve()
    if path.is_relative_to(_PACKAGE):
        return path.is_relative_to(_EXAMPLES)
    return not any(path.is_relative_to(each) for each in _LIBRARIES)
