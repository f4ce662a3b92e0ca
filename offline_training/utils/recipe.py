"""Recipes as dataclasses: TOML data is read with the types, ranges and meanings that the classes declare.

A field of a recipe's class is annotated with a ``Key``::

    steps: Annotated[int, Key("Optimiser steps of the run.", least=1)] = 20_000

``read`` turns plain data into the class and says in one sentence what is wrong with it; ``rows`` lists every
key for the documentation.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from offline_training.utils.recipe_files import word_list

T = TypeVar("T")
NEAREST = 3  # right keys that are named beside a wrong one
NUMBERS = {2: "two", 3: "three", 4: "four"}


class RecipeError(ValueError):
    """A recipe has a key or a value that it cannot have; the message says in one sentence what is right."""


@dataclass(frozen=True)
class Key:
    """What a key of a recipe means and which values it takes.

    Attributes:
        meaning: A sentence for the documentation.
        least: The smallest number allowed; of a list, for each of its numbers.
        most: The largest number allowed.
        choices: The texts allowed, where not all are.
        table: Of a plain table whose defaults depend on others: the class that its keys must fit.
        named: A text is the name of a list of words that ships (``recipes/lexicon``).
        earlier: The name that the key had before; recipes and checkpoints may still say it.
    """

    meaning: str
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    table: type | None = None
    named: bool = False
    earlier: str | None = None


def share(meaning: str) -> Key:
    """A key whose numbers are shares or probabilities."""
    return Key(meaning, least=0, most=1)


class Setting(NamedTuple):
    """A key as its class declares it."""

    name: str
    type: Any
    key: Key
    default: Any  # MISSING: must be given


class Row(NamedTuple):
    """A line of the documentation."""

    table: str
    name: str
    values: str
    default: str
    meaning: str


def settings(kind: type) -> dict[str, Setting]:
    """The keys of a recipe's class by name."""
    hints = get_type_hints(kind, include_extras=True)
    found: dict[str, Setting] = {}
    for field in fields(kind):
        hint, key = hints[field.name], Key("")
        if get_origin(hint) is Annotated:
            hint, key = get_args(hint)[:2]
        default = field.default if field.default_factory is MISSING else field.default_factory()
        found[field.name] = Setting(field.name, hint, key, default)
    return found


def read(kind: type[T], plain: Mapping[str, Any], table: str = "", root: type | None = None) -> T:
    """Plain data as an instance of a recipe's class.

    Args:
        kind: A dataclass whose fields are annotated with ``Key``.
        plain: The data, as TOML or JSON has it.
        table: The dotted name of the table that it stands in; empty at the top.
        root: The class of the whole recipe, to say where a misplaced key belongs (None: ``kind``).

    Raises:
        RecipeError: A key is unknown or missing, or stands there by two names; a value has the wrong type or
            is out of range.
    """
    known = settings(kind)
    root = root or kind
    plain = modern(kind, plain, table)
    for name in plain:
        if name not in known:
            raise RecipeError(_unknown(name, list(known), table, root))
    values = {name: _value(known[name], value, table, root) for name, value in plain.items()}
    if missing := [s.name for s in known.values() if s.default is MISSING and s.name not in plain]:
        raise RecipeError(f"{_place(table)} lacks the key {missing[0]}")
    try:
        return kind(**values)
    except RecipeError:
        raise
    except ValueError as e:
        raise RecipeError(f"{_place(table)}: {e}") from e


def as_json(recipe: Any) -> dict[str, Any]:
    """A recipe's dataclass as plain data, with lists for tuples: as JSON gives it back."""
    return json.loads(json.dumps(asdict(recipe)))  # type: ignore[no-any-return]


def modern(kind: type, plain: Mapping[str, Any], table: str = "") -> dict[str, Any]:
    """A recipe's plain data with today's names of its own keys, those of its tables left as they are.

    Raises:
        RecipeError: A key stands there by both of its names.
    """
    named = {s.key.earlier: s.name for s in settings(kind).values() if s.key.earlier is not None}
    if twice := [name for name in plain if named.get(name) in plain]:
        raise RecipeError(f"{_place(table)} has {named[twice[0]]!r} twice, once as {twice[0]!r}")
    return {named.get(name, name): value for name, value in plain.items()}


def rows(kind: type, table: str = "") -> Iterator[Row]:
    """Every key of a recipe's class and of its tables, those of a table after its parent's own."""
    inner: list[tuple[type, str]] = []
    for setting in settings(kind).values():
        part = _table_class(setting)
        if part is None:
            yield Row(table, setting.name, expected(setting), _shown(setting.default), setting.key.meaning)
        else:
            inner.append((part, f"{table}.{setting.name}" if table else setting.name))
    for part, name in inner:
        yield from rows(part, name)


def expected(setting: Setting) -> str:
    """The values that a key takes, in words."""
    words = _words(setting.type, setting.key)
    return f"{words}, or the name of a list of words" if setting.key.named else words


def _place(table: str) -> str:
    return f"[{table}]" if table else "the recipe"


def _unknown(name: str, known: list[str], table: str, root: type) -> str:
    """The sentence about a key that does not exist."""
    said = f"{_place(table)} has no key {name!r}"
    near = difflib.get_close_matches(name, known, NEAREST)
    elsewhere = [row.table for row in rows(root) if row.name == name and row.table != table]
    if elsewhere:
        return f"{said}; it belongs in {_place(elsewhere[0])}"
    if near:
        return f"{said}; did you mean {' or '.join(near)}?"
    others = {row.name: row.table for row in reversed([*rows(root)])}  # of several tables the first
    if near := difflib.get_close_matches(name, others, 1):
        return f"{said}; did you mean {near[0]} of {_place(others[near[0]])}?"
    return f"{said}; its keys are {', '.join(known)}"


def _value(setting: Setting, value: Any, table: str, root: type) -> Any:
    """A key's value in its declared type; raises RecipeError."""
    inner = f"{table}.{setting.name}" if table else setting.name
    kind = _table_class(setting)
    if value is None and NoneType in get_args(setting.type):
        return None
    if kind is not None:
        many = get_origin(setting.type) is tuple
        if many and isinstance(value, (list, tuple)) and all(isinstance(entry, Mapping) for entry in value):
            return tuple(read(kind, entry, inner, root) for entry in value)
        if many or not isinstance(value, Mapping):
            right = f"tables [[{inner}]]" if many else f"a table [{inner}]"
            raise RecipeError(f"{setting.name} in {_place(table)} is {_told(value)}; give {right}")
        made: Any = read(kind, value, inner, root)
        return dict(value) if setting.key.table is not None else made
    try:
        if setting.key.named and isinstance(value, str):
            return word_list(value)
        return _converted(setting.type, value, setting.key)
    except (TypeError, ValueError) as e:
        reason = f" ({e})" if str(e) else ""
        raise RecipeError(
            f"{setting.name} in {_place(table)} is {_told(value)}; give {expected(setting)}{reason}"
        ) from e


def _table_class(setting: Setting) -> type | None:
    """The class of a key that is a table or a list of tables."""
    if setting.key.table is not None:
        return setting.key.table
    for kind in (_plain_type(setting.type), *get_args(setting.type)):
        if isinstance(kind, type) and is_dataclass(kind):
            return kind
    return None


def _plain_type(kind: Any) -> Any:
    """X of ``X | None``, else the type itself."""
    if get_origin(kind) in (Union, UnionType):
        return next(arg for arg in get_args(kind) if arg is not NoneType)
    return kind


def _converted(kind: Any, value: Any, key: Key) -> Any:
    """A value in a declared type; raises TypeError or ValueError where it does not fit."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _converted(_plain_type(kind), value, key)
    if origin is Literal:
        return value if value in arguments else _refuse()
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            _refuse()
        if arguments[-1] is Ellipsis:
            return tuple(_converted(arguments[0], entry, key) for entry in value)
        if len(value) != len(arguments):
            _refuse()
        return tuple(_converted(part, entry, key) for part, entry in zip(arguments, value, strict=True))
    if origin is dict:
        if not isinstance(value, Mapping):
            _refuse()
        return {name: _converted(arguments[1], entry, key) for name, entry in value.items()}
    if kind is Any:
        return value
    if kind in (int, float):
        return _number(kind, value, key)
    if key.choices and value not in key.choices:
        _refuse()
    return value if isinstance(value, kind) else _refuse()


def _number(kind: type, value: Any, key: Key) -> Any:
    if isinstance(value, bool) or not isinstance(value, int if kind is int else (int, float)):
        _refuse()
    if not math.isfinite(value):
        _refuse()
    if (key.least is not None and value < key.least) or (key.most is not None and value > key.most):
        _refuse()
    return kind(value)


def _refuse() -> Any:
    raise TypeError


def _words(kind: Any, key: Key, many: bool = False) -> str:
    """A type and its range in words."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _words(_plain_type(kind), key, many)
    if origin is Literal or key.choices:
        return "one of " + ", ".join(map(str, key.choices or arguments))
    if origin is tuple and arguments[-1] is Ellipsis:
        return f"a list of {_words(arguments[0], key, True)}"
    if origin is tuple:
        return f"a list of {NUMBERS[len(arguments)]} {_words(arguments[0], key, True)}"
    if origin is dict:
        return f"a table of {_words(arguments[1], key, True)}"
    if kind in (int, float):
        noun = "whole number" if kind is int else "number"
        return (f"{noun}s" if many else f"a {noun}") + _range(key)
    names = {bool: ("true or false", "true or false"), str: ("a text", "texts"), Any: ("a value", "values")}
    return names[kind][many]


def _range(key: Key) -> str:
    if key.least is not None and key.most is not None:
        return f" from {key.least:g} to {key.most:g}"
    if key.least is not None:
        return f" of at least {key.least:g}"
    return f" of at most {key.most:g}" if key.most is not None else ""


def _told(value: Any) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)


def _shown(default: Any) -> str:
    """A default as TOML has it."""
    if default is MISSING:
        return "required"
    return "unset" if default is None else _told(default)
