"""Checks of whether the fields of a declaration hold what their types say."""

import typing
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from reprlib import Repr
from typing import Any

from pydantic import TypeAdapter, ValidationError

from holdfast.system.deploy import Build, Deploy, Environment, Pods

_short = Repr()
_short.maxother = _short.maxstring = 60


def field_problems(made: Build | Deploy | Environment | Pods) -> Iterator[str]:
    """Yield each field whose value is not of its type, with the line of the declaration.

    A type checker would say it; not everybody runs one.
    """
    kinds = typing.get_type_hints(type(made))
    for field in fields(made):
        value: object = getattr(made, field.name)
        try:
            TypeAdapter[Any](kinds[field.name]).validate_python(value, strict=True)
        except ValidationError as exc:
            said = exc.errors(include_url=False, include_input=False)[0]["msg"]
            place = f"{made.at}: {type(made).__name__}({field.name}={_short.repr(value)})"
            yield f"{place}: {said.lower()}{_usual(field)}"


def _usual(field: "Field[Any]") -> str:
    """Return what the default is, if that is one value."""
    return "" if field.default is MISSING else f"; the default is {field.default!r}"
