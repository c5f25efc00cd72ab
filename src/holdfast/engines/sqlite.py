"""SQLite: one file per service, inline on the loop, one writer.

Statements run on the loop's thread: a thread hop per statement costs more than the statement. The
data folder's lock makes this process the only writer. Readers have connections of their own,
because a shared one would show what is not committed yet.
"""

import asyncio
import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Connection,
    Executable,
    MetaData,
    Result,
    create_engine,
    insert,
)
from sqlalchemy.engine.cursor import FullyBufferedCursorFetchStrategy
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from holdfast.contract.envelope import (
    Edge,
    Kind,
    Lane,
    MessageRow,
    SagaRow,
    State,
    StepRow,
)
from holdfast.engines.prepared import Prepared, PreparedWrites
from holdfast.engines.statements import (
    check_changed,
    named_values,
    refuse_control,
    shapes,
    update_by_key,
)
from holdfast.engines.tables import REVISIONS, SQLITE, check_columns
from holdfast.errors import TransactionLost
from holdfast.ports import Backlog, Clock, MessageFilter, Write

BUSY_S = 0.25  # waited for a lock of another program; the whole process waits with it
SLOWED = 0.9  # of its speed, until a wall clock that was set back has caught up
_COLUMNS = (
    "edge, id, state, kind, due_at, tries, reached, owner, path, about, expires_at, hash, body, "
    "answer, error, topic"
)
_MARKS = ", ".join("?" * 16)
_INSERT = f"INSERT INTO holdfast_message ({_COLUMNS}) VALUES ({_MARKS}) ON CONFLICT DO NOTHING"
_INSERT_ABOVE = (
    f"INSERT INTO holdfast_message ({_COLUMNS}) SELECT {_MARKS} WHERE NOT EXISTS "
    "(SELECT 1 FROM holdfast_edge WHERE id = ? AND floor > ?) ON CONFLICT DO NOTHING"
)
_UPDATE = (
    "UPDATE holdfast_message SET state = ?, kind = ?, due_at = ?, tries = ?, reached = ?, "
    "owner = ?, path = ?, about = ?, expires_at = ?, hash = ?, body = ?, answer = ?, error = ?, "
    "topic = ? WHERE edge = ? AND id = ? AND state = ?"
)
_CLAIM = (
    "UPDATE holdfast_message SET tries = tries + 1, due_at = ? WHERE rowid IN (SELECT rowid FROM "
    "holdfast_message WHERE due_at <= ? AND state = 'due' ORDER BY due_at LIMIT ?) "
    f"RETURNING {_COLUMNS}"
)


def _blob(value: UUID | None) -> bytes | None:
    return None if value is None else value.bytes


def _uuid(value: bytes | None) -> UUID | None:
    return None if value is None else UUID(bytes=value)


def _values(row: MessageRow) -> tuple[Any, ...]:
    return (
        row.edge,
        row.id.bytes,
        row.state.value,
        row.kind.value,
        row.due_at,
        row.tries,
        row.reached,
        _blob(row.owner),
        row.path,
        _blob(row.about),
        row.expires_at,
        row.hash,
        row.body,
        row.answer,
        row.error,
        row.topic,
    )


def _row(values: tuple[Any, ...]) -> MessageRow:
    edge, id_, state, kind, due_at, tries, reached, owner, path, about, *rest = values
    return MessageRow(
        edge,
        UUID(bytes=id_),
        State(state),
        Kind(kind),
        due_at,
        tries,
        bool(reached),
        _uuid(owner),
        path,
        _uuid(about),
        *rest,
    )


def _saga(values: tuple[Any, ...]) -> SagaRow:
    id_, type_, version, state, input_, key, error, started_at, ended_at = values
    return SagaRow(UUID(bytes=id_), type_, version, state, input_, key, error, started_at, ended_at)


def _run(
    connection: Connection,
    statement: Executable,
    parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None,
) -> Result[Any]:
    """Run a user's statement; rows are read to the end, so that no cursor stays open."""
    refuse_control(statement)
    result = connection.execute(statement, parameters)
    if result.returns_rows:
        # `Result.freeze()` would do, and costs more than the statement.
        assert result.cursor is not None, "a result with rows has a cursor"
        rows = result.cursor.fetchall()
        result.cursor_strategy = FullyBufferedCursorFetchStrategy(
            result.cursor, initial_buffer=rows
        )
    return result


class SqliteTransaction:
    """The one write transaction of a SQLite file. See `ports.Transaction`."""

    def __init__(self, database: "SqliteDatabase", now_ms: int) -> None:
        self.now_ms = now_ms
        self._database = database
        self._sql = database.writer
        self._depth = 0
        self._over = False

    async def execute(
        self,
        statement: Executable,
        parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> Result[Any]:
        self.check_open()  # outside a transaction it would be kept for itself
        return _run(self._database.users, statement, parameters)

    async def write(self, writes: Sequence[Write]) -> None:
        self.check_open()
        prepared, users = self._database.prepared, self._database.users
        for table, columns, group in shapes(writes):
            rows = named_values(table, columns, group)
            if group[0].key is None:
                statement = prepared.insert(table, columns)
                if statement is None:
                    users.execute(insert(table), rows)
                else:
                    self._many(statement, rows)
                continue
            statement = prepared.update(table, columns)
            if statement is None:
                slow = update_by_key(table, columns)
                changed = sum(users.execute(slow, row).rowcount for row in rows)
            else:
                changed = self._many(statement, rows)
            check_changed(table, group, changed)

    def _many(self, statement: Prepared, rows: list[dict[str, Any]]) -> int:
        try:
            values = [statement.values(row) for row in rows]
            return self._sql.executemany(statement.sql, values).rowcount
        except sqlite3.Error as exc:  # users know SQLAlchemy's errors
            raise DBAPIError.instance(
                statement.sql, None, exc, sqlite3.Error, dialect=self._database.users.dialect
            ) from exc

    async def verify(self) -> None:
        """SQLite says it at the commit only."""

    async def savepoint(self, *, exact: bool = False) -> None:
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
            values = _values(row)
            if above_floor:
                cursor = self._sql.execute(_INSERT_ABOVE, (*values, values[0], values[1]))
            else:
                cursor = self._sql.execute(_INSERT, values)
            if cursor.rowcount:
                new.append(row)
        return new

    async def lock_message(self, edge: int, id: UUID) -> MessageRow | None:
        found = self._sql.execute(
            f"SELECT {_COLUMNS} FROM holdfast_message WHERE edge = ? AND id = ?",
            (edge, id.bytes),
        ).fetchone()
        return None if found is None else _row(found)

    async def update_message(self, row: MessageRow, was: State, *, sure: bool = False) -> bool:
        edge, id_, *values = _values(row)
        cursor = self._sql.execute(_UPDATE, (*values, edge, id_, was.value))
        return cursor.rowcount == 1

    async def delete_message(self, edge: int, id: UUID, *states: State) -> MessageRow | None:
        marks = ", ".join("?" * len(states))
        found = self._sql.execute(
            f"DELETE FROM holdfast_message WHERE edge = ? AND id = ? AND state IN ({marks}) "
            f"RETURNING {_COLUMNS}",
            (edge, id.bytes, *(s.value for s in states)),
        ).fetchall()
        return _row(found[0]) if found else None

    async def delete_messages(
        self, edge: int, ids: Sequence[UUID], *states: State
    ) -> list[MessageRow]:
        found = [await self.delete_message(edge, id_, *states) for id_ in ids]
        return [row for row in found if row is not None]

    async def lock_topic(self, topic: str) -> None:
        """One writer: the transaction itself is the lock."""

    async def messages_of_topic(self, topic: str) -> list[MessageRow]:
        return self._select("topic = ?", (topic,))

    async def messages_of_owner(self, saga: UUID) -> list[MessageRow]:
        return self._select("owner = ?", (saga.bytes,))

    def _select(self, where: str, parameters: tuple[Any, ...]) -> list[MessageRow]:
        sql = f"SELECT {_COLUMNS} FROM holdfast_message WHERE {where} ORDER BY id"
        return [_row(values) for values in self._sql.execute(sql, parameters)]

    async def claim(self, limit: int, lease_ms: int) -> list[MessageRow]:
        parameters = (self.now_ms + lease_ms, self.now_ms, limit)
        found = self._sql.execute(_CLAIM, parameters).fetchall()
        return sorted(map(_row, found), key=lambda row: row.id)

    async def postpone(self, rows: Sequence[MessageRow]) -> None:
        self._sql.executemany(
            "UPDATE holdfast_message SET due_at = ? WHERE edge = ? AND id = ? AND state = 'due'",
            [(row.due_at, row.edge, row.id.bytes) for row in rows],
        )

    async def hasten(self, edge: int, limit: int) -> int:
        return self._sql.execute(
            "UPDATE holdfast_message SET due_at = ? WHERE rowid IN (SELECT rowid FROM "
            "holdfast_message WHERE edge = ? AND state = 'due' AND tries > 1 AND due_at > ? "
            "ORDER BY id LIMIT ?)",
            (self.now_ms, edge, self.now_ms, limit),
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

    async def read_sagas(self, ids: Sequence[UUID]) -> None:
        """Nothing is gained: a statement costs no journey here."""

    async def lock_saga(self, id: UUID) -> SagaRow | None:
        found = self._sql.execute(
            "SELECT id, type, version, state, input, key, error, started_at, ended_at "
            "FROM holdfast_saga WHERE id = ?",
            (id.bytes,),
        ).fetchone()
        return None if found is None else _saga(found)

    async def update_saga(self, row: SagaRow) -> None:
        self._sql.execute(
            "UPDATE holdfast_saga SET version = ?, state = ?, input = ?, error = ?, ended_at = ? "
            "WHERE id = ?",
            (row.version, row.state, row.input, row.error, row.ended_at, row.id.bytes),
        )

    async def insert_steps(self, rows: Sequence[StepRow]) -> None:
        self._sql.executemany(
            "INSERT INTO holdfast_step (saga, path, kind, outcome, ended_at) "
            "VALUES (?, ?, ?, ?, ?)",
            [(r.saga.bytes, r.path, r.kind, r.outcome, r.ended_at) for r in rows],
        )

    async def steps(self, saga: UUID) -> list[StepRow]:
        return _steps(self._sql, saga)

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
        self.check_open()
        self._sql.execute("COMMIT")
        if self._sql.in_transaction:
            raise TransactionLost("SQLite did not commit")
        self._over = True
        return True

    async def abort(self) -> None:
        self._over = True
        if self._sql.in_transaction:
            self._sql.execute("ROLLBACK")


def _steps(sql: sqlite3.Connection, saga: UUID) -> list[StepRow]:
    found = sql.execute(
        "SELECT path, kind, outcome, ended_at FROM holdfast_step WHERE saga = ? ORDER BY ended_at",
        (saga.bytes,),
    )
    return [StepRow(saga, *values) for values in found]


class SqliteReader:
    """A read-only view: a snapshot from its first statement to `close`."""

    def __init__(self, database: "SqliteDatabase") -> None:
        self._database = database
        self._connection: Connection | None = None

    async def execute(
        self,
        statement: Executable,
        parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> Result[Any]:
        if self._connection is None:
            self._connection = await self._database.take_reader()
        return _run(self._connection, statement, parameters)

    async def close(self) -> None:
        if self._connection is not None:
            self._database.give_reader(self._connection)
            self._connection = None


class SqliteDatabase:
    """One service's SQLite file. See `ports.Database`.

    Args:
        readers_max: read-only views at once; more wait.
    """

    remote = False

    def __init__(self, path: Path | str, clock: Clock, *, readers_max: int = 16) -> None:
        self._path = str(path)
        self._clock = clock
        self._now_s = self._monotonic_s = 0.0
        self._idle: list[Connection] = []
        self._readers = asyncio.Semaphore(readers_max)

    def _connect(self, *, read_only: bool) -> tuple[sqlite3.Connection, Connection]:
        raw = sqlite3.connect(
            self._path,
            timeout=BUSY_S,
            isolation_level=None,
            cached_statements=512,
            check_same_thread=False,
        )
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            raw.execute(f"PRAGMA {pragma}")
        if read_only:
            raw.execute("PRAGMA query_only=ON")
        engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
        return raw, engine.connect().execution_options(isolation_level="AUTOCOMMIT")

    async def revisions(self) -> frozenset[str]:
        if not os.path.exists(self._path):  # noqa: ASYNC240  # SQLite is inline, too
            return frozenset()
        connection = sqlite3.connect(self._path, timeout=BUSY_S)
        try:
            return frozenset(row[0] for row in connection.execute(REVISIONS))
        except sqlite3.OperationalError as exc:
            if "no such table" not in str(exc):
                raise
            return frozenset()
        finally:
            connection.close()

    async def open(self, edges: Sequence[Edge], tables: Sequence[MetaData] | None) -> list[Edge]:
        self.writer, self.users = self._connect(read_only=False)
        self._committed = sqlite3.connect(
            self._path, isolation_level=None, check_same_thread=False
        )  # what is not committed yet must not be seen by floors and operators
        self._committed.execute("PRAGMA query_only=ON")
        self.prepared = PreparedWrites(self.users.dialect)
        if tables is not None:
            self.make_tables(tables)
            check_columns(self.users, tables)
        found = self.know_edges(edges)
        self.go_on_from_last_time()
        self._hand_back_leases()
        return found

    def make_tables(self, tables: Sequence[MetaData]) -> None:
        """Make the tables that are missing, with what is seeded with them: all or none."""
        self.writer.executescript(SQLITE)
        self.writer.execute("BEGIN IMMEDIATE")
        for metadata in tables:
            metadata.create_all(self.users)
        self.writer.execute("COMMIT")

    def know_edges(self, edges: Sequence[Edge]) -> list[Edge]:
        """Store edges; return all that are stored."""
        for edge in edges:
            self.writer.execute(
                "INSERT INTO holdfast_edge (sender, receiver, lane, events) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (sender, receiver, lane) DO UPDATE SET events = excluded.events",
                (edge.sender, edge.receiver, edge.lane.value, " ".join(edge.events)),
            )
        found = self.writer.execute(
            "SELECT id, sender, receiver, lane, events, floor FROM holdfast_edge ORDER BY id"
        )
        return [
            Edge(id_, sender, receiver, Lane(lane), tuple(events.split()), _uuid(floor))
            for id_, sender, receiver, lane, events, floor in found
        ]

    def go_on_from_last_time(self) -> None:
        """Begin above every floor that an earlier process announced.

        On an earlier clock new letters would be below it: taken for settled long ago, and ignored.
        No floor was announced above that of the edge to oneself.
        """
        found = self.writer.execute(
            "SELECT max(floor) FROM holdfast_edge WHERE sender = receiver"
        ).fetchone()
        self._monotonic_s = self._clock.monotonic()
        if found[0] is not None:
            self._now_s = ((UUID(bytes=found[0]).int >> 80) + 1) / 1000

    def _hand_back_leases(self) -> None:
        """This process is the only one: what an earlier one was busy with is due now.

        A letter that was never tried waits for its delay, or for its tick.
        """
        now = self.now_ms()
        self.writer.execute(
            "UPDATE holdfast_message SET due_at = ? WHERE state = 'due' AND tries > 0 "
            "AND due_at > ? AND due_at < ?",
            (now, now, now + 60_000),
        )

    def now_ms(self) -> int:
        """Return the database's time; it never goes back, and never stands still.

        While the wall clock is behind, because it was set back, this runs on at a lower speed.
        """
        monotonic_s = self._clock.monotonic()
        ran_s = SLOWED * (monotonic_s - self._monotonic_s)
        self._now_s = max(self._clock.now(), self._now_s + ran_s)
        self._monotonic_s = monotonic_s
        return int(self._now_s * 1000)

    async def begin(self, *, shared: bool = False) -> SqliteTransaction:
        self.writer.execute("BEGIN IMMEDIATE")
        return SqliteTransaction(self, self.now_ms())

    async def read(self) -> SqliteReader:
        return SqliteReader(self)

    async def take_reader(self) -> Connection:
        """Take a read-only connection with a fresh snapshot."""
        await self._readers.acquire()
        try:
            connection = self._idle.pop() if self._idle else self._connect(read_only=True)[1]
            connection.exec_driver_sql("BEGIN")
        except BaseException:
            self._readers.release()
            raise
        return connection

    def give_reader(self, connection: Connection) -> None:
        """Give a read-only connection back."""
        try:
            connection.exec_driver_sql("COMMIT")
            self._idle.append(connection)
        except DBAPIError:  # an I/O error ended its transaction: the next one takes a new one
            connection.close()
        finally:
            self._readers.release()

    async def messages(self, which: MessageFilter) -> list[MessageRow]:
        where, parameters = ["1"], list[Any]()
        if which.edges:
            where.append(f"edge IN ({', '.join('?' * len(which.edges))})")
            parameters += which.edges
        if which.states:
            where.append(f"state IN ({', '.join('?' * len(which.states))})")
            parameters += [state.value for state in which.states]
        if which.id is not None:
            where.append("id = ?")
            parameters.append(which.id.bytes)
        sql = (
            f"SELECT {_COLUMNS} FROM holdfast_message WHERE {' AND '.join(where)} "
            "ORDER BY id LIMIT ?"
        )
        return [_row(v) for v in self._committed.execute(sql, (*parameters, which.limit))]

    async def sagas(self, *, id: UUID | None = None, limit: int = 100) -> list[SagaRow]:
        where, parameters = ("WHERE id = ?", [id.bytes]) if id else ("", list[Any]())
        sql = (
            "SELECT id, type, version, state, input, key, error, started_at, ended_at "
            f"FROM holdfast_saga {where} ORDER BY id DESC LIMIT ?"
        )
        return [_saga(values) for values in self._committed.execute(sql, (*parameters, limit))]

    async def saga_steps(self, saga: UUID) -> list[StepRow]:
        return _steps(self._committed, saga)

    async def backlog(self, out_edges: Sequence[int]) -> Backlog:
        marks = ", ".join("?" * len(out_edges))
        rows, size, oldest = self._committed.execute(
            "SELECT count(*), coalesce(sum(length(body)), 0), min(id) FROM holdfast_message "
            f"WHERE edge IN ({marks})",
            tuple(out_edges),
        ).fetchone()
        dead = self._committed.execute(
            "SELECT count(*) FROM holdfast_message WHERE state = 'dead'"
        ).fetchone()[0]
        age = 0 if oldest is None else max(0, self.now_ms() - (UUID(bytes=oldest).int >> 80))
        return Backlog(rows, size, age, dead)

    async def due_in_ms(self) -> int | None:
        found: tuple[int | None] = self._committed.execute(
            "SELECT min(due_at) FROM holdfast_message WHERE state = 'due'"
        ).fetchone()
        return None if found[0] is None else found[0] - self.now_ms()

    async def unanswered(self, edge: int, ids: Sequence[UUID]) -> set[UUID]:
        wanted = json.dumps([id_.hex for id_ in ids])
        found = self._committed.execute(
            "SELECT id FROM holdfast_message WHERE edge = ? AND state = 'due' "
            "AND lower(hex(id)) IN (SELECT value FROM json_each(?))",
            (edge, wanted),
        )
        return {UUID(bytes=id_) for (id_,) in found}

    async def oldest_unsettled(self, edge: int) -> UUID | None:
        found = self._committed.execute(
            "SELECT min(id) FROM holdfast_message WHERE edge = ?", (edge,)
        ).fetchone()
        return _uuid(found[0])

    async def close(self) -> None:
        self._committed.close()
        for connection in (*self._idle, self.users):
            raw = connection.connection.driver_connection
            connection.invalidate()
            assert raw is not None
            raw.close()
