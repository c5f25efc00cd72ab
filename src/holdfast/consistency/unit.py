"""The unit of work: what one handler reads, writes and sends. It implements `system.Tx`."""

import types
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
from contextlib import asynccontextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from holdfast.consistency.columns import Columns
from holdfast.consistency.ledger import Ledger
from holdfast.consistency.letters import Letters
from holdfast.consistency.replay import derived_id
from holdfast.consistency.turn import Effects
from holdfast.contract.cause import NO_CAUSE, Cause
from holdfast.contract.envelope import MessageRow
from holdfast.contract.messages import AnyCommand, Event
from holdfast.contract.model import Model
from holdfast.errors import (
    ForeignAwait,
    HoldfastError,
    OutsideShut,
    StatementFailed,
    TransactionLost,
)
from holdfast.pump import STOPPED, Finished, Stopped, is_cancelled, pump
from holdfast.storage import Rows, Transaction, Write

if TYPE_CHECKING:
    from sqlalchemy import Executable, Table

_ENTER = object()  # what a handler yields at its first statement: it wants its transaction


class Stray(HoldfastError):
    """A handler raised CancelledError, and nobody had cancelled it.

    It looked at something that was cancelled. That is a bug there, and must not end the writer.
    """

    code = "stray_cancellation"


def stray(error: BaseException) -> Stray:
    """Return what a cancellation is that a handler raised, and that nobody wished."""
    made = Stray(f"the handler raised {error!r}; it is nobody's wish to stop it")
    return made.with_traceback(error.__traceback__)


@dataclass(frozen=True, slots=True)
class Start:
    """A saga to start when the unit is flushed."""

    function: Callable[..., object]
    input: Model
    id: UUID
    key: str | None


class _Started:
    """What `tx.start(…, key=…)` returns: the id can be awaited, and need not be."""

    __slots__ = ("_start", "_unit")

    def __init__(self, unit: "Unit", start: Start) -> None:
        self._unit, self._start = unit, start

    def __await__(self) -> Generator[Any, Any, UUID]:
        return self._unit.has_key(self._start).__await__()


@dataclass(frozen=True, slots=True)
class Units:
    """What the units of work of one service are made with.

    Attributes:
        saga_names: {a saga's function: the types under which its sagas are kept}.
        witness: told of each unit in its transaction, right before it is flushed; the simulator
            counts effects by it.
    """

    ledger: Ledger
    letters: Letters
    saga_names: Mapping[Callable[..., object], tuple[str, ...]] = field(
        default_factory=dict[Callable[..., object], tuple[str, ...]]
    )
    witness: Callable[["Unit"], None] | None = None
    columns: Columns = field(default_factory=Columns)


class Unit:
    """One run of one handler.

    Ids and times derive from `seed` and `at_ms`, so that every try of a letter makes the same
    ones. Nothing that is buffered here leaves before the transaction has committed.

    Attributes:
        what: whose work it is: a message's wire name, a route, or a saga's local step.
        cause: what caused it; it travels with its letters.
        shut: the handler has begun to write; `outside` is closed from here.
        broken: a database error that was raised outside a savepoint; it fails the handler.
        starts: the sagas that it starts when it is settled.
    """

    __slots__ = (
        "_buffer",
        "_committed",
        "_count",
        "_makers",
        "_outgoing",
        "_statement",
        "_units",
        "at_ms",
        "broken",
        "cause",
        "ledger",
        "seed",
        "shut",
        "starts",
        "tx",
        "what",
    )

    def __init__(
        self, units: Units, seed: UUID, at_ms: int, *, what: str = "", cause: Cause = NO_CAUSE
    ) -> None:
        self._units = units
        self.ledger = units.ledger
        self.seed = seed
        self.at_ms = at_ms
        self.what = what
        self.cause = cause
        self.tx: Transaction | None = None
        self.shut = False
        self.broken: Exception | None = None
        self.starts: list[Start] = []
        self._buffer: list[Write] = []
        self._outgoing: list[tuple[AnyCommand | Event, bytes, int]] = []
        self._makers: list[Callable[[int], MessageRow]] = []
        self._committed: list[Callable[[], None]] = []
        self._statement = 0
        self._count = 0

    # -- what the handler sees ------------------------------------------------------------------

    async def execute(
        self, statement: "Executable", parameters: Mapping[str, object] | None = None
    ) -> "Rows":
        """See `system.Tx.execute`."""
        tx = await self._entered()
        self._statement += 1
        try:
            if self._buffer:
                await self._flush_writes(tx)
            return await tx.execute(statement, parameters)
        except Exception as exc:  # raised again: sticky, whoever catches it
            self.broken = self.broken or exc
            raise
        finally:
            self._statement -= 1

    def insert(self, table: "Table", /, **values: object) -> None:
        """See `system.Tx.insert`."""
        self.shut = True
        self._units.columns.check(table, values)
        self._buffer.append(Write(table, values))

    def update(self, table: "Table", key: object, /, **values: object) -> None:
        """See `system.Tx.update`."""
        self.shut = True
        named: tuple[object, ...] = key if isinstance(key, tuple) else (key,)  # pyright: ignore[reportUnknownVariableType]  # of anything
        self._units.columns.check(table, values, named)
        self._buffer.append(Write(table, values, named))

    def publish(self, event: Event) -> None:
        """See `system.Tx.publish`."""
        self.shut = True
        self._outgoing.append((event, self._units.letters.payload_of(event), 0))

    def send(self, command: AnyCommand, *, delay: timedelta | None = None) -> None:
        """See `system.Tx.send`."""
        self.shut = True
        payload = self._units.letters.payload_of(command)  # refused here, in the user's own line
        delay_ms = int(delay.total_seconds() * 1000) if delay else 0
        self._outgoing.append((command, payload, delay_ms))

    def start(self, saga: Callable[..., object], input: Model, *, key: str | None = None) -> Any:
        """See `system.Tx.start`."""
        self.shut = True
        start = Start(saga, input, self.new_id(), key)
        self.starts.append(start)
        return start.id if key is None else _Started(self, start)

    async def has_key(self, start: Start) -> UUID:
        """Return the id of the saga that has the key of a start: an earlier one's, or its own."""
        assert start.key is not None
        for earlier in self.starts:
            if (earlier.function, earlier.key) == (start.function, start.key):
                first = earlier.id
                break
        else:
            first = start.id
        tx = await self._entered()
        self._statement += 1
        try:
            names = self._units.saga_names.get(start.function, ())
            return await tx.saga_of_key(names, start.key) or first
        finally:
            self._statement -= 1

    @asynccontextmanager
    async def savepoint(self) -> AsyncGenerator[None]:
        """See `system.Tx.savepoint`."""
        tx = await self._entered()
        if self._buffer:
            await self._own(self._flush_writes(tx))
        broken, outgoing, starts = self.broken, len(self._outgoing), len(self.starts)
        committed = len(self._committed)
        await self._own(tx.savepoint(exact=True))
        try:
            yield
            if self._buffer:
                await self._own(self._flush_writes(tx))
        except BaseException:  # raised again: a cancellation undoes it, too
            self._buffer.clear()
            del self._outgoing[outgoing:], self.starts[starts:], self._committed[committed:]
            await self._own(tx.rollback())
            self.broken = broken
            raise
        await self._own(tx.release())

    def new_id(self) -> UUID:
        """See `system.Tx.new_id`."""
        self._count += 1
        return derived_id(self.seed, f"tx:{self._count}", self.at_ms)

    @property
    def now(self) -> datetime:
        """See `system.Tx.now`."""
        return datetime.fromtimestamp(self.at_ms / 1000, UTC)

    @property
    def on_behalf_of(self) -> str:
        """See `system.Tx.on_behalf_of`."""
        return self.cause.subject

    def when_committed(self, tell: Callable[[], None]) -> None:
        """Have something told once this unit is committed: a count, which may get lost."""
        self._committed.append(tell)

    def later(self, make: Callable[[int], MessageRow]) -> None:
        """Have a row of the framework's own inserted with this unit, made at the flush."""
        self._makers.append(make)

    # -- what the core does with it -------------------------------------------------------------

    async def _entered(self) -> Transaction:
        self.shut = True
        if self.tx is None:
            await _enter()
        assert self.tx is not None
        return self.tx

    async def _own(self, work: Coroutine[object, None, None]) -> None:
        self._statement += 1
        try:
            await work
        finally:
            self._statement -= 1

    @property
    def in_statement(self) -> bool:
        """Whether the handler is suspended in a statement of ours."""
        return self._statement > 0

    def check_outside(self) -> None:
        """Refuse to reach outside after the first statement. Raises OutsideShut."""
        if self.shut:
            raise OutsideShut(
                "`outside` is shut by the first statement on `tx`: reach first, write after"
            )

    async def _flush_writes(self, tx: Transaction) -> None:
        writes, self._buffer = self._buffer, []
        try:
            await tx.write(writes)
        except Exception as exc:  # what was buffered is gone: sticky, wherever it is raised
            self.broken = self.broken or exc
            raise

    async def flush(self, effects: Effects) -> None:
        """Write what is buffered, and the rows of the letters. Sticky errors end here."""
        tx, units = self.tx, self._units
        assert tx is not None
        if units.witness is not None:
            units.witness(self)
        if self.broken is not None:
            raise StatementFailed(
                f"a statement failed and the handler went on: {self.broken}; put what may fail "
                "inside `async with tx.savepoint()`"
            ) from self.broken
        if self._buffer:
            await self._flush_writes(tx)
        if self._makers:
            makers, self._makers = self._makers, []
            await tx.insert_messages([make(tx.now_ms) for make in makers])
        if self._outgoing:
            await self._flush_letters(tx, effects)
        effects.done += self._committed
        self._committed = []
        try:
            await tx.verify()
        except Exception as exc:  # raised again: sticky, whoever catches it
            self.broken = self.broken or exc
            raise

    async def _flush_letters(self, tx: Transaction, effects: Effects) -> None:
        letters, new = self._units.letters, list[MessageRow]()
        for message, payload, delay_ms in self._outgoing:
            new += letters.rows(
                message,
                tx.now_ms,
                cause=self.cause,
                effects=effects,
                delay_ms=delay_ms,
                payload=payload,
            )
        self._outgoing = []
        if new:
            await letters.insert(tx, new)
            effects.rows += new

    def discard(self) -> None:
        """Forget what the handler wanted: it refused, or failed."""
        self._buffer, self._outgoing, self.starts, self._committed = [], [], [], []
        self._makers = []

    def end(self) -> None:
        """Refuse what comes after the end: it would be kept here, and never written."""
        self.discard()
        self._buffer, self._outgoing, self.starts = _Over(), _Over(), _Over()


class _Over(list[Any]):
    """What a unit gathers in, once it has ended."""

    def append(self, value: object, /) -> None:
        raise TransactionLost("the transaction is over: `begin()` was left, or took too long")


@types.coroutine
def _enter() -> Generator[object, None, None]:
    yield _ENTER


class Driver:
    """Drives a handler's coroutine: up to its first statement, and then to its end.

    The first part runs in the task of the request or the delivery and may await anything. The
    second part runs in the turn of the writer, where it may await its `tx` alone. Both see the
    context variables of the one who made the driver: the writer's task belongs to nobody.
    """

    __slots__ = ("_begun", "_coroutine", "_unit", "context", "finished", "result")

    def __init__(self, coroutine: Coroutine[object, None, Any], unit: Unit) -> None:
        self._coroutine = coroutine
        self._unit = unit
        self.context: Context = copy_context()
        self.result: Any = None
        self.finished = False
        self._begun = False

    async def to_first_statement(self) -> None:
        """Run until the handler wants its transaction, or returns. Raises what it raises."""
        try:
            end = await pump(self._coroutine, self._look, run=self.context.run)
        except (Exception, GeneratorExit, KeyboardInterrupt, SystemExit):  # raised as it is
            raise
        except BaseException as exc:  # a cancellation: of this task, or made by the handler
            if is_cancelled():
                raise
            raise stray(exc) from exc
        if isinstance(end, Finished):
            self.finished, self.result = True, end.value

    async def to_end(self) -> Any:
        """Run to the end inside the transaction; return what the handler returned."""
        self._begun = True
        if not self.finished:
            await self.to_first_statement()  # the next one: it has its transaction now
        return self.result

    def _look(self, awaited: object) -> Exception | Stopped | None:
        if awaited is _ENTER:
            return STOPPED
        unit = self._unit
        if not unit.shut or unit.in_statement:
            return None
        error = ForeignAwait(
            "after its first statement a handler may await `tx` alone; move what reaches "
            "elsewhere before it"
        )
        unit.broken = unit.broken or error
        return error

    def close(self) -> None:
        """Abandon a handler that never got its turn; one that did is finished by it."""
        if self._begun:
            return
        self._unit.shut = True
        try:
            self.context.run(self._coroutine.close)
        except Exception:  # what its `finally` wants comes too late
            return
