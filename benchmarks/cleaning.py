"""What an order costs while a million settled letters are forgotten, beside the same without any.

After an outage of a day, floors pass a million letters at once. Their rows are put into the inboxes
of inventory, payments and notifications, which then forget them beside their work; the other shop
has none, and takes turns with it. Once on SQLite files, once on Postgres and NATS, as in `orders`
and `servers`. A round counts only while there are rows left.

Target: at most 20 % more time for an order.
"""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from benchmarks.harness import Contender, Plan, Row, Sample, compare, versus
from benchmarks.orders import Customer, Settled
from benchmarks.process import LOAD_CORE, Server, disk_folder, running
from benchmarks.servers import WAKES_S, Costs, Told, connected, on_servers, shop_server

SETTLED = {"inventory": 500_000, "payments": 250_000, "notifications": 250_000}
TARGET = 1 / 1.2
BEGINS_S = 120.0
_AT_ONCE = 10_000  # rows put into a file in one transaction; the shop waits for it
_EDGE = (
    "(SELECT id FROM holdfast_edge WHERE sender = 'orders' AND receiver = '{}' AND lane = 'work')"
)
_COLUMNS = "edge, id, state, kind, tries, reached, body, answer"
_OLD = 0x018F0000_0000_7000_8000_000000000000  # a UUID of 2024
_OLDER = "018f0001-0000-7000-8000-000000000000"
_ANSWER = b"{" * 100


async def measure(plan: Plan) -> list[Row]:
    """Measure the figure."""
    rows: list[Row] = []
    for place, shop in (("SQLite", _on_files), ("Postgres", _on_postgres)):
        async with shop("while cleaning") as cleans, shop("without") as without:
            await cleans.begin()
            sides = [replace(cleans.side, run=cleans.order_for), without.side]
            samples = await compare(sides, plan)
        name = f"orders while {sum(SETTLED.values()):,} letters are forgotten, {place}"
        rows.append(versus(name, "orders/s", samples, target=TARGET))
    return rows


class Inboxes(Protocol):
    """The inboxes of one shop's services."""

    def fill(self) -> None:
        """Put settled letters into them."""
        ...

    def left(self) -> int:
        """Return how many of those are left."""
        ...


@dataclass(frozen=True)
class Shop:
    """A shop, its customer, and its inboxes."""

    side: Contender
    inboxes: Inboxes

    async def begin(self) -> None:
        """Fill the inboxes, and order until they get emptier. Raises TimeoutError."""
        await asyncio.to_thread(self.inboxes.fill)
        before = self.inboxes.left()
        async with asyncio.timeout(BEGINS_S):
            while self.inboxes.left() == before:
                await self.side.run(1.0)

    async def order_for(self, seconds: float) -> tuple[int, Sample]:
        """Order for so long. Raises RuntimeError: nothing was left to forget."""
        before = self.inboxes.left()
        count, sample = await self.side.run(seconds)
        left = self.inboxes.left()
        if not left:
            raise RuntimeError("all is forgotten before the last round; put in more")
        forgotten = {"letters forgotten per order": (before - left) / count}
        return count, replace(sample, more={**sample.more, **forgotten})


# -- on files -------------------------------------------------------------------------------------


class Files:
    """The inboxes in a data folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def fill(self) -> None:
        """See `Inboxes`."""
        for service, count in SETTLED.items():
            with closing(self._opened(service)) as sql:
                insert = (
                    f"INSERT INTO holdfast_message ({_COLUMNS}) "
                    f"VALUES ({_EDGE.format(service)}, ?, 'done', 'command', 1, 0, x'', ?)"
                )
                for first in range(0, count, _AT_ONCE):
                    sql.execute("BEGIN IMMEDIATE")
                    sql.executemany(insert, _rows(first))
                    sql.execute("COMMIT")

    def left(self) -> int:
        """See `Inboxes`."""
        return sum(map(self._left, SETTLED))

    def _left(self, service: str) -> int:
        where = f"edge = {_EDGE.format(service)} AND id < ?"
        with closing(self._opened(service)) as sql:
            (count,) = sql.execute(
                f"SELECT count(*) FROM holdfast_message WHERE {where}",
                (bytes.fromhex(_OLDER.replace("-", "")),),
            ).fetchone()
        return int(count)

    def _opened(self, service: str) -> sqlite3.Connection:
        return sqlite3.connect(self._folder / f"{service}.db", timeout=60, isolation_level=None)


def _rows(first: int) -> Iterator[tuple[bytes, bytes]]:
    for number in range(first, first + _AT_ONCE):
        yield (_OLD + number).to_bytes(16, "big"), _ANSWER


@asynccontextmanager
async def _on_files(name: str) -> AsyncGenerator[Shop]:
    with disk_folder() as folder:
        ledger = ("--port", "0", "--ledger", str(folder / "processor.db"))
        processor = Server("processor", "shop.processor", *ledger, core=LOAD_CORE)
        async with running(processor):
            environ = {"PROCESSOR_URL": processor.url}
            shop = Server(name, "benchmarks.ours.shop", str(folder), environ=environ)
            async with running(shop):
                customer = Customer(shop.url, Settled(folder / "notifications.db"), _nothing)
                side = Contender(shop, customer.order_for, beside=[processor], wakes_s=WAKES_S)
                yield Shop(side, Files(folder))


def _nothing() -> Mapping[str, float]:
    return {}


# -- on Postgres ----------------------------------------------------------------------------------


class Tables:
    """The inboxes on a server."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._urls = {name: environ[f"{name.upper()}_DATABASE_URL"] for name in SETTLED}

    def fill(self) -> None:
        """See `Inboxes`."""
        for service, count in SETTLED.items():
            letter = "('018f0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid"
            with connected(self._urls[service]) as connection:
                connection.execute(
                    f"INSERT INTO holdfast_message ({_COLUMNS}) SELECT {_EDGE.format(service)}, "
                    f"{letter}, 'done', 'command', 1, false, '', '{_ANSWER.decode()}' "
                    f"FROM generate_series(0, {count - 1}) n"
                )
                connection.execute("VACUUM ANALYZE")

    def left(self) -> int:
        """See `Inboxes`."""
        return sum(map(self._left, SETTLED))

    def _left(self, service: str) -> int:
        with connected(self._urls[service]) as connection:
            (count,) = connection.execute(
                f"SELECT count(*) FROM holdfast_message WHERE edge = {_EDGE.format(service)} "
                f"AND id < '{_OLDER}'"
            ).fetchone()
        return int(count)


@asynccontextmanager
async def _on_postgres(name: str) -> AsyncGenerator[Shop]:
    async with on_servers() as (servers, processor, folder):
        shop = shop_server(name, servers, processor, folder)
        async with running(shop):
            costs, told = Costs(servers), Told(servers.environ["NOTIFICATIONS_DATABASE_URL"])
            customer = Customer(shop.url, told, costs)
            side = Contender(
                shop,
                customer.order_for,
                beside=[processor],
                wakes_s=WAKES_S,
                servers_s=costs.cpu_s,
            )
            yield Shop(side, Tables(servers.environ))
            told.close()
            costs.close()
