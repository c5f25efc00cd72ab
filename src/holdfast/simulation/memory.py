"""The tables of a simulated database server: SQLite in memory, kept for further runs."""

import re
import sqlite3
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy import Connection, MetaData

from holdfast.engines.database_clock import DatabaseClock
from holdfast.engines.prepared import PreparedWrites
from holdfast.engines.sqlite import SqliteDatabase
from holdfast.engines.sqlite_bounds import drop_guards
from holdfast.ports import Clock

Seeding = Callable[[], AbstractContextManager[None]]


class Memory(SqliteDatabase):
    """The tables of one store: one connection that writes, and committed images for the others."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(":memory:", clock)
        self._seen: tuple[int | None, bytes | None] | None = None
        self.writer, self.users = self._connect(read_only=False)
        self.writer.execute("PRAGMA page_size=2048")  # tables are small, and images are copied
        self.prepared = PreparedWrites(self.users.dialect)
        self._has_tables = False
        self._image: bytes | None = None
        self._looking: sqlite3.Connection | None = None
        self._looks_at: bytes | None = None
        self._free: list[Connection] = []

    @property
    def _committed(self) -> sqlite3.Connection:  # type: ignore[override]  # an attribute there
        if not self.writer.in_transaction:
            return self.writer
        if self._looking is None:
            self._looking = sqlite3.connect(":memory:", isolation_level=None)
        if self._looks_at is not self._image:
            assert self._image is not None, "it was made before the transaction began"
            self._looking.deserialize(self._image)
            self._looks_at = self._image
        return self._looking

    def image(self) -> bytes:
        """Return what is committed."""
        if self._image is None:
            self._image = self.writer.serialize()
        return self._image

    def changed(self) -> None:
        """Forget what was seen: something was committed."""
        self._image = self._seen = None

    def load(self, template: "Template") -> None:
        """Begin again with empty tables, and what they are seeded with."""
        drop_guards(self.writer)  # a table gets them with its first statement that computes
        if not self._has_tables or template.seeds is None:
            self.writer.deserialize(template.image)
            self._has_tables = True
        if template.seeds is not None:
            _refill(self.writer, template.seeds)
        self.changed()

    def renew(self, clock: Clock) -> None:
        """Make ready for another run."""
        self._clock = clock
        self._time = DatabaseClock(clock)

    def fetch(self, sql: str) -> sqlite3.Cursor:
        """Return what a SELECT finds in what is committed."""
        return self._committed.execute(sql)

    def see(self) -> tuple[int | None, bytes | None]:
        """Return when the first row is due, and the last floor of the edge to oneself.

        Every node asks for both every few seconds, and mostly nothing was committed meanwhile.
        """
        if self._seen is None:
            self._seen = self._committed.execute(
                "SELECT (SELECT min(due_at) FROM holdfast_message WHERE state = 'due'), "
                "(SELECT max(floor) FROM holdfast_edge WHERE sender = receiver)"
            ).fetchone()
            assert self._seen is not None, "it is one row"
        return self._seen

    def shows(self, image: bytes) -> bool:
        """Whether the writer's own connection shows what an image does: nothing more, nor less."""
        return image is self._image and not self.writer.in_transaction

    async def take_reader(self) -> Connection:
        """Return a connection of its own to what is committed now."""
        return self.view(self.image())

    def view(self, image: bytes) -> Connection:
        """Return a connection of its own to what an image shows; `give_reader` it back."""
        connection = self._free.pop() if self._free else self._connect(read_only=True)[1]
        raw = connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        raw.deserialize(image)
        return connection

    def give_reader(self, connection: Connection) -> None:
        """Take it back."""
        self._free.append(connection)


Seeds = Mapping[str, Sequence[tuple[object, ...]]]
"""{table: its rows}, in the order in which the tables were made."""


@dataclass(frozen=True, slots=True)
class Template:
    """Tables in which nothing has happened.

    Attributes:
        image: with them a new connection begins.
        seeds: to these rows tables that were used are brought back, which spares preparing all
            statements again; None where to delete and to insert does more than that.
    """

    image: bytes
    seeds: Seeds | None


_TEMPLATES: dict[Hashable, Template] = {}  # by name and tables
_POOL: dict[Hashable, list[Memory]] = {}  # connections of earlier runs, by their tables


def take_memory(
    key: Hashable, clock: Clock, tables: Sequence[MetaData], seeding: Seeding
) -> Memory:
    """Return empty tables, and what is seeded with them; `give_memory` them back."""
    pool = _POOL.setdefault(key, [])
    memory = pool.pop() if pool else Memory(clock)
    memory.renew(clock)
    if key not in _TEMPLATES:
        with seeding():
            memory.make_tables(tables)
        _TEMPLATES[key] = Template(memory.image(), _seeds_of(memory.writer))
    memory.load(_TEMPLATES[key])
    return memory


def give_memory(key: Hashable, memory: Memory) -> None:
    """Keep the connections for another run."""
    if memory.writer.in_transaction:
        memory.writer.execute("ROLLBACK")
    _POOL[key].append(memory)


def _seeds_of(writer: sqlite3.Connection) -> Seeds | None:
    """Return the rows of all tables; None if triggers, counters or computed columns are there."""
    found: dict[str, list[tuple[object, ...]]] = {}
    made = writer.execute("SELECT type, name, sql FROM sqlite_master WHERE type <> 'index'")
    for kind, name, sql in made.fetchall():
        columns = writer.execute(f'PRAGMA table_xinfo("{name}")').fetchall()
        if kind != "table" or not _PLAIN.match(sql) or any(column[-1] for column in columns):
            return None
        found[f'"{name}"'] = writer.execute(f'SELECT * FROM "{name}"').fetchall()  # noqa: S608
    try:
        _refill(writer, found)
    except sqlite3.IntegrityError:  # they refer to each other in a circle
        writer.execute("ROLLBACK")
        return None
    return found


_PLAIN = re.compile(r"CREATE TABLE (?!.*\bAUTOINCREMENT\b)", re.IGNORECASE | re.DOTALL)


def _refill(writer: sqlite3.Connection, seeds: Seeds) -> None:
    """Bring tables back to these rows."""
    writer.execute("BEGIN IMMEDIATE")
    for table in reversed(list(seeds)):
        writer.execute(f"DELETE FROM {table}")  # noqa: S608  # the name of a table that is there
    for table, rows in seeds.items():
        if rows:
            marks = ", ".join("?" * len(rows[0]))
            writer.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)  # noqa: S608
    writer.execute("COMMIT")
