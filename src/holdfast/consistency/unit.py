"""The unit of work: what one handler reads, writes and sends. It implements `system.Tx`."""

import types
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
from contextlib import asynccontextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from holdfast.consistency.ledger import Ledger
from holdfast.consistency.replay import derived_id
from holdfast.contract.envelope import MessageRow
from holdfast.contract.messages import Command, Event
from holdfast.contract.model import Model
from holdfast.errors import (
    ForeignAwait,
    HoldfastError,
    OutsideShut,
    StatementFailed,
    TransactionLost,
)
from holdfast.pump import STOPPED, Finished, Stopped, is_cancelled, pump
from holdfast.storage import Transaction, Write

if TYPE_CHECKING:
    from sqlalchemy import Executable, Result, Table

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

    function: Callable[..., Any]
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


class Unit:
    """One run of one handler.

    Ids and times derive from `seed` and `at_ms`, so that every try of a letter makes the same
    ones. Nothing that is buffered here leaves before the transaction has committed.

    Attributes:
        what: whose work it is: a message's wire name, a route, or a saga's local step.
        shut: the handler has begun to write; `outside` is closed from here.
        broken: a database error that was raised outside a savepoint; it fails the handler.
    """

    __slots__ = (
        "_buffer",
        "_count",
        "_makers",
        "_outgoing",
        "_statement",
        "at_ms",
        "broken",
        "correlation",
        "ledger",
        "rows",
        "seed",
        "shut",
        "starts",
        "trace",
        "tx",
        "what",
    )

    def __init__(
        self,
        ledger: Ledger,
        *,
        seed: UUID,
        at_ms: int,
        what: str = "",
        correlation: str = "",
        trace: str = "",
    ) -> None:
        self.ledger = ledger
        self.seed = seed
        self.what = what
        self.at_ms = at_ms
        self.correlation = correlation
        self.trace = trace
        self.tx: Transaction | None = None
        self.shut = False
        self.broken: Exception | None = None
        self.rows: list[MessageRow] = []
        self.starts: list[Start] = []
        self._buffer: list[Write] = []
        self._outgoing: list[tuple[Command[Any] | Event, bytes, int]] = []
        self._makers: list[Callable[[int], MessageRow]] = []
        self._statement = 0
        self._count = 0

    # -- what the handler sees ------------------------------------------------------------------

    async def execute(
        self, statement: "Executable", parameters: Mapping[str, Any] | None = None
    ) -> "Result[Any]":
        """See `system.Tx.execute`."""
        tx = await self._entered()
        self._statement += 1
        try:
            await self._flush_writes(tx)
            return await tx.execute(statement, parameters)
        except Exception as exc:
            self.broken = self.broken or exc
            raise
        finally:
            self._statement -= 1

    def insert(self, table: "Table", /, **values: Any) -> None:
        """See `system.Tx.insert`."""
        self.shut = True
        self.ledger.columns.check(table, values)
        self._buffer.append(Write(table, values))

    def update(self, table: "Table", key: Any, /, **values: Any) -> None:
        """See `system.Tx.update`."""
        self.shut = True
        named: tuple[Any, ...] = key if isinstance(key, tuple) else (key,)  # pyright: ignore[reportUnknownVariableType]  # of anything
        self.ledger.columns.check(table, values, named)
        self._buffer.append(Write(table, values, named))

    def publish(self, event: Event) -> None:
        """See `system.Tx.publish`."""
        self.shut = True
        self._outgoing.append((event, self.ledger.payload_of(event), 0))

    def send(self, command: Command[Any], *, delay: timedelta | None = None) -> None:
        """See `system.Tx.send`."""
        self.shut = True
        self.ledger.receiver_of(command)  # refused here, where the user's line is in the traceback
        payload = self.ledger.payload_of(command)
        delay_ms = int(delay.total_seconds() * 1000) if delay else 0
        self._outgoing.append((command, payload, delay_ms))

    def start(self, saga: Callable[..., Any], input: Model, *, key: str | None = None) -> Any:
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
            names = self.ledger.saga_names.get(start.function, ())
            return await tx.saga_of_key(names, start.key) or first
        finally:
            self._statement -= 1

    @asynccontextmanager
    async def savepoint(self) -> AsyncGenerator[None]:
        """See `system.Tx.savepoint`."""
        tx = await self._entered()
        await self._own(self._flush_writes(tx))
        broken, outgoing, starts = self.broken, len(self._outgoing), len(self.starts)
        await self._own(tx.savepoint(exact=True))
        try:
            yield
            await self._own(self._flush_writes(tx))
        except BaseException:
            self._buffer.clear()
            del self._outgoing[outgoing:], self.starts[starts:]
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

    async def _own(self, work: Coroutine[Any, Any, None]) -> None:
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
        if not self._buffer:
            return
        writes, self._buffer = self._buffer, []
        try:
            await tx.write(writes)
        except Exception as exc:  # what was buffered is gone: sticky, wherever it is raised
            self.broken = self.broken or exc
            raise

    async def flush(self) -> None:
        """Write what is buffered and make the rows of the letters. Sticky errors end here."""
        assert self.tx is not None
        if self.ledger.witness is not None:
            self.ledger.witness(self)
        if self.broken is not None and self.ledger.safe.sticky_errors:
            raise StatementFailed(
                f"a statement failed and the handler went on: {self.broken}; put what may fail "
                "inside `async with tx.savepoint()`"
            ) from self.broken
        await self._flush_writes(self.tx)
        new: list[MessageRow] = []
        now = self.tx.now_ms
        for message, payload, delay_ms in self._outgoing:
            if isinstance(message, Event):
                new += self.ledger.event_rows(
                    message,
                    now,
                    correlation=self.correlation,
                    trace=self.trace,
                    payload=payload,
                )
            else:
                new.append(
                    self.ledger.command_row(
                        message,
                        now,
                        correlation=self.correlation,
                        trace=self.trace,
                        delay_ms=delay_ms,
                        payload=payload,
                    )
                )
        self._outgoing = []
        if self._makers:
            await self.tx.insert_messages([make(now) for make in self._makers])
            self._makers = []
        if new:
            await self.ledger.insert_new(self.tx, new)
            self.rows += new
        try:
            await self.tx.verify()
        except Exception as exc:
            self.broken = self.broken or exc
            raise

    def discard(self) -> None:
        """Forget what the handler wanted: it refused, or failed."""
        self._buffer, self._outgoing, self.starts, self.rows = [], [], [], []
        self._makers = []

    def end(self) -> None:
        """Refuse what comes after the end: it would be kept here, and never written."""
        self.discard()
        self._buffer, self._outgoing, self.starts = _Over(), _Over(), _Over()


class _Over(list[Any]):
    """What a unit gathers in, once it has ended."""

    def append(self, value: Any, /) -> None:
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

    def __init__(self, coroutine: Coroutine[Any, Any, Any], unit: Unit) -> None:
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
        except (Exception, GeneratorExit, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:
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
        if not (unit.shut and unit.ledger.safe.no_foreign_awaits) or unit.in_statement:
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
