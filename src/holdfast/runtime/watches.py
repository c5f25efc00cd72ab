"""What of a process is shown in its metrics and its health, and is there from the start."""

import functools
from collections.abc import Sequence

from holdfast.dispatch.host import ServiceHost
from holdfast.observability import CALL_ERRORS, SERVED_ERRORS, Health, Metrics, catalogue
from holdfast.ports import Broker
from holdfast.resilience import Room
from holdfast.runtime.externals import Externals
from holdfast.runtime.stand_in import StandIn
from holdfast.system import System


def watch_room(metrics: Metrics, name: str, room: Room) -> None:
    """Show how full a room of blocking functions is."""
    metrics.watch(catalogue.POOL_RUNNING, lambda: room.stats().under_way, pool=name)
    metrics.watch(catalogue.POOL_WAITING, lambda: room.stats().waiting, pool=name)
    metrics.watch(catalogue.POOL_REFUSED, lambda: room.stats().refused, pool=name)


def watch_broker(health: Health, metrics: Metrics, broker: Broker) -> None:
    """Show whether letters can travel."""

    async def trouble() -> str | None:
        return broker.trouble()

    health.watch("broker", trouble)
    metrics.watch(catalogue.BROKER_UP, lambda: int(broker.trouble() is None))
    metrics.watch(catalogue.BROKER_REFUSED, lambda: broker.counts().refused_total)
    metrics.watch(catalogue.BROKER_REMADE, lambda: broker.counts().remade_total)


def watch_hosts(health: Health, hosts: Sequence[ServiceHost]) -> None:
    """Show whether databases answer, and whether what is in them needs somebody."""

    async def unknown(host: ServiceHost) -> str | None:
        return "; ".join(host.strangers) or None

    async def letters(host: ServiceHost) -> str | None:
        return host.attention()

    for host in hosts:
        health.watch(f"database of {host.name}", host.ledger.database.trouble)
        health.watch(f"versions of {host.name}", functools.partial(unknown, host))
        health.watch(f"letters of {host.name}", functools.partial(letters, host))


def watch_stand_ins(health: Health, metrics: Metrics, stand_ins: Sequence[StandIn]) -> None:
    """Show whether they are there, and how often they were started again."""

    async def trouble(stand_in: StandIn) -> str | None:
        return stand_in.trouble()

    def restarts(stand_in: StandIn) -> int:
        return stand_in.restarts

    for stand_in in stand_ins:
        health.watch(f"stand-in of {stand_in.name}", functools.partial(trouble, stand_in))
        again = functools.partial(restarts, stand_in)
        metrics.watch(catalogue.STAND_IN_RESTARTS, again, external=stand_in.name)


def expect(metrics: Metrics, system: System, externals: Externals, *, gateway: bool) -> None:
    """Make the series of what is declared: an alarm sees the first error of each."""
    for service in system.services if gateway else ():
        for route in service.routes:
            outcomes = metrics.route("gateway", route.method, route.path)
            metrics.expect(outcomes, route.status_code, *SERVED_ERRORS)
        for mount in service.mounts:
            for method in ("GET", "POST"):
                outcomes = metrics.route("gateway", method, f"{mount.path}/")
                metrics.expect(outcomes, 200, *SERVED_ERRORS)
    for external in externals.reached:
        for method in ("GET", "POST"):
            sent = metrics.client(method, externals.origin(external).authority)
            metrics.expect(sent, 200, 500, 503, *CALL_ERRORS)
