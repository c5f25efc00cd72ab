"""Finds the members of a body by their names, without reading it as JSON.

To read a body once more, only to see that no member comes twice and no number is infinite, takes
longer than to validate it. Where a type says all the names that may come, and has no number that
could be infinite, it is enough that no name stands in the body twice between quotes. A name that is
spelled with escapes needs a backslash; a body that has one is read. So is one in which a name comes
again with good reason, as in a list of lines.
"""

import re
from collections.abc import Callable

from holdfast.dispatch.digits import Node

_SCALARS = frozenset(
    [
        *("str", "int", "bool", "none", "uuid", "date", "time", "datetime", "timedelta"),
        *("literal", "enum", "url"),
    ]
)
_BEHIND_A_TEXT = (",", ":", "]", "}", " ", "\t", "\n", "\r")
"""What follows a text: from its end to the next one's beginning it would be such a name."""
_INSIDE = {
    "model": "schema",
    "nullable": "schema",
    "default": "schema",
    "model-field": "schema",
    "function-after": "schema",
    "list": "items_schema",
    "set": "items_schema",
}


def members_of(schema: Node) -> Callable[[bytes], list[bytes]] | None:
    """Return what finds each place where a member of a type may be named; None: it must be read."""
    names = _names(schema)
    if not names or any(name.startswith(_BEHIND_A_TEXT) for name in names):
        return None
    quoted = b"|".join(re.escape(name.encode()) for name in sorted(names))
    return re.compile(rb'"(?:%b)"' % quoted).findall


def _names(node: Node) -> set[str] | None:
    """Return the names of all members below a part of a schema; None where they are not known."""
    kind = node["type"]
    if kind in _SCALARS:
        return set()
    if kind == "model-fields":
        found: set[str] = set()
        for name, field in node["fields"].items():
            alias = field.get("validation_alias", name)
            below = _names(field["schema"])
            if below is None or not isinstance(alias, str):
                return None
            found |= below | {name, alias}
        return found
    inside = node.get(_INSIDE.get(kind, ""))
    return None if inside is None else _names(inside)
