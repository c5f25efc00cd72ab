"""The write transaction of a SQLite file."""

import sqlite3
from collections.abc import Sequence
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Connection, CursorResult, Dialect, Executable, Table, insert
from sqlalchemy.engine.cursor import FullyBufferedCursorFetchStrategy
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError

from holdfast.contract.envelope import MessageRow, SagaRow, State, StepRow
from holdfast.engines.known import Bound, Changed
from holdfast.engines.lists import hastened
from holdfast.engines.prepared import Prepared, PreparedWrites
from holdfast.engines.refusals import refusal_of, refused_by, row_refused
from holdfast.engines.sqlite_bounds import guard_computed
from holdfast.engines.sqlite_rows import (
    CLAIM,
    CLAIM_KNOWN,
    COLUMNS,
    INSERT,
    INSERT_ABOVE,
    OWNER,
    RENEW,
    UPDATE,
    UPDATE_HELD,
    QuestionMarks,
    message,
    saga,
    steps_of,
    uuid_of,
    values_of,
)
from holdfast.engines.statements import (
    check_changed,
    refuse_control,
    runs,
    update_by_key,
)
from holdfast.errors import Refused, TransactionLost
from holdfast.storage import Parameters, Rows, Write

_TOO_LONG = "an integer has more than 64 bits, which databases do not store"


class Writing(Protocol):
    """What a transaction writes with; see `SqliteDatabase`."""

    writer: sqlite3.Connection
    users: Connection
    prepared: PreparedWrites


def run_users(
    connection: Connection,
    statement: Executable,
    parameters: Parameters,
) -> CursorResult[Any]:
    """Run a user's statement; rows are read to the end, so that no cursor stays open."""
    refuse_control(statement)
    try:
        result = connection.execute(statement, parameters)
    except OverflowError as exc:
        raise Refused(_TOO_LONG) from exc
    except StatementError as exc:
        raise refused_by(statement, parameters, exc, connection.dialect) from exc
    if result.returns_rows:
        # `Result.freeze()` would do, and costs more than the statement.
        assert result.cursor is not None, "a result with rows has a cursor"
        rows = result.cursor.fetchall()
        result.cursor_strategy = FullyBufferedCursorFetchStrategy(
            result.cursor, initial_buffer=rows
        )
    return result


def run_again(
    raw: sqlite3.Connection,
    dialect: Dialect,
    bound: Bound,
    statement: Executable,
    parameters: Parameters,
) -> Rows:
    """Run a user's statement that was compiled before."""
    try:
        cursor = raw.execute(bound.sql, bound.values)
        if bound.known.metadata is None:
            return Changed(cursor.rowcount)
        return bound.known.rows(cursor.fetchall())
    except OverflowError as exc:
        raise Refused(_TOO_LONG) from exc
    except sqlite3.Error as exc:  # users know SQLAlchemy's errors
        told = DBAPIError.instance(bound.sql, None, exc, sqlite3.Error, dialect=dialect)
        raise refused_by(statement, parameters, told, dialect) from exc


class SqliteTransaction:
    """The one write transaction of a SQLite file. See `storage.Transaction`."""

    def __init__(self, database: Writing, now_ms: int) -> None:
        self.now_ms = now_ms
        self._database = database
        self._sql = database.writer
        self._depth = 0
        self._over = False

    async def execute(
        self,
        statement: Executable,
        parameters: Parameters = None,
    ) -> Rows:
        if self._over or not self._sql.in_transaction:  # it would be kept for itself
            self.check_open()
        database = self._database
        guard_computed(database.users, statement)
        bound = database.prepared.again.bound(statement, parameters)
        if bound is None:
            return run_users(database.users, statement, parameters)
        return run_again(self._sql, database.users.dialect, bound, statement, parameters)

    async def write(self, writes: Sequence[Write]) -> None:
        if self._over or not self._sql.in_transaction:
            self.check_open()
        prepared, users = self._database.prepared, self._database.users
        for table, columns, group, rows in runs(writes):
            if group[0].key is None:
                statement = prepared.insert(table, columns)
                if statement is None:
                    run_users(users, insert(table), rows)
                else:
                    self._many(statement, table, rows)
                continue
            statement = prepared.update(table, columns)
            if statement is None:
                slow = update_by_key(table, columns)
                changed = sum(run_users(users, slow, row).rowcount for row in rows)
            else:
                changed = self._many(statement, table, rows)
            check_changed(table, group, changed)

    def _many(self, statement: Prepared, table: Table, rows: list[dict[str, object]]) -> int:
        try:
            values = list(map(statement.values, rows))
        except (TypeError, ValueError, LookupError) as exc:
            raise row_refused(table, rows, self._database.users.dialect, exc) from exc
        try:
            return self._sql.executemany(statement.sql, values).rowcount
        except sqlite3.Error as exc:  # users know SQLAlchemy's errors
            told = DBAPIError.instance(
                statement.sql, None, exc, sqlite3.Error, dialect=self._database.users.dialect
            )
            raise refusal_of(told) or told from exc

    async def verify(self) -> None:
        """SQLite says it at the commit only, which raises Refused."""

    async def savepoint(self, *, exact: bool = False) -> None:
        if self._over or not self._sql.in_transaction:
            self.check_open()
        self._depth += 1
        self._sql.execute(f"SAVEPOINT s{self._depth}")

    async def release(self) -> None:
        self._sql.execute(f"RELEASE s{self._depth}")
        self._depth -= 1

    async def rollback(self) -> None:
        self.check_open()
        self._sql.execute(f"ROLLBACK TO s{self._depth}")
        await self.release()

    def check_open(self) -> None:
        if self._over:  # what is open by now is somebody else's
            raise TransactionLost("the transaction is over: a `tx` lives as long as its handler")
        if not self._sql.in_transaction:
            raise TransactionLost("SQLite ended the transaction (disk full, or interrupted)")

    async def sign(self, name: MessageRow) -> None:
        await self.insert_messages([name])

    async def insert_messages(
        self, rows: Sequence[MessageRow], *, above_floor: bool = False, sure: bool = False
    ) -> list[MessageRow]:
        new: list[MessageRow] = []
        for row in rows:
            values = values_of(row)
            if above_floor:
                cursor = self._sql.execute(INSERT_ABOVE, (*values, values[0], values[1]))
            else:
                cursor = self._sql.execute(INSERT, values)
            if cursor.rowcount:
                new.append(row)
        return new

    async def lock_message(self, edge: int, id: UUID) -> MessageRow | None:
        found = self._sql.execute(
            f"SELECT {COLUMNS} FROM holdfast_message WHERE edge = ? AND id = ?",
            (edge, id.bytes),
        ).fetchone()
        return None if found is None else message(found)

    async def update_message(
        self, row: MessageRow, was: State, *, sure: bool = False, held: int | None = None
    ) -> bool:
        edge, id_, *values = values_of(row)
        if held is None:
            cursor = self._sql.execute(UPDATE, (*values, edge, id_, was.value))
        else:
            cursor = self._sql.execute(UPDATE_HELD, (*values, edge, id_, was.value, held))
        return cursor.rowcount == 1

    async def delete_message(self, edge: int, id: UUID, *states: State) -> MessageRow | None:
        found = [message(values) for values in self._deleted(edge, id, states)]
        return found[0] if found else None

    def _deleted(self, edge: int, id: UUID, states: Sequence[State]) -> sqlite3.Cursor:
        marks = ", ".join("?" * len(states))
        return self._sql.execute(
            f"DELETE FROM holdfast_message WHERE edge = ? AND id = ? AND state IN ({marks}) "
            f"RETURNING {COLUMNS}",
            (edge, id.bytes, *states),
        )

    async def delete_messages(
        self, edge: int, ids: Sequence[UUID], *states: State
    ) -> list[MessageRow]:
        deleted = [values for id_ in ids for values in self._deleted(edge, id_, states)]
        return [message(values) for values in deleted if values[OWNER] is not None]

    async def lock_topic(self, topic: str) -> None:
        """One writer: the transaction itself is the lock."""

    async def messages_of_topic(self, topic: str) -> list[MessageRow]:
        return self._select("topic = ?", (topic,))

    async def messages_of_owner(self, saga: UUID) -> list[MessageRow]:
        return self._select("owner = ?", (saga.bytes,))

    def _select(self, where: str, parameters: tuple[object, ...]) -> list[MessageRow]:
        sql = f"SELECT {COLUMNS} FROM holdfast_message WHERE {where} ORDER BY id"
        return [message(values) for values in self._sql.execute(sql, parameters)]

    async def claim(self, limit: int, lease_ms: int, *, waiting: bool = True) -> list[MessageRow]:
        parameters = (self.now_ms + lease_ms, self.now_ms, limit)
        found = self._sql.execute(CLAIM if waiting else CLAIM_KNOWN, parameters).fetchall()
        return sorted(map(message, found), key=lambda row: row.id)

    async def renew(self, rows: Sequence[MessageRow], lease_ms: int) -> list[MessageRow]:
        kept: list[MessageRow] = []
        for row in rows:
            renewed = row.copy()
            renewed.due_at = self.now_ms + lease_ms
            values = (renewed.due_at, row.edge, row.id.bytes, row.due_at)
            if self._sql.execute(RENEW, values).rowcount:
                kept.append(renewed)
        return kept

    async def postpone(self, rows: Sequence[MessageRow]) -> None:
        self._sql.executemany(
            "UPDATE holdfast_message SET due_at = ? WHERE edge = ? AND id = ? AND state = 'due'",
            [(row.due_at, row.edge, row.id.bytes) for row in rows],
        )

    async def hasten(
        self, edge: int, limit: int, *, sent_once: bool = False, letter: UUID | None = None
    ) -> int:
        mark = QuestionMarks()
        marks = [mark(value) for value in (self.now_ms, edge, self.now_ms)]
        which = hastened(sent_once=sent_once, letter=mark(letter) if letter else None)
        return self._sql.execute(
            f"UPDATE holdfast_message SET due_at = {marks[0]} WHERE rowid IN (SELECT rowid FROM "
            f"holdfast_message WHERE edge = {marks[1]} AND state = 'due' AND due_at > {marks[2]} "
            f"AND {which} ORDER BY id LIMIT {mark(limit)})",
            mark.values,
        ).rowcount

    async def forget(self, limit: int) -> int:
        deleted = self._sql.execute(
            "DELETE FROM holdfast_message WHERE rowid IN (SELECT rowid FROM holdfast_message "
            "WHERE due_at <= ? AND state = 'done' AND kind = 'request' LIMIT ?)",
            (self.now_ms, limit),
        ).rowcount
        let_go = self._sql.execute(
            "UPDATE holdfast_message SET topic = NULL, due_at = NULL, body = x'' WHERE rowid IN "
            "(SELECT rowid FROM holdfast_message WHERE due_at <= ? AND state = 'done' "
            "AND topic IS NOT NULL LIMIT ?)",
            (self.now_ms, limit),
        ).rowcount
        return max(deleted, let_go)

    async def oldest_unsettled(self, edge: int) -> UUID | None:
        found = self._sql.execute(
            "SELECT min(id) FROM holdfast_message WHERE edge = ?", (edge,)
        ).fetchone()
        return uuid_of(found[0])

    async def set_floor(self, edge: int, floor: UUID, limit: int) -> int:
        self._sql.execute(
            "UPDATE holdfast_edge SET floor = ? WHERE id = ? AND (floor IS NULL OR floor < ?)",
            (floor.bytes, edge, floor.bytes),
        )
        return self._sql.execute(
            "DELETE FROM holdfast_message WHERE rowid IN (SELECT rowid FROM holdfast_message "
            "WHERE edge = ? AND id < ? AND state IN ('done', 'refused') AND topic IS NULL "
            "LIMIT ?)",
            (edge, floor.bytes, limit),
        ).rowcount

    async def insert_saga(self, row: SagaRow) -> bool:
        cursor = self._sql.execute(
            "INSERT INTO holdfast_saga (id, type, version, state, input, key, error, started_at, "
            "ended_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (
                row.id.bytes,
                row.type,
                row.version,
                row.state,
                row.input,
                row.key,
                row.error,
                row.started_at,
                row.ended_at,
            ),
        )
        return cursor.rowcount == 1

    async def saga_of_key(self, types: Sequence[str], key: str) -> UUID | None:
        marks = ", ".join("?" * len(types))
        found = self._sql.execute(
            f"SELECT id FROM holdfast_saga WHERE type IN ({marks}) AND key = ?", (*types, key)
        ).fetchone()
        return None if found is None else UUID(bytes=found[0])

    async def lock_saga(self, id: UUID) -> SagaRow | None:
        found = self._sql.execute(
            "SELECT id, type, version, state, input, key, error, started_at, ended_at "
            "FROM holdfast_saga WHERE id = ?",
            (id.bytes,),
        ).fetchone()
        return None if found is None else saga(found)

    async def update_saga(self, row: SagaRow) -> None:
        self._sql.execute(
            "UPDATE holdfast_saga SET version = ?, state = ?, input = ?, error = ?, ended_at = ? "
            "WHERE id = ?",
            (row.version, row.state, row.input, row.error, row.ended_at, row.id.bytes),
        )

    async def insert_steps(self, rows: Sequence[StepRow]) -> None:
        for r in rows:
            self._sql.execute(
                "INSERT INTO holdfast_step (saga, path, kind, outcome, ended_at) "
                "VALUES (?, ?, ?, ?, ?)",
                (r.saga.bytes, r.path, r.kind, r.outcome, r.ended_at),
            )

    async def steps(self, saga: UUID) -> list[StepRow]:
        return steps_of(self._sql, saga)

    async def delete_steps(self, saga: UUID) -> None:
        self._sql.execute("DELETE FROM holdfast_step WHERE saga = ?", (saga.bytes,))

    async def delete_ended_sagas(self, before_ms: int, limit: int) -> int:
        ids = self._sql.execute(
            "SELECT id FROM holdfast_saga WHERE ended_at < ? LIMIT ?", (before_ms, limit)
        ).fetchall()
        self._sql.executemany("DELETE FROM holdfast_step WHERE saga = ?", ids)
        self._sql.executemany("DELETE FROM holdfast_saga WHERE id = ?", ids)
        return len(ids)

    async def commit(self) -> bool:
        if self._over or not self._sql.in_transaction:
            self.check_open()
        try:
            self._sql.execute("COMMIT")
        except sqlite3.IntegrityError as exc:  # a deferred constraint
            refused = refusal_of(IntegrityError("COMMIT", None, exc))
            raise refused or exc from exc
        if self._sql.in_transaction:
            raise TransactionLost("SQLite did not commit")
        self._over = True
        return True

    async def abort(self) -> None:
        self._over = True
        if self._sql.in_transaction:
            self._sql.execute("ROLLBACK")
