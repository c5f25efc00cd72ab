"""A Postgres of `--on` with identities: whom it lets in, and what a rotation does to them.

Certificates are of the local authority, over TLS 1.3, on a real server. What a stolen one opens is
tried, not looked up.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import asyncpg
import pytest

from holdfast.contract.spiffe import NOT_SERVICES
from holdfast.engines.identity_files import IdentityFiles
from holdfast.engines.machine import MachineClock
from holdfast.engines.postgres import PostgresDatabase
from holdfast.errors import TransactionLost
from holdfast.runtime import postgres_programs
from holdfast.runtime.local_authority import IDENTITIES, LocalAuthority
from holdfast.runtime.postgres_identity import served_certificate, tls_url
from holdfast.runtime.postgres_programs import programs_for
from holdfast.runtime.servers import Servers, running_postgres
from shop.system import shop
from tests.runtime.test_postgres_roles import at, declared, matrix, own_url

NAMES = [service.name for service in shop.services]


@asynccontextmanager
async def servers_of(folder: Path) -> AsyncIterator[tuple[Servers, LocalAuthority]]:
    """Start the shop's Postgres with identities."""
    authority = LocalAuthority(folder / IDENTITIES, "shop", MachineClock())
    servers = Servers(folder / "servers", ["postgres"], shop, authority=authority)
    await servers.start()
    try:
        yield servers, authority
    finally:
        await servers.stop()


def port_of(servers: Servers) -> int:
    """Return where it listens."""
    return int(own_url(servers, "orders").partition("127.0.0.1:")[2].partition("/")[0])


async def ask(url: str, sql: str = "SELECT 1") -> Any:
    """Ask through the engine that services use, once."""
    database = PostgresDatabase(url, MachineClock())
    try:
        connection, driver = await database.take()
        found = await driver.fetchval(sql)
        await database.give(connection)
        return found
    finally:
        await database.close()


async def test_exactly_what_is_declared_succeeds_with_certificates(tmp_path: Path) -> None:
    """The matrix of roles, where each shows its certificate; and it is TLS 1.3."""
    async with servers_of(tmp_path) as (servers, _):
        can = await matrix(servers, shop)
        spoken = await ask(
            own_url(servers, "users"),
            "SELECT version || client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
        )

    assert can == {service.name: set(declared(service)) for service in shop.services}
    assert spoken == "TLSv1.3/CN=users"


async def test_a_stolen_certificate_opens_its_own_database_alone(tmp_path: Path) -> None:
    """That of notifications: no other database, no other role, no owner."""
    async with servers_of(tmp_path) as (servers, authority):
        port, stolen = port_of(servers), authority.issue("notifications")
        roles = [*NAMES, *(f"{name}_owner" for name in NAMES), "postgres", "migrator"]
        opened = set[tuple[str, str]]()
        for role in roles:
            for database in (*NAMES, "postgres", "template1"):
                try:
                    await ask(tls_url(role, database, port, stolen))
                except TransactionLost:
                    continue
                opened.add((role, database))

    assert opened == {("notifications", "notifications")}


def context_of(shown: IdentityFiles) -> ssl.SSLContext:
    """Return what shows a certificate, to a server of an authority."""
    context = ssl.create_default_context(cafile=str(shown.trusted))
    context.load_cert_chain(shown.certificate, shown.key)
    return context


async def test_who_is_no_service_has_no_database(tmp_path: Path) -> None:
    """Their certificates are of the same authority; the migrator's is that of owners alone."""
    async with servers_of(tmp_path) as (servers, authority):
        port = port_of(servers)
        for name in sorted(NOT_SERVICES):
            for role in (name, "orders"):
                with pytest.raises(TransactionLost):
                    await ask(tls_url(role, "orders", port, authority.issue(name)))
        owner = tls_url("orders_owner", "orders", port, authority.issue("migrator"))

        assert await ask(owner, "SELECT current_user") == "orders_owner"


async def test_nobody_comes_in_without_a_certificate_of_the_authority(tmp_path: Path) -> None:
    """Not with none, not with one of another authority, not in clear, not by an older TLS."""
    async with servers_of(tmp_path) as (servers, authority):
        port, own = port_of(servers), authority.issue("orders")
        other = LocalAuthority(tmp_path / "other", "shop", MachineClock()).issue("orders")
        foreign = IdentityFiles(other.certificate, other.key, own.trusted)
        where = f"postgresql://orders@127.0.0.1:{port}/orders"
        trust = urlencode({"sslmode": "verify-full", "sslrootcert": str(own.trusted)})
        assert await ask(tls_url("orders", "orders", port, own)) == 1
        for url in (
            f"{where}?{trust}",
            f"{where}?sslmode=disable",
            f"{where}?sslmode=prefer",
            tls_url("orders", "orders", port, foreign),
            own_url(servers, "orders").replace("127.0.0.1", "127.0.0.2"),
        ):
            with pytest.raises(TransactionLost):
                await ask(url)
        with pytest.raises(TransactionLost, match=r"does not take sslcert=.*other/orders/tls.crt"):
            await ask(tls_url("orders", "orders", port, foreign))  # which looks like an outage
        with pytest.raises((OSError, asyncpg.PostgresError)):  # through the socket, as before
            await asyncpg.connect(at(servers.addresses["postgres"], "orders"), user="orders")
        old = context_of(own)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncpg.connect(where, ssl=old)


async def test_another_process_finds_it_by_the_folder(tmp_path: Path) -> None:
    """What `holdfast trace` reads while the system runs."""
    async with servers_of(tmp_path) as (servers, _):
        found = running_postgres(tmp_path / "servers", NAMES)

        assert found == servers.environ
        assert await ask(found["USERS_DATABASE_URL"], "SELECT current_user") == "users"


async def test_no_role_keeps_a_password(tmp_path: Path) -> None:
    """A folder that was used without identities had some; with them they open nothing."""
    plain = Servers(tmp_path / "servers", ["postgres"], shop)
    await plain.start()
    await plain.stop()

    async with servers_of(tmp_path) as (servers, _):
        connection = await asyncpg.connect(servers.addresses["postgres"])
        kept = await connection.fetch("SELECT rolname FROM pg_authid WHERE rolpassword IS NOT NULL")
        await connection.close()

    assert [row["rolname"] for row in kept] == ["postgres"]


async def test_rotation_of_leaf_and_authority_fails_nothing(tmp_path: Path) -> None:
    """Everything is rotated under load; the old authority's certificates open nothing then."""
    async with servers_of(tmp_path) as (servers, authority):
        rotation = servers.rotation
        assert rotation is not None
        late = asyncio.Event()
        rotation.wait = lambda seconds: late.wait()
        port, database = (
            port_of(servers),
            PostgresDatabase(own_url(servers, "orders"), MachineClock(), age_s=0.1),
        )
        old = tmp_path / "old"
        old.mkdir()
        stolen = IdentityFiles(old / "crt", old / "key", authority.trusted)
        issued = authority.issue("orders")
        stolen.certificate.write_bytes(issued.certificate.read_bytes())
        stolen.key.write_bytes(issued.key.read_bytes())
        stolen.key.chmod(0o600)
        thief = await asyncpg.connect(
            f"postgresql://orders@127.0.0.1:{port}/orders", ssl=context_of(stolen)
        )
        before, done, asked = await served_certificate(port), asyncio.Event(), 0

        async def load() -> None:
            nonlocal asked
            while not done.is_set():
                connection, driver = await database.take()
                assert await driver.fetchval("SELECT 1") == 1
                await database.give(connection)
                asked += 1

        loads = [asyncio.create_task(load()) for _ in range(3)]
        for step in (authority.announce, authority.switch, authority.forget):
            step()
            await rotation.seen()
            reached = asked + 30
            while asked < reached and not any(task.done() for task in loads):
                await asyncio.sleep(0.01)
        done.set()
        await asyncio.gather(*loads)
        await database.close()
        after = await served_certificate(port)
        with pytest.raises(TransactionLost):
            await ask(tls_url("orders", "orders", port, stolen))
        assert await ask(own_url(servers, "orders")) == 1
        assert await thief.fetchval("SELECT 1") == 1  # it was let in before
        late.set()
        await rotation.finished()
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await thief.fetchval("SELECT 1")

    assert after != before
    assert rotation.troubles.now() is None


async def test_a_file_that_the_server_cannot_use_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It goes on with the certificate before, as its own log says, and so does ours."""
    async with servers_of(tmp_path) as (servers, authority):
        rotation = servers.rotation
        assert rotation is not None
        before = await served_certificate(port_of(servers))
        files = authority.issue("postgres")
        await rotation.seen()
        good = await served_certificate(port_of(servers))
        files.certificate.write_bytes(authority.issue("orders").certificate.read_bytes())
        rotation.read_s = 0.5
        rotation.begin()
        await rotation.seen()
        told, still = rotation.troubles.now() or "", await served_certificate(port_of(servers))
        authority.issue("postgres")
        rotation.read_s = 60.0
        await rotation.seen()
        healed = await served_certificate(port_of(servers))

    assert (good != before, still == good, healed != good) == (True, True, True)
    assert "identity: its newest one is not in use" in told
    assert f"postgres: {told}" in caplog.text
    assert rotation.troubles.now() is None


async def test_a_folder_whose_version_speaks_no_tls_stays_on_its_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on, with passwords; what people are shown says so."""
    wheels = postgres_programs.WHEELS
    monkeypatch.setattr(postgres_programs, "WHEELS", wheels[::-1])
    older = Servers(tmp_path / "servers", ["postgres"], shop)
    await older.start()
    await older.stop()
    monkeypatch.setattr(postgres_programs, "WHEELS", wheels)

    async with servers_of(tmp_path) as (servers, _):
        assert await ask(own_url(servers, "users"), "SELECT current_user") == "users"
        assert servers.rotation is None
        assert (
            "its version 18 speaks no TLS here: a Unix socket, and passwords"
            in (servers.shown["postgres"])
        )


def test_the_version_of_a_folder_decides(tmp_path: Path) -> None:
    """A new one gets what speaks TLS; what nobody here can go on with is named."""
    found = [programs_for(tmp_path).speaks_tls]
    for version in ("17", "18"):
        (tmp_path / "PG_VERSION").write_text(f"{version}\n")
        found.append(programs_for(tmp_path).speaks_tls)
    (tmp_path / "PG_VERSION").write_text("16\n")

    assert found == [True, True, False]
    with pytest.raises(ModuleNotFoundError, match="version 16"):
        programs_for(tmp_path)
