"""The objectives of a system: which SLO holds for which routes and sagas."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from holdfast.system.service import Route, SagaDeclaration, Service
from holdfast.system.slo import Slo

MOUNT_METHOD = ""
"""Stands for every method of a mounted app."""


@dataclass(frozen=True, slots=True)
class Objective:
    """One SLO and what it is about: routes of one service, or one saga.

    Attributes:
        name: `orders` for all routes of a service that have no SLO of their own, `orders POST
            /v1/orders` for one that has, `orders checkout` for a saga.
        routes: (method, `http_route`) of each; an empty method is any.
    """

    name: str
    service: str
    slo: Slo
    routes: tuple[tuple[str, str], ...] = ()
    saga: str | None = None


def slo_of_route(system_slo: Slo, service: Service, route: Route) -> Slo:
    """Return the nearest SLO of a route."""
    return route.slo or service.slo or system_slo


def slo_of_saga(system_slo: Slo, service: Service, saga: SagaDeclaration) -> Slo:
    """Return the nearest SLO of a saga."""
    return saga.slo or service.slo or system_slo


def objectives_of(system_slo: Slo, services: Sequence[Service]) -> tuple[Objective, ...]:
    """Return every objective of a system, in the order of its services.

    A saga that waits for events ends when somebody outside lets it: it has an objective if an
    SLO was written for it, and not by what its service promises of others.
    """
    return tuple(
        objective
        for service in services
        for objective in (*_of_routes(system_slo, service), *_of_sagas(system_slo, service))
    )


def _of_routes(system_slo: Slo, service: Service) -> Iterator[Objective]:
    shared = [(r.method, r.path) for r in service.routes if r.slo is None]
    shared += [(MOUNT_METHOD, f"{mount.path}/") for mount in service.mounts]
    if shared:
        yield Objective(service.name, service.name, service.slo or system_slo, tuple(shared))
    for route in service.routes:
        if route.slo is not None:
            name = f"{service.name} {route.method} {route.path}"
            yield Objective(name, service.name, route.slo, ((route.method, route.path),))


def _of_sagas(system_slo: Slo, service: Service) -> Iterator[Objective]:
    for saga in service.sagas:
        if saga.slo is not None or not saga.waits:
            slo = slo_of_saga(system_slo, service, saga)
            yield Objective(f"{service.name} {saga.name}", service.name, slo, saga=saga.name)
