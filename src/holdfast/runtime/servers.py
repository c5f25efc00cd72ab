"""Real servers on one machine, with nothing to install: Postgres, NATS and Redis from their wheels.

What they keep is in the data folder. They are children of this process and end with it. Other users
of the machine can reach their ports, so each wants to know who comes: by certificates of the local
authority, or by passwords that are drawn once and kept in the folder; Redis has a socket alone.
"""

import asyncio
import importlib
import re
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast.contract.spiffe import MIGRATOR, NATS, PROVISIONER
from holdfast.engines.machine import MachineClock
from holdfast.engines.mutual_tls import TlsIdentity
from holdfast.engines.postgres_driver import DriverConnection
from holdfast.errors import OldSchema, SettingError
from holdfast.migrations import Revisions, make, regrant
from holdfast.runtime.children import stop_child, stop_stranger
from holdfast.runtime.folder import DataFolder
from holdfast.runtime.identity import RefusedPeers
from holdfast.runtime.known import KnownDatabases
from holdfast.runtime.local_authority import IDENTITIES, LocalAuthority, files_in
from holdfast.runtime.nats_server import NatsServer
from holdfast.runtime.postgres_identity import tls_url
from holdfast.runtime.postgres_roles import PostgresRoles, owner_of, refuse_names
from holdfast.runtime.postgres_server import PostgresServer, listens, url_of
from holdfast.runtime.provisioning import provisioner_of
from holdfast.runtime.redis_server import RedisServer
from holdfast.runtime.server_child import missing
from holdfast.runtime.server_passwords import ServerPasswords
from holdfast.runtime.variables import BROKER_URL, REDIS_URL, database_variable
from holdfast.system import System

if TYPE_CHECKING:
    from holdfast.engines.nats_provisioner import NatsProvisioner
    from holdfast.runtime.nats_rotation import NatsRotation
    from holdfast.runtime.postgres_rotation import PostgresRotation

KINDS = ("postgres", "nats", "redis")


def kinds_of(on: str) -> tuple[str, ...]:
    """Read `postgres,nats`."""
    return tuple(kind.strip() for kind in on.split(",") if kind.strip())


class Servers:
    """The servers of one data folder.

    Args:
        kinds: of KINDS.
        system: each service of it gets a database and a role of its own.
        typed: see `Options.typed`.
        authority: issues their identities; None: they know nobody but passwords.

    Attributes:
        children: {kind: its process}. environ: what processes are told of them.
        owners: {service: its database, for the role that may change tables}; no process that
            serves is told. addresses: {kind: where everything may be done with it}.
        rotation, nats_rotation: see changes of the identity of Postgres, and of NATS, through;
            None: it has none.
    """

    def __init__(
        self,
        folder: Path,
        kinds: Sequence[str],
        system: System,
        *,
        typed: str = "",
        authority: LocalAuthority | None = None,
    ) -> None:
        unknown = sorted(set(kinds) - set(KINDS))
        if unknown:
            raise SettingError(
                [f"--on {','.join(kinds)}: there is no {unknown[0]}; there are {', '.join(KINDS)}"]
            )
        self.folder = folder.resolve()
        self._lock = DataFolder(folder)
        self._passwords = ServerPasswords(self.folder)
        self._authority = authority
        self._provisioner: NatsProvisioner | None = None
        self._kinds, self._system, self._typed = kinds, system, typed or system.name
        self._services = [service.name for service in system.services]
        self._postgres: PostgresServer | None = None
        self._redis: RedisServer | None = None
        self.rotation: PostgresRotation | None = None
        self.nats_rotation: NatsRotation | None = None
        self.children: dict[str, asyncio.subprocess.Process] = {}
        self.environ: dict[str, str] = {}
        self.owners: dict[str, str] = {}
        self.addresses: dict[str, str] = {}

    @property
    def shown(self) -> dict[str, str]:
        """Their addresses, for people: without passwords."""
        found = {name: re.sub("//[^@/]*@", "//", url) for name, url in self.addresses.items()}
        server = self._postgres
        if server is not None and self._authority is not None and server.identity is None:
            version = server.programs.version
            why = f"its version {version} speaks no TLS here: a Unix socket, and passwords"
            found["postgres"] += f" ({why})"
        return found

    async def start(self, *, new_tables: bool = True) -> None:
        """Start them; fill `environ` with where they are.

        Args:
            new_tables: made in databases that are new, by their services' revisions.
        Raises:
            OldSchema: a database lacks revisions.
            SettingError: one of them is not installed, or does not start.
            DataFolderBusy: another process has started servers there.
            DataFolderUnfit: others may look into it, or it cannot be written.
            DatabaseElsewhere: the databases are in files beside it.
        """
        if "postgres" in self._kinds:
            refuse_names(self._services)
        if "postgres" in self._kinds and not (self.folder / "postgres" / "PG_VERSION").exists():
            KnownDatabases(self.folder.parent).refuse_files()
        self._lock.take()
        try:
            if "postgres" in self._kinds:
                await self._start_postgres()
                await self._make_tables(new_tables)
            if "nats" in self._kinds:
                await self._start_nats()
            if "redis" in self._kinds:
                await self._start_redis()
        except BaseException:  # raised again: no server is left running
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop them, and those that somebody has restarted by hand."""
        if self.nats_rotation is not None:
            self.nats_rotation.stop()
        if self._provisioner is not None:
            await self._provisioner.stop()
            self._provisioner = None
        if self.rotation is not None:
            self.rotation.stop()
        if self._postgres is not None:
            await self._postgres.stop()
            self._postgres = None
            self.children.pop("postgres", None)
        for name, child in self.children.items():
            await stop_child(child)
            await stop_stranger(self.folder / f"{name}.pid", self.folder)
        self.children.clear()
        if self._redis is not None:
            self._redis.close()
        self._lock.give()

    async def _start_postgres(self) -> None:
        authority = self._authority
        try:
            driver: Any = importlib.import_module("asyncpg")  # it has no types
            password, known = self._passwords.of("server:postgres")
            server = PostgresServer(
                self.folder / "postgres",
                self.folder / "postgres.log",
                password,
                services=self._services,
                identity=authority.issue("postgres") if authority is not None else None,
            )
            self._postgres = server
            await server.start(know_password=known)
        except ModuleNotFoundError as exc:
            raise missing(exc) from exc
        assert server.process is not None
        self.children["postgres"] = server.process
        self.addresses["postgres"] = server.administrator

        def connect(database: str) -> Awaitable[DriverConnection]:
            made: Awaitable[DriverConnection] = driver.connect(server.administrator_of(database))
            return made

        proven = authority if server.identity is not None else None
        roles = PostgresRoles(
            connect, lambda role: None if proven is not None else self._passwords.of(role)[0]
        )
        await roles.provide(self._services)
        if proven is None:
            self._tell_passwords(server)
            return
        from holdfast.runtime.postgres_rotation import PostgresRotation  # it needs the driver

        self.rotation = PostgresRotation(server, lambda: connect("postgres"))
        proven.tell("postgres", self.rotation.begin)
        migrator = proven.issue(MIGRATOR)
        for name in self._services:
            own = tls_url(name, name, server.port, proven.issue(name))
            self.environ[database_variable(name)] = own
            self.owners[name] = tls_url(owner_of(name), name, server.port, migrator)

    def _tell_passwords(self, server: PostgresServer) -> None:
        for name in self._services:
            owner, password = owner_of(name), self._passwords.of
            self.environ[database_variable(name)] = server.url(name, password(name)[0], name)
            self.owners[name] = server.url(owner, password(owner)[0], name)

    async def _make_tables(self, wanted: bool) -> None:
        """Make those of new databases; in all, grant the roles that serve what they need."""
        old: list[str] = []
        for service in self._system.services:
            revisions = Revisions(f"{self._typed} --on postgres", service)
            act = make if wanted else regrant
            try:
                await act(revisions, self.owners[service.name], role=service.name)
            except OldSchema as exc:
                old.append(str(exc))
        if old:
            raise OldSchema("\n".join(old))

    async def restart_postgres(self) -> None:
        """Restart Postgres without a word to anybody, as a failing machine would."""
        assert self._postgres is not None
        await self._postgres.crash()
        assert self._postgres.process is not None
        self.children["postgres"] = self._postgres.process

    async def _start_nats(self) -> None:
        server, authority = NatsServer(self.folder), self._authority
        if authority is None:
            password, _ = self._passwords.of("server:nats")
            self.children["nats"] = await server.start_with_password(password)
        else:
            graph = self._system.graph()
            self.children["nats"] = await server.start_with_identities(authority, graph)
        self.environ[BROKER_URL] = self.addresses["nats"] = server.url
        if authority is not None:
            await self._provision(authority, server)

    async def _provision(self, authority: LocalAuthority, server: NatsServer) -> None:
        """Make the streams, and see to them as long as the servers run."""
        name = self._system.name
        identity = TlsIdentity(authority.issue(PROVISIONER), name, MachineClock(), RefusedPeers())

        def look() -> None:
            identity.look()

        authority.tell(PROVISIONER, look)
        self._provisioner = provisioner_of(self._system, self.environ, identity)
        self._provisioner.start()
        await self._provisioner.ready()
        from holdfast.runtime.nats_rotation import NatsRotation  # it needs the client

        assert server.certificate is not None and self._provisioner.servers is not None
        self.nats_rotation = NatsRotation(
            server.certificate, server.read_again, self._provisioner.servers.figures
        )
        authority.tell(NATS, self.nats_rotation.begin)

    async def _start_redis(self) -> None:
        self._redis = server = RedisServer(self.folder, self._passwords, self._system.name)
        self.children["redis"] = await server.start()
        self.environ[REDIS_URL], self.addresses["redis"] = server.url, server.administrator


def running_postgres(folder: Path, services: Sequence[str]) -> dict[str, str]:
    """Return {variable: URL} of the databases of a Postgres that another process has started.

    Args:
        folder: of the servers.
    """
    sockets, port = listens(folder / "postgres")
    if port:
        own = {name: files_in(folder.parent / IDENTITIES / name) for name in services}
        return {database_variable(n): tls_url(n, n, port, files) for n, files in own.items()}
    passwords = ServerPasswords(folder).known()
    return {
        database_variable(name): url_of(name, passwords[name], name, sockets)
        for name in services
        if name in passwords
    }
