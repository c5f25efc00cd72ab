"""Which routes have a straight way, and how each of them is made."""

from collections.abc import Awaitable, Callable

from msgspec.structs import asdict

from holdfast.contract.http import Request, Response
from holdfast.dispatch.inner_door import InnerDoor
from holdfast.dispatch.inputs import answer_model
from holdfast.dispatch.router import Serve, Target
from holdfast.dispatch.routes import CompiledRoute
from holdfast.errors import UnknownName
from holdfast.gateway import Door
from holdfast.ports import Limits
from holdfast.resilience import MemoryLimits
from holdfast.straight.specialise import Arguments, source, specialise
from holdfast.straight.template import DoorFlags, RouteFlags, straight_door, straight_route
from holdfast.system import Gateway, System
from holdfast.system.checks import PATH_NAME
from holdfast.system.service import Route
from holdfast.system.signature import Signature, Source, read_signature
from holdfast.system.tables import provided_types

METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
_FIELDS = frozenset({Source.PATH, Source.QUERY, Source.HEADER})
_EXPRESSIONS = {
    Source.CALLER: "caller",
    Source.READ: "read",
    Source.OUTSIDE: "outside",
    Source.BODY: "body",
}


def straighten(door: Door | InnerDoor, method: str, target: Target, limits: Limits) -> None:
    """Give a route its straight way: through the door, and through itself if it is of this process.

    At a gateway it goes the long way on where limits are asked for over a network, which costs more
    than all the rest. An inner door has next to nothing to ask; there it is the route alone.
    """
    if method not in METHODS:
        return
    if isinstance(door, InnerDoor):
        _when_asked(door.straight, target, lambda: _within(target))
    elif isinstance(limits, MemoryLimits):
        _when_asked(door.straight, target, lambda: _behind(door, method, target, limits))


def _behind(door: Door, method: str, target: Target, limits: MemoryLimits) -> Serve:
    route = target.serve
    whole = not isinstance(route, CompiledRoute) or _looks(route.signature)
    spans = door.requests.records
    flags = door_flags(door.admission.gateway, public=target.public, spans=spans, whole=whole)
    made = specialise(straight_door, asdict(flags))
    return made(door, target, method, _within(target), limits, flags)


def _within(target: Target) -> Serve:
    route = target.serve
    if not isinstance(route, CompiledRoute):
        return route
    flags = route_flags(route.route, route.signature, spans=route.operation.records)
    return specialise(straight_route, asdict(flags), _arguments(route.signature))(route, flags)


def _when_asked(straight: dict[Target, Serve], target: Target, make: Callable[[], Serve]) -> None:
    """Have a straight way made for the first request; it takes some milliseconds."""

    def first(request: Request, path: dict[str, str]) -> Awaitable[Response]:
        serve = straight[target] = make()
        return serve(request, path)

    straight[target] = first


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
    at_door = door_flags(system.gateway, public=route.public, spans=False, whole=_looks(signature))
    in_route = route_flags(route, signature, spans=False)
    pieces = (
        source(straight_door, asdict(at_door)),
        source(straight_route, asdict(in_route), _arguments(signature)),
    )
    return "\n\n\n".join(pieces)


def door_flags(gateway: Gateway, *, public: bool, spans: bool, whole: bool) -> DoorFlags:
    """Return what is known of a gateway and a route behind it, before any request."""
    return DoorFlags(
        proxied=bool(gateway.trusted_proxies),
        cors=gateway.cors is not None,
        by_address=gateway.per_address is not None,
        by_caller=gateway.per_caller is not None and not public,
        spans=spans,
        public=public,
        whole=whole,
    )


def route_flags(route: Route, signature: Signature, *, spans: bool) -> RouteFlags:
    """Return what is known of a route before any request."""
    takes = _takes(signature)
    return RouteFlags(
        public=route.public,
        scoped=route.scope is not None,
        spans=spans,
        attempts=route.attempts is not None,
        writes=Source.TX in takes,
        fields=bool(takes & _FIELDS),
        body=Source.BODY in takes,
        reads=Source.READ in takes,
        outside=Source.OUTSIDE in takes,
        tells=answer_model(signature.returns) is None,
    )


def _takes(signature: Signature) -> set[Source]:
    return {parameter.source for parameter in signature.parameters}


def _looks(signature: Signature) -> bool:
    """Say whether a route looks at the headers or the cause of a request."""
    return bool(_takes(signature) & {Source.HEADER, Source.TX})


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
