"""A transaction whose turns are joined: what they write is gathered, and leaves in few journeys.

It is written at the end, or before a statement that may read it. The server hears of a savepoint
only where a turn has written by a statement of its own. A transaction that cannot be written so is
lost, and its turns run again apart, with every statement where it was made.

It knows no driver: whatever it wants done, a transaction whose turns are apart does.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import ParamSpec, Protocol, TypeVar
from uuid import UUID

from sqlalchemy import Executable
from sqlalchemy.exc import DBAPIError

from holdfast.contract.envelope import MessageRow, SagaRow, State, StepRow
from holdfast.engines.pending import Level, Ours, Pending
from holdfast.engines.statements import only_reads
from holdfast.errors import Refused, TransactionLost
from holdfast.storage import Parameters, Rows, Transaction, Write

P = ParamSpec("P")
T = TypeVar("T")


class Apart(Transaction, Protocol):
    """A transaction that does what it is told when it is told.

    Attributes:
        failed: a statement has failed; nothing but the end of a savepoint helps.
    """

    failed: bool

    async def write_ours(self, rows: Ours) -> bool:
        """Write rows of all kinds in one journey; say whether each was written as it was to be.

        None of it sees another part of it: a row is not new and settled in one.
        """
        ...


class JoinedTransaction:
    """See `storage.Transaction`.

    Args:
        apart: what it is done with.
    """

    def __init__(self, apart: Apart) -> None:
        self.now_ms = apart.now_ms
        self.apart = apart
        self._pending = Pending()
        self._levels: list[Level] = []
        self._direct = 0  # statements so far that have changed what only a savepoint undoes
        self._lost = ""

    # -- what was gathered ----------------------------------------------------------------------

    def _loses(self, why: str) -> TransactionLost:
        self._lost = why
        return TransactionLost(why)

    async def _write_users(self) -> None:
        """Write what turns wanted; that one of them cannot be written is everybody's loss."""
        writes = self._pending.take_users()
        if not writes:
            return
        try:
            await self.apart.write(writes)
        except TransactionLost:
            raise
        except Exception as exc:  # of a turn that has ended: each finds out for itself, apart
            raise self._loses(f"{type(exc).__name__}: {exc}") from exc

    async def _write_ours(self) -> None:
        rows = self._pending.take_ours()
        if rows is None:
            return
        self._direct += 1
        if not await self.apart.write_ours(rows):
            raise self._loses("a row was not new or below a floor, or had been changed by another")

    async def _write_about(self, *keys: UUID) -> None:
        """Let a statement see what was gathered of these rows, or sagas."""
        self.check_open()
        if self._pending.touches(*keys):
            await self._write_ours()

    async def _directly(
        self, verb: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a verb at once, behind what was gathered of ours, and count it if it changed rows."""
        self.check_open()
        await self._write_ours()
        found = await verb(*args, **kwargs)
        self._direct += found is None or bool(found)
        return found

    # -- users' statements ------------------------------------------------------------------------

    async def execute(self, statement: Executable, parameters: Parameters = None) -> Rows:
        self.check_open()
        pending, levels = self._pending, self._levels
        own = levels and len(pending.users) > max(levels[0].users, pending.users_done)
        if own or not only_reads(statement):
            await self._tell_levels()
        await self._write_users()
        try:
            return await self.apart.execute(statement, parameters)
        except (DBAPIError, Refused) as exc:
            if self.apart.failed and not (levels and levels[-1].told):  # there is no way back
                raise self._loses(f"{type(exc).__name__}: {exc}") from exc
            raise

    async def write(self, writes: Sequence[Write]) -> None:
        if self._levels and self._levels[-1].exact:
            await self.apart.write(writes)
        else:
            self._pending.users += writes

    # -- savepoints and the end -------------------------------------------------------------------

    async def verify(self) -> None:
        """It would bind later turns, too."""

    async def savepoint(self, *, exact: bool = False) -> None:
        self.check_open()
        if exact:  # what is refused in it must not be for want of what came before
            await self._tell_levels()
            await self._write_users()
        exact = exact or bool(self._levels and self._levels[-1].exact)
        self._levels.append(self._pending.level(self._direct, exact=exact))
        if exact:
            await self._tell_levels()

    async def _tell_levels(self) -> None:
        """Open the savepoints that the server has not heard of.

        What was gathered before them is written behind them, and again if they are undone.
        """
        for level in self._levels:
            if not level.told:
                self._pending.tell(level, self._direct)
                await self.apart.savepoint()

    async def release(self) -> None:
        if self._levels.pop().told:
            await self.apart.release()

    async def rollback(self) -> None:
        self.check_open()
        level = self._levels[-1]
        if self._pending.lost_by(level, self._direct):
            raise self._loses("a turn failed behind what it shares with others")
        self._levels.pop()
        self._pending.undo(level)
        if level.told:
            await self.apart.rollback()

    def check_open(self) -> None:
        if self._lost:
            raise TransactionLost(self._lost)
        self.apart.check_open()

    async def commit(self) -> bool:
        self.check_open()
        await self._write_users()
        await self._write_ours()
        return await self.apart.commit()

    async def abort(self) -> None:
        await self.apart.abort()

    async def sign(self, name: MessageRow) -> None:
        await self.apart.sign(name)

    # -- messages -------------------------------------------------------------------------------

    async def insert_messages(
        self, rows: Sequence[MessageRow], *, above_floor: bool = False, sure: bool = False
    ) -> list[MessageRow]:
        if sure:
            self._pending.send(rows, guarded=above_floor)
            return list(rows)
        return await self._directly(self.apart.insert_messages, rows, above_floor=above_floor)

    async def lock_message(self, edge: int, id: UUID) -> MessageRow | None:
        await self._write_about(id)
        return await self.apart.lock_message(edge, id)

    async def update_message(
        self, row: MessageRow, was: State, *, sure: bool = False, held: int | None = None
    ) -> bool:
        if sure and not self._pending.touches(row.id):
            self._pending.settle(row, was, held)
            return True
        return await self._directly(self.apart.update_message, row, was, held=held)

    async def delete_message(self, edge: int, id: UUID, *states: State) -> MessageRow | None:
        await self._write_about(id)
        deleted = await self.apart.delete_message(edge, id, *states)
        self._direct += deleted is not None
        return deleted

    async def delete_messages(
        self, edge: int, ids: Sequence[UUID], *states: State
    ) -> list[MessageRow]:
        await self._write_about(*ids)
        deleted = await self.apart.delete_messages(edge, ids, *states)
        self._direct += 1  # there may be others, of which nothing is told
        return deleted

    async def lock_topic(self, topic: str) -> None:
        await self._write_ours()
        await self.apart.lock_topic(topic)

    async def messages_of_topic(self, topic: str) -> list[MessageRow]:
        await self._write_ours()
        return await self.apart.messages_of_topic(topic)

    async def messages_of_owner(self, saga: UUID) -> list[MessageRow]:
        await self._write_ours()
        return await self.apart.messages_of_owner(saga)

    async def claim(self, limit: int, lease_ms: int, *, waiting: bool = True) -> list[MessageRow]:
        return await self._directly(self.apart.claim, limit, lease_ms, waiting=waiting)

    async def renew(self, rows: Sequence[MessageRow], lease_ms: int) -> list[MessageRow]:
        return await self._directly(self.apart.renew, rows, lease_ms)

    async def postpone(self, rows: Sequence[MessageRow]) -> None:
        await self._directly(self.apart.postpone, rows)

    async def hasten(
        self, edge: int, limit: int, *, sent_once: bool = False, letter: UUID | None = None
    ) -> int:
        hasten = self.apart.hasten
        return await self._directly(hasten, edge, limit, sent_once=sent_once, letter=letter)

    async def forget(self, limit: int) -> int:
        return await self._directly(self.apart.forget, limit)

    async def oldest_unsettled(self, edge: int) -> UUID | None:
        await self._write_ours()
        return await self.apart.oldest_unsettled(edge)

    async def set_floor(self, edge: int, floor: UUID, limit: int) -> int:
        deleted = await self._directly(self.apart.set_floor, edge, floor, limit)
        self._direct += 1  # the floor itself
        return deleted

    # -- sagas ----------------------------------------------------------------------------------

    async def insert_saga(self, row: SagaRow) -> bool:
        if row.key is not None:
            return await self._directly(self.apart.insert_saga, row)
        self._pending.saga(row, new=True)
        return True

    async def saga_of_key(self, types: Sequence[str], key: str) -> UUID | None:
        await self._write_ours()
        return await self.apart.saga_of_key(types, key)

    async def lock_saga(self, id: UUID) -> SagaRow | None:
        await self._write_about(id)
        return await self.apart.lock_saga(id)

    async def update_saga(self, row: SagaRow) -> None:
        self._pending.saga(row, new=False)

    async def insert_steps(self, rows: Sequence[StepRow]) -> None:
        self._pending.step(rows)

    async def steps(self, saga: UUID) -> list[StepRow]:
        await self._write_about(saga)
        return await self.apart.steps(saga)

    async def delete_steps(self, saga: UUID) -> None:
        await self._directly(self.apart.delete_steps, saga)

    async def delete_ended_sagas(self, before_ms: int, limit: int) -> int:
        return await self._directly(self.apart.delete_ended_sagas, before_ms, limit)
