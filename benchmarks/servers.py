"""Orders settled a second on servers, against a DBOS workflow of four steps on the same Postgres.

The whole shop in one process, its five databases on one Postgres, its letters through one
nats-server; the servers come from their wheels, with their own defaults (fsync is on), and run
beside on both cores. The shop's order comes in over HTTP and reaches the card processor; the
workflow's steps do nothing. 32 are under way at once.

Target: 10 times the orders a second.
"""

import threading
from collections.abc import Collection
from typing import Any
from uuid import UUID

import psycopg

from benchmarks.harness import Contender, Plan, Row, compare, versus
from benchmarks.orders import Customer, workflows
from benchmarks.process import LOAD_CORE, Server, disk_folder, running
from holdfast.runtime.servers import Servers
from shop.system import shop

TARGET = 10.0
SERVICES = [service.name for service in shop.services]


async def measure(plan: Plan) -> list[Row]:
    """Measure the figure."""
    with disk_folder() as folder:
        servers = Servers(folder / "servers", ["postgres", "nats"], shop)
        await servers.start()
        ledger = ("--port", "0", "--ledger", str(folder / "processor.db"))
        processor = Server("processor", "shop.processor", *ledger, core=LOAD_CORE)
        try:
            async with running(processor):
                environ = {"PROCESSOR_URL": processor.url, **servers.environ}
                ours = Server(
                    "holdfast on Postgres and NATS",
                    "benchmarks.ours.shop",
                    str(folder),
                    environ=environ,
                )
                url = servers.addresses["postgres"].replace("/postgres?", "/dbos?")
                words = (str(folder), "--database", url)
                peer = Server("DBOS on Postgres", "benchmarks.peers.dbos_app", *words)
                async with running(ours, peer):
                    told = Told(servers.environ["NOTIFICATIONS_DATABASE_URL"])
                    customer = Customer(ours, told)
                    sides = [
                        Contender(ours, customer.order_for, beside=[processor]),
                        Contender(peer, lambda seconds: workflows(peer, seconds)),
                    ]
                    samples = await compare(sides, plan)
                    told.close()
        finally:
            await servers.stop()
    return [versus("orders on servers", "orders/s", samples, target=TARGET)]


class Told:
    """Reads which customers were told, from the table of notifications, in a thread of its own."""

    def __init__(self, url: str) -> None:
        self._connection: Any = psycopg.connect(url, autocommit=True)
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
