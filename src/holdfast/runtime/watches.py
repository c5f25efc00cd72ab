"""What of a process is shown in its metrics and its health, and is there from the start."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from holdfast.communication import ClientPool, HttpServer
from holdfast.dispatch.host import ServiceHost
from holdfast.observability import CALL_ERRORS, SERVED_ERRORS, Health, Logger, Metrics, catalogue
from holdfast.ports import BrokerCounts, Limits
from holdfast.resilience import ConcurrencyLimits, Edge, MemoryLimits, Room
from holdfast.runtime.environ import Environ
from holdfast.runtime.externals import Externals
from holdfast.runtime.stand_in import StandIn
from holdfast.storage import ConnectionCounts
from holdfast.system import System


def watch_room(health: Health, metrics: Metrics, name: str, room: Room) -> None:
    """Show how full a room of blocking functions is."""
    health.show(f"pool {name}", room.stats)
    metrics.watch(catalogue.POOL_RUNNING, lambda: room.stats().under_way, pool=name)
    metrics.watch(catalogue.POOL_WAITING, lambda: room.stats().waiting, pool=name)
    metrics.watch(catalogue.POOL_REFUSED, lambda: room.stats().refused, pool=name)


def watch_places(health: Health, metrics: Metrics, places: ConcurrencyLimits) -> None:
    """Show how many requests may be inside, how many are, and how many were refused."""

    def shown(tier: str, name: str) -> int:
        found: int = getattr(places.stats()[tier], name)
        return found

    health.show("places", places.stats)
    for tier in places.stats():
        metrics.watch(catalogue.PLACES, functools.partial(shown, tier, "limit"), tier=tier)
        metrics.watch(catalogue.PLACES_TAKEN, functools.partial(shown, tier, "inside"), tier=tier)
        metrics.watch(
            catalogue.PLACES_REFUSED, functools.partial(shown, tier, "refused"), tier=tier
        )


def watch_secrets(metrics: Metrics, logger: Logger, environ: Mapping[str, str]) -> None:
    """Show how many files of variables cannot be read, and log each when it is found out."""
    known = dict[str, str]()

    def unreadable() -> int:
        problems = environ.problems() if isinstance(environ, Environ) else {}
        for variable, why in problems.items():
            if known.get(variable) != why:
                logger.warning("secret.unreadable", variable=variable, why=why)
        known.clear()
        known.update(problems)
        return len(problems)

    metrics.watch(catalogue.SECRETS_UNREADABLE, unreadable)


class Watched(Protocol):
    """Says whether letters can travel; see `ports.Broker`."""

    def trouble(self) -> str | None: ...
    def counts(self) -> BrokerCounts: ...


def watch_broker(health: Health, metrics: Metrics, broker: Watched) -> None:
    """Show whether letters can travel."""

    async def trouble() -> str | None:
        return broker.trouble()

    health.watch("broker", trouble)
    metrics.watch(catalogue.BROKER_UP, lambda: int(broker.trouble() is None))
    metrics.watch(catalogue.BROKER_REFUSED, lambda: broker.counts().refused_total)
    metrics.watch(catalogue.BROKER_REMADE, lambda: broker.counts().remade_total)


def watch_server(metrics: Metrics, server: HttpServer) -> None:
    """Show who is connected to what serves requests, and what it answers before any route."""

    def active() -> int:
        stats = server.stats()
        return stats.connections - stats.idle

    metrics.watch(catalogue.CONNECTIONS, active, state="active")
    metrics.watch(catalogue.CONNECTIONS, lambda: server.stats().idle, state="idle")
    metrics.watch(catalogue.REFUSED, lambda: sum(server.stats().refused.values()))


def watch_pool(metrics: Metrics, pool: ClientPool) -> None:
    """Show the connections to others."""

    def active() -> int:
        stats = pool.stats()
        return stats.connections - stats.idle

    metrics.watch(catalogue.CLIENT_CONNECTIONS, active, http_connection_state="active")
    idle = catalogue.CLIENT_CONNECTIONS
    metrics.watch(idle, lambda: pool.stats().idle, http_connection_state="idle")
    metrics.watch(catalogue.CLIENT_WAITING, lambda: pool.stats().waiting)


def watch_limits(metrics: Metrics, limits: Limits) -> None:
    """Show whether shared rate limits are away, and how full this process's own are."""
    metrics.watch(catalogue.LIMITS_ALONE, limits.alone)
    if isinstance(limits, MemoryLimits):
        metrics.watch(catalogue.LIMITER_KEYS, lambda: limits.stats().keys)
        metrics.watch(catalogue.LIMITER_EVICTED, lambda: limits.stats().evicted)


def watch_databases(metrics: Metrics, hosts: Sequence[ServiceHost]) -> None:
    """Show the connections to the databases of services."""
    for host in hosts:
        counts, pool = host.ledger.database.connections, host.name
        for state in ("used", "idle"):
            labels = {"db_client_connection_pool_name": pool, "db_client_connection_state": state}
            metrics.watch(
                catalogue.DB_CONNECTIONS, functools.partial(_count, counts, state), **labels
            )
        only = {"db_client_connection_pool_name": pool}
        metrics.watch(catalogue.DB_PLACES, functools.partial(_count, counts, "max"), **only)
        waiting = functools.partial(_count, counts, "waiting")
        metrics.watch(catalogue.DB_WAITING, waiting, **only)


def _count(counts: Callable[[], ConnectionCounts], name: str) -> int:
    found: int = getattr(counts(), name)
    return found


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
        watch_edges(health, f"edges of {host.name}", host.edges)


def watch_edges(health: Health, name: str, edges: Sequence[Edge]) -> None:
    """Show the defences of edges: breakers, budgets and bulkheads."""
    if edges:
        health.show(name, lambda: {edge.name: edge.stats() for edge in edges})


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
