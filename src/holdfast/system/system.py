"""System: several services and their gateway, as one declaration."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import overload

from holdfast.contract.messages import AnyCommand, AnyQuery, Message, Query, undone_by
from holdfast.errors import DeclarationError, UnknownName
from holdfast.system.checks import deploy_problems, name_problems, problems_of
from holdfast.system.deploy import Deploy
from holdfast.system.external import External
from holdfast.system.gateway import Gateway
from holdfast.system.graph import EdgeKind, Graph, GraphEdge
from holdfast.system.objectives import Objective, objectives_of, slo_of_route, slo_of_saga
from holdfast.system.service import F, Route, SagaDeclaration, Service
from holdfast.system.simulated import HORIZON_S, Invariant, Simulated
from holdfast.system.slo import Slo
from holdfast.system.tables import Handlers, handlers_of
from holdfast.system.traffic import Traffic

_HORIZON = timedelta(seconds=HORIZON_S)


@dataclass(frozen=True, slots=True)
class System:
    """A whole backend: `holdfast run` runs it, `holdfast graph` draws it.

    Attributes:
        name: of the data folder, and of what processes share at the broker.
        services: all of them; who may send what to whom is told by what they declare.
        gateway: the one entry point. Without it no tokens are accepted.
        slo: what is promised of every route and saga that has none of its own, and whose service
            has none.
        deploy: its clusters, as far as they cannot be derived.
    """

    name: str
    services: Sequence[Service]
    gateway: Gateway = field(default_factory=Gateway)
    slo: Slo = field(default_factory=Slo)
    deploy: Deploy = field(default_factory=Deploy)
    simulated: Simulated = field(default_factory=Simulated, repr=False, compare=False)
    offered: Traffic = field(default_factory=Traffic, repr=False, compare=False)

    def __hash__(self) -> int:
        return hash(self.name)

    def check(self) -> None:
        """Refuse a wrong declaration. Raises DeclarationError with all problems."""
        problems = [*name_problems("System", self.name)]
        problems += problems_of(self.services, self.gateway, self.slo)
        if problems:
            raise DeclarationError(problems)

    def check_deploy(self) -> None:
        """Refuse what no cluster could run. Raises DeclarationError with all problems."""
        if problems := list(deploy_problems(self.name, self.services, self.deploy, self.gateway)):
            raise DeclarationError(problems)

    def service(self, name: str) -> Service:
        """Return a service by its name. Raises UnknownName."""
        for service in self.services:
            if service.name == name:
                return service
        known = ", ".join(s.name for s in self.services)
        raise UnknownName(f"system {self.name!r} has no service {name!r}; it has {known}")

    def handlers(self) -> dict[str, Handlers]:
        """Return {service: what it handles}."""
        return {service.name: handlers_of(service) for service in self.services}

    def owner_of(self, message: type[Message]) -> str | None:
        """Return the service that handles a command, undo or query, or None."""
        for name, handlers in self.handlers().items():
            if message.wire_name() in handlers.by_wire_name:
                return name
        return None

    def slo_of_route(self, service: Service, route: Route) -> Slo:
        """Return what is promised of a route."""
        return slo_of_route(self.slo, service, route)

    def slo_of_saga(self, service: Service, saga: SagaDeclaration) -> Slo:
        """Return what is promised of a saga."""
        return slo_of_saga(self.slo, service, saga)

    def slos(self) -> frozenset[Slo]:
        """Return every SLO that holds for something."""
        return frozenset({self.slo, *(objective.slo for objective in self.objectives())})

    def objectives(self) -> tuple[Objective, ...]:
        """Return every SLO with what it is about."""
        return objectives_of(self.slo, self.services)

    # -- for its simulation ---------------------------------------------------------------------

    @overload
    def workload(self, function: F, /) -> F: ...

    @overload
    def workload(self, /, *, horizon: timedelta) -> Callable[[F], F]: ...

    def workload(
        self, function: F | None = None, /, *, horizon: timedelta = _HORIZON
    ) -> F | Callable[[F], F]:
        """Declare who uses the system in a simulation: `async def customers(client)`.

        Args:
            horizon: the virtual time in which the workload must be through, after which it is
                taken for stuck. What sagas wait for afterwards is waited for, whatever it is.
        """
        if self.simulated.workload is not None:
            raise DeclarationError([f"system {self.name!r} has a workload already"])
        if horizon <= timedelta(0):
            raise DeclarationError(
                [f"workload(horizon={horizon}): no time at all; raise it over 0"]
            )

        def declare(declared: F) -> F:
            self.simulated.workload = declared
            self.simulated.horizon_s = horizon.total_seconds()
            return declared

        return declare if function is None else declare(function)

    def invariant(self, function: F) -> F:
        """Declare what must hold when everything has settled: `def it_adds_up(world)`."""
        self.simulated.invariants.append(Invariant(function.__name__, function))
        return function

    def always(self, function: F) -> F:
        """Declare what must hold at any time: `def never_negative(world)`."""
        self.simulated.invariants.append(Invariant(function.__name__, function, always=True))
        return function

    def stand_in(self, external: External) -> Callable[[F], F]:
        """Declare what stands for an External in a simulation: `def bank(clock)`."""

        def declare(function: F) -> F:
            self.simulated.stand_ins[external.name] = function
            return function

        return declare

    # -- for its load ---------------------------------------------------------------------------

    @overload
    def traffic(self, function: F, /) -> F: ...

    @overload
    def traffic(self, /, *, environ: Mapping[str, str]) -> Callable[[F], F]: ...

    def traffic(
        self, function: F | None = None, /, *, environ: Mapping[str, str] | None = None
    ) -> F | Callable[[F], F]:
        """Declare what `holdfast load` asks: `async def shoppers(client) -> Sequence[Offer]`.

        Args:
            environ: settings of the system that is started for it, such as the key that tokens
                are signed with.
        """
        if self.offered.offers is not None:
            raise DeclarationError([f"system {self.name!r} has its traffic already"])

        def declare(declared: F) -> F:
            self.offered.offers = declared
            self.offered.environ = dict(environ or {})
            return declared

        return declare if function is None else declare(function)

    def graph(self) -> Graph:
        """Derive the graph from the declaration."""
        edges = sorted(self._edges())
        return Graph(
            self.name,
            tuple(service.name for service in self.services),
            tuple(sorted({edge.receiver for edge in edges if edge.kind == "external"})),
            tuple(edges),
        )

    def _edges(self) -> set[GraphEdge]:
        tables = self.handlers()
        edges: set[GraphEdge] = set()
        for service in self.services:
            name = service.name
            edges |= {
                GraphEdge("gateway", name, "route", f"{r.method} {r.path}") for r in service.routes
            }
            edges |= {
                GraphEdge("gateway", name, "mount", mount.path or "/") for mount in service.mounts
            }
            edges |= {
                GraphEdge(name, external.name, "external", external.url)
                for external in service.reaches
            }
            edges |= {
                GraphEdge(name, other, "event", event.wire_name())
                for event in service.publishes
                for other, handlers in tables.items()
                if event.wire_name() in handlers.hears
            }
            for other, handlers in tables.items():
                edges |= {
                    GraphEdge(name, other, kind, wire)
                    for wire, handler in handlers.by_wire_name.items()
                    for kind in _kinds(handler.message, service.calls)
                }
        return edges


def _kinds(
    message: type[Message], calls: Sequence[type[AnyCommand] | type[AnyQuery]]
) -> Iterator[EdgeKind]:
    """Yield as what a service with these `calls` may send a message: once, or not at all."""
    if undone_by(message) in calls:
        yield "undo"
    elif message in calls:
        yield "query" if issubclass(message, Query) else "command"
