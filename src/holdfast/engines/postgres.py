"""Postgres: one database per service, shared by all replicas of the service.

Whatever writes passes a gate, the lock of an empty table, which takes no snapshot: so a service's
batches run one after another, and SERIALIZABLE finds no conflict between them.
"""

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID

from sqlalchemy import Executable, MetaData
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from holdfast.contract.envelope import EdgeRow, MessageRow, SagaRow, StepRow
from holdfast.engines.backlogs import (
    FLOORS,
    SAGAS_OPEN,
    UNANSWERED,
    age_ms,
    sagas_open,
    to_handle,
)
from holdfast.engines.database_clock import DatabaseClock
from holdfast.engines.joined import JoinedTransaction
from holdfast.engines.lists import failing_long, which_messages, which_sagas
from holdfast.engines.places import Places
from holdfast.engines.postgres_driver import (
    DriverConnection,
    Record,
    driver_of,
    speaks_tls,
)
from holdfast.engines.postgres_engine import engine_of
from holdfast.engines.postgres_rights import may_make, refuse_lacking
from holdfast.engines.postgres_rows import (
    COLUMNS,
    EDGES,
    FAILED,
    SAGA_COLUMNS,
    WAITING,
    DollarMarks,
    edge_row,
    holds,
    message,
    saga,
)
from holdfast.engines.postgres_tables import STEPS
from holdfast.engines.postgres_transaction import (
    DRIVER_ERRORS,
    PostgresTransaction,
    is_of_server,
    is_passing,
    run_again,
    sqlstate_of,
)
from holdfast.engines.postgres_url import read_postgres_url, renewed_by
from holdfast.engines.prepared import PreparedWrites
from holdfast.engines.refusals import look_at_values, refusal_of
from holdfast.engines.statements import refuse_control
from holdfast.engines.tables import POSTGRES, REVISIONS, check_columns
from holdfast.errors import TransactionLost
from holdfast.ports import Clock
from holdfast.storage import (
    Backlog,
    ConnectionCounts,
    Failing,
    MessageFilter,
    Parameters,
    Rows,
    SagaFilter,
    Sharing,
    Transaction,
    Unfinished,
)

IDLE_MS = 800  # in a transaction: its process stands still, and the others wait at the gate
TRANSACTION_MS = 30_000
CONNECT_S = 5.0
CONNECTION_AGE_S = 300.0
OPEN_S = 30.0  # a server that is starting is waited for
_MAKE = 7_368_425_001  # the advisory lock under which tables are made
_NOW = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
_TIMES = (
    f"{_NOW}, (SELECT floor FROM holdfast_edge WHERE sender = receiver AND floor IS NOT NULL "
    "ORDER BY floor DESC LIMIT 1)"
)
_BEGIN = (
    "BEGIN ISOLATION LEVEL SERIALIZABLE; "
    f"SET LOCAL idle_in_transaction_session_timeout = {IDLE_MS}; "
    "SET LOCAL transaction_timeout = 0; "  # where a role has one, another is without effect
    f"SET LOCAL transaction_timeout = {TRANSACTION_MS}; "
    "LOCK TABLE holdfast_gate IN EXCLUSIVE MODE"
)
_UNFINISHED = (
    "SELECT 'saga', type, max(version), count(*) FROM holdfast_saga WHERE ended_at IS NULL "
    "GROUP BY type UNION ALL SELECT kind, convert_from(body, 'UTF8')::json ->> 'type', 1, count(*) "
    "FROM holdfast_message WHERE state = 'due' AND kind NOT IN ('timer', 'wait') "
    f"AND (kind = 'tick' OR {WAITING}) GROUP BY 1, 2 ORDER BY 1, 2"
)
_UNANSWERED = (
    "SELECT kind, convert_from(body, 'UTF8')::json ->> 'type', 1, count(*), receiver "
    f"FROM ({UNANSWERED}) AS out GROUP BY 1, 2, 5 ORDER BY 1, 2, 5"
)
_NEW: frozenset[str] = frozenset()
_AWAY = (SQLAlchemyError, *DRIVER_ERRORS)


class PostgresDatabase:
    """One service's database on a server. See `storage.Database`.

    Args:
        url: `postgresql://user:password@host:port/database?sslmode=verify-full`; see
            `read_postgres_url`.
        clock: for durations between two looks at the server's clock.
        connections_max: at once, for everything; who waits longer than `wait_s` fails.
        pooled: behind PgBouncer in transaction mode, where prepared statements have no home.
        newest: returns the URL as it is now, whose password each new connection uses.
        age_s: of a connection, after which another one is made: with the certificates and the
            password of then, and the server's judgement of them.
    """

    remote = True

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        connections_max: int = 8,
        wait_s: float = 5.0,
        pooled: bool = False,
        newest: Callable[[], str] | None = None,
        age_s: float = CONNECTION_AGE_S,
    ) -> None:
        self._clock, self._age_s = clock, age_s
        read = read_postgres_url(url)
        if newest is not None:
            read = renewed_by(read, newest)
        self._where, self._demands_tls = read.shown, read.demands_tls
        self._why_not = read.why_not
        unprepared: dict[str, object] = {
            "statement_cache_size": 0,
            "prepared_statement_cache_size": 0,
            "prepared_statement_name_func": str,  # the unnamed one
        }
        arguments: dict[str, object] = {"timeout": CONNECT_S} | (unprepared if pooled else {})
        self._engine = engine_of(read, arguments, autocommit=True)
        look_at_values(self._engine.sync_engine)
        self._idle: list[AsyncConnection] = []
        self._era = 0  # counts how often the server refused
        self._made: dict[int, tuple[int, float]] = {}  # {id of an open connection: era, until when}
        self._places = Places(connections_max)
        self._wait_s = wait_s
        self.prepared = PreparedWrites(self._engine.dialect)
        self._time = DatabaseClock(clock)
        self._lag_ms: int | None = 0

    # -- the start --------------------------------------------------------------------------------

    async def revisions(self) -> frozenset[str]:
        """See `storage.Database`. Raises TransactionLost if the server stays away."""
        connection, driver = await self._first_connection()
        try:
            await refuse_lacking(driver)
            known = await driver.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL")
            return frozenset(row[0] for row in await driver.fetch(REVISIONS)) if known else _NEW
        finally:
            await self.give(connection)

    async def open(
        self,
        edges: Sequence[EdgeRow],
        tables: Sequence[MetaData] | None,
        *,
        lag_ms: int | None = 0,
    ) -> list[EdgeRow]:
        """See `storage.Database`. Raises TransactionLost if the server stays away, or refuses."""
        give_up, pause_s, self._lag_ms = self._clock.monotonic() + OPEN_S, 0.1, lag_ms
        while True:
            connection, driver = await self._first_connection()
            failed = True
            try:
                found = await self._opened(connection, driver, edges, tables)
                failed = False
                return found
            except _AWAY as exc:
                if not is_passing(exc):
                    raise
                if self._clock.monotonic() > give_up:
                    raise TransactionLost(f"{self._where}: {type(exc).__name__}: {exc}") from exc
            finally:
                await self.give(connection, broken=failed)
            await asyncio.sleep(pause_s)
            pause_s = min(2.0, pause_s * 2)

    async def _opened(
        self,
        connection: AsyncConnection,
        driver: DriverConnection,
        edges: Sequence[EdgeRow],
        tables: Sequence[MetaData] | None,
    ) -> list[EdgeRow]:
        await refuse_lacking(driver)
        async with _made_alone(driver):
            if tables is not None:
                await self._make(connection, driver, tables)
            for edge in edges:
                await driver.execute(
                    "INSERT INTO holdfast_edge (sender, receiver, lane, events) "
                    "VALUES ($1, $2, $3, $4) ON CONFLICT (sender, receiver, lane) "
                    "DO UPDATE SET events = excluded.events "
                    "WHERE holdfast_edge.events <> excluded.events",
                    edge.sender,
                    edge.receiver,
                    edge.lane.value,
                    " ".join(edge.events),
                )
            found = await driver.fetch(EDGES)
        [times] = await driver.fetch(f"SELECT {_TIMES}")
        self._see_time(*times)
        return [edge_row(record) for record in found]

    async def _make(
        self, connection: AsyncConnection, driver: DriverConnection, tables: Sequence[MetaData]
    ) -> None:
        name = self._engine.dialect.identifier_preparer.format_table
        names = [name(table) for metadata in tables for table in metadata.sorted_tables]
        if await may_make(driver, names):
            await driver.execute(POSTGRES)
            for metadata in tables:
                await connection.run_sync(metadata.create_all)
        await connection.run_sync(check_columns, tables)

    async def look(self) -> list[EdgeRow]:
        """See `storage.Database`."""
        [[known]] = await self._fetch("SELECT to_regclass('holdfast_edge') IS NOT NULL")
        return [edge_row(record) for record in await self._fetch(EDGES)] if known else []

    async def _first_connection(self) -> tuple[AsyncConnection, DriverConnection]:
        give_up, pause_s = self._clock.monotonic() + OPEN_S, 0.1
        while True:
            try:
                return await self.take()
            except TransactionLost:
                if self._clock.monotonic() > give_up:
                    raise
            await asyncio.sleep(pause_s)
            pause_s = min(2.0, pause_s * 2)

    # -- connections ----------------------------------------------------------------------------

    async def take(self) -> tuple[AsyncConnection, DriverConnection]:
        """Take a connection, and the driver's below it; `give` it back. Raises TransactionLost."""
        try:
            async with asyncio.timeout(self._wait_s):
                await self._places.take()
        except TimeoutError as exc:
            raise TransactionLost(f"{self._where}: all connections are in use") from exc
        try:
            while self._idle:
                connection = self._idle.pop()
                driver = await driver_of(connection)
                if not driver.is_closed() and self._may_stay(connection):
                    return connection, driver
                await self._end(connection)  # the server was restarted meanwhile, or it is old
            connection = await self._engine.connect()
            self._made[id(connection)] = self._era, self._clock.monotonic() + self._age_s
            driver = await driver_of(connection)
            if self._demands_tls and not speaks_tls(driver):
                await self._end(connection)
                raise ConnectionError("it speaks in clear, and sslmode asks for TLS")
            return connection, driver
        except BaseException as exc:  # raised again: the place is given back
            self._places.give()
            if isinstance(exc, _AWAY):
                raise TransactionLost(self._why_not(exc)) from exc
            raise

    async def give(
        self, connection: AsyncConnection, *, broken: bool = False, refused: bool = False
    ) -> None:
        """Give a connection back; one that is broken is ended.

        Args:
            refused: the server takes no writes, or knows our role no more. A connection keeps
                what the server was when it was made: all that are open now are ended.
        """
        self._era += refused
        try:
            if broken:
                await self._end(connection)
            else:
                self._idle.append(connection)
            while old := next((one for one in self._idle if not self._may_stay(one)), None):
                self._idle.remove(old)
                await self._end(old)
        finally:
            self._places.give()

    def _may_stay(self, connection: AsyncConnection) -> bool:
        era, until_s = self._made[id(connection)]
        return era == self._era and self._clock.monotonic() < until_s

    async def _end(self, connection: AsyncConnection) -> None:
        del self._made[id(connection)]
        await connection.invalidate()
        await connection.close()

    # -- time ------------------------------------------------------------------------------------

    def _see_time(self, server_ms: int, floor: UUID | None) -> None:
        """Take down what the server's clock says, and how far other replicas are."""
        self._time.sees(server_ms)
        self._time.goes_on_from(floor, self._lag_ms)

    def now_ms(self) -> int:
        """Return the server's time, as far as it was seen: each look of the relay renews it."""
        return self._time.now_ms()

    # -- transactions and views -------------------------------------------------------------------

    async def begin(self, *, sharing: Sharing = Sharing.ALONE) -> Transaction:
        """See `storage.Database`. Waits at the gate."""
        connection, driver = await self.take()
        try:
            await driver.execute(_BEGIN)
        except BaseException as exc:  # raised again: the connection is given back
            await self.give(connection, broken=True, refused=is_of_server(exc))
            if isinstance(exc, _AWAY):
                raise TransactionLost(f"{self._where}: {type(exc).__name__}: {exc}") from exc
            raise
        now_ms = self.now_ms()
        tx = PostgresTransaction(self, connection, driver, self.prepared, now_ms, sharing=sharing)
        return JoinedTransaction(tx) if sharing is Sharing.JOINED else tx

    async def read(self) -> "PostgresReader":
        """See `storage.Database`."""
        return PostgresReader(self)

    # -- what operators and the relay look at -----------------------------------------------------

    async def _fetch(self, sql: str, *values: object) -> list[Record]:
        connection, driver = await self.take()
        broken, refused = True, False
        try:
            found = await driver.fetch(sql, *values)
            broken = False
        except _AWAY as exc:
            refused = is_of_server(exc)
            raise TransactionLost(f"{self._where}: {type(exc).__name__}: {exc}") from exc
        finally:
            await self.give(connection, broken=broken, refused=refused)
        return found

    async def messages(self, which: MessageFilter) -> list[MessageRow]:
        """See `storage.Database`."""
        mark = DollarMarks()
        where = which_messages(which, mark, holds, waiting=WAITING, failed=FAILED)
        sql = f"SELECT {COLUMNS} FROM holdfast_message WHERE {where} ORDER BY id "
        found = await self._fetch(f"{sql} LIMIT {mark(which.limit)}", *mark.values)
        return [message(record) for record in found]

    async def sagas(self, which: SagaFilter) -> list[SagaRow]:
        """See `storage.Database`."""
        mark = DollarMarks()
        where = which_sagas(which, mark, holds)
        sql = f"SELECT {SAGA_COLUMNS} FROM holdfast_saga WHERE {where} ORDER BY id DESC"
        found = await self._fetch(f"{sql} LIMIT {mark(which.limit)}", *mark.values)
        return [saga(record) for record in found]

    async def saga_steps(self, saga: UUID) -> list[StepRow]:
        """See `storage.Database`."""
        return [StepRow(saga, *record) for record in await self._fetch(STEPS, saga)]

    async def unfinished(self) -> list[Unfinished]:
        """See `storage.Database`."""
        [(made,)] = await self._fetch("SELECT to_regclass('holdfast_saga') IS NOT NULL")
        if not made:
            return []
        found = [*await self._fetch(_UNFINISHED), *await self._fetch(_UNANSWERED)]
        return [Unfinished(*record) for record in found]

    async def backlog(self, out_edges: Sequence[int], failing: Failing | None = None) -> Backlog:
        """See `storage.Database`."""
        mark = DollarMarks(list(out_edges))
        failed = "1 = 0"
        if failing is not None:
            failed = failing_long(failing, mark, failed=FAILED)
        [(rows, size, dead, waiting, failed_long, oldest)] = await self._fetch(
            "SELECT count(*), coalesce(sum(octet_length(body)), 0)::bigint, "
            "(SELECT count(*) FROM holdfast_message WHERE state = 'dead'), "
            f"(SELECT count(*) FROM holdfast_message WHERE {WAITING}), "
            f"(SELECT count(*) FROM holdfast_message WHERE {failed} AND NOT {WAITING} "
            "AND edge <> ALL($1::int[])), "
            "(SELECT id FROM holdfast_message WHERE edge = ANY($1::int[]) ORDER BY id LIMIT 1) "
            "FROM holdfast_message WHERE edge = ANY($1::int[])",
            *mark.values,
        )
        now_ms = self.now_ms()
        [(in_rows, in_oldest)] = await self._fetch(
            to_handle(out_edges, now_ms="$1", oldest="min(id::text)"), now_ms
        )
        sagas = [(*record,) for record in await self._fetch(SAGAS_OPEN)]
        return Backlog(
            rows,
            size,
            age_ms(oldest, now_ms),
            dead,
            waiting,
            failed_long,
            int(in_rows),
            age_ms(UUID(in_oldest) if in_oldest else None, now_ms),
            sagas_open(sagas, now_ms),
            {edge: age_ms(floor, now_ms) for edge, floor in await self._fetch(FLOORS)},
        )

    def connections(self) -> ConnectionCounts:
        """See `storage.Database`."""
        places = self._places
        return ConnectionCounts(places.used, len(self._idle), places.max, places.waiting)

    async def due_in_ms(self) -> int | None:
        """See `storage.Database`."""
        [(server_ms, floor, due_at)] = await self._fetch(
            f"SELECT {_TIMES}, (SELECT min(due_at) FROM holdfast_message WHERE state = 'due')"
        )
        self._see_time(server_ms, floor)
        return None if due_at is None else due_at - self.now_ms()

    async def trouble(self) -> str | None:
        """See `storage.Database`. Connections that were made to a server like this are ended."""
        connection, driver = await self.take()
        broken, writes = True, True
        try:
            read_only = "SELECT current_setting('transaction_read_only')::bool"  # a standby, too
            writes = not await driver.fetchval(read_only)
            broken = False
        except _AWAY as exc:
            raise TransactionLost(f"{self._where}: {type(exc).__name__}: {exc}") from exc
        finally:
            await self.give(connection, broken=broken, refused=not writes)
        return None if writes else f"{self._where} takes no writes: it is a standby, or read-only"

    async def unanswered(self, edge: int, ids: Sequence[UUID]) -> set[UUID]:
        """See `storage.Database`."""
        found = await self._fetch(
            "SELECT id FROM holdfast_message WHERE edge = $1 AND id = ANY($2::uuid[]) "
            "AND state = 'due'",
            edge,
            list(ids),
        )
        return {id_ for (id_,) in found}  # the driver's ids are equal to plain ones

    async def close(self) -> None:
        """See `storage.Database`."""
        while self._idle:
            await self._end(self._idle.pop())
        await self._engine.dispose()


class PostgresReader:
    """A read-only view: a snapshot from its first statement to `close`."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._taken: tuple[AsyncConnection, DriverConnection] | None = None
        self._error: BaseException | None = None

    async def execute(self, statement: Executable, parameters: Parameters = None) -> Rows:
        """See `storage.Reader`."""
        refuse_control(statement)
        try:
            if self._taken is None:
                self._taken = await self._database.take()
                await self._taken[1].execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            connection, driver = self._taken
            bound = self._database.prepared.again.bound(statement, parameters)
            if bound is not None:
                return await run_again(driver, connection.dialect, bound)
            return await connection.execute(statement, parameters)
        except _AWAY as exc:
            if sqlstate_of(exc) != "25006":
                self._error = exc  # it is read-only because we asked for that
            if self._taken is not None and not self._taken[1].is_closed():  # the statement's own
                raise refusal_of(exc) or exc from exc
            raise TransactionLost(f"the server closed the connection: {exc}") from exc

    async def close(self) -> None:
        """See `storage.Reader`."""
        taken, self._taken = self._taken, None
        if taken is None:
            return
        connection, driver = taken
        broken, refused = True, is_of_server(self._error)
        try:
            await driver.execute("ROLLBACK")
            broken = False
        except DRIVER_ERRORS:
            pass  # whatever it was, the connection is not used again
        finally:
            await self._database.give(connection, broken=broken, refused=refused)


class _made_alone:  # noqa: N801  # it reads as a word: async with _made_alone(…)
    """A transaction under the lock that starting processes take in turn, and behind the gate.

    To make what is missing locks tables, and to store edges locks rows: whoever runs locks them
    in another order. The gate comes before both, for everybody.
    """

    def __init__(self, driver: DriverConnection) -> None:
        self._transaction = driver.transaction()
        self._driver = driver

    async def __aenter__(self) -> None:
        await self._transaction.start()
        await self._driver.execute(f"SELECT pg_advisory_xact_lock({_MAKE})")
        if await self._driver.fetchval("SELECT to_regclass('holdfast_gate') IS NOT NULL"):
            await self._driver.execute("LOCK TABLE holdfast_gate IN EXCLUSIVE MODE")

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        if error is None:
            await self._transaction.commit()
        elif not self._driver.is_closed():
            await self._transaction.rollback()
