"""Which file a key has: readable where that is safe, and another one for every key.

The parts of a key become folders and a file. A part such as `signals` or `BTCUSDT_sma-cross_binance` is taken as it
is: small letters, or capitals up to the first "_" and small letters behind it, so that no two of them become one where
the file system does not tell `btc` from `BTC`. Any other part is made readable and gets a digest.
"""

from __future__ import annotations

import re
from hashlib import sha256

from backtest_kit.errors import ConfigError

EPOCH, LOCK, RESERVE = "epoch.json", "lock", "reserve"
DOCUMENT, PREVIOUS, HISTORY, TEMPORARY = ".json", ".json.previous", ".jsonl", ".tmp"
_ESCAPE = "%[0-9A-F]{2}"
_PLAIN = re.compile(
    f"(?:[a-z0-9-]|{_ESCAPE})+|(?:[A-Z0-9-]|{_ESCAPE})+(?:_(?:[a-z0-9-]|{_ESCAPE})*)+",
)
_DIGESTED = re.compile(r"[\w%-]*~[0-9a-f]{12}", re.ASCII)
_MOST_CHARACTERS = 80  # of a part in its file's name
_LONGEST_KEY = 1_000  # characters
_OURS = re.compile(r"(.*)(?:\.jsonl|\.json|\.json\.schema-\d+)\.tmp", re.DOTALL)


def path_of(key: str) -> str:
    """The path of a key, without an ending. Raises ConfigError for a key that is none."""
    return "/".join(map(_name, _checked(key).split("/"))) if key != "epoch" else _digested(key)


def key_of(path: str) -> str | None:
    """The key that has this path (without an ending); None where only the file itself can tell."""
    return path if all(map(_is_plain, path.split("/"))) else None


def is_path_of_a_key(path: str) -> bool:
    """Whether a path, without an ending, looks like one that `path_of` made."""
    return path != "epoch" and all(_is_plain(part) or _DIGESTED.fullmatch(part) for part in path.split("/"))


def is_left_over(path: str) -> bool:
    """Whether this is a temporary file of this store, and not one that somebody else is writing in the same folder."""
    found = _OURS.fullmatch(path)
    return path == RESERVE + TEMPORARY or bool(found and (found[1] == "epoch" or is_path_of_a_key(found[1])))


def folder_of(path: str) -> str:
    return path.rpartition("/")[0]


def _checked(key: str) -> str:
    try:
        key.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{key!r} cannot be a key: it is no valid text") from error
    if not 0 < len(key) <= _LONGEST_KEY:
        raise ConfigError(f"a key has 1 to {_LONGEST_KEY:,} characters, not {len(key):,}")
    return key


def _name(part: str) -> str:
    return part if _is_plain(part) else _digested(part)


def _is_plain(part: str) -> bool:
    return len(part) <= _MOST_CHARACTERS and _PLAIN.fullmatch(part) is not None


def _digested(part: str) -> str:
    readable = re.sub(r"[^\w%-]", "-", part, flags=re.ASCII)[:_MOST_CHARACTERS]
    return f"{readable}~{sha256(part.encode()).hexdigest()[:12]}"
