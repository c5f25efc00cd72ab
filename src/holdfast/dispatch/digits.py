"""All digits of a Decimal that a client sends as a JSON number.

Pydantic's parser reads such a number as a float, which keeps sixteen digits and no zeros at the
end. So the numbers that a type takes for decimals are turned into texts, of which it keeps all.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

from holdfast.errors import Invalid

Node = Mapping[str, Any]
Keep = Callable[[object], object]
"""Returns a parsed part of a body with its decimals as texts."""

_INSIDE = ("schema", "json_schema", "strict_schema", "steps")
"""Where parts of a schema that wrap another one hold it; what matters is how JSON is read."""


class Digits(float):
    """A number of a body, and how it was written."""

    text: str

    def __new__(cls, text: str) -> "Digits":
        made = super().__new__(cls, text)
        made.text = text
        return made


def keeps_digits(schema: Node) -> Keep | None:
    """Return what keeps the decimals of a type's values, or None if it has none."""
    keep = _Plans().of(schema)
    if keep is None:
        return None

    def all_of_them(value: object) -> object:
        kept = keep(value)
        _refuse_infinite(kept)
        return kept

    return all_of_them


def _refuse_infinite(value: object) -> None:
    for one in (_members(value) or {}).values():
        _refuse_infinite(one)
    for one in _items(value) or list[object]():
        _refuse_infinite(one)
    if isinstance(value, Digits) and math.isinf(value):
        raise Invalid(f"the number {value.text[:30]} is too large; floats end at 1.8e308")


class _Plans:
    """Reads one core schema. A type that holds itself is looked up when it is met."""

    def __init__(self) -> None:
        self._named: dict[str, Keep | None] = {}

    def of(self, node: Node) -> Keep | None:
        """Return what keeps the decimals below a part of the schema."""
        match node["type"]:
            case "decimal":
                return _text
            case "definitions":
                return self._definitions(node)
            case "definition-ref":
                name = node["schema_ref"]
                return lambda value: (self._named.get(name) or _as_it_is)(value)
            case "model-fields" | "typed-dict" | "dataclass-args":
                return self._fields(node)
            case "list" | "set" | "frozenset" | "generator":
                return _each(self.of(node["items_schema"])) if "items_schema" in node else None
            case "tuple":
                return self._tuple(node)
            case "dict":
                return _values(self.of(node["values_schema"])) if "values_schema" in node else None
            case "union":
                return self._union(node)
            case "tagged-union":
                return self._tagged(node)
            case _:
                return self._wrapped(node)

    def _definitions(self, node: Node) -> Keep | None:
        for one in node["definitions"]:
            self._named[one["ref"]] = self.of(one)
        return self.of(node["schema"])

    def _wrapped(self, node: Node) -> Keep | None:
        for key in _INSIDE:
            inside = node.get(key)
            if key == "steps" and inside:  # a chain: what comes first sees the JSON
                return self.of(inside[0])
            if isinstance(inside, dict):
                return self.of(cast("Node", inside))
        return None

    def _fields(self, node: Node) -> Keep | None:
        fields: Any = node["fields"]
        plans: dict[str, Keep] = {}
        of_dataclass = node["type"] == "dataclass-args"
        named: Any = [(f["name"], f) for f in fields] if of_dataclass else fields.items()
        for name, field in cast("list[tuple[str, Node]]", named):
            keep = self.of(field["schema"])
            if keep is not None:
                for called in _names(name, field):
                    plans[called] = keep
        if not plans:
            return None

        def fields_of(value: object) -> object:
            members = _members(value)
            if members is None:
                return value
            return {k: plans[k](v) if k in plans else v for k, v in members.items()}

        return fields_of

    def _tuple(self, node: Node) -> Keep | None:
        plans = [self.of(one) for one in node["items_schema"]]
        rest = node.get("variadic_item_index")
        if all(plan is None for plan in plans):
            return None

        def items_of(value: object) -> object:
            items = _items(value)
            if items is None:
                return value
            last = len(plans) - 1 if rest is None else rest
            at = [plans[min(number, last)] for number in range(len(items))]
            return [plan(one) if plan else one for plan, one in zip(at, items, strict=True)]

        return items_of

    def _union(self, node: Node) -> Keep | None:
        """A number that a float or anything may take as well stays a number."""
        given: list[Any] = node["choices"]
        choices: list[Node] = [cast("Any", c)[0] if isinstance(c, tuple) else c for c in given]
        kinds = {one["type"] for one in choices}
        if kinds & {"float", "any"}:
            choices = [one for one in choices if one["type"] != "decimal"]
        return _in_turn([keep for one in choices if (keep := self.of(one)) is not None])

    def _tagged(self, node: Node) -> Keep | None:
        plans = {tag: self.of(one) for tag, one in node["choices"].items()}
        key = node["discriminator"]
        if all(plan is None for plan in plans.values()):
            return None
        if not isinstance(key, str):
            return _in_turn([plan for plan in plans.values() if plan is not None])

        def chosen(value: object) -> object:
            tag = (_members(value) or {}).get(key)
            keep = plans.get(tag) if isinstance(tag, (str, int)) else None
            return keep(value) if keep else value

        return chosen


def _names(name: str, field: Node) -> list[str]:
    """Return how a client may call a field; a path into it is read as its first name."""
    alias = field.get("validation_alias")
    if alias is None:
        return [name]
    if isinstance(alias, str):
        return [alias, name]
    paths: list[Any] = alias
    firsts: list[Any] = [cast("Any", path)[0] if isinstance(path, list) else path for path in paths]
    return [name, *(one for one in firsts if isinstance(one, str))]


def _text(value: object) -> object:
    return value.text if isinstance(value, Digits) else value


def _as_it_is(value: object) -> object:
    return value


def _members(value: object) -> dict[str, object] | None:
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def _items(value: object) -> list[object] | None:
    return cast("list[object]", value) if isinstance(value, list) else None


def _each(keep: Keep | None) -> Keep | None:
    if keep is None:
        return None

    def each(value: object) -> object:
        items = _items(value)
        return value if items is None else [keep(one) for one in items]

    return each


def _values(keep: Keep | None) -> Keep | None:
    if keep is None:
        return None

    def values(value: object) -> object:
        members = _members(value)
        return value if members is None else {k: keep(v) for k, v in members.items()}

    return values


def _in_turn(plans: list[Keep]) -> Keep | None:
    if not plans:
        return None

    def all_of_them(value: object) -> object:
        for keep in plans:
            value = keep(value)
        return value

    return all_of_them
