"""Tells that no member of a body comes twice, without reading it as JSON.

To read a body once more, only to see that no member comes twice and no number is infinite, takes
longer than to validate it. Where a type says all the names that may come, and has no number that
could be infinite, it is enough to count: a value tells how many members it was made of, and a body
in which no more are named names each of them once. A name that is spelled with escapes needs a
backslash; a body that has one is read.
"""

import re
from collections.abc import Callable, Iterable
from typing import cast

from pydantic import BaseModel

from holdfast.dispatch.digits import Node

Count = Callable[[object], int]
"""Returns how many members of a body a value was made of."""

_SCALARS = frozenset(
    [
        *("str", "int", "bool", "none", "uuid", "date", "time", "datetime", "timedelta"),
        *("literal", "enum", "url"),
    ]
)
_INSIDE = {
    "nullable": "schema",
    "default": "schema",
    "function-after": "schema",
    "list": "items_schema",
    "set": "items_schema",
    "tuple": "items_schema",
}
_NAMED = re.compile(rb'"[^"]*"\s*:').findall


def names_each_once(body: bytes, members: int) -> bool:
    """Say whether a body without backslashes, which named so many members, names no more.

    Behind each name is a colon, and texts may hold more of them. Of what looks like a name some may
    be what stands between two texts, and hide a name behind it, but one each: there are no fewer.
    """
    return body.count(b":") == members or len(_NAMED(body)) == members


def count_of(node: Node) -> Count | None:
    """Return what counts the members of a type's values; None: their bodies must be read."""
    kind = node["type"]
    if kind in _SCALARS:
        return _none
    if kind == "model":
        return _count_of_model(node)
    inside = node.get(_INSIDE.get(kind, ""))
    if kind == "tuple":
        inside = node["items_schema"][0] if len(node["items_schema"]) == 1 else None
    count = None if inside is None else count_of(inside)
    if count is None or count is _none or kind == "default":
        return count
    if kind == "nullable":
        return lambda value: 0 if value is None else count(value)
    if kind == "function-after":  # which may have made anything of it
        return None
    return lambda values: sum(map(count, cast("Iterable[object]", values)))


def _count_of_model(node: Node) -> Count | None:
    if node.get("custom_init") or node.get("post_init"):  # which may set fields that did not come
        return None
    inside = node["schema"]
    if node.get("root_model"):
        of_root = count_of(inside)
        return None if of_root is None else lambda model: of_root(vars(model)["root"])
    if inside["type"] != "model-fields":
        return None
    below: dict[str, Count] = {}
    for name, field in inside["fields"].items():
        alias, count = field.get("validation_alias", name), count_of(field["schema"])
        if count is None or not isinstance(alias, str):
            return None
        if count is not _none:
            below[name] = count

    def count_flat(model: object) -> int:
        assert isinstance(model, BaseModel), "no validator has made anything else of it"
        return len(model.__pydantic_fields_set__)

    def count_all(model: object) -> int:
        assert isinstance(model, BaseModel), "no validator has made anything else of it"
        came, values = model.__pydantic_fields_set__, vars(model)
        inside = sum(count(values[name]) for name, count in below.items() if name in came)
        return len(came) + inside

    return count_all if below else count_flat


def _none(value: object) -> int:
    return 0
