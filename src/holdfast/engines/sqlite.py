"""SQLite: one file per service, inline on the loop, one writer.

Statements run on the loop's thread: a thread hop per statement costs more than the statement. The
data folder's lock makes this process the only writer. Readers have connections of their own,
because a shared one would show what is not committed yet.
"""

import json
import os
import re
import sqlite3
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

from sqlalchemy import Connection, Executable, MetaData
from sqlalchemy.exc import CompileError, DBAPIError

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
from holdfast.engines.lists import failing_long, which_messages, which_sagas
from holdfast.engines.places import Places
from holdfast.engines.prepared import PreparedWrites
from holdfast.engines.sqlite_rows import (
    COLUMNS,
    FAILED,
    WAITING,
    QuestionMarks,
    edges_of,
    holds,
    message,
    saga,
    steps_of,
    uuid_of,
)
from holdfast.engines.sqlite_transaction import SqliteTransaction, run_again, run_users
from holdfast.engines.sqlite_types import sqlite_engine
from holdfast.engines.tables import REVISIONS, SQLITE, check_columns
from holdfast.errors import SettingError
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
    Unfinished,
)

BUSY_S = 0.25  # waited for a lock of another program; the whole process waits with it


class SqliteReader:
    """A read-only view: a snapshot from its first statement to `close`."""

    def __init__(self, database: "SqliteDatabase") -> None:
        self._database = database
        self._connection: Connection | None = None

    async def execute(self, statement: Executable, parameters: Parameters = None) -> Rows:
        if self._connection is None:
            self._connection = await self._database.take_reader()
        bound = self._database.prepared.again.bound(statement, parameters)
        if bound is None:
            return run_users(self._connection, statement, parameters)
        raw = self._connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        return run_again(raw, self._connection.dialect, bound, statement, parameters)

    async def close(self) -> None:
        if self._connection is not None:
            self._database.give_reader(self._connection)
            self._connection = None


_UNFINISHED = (
    "SELECT 'saga', type, max(version), count(*) FROM holdfast_saga WHERE ended_at IS NULL "
    "GROUP BY type UNION ALL SELECT kind, json_extract(CAST(body AS TEXT), '$.type'), 1, count(*) "
    "FROM holdfast_message WHERE state = 'due' AND kind NOT IN ('timer', 'wait') "
    f"AND (kind = 'tick' OR {WAITING}) GROUP BY 1, 2 ORDER BY 1, 2"
)
_UNANSWERED = (
    "SELECT kind, json_extract(CAST(body AS TEXT), '$.type'), 1, count(*), receiver "
    f"FROM ({UNANSWERED}) GROUP BY 1, 2, 5 ORDER BY 1, 2, 5"
)


CACHE_BYTES_MAX = 256 << 10  # of a file that a connection keeps; the machine keeps the rest


class SqliteDatabase:
    """One service's SQLite file. See `storage.Database`.

    Args:
        readers_max: read-only views at once; more wait.
    """

    remote = False

    def __init__(self, path: Path | str, clock: Clock, *, readers_max: int = 16) -> None:
        self._path = str(path)
        self._clock = clock
        self._time = DatabaseClock(clock)
        self._idle: list[Connection] = []
        self._readers = Places(readers_max)
        self._opened = ExitStack()  # closes what `open` has opened, were it only a part

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
        raw.execute(f"PRAGMA cache_size=-{CACHE_BYTES_MAX >> 10}")
        if read_only:
            raw.execute("PRAGMA query_only=ON")
        engine = sqlite_engine(lambda: raw)
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

    async def open(
        self,
        edges: Sequence[EdgeRow],
        tables: Sequence[MetaData] | None,
        *,
        lag_ms: int | None = 0,
    ) -> list[EdgeRow]:
        self.writer, self.users = self._connect(read_only=False)
        self._opened.callback(_close, self.users)
        self._committed = sqlite3.connect(
            self._path, isolation_level=None, check_same_thread=False
        )  # what is not committed yet must not be seen by floors and operators
        self._opened.callback(self._committed.close)
        self._committed.execute("PRAGMA query_only=ON")
        self._committed.execute(f"PRAGMA cache_size=-{CACHE_BYTES_MAX >> 10}")
        self.prepared = PreparedWrites(self.users.dialect)
        if tables is not None:
            self.make_tables(tables)
            check_columns(self.users, tables)
        found = self.know_edges(edges)
        self.now_ms()
        self.go_on_from_floor(self._time, lag_ms)
        self._hand_back_leases()
        return found

    async def look(self) -> list[EdgeRow]:
        path = os.path.abspath(self._path)  # noqa: ASYNC240  # SQLite is inline, too
        if not os.path.exists(path):  # noqa: ASYNC240
            return []
        self._committed = sqlite3.connect(
            f"{Path(path).as_uri()}?mode=ro", uri=True, timeout=BUSY_S, isolation_level=None
        )
        self._opened.callback(self._committed.close)
        return edges_of(self._committed)

    def make_tables(self, tables: Sequence[MetaData]) -> None:
        """Make the tables that are missing, with what is seeded with them: all or none."""
        self.writer.executescript(SQLITE)
        self.writer.execute("BEGIN IMMEDIATE")
        for metadata in tables:
            try:
                metadata.create_all(self.users)
            except CompileError as exc:
                what = re.sub(r"Compiler <.*?>", "it", str(exc))
                raise SettingError(
                    [
                        f"SQLite cannot make the tables of {self._path}: {what}; give the type a "
                        'form for it, as in `.with_variant(JSON(), "sqlite")`, or run on Postgres'
                    ]
                ) from exc
        self.writer.execute("COMMIT")

    def know_edges(self, edges: Sequence[EdgeRow]) -> list[EdgeRow]:
        """Store edges; return all that are stored."""
        for edge in edges:
            self.writer.execute(
                "INSERT INTO holdfast_edge (sender, receiver, lane, events) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (sender, receiver, lane) DO UPDATE SET events = excluded.events",
                (edge.sender, edge.receiver, edge.lane.value, " ".join(edge.events)),
            )
        return edges_of(self.writer)

    def go_on_from_floor(self, clock: DatabaseClock, lag_ms: int | None) -> None:
        """Let a clock be no earlier than the last floor of the edge to oneself."""
        found = self._committed.execute(
            "SELECT max(floor) FROM holdfast_edge WHERE sender = receiver"
        ).fetchone()
        clock.goes_on_from(uuid_of(found[0]), lag_ms)

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
        """Return the database's time: that of this host."""
        return self._time.now_ms(self._clock.now() * 1000)

    async def begin(self, *, sharing: Sharing = Sharing.ALONE) -> SqliteTransaction:
        self.writer.execute("BEGIN IMMEDIATE")
        return SqliteTransaction(self, self.now_ms())

    async def read(self) -> SqliteReader:
        return SqliteReader(self)

    async def take_reader(self) -> Connection:
        """Take a read-only connection with a fresh snapshot."""
        await self._readers.take()
        try:
            connection = self._idle.pop() if self._idle else self._connect(read_only=True)[1]
            connection.exec_driver_sql("BEGIN")
        except BaseException:  # raised again: the place is given back
            self._readers.give()
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
            self._readers.give()

    async def messages(self, which: MessageFilter) -> list[MessageRow]:
        mark = QuestionMarks()
        where = which_messages(which, mark, holds, waiting=WAITING, failed=FAILED)
        sql = f"SELECT {COLUMNS} FROM holdfast_message WHERE {where} ORDER BY id LIMIT ?"
        return [message(v) for v in self._committed.execute(sql, (*mark.values, which.limit))]

    async def sagas(self, which: SagaFilter) -> list[SagaRow]:
        mark = QuestionMarks()
        sql = (
            "SELECT id, type, version, state, input, key, error, started_at, ended_at "
            f"FROM holdfast_saga WHERE {which_sagas(which, mark, holds)} ORDER BY id DESC LIMIT ?"
        )
        return [saga(v) for v in self._committed.execute(sql, (*mark.values, which.limit))]

    async def saga_steps(self, saga: UUID) -> list[StepRow]:
        return steps_of(self._committed, saga)

    async def unfinished(self) -> list[Unfinished]:
        if hasattr(self, "writer"):
            return _unfinished(self._committed)
        if not os.path.exists(self._path):  # noqa: ASYNC240  # SQLite is inline, too
            return []
        connection = sqlite3.connect(self._path, timeout=BUSY_S)
        try:
            connection.execute("PRAGMA query_only=ON")
            return _unfinished(connection)
        finally:
            connection.close()

    async def backlog(self, out_edges: Sequence[int], failing: Failing | None = None) -> Backlog:
        marks = ", ".join("?" * len(out_edges))
        rows, size, oldest = self._committed.execute(
            "SELECT count(*), coalesce(sum(length(body)), 0), min(id) FROM holdfast_message "
            f"WHERE edge IN ({marks})",
            tuple(out_edges),
        ).fetchone()
        dead = self._committed.execute(
            "SELECT count(*) FROM holdfast_message WHERE state = 'dead'"
        ).fetchone()[0]
        waiting = self._committed.execute(
            f"SELECT count(*) FROM holdfast_message WHERE {WAITING}"
        ).fetchone()[0]
        failed = 0 if failing is None else self._count_failing(out_edges, failing)
        fetched, now_ms = self._committed.execute, self.now_ms()
        in_rows, in_oldest = fetched(
            to_handle(out_edges, now_ms="?", oldest="min(id)"), (now_ms,)
        ).fetchone()
        return Backlog(
            rows,
            size,
            age_ms(uuid_of(oldest), now_ms),
            dead,
            waiting,
            failed,
            in_rows,
            age_ms(uuid_of(in_oldest), now_ms),
            sagas_open(fetched(SAGAS_OPEN), now_ms),
            {edge: age_ms(uuid_of(floor), now_ms) for edge, floor in fetched(FLOORS)},
        )

    def connections(self) -> ConnectionCounts:
        readers = self._readers
        return ConnectionCounts(readers.used, len(self._idle), readers.max, readers.waiting)

    def _count_failing(self, out_edges: Sequence[int], failing: Failing) -> int:
        mark = QuestionMarks()
        others = " AND ".join(f"edge <> {mark(edge)}" for edge in out_edges) or "1 = 1"
        found: tuple[int] = self._committed.execute(
            f"SELECT count(*) FROM holdfast_message WHERE {others} AND NOT {WAITING} "
            f"AND {failing_long(failing, mark, failed=FAILED)}",
            mark.values,
        ).fetchone()
        return found[0]

    async def due_in_ms(self) -> int | None:
        found: tuple[int | None] = self._committed.execute(
            "SELECT min(due_at) FROM holdfast_message WHERE state = 'due'"
        ).fetchone()
        return None if found[0] is None else found[0] - self.now_ms()

    async def trouble(self) -> str | None:
        await self.due_in_ms()  # which raises what is wrong with its file
        return None

    async def unanswered(self, edge: int, ids: Sequence[UUID]) -> set[UUID]:
        wanted = json.dumps([id_.hex for id_ in ids])
        found = self._committed.execute(
            "SELECT id FROM holdfast_message WHERE edge = ? AND state = 'due' "
            "AND lower(hex(id)) IN (SELECT value FROM json_each(?))",
            (edge, wanted),
        )
        return {UUID(bytes=id_) for (id_,) in found}

    async def close(self) -> None:
        while self._idle:
            _close(self._idle.pop())
        self._opened.close()


def _close(connection: Connection) -> None:
    raw = connection.connection.driver_connection
    connection.invalidate()
    assert raw is not None
    raw.close()


def _unfinished(connection: sqlite3.Connection) -> list[Unfinished]:
    """Count what a database holds; nothing, if it has no tables yet."""
    try:
        return [
            Unfinished(*values)
            for sql in (_UNFINISHED, _UNANSWERED)
            for values in connection.execute(sql)
        ]
    except sqlite3.OperationalError as exc:
        if "no such table" not in str(exc):
            raise
        return []
