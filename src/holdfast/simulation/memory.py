"""The tables of a simulated database server: SQLite in memory, kept for further runs."""

import sqlite3
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager

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
        self.writer, self.users = self._connect(read_only=False)
        self.prepared = PreparedWrites(self.users.dialect)
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
        """Forget the image: something was committed."""
        self._image = None

    def load(self, image: bytes) -> None:
        """Begin again with an image."""
        drop_guards(self.writer)  # they are of the tables that go
        self.writer.deserialize(image)
        self._image = None

    def renew(self, clock: Clock) -> None:
        """Make ready for another run."""
        self._clock = clock
        self._time = DatabaseClock(clock)

    def first_due_at(self) -> int | None:
        """Return when the first row is due."""
        found: tuple[int | None] = self._committed.execute(
            "SELECT min(due_at) FROM holdfast_message WHERE state = 'due'"
        ).fetchone()
        return found[0]

    async def take_reader(self) -> Connection:
        """Return a connection of its own to what is committed now."""
        image = self.image()
        connection = self._free.pop() if self._free else self._connect(read_only=True)[1]
        raw = connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        raw.deserialize(image)
        return connection

    def give_reader(self, connection: Connection) -> None:
        """Take it back."""
        self._free.append(connection)


_TEMPLATES: dict[Hashable, bytes] = {}  # {name and tables: the image of empty ones}
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
        _TEMPLATES[key] = memory.image()
    memory.load(_TEMPLATES[key])
    return memory


def give_memory(key: Hashable, memory: Memory) -> None:
    """Keep the connections for another run."""
    if memory.writer.in_transaction:
        memory.writer.execute("ROLLBACK")
    _POOL[key].append(memory)
