"""A simulated database server: SQLite in memory, with a server's ways of failing on top.

Write transactions take their turns at a gate, which stands for the serial order that SERIALIZABLE
promises; that they would have run side by side is simulated by conflicts. Readers see what was
committed when they began, and wait for nobody.
"""

import asyncio
import random
import sqlite3
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Executable, MetaData, Result

from holdfast.contract.envelope import Edge, Kind, MessageRow, SagaRow, State, StepRow
from holdfast.engines.database_clock import DatabaseClock
from holdfast.engines.prepared import PreparedWrites
from holdfast.engines.sqlite import SqliteDatabase, SqliteReader
from holdfast.engines.sqlite_bounds import drop_guards
from holdfast.engines.sqlite_transaction import SqliteTransaction
from holdfast.errors import CommitUnknown, TransactionLost
from holdfast.ports import Clock
from holdfast.simulation.clock import SimClock
from holdfast.simulation.node import Node
from holdfast.storage import Backlog, Failing, MessageFilter, SagaFilter, Sharing, Unfinished, Write

TRANSACTION_S = 30.0  # the server ends a transaction that takes longer
FAILS_WITHIN = 12  # statements, in which a transaction fails that is to fail
_SERVER = Context()  # the server's own timers belong to no node


def _nothing(kind: str, **fields: Any) -> None:
    """Take nothing down."""


class _Memory(SqliteDatabase):
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


_TEMPLATES: dict[tuple[Any, ...], bytes] = {}  # {name and tables: the image of empty ones}
_POOL: dict[tuple[Any, ...], list[_Memory]] = {}  # connections of earlier runs, by their tables


class SimStore:
    """The server and the disk of one service's database; it outlives every node.

    Args:
        extra: tables beside those of the service.
        seeding: around the making of tables, whose seeds are the same in every run.

    Attributes:
        letters: every letter to another service that was ever committed, by its id.
        down: nothing is served.
        conflict, drop: probabilities that a transaction fails before its COMMIT.
        void: that its COMMIT is answered by a rollback.
        lose_reply, lose_commit: that the connection is lost after, or before, the COMMIT landed.
        latency_s: (low, high) that a user's statement takes. slow_commit_s: that a COMMIT takes.
        late_commit_s: (low, high) after which a COMMIT lands that nobody was told of.
    """

    def __init__(
        self,
        name: str,
        clock: SimClock,
        chance: random.Random,
        *,
        record: Callable[..., None] = _nothing,
        extra: Sequence[MetaData] = (),
        seeding: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.name = name
        self.chance = chance
        self.down = False
        self.conflict = self.drop = self.void = self.lose_reply = self.lose_commit = 0.0
        self.lose_next = False  # the answer to the next COMMIT
        self.latency_s: tuple[float, float] | None = None
        self.slow_commit_s: tuple[float, float] | None = None
        self.late_commit_s: tuple[float, float] | None = None
        self.letters: dict[UUID, MessageRow] = {}
        self.clock = clock
        self._record = record
        self._extra = tuple(extra)
        self._seeding = seeding
        self._memory: _Memory | None = None
        self._key: tuple[Any, ...] = ()
        self._edges: dict[int, Edge] = {}
        self._owner: object | None = None
        self._queue: deque[_Wait] = deque()

    def database(self, node: Node | None) -> "SimDatabase":
        """Return the database as one node sees it."""
        return SimDatabase(self, node, self.clock)

    @property
    def memory(self) -> _Memory:
        """The tables."""
        assert self._memory is not None, f"the database of {self.name} was never opened"
        return self._memory

    def open(self, edges: Sequence[Edge], tables: Sequence[MetaData]) -> list[Edge]:
        """Make what is missing; return the stored edges."""
        if self._memory is None:
            self._key = (self.name, *map(id, tables), *map(id, self._extra))
            pool = _POOL.setdefault(self._key, [])
            self._memory = pool.pop() if pool else _Memory(self.clock)
            self._memory.renew(self.clock)
            if self._key not in _TEMPLATES:
                with self._seeding():
                    self._memory.make_tables([*tables, *self._extra])
                _TEMPLATES[self._key] = self._memory.image()
            self._memory.load(_TEMPLATES[self._key])
        known = self.memory.know_edges(edges)
        if not self.memory.writer.in_transaction:  # of another node: its edges were there before
            self.memory.changed()
        self._edges = {edge.id: edge for edge in known}
        return known

    def give_back(self) -> None:
        """Keep the connections for another run."""
        if self._memory is not None:
            if self._memory.writer.in_transaction:
                self._memory.writer.execute("ROLLBACK")
            _POOL[self._key].append(self._memory)
            self._memory = None

    def told(self, what: str) -> None:
        """Take a misfortune down."""
        self._record(f"db.{what}", store=self.name)

    def strikes(self, probability: float) -> bool:
        """Draw whether something happens."""
        return probability > 0 and self.chance.random() < probability

    # -- what invariants look at ------------------------------------------------------------------

    def query(self, statement: Executable) -> list[Any]:
        """Return the rows of a SELECT on what is committed."""
        if not self.memory.writer.in_transaction:
            return list(self.memory.users.execute(statement).fetchall())
        connection: Connection = _now(self.memory.take_reader())
        try:
            return list(connection.execute(statement).fetchall())
        finally:
            self.memory.give_reader(connection)

    def sagas(self) -> list[SagaRow]:
        """Return all sagas, newest first."""
        found: list[SagaRow] = _now(self.memory.sagas(SagaFilter(limit=1_000_000)))
        return found

    def open_rows(self) -> list[MessageRow]:
        """Return the rows that are not settled."""
        which = MessageFilter(states=(State.DUE, State.HELD, State.DEAD), limit=1_000_000)
        found: list[MessageRow] = _now(self.memory.messages(which))
        return found

    def receiver(self, edge: int) -> str:
        """Return the receiver of an edge."""
        return self._edges[edge].receiver

    def sends(self, row: MessageRow) -> bool:
        """Whether a row is a letter to another service."""
        edge = self._edges[row.edge]
        letter = row.kind in (Kind.COMMAND, Kind.EVENT, Kind.UNDO)
        return letter and edge.sender == self.name and edge.receiver != self.name

    # -- the gate -------------------------------------------------------------------------------

    async def enter(self, node: Node | None, tx: object) -> None:
        """Wait for one's turn."""
        if self._owner is None and not self._queue:
            self._owner = tx
            return
        wait = _Wait(node, tx, asyncio.get_running_loop().create_future())
        self._queue.append(wait)
        try:
            await wait.turn
        except asyncio.CancelledError:
            if self._owner is tx:
                self.leave(tx)
            raise

    def owned_by(self, tx: object) -> bool:
        """Whether it is this transaction's turn."""
        return self._owner is tx

    def leave(self, tx: object) -> None:
        """Let the next one have its turn."""
        if self._owner is not tx:
            return
        self._owner = None
        while self._queue:
            wait = self._queue.popleft()
            if (wait.node is None or wait.node.alive) and not wait.turn.done():
                self._owner = wait.tx
                wait.turn.set_result(None)
                return

    def crashed(self, node: Node) -> None:
        """Roll back what a dead node had open."""
        owner = self._owner
        if isinstance(owner, SimTransaction) and owner.node is node and not owner.lands_later:
            owner.end("its process died")


class _Wait:
    """A transaction that waits for its turn."""

    __slots__ = ("node", "turn", "tx")

    def __init__(self, node: Node | None, tx: object, turn: "asyncio.Future[None]") -> None:
        self.node, self.tx, self.turn = node, tx, turn


class SimTransaction(SqliteTransaction):
    """One write transaction of a node."""

    def __init__(self, store: SimStore, node: Node | None, time: DatabaseClock) -> None:
        super().__init__(store.memory, 0)
        self._time = time
        self.node = node
        self.lands_later = False
        self._store = store
        self._new: list[MessageRow] = []
        self._marks: list[int] = []  # how many of them there were at each savepoint
        self._lost = ""
        self._fails_at, self._fails_by = 0, ""
        self._statements = 0
        self._timer: asyncio.TimerHandle | None = None

    def started(self) -> None:
        """Begin: it is its turn."""
        store = self._store
        store.memory.image()
        store.memory.writer.execute("BEGIN IMMEDIATE")
        self.now_ms = self._time.now_ms()
        if store.strikes(store.conflict):
            self._fails_by = "conflict"
        elif store.strikes(store.drop):
            self._fails_by = "drop"
        if self._fails_by:
            self._fails_at = 1 + int(store.chance.random() * FAILS_WITHIN)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(TRANSACTION_S, self.end, "it took too long", context=_SERVER)

    def end(self, why: str) -> None:
        """Roll it back from the server's side."""
        if self._over:
            return
        self._lost = why
        self._finish("ROLLBACK")

    def _finish(self, statement: str) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._sql.in_transaction and self._store.owned_by(self):
            self._sql.execute(statement)
            if statement == "COMMIT":
                self._store.memory.changed()
                self._store.letters.update((row.id, row) for row in self._new)
        self._store.leave(self)

    def _pass(self, last: bool = False) -> None:
        """Pass a statement. Raises TransactionLost if the transaction fails here."""
        if self._lost:
            raise TransactionLost(self._lost)
        if self._fails_by:
            self._statements += 1
            if last or self._statements >= self._fails_at:
                self._store.told(self._fails_by)
                self.end(
                    "serialization failure" if self._fails_by == "conflict" else "connection lost"
                )
                raise TransactionLost(self._lost)

    async def _travel(self) -> None:
        if self._store.latency_s is not None:
            await asyncio.sleep(self._store.chance.uniform(*self._store.latency_s))
        self._pass()

    def check_open(self) -> None:
        if self._lost:
            raise TransactionLost(self._lost)
        super().check_open()

    async def execute(
        self,
        statement: Executable,
        parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> Result[Any]:
        await self._travel()
        return await super().execute(statement, parameters)

    async def write(self, writes: Sequence[Write]) -> None:
        await self._travel()
        await super().write(writes)

    async def insert_messages(
        self, rows: Sequence[MessageRow], *, above_floor: bool = False, sure: bool = False
    ) -> list[MessageRow]:
        self._pass()
        new = await super().insert_messages(rows, above_floor=above_floor, sure=sure)
        self._new += [row for row in new if self._store.sends(row)]
        return new

    async def lock_message(self, edge: int, id: UUID) -> MessageRow | None:
        self._pass()
        return await super().lock_message(edge, id)

    async def update_message(
        self, row: MessageRow, was: State, *, sure: bool = False, held: int | None = None
    ) -> bool:
        self._pass()
        return await super().update_message(row, was, sure=sure, held=held)

    async def renew(self, rows: Sequence[MessageRow], lease_ms: int) -> list[MessageRow]:
        self._pass()
        return await super().renew(rows, lease_ms)

    async def saga_of_key(self, types: Sequence[str], key: str) -> UUID | None:
        self._pass()
        return await super().saga_of_key(types, key)

    async def lock_saga(self, id: UUID) -> SagaRow | None:
        self._pass()
        return await super().lock_saga(id)

    async def savepoint(self, *, exact: bool = False) -> None:
        self._pass()
        await super().savepoint(exact=exact)
        self._marks.append(len(self._new))

    async def release(self) -> None:
        self._pass()
        await super().release()
        if self._marks:
            self._marks.pop()

    async def rollback(self) -> None:
        self._pass()
        del self._new[self._marks[-1] :]
        await super().rollback()  # which releases

    async def claim(self, limit: int, lease_ms: int, *, waiting: bool = True) -> list[MessageRow]:
        self._pass()
        return await super().claim(limit, lease_ms, waiting=waiting)

    async def commit(self) -> bool:
        store, node = self._store, self.node
        if node is not None:
            await node.step("commit.before")
        if store.slow_commit_s is not None:
            store.told("slow commit")
            await asyncio.sleep(store.chance.uniform(*store.slow_commit_s))
        self._pass(last=True)
        self.check_open()
        if store.strikes(store.void):
            store.told("void commit")
            self._finish("ROLLBACK")
            return False
        if store.down or store.strikes(store.lose_commit):
            store.told("lost commit")
            self._finish("ROLLBACK")
            raise CommitUnknown("the connection was lost")
        if store.late_commit_s is not None:
            store.told("late commit")
            self.lands_later = self._over = True
            delay_s = store.chance.uniform(*store.late_commit_s)
            loop = asyncio.get_running_loop()
            loop.call_later(delay_s, self._finish, "COMMIT", context=_SERVER)
            raise CommitUnknown("the connection was lost")
        self._finish("COMMIT")
        if node is not None:
            await node.step("commit.after")
        if store.strikes(store.lose_reply) or store.lose_next:
            store.lose_next = False
            store.told("lost reply")
            raise CommitUnknown("the connection was lost")
        return True

    async def abort(self) -> None:
        if not self._over:
            self._finish("ROLLBACK")


class SimDatabase:
    """Implements `storage.Database` for one node."""

    remote = True

    def __init__(self, store: SimStore, node: Node | None, clock: Clock) -> None:
        self.store = store
        self._node = node
        self._clock = clock
        self._time = DatabaseClock(clock)
        self._lag_ms: int | None = 0

    def _served(self) -> SqliteDatabase:
        if self.store.down:
            raise TransactionLost(f"the database of {self.store.name} is away")
        return self.store.memory

    async def revisions(self) -> frozenset[str]:
        """See `storage.Database`. Its tables are always those of the code."""
        return frozenset()

    async def open(
        self,
        edges: Sequence[Edge],
        tables: Sequence[MetaData] | None,
        *,
        lag_ms: int | None = 0,
    ) -> list[Edge]:
        """See `storage.Database`. A database that is away is waited for."""
        while self.store.down:  # noqa: ASYNC110  # a process asks until it is served
            await asyncio.sleep(0.5)
        turn = object()
        await self.store.enter(self._node, turn)
        try:
            known = self.store.open(edges, tables or ())
        finally:
            self.store.leave(turn)
        self._lag_ms = lag_ms
        self._look()
        return known

    def _look(self) -> None:
        """Look at the server's clock, as Postgres is looked at."""
        self._time.sees(self._clock.now() * 1000)
        self.store.memory.go_on_from_floor(self._time, self._lag_ms)

    async def begin(self, *, sharing: Sharing = Sharing.ALONE) -> SimTransaction:
        """See `storage.Database`."""
        if self._node is not None:
            await self._node.step("begin")
        self._served()
        tx = SimTransaction(self.store, self._node, self._time)
        await self.store.enter(self._node, tx)
        tx.started()
        return tx

    async def read(self) -> SqliteReader:
        """See `storage.Database`."""
        return SqliteReader(self._served())

    async def messages(self, which: MessageFilter) -> list[MessageRow]:
        """See `storage.Database`."""
        return await self._served().messages(which)

    async def sagas(self, which: SagaFilter) -> list[SagaRow]:
        """See `storage.Database`."""
        return await self._served().sagas(which)

    async def saga_steps(self, saga: UUID) -> list[StepRow]:
        """See `storage.Database`."""
        return await self._served().saga_steps(saga)

    async def unfinished(self) -> list[Unfinished]:
        """See `storage.Database`."""
        return await self._served().unfinished()

    async def backlog(self, out_edges: Sequence[int], failing: Failing | None = None) -> Backlog:
        """See `storage.Database`."""
        return await self._served().backlog(out_edges, failing)

    async def due_in_ms(self) -> int | None:
        """See `storage.Database`."""
        self._served()
        self._look()
        due_at = self.store.memory.first_due_at()
        return None if due_at is None else due_at - self._time.now_ms()

    async def trouble(self) -> str | None:
        """See `storage.Database`."""
        self._served()
        return None

    async def unanswered(self, edge: int, ids: Sequence[UUID]) -> set[UUID]:
        """See `storage.Database`."""
        return await self._served().unanswered(edge, ids)

    async def close(self) -> None:
        """See `storage.Database`; the server goes on."""


def _now(coroutine: Any) -> Any:
    """Return what a coroutine returns that waits for nobody."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits for nobody")
