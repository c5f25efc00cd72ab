"""PgBouncer where everybody has an identity: it asks for certificates, and shows one to Postgres.

It shows the same certificate for all who come through it, so there is one for each service, with
that service's own: what Postgres lets in is the role, and nothing more.
"""

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from holdfast.engines.identity_files import IdentityFiles
from holdfast.engines.machine import MachineClock
from holdfast.engines.postgres import PostgresDatabase
from holdfast.errors import TransactionLost
from holdfast.runtime.children import free_port
from holdfast.runtime.local_authority import IDENTITIES, LocalAuthority
from holdfast.runtime.postgres_identity import served_certificate, tls_url
from holdfast.runtime.servers import Servers
from shop.system import shop
from tests.servers import pgbouncer

pytestmark = pytest.mark.chaos

SETTINGS = """\
auth_type = cert
auth_file = {folder}/users
client_tls_sslmode = verify-full
client_tls_protocols = tlsv1.3
client_tls_cert_file = {folder}/own.crt
client_tls_key_file = {folder}/own.key
client_tls_ca_file = {folder}/clients.crt
server_tls_sslmode = verify-full
server_tls_protocols = tlsv1.3
server_tls_cert_file = {folder}/shown.crt
server_tls_key_file = {folder}/shown.key
server_tls_ca_file = {folder}/servers.crt
"""
"""Whom it trusts is told twice, in two files: one for both would break one side when it changes."""
SPOKEN = "SELECT version || client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@dataclass(frozen=True, slots=True)
class Pooled:
    """A Postgres with identities, behind the PgBouncer of `orders`."""

    authority: LocalAuthority
    port: int
    folder: Path
    process: "subprocess.Popen[bytes]"

    def database(self, name: str = "orders", shown: IdentityFiles | None = None) -> Any:
        """Return the database of orders, through it, for who shows a certificate."""
        url = tls_url("orders", "orders", self.port, shown or self.authority.issue(name))
        return PostgresDatabase(url, MachineClock(), pooled=True)

    async def ask(self, database: Any, sql: str = "SELECT 1") -> Any:
        """Ask once."""
        connection, driver = await database.take()
        try:
            return await driver.fetchval(sql)
        finally:
            await database.give(connection)

    def read_again(self) -> None:
        """Have it read its files."""
        self.process.send_signal(signal.SIGHUP)

    @property
    def log(self) -> str:
        """What it says."""
        return (self.folder / "log").read_text()


@asynccontextmanager
async def pooled(folder: Path) -> AsyncIterator[Pooled]:
    """Start both."""
    authority = LocalAuthority(folder / IDENTITIES, shop.name, MachineClock())
    servers = Servers(folder / "servers", ["postgres"], shop, authority=authority)
    await servers.start()
    try:
        own = servers.environ["ORDERS_DATABASE_URL"]
        at = own.partition("127.0.0.1:")[2].partition("/")[0]
        port = free_port()
        files = {"users": '"orders" ""\n', **identities(authority)}
        databases = f"orders = host=127.0.0.1 port={at} user=orders"
        with pgbouncer(port, databases, SETTINGS, "nobody", files) as (where, process):
            yield Pooled(authority, port, where, process)
    finally:
        await servers.stop()


def identities(authority: LocalAuthority) -> dict[str, str]:
    """Return {file: text}: what it shows to services, as a server, and to Postgres, as one."""
    own, shown = authority.issue("postgres"), authority.issue("orders")
    return {
        "own.crt": own.certificate.read_text(),
        "own.key": own.key.read_text(),
        "clients.crt": authority.trusted.read_text(),
        "shown.crt": shown.certificate.read_text(),
        "shown.key": shown.key.read_text(),
        "servers.crt": authority.trusted.read_text(),
    }


async def test_a_service_is_itself_on_both_sides(tmp_path: Path) -> None:
    """It shows its certificate to PgBouncer, and PgBouncer the same name to Postgres."""
    async with pooled(tmp_path) as run:
        database = run.database()
        spoken = await run.ask(database, SPOKEN)
        role = await run.ask(database, "SELECT current_user")
        await database.close()

    assert (spoken, role) == ("TLSv1.3/CN=orders", "orders")


async def test_nobody_else_comes_through_it(tmp_path: Path) -> None:
    """Another service, another authority, nobody, and somebody in clear."""
    async with pooled(tmp_path) as run:
        other = LocalAuthority(tmp_path / "other", shop.name, MachineClock()).issue("orders")
        foreign = IdentityFiles(other.certificate, other.key, run.authority.trusted)
        where = f"postgresql://orders@127.0.0.1:{run.port}/orders"
        trusted = f"sslmode=verify-full&sslrootcert={run.authority.trusted}"
        strangers = [
            run.database("notifications"),
            run.database(shown=foreign),
            *(
                PostgresDatabase(f"{where}?{query}", MachineClock(), pooled=True)
                for query in (trusted, "sslmode=disable", "sslmode=prefer")
            ),
        ]
        for stranger in strangers:
            with pytest.raises(TransactionLost):
                await run.ask(stranger)
            await stranger.close()
        known = run.database()
        still = await run.ask(known)
        await known.close()

    assert still == 1


async def test_its_certificates_change_while_it_serves(tmp_path: Path) -> None:
    """Who is connected goes on; the next handshake has the new one; a wrong key changes nothing."""
    async with pooled(tmp_path) as run:
        database = run.database()
        connection, driver = await database.take()
        before = await served_certificate(run.port)
        for name, text in identities(run.authority).items():
            (run.folder / name).write_text(text)
        run.read_again()
        while (after := await served_certificate(run.port)) == before:
            await asyncio.sleep(0.05)
        went_on = await driver.fetchval("SELECT 1")
        anew = await run.ask(database, SPOKEN)
        (run.folder / "own.key").write_text(run.authority.issue("users").key.read_text())
        told = len(run.log)
        run.read_again()
        while "tls" not in run.log[told:].lower():
            await asyncio.sleep(0.05)
        kept = await served_certificate(run.port)
        await database.give(connection)
        await database.close()

    assert (went_on, anew) == (1, "TLSv1.3/CN=orders")
    assert kept == after
