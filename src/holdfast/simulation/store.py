"""A simulated database server and its disk, with its levers and what invariants look at."""

import random
import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from contextlib import nullcontext
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Executable, MetaData

from holdfast.contract.envelope import EdgeRow, Kind, MessageRow, SagaRow, State
from holdfast.simulation.clock import SimClock
from holdfast.simulation.gate import Gate
from holdfast.simulation.memory import Memory, Seeding, give_memory, take_memory
from holdfast.simulation.node import Node
from holdfast.storage import MessageFilter, SagaFilter

T = TypeVar("T")


def _nothing(kind: str, **fields: object) -> None:
    """Take nothing down."""


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
        seeding: Seeding = nullcontext,
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
        self._memory: Memory | None = None
        self._key: tuple[object, ...] = ()
        self._edges: dict[int, EdgeRow] = {}
        self.gate = Gate()

    @property
    def memory(self) -> Memory:
        """The tables."""
        assert self._memory is not None, f"the database of {self.name} was never opened"
        return self._memory

    def open(self, edges: Sequence[EdgeRow], tables: Sequence[MetaData]) -> list[EdgeRow]:
        """Make what is missing; return the stored edges."""
        if self._memory is None:
            self._key = (self.name, *map(id, tables), *map(id, self._extra))
            self._memory = take_memory(
                self._key, self.clock, [*tables, *self._extra], self._seeding
            )
        known = self.memory.know_edges(edges)
        if not self.memory.writer.in_transaction:  # of another node: its edges were there before
            self.memory.changed()
        self._edges = {edge.id: edge for edge in known}
        return known

    def give_back(self) -> None:
        """Keep the connections for another run."""
        if self._memory is not None:
            give_memory(self._key, self._memory)
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
        connection = self.memory.view(self.memory.image())
        try:
            return list(connection.execute(statement).fetchall())
        finally:
            self.memory.give_reader(connection)

    def fetch(self, sql: str) -> sqlite3.Cursor:
        """Return what a SELECT finds in what is committed, as it is stored."""
        return self.memory.fetch(sql)

    def sagas(self) -> list[SagaRow]:
        """Return all sagas, newest first."""
        return _now(self.memory.sagas(SagaFilter(limit=1_000_000)))

    def open_rows(self) -> list[MessageRow]:
        """Return the rows that are not settled."""
        which = MessageFilter(states=(State.DUE, State.HELD, State.DEAD), limit=1_000_000)
        return _now(self.memory.messages(which))

    def receiver(self, edge: int) -> str:
        """Return the receiver of an edge."""
        return self._edges[edge].receiver

    def sends(self, row: MessageRow) -> bool:
        """Whether a row is a letter to another service."""
        edge = self._edges[row.edge]
        letter = row.kind in (Kind.COMMAND, Kind.EVENT, Kind.UNDO)
        return letter and edge.sender == self.name and edge.receiver != self.name

    def crashed(self, node: Node) -> None:
        """Roll back what a dead node had open."""
        self.gate.crashed(node)


def _now(coroutine: Coroutine[object, None, T]) -> T:
    """Return what a coroutine returns that waits for nobody."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    raise AssertionError("it waits for nobody")
