"""The plan: which processes a system is on a cluster, and who of them speaks with whom.

Everything that is rendered for a cluster is read from it, so that one edge of the graph is one edge
everywhere.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from holdfast.communication import PORT
from holdfast.contract.envelope import Lane
from holdfast.contract.spiffe import PROVISIONER
from holdfast.runtime.variables import (
    INTROSPECTION_SECRET,
    INTROSPECTION_URL,
    KEYS_URL,
    url_variable,
)
from holdfast.system import External, Graph, Pods, Service, System
from holdfast.system.checks.secrets import is_secret
from holdfast.system.deploy import INTROSPECTION, KEYS
from holdfast.system.gateway import reached_by
from holdfast.system.settings import variable_name
from holdfast.system.tables import settings_of

GATEWAY: Final = "gateway"
MIGRATE: Final = "migrate"
ENTRY: Final = "entry"
"""The cluster's own Gateway, through which clients come."""
MONITORING: Final = "monitoring"
"""Prometheus, which scrapes, and Jaeger, which keeps traces."""
NATS, REDIS, POSTGRES, COLLECTOR = "nats", "redis", "postgres", "collector"

OPS_PORT: Final = PORT + 1
PORTS: Final = {NATS: 4222, REDIS: 6379, POSTGRES: 5432, COLLECTOR: 4318}
"""{what stands beside the services: where it listens}."""
NATS_ROUTES, NATS_MONITOR, JAEGER_OTLP = 6222, 8222, 4317
NATS_NODES: Final = 3


@dataclass(frozen=True, slots=True, order=True)
class Flow:
    """One process may open connections to another, and for which edges of the graph.

    Attributes:
        receiver: a workload, an External, or one of the servers in `PORTS`.
        why: edges, as `query GetPrice.v1`; sorted.
    """

    sender: str
    receiver: str
    port: int
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Workload:
    """A kind of process: the gateway, a service, or what migrates.

    Attributes:
        arguments: of the command `holdfast`.
        pods: how many, and how large.
        databases: the services whose databases it opens.
        broker, limits: whether it needs NATS, and Redis.
        listens: whether others open connections to its `PORT`.
        durables: the consumers of NATS that bring it work, which are also names of their streams.
        externals: the third parties that it calls.
        settings: {variable: value} of its own Settings that are no secrets.
        secrets: variables whose values come from the store of secrets.
    """

    name: str
    arguments: tuple[str, ...]
    pods: Pods
    databases: tuple[str, ...] = ()
    broker: bool = False
    limits: bool = False
    listens: bool = False
    durables: tuple[str, ...] = ()
    externals: tuple[External, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """A system on a cluster.

    Attributes:
        typed: what commands call the system.
        workloads: those that run all the time, the gateway first.
        migrate: what runs before a release; None without databases.
        provisioner: what makes the streams of the broker, and again if one is lost; None without
            services.
        flows: who may open connections to whom; sorted.
    """

    system: System
    typed: str
    namespace: str
    workloads: tuple[Workload, ...]
    migrate: Workload | None
    provisioner: Workload | None
    flows: tuple[Flow, ...]

    @property
    def everything(self) -> tuple[Workload, ...]:
        """Return all workloads, those that serve nobody too."""
        beside = (self.migrate, self.provisioner)
        return (*self.workloads, *(workload for workload in beside if workload))

    @property
    def scraped(self) -> tuple[Workload, ...]:
        """Return those that serve metrics and probes."""
        return (*self.workloads, *([self.provisioner] if self.provisioner else []))

    def to(self, receiver: str) -> tuple[Flow, ...]:
        """Return who may open connections to it."""
        return tuple(flow for flow in self.flows if flow.receiver == receiver)

    def of(self, sender: str) -> tuple[Flow, ...]:
        """Return to whom it may open connections; first those that differ by environment.

        A patch of Kustomize names them by their place, which no further edge moves so.
        """
        apart = {POSTGRES, *(external.name for external in self.externals)}
        flows = (flow for flow in self.flows if flow.sender == sender)
        return tuple(sorted(flows, key=lambda flow: flow.receiver not in apart))

    @property
    def externals(self) -> tuple[External, ...]:
        """Return the third parties of all services, by name."""
        found = {e.name: e for workload in self.workloads for e in workload.externals}
        return tuple(found[name] for name in sorted(found))


def plan_of(system: System, *, typed: str) -> Plan:
    """Derive the plan of a system that was checked.

    Args:
        typed: what commands call the system.
    """
    graph, keepers = system.graph(), _keepers(system)
    services = tuple(_service(graph, service, typed, keepers) for service in system.services)
    gateway = _gateway(system, typed)
    migrate, provisioner = _migrate(system, typed), _provisioner(system, typed)
    workloads = (gateway, *services)
    flows = tuple(sorted(_flows(graph, keepers, workloads, (migrate, provisioner))))
    namespace = system.deploy.namespace or system.name
    return Plan(system, typed, namespace, workloads, migrate, provisioner, flows)


def _service(graph: Graph, service: Service, typed: str, keepers: set[str]) -> Workload:
    settings, secrets = _settings(service)
    asked = any(e.receiver == service.name and e.kind == "query" for e in graph.edges)
    return Workload(
        service.name,
        ("serve", typed, service.name),
        service.deploy,
        (service.name,),
        broker=True,
        limits=any(route.attempts for route in service.routes),
        listens=bool(service.routes or service.mounts) or asked or service.name in keepers,
        durables=tuple(f"{graph.system}_{service.name}_{lane}" for lane in Lane),
        externals=tuple(sorted(service.reaches, key=lambda external: external.name)),
        settings=settings,
        secrets=secrets,
    )


def _gateway(system: System, typed: str) -> Workload:
    return Workload(
        GATEWAY,
        ("serve", typed, GATEWAY),
        system.deploy.gateway,
        broker=True,
        limits=True,
        listens=True,
        externals=tuple(External(name, url) for name, url in reached_by(system.gateway).items()),
        secrets=(INTROSPECTION_SECRET,) if system.gateway.introspection is not None else (),
    )


def _migrate(system: System, typed: str) -> Workload | None:
    names = tuple(service.name for service in system.services)
    if not names:
        return None
    return Workload(MIGRATE, ("migrate", typed), Pods(least=1, most=1), names)


def _provisioner(system: System, typed: str) -> Workload | None:
    if not system.services:
        return None
    pods = Pods(least=1, most=1, cpu="50m", memory="128Mi")
    return Workload(PROVISIONER, ("provision", typed, "--keep"), pods, broker=True)


def _flows(
    graph: Graph,
    keepers: set[str],
    workloads: tuple[Workload, ...],
    beside: tuple[Workload | None, Workload | None],
) -> Iterator[Flow]:
    yield Flow(ENTRY, GATEWAY, PORT, ("clients",))
    yield from _between(graph, keepers)
    letters = _letters(graph)
    for workload in workloads:
        name = workload.name
        yield Flow(MONITORING, name, OPS_PORT, ("metrics",))
        if workload.durables:
            yield Flow(name, NATS, PORTS[NATS], letters.get(name, ("readiness",)))
        if workload.limits:
            yield Flow(name, REDIS, PORTS[REDIS], ("rate limits",))
        for external in workload.externals:
            said = (
                external.name.removeprefix("gateway.")
                if name == GATEWAY
                else f"external {external.name}"
            )
            yield Flow(name, external.name, port_of(external.url), (said,))
    migrate, provisioner = beside
    if provisioner is not None:
        yield Flow(PROVISIONER, NATS, PORTS[NATS], ("streams",))
        yield Flow(MONITORING, PROVISIONER, OPS_PORT, ("metrics",))
    for workload in (*workloads, *([migrate] if migrate else [])):
        yield Flow(workload.name, COLLECTOR, PORTS[COLLECTOR], ("spans",))
        if workload.databases:
            opened = tuple(f"database {name}" for name in workload.databases)
            yield Flow(workload.name, POSTGRES, PORTS[POSTGRES], opened)


def _between(graph: Graph, keepers: set[str]) -> Iterator[Flow]:
    """Yield who asks whom over HTTP: the gateway's routes, and queries."""
    why: dict[tuple[str, str], set[str]] = {}
    for edge in graph.edges:
        if edge.kind in ("route", "mount", "query") and edge.sender != edge.receiver:
            said = f"{edge.kind} {edge.message}"
            why.setdefault((edge.sender, edge.receiver), set()).add(said)
    for keeper in sorted(keepers):
        why.setdefault((GATEWAY, keeper), set()).add("query of the gateway's keys")
    for (sender, receiver), edges in why.items():
        yield Flow(sender, receiver, PORT, tuple(sorted(edges)))


def _letters(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Return {service: the letters that it sends and takes}, in the order of the graph."""
    found: dict[str, list[str]] = {}
    for edge in graph.edges:
        if edge.kind in ("command", "undo", "event"):
            said = f"{edge.kind} {edge.message}"
            found.setdefault(edge.sender, []).append(f"{said} to {edge.receiver}")
            if edge.receiver != edge.sender:
                found.setdefault(edge.receiver, []).append(said)
    return {name: tuple(dict.fromkeys(said)) for name, said in found.items()}


def _keepers(system: System) -> set[str]:
    """Return the services that the gateway asks for the keys of tokens."""
    asked = [tokens.keys for tokens in system.gateway.issuers if not isinstance(tokens.keys, str)]
    return {owner for owner in map(system.owner_of, asked) if owner is not None}


def _settings(service: Service) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return what a service's own settings are given: values, and names of secrets."""
    fields = {name: f for kind in settings_of(service) for name, f in kind.model_fields.items()}
    secrets = [
        variable_name(service.name, name)
        for name, info in fields.items()
        if is_secret(name, info) and (info.is_required() or name in service.deploy.secrets)
    ]
    values = {variable_name(service.name, k): v for k, v in service.deploy.settings.items()}
    return values, tuple(sorted(secrets))


def port_of(url: str) -> int:
    """Return the port of a http(s) URL."""
    parts = urlsplit(url)
    return parts.port or (80 if parts.scheme == "http" else 443)


def url_name(external: External) -> str:
    """Return the variable that says where a third party is."""
    if external.name == INTROSPECTION:
        return INTROSPECTION_URL
    if external.name.startswith(KEYS):
        return KEYS_URL + external.name.removeprefix(KEYS).replace("-", "_")
    return url_variable(external.name)
