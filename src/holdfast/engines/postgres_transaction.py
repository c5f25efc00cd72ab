"""One transaction on Postgres: few statements, and as few journeys as they need.

Turns share it: what they write is gathered, and joined at the end, or before a statement that may
read it. The server hears of a savepoint only where a turn has written by a statement of its own. A
transaction that cannot be written so is lost, and its turns run again apart, with every statement
where it was made. User code runs SERIALIZABLE, behind a gate: a service's transactions run one
after another, whatever number of replicas it has, as on SQLite.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]  # it has no types
from sqlalchemy import Executable, Result, Table, insert
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.ext.asyncio import AsyncConnection

from holdfast.contract.envelope import MessageRow
from holdfast.engines.postgres_pending import Level, only_reads, statement_of, together
from holdfast.engines.postgres_rows import signed
from holdfast.engines.postgres_tables import PostgresTables
from holdfast.engines.prepared import PreparedWrites
from holdfast.engines.refusals import refused_by, row_refused
from holdfast.engines.statements import (
    check_changed,
    named_values,
    refuse_control,
    shapes,
    update_by_key,
)
from holdfast.errors import CommitUnknown, StatementFailed, TransactionLost
from holdfast.storage import Sharing, Write

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
        driver: Any,
        prepared: PreparedWrites,
        now_ms: int,
        *,
        sharing: Sharing,
    ) -> None:
        super().__init__(now_ms, joined=sharing is Sharing.JOINED)
        self._alone = sharing is Sharing.ALONE
        self._connections = connections
        self._connection = connection
        self._driver = driver
        self._prepared = prepared
        self._waiting: list[str] = []  # what travels with the next statement
        self._levels: list[Level] = []
        self._wrote = False  # a user has, alone
        self._exact = 0  # open levels in which a user looks at what each statement raises
        self._direct = 0  # statements so far that have changed what only a savepoint undoes
        self._over = False
        self._lost = ""
        self._refused = False  # by the server, and not for the sake of a statement

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
        try:
            status: str = await self._driver.execute(sql, *values)
        except DRIVER_ERRORS as exc:
            raise self._failed(exc) from exc
        changed = int(status.rpartition(" ")[2] or 0)
        self._direct += changed > 0
        return changed

    async def _fetch(
        self, sql: str, *values: Any, about: tuple[UUID, ...] | None = None, reads: bool = False
    ) -> list[Any]:
        """Run a statement of ours; return its rows.

        Args:
            about: the rows, or sagas, that it looks at; None: any.
        """
        if about is None or not self._joined or self._pending.touches(*about):
            await self._before_ours()
        self.check_open()
        try:
            found: list[Any] = await self._driver.fetch(sql, *values)
        except DRIVER_ERRORS as exc:
            raise self._failed(exc) from exc
        self._direct += bool(found) and not reads
        return found

    async def _before_ours(self) -> None:
        """Let a statement of ours see what was gathered before it."""
        self.check_open()
        if self._joined:
            await self._write_ours()
        else:
            await self._send_waiting()

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
            if raised is exc and self._joined and not (self._levels and self._levels[-1].told):
                raised = self._loses(exc)  # of a SELECT: the server has nothing to go back to
            raise refused_by(statement, parameters, raised, self._connection.dialect) from exc
        except StatementError as exc:  # it was not sent
            raise refused_by(statement, parameters, exc, self._connection.dialect) from exc

    async def write(self, writes: Sequence[Write]) -> None:
        if self._joined and not self._exact:
            self._pending.users += writes
            return
        await self._send_waiting()
        self._wrote = True
        await self._write_users(group for _, _, group in shapes(writes))

    async def _write_users(self, groups: Iterable[list[Write]]) -> None:
        for group in groups:
            table, columns = group[0].table, tuple(group[0].values)
            rows = named_values(table, columns, group)
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

    # -- what was gathered ----------------------------------------------------------------------

    async def _before_users(self, only_reads: bool) -> None:
        """Let a user's statement see what was gathered, and be undone if its turn fails."""
        if not self._joined:
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
            raise self._loses(
                ValueError("a row was not new or below a floor, or had been changed by another")
            )

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
        if not (self._alone and self._wrote):  # it would bind later turns, too
            return
        await self._send_waiting()
        await self._execute("SET CONSTRAINTS ALL IMMEDIATE")

    async def savepoint(self, *, exact: bool = False) -> None:
        self.check_open()
        if exact and self._joined:  # what is refused in it must not be for want of what came before
            await self._tell_levels()
            await self._write_gathered(self._pending.take_users())
        self._levels.append(self._pending.level(self._direct))
        if not self._joined:
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
        if self._joined and self._pending.lost_by(level, self._direct):
            raise self._loses(ValueError("a turn failed behind what it shares with others"))
        self._close_level(f"ROLLBACK TO s{len(self._levels)}; ")
        self._pending.undo(level)
        self._sagas.clear()  # the locks of what was read there are gone with it
        self._steps.clear()
        if not self._joined or level.told:
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

    # -- its name ----------------------------------------------------------------------------

    async def sign(self, name: MessageRow) -> None:
        self._waiting.append(signed(name))
