"""One running process of a system: what it is made of, its start and its stop."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from holdfast.contract.spiffe import SIGNER
from holdfast.dispatch.entrance import Entrance
from holdfast.engines.machine import MachineClock
from holdfast.errors import SettingError
from holdfast.gateway import Door
from holdfast.observability import Health, Logger, Metrics, catalogue
from holdfast.runtime.apart import make_apart
from holdfast.runtime.audit import audit_of
from holdfast.runtime.databases import open_databases
from holdfast.runtime.drain import BEGUN_S, Drain
from holdfast.runtime.engines import Engines, engines_of
from holdfast.runtime.figures import LoopLag
from holdfast.runtime.folder import DataFolder
from holdfast.runtime.identity import (
    IdentityWatch,
    RefusedPeers,
    check_hosted,
    identity_of,
)
from holdfast.runtime.listeners import Listeners
from holdfast.runtime.options import Options as Options
from holdfast.runtime.pages import OperationsPages
from holdfast.runtime.public_certificate import PUBLIC, PublicWatch, public_tls_of
from holdfast.runtime.signing import signer_of
from holdfast.runtime.variables import TOKENS_CERTIFICATE, TOKENS_KEY
from holdfast.runtime.watches import (
    expect,
    watch_broker,
    watch_databases,
    watch_edges,
    watch_hosts,
    watch_places,
    watch_pool,
    watch_room,
    watch_server,
    watch_stand_ins,
)
from holdfast.runtime.wiring import Wiring
from holdfast.system import System


class Process:
    """One running process of a system.

    Args:
        engines: what it runs on; embedded ones in the data folder by default. Whoever brings
            engines has checked the system, and has new databases in them.
        witness: see `consistency.unit.Units`.
        folder: the data folder, if it has been taken before.
    Raises:
        DeclarationError, SettingError: it cannot be made so.
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
        self.system, self.options, self.logger = system, options, logger
        if folder is None and options.data is not None:
            folder = DataFolder(options.data)
        self.folder = folder
        self.health = Health()
        self.metrics = Metrics(system.name, system.slos())
        self._brought = engines is not None
        self._refusals = RefusedPeers(logger)
        self._identity = (
            None if self._brought else identity_of(options.environ, system.name, self._refusals)
        )
        if self._identity is not None:
            check_hosted(self._identity, options.hosted(system), gateway=options.gateway)
        self._signer = (
            signer_of(options.environ, system.name, MachineClock())
            if self._identity is not None and options.gateway
            else None
        )
        self._public = (
            public_tls_of(options.environ, options.host)
            if options.gateway and not self._brought
            else None
        )
        self._identity_watches = self._watches()
        self._engines = engines = engines or self._embedded()
        self._check_signer()
        self._listeners = Listeners(
            options, engines.network, engines.clock, logger, engines.identity, self._public
        )
        self.audit = audit_of(system, options, engines, logger, self.folder)
        self._wiring = Wiring(
            system, options, engines, logger, self.health, self.metrics, self.audit, witness
        )
        self.hosts = self._wiring.hosts
        self.control = self._wiring.control
        self.externals = self._wiring.externals

    def _watches(self) -> list[IdentityWatch]:
        """Return what follows the files of who this process is, inside and to clients."""
        found: list[IdentityWatch] = []
        if self._identity is not None:
            found.append(IdentityWatch(self._identity, self.logger))
        if self._signer is not None:
            signer = IdentityWatch(self._signer, self.logger, "signer", catalogue.SIGNER_EXPIRES)
            found.append(signer)
        if self._public is not None:
            found.append(PublicWatch(self._public, self.logger, PUBLIC))
        return found

    def _check_signer(self) -> None:
        """Refuse a gateway that no service would believe. Raises SettingError."""
        engines = self._engines
        forwards = self.options.gateway and engines.discover is not None
        if not forwards or self.system.gateway.tokens is None:
            return
        if engines.identity is not None and engines.signer is None:
            raise SettingError(
                [
                    f"{TOKENS_CERTIFICATE} and {TOKENS_KEY} are missing: services believe nobody "
                    f"else about who calls; set them to the certificate of {SIGNER} and its key"
                ]
            )

    def _embedded(self) -> Engines:
        assert self.folder is not None, "embedded engines have a data folder"
        settings = self.options.settings
        engines = engines_of(
            self.system.name,
            self.options.hosted(self.system),
            self.options.environ,
            self.folder.database,
            threads=settings.threads,
            computing=settings.compute_threads,
            share_port=settings.share_port,
            on_room=functools.partial(watch_room, self.health, self.metrics),
            identity=self._identity,
        )
        return replace(engines, signer=self._signer)

    @property
    def door(self) -> Door:
        """The gateway, of a process that is one."""
        assert isinstance(self._wiring.door, Door)
        return self._wiring.door

    @property
    def gate(self) -> Entrance:
        """What lets requests in."""
        return self._wiring.gate

    @property
    def url(self) -> str:
        """Where it serves requests; "" before it does."""
        return self._listeners.url

    @property
    def ops_url(self) -> str:
        """Where it serves probes and metrics; "" before it does."""
        return self._listeners.ops_url

    @property
    def addresses(self) -> dict[str, str]:
        """{what: where}, of all that it started to listen."""
        face = "gateway" if self.options.gateway else "inside"
        stand_ins = {stand_in.name: stand_in.url for stand_in in self.externals.stand_ins}
        return {face: self.url, "operations": self.ops_url, **stand_ins}

    # -- start ----------------------------------------------------------------------------------

    async def open(self, *, to_look: bool = False) -> None:
        """Take the data folder and open the services, without serving anything.

        Args:
            to_look: only the framework's own tables are read; those of services may be old.
        """
        if self.folder is not None:
            self.folder.take()
        await self._open(to_look=to_look)

    async def _open(self, *, to_look: bool) -> None:
        if self.folder is None or self._brought:
            for host in self.hosts:
                await host.open()
        else:
            typed = self.options.typed or self.system.name
            if self.options.alone:
                make_apart(self.hosts, self.folder, typed)
            await open_databases(self.hosts, self.folder, typed, to_look=to_look)

    async def start(self) -> None:
        """Start everything; when this returns the process is ready."""
        if self.folder is not None:
            self.folder.take()
            if self.options.locals:  # they start, for a third of our own start, beside what follows
                await self.externals.begin(self.folder.path)
        await self._open(to_look=False)
        self._wiring.telemetry.start()
        await self.externals.wait()
        for host in self.hosts:
            await host.start()
        await self._wiring.route()
        door, gateway = self._wiring.door, self.system.gateway
        if isinstance(door, Door):
            await self._listeners.gateway(door, self._wiring.gate, gateway)
        else:
            await self._listeners.inside(door, self._wiring.gate, gateway)
        proven = self._engines.identity is not None
        await self._listeners.operations(OperationsPages(self.health, self.metrics, proven=proven))
        await self._take_commands()
        self._watch_identity()
        if self.hosts:  # a gateway alone sends no letter, and does not connect
            watch_broker(self.health, self.metrics, self._engines.broker)
        watch_hosts(self.health, self.hosts)
        watch_edges(self.health, "edges of the gateway", self._wiring.elsewhere.edges)
        watch_databases(self.metrics, self.hosts)
        watch_pool(self.metrics, self._wiring.pool)
        watch_server(self.metrics, self._listeners.front)
        watch_places(self.health, self.metrics, self._wiring.room)
        watch_stand_ins(self.health, self.metrics, self.externals.stand_ins)
        expect(self.metrics, self.system, self.externals, gateway=self.options.gateway)
        self.health.started()

    def _watch_identity(self) -> None:
        if self._identity is not None:
            self._refusals.watch(self.metrics, self.audit)
        if self._public is not None:
            self._listeners.handshakes.watch(self.metrics)
        for watch in self._identity_watches:
            watch.watch(self.health, self.metrics)
            watch.start()

    def loop_lag(self) -> LoopLag:
        """Return what looks at the event loop, to be started."""
        return LoopLag(self.metrics.loop_lag(), self._engines.clock)

    async def take_commands(self) -> None:
        """Open the services and take an operator's commands; serve and carry nothing."""
        await self.open()
        await self._take_commands()

    async def _take_commands(self) -> None:
        if self.folder is not None:
            await self._listeners.commands(self.control, self.folder)

    # -- stop -----------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Drain: stop accepting, finish what is under way, hand back the rest, close.

        Raises:
            ExceptionGroup: something did not end well, or not in time.
        """
        self.health.draining()
        drain = Drain(self.options.settings.drain_s)
        await self._listeners.drain(drain)
        await drain.end("what mounted apps do after their answers", self._wiring.apps.idle)
        for lifespan in self._wiring.apps.lifespans:  # its shutdown may write through a service
            await drain.end("a mounted app", lifespan.stop)
        await drain.end("what was being delivered", self._engines.broker.stop)
        for host in self.hosts:
            await drain.end(host.name, host.stop, BEGUN_S)
        await drain.end("traces", self._wiring.telemetry.stop)
        for watch in self._identity_watches:
            watch.stop()
        await self._listeners.close()
        await self._wiring.close()
        await self.close()
        drain.finish()

    async def close(self) -> None:
        """Close the databases and give the data folder back."""
        for host in self.hosts:
            await host.close()
        self.audit.close()
        if self.folder is not None:
            self.folder.give()
