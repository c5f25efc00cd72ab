"""Postgres keeps the database's contract; and what is its own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from holdfast.consistency.schedule import id_before
from holdfast.contract.envelope import Kind, State
from holdfast.engines.backlogs import FLOORS, SAGAS_OPEN, to_handle
from holdfast.engines.machine import MachineClock
from holdfast.engines.postgres import _BEGIN, IDLE_MS, TRANSACTION_MS, PostgresDatabase
from holdfast.errors import StatementFailed, TransactionLost
from holdfast.storage import Database, MessageFilter, Sharing, Transaction
from tests.contracts.database import DatabaseContract
from tests.contracts.rows import EDGES, METADATA, THING, letter
from tests.servers import Postgres, postgres_server


class TestPostgres(DatabaseContract):
    """The contract, on a server."""

    @pytest.fixture(autouse=True)
    def server(self, postgres: Postgres) -> None:
        """Keep the server."""
        self.postgres = postgres

    async def make(self) -> Database:
        """Return a database that is empty."""
        return PostgresDatabase(await self.postgres.database(), MachineClock())

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
    replicas = tuple(PostgresDatabase(url, MachineClock()) for _ in range(2))
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


async def test_who_stands_still_at_the_gate_is_put_out(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped process holds the others up for a second, and then has lost its transaction."""
    monkeypatch.setattr("holdfast.engines.postgres._BEGIN", _BEGIN)
    async with two_replicas(postgres) as (one, two):
        stopped = await one.begin()
        begun = asyncio.get_running_loop().time()
        await stopped.insert_messages([letter(1)])
        tx = await two.begin()
        waited_s = asyncio.get_running_loop().time() - begun
        await tx.abort()
        with pytest.raises(TransactionLost):
            await stopped.commit()
        await stopped.abort()
        left = await one.messages(MessageFilter())

    assert 0.9 * IDLE_MS / 1000 < waited_s < TRANSACTION_MS / 1000
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
    database = PostgresDatabase(url, MachineClock())
    edges = await database.open(EDGES, [METADATA], lag_ms=lag_ms)
    own = next(edge.id for edge in edges if edge.sender == edge.receiver)
    tx = await database.begin()
    await tx.set_floor(own, id_before(tx.now_ms - lag_ms), 100)
    await tx.insert_messages([letter(1, due_at=tx.now_ms)])
    await tx.commit()
    await set_clock(url, "-1 hour")
    if restarted:
        await database.close()
        database = PostgresDatabase(url, MachineClock())
        await database.open(EDGES, [METADATA], lag_ms=lag_ms)
    due_ms = await database.due_in_ms()
    after_ms = await now_of(database)
    await database.close()

    assert after_ms >= tx.now_ms
    assert due_ms is not None and due_ms <= 0, "what was due is due, and not in an hour"


async def test_joined_letters_below_a_floor_lose_their_transaction(postgres: Postgres) -> None:
    """They would be ignored; run again apart, the one that is below says so."""
    async with two_replicas(postgres) as (ahead, behind):
        tx = await ahead.begin()
        await tx.set_floor(1, letter(10).id, 100)
        await tx.commit()
        joined = await behind.begin(sharing=Sharing.JOINED)
        await joined.insert_messages([letter(9), letter(11)], above_floor=True, sure=True)
        with pytest.raises(TransactionLost, match="below a floor"):
            await joined.commit()
        await joined.abort()
        apart = await behind.begin(sharing=Sharing.APART)
        new = await apart.insert_messages([letter(9), letter(11)], above_floor=True, sure=True)
        await apart.abort()

    assert [row.id for row in new] == [letter(11).id]


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


async def administer(url: str, *statements: str) -> None:
    """Let an operator do something to a database; `DB` stands for its name."""
    connection = await asyncpg.connect(url)
    name = await connection.fetchval("SELECT current_database()")
    for statement in statements:
        await connection.execute(statement.replace("DB", name))
    await connection.close()


PUT_OUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'DB'"


async def write_user(database: PostgresDatabase, number: int) -> None:
    """Insert a thing by a statement of the user's. Raises TransactionLost."""
    tx = await database.begin()
    try:
        await tx.execute(THING.insert().values(id=number, name="x"))
        await tx.commit()
    finally:
        await tx.abort()


async def write_ours(database: PostgresDatabase, number: int) -> None:
    """Insert a letter. Raises TransactionLost."""
    tx = await database.begin(sharing=Sharing.JOINED)
    try:
        await tx.insert_messages([letter(number)], sure=True)
        await tx.commit()
    finally:
        await tx.abort()


READ_ONLY = (
    "ALTER DATABASE DB SET default_transaction_read_only = on",
    "ALTER DATABASE DB RESET default_transaction_read_only",
)
NOBODY = ("ALTER DATABASE DB ALLOW_CONNECTIONS false", "ALTER DATABASE DB ALLOW_CONNECTIONS true")


@pytest.mark.parametrize("write", [write_user, write_ours])
@pytest.mark.parametrize(("worse", "well"), [READ_ONLY, NOBODY])
async def test_a_server_that_took_no_writes_takes_them_at_once(
    postgres: Postgres, write: Callable[..., Awaitable[None]], worse: str, well: str
) -> None:
    """No connection that was made meanwhile is used again; readiness tells as long as it lasts."""
    url = await postgres.database()
    database = PostgresDatabase(url, MachineClock())
    await database.open(EDGES, [METADATA])
    trouble = [await database.trouble()]
    operator, name = await asyncpg.connect(postgres.url), url.partition("?")[0].rpartition("/")[2]
    await operator.execute(worse.replace("DB", name))
    await operator.execute(PUT_OUT.replace("DB", name))
    waiting = [asyncio.create_task(write(database, n)) for n in range(6)]
    refused = await asyncio.gather(*waiting, return_exceptions=True)
    try:
        trouble.append(await database.trouble())
    except TransactionLost as exc:
        trouble.append(str(exc))
    await operator.execute(well.replace("DB", name))
    await operator.close()
    await write(database, 7)
    trouble.append(await database.trouble())
    await database.close()

    assert [type(exc) for exc in refused] == [TransactionLost] * 6
    assert trouble[0] is trouble[2] is None and trouble[1]


async def test_a_standby_that_is_promoted_takes_writes_at_once() -> None:
    """What a fail-over leaves behind an address, before and after the roles were turned."""
    with postgres_server() as server:
        url = await server.database()
        database = PostgresDatabase(url, MachineClock())
        await database.open(EDGES, [METADATA])
        await database.close()
        server.become_a_standby()
        trouble = await database.trouble()
        for write in (write_user, write_ours):
            with pytest.raises(TransactionLost):
                await write(database, 1)
        operator = await asyncpg.connect(server.url)
        await operator.execute("SELECT pg_promote()")
        await operator.close()
        await write_user(database, 1)
        healed = await database.trouble()
        await database.close()

    assert trouble is not None and "it is a standby, or read-only" in trouble
    assert healed is None


async def test_a_role_that_lost_and_got_back_its_rights_writes_again(postgres: Postgres) -> None:
    """What the server says about a role is not the statement's fault for ever."""
    async with two_replicas(postgres) as (one, _):
        tx = await one.begin()
        first = (await tx.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        await tx.execute(text("SET LOCAL ROLE pg_monitor"))  # who may not do it
        with pytest.raises(ProgrammingError, match="permission denied"):
            await tx.execute(THING.insert().values(id=1, name="x"))
        await tx.abort()
        tx = await one.begin()
        second = (await tx.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        await tx.abort()

    assert first != second


async def test_an_error_of_a_statement_ends_no_connection(postgres: Postgres) -> None:
    """A client that sends nonsense costs no reconnection."""
    async with two_replicas(postgres) as (one, _):
        pids: set[int] = set()
        for wrong in ("SELECT nothing", "SELECT 1/0", "INSERT INTO thing VALUES (1, NULL)"):
            tx = await one.begin()
            pids.add((await tx.execute(text("SELECT pg_backend_pid()"))).scalar_one())
            with pytest.raises(DBAPIError):
                await tx.execute(text(wrong))
            await tx.abort()

    assert len(pids) == 1


async def test_the_limit_of_a_transaction_holds_for_roles_with_one_of_their_own(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Floors reckon with it: a server that has another would let a transaction go on beyond."""
    url = await postgres.database()
    await administer(url, "ALTER DATABASE DB SET transaction_timeout = '60s'")
    monkeypatch.setattr(
        "holdfast.engines.postgres._BEGIN", _BEGIN.replace(f"= {TRANSACTION_MS}", "= 2000")
    )
    database = PostgresDatabase(url, MachineClock())
    await database.open(EDGES, [METADATA])
    tx = await database.begin()
    with pytest.raises(TransactionLost):
        await tx.execute(text("SELECT pg_sleep(60)"))
    await tx.abort()
    await database.close()


async def waits_for_a_lock(operator: Any) -> None:
    """Return when somebody waits for a lock in this database."""
    async with asyncio.timeout(60):
        while not await operator.fetchval(
            "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
            "WHERE NOT granted AND datname = current_database()"
        ):
            await asyncio.sleep(0.01)


async def test_a_start_waits_for_housekeeping_at_the_gate(postgres: Postgres) -> None:
    """Edges, then letters, is its order; a start locks letters first, to look for their indexes."""
    url = await postgres.database()
    running, starting = (PostgresDatabase(url, MachineClock()) for _ in range(2))
    await running.open(EDGES, [METADATA])
    house, operator = await asyncpg.connect(url), await asyncpg.connect(url)
    keeping = house.transaction()
    await keeping.start()
    await house.execute("LOCK TABLE holdfast_gate IN EXCLUSIVE MODE")
    await house.execute("UPDATE holdfast_edge SET events = events || ' X.v1'")
    start = asyncio.create_task(starting.open(EDGES, [METADATA]))
    await waits_for_a_lock(operator)
    await house.execute("DELETE FROM holdfast_message")
    await keeping.commit()
    edges = await start
    deadlocks = await operator.fetchval(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    for closing in (running, starting, house, operator):
        await closing.close()

    assert len(edges) == len(EDGES)
    assert deadlocks == 0


async def test_a_start_that_is_put_out_tries_again(postgres: Postgres) -> None:
    """By a deadlock with somebody who does not know the gate, or by an operator."""
    url = await postgres.database()
    database, again = (PostgresDatabase(url, MachineClock()) for _ in range(2))
    await database.open(EDGES, [METADATA])
    stranger, operator = await asyncpg.connect(url), await asyncpg.connect(url)
    holding = stranger.transaction()
    await holding.start()
    await stranger.execute("UPDATE holdfast_edge SET events = events || ' X.v1'")
    start = asyncio.create_task(again.open(EDGES, [METADATA]))
    await waits_for_a_lock(operator)
    put_out = await operator.fetchval(
        "SELECT bool_and(pg_terminate_backend(pid)) FROM pg_locks WHERE NOT granted"
    )
    await holding.rollback()
    edges = await start
    for closing in (database, again, stranger, operator):
        await closing.close()

    assert put_out and len(edges) == len(EDGES)


async def test_connections_have_a_maximum(postgres: Postgres) -> None:
    """Who waits too long for one is told so, and one that is given back serves the next."""
    database = PostgresDatabase(
        await postgres.database(), MachineClock(), connections_max=1, wait_s=0.1
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
    database = PostgresDatabase("postgresql://me:secret@127.0.0.1:1/x", MachineClock())
    with pytest.raises(TransactionLost, match=r"postgresql://127\.0\.0\.1:1/x") as lost:
        await database.begin()
    await database.close()

    assert "secret" not in str(lost.value)


@pytest.mark.parametrize(
    ("sql", "indexes"),
    [
        (SAGAS_OPEN, ["holdfast_saga_open"]),
        (FLOORS, ["holdfast_message_pkey"]),
        (
            to_handle([1], now_ms="5", oldest="min(id::text)"),
            ["holdfast_message_due", "holdfast_message_failed"],
        ),
    ],
)
async def test_what_waits_is_counted_by_an_index(
    postgres: Postgres, sql: str, indexes: list[str]
) -> None:
    """Each process looks every ten seconds, and most rows are of what is settled."""
    url = await postgres.database()
    database = PostgresDatabase(url, MachineClock())
    await database.open(EDGES, [METADATA])
    await database.close()
    connection = await asyncpg.connect(url)
    await connection.execute("SET enable_seqscan = off")  # a table that is small needs no index
    plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {sql}"))
    await connection.close()

    assert all(index in plan for index in indexes), plan
    assert "Seq Scan on holdfast_message" not in plan and "Seq Scan on holdfast_saga" not in plan
