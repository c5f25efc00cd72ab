"""Identities change on real servers while customers order: nobody notices, and nothing is lost.

Certificates live for minutes here, and the authority is followed by another one; every process,
Postgres and NATS take up what they find. Without a renewal an alarm comes first, and then nobody
is taken in.
"""

import asyncio
import os
import random
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from holdfast.contract.spiffe import OPERATOR
from holdfast.engines.identity_files import IdentityFiles
from holdfast.engines.machine import MachineClock
from holdfast.engines.mutual_tls import TlsIdentity
from holdfast.runtime.children import free_port
from holdfast.runtime.local_authority import IDENTITIES, LocalAuthority
from holdfast.runtime.private_file import write_private
from holdfast.runtime.servers import Servers
from holdfast.runtime.supervisor import Member, Supervisor
from holdfast.security import Authority
from holdfast.security.authority import LIFE_S as AN_HOUR_S
from holdfast.testing import Client
from shop.demo.audit import audit
from shop.demo.books import read_books, settled, unfinished
from shop.demo.customers import Customers, Placed, Wish
from shop.system import shop
from tests.chaos.books import Tables

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1_800)]

SERVICES = [service.name for service in shop.services]
AT_ONCE = 2
LIFE_S = 180.0  # an alarm comes a minute before its end
NAP_S = 60.0
SETTLE_S = 600.0


@dataclass
class Run:
    """The shop on real servers with identities, and customers who order without a pause.

    Attributes:
        placed: the orders that were taken. enough: set when customers are to end.
    """

    folder: Path
    authority: LocalAuthority
    servers: Servers
    system: Supervisor
    client: Client
    placed: list[Placed] = field(default_factory=list[Placed])
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    customers: "list[asyncio.Task[None]]" = field(default_factory=list["asyncio.Task[None]"])

    @property
    def tables(self) -> Tables:
        """The databases."""
        return Tables.of(self.servers, SERVICES)

    async def ordered(self, count: int = 12) -> None:
        """Wait for some more orders."""
        wanted = len(self.placed) + count
        while len(self.placed) < wanted:
            await asyncio.sleep(0.05)

    async def taken(self, identity: TlsIdentity) -> set[bool]:
        """Return whether processes take an identity in at their operations ports, and it them."""
        return {bool(await self.serial(one, identity)) for one in self.system.members.values()}

    async def serials(self, identity: TlsIdentity) -> list[str]:
        """Return the certificates that the processes show."""
        return [await self.serial(one, identity) for one in self.system.members.values()]

    async def serial(self, member: Member, identity: TlsIdentity) -> str:
        """Return the serial number of a process that answers; "": one refuses the other."""
        at, tls = member.operations.reachable, identity.reaches("")
        try:
            reader, writer = await asyncio.open_connection(at.host, at.port, ssl=tls)
        except OSError:
            return ""
        try:
            writer.write(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
            line = await reader.readline()  # who is refused by TLS 1.3 reads nothing
            shown = writer.get_extra_info("ssl_object").getpeercert()
        except OSError:
            return ""
        finally:
            writer.transport.abort()
        return str(shown["serialNumber"]) if b" 200 " in line else ""

    async def told(self, name: str, path: str, identity: TlsIdentity) -> str:
        """Return what a process says at its operations port."""
        at, tls = self.system.members[name].operations.reachable, identity.reaches("")
        reader, writer = await asyncio.open_connection(at.host, at.port, ssl=tls)
        writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        said = await reader.read()
        writer.close()
        return said.decode()

    async def reconciled(self) -> list[str]:
        """Let customers end, and all be settled; return what does not fit in the books."""
        self.enough.set()
        await asyncio.gather(*self.customers)
        async with asyncio.timeout(SETTLE_S):
            while await asyncio.to_thread(settled, self.tables) < len(
                self.placed
            ) or await asyncio.to_thread(unfinished, self.tables):
                await asyncio.sleep(1)
        books = await asyncio.to_thread(read_books, self.tables, self.folder / "processor.db")
        return audit([placed.id for placed in self.placed], books).all()

    @property
    def sent_again(self) -> list[str]:
        """The requests that a customer had to send more than once."""
        return [placed.wish.key for placed in self.placed if placed.tries > 1]


@asynccontextmanager
async def ordering(folder: Path, life_s: float = AN_HOUR_S) -> AsyncIterator[Run]:
    """Run the shop, and order from it without a pause; certificates live for so long."""
    chance = random.Random(1)
    authority = LocalAuthority(folder / IDENTITIES, shop.name, MachineClock(), life_s)
    kinds = ["postgres", "nats", "redis"]
    servers = Servers(folder / "servers", kinds, shop, authority=authority)
    await servers.start()
    system = Supervisor(
        shop,
        "shop",
        folder,
        host="127.0.0.1",
        port=free_port(),
        ops_port=None,
        replicas={},
        environ={**os.environ, **servers.environ, "HOLDFAST_LOG_LEVEL": "error"},
        drain_s=60.0,
        authority=authority,
    )
    client = Client(system.url)
    run = Run(folder, authority, servers, system, client)
    customers = Customers(client, chance)

    async def order(customer: int) -> None:
        number = 0
        while not run.enough.is_set():
            number += 1
            wish = Wish(f"{customer}-{number}", "tok_ok", (("LANTERN", 1),))
            run.placed.append(await customers.place(customer, wish))
            await asyncio.sleep(chance.uniform(0, 0.2))

    try:
        await system.start()
        await customers.register()
        run.customers = [asyncio.create_task(order(number)) for number in range(AT_ONCE)]
        yield run
    finally:
        for task in run.customers:
            task.cancel()
        await asyncio.gather(*run.customers, return_exceptions=True)
        await client.close()
        await system.stop()
        await servers.stop()


def operator(folder: Path, authority: Authority, trusted: Path) -> TlsIdentity:
    """Return an operator whose certificate an authority has just issued."""
    folder.mkdir()
    issued = authority.issue(OPERATOR, now_s=MachineClock().now())
    files = IdentityFiles(folder / "tls.crt", folder / "tls.key", folder / "ca.crt")
    write_private(files.certificate, issued.certificate)
    write_private(files.key, issued.key)
    write_private(files.trusted, trusted.read_bytes())
    return TlsIdentity(files, shop.name, MachineClock(), lambda reason, why: None)


def kept(folder: Path, which: str) -> Authority:
    """Return an authority of the folder: `own`, or `next`."""
    certificate, key = (folder / IDENTITIES / f"{which}.{end}" for end in ("crt", "key"))
    return Authority.from_pem(shop.name, certificate.read_bytes(), key.read_bytes())


async def until(what: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something; the test's time-out is the bound."""
    while not await what():
        await asyncio.sleep(0.5)


async def test_leaf_key_and_authority_change_and_nobody_notices(tmp_path: Path) -> None:
    """Announced, switched, forgotten; who is started after that comes to every server."""
    async with ordering(tmp_path) as run:
        authority = run.authority
        old = operator(tmp_path / "old", kept(tmp_path, "own"), authority.trusted)
        first = await run.serials(old)
        await run.ordered()
        for name in [*SERVICES, "gateway", "nats", "postgres", "redis"]:
            authority.issue(name)
        await until(all_changed(run, old, first))
        await run.ordered()
        authority.announce()
        both = operator(tmp_path / "both", kept(tmp_path, "next"), authority.trusted)

        async def next_is_taken() -> bool:
            return await run.taken(both) == {True}

        await until(next_is_taken)
        first = await run.serials(both)
        authority.switch()
        await until(all_changed(run, both, first))
        assert await run.taken(both) == {True}
        authority.forget()

        async def old_is_out() -> bool:
            return await run.taken(old) == {False}

        await until(old_is_out)
        await run.ordered()
        for name in ("payments-1", "notifications-1"):  # for which no request waits
            await run.system.restart(name)
        await run.ordered()
        wrong = await run.reconciled()

    print(f"{len(run.placed)} orders, {len(run.sent_again)} of them sent again", file=sys.stderr)
    assert wrong == []
    assert run.sent_again == [], "a customer's request failed"


def all_changed(
    run: Run, identity: TlsIdentity, before: list[str]
) -> Callable[[], Awaitable[bool]]:
    """Return what says whether every process shows another certificate than before."""

    async def changed() -> bool:
        return not set(await run.serials(identity)) & {*before, ""}

    return changed


async def test_who_is_not_renewed_raises_an_alarm_and_then_is_refused(tmp_path: Path) -> None:
    """The alarm comes while all is well; a certificate that comes late is taken up by itself."""
    async with ordering(tmp_path) as run:
        authority = run.authority
        visitor = operator(tmp_path / "visitor", kept(tmp_path, "own"), authority.trusted)
        member = run.system.members["orders-1"]
        LocalAuthority(tmp_path / IDENTITIES, shop.name, MachineClock(), LIFE_S).issue("orders")

        async def alarmed() -> bool:
            return "expires in" in await run.told("orders-1", "/health/ready", visitor)

        await until(alarmed)
        metrics = await run.told("orders-1", "/metrics", visitor)
        [left] = re.findall(
            r"^holdfast_certificate_expires_seconds\S* (\S+)", metrics, re.MULTILINE
        )
        assert 0 < float(left) < LIFE_S
        assert run.sent_again == []

        async def refused() -> bool:
            return not await run.serial(member, visitor)

        await until(refused)
        authority.issue("orders")

        async def taken() -> bool:
            return bool(await run.serial(member, visitor))

        await until(taken)
        await run.ordered()
        wrong = await run.reconciled()

    assert wrong == []


async def test_a_machine_that_slept_for_longer_than_certificates_live_heals(tmp_path: Path) -> None:
    """As a laptop does: all have expired when it wakes, and nobody starts anything again."""
    async with ordering(tmp_path, NAP_S) as run:
        authority = run.authority
        visitor = operator(tmp_path / "visitor", kept(tmp_path, "own"), authority.trusted)
        await run.ordered()

        async def nobody_is_taken() -> bool:
            return await run.taken(visitor) == {False}

        await until(nobody_is_taken)  # nothing has issued since the start
        authority.start()

        async def all_are_taken() -> bool:
            return await run.taken(visitor) == {True}

        await until(all_are_taken)
        await run.ordered()
        await run.system.restart("payments-1")  # it comes to every server by what it finds
        await run.ordered()
        wrong = await run.reconciled()
        authority.stop()

    assert wrong == []
