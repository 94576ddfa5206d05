"""Values laid flat: which columns a kind of row has in a file or a DataFrame, and how each is read.

A field of its own becomes a column. What stands in a value of its own (whose event it is, a position, a profit)
becomes columns beside it; names are those of a `Trade` where they mean the same. Orders and milestones of a trade,
and all else that is many in one, are left out. Events of several kinds share one table: it has the columns of all
kinds, and a cell is None where a kind has no such field.

A field is read from many rows at once: a value within a value is then looked up once for all that is read from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from enum import Enum
from functools import cache
from inspect import get_annotations
from itertools import chain
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from msgspec import Struct

from backtest_kit.core.events import ActivePing, BookEvent, Event, SignalClosed
from backtest_kit.core.position import Position, Profit
from backtest_kit.core.values import Signal, Terms, Time
from backtest_kit.errors import ConfigError
from backtest_kit.reports.trades import Missing, Trade

FieldType: TypeAlias = Literal["text", "int", "float", "bool", "time"]
Cell: TypeAlias = str | int | float | bool | None
Make: TypeAlias = Callable[[Any], Any]
"""Makes a cell of a value."""
Read: TypeAlias = Callable[[Sequence[Any]], list[Any]]
"""Reads a field from rows: a cell for each."""

BOOK_EVENTS: tuple[type, ...] = get_args(BookEvent)
YEAR_1: Time = -62_135_596_800_000
YEAR_10000: Time = 253_402_300_800_000


class Field(Struct, frozen=True):
    """One column: its name, what is in it, and how it is read from rows; a "time" is read as epoch ms."""

    name: str
    type: FieldType
    read: Read


class Sheet:
    """The columns of rows of one or several kinds: `fields` names them, `columns` reads rows.

    Raises ConfigError for values that have no fields.
    """

    def __init__(self, kinds: Iterable[type]) -> None:
        known = dict.fromkeys(each for kind in kinds for each in _family(kind))
        types: dict[str, FieldType] = {}
        for field in chain.from_iterable(map(fields_of, known)):
            types[field.name] = _joined(types.get(field.name, field.type), field.type)
        self.fields: tuple[tuple[str, FieldType], ...] = tuple(types.items())
        self._readers: dict[type, list[tuple[int, Read]]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _type in self.fields)

    def cells(self, row: Struct) -> list[Cell]:
        """The cells of a row, one for each field."""
        cells: list[Cell] = [None] * len(self.fields)
        for number, read in self._readers_of(type(row)):
            (cells[number],) = read([row])
        return cells

    def columns(self, rows: Iterable[Struct]) -> list[list[Cell]]:
        """The cells of all rows, a list for each field."""
        given = list(rows)
        columns: list[list[Cell]] = [[None] * len(given) for _ in self.fields]
        for kind in dict.fromkeys(map(type, given)):
            places = [at for at, row in enumerate(given) if type(row) is kind]
            own = [given[at] for at in places]
            for number, read in self._readers_of(kind):
                column = columns[number]
                for at, cell in zip(places, read(own), strict=True):
                    column[at] = cell
        return columns

    def _readers_of(self, kind: type) -> list[tuple[int, Read]]:
        """How the fields of a kind are read, each with the number of its column."""
        if kind in self._readers:
            return self._readers[kind]
        places = {name: at for at, name in enumerate(self.names)}
        if strange := [field.name for field in fields_of(kind) if field.name not in places]:
            raise ConfigError(
                f"a {kind.__name__} among the rows has the columns {', '.join(strange)}, which those before it have "
                "not; hand in a list of all rows, so that every column is known before the first row is written"
            )
        self._readers[kind] = [(places[field.name], field.read) for field in fields_of(kind)]
        return self._readers[kind]


def laid_out(rows: Iterable[Struct], kind: type | None = None) -> tuple[Sheet, Iterable[Struct]]:
    """The sheet of the rows, and the rows; `kind` is what they are when there are none.

    A sequence is looked through for its kinds. Of an iterator only the first row is looked at, and handed on with the
    others; book events may follow each other in any order even so.
    """
    if isinstance(rows, Sequence):
        return Sheet([*([kind] if kind else []), *dict.fromkeys(map(type, rows))]), rows
    rest = iter(rows)
    first = list(_first(rest))
    return Sheet([*([kind] if kind else []), *map(type, first)]), chain(first, rest)


def _first(rows: Iterator[Struct]) -> Iterator[Struct]:
    for row in rows:
        yield row
        return


def _family(kind: type) -> tuple[type, ...]:
    return BOOK_EVENTS if kind is Event or kind in BOOK_EVENTS else (kind,)


def _joined(one: FieldType, other: FieldType) -> FieldType:
    if one == other:
        return one
    return "float" if {one, other} == {"int", "float"} else "text"


@cache
def fields_of(kind: type) -> tuple[Field, ...]:
    """The columns of one kind of row. Raises ConfigError when it is no Struct."""
    if not issubclass(kind, Struct):
        raise ConfigError(f"rows are values with named fields (Struct); a {kind.__name__} has none")
    tag_field, tag = kind.__struct_config__.tag_field, kind.__struct_config__.tag
    laid = {tag_field: Field(tag_field, "text", lambda rows: [str(tag)] * len(rows))} if tag_field else {}
    hints, raw = get_type_hints(kind), _annotations(kind)
    for name in kind.__struct_fields__:
        for field in _parts(kind, name, hints[name], raw[name]):
            _lay(laid, field, name, issubclass(kind, Event))
    for field in _BESIDE.get(kind, ()):
        laid[field.name] = field
    return tuple(laid.values())


def _lay(laid: dict[str, Field], field: Field, owner: str, is_event: bool) -> None:
    """Adds a field; where its name is taken it gets its owner's in front.

    An event may have both a position and its signal: their columns mean the same, and the one is read that is there.
    """
    other = laid.get(field.name)
    if other is None:
        laid[field.name] = field
    elif is_event and field.name in _SAME:
        laid[field.name] = Field(field.name, field.type, _either(other.read, field.read))
    else:
        laid[f"{owner}_{field.name}"] = Field(f"{owner}_{field.name}", field.type, field.read)


def _annotations(kind: type) -> dict[str, str]:
    """The annotations as they are written: an alias such as `Time` is lost once they are resolved."""
    merged = chain.from_iterable(get_annotations(base).items() for base in reversed(kind.__mro__))
    return {name: str(annotation) for name, annotation in merged}


def _parts(kind: type, name: str, hint: Any, raw: str) -> Iterator[Field]:
    """The columns that one field of a Struct becomes: one, several or none."""
    members = [each for each in _members(hint) if each not in _NOTHING]
    own = attrgetter(name)
    if (kind, name) in _INSTEAD or (len(members) == 1 and _is_struct(members[0])):
        inner = _INSTEAD.get((kind, name)) or _LAID.get(members[0])
        for field in fields_of(members[0]) if inner is None else inner:
            yield Field(field.name, field.type, _through(own, field.read))
    elif found := _type(name, members, raw):
        yield Field(name, found[0], _made(own, found[1]))


def _members(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _is_struct(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Struct)


def _type(name: str, members: Sequence[Any], raw: str) -> tuple[FieldType, Make] | None:
    """What kind of cell the members of a type hint make, and how a value becomes one; None: no cell."""
    plain = {type(get_args(each)[0]) if get_origin(each) is Literal else each for each in members}
    if plain == {int} and (re.search(r"\bTime\b", raw) or name == "time" or name.endswith("_at")):
        return "time", time_cell
    if plain in ({bool}, {int}):
        return ("bool", bool) if plain == {bool} else ("int", int)
    if plain and plain <= {int, float, Decimal}:
        return "float", float
    if plain and all(isinstance(each, type) and issubclass(each, str | Enum) for each in plain):
        return "text", text_cell
    if plain and all(isinstance(each, type) and issubclass(each, BaseException) for each in plain):
        return "text", lambda error: text_cell(f"{type(error).__name__}: {error}")
    if len(members) == 1 and get_origin(members[0]) is tuple and get_args(members[0]) == (str, ...):
        return "text", lambda texts: text_cell("; ".join(texts))
    return None


def _through(outer: Make, inner: Read) -> Read:
    """Reads from what `outer` finds in every row; a cell is None where it finds nothing."""

    def read(rows: Sequence[Any]) -> list[Any]:
        found = list(map(outer, rows))
        if _NOTHING.isdisjoint(map(type, found)):
            return inner(found)
        cells = iter(inner([each for each in found if type(each) not in _NOTHING]))
        return [None if type(each) in _NOTHING else next(cells) for each in found]

    return read


_NOTHING = {NoneType, Missing}


def _made(outer: Make, make: Make) -> Read:
    """Makes a cell of what `outer` finds in every row."""
    return _through(outer, lambda values: list(map(make, values)))


def _either(first: Read, second: Read) -> Read:
    """Reads the second where the first reads nothing."""

    def read(rows: Sequence[Any]) -> list[Any]:
        return [other if one is None else one for one, other in zip(first(rows), second(rows), strict=True)]

    return read


def text_cell(value: Any) -> str:
    """Text that every encoding takes: a lone surrogate becomes a question mark."""
    text = str(value)
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def time_cell(value: Any) -> Time | None:
    """Epoch ms; None for a time that no calendar has, such as the end of what has no end."""
    return int(value) if YEAR_1 <= value < YEAR_10000 else None


def _cell(name: str, kind: FieldType, path: str) -> Field:
    make: dict[FieldType, Make] = {"text": text_cell, "int": int, "float": float, "bool": bool, "time": time_cell}
    return Field(name, kind, _made(attrgetter(path), make[kind]))


def _count(name: str, path: str) -> Field:
    return Field(name, "int", _made(attrgetter(path), len))


_SIGNAL = (
    _cell("signal_id", "text", "id"),
    _cell("position", "text", "position"),
    _cell("price_open", "float", "price_open"),
    _cell("price_take_profit", "float", "price_take_profit"),
    _cell("price_stop_loss", "float", "price_stop_loss"),
    _cell("cost", "float", "cost"),
    _cell("leverage", "float", "leverage"),
    _cell("minute_estimated_time", "int", "minute_estimated_time"),
    _cell("signal_note", "text", "note"),
)
_POSITION = (
    _cell("signal_id", "text", "signal.id"),
    _cell("position", "text", "signal.position"),
    _cell("price_open", "float", "effective_price"),
    _cell("price_take_profit", "float", "price_take_profit"),
    _cell("price_stop_loss", "float", "price_stop_loss"),
    _cell("cost", "float", "invested"),
    _cell("leverage", "float", "signal.leverage"),
    _cell("minute_estimated_time", "int", "signal.minute_estimated_time"),
    _cell("signal_note", "text", "signal.note"),
    _cell("opened_at", "time", "pending_at"),
    _cell("expires_at", "time", "expires_at"),
    _cell("liquidation_price", "float", "liquidation_price"),
    _cell("held_percent", "float", "held_percent"),
    _count("entries", "entries"),
    _count("partials", "exits"),
    _cell("peak_pnl_percent", "float", "peak.percent"),
    _cell("peak_at", "time", "peak.time"),
    _cell("peak_price", "float", "peak.price"),
    _cell("trough_pnl_percent", "float", "trough.percent"),
    _cell("trough_at", "time", "trough.time"),
    _cell("trough_price", "float", "trough.price"),
)
_PROFIT = (
    _cell("pnl_percent", "float", "percent"),
    _cell("pnl_cost", "float", "cost"),
    _cell("price_close", "float", "price_close"),
)
_SAME = {field.name for field in _SIGNAL}

_LAID: dict[type, tuple[Field, ...]] = {Signal: _SIGNAL, Position: _POSITION, Profit: _PROFIT, Terms: ()}
"""Kinds of value whose columns are not simply their fields."""

_INSTEAD: dict[tuple[type, str], tuple[Field, ...]] = {
    (SignalClosed, "alternative"): (_cell("pnl_percent_if_ambiguous", "float", "percent"),),
}
"""Fields that are read otherwise than their kind is."""

_BESIDE: dict[type, tuple[Field, ...]] = {
    Trade: (_cell("duration_minutes", "float", "duration_minutes"),),
    ActivePing: (_cell("pnl_percent", "float", "pnl.percent"), _cell("pnl_cost", "float", "pnl.cost")),
}
"""What a kind of row knows beside its fields."""
