"""Orders settled a second on servers: the shop, a DBOS workflow, and the usual stack by hand.

The whole shop in one process, its five databases on one Postgres, its letters through one
nats-server; the servers come from their wheels, with their own defaults (fsync is on), and share
the other core with the load. The shop's order comes in over HTTP and reaches the card processor; so
does that of `usual_stack`, on databases and streams of its own. The workflow's steps do nothing. 32
are under way at once.

Targets: 10 times the orders a second of DBOS, 5 times those of the usual stack.
"""

import contextlib
import re
import threading
import time
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from benchmarks.harness import Contender, Plan, Row, compare, versus
from benchmarks.orders import Customer, workflows
from benchmarks.process import LOAD_CORE, ROOT, SERVER_CORE, Server, cpu_s, disk_folder, running
from benchmarks.tree import HERE, Tree
from holdfast.runtime.servers import Servers
from shop.system import shop

DBOS_TARGET, USUAL_TARGET = 10.0, 5.0
COUNTED_S = 1.0
_STATEMENT = re.compile(r"LOG: +(execute [^:]*|statement): ")
_OURS = re.compile(
    r"SELECT order_id FROM notification|pg_stat_database|ALTER SYSTEM|pg_reload_conf"
)
WAKES_S = 0.7  # who was stopped finds its subscriptions stale, and its connections cold


async def measure(plan: Plan) -> list[Row]:
    """Measure the figure."""
    async with on_servers() as (servers, processor, folder):
        return await _against_others(servers, processor, folder, plan)


async def against(plan: Plan, tree: Tree) -> list[Row]:
    """Measure the shop beside that of another commit, each on servers of its own."""
    async with side(HERE) as ours, side(tree.name, tree=tree.path) as then:
        samples = await compare([ours, then], plan)
    return [versus("orders on servers", "orders/s", samples)]


@asynccontextmanager
async def on_servers() -> AsyncGenerator[tuple[Servers, Server, Path]]:
    """Run Postgres, nats-server and a card processor on a folder."""
    with disk_folder() as folder:
        servers = Servers(folder / "servers", ["postgres", "nats"], shop)
        await servers.start()
        ledger = ("--port", "0", "--ledger", str(folder / "processor.db"))
        processor = Server("processor", "shop.processor", *ledger, core=LOAD_CORE)
        try:
            async with running(processor):
                yield servers, processor, folder
        finally:
            await servers.stop()


def shop_server(
    name: str,
    servers: Servers,
    processor: Server,
    folder: Path,
    *,
    tree: Path = ROOT,
    samples: Path | None = None,
) -> Server:
    environ = {"PROCESSOR_URL": processor.url, **servers.environ}
    words = ("benchmarks.ours.shop", str(folder))
    return Server(name, *words, environ=environ, tree=tree, samples=samples)


@asynccontextmanager
async def side(
    name: str,
    *,
    tree: Path = ROOT,
    samples: Path | None = None,
    cores: Collection[int] = (SERVER_CORE,),
) -> AsyncGenerator[Contender]:
    """Run the shop on servers of its own, and a customer of it; see `Server` for the rest."""
    async with on_servers() as (servers, processor, folder):
        server = shop_server(name, servers, processor, folder, tree=tree, samples=samples)
        server.cores = cores
        async with running(server):
            costs, told = Costs(servers), Told(servers.environ["NOTIFICATIONS_DATABASE_URL"])
            customer = Customer(server.url, told, costs)
            yield Contender(
                server,
                customer.order_for,
                beside=[processor],
                wakes_s=WAKES_S,
                servers_s=costs.cpu_s,
            )
            told.close()
            costs.close()


async def _against_others(
    servers: Servers, processor: Server, folder: Path, plan: Plan
) -> list[Row]:
    postgres = servers.addresses["postgres"]
    ours = shop_server("the shop", servers, processor, folder)
    words = (str(folder), "--database", postgres.replace("/postgres?", "/dbos?"))
    dbos = Server("DBOS, four steps", "benchmarks.peers.dbos_app", *words)
    urls = {"postgres": postgres, "nats": servers.addresses["nats"], "processor": processor.url}
    words = tuple(word for name, url in urls.items() for word in (f"--{name}", url))
    usual = Server("the usual stack", "benchmarks.usual_stack.app", *words)
    async with running(ours, dbos, usual):
        costs = Costs(servers)
        usual_url = postgres.replace("/postgres?", "/usual_notifications?")
        told = [Told(servers.environ["NOTIFICATIONS_DATABASE_URL"]), Told(usual_url)]
        customers = [
            Customer(server.url, notices, costs)
            for server, notices in zip((ours, usual), told, strict=True)
        ]
        shared: dict[str, Any] = {"wakes_s": WAKES_S, "servers_s": costs.cpu_s}
        sides = [
            Contender(ours, customers[0].order_for, beside=[processor], **shared),
            Contender(dbos, lambda seconds: workflows(dbos, seconds), **shared),
            Contender(usual, customers[1].order_for, beside=[processor], **shared),
        ]
        samples = await compare(sides, plan)
        counts = [
            await counted(server, customer, costs)
            for server, customer in zip((ours, usual), customers, strict=True)
        ]
        for notices in told:
            notices.close()
        costs.close()

    def beside(peer: str, target: float) -> Row:
        both = {name: samples[name] for name in (ours.name, peer)}
        return versus(f"orders on servers, beside {peer}", "orders/s", both, target=target)

    against = [beside(dbos.name, DBOS_TARGET), beside(usual.name, USUAL_TARGET)]
    return against + [row for rows in counts for row in rows]


async def counted(server: Server, customer: Customer, costs: "Costs") -> list[Row]:
    """Count statements in Postgres's log, in a round of their own: the log slows it down."""
    server.resume()
    costs.log_statements("all")
    before = costs.logged()
    count, _ = await customer.order_for(COUNTED_S)
    after = costs.logged()
    costs.log_statements("none")
    server.pause()
    return [
        Row(f"{name} of an order, {server.name}", "", (after[name] - before[name]) / count)
        for name in before
    ]


def connected(url: str) -> Any:
    """Return a connection to Postgres, by a driver that is not ours."""
    import psycopg  # of the benchmarks' own group, which is not there where they are tested

    return psycopg.connect(url, autocommit=True)


class Costs:
    """Counts what servers do: transactions of Postgres, and the CPU of all their processes."""

    def __init__(self, servers: Servers) -> None:
        url = servers.addresses["postgres"]
        self._nats = servers.children["nats"].pid
        self._connection = connected(url)
        self._log = servers.folder / "postgres.log"
        self._postmaster = servers.children["postgres"].pid

    def __call__(self) -> Mapping[str, float]:
        """Return {what is counted for each order: its value now}."""
        (commits,) = self._connection.execute(
            "SELECT sum(xact_commit)::bigint FROM pg_stat_database"
        ).fetchone()
        return {
            "commits per order": commits,
            "Postgres CPU ms per order": 1000 * self._postgres_s(),
            "NATS CPU ms per order": 1000 * cpu_s(self._nats),
        }

    def log_statements(self, which: str) -> None:
        """Have Postgres log all statements, or none."""
        self._connection.execute(f"ALTER SYSTEM SET log_statement = '{which}'")
        self._connection.execute("SELECT pg_reload_conf()")
        time.sleep(0.5)  # until each of its processes has heard of it

    def logged(self) -> dict[str, int]:
        """Count the statements that were logged, without those that count and look."""
        lines = self._log.read_text(errors="replace").splitlines()
        found = [line for line in lines if _STATEMENT.search(line) and not _OURS.search(line)]
        writing = sum("BEGIN" in line and "READ ONLY" not in line for line in found)
        return {"statements": len(found), "transactions that write": writing}

    def cpu_s(self) -> float:
        """Return the CPU of all their processes."""
        return self._postgres_s() + cpu_s(self._nats)

    def _postgres_s(self) -> float:
        children = Path(f"/proc/{self._postmaster}/task/{self._postmaster}/children")
        pids = [self._postmaster, *map(int, children.read_text().split())]
        found = 0.0
        for pid in pids:
            with contextlib.suppress(FileNotFoundError):  # a worker that has ended meanwhile
                found += cpu_s(pid)
        return found

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Told:
    """Reads which customers were told, from the table of notifications, in a thread of its own."""

    def __init__(self, url: str) -> None:
        self._connection = connected(url)
        self._asked: list[UUID] = []
        self._found: list[UUID] = []
        self._wake = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def news(self, waiting: Collection[UUID]) -> list[UUID]:
        """See `orders.Notices`."""
        found, self._found = self._found, []
        self._asked = list(waiting)
        self._wake.set()
        return [order for order in found if order in waiting]

    def close(self) -> None:
        """End the thread."""
        self._ended = True
        self._wake.set()
        self._thread.join()
        self._connection.close()

    def _read(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._ended:
                return
            rows = self._connection.execute(
                "SELECT order_id FROM notification WHERE order_id = ANY(%s)", (self._asked,)
            ).fetchall()
            self._found = [order for (order,) in rows]
