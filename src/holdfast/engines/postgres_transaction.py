"""One transaction on Postgres: few statements, and as few journeys as they need.

What opens and closes savepoints waits for the next statement and travels with it; so does the
transaction's name. User code runs SERIALIZABLE, behind a gate: a service's transactions run one
after another, whatever number of replicas it has, as on SQLite.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]  # it has no types
from sqlalchemy import Executable, Result, Table, insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from holdfast.contract.envelope import MessageRow, SagaRow, State, StepRow
from holdfast.engines.postgres_pending import (
    Level,
    Pending,
    only_reads,
    statement_of,
    together,
)
from holdfast.engines.postgres_rows import (
    CLAIM,
    COLUMNS,
    INSERT,
    INSERT_ABOVE,
    SAGA_COLUMNS,
    UPDATE,
    columns_of,
    message,
    saga,
    signed,
    values_of,
)
from holdfast.engines.prepared import PreparedWrites
from holdfast.engines.statements import (
    check_changed,
    named_values,
    refuse_control,
    shapes,
    update_by_key,
)
from holdfast.errors import CommitUnknown, StatementFailed, TransactionLost
from holdfast.ports import Write

DRIVER_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that was lost in the middle of a statement
    OSError,
    TimeoutError,
)
_LOST = ("08", "40", "53", "57", "25P03", "25P04", "55P03")
"""SQLSTATEs, or their classes, through no fault of the statement: connection, conflict, resources,
shutdown, time-outs."""


class Connections(Protocol):
    """Where a transaction's connection goes at its end."""

    async def give(self, connection: AsyncConnection, *, broken: bool = False) -> None:
        """Give it back."""
        ...


class PostgresTransaction:
    """See `ports.Transaction`. Ends with `commit` or `abort`, which give the connection back."""

    def __init__(
        self,
        connections: Connections,
        connection: AsyncConnection,
        driver: Any,
        prepared: PreparedWrites,
        now_ms: int,
        *,
        shared: bool,
    ) -> None:
        self.now_ms = now_ms
        self._connections = connections
        self._connection = connection
        self._driver = driver
        self._prepared = prepared
        self._waiting: list[str] = []  # what travels with the next statement
        self._shared = shared
        self._pending = Pending()
        self._levels: list[Level] = []
        self._wrote = False  # a user has, alone
        self._exact = 0  # open levels in which a user looks at what each statement raises
        self._direct = 0  # statements so far that only a savepoint undoes
        self._sagas: dict[UUID, SagaRow] = {}  # read before they are asked for
        self._steps: dict[UUID, list[StepRow]] = {}
        self._over = False
        self._lost = ""

    # -- journeys -------------------------------------------------------------------------------

    async def _send_waiting(self) -> None:
        self.check_open()
        if self._waiting:
            try:
                await self._driver.execute("; ".join(self._waiting))
            except DRIVER_ERRORS as exc:
                raise self._failed(exc) from exc
            self._waiting = []

    async def _do(self, sql: str, *values: Any) -> int:
        """Run a statement of ours; return how many rows it changed."""
        await self._before_ours()
        self._direct += 1
        try:
            status: str = await self._driver.execute(sql, *values)
        except DRIVER_ERRORS as exc:
            raise self._failed(exc) from exc
        return int(status.rpartition(" ")[2] or 0)

    async def _fetch(
        self, sql: str, *values: Any, about: tuple[UUID, ...] | None = None, reads: bool = False
    ) -> list[Any]:
        """Run a statement of ours; return its rows.

        Args:
            about: the rows, or sagas, that it looks at; None: any.
        """
        if about is None or not self._shared or self._pending.touches(*about):
            await self._before_ours()
        self.check_open()
        self._direct += not reads
        try:
            found: list[Any] = await self._driver.fetch(sql, *values)
        except DRIVER_ERRORS as exc:
            raise self._failed(exc) from exc
        return found

    async def _before_ours(self) -> None:
        """Let a statement of ours see what was gathered before it."""
        self.check_open()
        if self._shared:
            await self._write_ours()
        else:
            await self._send_waiting()

    def _failed(self, error: BaseException) -> Exception:
        """Return what a statement of ours raises: as a rule, that all is lost."""
        if isinstance(error, asyncpg.InFailedSQLTransactionError):
            return StatementFailed("an earlier statement failed, and was not undone")
        return self._loses(error)

    def _loses(self, error: BaseException) -> TransactionLost:
        self._lost = f"{type(error).__name__}: {error}"
        return TransactionLost(self._lost)

    def _judge(self, error: DBAPIError) -> Exception:
        """Return what a user's statement raises: its own error, or that all is lost."""
        state = str(getattr(error.orig, "sqlstate", None) or "")
        if error.connection_invalidated or state.startswith(_LOST) or self._driver.is_closed():
            return self._loses(error)
        return error

    # -- users' statements ------------------------------------------------------------------------

    async def execute(
        self,
        statement: Executable,
        parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> Result[Any]:
        refuse_control(statement)
        self.check_open()
        try:
            await self._before_users(only_reads(statement))
            return await self._connection.execute(statement, parameters)
        except DBAPIError as exc:
            raised = self._judge(exc)
            if raised is exc and self._shared and not (self._levels and self._levels[-1].told):
                raised = self._loses(exc)  # of a SELECT: the server has nothing to go back to
            if raised is exc:
                raise
            raise raised from exc

    async def write(self, writes: Sequence[Write]) -> None:
        if self._shared and not self._exact:
            self._pending.users += writes
            return
        await self._send_waiting()
        self._wrote = True
        await self._write_users(group for _, _, group in shapes(writes))

    async def _write_users(self, groups: Iterable[list[Write]]) -> None:
        try:
            for group in groups:
                table, columns = group[0].table, tuple(group[0].values)
                rows = named_values(table, columns, group)
                if group[0].key is None:
                    await self._insert(table, columns, rows)
                else:
                    distinct = len({write.key for write in group}) == len(group)
                    changed = await self._update(table, columns, rows, distinct=distinct)
                    check_changed(table, group, changed)
        except DBAPIError as exc:
            raised = self._judge(exc)
            if raised is exc:
                raise
            raise raised from exc

    # -- what was gathered ----------------------------------------------------------------------

    async def _before_users(self, only_reads: bool) -> None:
        """Let a user's statement see what was gathered, and be undone if its turn fails."""
        if not self._shared:
            self._wrote = self._wrote or not only_reads
            await self._send_waiting()
            return
        pending = self._pending
        own = self._levels and len(pending.users) > max(self._levels[0].users, pending.users_done)
        if own or not only_reads:
            await self._tell_levels()
        await self._write_gathered(pending.take_users())

    async def _tell_levels(self) -> None:
        """Open the savepoints that the server has not heard of.

        What was gathered before them is written behind them, and again if they are undone.
        """
        pending = self._pending
        for depth, level in enumerate(self._levels, 1):
            if level.told:
                continue
            level.leaks = pending.lost_by(level, self._direct)
            level.told = True
            level.users_done, level.ours_done = pending.users_done, pending.ours_done
            self._waiting.append(f"SAVEPOINT s{depth}")
        await self._send_waiting()

    async def _write_gathered(self, writes: list[Write]) -> None:
        """Write what turns wanted; that one of them cannot be written is everybody's loss."""
        if not writes:
            return
        try:
            await self._write_users(together(writes))
        except TransactionLost:
            raise
        except Exception as exc:  # of a turn that has ended: each finds out for itself, alone
            raise self._loses(exc) from exc

    async def _write_ours(self) -> None:
        entries = self._pending.take_ours()
        if not entries:
            return
        self._direct += 1
        sql, arrays, wanted = statement_of(entries)
        try:
            [found] = await self._driver.fetch(sql, *arrays)
        except DRIVER_ERRORS as exc:
            raise self._failed(exc) from exc
        if list(found) != wanted:
            raise self._loses(ValueError("a row was not new, or had been changed by another"))

    async def _insert(self, table: Table, columns: tuple[str, ...], rows: list[Any]) -> None:
        statement = self._prepared.insert(table, columns)
        if statement is None:
            await self._connection.execute(insert(table), rows)
        elif len(rows) == 1:
            await self._execute(statement.sql, *statement.values(rows[0]))
        else:
            try:
                await self._driver.executemany(statement.sql, map(statement.values, rows))
            except DRIVER_ERRORS as exc:
                raise self._as_users_know_it(statement.sql, exc) from exc

    async def _update(
        self, table: Table, columns: tuple[str, ...], rows: list[Any], *, distinct: bool
    ) -> int:
        statement, changed = self._prepared.update(table, columns), 0
        if statement is not None and statement.many and len(rows) > 1 and distinct:
            values = zip(*map(statement.values, rows), strict=True)
            return await self._execute(statement.many, *map(list, values))
        for row in rows:
            if statement is None:
                result = await self._connection.execute(update_by_key(table, columns), row)
                changed += result.rowcount
            else:
                changed += await self._execute(statement.sql, *statement.values(row))
        return changed

    async def _execute(self, sql: str, *values: Any) -> int:
        """Run a write of a user's past SQLAlchemy; return how many rows it changed."""
        try:
            status: str = await self._driver.execute(sql, *values)
        except DRIVER_ERRORS as exc:
            raise self._as_users_know_it(sql, exc) from exc
        return int(status.rpartition(" ")[2]) if status[-1].isdigit() else 0

    def _as_users_know_it(self, sql: str, error: BaseException) -> BaseException:
        """Return SQLAlchemy's error for one of the driver's."""
        if isinstance(error, asyncpg.InvalidCachedStatementError | OSError | TimeoutError):
            return self._loses(error)  # a table was changed, or nobody answers: run it again
        dialect: Any = self._connection.dialect
        kind = dialect.dbapi.Error
        if isinstance(error, asyncpg.IntegrityConstraintViolationError):
            kind = dialect.dbapi.IntegrityError
        elif isinstance(error, asyncpg.SyntaxOrAccessError):
            kind = dialect.dbapi.ProgrammingError
        elif isinstance(error, asyncpg.InterfaceError):
            kind = dialect.dbapi.InterfaceError
        told = kind(str(error), error)
        told.__cause__ = error
        instance: Any = DBAPIError.instance  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        users: BaseException = instance(sql, None, told, dialect.dbapi.Error, dialect=dialect)
        return users

    # -- savepoints and the end -------------------------------------------------------------------

    async def verify(self) -> None:
        if self._shared or not self._wrote:
            return
        await self._send_waiting()
        await self._execute("SET CONSTRAINTS ALL IMMEDIATE")

    async def savepoint(self, *, exact: bool = False) -> None:
        self.check_open()
        self._levels.append(self._pending.level(self._direct))
        if not self._shared:
            self._levels[-1].told = True
            self._waiting.append(f"SAVEPOINT s{len(self._levels)}")
        elif exact or self._exact:
            self._exact += 1
            await self._tell_levels()

    async def release(self) -> None:
        self._close_level("")

    async def rollback(self) -> None:
        self.check_open()
        level = self._levels[-1]
        if self._shared and self._pending.lost_by(level, self._direct):
            raise self._loses(ValueError("a turn failed behind what it shares with others"))
        self._close_level(f"ROLLBACK TO s{len(self._levels)}; ")
        self._pending.undo(level)
        if not self._shared or level.told:
            await self._send_waiting()  # whatever failed, the next one finds the transaction well

    def _close_level(self, before: str) -> None:
        opened, level = f"SAVEPOINT s{len(self._levels)}", self._levels[-1]
        if self._waiting and self._waiting[-1] == opened:  # nothing happened in it
            self._waiting.pop()
        elif level.told:
            self._waiting.append(f"{before}RELEASE s{len(self._levels)}")
        self._levels.pop()
        self._exact = max(0, self._exact - 1)

    def check_open(self) -> None:
        if self._over:
            raise TransactionLost("the transaction is over: a `tx` lives as long as its handler")
        if self._lost:
            raise TransactionLost(self._lost)
        if self._driver.is_closed():
            self._lost = "the server closed the connection"
            raise TransactionLost(self._lost)

    async def commit(self) -> bool:
        self.check_open()
        await self._write_gathered(self._pending.take_users())
        await self._write_ours()
        self._waiting.append("COMMIT")
        statement, self._waiting = "; ".join(self._waiting), []
        try:
            status: str = await self._driver.execute(statement)
        except asyncpg.PostgresConnectionError as exc:
            self._lost = str(exc)
            raise CommitUnknown(f"{type(exc).__name__}: {exc}") from exc
        except asyncpg.PostgresError as exc:
            if not str(getattr(exc, "sqlstate", "")).startswith("57"):  # the server's own no
                raise self._loses(exc) from exc
            self._lost = str(exc)
            raise CommitUnknown(f"{type(exc).__name__}: {exc}") from exc
        except DRIVER_ERRORS as exc:
            self._lost = str(exc)
            raise CommitUnknown(f"{type(exc).__name__}: {exc}") from exc
        self._over = True
        await self._connections.give(self._connection)
        return status == "COMMIT"

    async def abort(self) -> None:
        if self._over:
            return
        self._over, broken = True, True
        try:
            await self._driver.execute("ROLLBACK")
            broken = False
        except DRIVER_ERRORS:
            pass  # whatever it was, the connection is not used again
        finally:
            await self._connections.give(self._connection, broken=broken)

    # -- messages -------------------------------------------------------------------------------

    async def sign(self, name: MessageRow) -> None:
        self._waiting.append(signed(name))

    async def insert_messages(
        self, rows: Sequence[MessageRow], *, above_floor: bool = False, sure: bool = False
    ) -> list[MessageRow]:
        if not rows:
            return []
        if sure and self._shared:
            self._pending.send(rows, guarded=above_floor)
            return list(rows)
        found = await self._fetch(INSERT_ABOVE if above_floor else INSERT, *columns_of(rows))
        new = {(edge, id_) for edge, id_ in found}
        return [row for row in rows if (row.edge, row.id) in new]

    async def lock_message(self, edge: int, id: UUID) -> MessageRow | None:
        found = await self._fetch(
            f"SELECT {COLUMNS} FROM holdfast_message WHERE edge = $1 AND id = $2 FOR UPDATE",
            edge,
            id,
            about=(id,),
            reads=True,
        )
        return message(found[0]) if found else None

    async def update_message(self, row: MessageRow, was: State, *, sure: bool = False) -> bool:
        if sure and self._shared and not self._pending.touches(row.id):
            self._pending.settle(row, was)
            return True
        return await self._do(UPDATE, *values_of(row), was.value) == 1

    async def delete_message(self, edge: int, id: UUID, *states: State) -> MessageRow | None:
        found = await self._fetch(
            "DELETE FROM holdfast_message WHERE edge = $1 AND id = $2 AND state = ANY($3::text[]) "
            f"RETURNING {COLUMNS}",
            edge,
            id,
            [state.value for state in states],
            about=(id,),
        )
        return message(found[0]) if found else None

    async def delete_messages(
        self, edge: int, ids: Sequence[UUID], *states: State
    ) -> list[MessageRow]:
        found = await self._fetch(
            "DELETE FROM holdfast_message WHERE edge = $1 AND id = ANY($2::uuid[]) "
            f"AND state = ANY($3::text[]) RETURNING {COLUMNS}",
            edge,
            list(ids),
            [state.value for state in states],
            about=tuple(ids),
        )
        return [message(record) for record in found]

    async def lock_topic(self, topic: str) -> None:
        await self._fetch(
            "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", topic, reads=True
        )

    async def messages_of_topic(self, topic: str) -> list[MessageRow]:
        return await self._select("topic", topic)

    async def messages_of_owner(self, saga: UUID) -> list[MessageRow]:
        return await self._select("owner", saga)

    async def _select(self, column: str, value: Any) -> list[MessageRow]:
        sql = f"SELECT {COLUMNS} FROM holdfast_message WHERE {column} = $1 ORDER BY id"
        return [message(record) for record in await self._fetch(sql, value, reads=True)]

    async def claim(self, limit: int, lease_ms: int) -> list[MessageRow]:
        found = await self._fetch(CLAIM, self.now_ms + lease_ms, self.now_ms, limit)
        return sorted(map(message, found), key=lambda row: row.id)

    async def postpone(self, rows: Sequence[MessageRow]) -> None:
        if rows:
            await self._do(
                "UPDATE holdfast_message m SET due_at = new.due_at FROM unnest($1::int[], "
                "$2::uuid[], $3::bigint[]) AS new (edge, id, due_at) "
                "WHERE m.edge = new.edge AND m.id = new.id AND m.state = 'due'",
                [row.edge for row in rows],
                [row.id for row in rows],
                [row.due_at for row in rows],
            )

    async def hasten(self, edge: int, limit: int) -> int:
        return await self._do(
            "UPDATE holdfast_message SET due_at = $1 WHERE ctid IN (SELECT ctid FROM "
            "holdfast_message WHERE edge = $2 AND state = 'due' AND tries > 1 AND due_at > $1 "
            "ORDER BY id LIMIT $3)",
            self.now_ms,
            edge,
            limit,
        )

    async def forget(self, limit: int) -> int:
        deleted = await self._do(
            "DELETE FROM holdfast_message WHERE ctid IN (SELECT ctid FROM holdfast_message "
            "WHERE due_at <= $1 AND state = 'done' AND kind = 'request' LIMIT $2)",
            self.now_ms,
            limit,
        )
        let_go = await self._do(
            "UPDATE holdfast_message SET topic = NULL, due_at = NULL, body = '' WHERE ctid IN "
            "(SELECT ctid FROM holdfast_message WHERE due_at <= $1 AND state = 'done' "
            "AND topic IS NOT NULL LIMIT $2)",
            self.now_ms,
            limit,
        )
        return max(deleted, let_go)

    async def set_floor(self, edge: int, floor: UUID, limit: int) -> int:
        await self._do(
            "UPDATE holdfast_edge SET floor = $2 WHERE id = $1 AND (floor IS NULL OR floor < $2)",
            edge,
            floor,
        )
        return await self._do(
            "DELETE FROM holdfast_message WHERE ctid IN (SELECT ctid FROM holdfast_message "
            "WHERE edge = $1 AND id < $2 AND state IN ('done', 'refused') AND topic IS NULL "
            "LIMIT $3)",
            edge,
            floor,
            limit,
        )

    # -- sagas ----------------------------------------------------------------------------------

    async def insert_saga(self, row: SagaRow) -> bool:
        if self._shared and row.key is None:
            self._pending.saga(row, new=True)
            return True
        changed = await self._do(
            f"INSERT INTO holdfast_saga ({SAGA_COLUMNS}) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
            row.id,
            row.type,
            row.version,
            row.state,
            row.input,
            row.key,
            row.error,
            row.started_at,
            row.ended_at,
        )
        return changed == 1

    async def read_sagas(self, ids: Sequence[UUID]) -> None:
        if not self._pending.touches(*ids):
            await self._read_sagas(ids)

    async def _read_sagas(self, ids: Sequence[UUID]) -> None:
        found = await self._fetch(SAGAS_AND_STEPS, sorted(ids), about=tuple(ids), reads=True)
        for *columns, paths, kinds, outcomes, ended in found:
            row = saga(columns)
            steps = zip(paths, kinds, outcomes, ended, strict=True)
            self._sagas[row.id] = row
            self._steps[row.id] = [StepRow(row.id, *step) for step in steps]

    async def lock_saga(self, id: UUID) -> SagaRow | None:
        if self._pending.touches(id):
            self._sagas.pop(id, None)  # what was read is old
        if id not in self._sagas:
            await self._read_sagas([id])
        return self._sagas.pop(id, None)

    async def update_saga(self, row: SagaRow) -> None:
        if self._shared:
            self._pending.saga(row, new=False)
            return
        await self._do(
            "UPDATE holdfast_saga SET version = $2, state = $3, input = $4, error = $5, "
            "ended_at = $6 WHERE id = $1",
            row.id,
            row.version,
            row.state,
            row.input,
            None if row.error is None else row.error.replace("\0", "\\0"),
            row.ended_at,
        )

    async def insert_steps(self, rows: Sequence[StepRow]) -> None:
        if self._shared:
            self._pending.step(rows)
            return
        await self._do(
            "INSERT INTO holdfast_step (saga, path, kind, outcome, ended_at) SELECT * FROM "
            "unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::bigint[])",
            [row.saga for row in rows],
            [row.path for row in rows],
            [row.kind for row in rows],
            [row.outcome for row in rows],
            [row.ended_at for row in rows],
        )

    async def steps(self, saga: UUID) -> list[StepRow]:
        read = self._steps.pop(saga, None)
        if read is not None and not self._pending.touches(saga):
            return read
        found = await self._fetch(STEPS, saga, about=(saga,), reads=True)
        return [StepRow(saga, *record) for record in found]

    async def delete_steps(self, saga: UUID) -> None:
        await self._do("DELETE FROM holdfast_step WHERE saga = $1", saga)

    async def delete_ended_sagas(self, before_ms: int, limit: int) -> int:
        return await self._do(
            "WITH ended AS (SELECT id FROM holdfast_saga WHERE ended_at < $1 LIMIT $2), "
            "steps AS (DELETE FROM holdfast_step WHERE saga IN (SELECT id FROM ended)) "
            "DELETE FROM holdfast_saga WHERE id IN (SELECT id FROM ended)",
            before_ms,
            limit,
        )


STEPS = "SELECT path, kind, outcome, ended_at FROM holdfast_step WHERE saga = $1 ORDER BY ended_at"
_OF_STEPS = ", ".join(
    f"ARRAY(SELECT {column} FROM holdfast_step WHERE saga = s.id ORDER BY ended_at, path)"
    for column in ("path", "kind", "outcome", "ended_at")
)
SAGAS_AND_STEPS = (
    f"SELECT {SAGA_COLUMNS}, {_OF_STEPS} FROM holdfast_saga s WHERE id = ANY($1::uuid[]) "
    "ORDER BY id FOR UPDATE"
)
