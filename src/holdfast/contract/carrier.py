"""Carriers: how a value of one type travels and is stored, and arrives as it was given.

One for each type, made once. `encode` reads back what it wrote: whoever sends hears of what would
arrive changed, before anything is written. On the wire fields have their names, not their aliases,
which belong to HTTP.
"""

import math
import typing
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Generic, TypeVar

from pydantic import (
    PydanticUserError,
    Secret,
    SecretBytes,
    SecretStr,
    TypeAdapter,
    ValidationError,
)
from pydantic.config import ExtraValues
from pydantic.warnings import UnsupportedFieldAttributeWarning
from pydantic_core import PydanticSerializationError, SchemaSerializer, to_json

from holdfast.contract.difference import first_difference, parts_of
from holdfast.contract.model import WIRE
from holdfast.errors import NotCarried

T = TypeVar("T")
Node = dict[str, Any]

_PLAIN = frozenset(
    {
        *("model", "model-fields", "model-field", "dataclass", "dataclass-args"),
        *("dataclass-field", "definitions", "definition-ref", "default", "nullable", "none"),
        *(
            "str",
            "int",
            "bool",
            "bytes",
            "uuid",
            "date",
            "datetime",
            "timedelta",
            "enum",
            "literal",
        ),
        *("list", "tuple", "dict"),
    }
)
"""Parts of a schema whose values arrive changed only if `==` says so; `1 == True` holds too."""

_NEVER = {
    "callable": "a function does not travel; send what it works on",
    "generator": "what is read once does not travel; declare a list",
    "is-subclass": "a class does not travel; send its name",
}
_NO_SCHEMA = frozenset(
    {"metadata", "function", "default", "expected", "members", "config", "cls", "post_init"}
)


class Carrier(Generic[T]):
    """Writes and reads the values of one type.

    Attributes:
        name: of the type, for errors.
        problems: why no value, or not every field of one, could ever arrive; for `check`.
    """

    __slots__ = ("_plain", "_read", "_serializer", "_validator", "name", "problems")

    def __init__(self, kind: object) -> None:
        adapter = adapter_of(kind)
        self._serializer: SchemaSerializer = adapter.serializer
        self._validator = adapter.validator
        self.name = name_of(kind)
        nodes = list(_nodes(adapter.core_schema, ""))
        self._plain = all(n["type"] in _PLAIN and "serialization" not in n for _, n in nodes)
        keeps = any(_config(node).get("extra_fields_behavior") == "allow" for _, node in nodes)
        # A newer sender's fields are not poison.
        extra: ExtraValues | None = None if keeps else "ignore"
        self._read: Callable[..., T] = partial(
            adapter.validator.validate_json, extra=extra, by_alias=False, by_name=True
        )
        self.problems = tuple(dict.fromkeys(_problems(self.name, nodes)))

    def encode(self, value: T) -> bytes:
        """Return a value as JSON. Raises NotCarried: see `carry`."""
        return self.carry(value)[0]

    def carry(self, value: T) -> tuple[bytes, T]:
        """Return a value as JSON, and as it will be read from that.

        Raises:
            NotCarried: it would not arrive as it is; says which field, and what would come.
        """
        try:
            body = self._serializer.to_json(value, round_trip=True, by_alias=False, warnings=False)
            back = self._read(body)
        except ValidationError as exc:
            first = exc.errors(include_url=False)[0]
            path = _path(self.name, first["loc"])
            raise NotCarried(f"{path}: who gets it would refuse it: {first['msg']}") from exc
        except (PydanticSerializationError, ValueError, TypeError, RecursionError) as exc:
            raise NotCarried(f"{self.name} cannot be written as JSON: {exc}") from exc
        if not (self._plain and value == back):
            changed = first_difference(value, back, self.name)
            if changed is not None:
                raise NotCarried(str(changed))
        return body, back

    def decode(self, body: bytes, *, extra: ExtraValues | None = None) -> T:
        """Return the value. Raises pydantic's ValidationError for what does not fit."""
        return self._read(body) if extra is None else self._read(body, extra=extra)

    def fit(self, value: object) -> T:
        """Return a value as this type. Raises pydantic's ValidationError."""
        fitting: T = self._validator.validate_python(value)
        return fitting


_CARRIERS: dict[object, Carrier[Any]] = {}  # a cache of pure values, one per type in the code


def carrier_of(kind: object) -> Carrier[Any]:
    """Return the (cached) carrier of a type.

    Raises:
        PydanticUserError, NameError: pydantic knows no JSON for it, or a name in it is not defined.
    """
    try:
        found = _CARRIERS.get(kind)
    except TypeError:  # an annotation that cannot be hashed
        return Carrier(kind)
    if found is None:
        found = _CARRIERS[kind] = Carrier(kind)
    return found


def adapter_of(kind: Any) -> TypeAdapter[Any]:
    """Return pydantic's adapter of a type, with the forms of `WIRE`.

    Raises:
        PydanticUserError, NameError: pydantic cannot read it, or a name in it is not defined.
    """
    with warnings.catch_warnings():  # the alias of a parameter is read by others
        warnings.simplefilter("ignore", UnsupportedFieldAttributeWarning)
        try:
            made = TypeAdapter[Any](kind, config=WIRE)
        except PydanticUserError as exc:
            if exc.code != "type-adapter-config-unused":
                raise
            made = TypeAdapter[Any](kind)  # a Model, or what else has its own configuration
        if not made.pydantic_complete:  # put off by pydantic until it is used, which is too late
            made.rebuild(raise_errors=True)
    return made


def name_of(kind: object) -> str:
    """Return how errors call a type."""
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _config(node: Node) -> Node:
    found: Node = node.get("config") or {}
    return found


def _path(name: str, location: tuple[int | str, ...]) -> str:
    return ".".join([name, *(str(part) for part in location)])


def written(value: object) -> bytes:
    """Return what a third party is sent: JSON of a value whose type nobody has declared.

    Nobody reads it back, so that times and Models are welcome; what would be sent as null or as
    asterisks is not.

    Raises:
        NotCarried: it holds a number that JSON has not, or a secret that was not taken out.
    """
    try:
        body = to_json(value, inf_nan_mode="constants")
    except (PydanticSerializationError, ValueError, TypeError, RecursionError) as exc:
        raise NotCarried(f"what is sent cannot be written as JSON: {exc}") from exc
    if b"NaN" in body or b"Infinity" in body or b"*****" in body:
        _refuse_lost(value, "json")
    return body


def _refuse_lost(value: object, path: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise NotCarried(f"{path} is {value}, which JSON has no form for; send a text, or nothing")
    if isinstance(value, (Secret, SecretStr, SecretBytes)):
        raise NotCarried(
            f"{path} is a secret and would be sent as asterisks; send `get_secret_value()` of it"
        )
    for name, part in parts_of(value) or []:
        _refuse_lost(part, f"{path}.{name}")


# -- what a schema says ---------------------------------------------------------------------------


def _nodes(schema: object, path: str) -> Iterator[tuple[str, Node]]:
    """Yield each part of a core schema, with the path of the field that it belongs to."""
    if isinstance(schema, (list, tuple)):
        for one in typing.cast("list[object]", schema):
            yield from _nodes(one, path)
        return
    if not isinstance(schema, dict):
        return
    node = typing.cast("Node", schema)
    if isinstance(node.get("type"), str):
        yield path, node
    if node.get("serialization", {}).get("type") == "function-plain":
        return  # what is below is not asked how it is written
    for key, below in node.items():
        if key == "fields" and isinstance(below, dict):
            for name, field in typing.cast("Node", below).items():
                yield from _nodes(field, f"{path}.{name}")
        elif key == "fields" and node["type"] == "dataclass-args":
            for field in below:
                yield from _nodes(field, f"{path}.{field['name']}")
        elif key != "serialization" and key not in _NO_SCHEMA:
            yield from _nodes(below, path)


def _problems(name: str, nodes: list[tuple[str, Node]]) -> Iterator[str]:
    for path, node in nodes:
        field, kind = f"{name}{path}", node["type"]
        written: Node = node.get("serialization") or {}
        if _is_masked(written):
            yield (
                f"{field} is a secret, which would arrive as asterisks; send a reference to it, or "
                "declare a str (letters are stored as they are)"
            )
        elif kind in _NEVER and not written:
            yield f"{field}: {_NEVER[kind]}"
        elif node.get("serialization_exclude") is True and not _has_default(node):
            yield (
                f"{field} is required and left out (`exclude=True`), so that nobody could read it; "
                "give it a default, or remove exclude"
            )


def _is_masked(written: Node) -> bool:
    """Whether pydantic's own serializer of secrets writes it."""
    function = written.get("function")
    name = getattr(function, "__name__", "")
    return getattr(function, "__module__", "") == "pydantic.types" and "secret" in name


def _has_default(node: Node) -> bool:
    return isinstance(node.get("schema"), dict) and node["schema"].get("type") == "default"


__all__ = ["Carrier", "adapter_of", "carrier_of", "name_of", "written"]
