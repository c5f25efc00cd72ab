"""What differs between a value that was given and the one that would arrive.

Stricter than `==`: `True` is not `1`, `Decimal("1.10")` not `Decimal("1.1")`, a time of one offset
not the same instant in another, and an object is of the very class that it was; NaN is NaN.
"""

import dataclasses
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import cast
from uuid import UUID

from pydantic import BaseModel

_SHOWN_MAX = 80  # characters of a value in an error
_EXACT = frozenset({str, int, bool, bytes, NoneType, UUID})
"""Two values that are both of one of these very types are the same if `==` says so."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place where two values differ."""

    path: str
    given: object
    arrives: object

    def __str__(self) -> str:
        given, arrives = type(self.given).__name__, type(self.arrives).__name__
        if given == arrives:
            remedy = "declare it with a type that keeps all of it"
        else:
            remedy = f"declare it as {given} alone, or send {_a(arrives)}"
        return (
            f"{self.path} is {_shown(self.given)} ({given}) and would arrive as "
            f"{_shown(self.arrives)} ({arrives}); {remedy}"
        )


def first_difference(given: object, arrives: object, path: str) -> Difference | None:
    """Return the first difference, or None."""
    parts = parts_of(given)
    if parts is None:
        return None if _same(given, arrives) else Difference(path, given, arrives)
    others = parts_of(arrives)
    if type(given) is not type(arrives) or others is None or len(parts) != len(others):
        return Difference(path, given, arrives)
    for (name, one), (other_name, other) in zip(parts, others, strict=True):
        if name is not other_name and not _same(name, other_name):
            return Difference(path, given, arrives)
        if type(one) is type(other) and type(one) in _EXACT and one == other:
            continue  # most parts are such: they are not worth a call
        found = first_difference(one, other, f"{path}.{name}")
        if found is not None:
            return found
    return None


def parts_of(value: object) -> list[tuple[object, object]] | None:
    """Return the parts of a value with their names, in order; None if it has none."""
    if isinstance(value, BaseModel):
        names = type(value).model_fields
        parts: list[tuple[object, object]] = [*zip(names, map(vars(value).get, names), strict=True)]
        parts += (value.__pydantic_extra__ or {}).items()
        parts += (value.__pydantic_private__ or {}).items()
        return parts
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(f.name, getattr(value, f.name, None)) for f in dataclasses.fields(value)]
    if isinstance(value, Mapping):
        return list(value.items())  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # of anything
    if isinstance(value, (list, tuple, deque)):
        return list(enumerate(cast("Iterable[object]", value)))
    return None


def _a(name: str) -> str:
    return f"an {name}" if name[:1].lower() in "aeiou" else f"a {name}"


def _same(given: object, arrives: object) -> bool:
    """Whether two values without parts are the same."""
    if type(given) is not type(arrives) and not _is_but_a_subclass(given, arrives):
        return False
    if isinstance(given, float) and isinstance(arrives, float):
        return repr(float(given)) == repr(float(arrives))  # NaN, and the sign of zero
    if isinstance(given, complex) and isinstance(arrives, complex):
        return repr(complex(given)) == repr(complex(arrives))
    if isinstance(given, Decimal):
        return str(given) == str(arrives)  # all digits
    if isinstance(given, (datetime, time)) and isinstance(arrives, (datetime, time)):
        return (
            given.replace(tzinfo=None) == arrives.replace(tzinfo=None)  # as its clock shows it
            and given.utcoffset() == arrives.utcoffset()
            and (given.tzinfo is None) == (arrives.tzinfo is None)
        )
    return bool(given == arrives)


def _is_but_a_subclass(given: object, arrives: object) -> bool:
    """Whether a scalar is of a class derived from what arrives, as drivers of databases make."""
    if isinstance(given, (bool, Enum)) or isinstance(arrives, (bool, Enum)):
        return False
    if isinstance(given, (set, frozenset)) or isinstance(given, datetime) is not isinstance(
        arrives, datetime
    ):
        return False
    return isinstance(given, type(arrives)) and type(arrives) is not object


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"
