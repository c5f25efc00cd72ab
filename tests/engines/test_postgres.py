"""Postgres keeps the database's contract; and what is its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from holdfast.consistency.schedule import id_before
from holdfast.contract.envelope import Kind, State
from holdfast.engines.host import HostClock
from holdfast.engines.postgres import PostgresDatabase
from holdfast.errors import StatementFailed, TransactionLost
from holdfast.ports import Database, MessageFilter, Transaction
from tests.contracts.database import DatabaseContract
from tests.contracts.rows import EDGES, METADATA, letter
from tests.servers import Postgres


class TestPostgres(DatabaseContract):
    """The contract, on a server."""

    @pytest.fixture(autouse=True)
    def server(self, postgres: Postgres) -> None:
        """Keep the server."""
        self.postgres = postgres

    async def make(self) -> Database:
        """Return a database that is empty."""
        return PostgresDatabase(await self.postgres.database(), HostClock())

    async def end_transaction(self, database: Database, tx: Transaction) -> None:
        """An operator ends the server's process."""
        pid = (await tx.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        connection = await asyncpg.connect(self.postgres.url)
        await connection.fetch("SELECT pg_terminate_backend($1)", pid)
        await connection.close()


@asynccontextmanager
async def two_replicas(postgres: Postgres) -> AsyncIterator[tuple[PostgresDatabase, ...]]:
    """Open one database twice, as two replicas of a service do."""
    url = await postgres.database()
    replicas = tuple(PostgresDatabase(url, HostClock()) for _ in range(2))
    for database in replicas:
        await database.open(EDGES, [METADATA])
    try:
        yield replicas
    finally:
        for database in replicas:
            await database.close()


async def test_transactions_of_replicas_take_turns(postgres: Postgres) -> None:
    """The second one begins at the gate, and sees what the first has committed."""
    async with two_replicas(postgres) as (one, two):
        first = await one.begin()
        await first.insert_messages([letter(1)])
        second = asyncio.create_task(two.begin())
        done, _ = await asyncio.wait([second], timeout=0.1)
        assert not done
        await first.commit()
        tx = await second
        found = await tx.lock_message(1, letter(1).id)
        await tx.abort()

    assert found is not None


async def test_who_stands_still_at_the_gate_is_put_out(postgres: Postgres) -> None:
    """A stopped process holds the others up for a second, and then has lost its transaction."""
    async with two_replicas(postgres) as (one, two):
        stopped = await one.begin()
        await stopped.insert_messages([letter(1)])
        begun = asyncio.get_running_loop().time()
        tx = await two.begin()
        waited_s = asyncio.get_running_loop().time() - begun
        await tx.abort()
        with pytest.raises(TransactionLost):
            await stopped.commit()
        await stopped.abort()
        left = await one.messages(MessageFilter())

    assert 0.5 < waited_s < 3
    assert left == []


async def test_the_commit_of_a_failed_transaction_says_so(postgres: Postgres) -> None:
    """The server answers it with a rollback, and no error."""
    async with two_replicas(postgres) as (one, _):
        tx = await one.begin()
        await tx.insert_messages([letter(1)])
        with pytest.raises(ProgrammingError):
            await tx.execute(text("SELECT nothing"))
        kept = await tx.commit()
        left = await one.messages(MessageFilter())

    assert (kept, left) == (False, [])


async def test_a_statement_after_a_swallowed_error_is_no_conflict(postgres: Postgres) -> None:
    """It would be run again for ever; it is the handler's mistake. A rollback mends it."""
    async with two_replicas(postgres) as (one, _):
        tx = await one.begin()
        await tx.savepoint()
        with pytest.raises(ProgrammingError):
            await tx.execute(text("SELECT nothing"))
        await tx.savepoint()
        with pytest.raises(StatementFailed, match="an earlier statement failed"):
            await tx.insert_messages([letter(1)])
        await tx.rollback()
        await tx.rollback()
        await tx.insert_messages([letter(2)])
        assert await tx.commit()
        left = await one.messages(MessageFilter())

    assert [row.id for row in left] == [letter(2).id]


async def test_a_transactions_name_tells_whether_it_was_kept(postgres: Postgres) -> None:
    """It is inserted with the first statement; a second insertion finds it, or does not."""
    async with two_replicas(postgres) as (one, two):
        names = [letter(n, kind=Kind.COMMIT, state=State.DONE, body=b"") for n in (1, 2)]
        kept = await one.begin()
        await kept.sign(names[0])
        await kept.insert_messages([letter(3)])
        await kept.commit()
        lost = await one.begin()
        await lost.sign(names[1])
        await lost.insert_messages([letter(4)])
        await lost.abort()
        asking = await two.begin()
        new = await asking.insert_messages(names)
        await asking.abort()

    assert new == [names[1]]


async def test_a_reader_whose_server_goes_away_says_so(postgres: Postgres) -> None:
    """It is no error of the statement's; the next one has another connection."""
    async with two_replicas(postgres) as (one, two):
        reader = await one.read()
        pid = (await reader.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        other = await two.read()
        await other.execute(text(f"SELECT pg_terminate_backend({pid})"))
        await other.close()
        with pytest.raises(TransactionLost, match="closed the connection"):
            await reader.execute(text("SELECT 1"))
        await reader.close()
        again = await one.read()
        assert (await again.execute(text("SELECT 1"))).scalar_one() == 1
        await again.close()


async def now_of(database: PostgresDatabase) -> int:
    """Return the time of a new transaction."""
    tx = await database.begin()
    await tx.abort()
    return tx.now_ms


async def set_clock(url: str, shift: str) -> None:
    """Let the clock of the server be wrong for everybody who connects to a database."""
    connection = await asyncpg.connect(url)
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(
        "CREATE OR REPLACE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS "
        f"$$ SELECT pg_catalog.clock_timestamp() + interval '{shift}' $$"
    )
    await connection.execute(f"ALTER DATABASE {name} SET search_path = public, pg_catalog")
    await connection.close()


@pytest.mark.parametrize("restarted", [True, False])
async def test_a_clock_that_is_set_back_sets_nobody_back(
    postgres: Postgres, restarted: bool
) -> None:
    """Neither who runs meanwhile, nor who starts then: floors were announced by the later time."""
    url, lag_ms = await postgres.database(), 60_000
    await set_clock(url, "1 hour")
    database = PostgresDatabase(url, HostClock())
    edges = await database.open(EDGES, [METADATA], lag_ms=lag_ms)
    own = next(edge.id for edge in edges if edge.sender == edge.receiver)
    tx = await database.begin()
    await tx.set_floor(own, id_before(tx.now_ms - lag_ms), 100)
    await tx.insert_messages([letter(1, due_at=tx.now_ms)])
    await tx.commit()
    await set_clock(url, "-1 hour")
    if restarted:
        await database.close()
        database = PostgresDatabase(url, HostClock())
        await database.open(EDGES, [METADATA], lag_ms=lag_ms)
    due_ms = await database.due_in_ms()
    after_ms = await now_of(database)
    await database.close()

    assert after_ms >= tx.now_ms
    assert due_ms is not None and due_ms <= 0, "what was due is due, and not in an hour"


async def test_a_replica_that_is_behind_catches_up_with_a_look(postgres: Postgres) -> None:
    """Another one has seen a later time, and announced a floor by it."""
    async with two_replicas(postgres) as (ahead, behind):
        edges = await ahead.open(EDGES, [METADATA])
        own = next(edge.id for edge in edges if edge.sender == edge.receiver)
        tx = await ahead.begin()
        floor_ms = tx.now_ms + 3_600_000
        await tx.set_floor(own, id_before(floor_ms), 100)
        await tx.commit()
        before_ms = await now_of(behind)
        await behind.due_in_ms()
        after_ms = await now_of(behind)

    assert before_ms < floor_ms < after_ms


async def test_connections_have_a_maximum(postgres: Postgres) -> None:
    """Who waits too long for one is told so, and one that is given back serves the next."""
    database = PostgresDatabase(
        await postgres.database(), HostClock(), connections_max=1, wait_s=0.1
    )
    await database.open(EDGES, [METADATA])
    reader = await database.read()
    await reader.execute(text("SELECT 1"))
    with pytest.raises(TransactionLost, match="all connections are in use"):
        await database.begin()
    await reader.close()
    tx = await database.begin()
    await tx.abort()
    await database.close()


async def test_a_server_that_is_away_is_a_lost_transaction() -> None:
    """Its address is told, and its password is not."""
    database = PostgresDatabase("postgresql://me:secret@127.0.0.1:1/x", HostClock())
    with pytest.raises(TransactionLost, match=r"postgresql://127\.0\.0\.1:1/x") as lost:
        await database.begin()
    await database.close()

    assert "secret" not in str(lost.value)
