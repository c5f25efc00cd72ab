"""What Holdfast needs of a database: transactions over messages, sagas and steps.

The rules live once, in `consistency`; each engine brings the statements. See `engines` for the real
databases, `simulation` for the simulated one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from uuid import UUID

from holdfast.contract.envelope import EdgeRow, MessageRow, SagaRow, SagaState, State, StepRow

if TYPE_CHECKING:
    from sqlalchemy import Executable, MetaData, Result, Table

Parameters: TypeAlias = Mapping[str, object] | Sequence[Mapping[str, object]] | None
"""Of a statement: for one row, or for many."""
Rows: TypeAlias = "Result[Any]"
"""What a statement of a user's has found."""


@dataclass(frozen=True, slots=True)
class Write:
    """A buffered insert, or with `key` (the primary key's values) an update of one row."""

    table: "Table"
    values: Mapping[str, object]
    key: tuple[object, ...] | None = None


class Sharing(Enum):
    """How the turns of one transaction share it."""

    ALONE = "alone"
    """There is one turn."""
    APART = "apart"
    """Each turn is in its savepoint, and every statement is made where it stands."""
    JOINED = "joined"
    """What turns write may be gathered, joined, and written at the end. If it cannot be, the
    transaction is lost, and each turn is run again, apart."""


class Statements(Protocol):
    """What users write and read."""

    async def execute(
        self,
        statement: "Executable",
        parameters: Parameters = None,
    ) -> "Rows":
        """Run a statement of the user's."""
        ...

    async def write(self, writes: Sequence[Write]) -> None:
        """Flush buffered inserts and updates, in order.

        Raises:
            StatementFailed: an update found no row.
        """
        ...

    async def verify(self) -> None:
        """Raise now what a deferred constraint would raise at the commit, if one turn is alone."""
        ...


class Savepoints(Protocol):
    """What can be undone without the rest."""

    async def savepoint(self, *, exact: bool = False) -> None:
        """Open a savepoint; they nest.

        Args:
            exact: of a user, who looks at what each statement in it raises.
        """
        ...

    async def release(self) -> None:
        """Keep what was done since the newest savepoint."""
        ...

    async def rollback(self) -> None:
        """Undo what was done since the newest savepoint, and close it.

        Raises:
            TransactionLost: its turns are joined, and must be run again apart.
        """
        ...


class MessageRows(Protocol):
    """One row of a letter, a timer, a wait, a tick or a record; or those of a topic or a saga."""

    async def insert_messages(
        self, rows: Sequence[MessageRow], *, above_floor: bool = False, sure: bool = False
    ) -> list[MessageRow]:
        """Insert rows; return those that were new (ON CONFLICT DO NOTHING).

        Args:
            above_floor: a row below its edge's floor is not inserted: it was settled long ago.
            sure: it goes as wanted, as a rule. One of joined turns says so at once, and is lost
                at its end if it did not.
        """
        ...

    async def lock_message(self, edge: int, id: UUID) -> MessageRow | None:
        """Lock and return a row, or None when there is none."""
        ...

    async def update_message(
        self, row: MessageRow, was: State, *, sure: bool = False, held: int | None = None
    ) -> bool:
        """Write every column of `row` if its state is still `was`; say whether it was.

        Args:
            sure: as for `insert_messages`.
            held: and if its `due_at` is still this: nobody has claimed it since.
        """
        ...

    async def delete_message(self, edge: int, id: UUID, *states: State) -> MessageRow | None:
        """Delete the row if its state is one of `states`; return what it held."""
        ...

    async def delete_messages(
        self, edge: int, ids: Sequence[UUID], *states: State
    ) -> list[MessageRow]:
        """Delete those rows whose state is one of `states`; return those that a saga owned.

        Nothing is to be done for the others, and most are events: they are not even read.
        """
        ...

    async def lock_topic(self, topic: str) -> None:
        """Serialise deliveries and waits of one topic until the commit."""
        ...

    async def messages_of_topic(self, topic: str) -> list[MessageRow]:
        """Return the rows of a topic, oldest id first."""
        ...

    async def messages_of_owner(self, saga: UUID) -> list[MessageRow]:
        """Return the rows that belong to a saga: open commands, undos, timers and waits."""
        ...


class DueRows(Protocol):
    """Rows that somebody must see to, by the database's clock."""

    async def claim(self, limit: int, lease_ms: int, *, waiting: bool = True) -> list[MessageRow]:
        """Take up to `limit` due rows whose `due_at` is past, skipping locked ones.

        Each gets due_at = now + lease_ms and tries + 1; the rows are returned as written. Without
        `waiting`, those that wait for a version that knows them are left to other processes.
        """
        ...

    async def renew(self, rows: Sequence[MessageRow], lease_ms: int) -> list[MessageRow]:
        """Set due_at = now + lease_ms of due rows whose `due_at` is still that of `rows`.

        Return those, as they are stored now: the others were claimed, or settled, by somebody else.
        """
        ...

    async def postpone(self, rows: Sequence[MessageRow]) -> None:
        """Write the `due_at` of rows that are still due."""
        ...

    async def hasten(
        self, edge: int, limit: int, *, sent_once: bool = False, letter: UUID | None = None
    ) -> int:
        """Let up to `limit` letters of an edge that were sent again be due now; return how many.

        Args:
            sent_once: also those that were sent, or tried, once, or wait for a version.
            letter: this one alone, if it is a letter, whether it was sent or not.
        """
        ...


class Floors(Protocol):
    """Below which id all is settled, and what may be forgotten."""

    async def oldest_unsettled(self, edge: int) -> UUID | None:
        """Return the smallest id of an edge's rows that are not settled."""
        ...

    async def set_floor(self, edge: int, floor: UUID, limit: int) -> int:
        """Store an edge's floor; delete up to `limit` settled rows below it; return how many."""
        ...

    async def forget(self, limit: int) -> int:
        """Delete request records whose `due_at` is past, and let go of old events' topics."""
        ...

    async def delete_ended_sagas(self, before_ms: int, limit: int) -> int:
        """Delete sagas that ended before a time, with their steps; return how many."""
        ...


class SagaRows(Protocol):
    """Sagas and their steps."""

    async def insert_saga(self, row: SagaRow) -> bool:
        """Insert a saga; False if its key exists."""
        ...

    async def saga_of_key(self, types: Sequence[str], key: str) -> UUID | None:
        """Return the id of the saga of one of these types that has a key."""
        ...

    async def lock_saga(self, id: UUID) -> SagaRow | None:
        """Lock and return a saga."""
        ...

    async def update_saga(self, row: SagaRow) -> None:
        """Write every column of a saga."""
        ...

    async def insert_steps(self, rows: Sequence[StepRow]) -> None:
        """Insert ended steps; they are never updated."""
        ...

    async def steps(self, saga: UUID) -> list[StepRow]:
        """Return a saga's ended steps."""
        ...

    async def delete_steps(self, saga: UUID) -> None:
        """Delete a saga's steps, for `restart`."""
        ...


class Transaction(Statements, Savepoints, MessageRows, DueRows, Floors, SagaRows, Protocol):
    """One database transaction.

    Times are milliseconds of the database's clock since 1970. The verbs about messages work on rows
    of many edges in one call; each is one statement on a server database.
    """

    now_ms: int

    def check_open(self) -> None:
        """Raise TransactionLost if the database ended the transaction by itself."""
        ...

    async def sign(self, name: MessageRow) -> None:
        """Insert the row that names this transaction, on an engine that is `remote`."""
        ...

    async def commit(self) -> bool:
        """Commit; return whether it was kept.

        A server answers the COMMIT of a failed transaction with a rollback, and no error.

        Raises:
            TransactionLost: nothing was kept.
            Refused: nothing was kept: a deferred constraint does not hold.
            CommitUnknown: the answer was lost; see `Database.remote`.
        """
        ...

    async def abort(self) -> None:
        """Roll everything back; safe after any error."""
        ...


class Reader(Protocol):
    """A read-only view of committed data."""

    async def execute(
        self,
        statement: "Executable",
        parameters: Parameters = None,
    ) -> "Rows":
        """Run a SELECT of the user's."""
        ...

    async def close(self) -> None:
        """Give the connection back."""
        ...


WAITS = "waits for a version that knows it: "
"""Begins the error line of a letter that this version of a service does not know."""


@dataclass(frozen=True, slots=True)
class Failing:
    """Which due rows fail for so long that a person must look: what goes on for ever, as undos do.

    Attributes:
        tries: more have been begun. before: or its id is below this, and it has failed.
    """

    tries: int
    before: UUID


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Which message rows to list: by edge ids, states and saga; empty means any.

    Attributes:
        ids: of some letters. owner: the saga that they belong to.
        text: what their bodies or answers hold, one of these at least, byte by byte.
        waiting: also due rows that wait for a version that knows them, whatever `states` says.
        failing: and those that have failed for long.
    """

    edges: tuple[int, ...] = ()
    states: tuple[State, ...] = ()
    id: UUID | None = None
    limit: int = 100
    waiting: bool = False
    owner: UUID | None = None
    failing: Failing | None = None
    ids: tuple[UUID, ...] = ()
    text: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class SagaFilter:
    """Which sagas to list; empty means any.

    Attributes:
        text: what their inputs hold, one of these at least; with `in_steps`, or the outcome of one
            of their steps.
        known: {type: version} that this version of a service knows. A saga under way of which it
            does not counts as parked, and as nothing else. None: the stored state decides.
    """

    id: UUID | None = None
    states: tuple[SagaState, ...] = ()
    known: Mapping[str, int] | None = None
    limit: int = 100
    text: tuple[bytes, ...] = ()
    in_steps: bool = False


@dataclass(frozen=True, slots=True)
class Unfinished:
    """How much work of one name a database holds.

    Attributes:
        kind: `saga`, or a letter's kind. name: the saga's type, or the letter's.
        version: the newest version that has advanced one of these sagas; 1 for letters.
        to: of letters of its own that nobody has answered, to whom they go.
    """

    kind: str
    name: str
    version: int
    count: int
    to: str = ""


@dataclass(frozen=True, slots=True)
class SagasOpen:
    """Sagas of one type that have not ended, in one state.

    Attributes:
        parked: they wait for a person; the others are under way.
        oldest_ms: the age of the one that was started first.
    """

    type: str
    parked: bool
    count: int
    oldest_ms: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much waits in one service's tables.

    Attributes:
        out_rows: unanswered letters to others. out_bytes: their bodies.
        oldest_ms: the age of the oldest of them. dead: dead letters.
        waiting: letters and timers that wait for a version that knows them.
        failing: letters of others, undos and ticks that have failed for long, and are tried on.
        in_rows: letters of others that are to be handled now, or failed and will be tried again.
        in_oldest_ms: the age of the oldest of them.
        sagas: what has not ended, by type and state.
        floors_ms: {edge: how far its floor is behind this moment}, where rows of it are kept.
    """

    out_rows: int
    out_bytes: int
    oldest_ms: int
    dead: int
    waiting: int = 0
    failing: int = 0
    in_rows: int = 0
    in_oldest_ms: int = 0
    sagas: tuple[SagasOpen, ...] = ()
    floors_ms: Mapping[int, int] = field(default_factory=dict[int, int])


@dataclass(frozen=True, slots=True)
class ConnectionCounts:
    """The connections to one database at this moment; `waiting`: who waits for one."""

    used: int
    idle: int
    max: int
    waiting: int


class Database(Protocol):
    """One service's database.

    Every method raises TransactionLost while a server is away.

    Attributes:
        remote: a COMMIT travels to it, and the answer may get lost on the way back.
    """

    remote: bool

    async def revisions(self) -> frozenset[str]:
        """Return the revisions of tables that it is at; none: it is new."""
        ...

    async def open(
        self,
        edges: Sequence[EdgeRow],
        tables: Sequence["MetaData"] | None,
        *,
        lag_ms: int | None = 0,
    ) -> list[EdgeRow]:
        """Make what is missing, and return the stored edges.

        From here on its time is never before that at which a process of the service has stored
        the floor of the edge to itself, whatever the clock of the database says.

        Args:
            tables: the user's, made with the framework's; None: all of them are there.
            lag_ms: how far that floor is behind the time at which it is stored; None, of tests
                alone: its time may go back.
        Raises:
            OldSchema: a table lacks a column that is declared.
        """
        ...

    async def look(self) -> list[EdgeRow]:
        """Open it to list rows alone, whoever else has it open; return the stored edges.

        Nothing is written. Without the framework's tables there is none.
        """
        ...

    async def begin(self, *, sharing: Sharing = Sharing.ALONE) -> Transaction:
        """Begin a transaction that may write."""
        ...

    async def read(self) -> Reader:
        """Begin a read-only view."""
        ...

    async def messages(self, which: MessageFilter) -> list[MessageRow]:
        """List message rows, oldest id first."""
        ...

    async def sagas(self, which: SagaFilter) -> list[SagaRow]:
        """List sagas, newest first."""
        ...

    async def saga_steps(self, saga: UUID) -> list[StepRow]:
        """List the ended steps of a saga, oldest first."""
        ...

    async def unfinished(self) -> list[Unfinished]:
        """Count sagas under way by type, ticks to come, and letters that wait for a version.

        And of letters to others, the oldest of those that nobody has answered. It may be asked of a
        database that was not opened; nothing is written.
        """
        ...

    async def backlog(self, out_edges: Sequence[int], failing: Failing | None = None) -> Backlog:
        """Measure what waits."""
        ...

    def connections(self) -> ConnectionCounts:
        """Count the connections; for SQLite those that read, since the one that writes is apart."""
        ...

    async def due_in_ms(self) -> int | None:
        """Return in how many ms by the database's clock the first row is due; <= 0: now.

        What this process knows of that clock is renewed by it.
        """
        ...

    async def trouble(self) -> str | None:
        """Return why it takes no writes now, or None; for readiness."""
        ...

    async def unanswered(self, edge: int, ids: Sequence[UUID]) -> set[UUID]:
        """Return those of the letters that are still waiting for an answer."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...
