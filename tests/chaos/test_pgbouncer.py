"""Behind PgBouncer in transaction mode: each transaction may be on another server connection."""

import asyncio
from collections.abc import Iterator

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy import select, text

from holdfast.engines.machine import MachineClock
from holdfast.engines.postgres import _BEGIN, IDLE_MS, PostgresDatabase
from holdfast.migrations import Revisions, upgrade
from holdfast.storage import Database, MessageFilter, Transaction
from shop.system import shop
from tests.contracts.database import DatabaseContract
from tests.contracts.rows import EDGES, METADATA, letter
from tests.servers import Postgres, pgbouncer_server, postgres_server

pytestmark = pytest.mark.chaos


@pytest.fixture(scope="module")
def pooled() -> Iterator[Postgres]:
    """A running Postgres behind a running PgBouncer."""
    with postgres_server() as server, pgbouncer_server(server) as before:
        yield before


class TestBehindPgBouncer(DatabaseContract):
    """The contract, through the pool."""

    @pytest.fixture(autouse=True)
    def server(self, pooled: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Keep the server; nobody is put out because this machine is slow."""
        self.postgres = pooled
        patient = _BEGIN.replace(f"= {IDLE_MS}", "= 600000")
        monkeypatch.setattr("holdfast.engines.postgres._BEGIN", patient)
        yield
        pooled.give_back()

    async def make(self) -> Database:
        """Return a database that is empty."""
        return PostgresDatabase(await self.postgres.database(), MachineClock(), pooled=True)

    async def end_transaction(self, database: Database, tx: Transaction) -> None:
        """An operator ends the server's process."""
        pid = (await tx.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        connection = await asyncpg.connect(self.postgres.url)
        await connection.fetch("SELECT pg_terminate_backend($1)", pid)
        await connection.close()


async def test_revisions_run_through_it(pooled: Postgres) -> None:
    """Once, whoever asks; and what they set for themselves is not left to others."""
    revisions, url = Revisions("shop", shop.service("orders")), await pooled.database()
    ran = await asyncio.gather(upgrade(revisions, url), upgrade(revisions, url))
    connection = await asyncpg.connect(url, statement_cache_size=0)
    left = await connection.fetchval("SHOW lock_timeout")
    await connection.close()

    assert sorted(ran) == [[], ["holdfast_1", "orders_0001"]]
    assert left == "0"


async def test_many_share_few_connections(pooled: Postgres) -> None:
    """Whatever is asked, of whom, and between whose transactions it comes."""
    url = await pooled.database()
    replicas = [PostgresDatabase(url, MachineClock(), pooled=True) for _ in range(4)]
    for database in replicas:
        await database.open(EDGES, [METADATA])
    [table, *_] = METADATA.sorted_tables

    async def work(database: PostgresDatabase, number: int) -> None:
        for turn in range(20):
            tx = await database.begin()
            await tx.insert_messages([letter(100 * number + turn)])
            await tx.commit()
            await database.due_in_ms()
            await database.backlog([1])
            await database.unanswered(1, [letter(turn).id])
            reader = await database.read()
            await reader.execute(select(table))
            await reader.close()

    await asyncio.gather(*(work(d, 2 * n + m) for n, d in enumerate(replicas) for m in range(2)))

    assert len(await replicas[0].messages(MessageFilter(limit=1000))) == 160
    for database in replicas:
        await database.close()
