"""The shop on real engines, while everything that runs it is killed, stopped and emptied.

Eleven processes (two of each service, and the gateway), each with an identity of its own, Postgres
and three NATS nodes that know who is who. Customers keep ordering; at the end a reader of its own
audits the databases and the card processor's ledger against what the customers were told.
"""

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from holdfast.contract.spiffe import NATS, PROVISIONER
from holdfast.engines.machine import MachineClock
from holdfast.engines.mutual_tls import TlsIdentity
from holdfast.runtime.children import free_port
from holdfast.runtime.identity import RefusedPeers
from holdfast.runtime.local_authority import IDENTITIES, LocalAuthority
from holdfast.runtime.nats_settings import nats_accounts, nats_tls
from holdfast.runtime.provisioning import provisioner_of
from holdfast.runtime.servers import Servers
from holdfast.runtime.supervisor import Supervisor
from holdfast.testing import Client
from shop.demo.audit import audit
from shop.demo.books import read_books, settled, unfinished
from shop.demo.customers import Customers, Placed, wishes
from shop.system import shop
from tests.chaos.books import Tables
from tests.children import card_processor
from tests.servers import Nats, nats_cluster

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1_800)]

AT_ONCE = 6
PAUSE_S = (0.5, 2.5)  # between two misfortunes
LONG_S = 40
EACH = 3  # orders that are placed between two misfortunes, at least
THOUGHT_S = 0.6  # between two orders of a customer: steady load, also while the broker is away
SETTLE_S = 600.0
SERVICES = [service.name for service in shop.services]


_STUCK = """
SELECT receiver, lane, kind, state, tries, reached, count(*) AS rows,
  min(due_at - (extract(epoch FROM clock_timestamp()) * 1000)::bigint) AS due_in_ms, max(error)
FROM holdfast_message JOIN holdfast_edge ON edge = holdfast_edge.id
WHERE state IN ('due', 'held', 'dead') AND kind NOT IN ('tick', 'request') GROUP BY 1, 2, 3, 4, 5, 6
"""


class Metal:
    """Everything that runs, and what can befall it."""

    def __init__(
        self, folder: Path, nodes: list[Nats], authority: LocalAuthority, chance: random.Random
    ) -> None:
        self.folder, self.nodes, self.chance = folder, nodes, chance
        self.authority = authority
        self.servers = Servers(folder / "servers", ["postgres"], shop, authority=authority)
        self.processor = card_processor(folder, hang_s=3.0)
        self.told: list[str] = []

    async def start(self) -> None:
        """Start it all."""
        await self.processor.start()
        await self.servers.start()
        self.authority.start()
        broker = {
            "BROKER_URL": ",".join(f"tls://127.0.0.1:{node.port}" for node in self.nodes),
            "BROKER_COPIES": "3",
        }
        files, refused = self.authority.issue(PROVISIONER), RefusedPeers()
        identity = TlsIdentity(files, shop.name, MachineClock(), refused)
        self.provisioner = provisioner_of(shop, broker, identity)
        self.provisioner.start()
        await self.provisioner.ready()
        environ = {
            **os.environ,
            **self.servers.environ,
            **broker,
            "PROCESSOR_URL": self.processor.url,
            "HOLDFAST_LOG_LEVEL": os.environ.get("HOLDFAST_LOG_LEVEL", "error"),
            "HOLDFAST_DRAIN_S": "5",
        }
        self.shop = Supervisor(
            shop,
            "shop",
            self.folder,
            host="127.0.0.1",
            port=free_port(),
            ops_port=None,
            replicas=dict.fromkeys(SERVICES, 2),
            environ=environ,
            drain_s=5.0,
            authority=self.authority,
        )
        await self.shop.start()

    async def stop(self) -> None:
        """Stop it all."""
        await self.shop.stop()
        self.authority.stop()
        await self.provisioner.stop()
        await self.servers.stop()
        await self.processor.kill()

    @property
    def tables(self) -> Tables:
        """The databases, for a reader of its own."""
        return Tables.of(self.servers, SERVICES)

    def tell(self, what: str) -> None:
        """Note what befell, for who reads a failure."""
        self.told.append(what)
        print(what, file=sys.stderr, flush=True)

    def _some_process(self) -> tuple[str, int]:
        alive = [(name, m.pid) for name, m in self.shop.members.items() if m.pid is not None]
        name, pid = self.chance.choice(alive)
        assert pid is not None
        return name, pid

    async def kill_a_process(self) -> None:
        """SIGKILL; the supervisor starts the next one."""
        name, pid = self._some_process()
        self.tell(f"kill {name}")
        os.kill(pid, signal.SIGKILL)

    async def stop_a_process(self) -> None:
        """SIGSTOP, and SIGCONT after longer than the gate waits for anybody."""
        name, pid = self._some_process()
        seconds = self.chance.uniform(1.5, 6)
        self.tell(f"stop {name} for {seconds:.1f} s")
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        os.kill(pid, signal.SIGCONT)

    async def stop_past_every_timeout(self) -> None:
        """SIGSTOP for longer than leases, transactions and acknowledgements last, then SIGCONT.

        What it goes on with was taken over by others long ago.
        """
        name, pid = self._some_process()
        self.tell(f"stop {name} for {LONG_S} s")
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(LONG_S)
        with contextlib.suppress(ProcessLookupError):  # killed meanwhile
            os.kill(pid, signal.SIGCONT)

    async def restart_postgres(self) -> None:
        """Without asking anybody: connections break, and what was open is rolled back."""
        self.tell("restart Postgres")
        await self.servers.restart_postgres()

    async def restart_a_node(self) -> None:
        """One of three."""
        node = self.chance.choice(self.nodes)
        self.tell(f"restart the NATS node on {node.port}")
        node.stop()
        await asyncio.sleep(self.chance.uniform(0.5, 3))
        await asyncio.to_thread(node.start)

    async def restart_all_nodes(self) -> None:
        """The broker is away for some seconds."""
        self.tell("restart all NATS nodes")
        await self._all_nodes(forget=False)

    async def empty_the_broker(self) -> None:
        """All that NATS has stored is deleted."""
        self.tell("delete what NATS has stored")
        await self._all_nodes(forget=True)

    async def _all_nodes(self, *, forget: bool) -> None:
        for node in self.nodes:
            node.stop()
        await asyncio.sleep(self.chance.uniform(0.2, 2))
        for node in self.nodes:
            if forget:
                node.forget()
        for node in self.nodes:
            await asyncio.to_thread(node.start)


async def test_nothing_is_lost_and_nothing_done_twice(tmp_path: Path) -> None:
    """Whatever is killed, stopped, restarted or emptied."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    print(f"seed {seed}", file=sys.stderr)
    placed: list[Placed] = []
    authority = LocalAuthority(tmp_path / IDENTITIES, shop.name, MachineClock())
    files = authority.issue(NATS)
    tls = nats_tls(files.certificate, files.key, files.trusted)
    with nats_cluster(tls + nats_accounts(shop.graph())) as nodes:
        metal = Metal(tmp_path, nodes, authority, chance)
        misfortunes: list[Callable[[], Awaitable[None]]] = [
            *[metal.kill_a_process] * 10,
            *[metal.stop_a_process] * 5,
            *[metal.restart_postgres] * 2,
            *[metal.restart_a_node] * 3,
            metal.restart_all_nodes,
            *[metal.empty_the_broker] * 2,
        ]
        chance.shuffle(misfortunes)
        if "CHAOS" in os.environ:  # only some of them, to look closer
            misfortunes = [getattr(metal, name) for name in os.environ["CHAOS"].split(",")]
        try:
            await metal.start()
            client = Client(metal.shop.url)
            customers = Customers(client, chance)
            await customers.register()
            wanted = iter(enumerate(wishes(50_000, chance)))
            enough = asyncio.Event()

            async def order() -> None:
                for number, wish in wanted:
                    if enough.is_set():
                        return
                    placed.append(await customers.place(number, wish))
                    await asyncio.sleep(chance.uniform(0, THOUGHT_S))

            async with asyncio.TaskGroup() as load:
                for _ in range(AT_ONCE):
                    load.create_task(order())
                load.create_task(metal.stop_past_every_timeout())
                for misfortune in misfortunes:
                    enough_placed = len(placed) + EACH
                    while len(placed) < enough_placed:  # the test's time-out is the bound
                        await asyncio.sleep(0.05)
                    await asyncio.sleep(chance.uniform(*PAUSE_S))
                    await misfortune()
                enough.set()
            await _settle(metal.tables, len(placed))
            books = await asyncio.to_thread(read_books, metal.tables, tmp_path / "processor.db")
            await client.close()
        finally:
            await metal.stop()

    print(f"{len(placed)} orders through {len(metal.told)} misfortunes", file=sys.stderr)
    findings = audit([p.id for p in placed], books)
    assert findings.all() == [], f"seed {seed}: {metal.told}"
    assert len(placed) >= EACH * len(misfortunes)


async def _settle(tables: Tables, orders: int) -> None:
    loop = asyncio.get_running_loop()
    give_up = loop.time() + SETTLE_S
    while loop.time() < give_up:
        done = await asyncio.to_thread(settled, tables)
        left = await asyncio.to_thread(unfinished, tables)
        print(f"{done} of {orders} orders are settled, {len(left)} rows open", file=sys.stderr)
        if done >= orders and not left:
            return
        await asyncio.sleep(5)
    for service in SERVICES:
        for row in await asyncio.to_thread(tables.rows, service, text(_STUCK)):
            print(service, dict(row), file=sys.stderr)
