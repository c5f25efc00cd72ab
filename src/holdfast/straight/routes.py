"""Which routes have a straight way, and how each of them is made."""

from collections.abc import Awaitable, Callable

from msgspec.structs import asdict

from holdfast.contract.http import Request, Response
from holdfast.dispatch.inputs import answer_model
from holdfast.dispatch.router import Serve, Target
from holdfast.dispatch.routes import CompiledRoute
from holdfast.errors import UnknownName
from holdfast.gateway import Door
from holdfast.ports import Limits
from holdfast.resilience import MemoryLimits
from holdfast.straight.specialise import Arguments, source, specialise
from holdfast.straight.template import Flags, straight, through
from holdfast.system import Gateway, System
from holdfast.system.checks import PATH_NAME
from holdfast.system.service import Route
from holdfast.system.signature import Signature, Source, read_signature
from holdfast.system.tables import provided_types

METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
_FIELDS = frozenset({Source.PATH, Source.QUERY, Source.HEADER})
_OF_HANDLERS = (
    *("scoped", "attempts", "writes", "fields", "body", "reads", "outside", "sent", "tells"),
)
_EXPRESSIONS = {
    Source.CALLER: "caller",
    Source.READ: "read",
    Source.OUTSIDE: "outside",
    Source.BODY: "body",
}


def straighten(door: Door, target: Target, route: CompiledRoute, limits: Limits) -> None:
    """Give a route of this process its straight way.

    It goes the long way on where its limits are asked for over a network, which costs more than
    all the rest.
    """
    if route.route.method not in METHODS or not isinstance(limits, MemoryLimits):
        return
    gateway, spans = door.admission.gateway, door.requests.records
    flags = flags_of(gateway, route.route, route.signature, spans=spans)
    arguments = _arguments(route.signature)

    def make() -> Serve:
        return specialise(straight, asdict(flags), arguments)(door, route, limits, flags)

    _when_asked(door, target, make)


def straighten_through(door: Door, method: str, target: Target, limits: Limits) -> None:
    """Give a route of another process its straight way through the door."""
    if method not in METHODS or not isinstance(limits, MemoryLimits):
        return
    gateway = door.admission.gateway
    flags = Flags(
        **_at_door(gateway, public=target.public),
        spans=door.requests.records,
        **dict.fromkeys(_OF_HANDLERS, False),
    )

    def make() -> Serve:
        return specialise(through, asdict(flags), ())(door, target, method, limits, flags)

    _when_asked(door, target, make)


def _when_asked(door: Door, target: Target, make: Callable[[], Serve]) -> None:
    """Have a straight way made for the first request; it takes some milliseconds."""

    def first(request: Request, path: dict[str, str]) -> Awaitable[Response]:
        serve = door.straight[target] = make()
        return serve(request, path)

    door.straight[target] = first


def source_of(system: System, name: str) -> str:
    """Return the straight way of a route as Python, for a process that records no spans.

    Args:
        name: method and path, such as `POST /v1/orders`.
    Raises:
        UnknownName: there is no such route, or it always goes the long way.
    """
    known = {
        f"{route.method} {route.path}": (service, route)
        for service in system.services
        for route in service.routes
        if route.method in METHODS
    }
    if name not in known:
        routes = ", ".join(sorted(known)) or "none"
        raise UnknownName(f"{name!r} is no route with a straight way; there are: {routes}")
    service, route = known[name]
    signature = read_signature(
        route.function,
        path_names=PATH_NAME.findall(route.path),
        provided=provided_types(service),
    )
    flags = flags_of(system.gateway, route, signature, spans=False)
    return source(straight, asdict(flags), _arguments(signature))


def flags_of(gateway: Gateway, route: Route, signature: Signature, *, spans: bool) -> Flags:
    """Return what is known of a route before any request."""
    takes = {parameter.source for parameter in signature.parameters}
    return Flags(
        **_at_door(gateway, public=route.public),
        spans=spans,
        scoped=route.scope is not None,
        attempts=route.attempts is not None,
        writes=Source.TX in takes,
        fields=bool(takes & _FIELDS),
        body=Source.BODY in takes,
        reads=Source.READ in takes,
        outside=Source.OUTSIDE in takes,
        sent=Source.HEADER in takes,
        tells=answer_model(signature.returns) is None,
    )


def _at_door(gateway: Gateway, *, public: bool) -> dict[str, bool]:
    return {
        "proxied": bool(gateway.trusted_proxies),
        "cors": gateway.cors is not None,
        "public": public,
        "by_address": gateway.per_address is not None,
        "by_caller": gateway.per_caller is not None and not public,
    }


def _arguments(signature: Signature) -> Arguments:
    """Return an expression for each parameter of a handler that only reads."""
    found: dict[str, str] = {}
    for parameter in signature.parameters:
        name, of = parameter.name, parameter.source
        if of in _FIELDS:
            found[name] = f"values[{name!r}]"
        else:
            found[name] = _EXPRESSIONS.get(of, f"route.getters[{name!r}](NO_WORK)")
    return tuple(found.items())
