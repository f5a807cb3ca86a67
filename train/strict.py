"""Strict dataclasses: values are checked where they are made, and read from mappings without guessing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import typeguard

from preprocess.common.errors import InputError, nearest


def require(holds: bool, name: str, value: object, expected: str) -> None:
    """Check one value of a recipe.

    Raises:
        InputError: it does not hold. The line names the field, its value and what is expected.
    """
    if not holds:
        raise InputError(f"{name} is {value!r}, expected {expected}")


def check_types(value: Any, section: str = "") -> None:
    """Check each field of a dataclass against its annotation, and that numbers are finite.

    Raises:
        InputError: a value of another type, or not among the choices, or not finite.
    """
    kind: type = type(value)
    for name, expected in types_of(kind).items():
        check_type(f"{section}.{name}".lstrip("."), getattr(value, name), expected)


def check_type(name: str, value: Any, expected: Any) -> None:
    """Check one value against an annotation.

    Raises:
        InputError: as `check_types`.
    """
    try:
        typeguard.check_type(value, expected)
    except typeguard.TypeCheckError:
        raise InputError(f"{name} is {value!r}, expected {in_words(expected)}") from None
    numbers = value if isinstance(value, tuple) else (value,)
    finite = all(math.isfinite(number) for number in numbers if isinstance(number, float))
    require(finite, name, value, "a finite number")


def in_words(expected: Any) -> str:
    """An annotation as a user reads it: choices one by one, a type by its name."""
    if get_origin(expected) is Literal:
        return " or ".join(map(str, get_args(expected)))
    if get_origin(expected) is tuple:
        kinds = [getattr(kind, "__name__", "any number of them") for kind in get_args(expected)]
        return f"a list of {', '.join(kinds)}"
    if get_origin(expected) is None:
        return getattr(expected, "__name__", str(expected))
    return " or ".join("null" if kind is type(None) else in_words(kind) for kind in get_args(expected))


@cache
def types_of(kind: type) -> dict[str, Any]:
    """The annotations of a dataclass's fields, by name."""
    return get_type_hints(kind)


def from_mapping(kind: type, value: Any, path: Path) -> Any:
    """Build a dataclass from a mapping that was read from the file `path`, strictly. Lists become tuples.

    Raises:
        InputError: a key is unknown or missing, or a value is of another type or out of range. The line begins with `path`.
    """
    try:
        return build(kind, value)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def build(kind: type, value: Any, section: str = "") -> Any:
    """Build a dataclass, and those in it, from nested mappings; `section` is its name in the whole.

    Raises:
        InputError: as `from_mapping`, without the file.
    """
    types = types_of(kind)
    keys = f"the keys are {', '.join(types)}"
    if not isinstance(value, Mapping):
        raise InputError(f"{section or 'the whole'} is {value!r}, not a mapping: {keys}")
    for key in value:
        if key not in types:
            where = f"{section} has an unknown key" if section else "unknown key"
            raise InputError(f"{where} {key!r}{nearest(str(key), types)} {keys.capitalize()}")
    missing = [f.name for f in fields(kind) if f.name not in value and f.default is f.default_factory is MISSING]
    if missing:
        raise InputError(f"{f'{section}.' if section else ''}{missing[0]} is missing")
    arguments = {}
    for key, item in value.items():
        name = f"{section}.{key}".lstrip(".")
        if is_dataclass(types[key]):
            arguments[key] = build(types[key], item, name)
        else:
            arguments[key] = tuple(item) if isinstance(item, list) else item
            check_type(name, arguments[key], types[key])
    return kind(**arguments)
