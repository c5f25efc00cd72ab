"""A transaction of a simulated database server, with a server's ways of failing."""

import asyncio
from collections.abc import Sequence
from contextvars import Context
from uuid import UUID

from sqlalchemy import Executable

from holdfast.contract.envelope import MessageRow, SagaRow, State
from holdfast.engines.database_clock import DatabaseClock
from holdfast.engines.sqlite_transaction import SqliteTransaction
from holdfast.errors import CommitUnknown, TransactionLost
from holdfast.simulation.node import Node
from holdfast.simulation.store import SimStore
from holdfast.storage import Parameters, Rows, Write

TRANSACTION_S = 30.0  # the server ends a transaction that takes longer
FAILS_WITHIN = 12  # statements, in which a transaction fails that is to fail
SERVER = Context()  # the server's own timers belong to no node


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
        self._timer = loop.call_later(TRANSACTION_S, self.end, "it took too long", context=SERVER)

    def end(self, why: str) -> None:
        """Roll it back from the server's side."""
        if self._over:
            return
        self._lost = why
        self._finish("ROLLBACK")

    def crashed(self, node: Node) -> None:
        """Roll it back if it was a dead node's, unless its COMMIT is on its way."""
        if self.node is node and not self.lands_later:
            self.end("its process died")

    def _finish(self, statement: str) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._sql.in_transaction and self._store.gate.owned_by(self):
            self._sql.execute(statement)
            if statement == "COMMIT":
                self._store.memory.changed()
                self._store.letters.update((row.id, row) for row in self._new)
        self._store.gate.leave(self)

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

    async def execute(self, statement: Executable, parameters: Parameters = None) -> Rows:
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
        self.keep_letters(new)
        return new

    def keep_letters(self, new: Sequence[MessageRow]) -> None:
        """Take down which new rows are letters to other services, until the COMMIT."""
        self._new += [row for row in new if self._store.sends(row)]

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
            loop.call_later(delay_s, self._finish, "COMMIT", context=SERVER)
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
