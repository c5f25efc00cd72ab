"""The wiring: every concrete class meets its ports here, and nowhere else.

Process                         start, stop
├── Engines                     clock, network, broker, databases, threads, shared limits
├── Listeners                   the sockets
└── Wiring                      what serves, made before anything is open
    ├── Telemetry               what spans are recorded with, and where they go
    ├── ClientPool              connections to Externals, to peers and to issuers of keys
    ├── Elsewhere               the other processes of the system
    ├── Externals               third parties; some have their stand-ins here
    ├── ServiceHost …           each hosted service, over the ports that they share
    ├── Apps                    what they mount
    ├── Router                  the way to all of them
    ├── Door or InnerDoor       in front of the router
    ├── Entrance                what lets requests in there, as far as there is room
    └── Control                 what an operator may do with the hosts
"""

import functools
from collections.abc import Callable
from typing import Any

from holdfast.communication import ClientPool
from holdfast.contract.http import Request
from holdfast.dispatch.entrance import Entrance
from holdfast.dispatch.host import Ports, ServiceHost
from holdfast.dispatch.inner_door import InnerDoor
from holdfast.dispatch.queries import QueriesHere
from holdfast.dispatch.query_client import QueryClient
from holdfast.dispatch.router import Router, Target
from holdfast.dispatch.signed_callers import SignedCallers
from holdfast.gateway import Door, Exchange, Possession
from holdfast.observability import Audit, Health, Logger, Metrics, catalogue, current
from holdfast.resilience import ConcurrencyLimits, MemoryLimits, RoutePlaces
from holdfast.runtime.control import Control
from holdfast.runtime.elsewhere import Elsewhere
from holdfast.runtime.engines import Engines
from holdfast.runtime.externals import Externals
from holdfast.runtime.issuers import TokenVerifiers, origins_of
from holdfast.runtime.mounted import Apps
from holdfast.runtime.options import Options
from holdfast.runtime.pages import GatewayPages
from holdfast.runtime.telemetry import Telemetry
from holdfast.runtime.trace_settings import trace_settings
from holdfast.runtime.watches import watch_limits, watch_secrets
from holdfast.security import TRANSACTION_REASONS, TransactionReason, TransactionVerifier
from holdfast.straight import straighten
from holdfast.system import System


class Wiring:
    """What one process serves with.

    Args:
        witness: see `consistency.unit.Units`.
    Raises:
        SettingError: a setting of a service or an address is wrong.
    """

    def __init__(
        self,
        system: System,
        options: Options,
        engines: Engines,
        logger: Logger,
        health: Health,
        metrics: Metrics,
        audit: Audit,
        witness: Callable[[Any], None] | None,
    ) -> None:
        self._system, self._options, self._engines = system, options, engines
        self._logger, self._health, self._metrics = logger, health, metrics
        self._audit = audit
        watch_secrets(metrics, logger, options.environ)
        metrics.watch(catalogue.AUDIT_ENTRIES, lambda: audit.entries)
        metrics.watch(catalogue.AUDIT_LOST, lambda: audit.lost)
        metrics.watch(catalogue.LOG_LINES_DROPPED, lambda: logger.stats().dropped)
        hosted = options.hosted(system)
        self.limits = engines.limits or MemoryLimits(engines.clock)
        self.room = ConcurrencyLimits(system.gateway.requests_max, system.gateway.wait_s)
        self.telemetry = Telemetry(
            system.name,
            ("gateway", *hosted) if options.gateway else hosted,
            trace_settings(options.environ),
            engines,
            logger.warning,
        )
        self.telemetry.watch(metrics)
        self._tracing = self.telemetry.tracing
        self.pool = ClientPool(
            network=engines.network, clock=engines.clock, identity=engines.identity
        )
        exchange = None if engines.signer is None else Exchange(engines.signer, engines.clock)
        self.elsewhere = Elsewhere(system, engines, self.pool, self._tracing, metrics, exchange)
        self.externals = Externals(
            system, hosted, options, self.pool, engines.clock, metrics, self._tracing
        )
        self._here = QueriesHere()
        self._asks = QueryClient(self._here, system.owner_of, self.elsewhere.call)
        ports = self._ports(witness)
        self.hosts = [self._host(name, ports) for name in hosted]
        self.apps = Apps(metrics, self._tracing)
        self._router = Router()
        self._pages = GatewayPages(system, health).by_path()
        self.tokens = self._tokens() if options.gateway else None
        self.door = self._gateway() if options.gateway else self._inside()
        self.gate = self._entrance()
        self.control = Control(system, self.hosts, health, metrics, audit)

    def _ports(self, witness: Callable[[Any], None] | None) -> Ports:
        options, engines = self._options, self._engines
        return Ports(
            clock=engines.clock,
            ids=engines.ids,
            random=engines.random,
            broker=engines.broker,
            send=self.externals.send,
            run=engines.run,
            limits=self.limits,
            room=self.room,
            environ=options.environ,
            metrics=self._metrics,
            logger=self._logger,
            tracing=self._tracing,
            audit=self._audit,
            current=current,
            schedule=options.schedule,
            safe=options.safe,
            witness=witness,
        )

    def _host(self, name: str, ports: Ports) -> ServiceHost:
        service, database = self._system.service(name), self._engines.database(name)
        return ServiceHost(service, self._system, database, ports, self._here, self._asks)

    def _tokens(self) -> TokenVerifiers:
        return TokenVerifiers(
            self._system.gateway,
            self._options.environ,
            self.pool,
            self._asks,
            clock=self._engines.clock,
            random=self._engines.random,
        )

    def _gateway(self) -> Door:
        gateway = self._system.gateway
        watch_limits(self._metrics, self.limits)
        clock, shared = self._engines.clock, self._engines.limits
        possession = None
        if gateway.proves:
            origins = origins_of(gateway, self._options.environ)
            possession = Possession(origins, clock, own=MemoryLimits(clock), shared=shared)
        return Door(
            gateway,
            self._router,
            verifier=self.tokens.verifier if self.tokens is not None else None,
            possession=possession,
            limits=self.limits,
            metrics=self._metrics,
            logger=self._logger,
            tracing=self._tracing,
            audit=self._audit,
            slow_s={
                (route.method, route.path): self._system.slo_of_route(service, route).latency_s
                for service in self._system.services
                for route in service.routes
            },
            pages=self._pages,
        )

    def _entrance(self) -> Entrance:
        door, clock = self.door, self._engines.clock
        make = functools.partial(Entrance, self._router, self.room, clock, self._logger)
        if isinstance(door, Door):
            return make(pages=self._pages, refused=door.requests.refused, dress=door.dressed)
        return make(inside=True)

    def _inside(self) -> InnerDoor:
        signed, identity = None, self._engines.identity
        if identity is not None:
            transactions = TransactionVerifier(
                self._system.name, identity.trusted, self._engines.clock
            )
            # Made at the start, so that the first refusal is an increase and not a new series.
            for reason in TRANSACTION_REASONS:
                self._metrics.transaction_refused(reason)
            signed = SignedCallers(transactions, self._refused_caller)
        return InnerDoor(self._router, self._here, self._tracing.tracer, self._refused, signed)

    def _refused_caller(self, request: Request, reason: TransactionReason, why: str) -> None:
        self._metrics.transaction_refused(reason).inc()
        self._audit.record(
            "transaction_token.refused",
            who=f"service {request.peer.identity}",
            on=f"{request.method} {request.route}",
            outcome=f"refused: {reason}",
        )
        self._logger.warning(
            "transaction_token.refused", reason=reason, why=why, route=request.route
        )

    def _refused(self, peer: str, wanted: str, why: str) -> None:
        self._metrics.refused_inside().inc()
        self._audit.record(
            "edge.refused", who=f"service {peer}", on=wanted, outcome="refused: no edge"
        )
        self._logger.warning("inner.refused", peer=peer, why=why)

    async def route(self) -> None:
        """Start the mounted apps, and find the way to all that is served: when hosts are up."""
        for host in self.hosts:
            for compiled in host.routes:
                route = compiled.route
                target = Target(
                    host.name,
                    route.path,
                    compiled,
                    route.public,
                    route.scope,
                    places=RoutePlaces(route.tier),
                )
                self._router.add(route.method, target)
                straighten(self.door, route.method, target, self.limits)
            await self.apps.start(host, self._router)
        if isinstance(self.door, Door):
            hosted = {host.name for host in self.hosts}
            for method, target in self.elsewhere.forward(self._router, hosted):
                straighten(self.door, method, target, self.limits)

    async def close(self) -> None:
        """Close the connections to others, and end the stand-ins."""
        if self.tokens is not None:
            await self.tokens.close()
        await self.pool.close()
        await self.elsewhere.close()
        await self.limits.close()
        await self.externals.stop()
