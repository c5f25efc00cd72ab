"""One transaction on Postgres: each statement where it was made; see `joined` for fewer.

User code runs SERIALIZABLE, behind a gate: a service's transactions run one after another,
whatever number of replicas it has, as on SQLite.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import asyncpg  # type: ignore[import-untyped]  # it has no types
from sqlalchemy import Dialect, Executable, Table, insert
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.ext.asyncio import AsyncConnection

from holdfast.contract.envelope import MessageRow
from holdfast.engines.known import Bound, Changed
from holdfast.engines.pending import Ours
from holdfast.engines.postgres_driver import DriverConnection, Record
from holdfast.engines.postgres_rows import signed
from holdfast.engines.postgres_tables import PostgresTables
from holdfast.engines.postgres_together import statement_of
from holdfast.engines.prepared import PreparedWrites
from holdfast.engines.refusals import refused_by, row_refused
from holdfast.engines.statements import (
    check_changed,
    only_reads,
    refuse_control,
    runs,
    update_by_key,
)
from holdfast.errors import CommitUnknown, StatementFailed, TransactionLost
from holdfast.storage import Parameters, Rows, Sharing, Write

DRIVER_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that was lost in the middle of a statement
    OSError,
    TimeoutError,
)
_LOST = ("08", "25006", "40", "53", "57", "25P03", "25P04", "55P03")
"""SQLSTATEs, or their classes, through no fault of the statement: connection, conflict, resources,
shutdown, time-outs, a server that takes no writes."""
_OF_STATEMENTS = ("21", "22", "23", "25P02", "40", "42", "44", "55P03", "P0")
"""SQLSTATEs, or their classes, of statements and of conflicts, which say nothing about the server.

Whatever else it says, it may say because it has become a standby, read-only, or a stranger to our
role: the connection keeps that state, though the database gets over it.
"""
_OF_ROLES = ("42501", "42704")  # a privilege or a role is gone


def sqlstate_of(error: BaseException | None) -> str:
    """Return what the server calls an error, of the driver's or of SQLAlchemy's; or ""."""
    told = error.orig if isinstance(error, DBAPIError) else error
    return str(getattr(told, "sqlstate", None) or "")


def is_of_server(error: BaseException | None) -> bool:
    """Whether an error tells that the server has changed, or what this connection is to it."""
    state = sqlstate_of(error)
    if not state:
        return isinstance(error, asyncpg.InternalClientError | OSError)
    return state in _OF_ROLES or not state.startswith(_OF_STATEMENTS)


def is_passing(error: BaseException) -> bool:
    """Whether another try may do better: a conflict, or a server that is away or being changed."""
    return sqlstate_of(error).startswith(_LOST) or isinstance(
        error, asyncpg.InternalClientError | OSError
    )


def users_error(sql: str, error: BaseException, dialect: Any) -> DBAPIError:
    """Return SQLAlchemy's error for one of the driver's."""
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
    users: DBAPIError = instance(sql, None, told, dialect.dbapi.Error, dialect=dialect)
    return users


async def run_again(driver: DriverConnection, dialect: Dialect, bound: Bound) -> Rows:
    """Run a user's statement that was compiled before. Raises SQLAlchemy's errors, and OSError."""
    try:
        if bound.known.metadata is None:
            return Changed(changed_by(await driver.execute(bound.sql, *bound.values)))
        return bound.known.rows(await driver.fetch(bound.sql, *bound.values))
    except asyncpg.InvalidCachedStatementError:
        raise  # a table was changed: it is run again
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as exc:
        raise users_error(bound.sql, exc, dialect) from exc


def changed_by(status: str) -> int:
    """Return how many rows a statement has changed, by what the server says of it."""
    return int(status.rpartition(" ")[2]) if status[-1].isdigit() else 0


class Connections(Protocol):
    """Where a transaction's connection goes at its end."""

    async def give(
        self, connection: AsyncConnection, *, broken: bool = False, refused: bool = False
    ) -> None:
        """Give it back."""
        ...


class PostgresTransaction(PostgresTables):
    """See `storage.Transaction`. Ends with `commit` or `abort`, which give the connection back."""

    def __init__(
        self,
        connections: Connections,
        connection: AsyncConnection,
        driver: DriverConnection,
        prepared: PreparedWrites,
        now_ms: int,
        *,
        sharing: Sharing,
    ) -> None:
        super().__init__(now_ms)
        self.failed = False  # a statement has; only the end of its savepoint helps
        self._alone = sharing is Sharing.ALONE
        self._connections = connections
        self._connection = connection
        self._driver = driver
        self._prepared = prepared
        self._waiting: list[str] = []  # what travels with a later statement
        self._opens = False  # some of it must be there before the next one: a savepoint
        self._depth = 0  # of savepoints
        self._wrote = False  # a user has, alone
        self._over = False
        self._lost = ""
        self._refused = False  # by the server, and not for the sake of a statement

    # -- journeys -------------------------------------------------------------------------------

    async def _send_waiting(self) -> None:
        self.check_open()
        if self._opens:
            try:
                await self._driver.execute("; ".join(self._waiting))
            except DRIVER_ERRORS as exc:
                raise self._failed(exc) from exc
            self._waiting, self._opens = [], False

    async def _do(self, sql: str, *values: object) -> int:
        await self._send_waiting()
        try:
            status: str = await self._driver.execute(sql, *values)
        except DRIVER_ERRORS as exc:
            raise self._failed(exc) from exc
        return int(status.rpartition(" ")[2] or 0)

    async def _fetch(self, sql: str, *values: object) -> list[Record]:
        await self._send_waiting()
        try:
            found = await self._driver.fetch(sql, *values)
        except DRIVER_ERRORS as exc:
            raise self._failed(exc) from exc
        return found

    def _failed(self, error: BaseException) -> Exception:
        """Return what a statement of ours raises: as a rule, that all is lost."""
        if isinstance(error, asyncpg.InFailedSQLTransactionError):
            return StatementFailed("an earlier statement failed, and was not undone")
        return self._loses(error)

    def _loses(self, error: BaseException) -> TransactionLost:
        self._refused = self._refused or is_of_server(error)
        self._lost = f"{type(error).__name__}: {error}"
        return TransactionLost(self._lost)

    def _judge(self, error: DBAPIError) -> Exception:
        """Return what a user's statement raises: its own error, or that all is lost."""
        state = sqlstate_of(error)
        if error.connection_invalidated or state.startswith(_LOST) or self._driver.is_closed():
            return self._loses(error)
        self._refused = self._refused or is_of_server(error)
        self.failed = True
        return error

    # -- users' statements ------------------------------------------------------------------------

    async def execute(self, statement: Executable, parameters: Parameters = None) -> Rows:
        refuse_control(statement)
        self._wrote = self._wrote or (self._alone and not only_reads(statement))
        await self._send_waiting()
        try:
            bound = self._prepared.again.bound(statement, parameters)
            if bound is not None:
                return await run_again(self._driver, self._connection.dialect, bound)
            return await self._connection.execute(statement, parameters)
        except (asyncpg.InvalidCachedStatementError, OSError, TimeoutError) as exc:
            raise self._loses(exc) from exc  # a table was changed, or nobody answers
        except DBAPIError as exc:
            raised = self._judge(exc)
            raise refused_by(statement, parameters, raised, self._connection.dialect) from exc
        except StatementError as exc:  # it was not sent
            raise refused_by(statement, parameters, exc, self._connection.dialect) from exc

    async def write(self, writes: Sequence[Write]) -> None:
        await self._send_waiting()
        self._wrote = True
        for table, columns, group, rows in runs(writes):
            try:
                if group[0].key is None:
                    await self._insert(table, columns, rows)
                    continue
                distinct = len({write.key for write in group}) == len(group)
                changed = await self._update(table, columns, rows, distinct=distinct)
            except (StatementError, TypeError, ValueError, LookupError) as exc:
                raised = self._judge(exc) if isinstance(exc, DBAPIError) else exc
                if isinstance(raised, TransactionLost):
                    raise raised from exc
                raise row_refused(table, rows, self._connection.dialect, raised) from exc
            check_changed(table, group, changed)

    async def _insert(
        self, table: Table, columns: tuple[str, ...], rows: list[dict[str, object]]
    ) -> None:
        statement = self._prepared.insert(table, columns)
        if statement is None:
            await self._connection.execute(insert(table), rows)
        elif len(rows) == 1:
            await self._execute(statement.sql, *statement.values(rows[0]))
        elif statement.many:
            values = zip(*map(statement.values, rows), strict=True)
            await self._execute(statement.many, *map(list, values))
        else:
            try:
                await self._driver.executemany(statement.sql, map(statement.values, rows))
            except DRIVER_ERRORS as exc:
                raise self._as_users_know_it(statement.sql, exc) from exc

    async def _update(
        self,
        table: Table,
        columns: tuple[str, ...],
        rows: list[dict[str, object]],
        *,
        distinct: bool,
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

    async def _execute(self, sql: str, *values: object) -> int:
        """Run a write of a user's past SQLAlchemy; return how many rows it changed."""
        try:
            status: str = await self._driver.execute(sql, *values)
        except DRIVER_ERRORS as exc:
            raise self._as_users_know_it(sql, exc) from exc
        return changed_by(status)

    def _as_users_know_it(self, sql: str, error: BaseException) -> BaseException:
        """Return SQLAlchemy's error for one of the driver's."""
        if isinstance(error, asyncpg.InvalidCachedStatementError | OSError | TimeoutError):
            return self._loses(error)  # a table was changed, or nobody answers: run it again
        return users_error(sql, error, self._connection.dialect)

    # -- savepoints and the end -------------------------------------------------------------------

    async def verify(self) -> None:
        if not (self._alone and self._wrote):  # it would bind later turns, too
            return
        await self._send_waiting()
        await self._execute("SET CONSTRAINTS ALL IMMEDIATE")

    async def savepoint(self, *, exact: bool = False) -> None:
        self.check_open()
        self._depth += 1
        self._opens = True
        self._waiting.append(f"SAVEPOINT s{self._depth}")

    async def release(self) -> None:
        if not self._left_unused():
            self._waiting.append(f"RELEASE s{self._depth}")
        self._depth -= 1

    async def rollback(self) -> None:
        self.check_open()
        if not self._left_unused():  # whatever failed, the next one finds the transaction well
            self._waiting = [f"ROLLBACK TO s{self._depth}; RELEASE s{self._depth}"]
            self._opens = True
            await self._send_waiting()
        self._depth -= 1
        self.failed = False
        self._answered.clear()
        self._sagas.clear()  # the locks of what was read there are gone with it
        self._steps.clear()

    def _left_unused(self) -> bool:
        """Forget the newest savepoint if nothing has happened in it; say whether."""
        unused = self._waiting[-1:] == [f"SAVEPOINT s{self._depth}"]
        if unused:
            self._waiting.pop()
        return unused

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
        self._waiting.append("COMMIT")
        statement, self._waiting = "; ".join(self._waiting), []
        try:
            status: str = await self._driver.execute(statement)
        except asyncpg.PostgresConnectionError as exc:
            self._loses(exc)
            raise CommitUnknown(f"{type(exc).__name__}: {exc}") from exc
        except asyncpg.PostgresError as exc:
            if not str(getattr(exc, "sqlstate", "")).startswith("57"):  # the server's own no
                raise self._loses(exc) from exc
            self._loses(exc)
            raise CommitUnknown(f"{type(exc).__name__}: {exc}") from exc
        except DRIVER_ERRORS as exc:
            self._loses(exc)
            raise CommitUnknown(f"{type(exc).__name__}: {exc}") from exc
        self._over = True
        await self._connections.give(self._connection, refused=self._refused)
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
            await self._connections.give(self._connection, broken=broken, refused=self._refused)

    # -- beside the verbs of the tables -----------------------------------------------------------

    async def sign(self, name: MessageRow) -> None:
        self._waiting.append(signed(name))

    async def write_ours(self, rows: Ours) -> bool:
        """See `joined.Apart`."""
        sql, arrays, wanted = statement_of(rows)
        [written] = await self._fetch(sql, *arrays)
        self.forget_read([row.id for row in rows.advanced])
        self.forget_read([row.saga for row in rows.stepped])
        return list(written) == wanted
