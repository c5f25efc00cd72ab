"""The other processes of the system: queries go to them, and what the gateway forwards."""

import functools
from collections.abc import Collection, Iterator

from holdfast.communication import ClientPool
from holdfast.contract.http import Request, Response
from holdfast.dispatch.router import Router, Target
from holdfast.dispatch.signed_callers import purpose_of
from holdfast.gateway import Exchange, Forward, hop_policy
from holdfast.gateway.forward import Tell
from holdfast.observability import Metrics, Tracing
from holdfast.resilience import Edge, RoutePlaces
from holdfast.runtime.engines import Engines
from holdfast.runtime.hop import hop_limits
from holdfast.runtime.replicas import Hedge, Replicas
from holdfast.system import Service, System


class Elsewhere:
    """Reaches the processes of services that are not hosted here.

    Args:
        pool: for queries; what is forwarded has connections of its own, since answers stream.
        exchange: tells services who calls; None: they take the gateway's word.

    Attributes:
        edges: over which it forwards, one for each service.
    """

    def __init__(
        self,
        system: System,
        engines: Engines,
        pool: ClientPool,
        tracing: Tracing,
        metrics: Metrics,
        exchange: Exchange | None = None,
    ) -> None:
        self.edges: list[Edge] = []
        self._exchange = exchange
        self._system = system
        self._engines = engines
        self._tracing, self._metrics = tracing, metrics
        self._asked = Replicas(engines.discover, pool.request, engines.clock, engines.random)
        self._hops = ClientPool(
            network=engines.network,
            clock=engines.clock,
            limits=hop_limits(system.gateway),
            identity=engines.identity,
        )
        stream = functools.partial(self._hops.request, streams=True)
        self._behind = Replicas(engines.discover, stream, engines.clock, engines.random)

    async def call(self, service: str, request: Request, timeout_s: float) -> Response:
        """Send a request to a process of another service. Raises CallError."""
        return await self._asked.call(service, request, timeout_s)

    def forward(self, router: Router, hosted: Collection[str]) -> Iterator[tuple[str, Target]]:
        """Route to the services that are not hosted here, if their processes can be found.

        It yields (method, what serves it) of each of their routes.
        """
        if self._engines.discover is None:
            return
        for service in self._system.services:
            if service.name not in hosted:
                yield from self._forward(router, service)

    def _forward(self, router: Router, service: Service) -> Iterator[tuple[str, Target]]:
        policy = hop_policy(self._system.gateway)
        name = f"gateway→{service.name}"
        edge = Edge(name, policy, self._engines.clock, self._engines.random)
        self.edges.append(edge)

        def forwards(template: str, keyed: bool, hedge: Hedge | None = None) -> Forward:
            tell = self._tells(service.name, template)
            call = functools.partial(self._behind.call, service.name, hedge=hedge)
            return Forward(edge, call, self._tracing, keyed=keyed, tell=tell)

        for route in service.routes:
            hedge = None
            if route.hedge_s is not None:
                hedge = Hedge(route.hedge_s, self._metrics.hedges(name, route.path).inc)
            forward = forwards(route.path, route.record, hedge)
            target = Target(
                service.name,
                route.path,
                forward,
                route.public,
                route.scope,
                places=RoutePlaces(route.tier),
            )
            router.add(route.method, target)
            yield route.method, target
        for mount in service.mounts:
            template = f"{mount.path}/"
            forward = forwards(template, keyed=False)
            router.mount(mount.path, Target(service.name, template, forward, mount.public, None))

    def _tells(self, service: str, template: str) -> Tell | None:
        """Return what tells a service who calls one of its routes."""
        exchange = self._exchange
        if exchange is None:
            return None

        def tell(request: Request) -> tuple[bytes, str]:
            purpose = purpose_of(service, request.method, template)
            return exchange(request.caller, request.caller_until, purpose, request.correlation_id)

        return tell

    async def close(self) -> None:
        """Close the connections of what was forwarded."""
        await self._hops.close()
