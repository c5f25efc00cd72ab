"""What a function takes and returns, read from its annotations."""

import copy
import functools
import inspect
import typing
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, TypeVar

from pydantic.fields import FieldInfo

from holdfast.contract.messages import Message
from holdfast.contract.model import Model
from holdfast.system.parameters import Caller, Outside, Read, Saga, Tx
from holdfast.system.settings import Settings
from holdfast.system.shapes import is_structured

M = TypeVar("M")
EMPTY: object = inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class Header:
    """Marks a parameter as an HTTP header: `Annotated[str | None, Header()] = None`.

    Attributes:
        alias: the header's name. None: the parameter's, with `_` as `-`.
    """

    alias: str | None = None


class Source(Enum):
    """Where the value of a parameter comes from."""

    TX = "tx"
    READ = "read"
    OUTSIDE = "outside"
    SAGA = "saga"
    CALLER = "caller"
    MESSAGE = "message"
    SETTINGS = "settings"
    PROVIDED = "provided"
    BODY = "body"
    PATH = "path"
    QUERY = "query"
    HEADER = "header"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter.

    Attributes:
        kind: its annotation without Annotated and without `| None`.
        default: EMPTY if there is none, or a factory makes it.
        factory: makes the default, for each request anew.
        field: the `Field(…)` that it is annotated with, or None.
    """

    name: str
    annotation: object
    kind: Any
    source: Source
    default: object = EMPTY
    alias: str = ""
    factory: Callable[[], object] | None = None
    field: FieldInfo | None = None

    @property
    def required(self) -> bool:
        """Whether nothing is there in its place."""
        return self.default is EMPTY and self.factory is None

    def made_default(self) -> object:
        """Return its default; one that could be changed is copied."""
        return copy.deepcopy(self.default) if self.factory is None else self.factory()


@dataclass(frozen=True, slots=True, eq=False)
class Signature:
    """A function's parameters in order, and what it returns. Each is equal to itself alone."""

    parameters: tuple[Parameter, ...]
    returns: object

    def of(self, source: Source) -> list[Parameter]:
        """Return the parameters that come from `source`."""
        return [p for p in self.parameters if p.source is source]


INJECTED: dict[object, Source] = {
    Tx: Source.TX,
    Read: Source.READ,
    Outside: Source.OUTSIDE,
    Saga: Source.SAGA,
    Caller: Source.CALLER,
}


def bare(annotation: object) -> object:
    """Return a type without Annotated and without `| None`."""
    if typing.get_origin(annotation) is Annotated:
        annotation = typing.get_args(annotation)[0]
    options = [a for a in typing.get_args(annotation) if a is not type(None)]
    origin = typing.get_origin(annotation)
    if len(options) == 1 and origin is not None and "Union" in str(origin):
        return options[0]
    return annotation


def _is(kind: object, base: type) -> bool:
    return isinstance(kind, type) and issubclass(kind, base)


def _marker(annotation: object, marker: type[M]) -> M | None:
    if typing.get_origin(annotation) is Annotated:
        for extra in typing.get_args(annotation)[1:]:
            if extra is marker:
                return marker()
            if isinstance(extra, marker):
                return extra
    return None


def read_signature(
    function: Callable[..., object],
    *,
    path_names: Collection[str] | None = None,
    provided: Collection[object] = (),
) -> Signature:
    """Read a function's signature.

    Args:
        path_names: the names in the route's path; None for functions that are not routes.
        provided: the types that the service's providers make.
    Raises:
        NameError, TypeError: an annotation cannot be resolved.
    """
    names = None if path_names is None else tuple(path_names)
    try:
        return _read(function, names, tuple(provided))
    except TypeError:  # one of them cannot be hashed, or an annotation cannot be resolved
        return _read.__wrapped__(function, names, tuple(provided))


@functools.lru_cache(maxsize=4_096)
def _read(
    function: Callable[..., object],
    path_names: Collection[str] | None,
    provided: Collection[object],
) -> Signature:
    hints = typing.get_type_hints(function, include_extras=True)
    parameters: list[Parameter] = []
    for name, parameter in inspect.signature(function).parameters.items():
        parameters.append(
            _parameter(name, hints.get(name, EMPTY), parameter.default, path_names, provided)
        )
    return Signature(tuple(parameters), hints.get("return", EMPTY))


def _parameter(
    name: str,
    annotation: object,
    default: object,
    path_names: Collection[str] | None,
    provided: Collection[object],
) -> Parameter:
    field: FieldInfo | None
    factory: Any = None
    if isinstance(default, FieldInfo):  # `limit: int = Field(10, le=100)`
        field, annotation, default = default, Annotated[annotation, default], EMPTY
    else:
        field = _marker(annotation, FieldInfo)
    if field is not None and default is EMPTY:
        factory = field.default_factory
        if factory is None and not field.is_required():
            default = field.default
    kind = bare(annotation)
    source = _source(name, annotation, kind, path_names, provided)
    header = _marker(annotation, Header)
    alias = (header.alias if header else None) or (_alias_of(field) if field else None) or name
    if source is Source.HEADER and header is not None and header.alias is None:
        alias = name.replace("_", "-")
    return Parameter(name, annotation, kind, source, default, alias, factory, field)


def _alias_of(field: FieldInfo) -> str | None:
    return field.validation_alias if isinstance(field.validation_alias, str) else field.alias


def _source(
    name: str,
    annotation: object,
    kind: object,
    path_names: Collection[str] | None,
    provided: Collection[object],
) -> Source:
    if annotation is EMPTY:
        return Source.UNKNOWN
    try:
        if kind in INJECTED:
            return INJECTED[kind]
        if kind in provided:
            return Source.PROVIDED
    except TypeError:  # an unhashable annotation is none of ours
        pass
    if _is(kind, Settings):
        return Source.SETTINGS
    if _is(kind, Message):
        return Source.MESSAGE
    if path_names is None:
        return Source.BODY if _is(kind, Model) else Source.UNKNOWN
    if _marker(annotation, Header):
        return Source.HEADER
    if name in path_names:
        return Source.PATH
    return Source.BODY if name == "body" or is_structured(annotation) else Source.QUERY


def message_of(signature: Signature) -> type[Message] | None:
    """Return the message that a handler handles: its first Message parameter."""
    for parameter in signature.of(Source.MESSAGE):
        kind: type[Message] = parameter.kind
        return kind
    return None
