"""Of several SLOs the nearest one holds, and each route and saga is in one objective."""

from dataclasses import replace

import pytest

from holdfast import Event, Model, Saga, Service, Slo, System
from holdfast.errors import DeclarationError
from holdfast.system.checks.slos import THRESHOLDS_MAX

OF_SYSTEM, OF_SERVICE, OWN = Slo(latency_ms=1), Slo(latency_ms=2), Slo(latency_ms=3)


class Order(Model):
    """What a saga works on."""


class Shipped(Event, topic="order"):
    """What a saga waits for."""

    order: int


def service(name: str, slo: Slo | None) -> Service:
    """Return a service with a route, a mounted app and a saga, each without and with its own."""
    made = Service(name, slo=slo)

    async def route() -> None: ...

    async def saga(saga: Saga, order: Order) -> None: ...

    async def own(saga: Saga, order: Order) -> None: ...

    async def waits(saga: Saga, order: Order) -> None: ...

    made.get(f"/{name}", public=True)(route)
    made.delete(f"/{name}", public=True, slo=OWN)(route)
    made.mount(f"/{name}/app", object(), public=True)
    made.saga(saga)
    made.saga(slo=OWN)(own)
    made.saga(waits=[Shipped])(waits)
    return made


def test_the_nearest_slo_holds() -> None:
    """That of a route or saga before that of its service, before that of the system."""
    with_one, without = service("with", OF_SERVICE), service("without", None)
    system = System("shop", [with_one, without], slo=OF_SYSTEM)

    routes = [[system.slo_of_route(s, r) for r in s.routes] for s in system.services]
    sagas = [[system.slo_of_saga(s, r) for r in s.sagas] for s in system.services]

    assert routes == [[OF_SERVICE, OWN], [OF_SYSTEM, OWN]]
    assert sagas == [[OF_SERVICE, OWN, OF_SERVICE], [OF_SYSTEM, OWN, OF_SYSTEM]]


def test_each_verb_takes_one() -> None:
    """Whatever the method."""
    made = Service("orders")

    async def route() -> None: ...

    for verb in (made.get, made.post, made.put, made.patch, made.delete):
        verb("/v1/orders", slo=OWN)(route)

    assert [route.slo for route in made.routes] == [OWN] * 5


def test_routes_without_their_own_are_one_objective() -> None:
    """With what is mounted; a saga that waits for somebody has one only if it was written."""
    system = System("shop", [service("orders", OF_SERVICE)], slo=OF_SYSTEM)

    found = [(o.name, o.slo, o.routes, o.saga) for o in system.objectives()]

    assert found == [
        ("orders", OF_SERVICE, (("GET", "/orders"), ("", "/orders/app/")), None),
        ("orders DELETE /orders", OWN, (("DELETE", "/orders"),), None),
        ("orders saga", OF_SERVICE, (), "saga"),
        ("orders own", OWN, (), "own"),
    ]


def test_few_thresholds_are_buckets() -> None:
    """Each is a bucket of every histogram of the system."""
    most = [Service(f"s{n}", slo=replace(OWN, latency_ms=10 + n)) for n in range(THRESHOLDS_MAX)]

    System("shop", most[1:]).check()  # with that of the system itself
    with pytest.raises(DeclarationError, match=r"17 values of latency_ms.* share some"):
        System("shop", most).check()
