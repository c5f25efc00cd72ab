"""Shapes of types: what is read from one text, from several, or from a body."""

import collections
import dataclasses
import types
import typing
from collections import abc
from typing import Annotated

import typing_extensions
from pydantic import BaseModel

LISTS: frozenset[object] = frozenset(
    {
        *(list, set, frozenset, tuple, collections.deque),
        *(abc.Sequence, abc.MutableSequence, abc.Set, abc.MutableSet, abc.Collection),
    }
)
"""Types of several values of one kind, as `typing.get_origin` names them."""


def is_list(annotation: object) -> bool:
    """Whether a parameter takes all values of its name: `list[str]`, `set[int] | None`."""
    annotation = _inner(annotation)
    if _is_union(annotation):
        return any(is_list(one) for one in typing.get_args(annotation))
    return (typing.get_origin(annotation) or annotation) in LISTS


def is_structured(annotation: object) -> bool:
    """Whether a type is read from a body, since no single text holds it.

    Models, dataclasses and dictionaries, unions with one of them, and lists of what is structured
    or a list itself.
    """
    annotation = _inner(annotation)
    if _is_union(annotation):
        return any(is_structured(one) for one in typing.get_args(annotation))
    if is_list(annotation):
        items = [one for one in typing.get_args(annotation) if one is not ...]
        return any(is_structured(one) or is_list(one) for one in items)
    kind: object = typing.get_origin(annotation) or annotation
    return (
        dataclasses.is_dataclass(kind)
        or (isinstance(kind, type) and issubclass(kind, (BaseModel, abc.Mapping, tuple)))
        or typing_extensions.is_typeddict(kind)  # pyright: ignore[reportUnknownArgumentType]  # of anything
    )


def _inner(annotation: object) -> object:
    """Return a type without Annotated, and what a NewType stands for."""
    while True:
        if typing.get_origin(annotation) is Annotated:
            annotation = typing.get_args(annotation)[0]
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        else:
            return annotation


def _is_union(annotation: object) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)
