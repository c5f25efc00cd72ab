"""What a system declares, read once for all checks."""

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from holdfast.contract.messages import Event, Message
from holdfast.system.service import Route, Service
from holdfast.system.signature import EMPTY, Signature, message_of, read_signature
from holdfast.system.tables import provided_type
from holdfast.system.uses import Use, uses

PATH_NAME = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""A parameter in the path of a route."""

Kind = Literal["route", "handler", "job", "saga"]


@dataclass(frozen=True, slots=True)
class Declared:
    """One function that a service declares.

    Attributes:
        signature: None if its annotations cannot be read; then `unreadable` says why.
        message: what a handler handles; None for everything else.
        used: what its source sends, raises and reaches.
    """

    service: Service
    kind: Kind
    label: str
    function: Callable[..., object]
    route: Route | None
    signature: Signature | None
    unreadable: str
    message: type[Message] | None
    used: tuple[Use, ...]

    @property
    def place(self) -> str:
        """Where it is: `orders: place_order (file:line)`."""
        return f"{self.service.name}: {self.label} ({where(self.function)})"


@dataclass(frozen=True, slots=True)
class Reading:
    """A whole system as the checks see it.

    Attributes:
        owners: {command, undo or query: the service that handles it}.
        complete: every handler could be read, so that what is missing is truly missing.
    """

    services: tuple[Service, ...]
    functions: tuple[Declared, ...]
    owners: dict[type[Message], Service]
    complete: bool

    def handlers(self) -> Iterator[tuple[Declared, type[Message]]]:
        """Yield each handler with its message."""
        for declared in self.functions:
            if declared.message is not None:
                yield declared, declared.message


def read(services: Sequence[Service]) -> Reading:
    """Read every function of every service."""
    functions = tuple(declared for service in services for declared in _functions(service))
    owners = {
        d.message: d.service
        for d in reversed(functions)  # of two handlers the first is the owner
        if d.message is not None and not issubclass(d.message, Event)
    }
    complete = all(d.signature is not None for d in functions if d.kind == "handler")
    return Reading(tuple(services), functions, owners, complete)


def missing(error: NameError) -> str:
    """Return what to do about a name in an annotation that is not defined where it is read."""
    told = str(error).splitlines()[0]
    return f"{told}; import what they name, outside of `if TYPE_CHECKING`"


def where(function: Callable[..., object]) -> str:
    """Return `file:line` of a function."""
    inner = inspect.unwrap(function)
    try:
        line = inner.__code__.co_firstlineno if inspect.isfunction(inner) else _line_of(inner)
        return f"{inspect.getsourcefile(inner)}:{line}"
    except (OSError, TypeError):
        return getattr(inner, "__qualname__", repr(inner))


def _line_of(other: Callable[..., object]) -> int:
    """Return where a class or a method begins; its lines are read for it, which takes long."""
    return inspect.getsourcelines(other)[1]


def _functions(service: Service) -> Iterator[Declared]:
    provided = frozenset(_provided(service))
    for route in service.routes:
        label = f"{route.method} {route.path}"
        yield _declared(service, "route", label, route.function, provided, route)
    for handler in service.handlers:
        label = handler.function.__name__
        yield _declared(service, "handler", label, handler.function, provided)
    for job in service.jobs:
        yield _declared(service, "job", f"job {job.name}", job.function, provided)
    for saga in service.sagas:
        yield _declared(service, "saga", f"saga {saga.name}", saga.function, provided)


def _provided(service: Service) -> Iterator[object]:
    """Yield what the providers make; those that cannot be read are refused elsewhere."""
    for provider in service.providers:
        try:
            kind = provided_type(provider)
        except (NameError, TypeError):
            continue
        if kind is not EMPTY:
            yield kind


def _declared(
    service: Service,
    kind: Kind,
    label: str,
    function: Callable[..., object],
    provided: frozenset[object],
    route: Route | None = None,
) -> Declared:
    paths = PATH_NAME.findall(route.path) if route is not None else None
    signature, unreadable = None, ""
    try:
        signature = read_signature(function, path_names=paths, provided=provided)
    except NameError as exc:
        unreadable = missing(exc)
    except TypeError as exc:
        unreadable = f"{exc}; write types"
    message = message_of(signature) if signature is not None and kind == "handler" else None
    used = tuple(uses(function))
    return Declared(service, kind, label, function, route, signature, unreadable, message, used)
