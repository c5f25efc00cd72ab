"""The wiring: every concrete class meets its ports here, and nowhere else."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from holdfast.communication import (
    LOOPBACK,
    PORT,
    AsgiLifespan,
    ClientPool,
    HttpLimits,
    HttpServer,
    Origin,
    asgi_handler,
    origin_and_path,
)
from holdfast.consistency.safeguards import ALL_ON, Safeguards
from holdfast.consistency.schedule import Schedule
from holdfast.contract.http import HeaderList, Request, Response
from holdfast.dispatch.host import Ports, ServiceHost
from holdfast.dispatch.inner_door import InnerDoor
from holdfast.dispatch.openapi import DOCS_PAGE, openapi
from holdfast.dispatch.queries import QueriesHere
from holdfast.dispatch.query_client import QueryClient
from holdfast.dispatch.router import Router, Target
from holdfast.engines.tables import REVISION
from holdfast.errors import CallError, OldSchema
from holdfast.gateway import Door, Forward, hop_policy
from holdfast.migrations import Revisions, make
from holdfast.observability import (
    CALL_ERRORS,
    CONTENT_TYPE,
    SERVED_ERRORS,
    Health,
    Logger,
    Metrics,
    Tracer,
    catalogue,
    current,
    in_brief,
)
from holdfast.resilience import Edge, EdgePolicy, MemoryLimits, Room
from holdfast.runtime.control import Control
from holdfast.runtime.engines import Engines, engines_of
from holdfast.runtime.folder import DataFolder
from holdfast.runtime.hop import hop_limits, inner_limits
from holdfast.runtime.keys import KeyFetcher, token_policy
from holdfast.runtime.known import KnownDatabases
from holdfast.runtime.mounted import mounted
from holdfast.runtime.replicas import Replicas
from holdfast.runtime.settings import ProcessSettings, external_urls
from holdfast.runtime.stand_in import StandIn
from holdfast.runtime.threads import Threads
from holdfast.runtime.variables import url_variable
from holdfast.security import CachedKeys, TokenVerifier
from holdfast.system import External, Service, System


@dataclass(frozen=True, slots=True)
class Options:
    """How one process runs a system.

    Attributes:
        data: the data folder; None when the engines keep nothing on this machine.
        services: those that it hosts; None: all.
        host: what it listens on: a name, an IPv4 or IPv6 address, or `unix:/run/a.sock`; health
            and metrics are on the loopback address then.
        gateway: it is the gateway, for its own services and for those of other processes.
        port, ops_port: 0: any free one. ops_port None: the port after `port`.
        locals: whether stand-ins of Externals are started beside.
        typed: what `holdfast migrate` is given for this system: its name, and its data folder
            unless that is the usual one.
        schedule, safe: changed by tests alone.
    """

    data: Path | None
    host: str = LOOPBACK
    port: int = PORT
    ops_port: int | None = None
    services: tuple[str, ...] | None = None
    gateway: bool = True
    locals: bool = True
    typed: str = ""
    environ: Mapping[str, str] = field(default_factory=dict[str, str])
    settings: ProcessSettings = field(default_factory=ProcessSettings)
    schedule: Schedule = field(default_factory=Schedule)
    safe: Safeguards = ALL_ON


class Process:
    """One running process of a system.

    Args:
        engines: what it runs on; embedded ones in the data folder by default. Whoever brings
            engines has checked the system.
        witness: see `consistency.ledger.Ledger`.
        folder: the data folder, if it has been taken before.
    """

    def __init__(
        self,
        system: System,
        options: Options,
        logger: Logger,
        engines: Engines | None = None,
        *,
        witness: Callable[[Any], None] | None = None,
        folder: DataFolder | None = None,
    ) -> None:
        if engines is None:
            system.check()
        self.system = system
        self.options = options
        self.logger = logger
        self.folder = folder
        if folder is None and options.data is not None:
            self.folder = DataFolder(options.data)
        self.health = Health()
        self.metrics = Metrics(system.name)
        self.hosts: list[ServiceHost] = []
        self.addresses: dict[str, str] = {}
        self.url = self.ops_url = ""
        self._brought = engines is not None
        if engines is None:
            assert self.folder is not None, "embedded engines have a data folder"
            engines = engines_of(
                system.name,
                self._hosted(),
                options.environ,
                self.folder.database,
                threads=options.settings.threads,
                computing=options.settings.compute_threads,
                share_port=options.settings.share_port,
            )
        self._engines = engines
        self._witness = witness
        self._clock, self._network = engines.clock, engines.network
        self._limits = engines.limits or MemoryLimits(engines.clock)
        if isinstance(engines.run, Threads):
            engines.run.on_room = self._watch_room
        self._stand_ins: list[StandIn] = []
        self._lifespans: list[AsgiLifespan] = []
        self._in_apps: set[asyncio.Task[None]] = set()
        self._urls = external_urls(system, options.environ)
        self._document: bytes | None = None
        self._servers: list[HttpServer] = []
        self._ops: HttpServer | None = None
        self._keys: CachedKeys | None = None

    # -- start ----------------------------------------------------------------------------------

    async def open(self, *, to_look: bool = False) -> None:
        """Take the data folder and open the services, without serving anything.

        Args:
            to_look: only the framework's own tables are read; those of services may be old.
        """
        if self.folder is not None:
            self.folder.take()
        self._wire()
        if self.folder is None or self._brought:
            await self._open_hosts(to_look)
            return
        known = KnownDatabases(self.folder.path)
        here = [host.name for host in self.hosts if not host.ledger.database.remote]
        known.check(here, read_through=not to_look)
        await self._open_hosts(to_look)
        known.keep(here)

    async def _open_hosts(self, to_look: bool) -> None:
        """Open the services, if no database is old. Raises OldSchema, a line for each that is."""
        made: dict[str, bool] = {}
        old: list[str] = []
        for host in self.hosts:
            try:
                made[host.name] = await self._made(host, to_look)
            except OldSchema as exc:
                old.append(str(exc))
        if old:
            raise OldSchema("\n".join(old))
        for host in self.hosts:
            await host.open(made=made[host.name])

    async def _made(self, host: ServiceHost, to_look: bool) -> bool:
        """Whether revisions made a service's tables. Raises OldSchema if they are old."""
        if self._brought:  # whoever brings engines has new databases in them
            return False
        revisions, database = (
            Revisions(self.options.typed or self.system.name, host.service),
            host.ledger.database,
        )
        if to_look and revisions.managed and REVISION in await database.revisions():
            return True  # Alembic, which knows of the service's own, takes as long as the rest
        if not database.remote:
            assert self.folder is not None
            await make(revisions, f"sqlite:///{self.folder.database(host.name)}")
        revisions.check(await database.revisions())
        return revisions.managed

    def _wire(self) -> None:
        options, engines = self.options, self._engines
        self._broker = engines.broker
        self._pool = ClientPool(network=engines.network, clock=engines.clock)
        self._replicas = Replicas(engines.discover, self._pool.request, engines.clock)
        self._hops = ClientPool(
            network=engines.network,
            clock=engines.clock,
            limits=hop_limits(self.system.gateway),
        )
        stream = functools.partial(self._hops.request, streams=True)
        self._behind = Replicas(engines.discover, stream, engines.clock)
        self._tracer = Tracer(engines.random, ratio=options.settings.trace_ratio)
        here = QueriesHere()
        self._asks = QueryClient(here, self.system.owner_of, self._call)
        self._queries_here = here
        ports = Ports(
            clock=engines.clock,
            ids=engines.ids,
            random=engines.random,
            broker=engines.broker,
            send=self._send,
            run=engines.run,
            limits=self._limits,
            environ=options.environ,
            metrics=self.metrics,
            logger=self.logger,
            tracer=self._tracer,
            current=current,
            schedule=options.schedule,
            safe=options.safe,
        )
        for name in self._hosted():
            service = self.system.service(name)
            database = engines.database(name)
            host = ServiceHost(service, self.system, database, ports, here, self._asks)
            host.ledger.witness = self._witness
            self.hosts.append(host)
        self.control = Control(self.system, self.hosts)
        self.metrics.watch(catalogue.LOG_LINES_DROPPED, lambda: self.logger.stats().dropped)

    def _hosted(self) -> tuple[str, ...]:
        wanted = self.options.services
        if wanted is None:
            wanted = tuple(service.name for service in self.system.services)
        return wanted

    async def start(self) -> None:
        """Start everything; when this returns the process is ready."""
        await self.open()
        await self._start_stand_ins()
        for host in self.hosts:
            await host.start()
        router = await self._router()
        self._remote(router)
        await (self._listen(router) if self.options.gateway else self._listen_inside(router))
        await self._listen_to_operators()
        self._watch_engines()
        self._expect()
        self.health.started()

    async def _start_stand_ins(self) -> None:
        if not self.options.locals or self.folder is None:
            return
        hosted = {host.name for host in self.hosts}
        for service in self.system.services:
            for external in service.reaches if service.name in hosted else ():
                told = self.options.environ.get(url_variable(external.name))
                if external.local and not told:
                    stand_in = StandIn(external, self.folder.path)
                    self._stand_ins.append(stand_in)
                    await stand_in.start()
                    self._urls[external.name] = stand_in.url
                    self.addresses[external.name] = stand_in.url

    async def _router(self) -> Router:
        router = Router()
        for host in self.hosts:
            for route in host.routes:
                declared = route.route
                router.add(
                    declared.method,
                    Target(host.name, declared.path, route, declared.public, declared.scope),
                )
            for mount in host.service.mounts:
                lifespan = AsgiLifespan(mount.app)
                await lifespan.start()
                self._lifespans.append(lifespan)
                app = asgi_handler(
                    mount.app, root_path=mount.path, state=lifespan.state, running=self._in_apps
                )
                serve = mounted(app, host, mount.path, self.metrics)
                target = Target(host.name, f"{mount.path}/", serve, mount.public, None)
                router.mount(mount.path, target)
        return router

    def _remote(self, router: Router) -> None:
        """Add the routes of services in other processes."""
        hosted = {host.name for host in self.hosts}
        for service in self.system.services:
            if service.name in hosted or not self.options.gateway or not self._engines.discover:
                continue
            edge = self._edge_to(service)
            call = functools.partial(self._behind.call, service.name)
            keyed, plain = Forward(edge, call, keyed=True), Forward(edge, call, keyed=False)
            for route in service.routes:
                forward = keyed if route.record else plain
                target = Target(service.name, route.path, forward, route.public, route.scope)
                router.add(route.method, target)
            for mount in service.mounts:
                target = Target(service.name, f"{mount.path}/", plain, mount.public, None)
                router.mount(mount.path, target)

    def _edge_to(self, service: Service) -> Edge:
        policy = hop_policy(self.system.gateway)
        return Edge(f"gateway→{service.name}", policy, self._clock, self._engines.random)

    async def _call(self, service: str, request: Request, timeout_s: float) -> Response:
        """Send a request to a process of another service."""
        return await self._replicas.call(service, request, timeout_s)

    async def _listen_inside(self, router: Router) -> None:
        """Serve the gateway and the other services; the outside comes by the gateway."""
        door = InnerDoor(router, self._queries_here, self._tracer)
        server = self._http(door, inner_limits(self.system.gateway))
        self.url = str(await self._bind(server, self.options.host, self.options.port))

    async def _listen(self, router: Router) -> None:
        options, gateway = self.options, self.system.gateway
        pages: dict[str, Callable[[Request], Response | Awaitable[Response]]] = {
            "/health/live": lambda request: in_brief(self.health.live()),
            "/health/ready": self._ready_in_brief,
            "/openapi.json": lambda request: _page(b"application/json", self._openapi()),
            "/docs": lambda request: _page(b"text/html; charset=utf-8", DOCS_PAGE.encode()),
        }
        self.door = Door(
            gateway,
            router,
            clock=self._clock,
            verifier=self._verifier(),
            limits=self._limits,
            metrics=self.metrics,
            logger=self.logger,
            tracer=self._tracer,
            pages=pages,
        )
        self.metrics.watch(catalogue.LIMITS_ALONE, self._limits.alone)
        limits = HttpLimits(body_bytes_max=gateway.body_bytes_max)
        server = self._http(self.door, limits, self.door.refusal_headers)
        self.url = str(await self._bind(server, options.host, options.port))

    async def _ready_in_brief(self, request: Request) -> Response:
        return in_brief(await self.health.ready())

    async def _listen_to_operators(self) -> None:
        """Serve health and metrics, and in the data folder the commands."""
        options, ops_port = self.options, self.options.ops_port
        if ops_port is None:
            ops_port = options.port + 1 if options.port else 0
        self._ops = self._http(self._operations, HttpLimits())
        host = LOOPBACK if options.host.startswith("unix:") else options.host
        self.ops_url = str(await self._bind(self._ops, host, ops_port))
        await self._listen_to_commands()
        face = "gateway" if options.gateway else "inside"
        self.addresses = {face: self.url, "operations": self.ops_url, **self.addresses}

    async def _bind(self, server: HttpServer, host: str, port: int) -> Origin:
        """Listen; return where, which is what is printed."""
        wanted = Origin.of(host, port)
        listener = await server.start(wanted.host, wanted.port, path=wanted.path)
        return wanted if wanted.path is not None else Origin.of(*listener.address)

    async def _listen_to_commands(self) -> None:
        if self.folder is not None:
            control = self._http(self.control, HttpLimits())
            self.folder.free_socket()
            await control.start("", 0, path=self.folder.socket)
            self.folder.guard_socket()

    async def take_commands(self) -> None:
        """Open the services and take an operator's commands; serve and carry nothing."""
        await self.open()
        await self._listen_to_commands()

    def _http(
        self,
        handler: Callable[[Request], Awaitable[Response]],
        limits: HttpLimits,
        refusal_headers: Callable[[HeaderList], HeaderList] | None = None,
    ) -> HttpServer:
        server = HttpServer(
            handler,
            network=self._network,
            clock=self._clock,
            limits=limits,
            on_error=lambda request, error: self.logger.error(
                "request.failed", exc=error, method=request.method, path=request.path
            ),
            refusal_headers=refusal_headers,
        )
        self._servers.append(server)
        return server

    async def _operations(self, request: Request) -> Response:
        """Serve the operations listener: health and metrics, for probes and Prometheus."""
        match request.path:
            case "/metrics":
                return _page(CONTENT_TYPE.encode(), self.metrics.render())
            case "/health/live":
                return self.health.live()
            case "/health/ready":
                return await self.health.ready()
            case _:
                return Response(404)

    def _watch_room(self, name: str, room: Room) -> None:
        self.metrics.watch(catalogue.POOL_RUNNING, lambda: room.stats().under_way, pool=name)
        self.metrics.watch(catalogue.POOL_WAITING, lambda: room.stats().waiting, pool=name)
        self.metrics.watch(catalogue.POOL_REFUSED, lambda: room.stats().refused, pool=name)

    def _openapi(self) -> bytes:
        """Return the OpenAPI document, made when somebody first asks for it."""
        if self._document is None:
            self._document = msgspec.json.encode(openapi(self.system))
        return self._document

    def _verifier(self) -> TokenVerifier | None:
        tokens = self.system.gateway.tokens
        if tokens is None:
            return None
        edge = Edge("gateway→keys", EdgePolicy(), self._clock, self._engines.random)
        source = KeyFetcher(tokens, self.options.environ, self._pool, self._asks, edge)
        self._keys = CachedKeys(source.fetch, self._clock, kid_required=tokens.kid_required)
        return TokenVerifier(token_policy(tokens), self._keys, self._clock)

    # -- what services reach with -----------------------------------------------------------------

    async def _send(self, external: External, request: Request, timeout_s: float) -> Response:
        origin, prefix = origin_and_path(self._urls[external.name])
        path = prefix.rstrip("/") + request.path
        outgoing = Request(request.method, path, request.query, request.headers, request.body)
        started = self._clock.monotonic()
        outcomes = self.metrics.client(request.method, origin.authority)
        outcome: int | str = "cancelled"
        try:
            response = await self._pool.request(origin, outgoing, deadline_s=timeout_s)
            outcome = response.status
        except CallError as exc:
            outcome = exc.code
            raise
        finally:
            outcomes.observe(outcome, self._clock.monotonic() - started)
        return response

    def _expect(self) -> None:
        """Make the series of what is declared: an alarm sees the first error of each."""
        metrics, hosted = self.metrics, {host.name for host in self.hosts}
        for service in self.system.services:
            for route in service.routes if self.options.gateway else ():
                outcomes = metrics.route("gateway", route.method, route.path)
                metrics.expect(outcomes, route.status_code, *SERVED_ERRORS)
            for external in service.reaches if service.name in hosted else ():
                origin, _ = origin_and_path(self._urls[external.name])
                for method in ("GET", "POST"):
                    outcomes_of = metrics.client(method, origin.authority)
                    metrics.expect(outcomes_of, 200, 500, 503, *CALL_ERRORS)

    def _watch_engines(self) -> None:
        """Show what is away. It is not needed: what comes meanwhile fails fast, or waits."""

        async def broker() -> str | None:
            return self._broker.trouble()

        async def trouble_of(stand_in: StandIn) -> str | None:
            return stand_in.trouble()

        async def database(host: ServiceHost) -> str | None:
            return await host.ledger.database.trouble()

        async def unknown(host: ServiceHost) -> str | None:
            return "; ".join(host.strangers) or None

        async def letters(host: ServiceHost) -> str | None:
            return host.attention()

        self.health.watch("broker", broker)
        self.metrics.watch(catalogue.BROKER_UP, lambda: int(self._broker.trouble() is None))
        counts = self._broker.counts
        self.metrics.watch(catalogue.BROKER_REFUSED, lambda: counts().refused_total)
        self.metrics.watch(catalogue.BROKER_REMADE, lambda: counts().remade_total)
        for host in self.hosts:
            self.health.watch(f"database of {host.name}", functools.partial(database, host))
            self.health.watch(f"versions of {host.name}", functools.partial(unknown, host))
            self.health.watch(f"letters of {host.name}", functools.partial(letters, host))

        for stand_in in self._stand_ins:
            self.health.watch(
                f"stand-in of {stand_in.name}", functools.partial(trouble_of, stand_in)
            )
            self.metrics.watch(
                catalogue.STAND_IN_RESTARTS,
                functools.partial(getattr, stand_in, "restarts"),
                external=stand_in.name,
            )

    # -- stop -----------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Drain: stop accepting, finish what is under way, hand back the rest, close."""
        self.health.draining()
        drain_s = self.options.settings.drain_s
        for server in self._servers:
            if server is not self._ops:  # probes and metrics are served to the end
                await server.drain(drain_s)
        errors: list[Exception] = []

        async def end(what: str, stop: Callable[[], Awaitable[None]]) -> None:
            try:
                async with asyncio.timeout(drain_s):
                    await stop()
            except TimeoutError:
                errors.append(TimeoutError(f"{what} did not end within {drain_s:g} s"))
            except Exception as exc:  # every hook runs; what failed is raised together
                errors.append(exc)

        await end("what mounted apps do after their answers", self._apps_idle)
        for lifespan in self._lifespans:  # its shutdown may still write through a service
            await end("a mounted app", lifespan.stop)
        await end("what was being delivered", self._broker.stop)
        for host in self.hosts:
            await end(host.name, host.stop)
        if self._ops is not None:
            await self._ops.drain(1.0)
        if self._keys is not None:
            await self._keys.close()
        await self._pool.close()
        await self._hops.close()
        await self._limits.close()
        for stand_in in self._stand_ins:
            await stand_in.stop()
        await self.close()
        if errors:
            raise ExceptionGroup("the drain was not clean", errors)

    async def _apps_idle(self) -> None:
        while self._in_apps:
            await asyncio.wait(self._in_apps)

    async def close(self) -> None:
        """Close the databases and give the data folder back."""
        for host in self.hosts:
            await host.close()
        if self.folder is not None:
            self.folder.give()


def _page(content_type: bytes, body: bytes) -> Response:
    return Response(200, [(b"content-type", content_type)], body)
