"""A simulated database server as one node sees it: SQLite in memory, behind a gate.

Readers see what was committed when they began, and wait for nobody.
"""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import MetaData

from holdfast.contract.envelope import EdgeRow, MessageRow, SagaRow, StepRow
from holdfast.engines.database_clock import DatabaseClock
from holdfast.engines.sqlite import SqliteDatabase
from holdfast.engines.sqlite_rows import uuid_of
from holdfast.errors import TransactionLost
from holdfast.simulation.joinable import Join, JoinableTransaction
from holdfast.simulation.node import Node
from holdfast.simulation.reader import SimReader
from holdfast.simulation.store import SimStore
from holdfast.simulation.transaction import SimTransaction
from holdfast.storage import (
    Backlog,
    ConnectionCounts,
    Failing,
    MessageFilter,
    SagaFilter,
    Sharing,
    Transaction,
    Unfinished,
)


class _Opening:
    """Has its turn for a moment, in which nobody dies."""

    def crashed(self, node: Node) -> None:
        """See `gate.Owner`."""


class SimDatabase:
    """Implements `storage.Database` for one node.

    Args:
        join: joins the turns of a batch, as Postgres has it; None: each statement is made at once.
    """

    remote = True

    def __init__(self, store: SimStore, node: Node | None, join: Join | None = None) -> None:
        self.store = store
        self._node = node
        self._join = join
        self._time = DatabaseClock(store.clock)
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
        edges: Sequence[EdgeRow],
        tables: Sequence[MetaData] | None,
        *,
        lag_ms: int | None = 0,
    ) -> list[EdgeRow]:
        """See `storage.Database`. A database that is away is waited for."""
        while self.store.down:  # noqa: ASYNC110  # a process asks until it is served
            await asyncio.sleep(0.5)
        turn = _Opening()
        await self.store.gate.enter(self._node, turn)
        try:
            known = self.store.open(edges, tables or ())
        finally:
            self.store.gate.leave(turn)
        self._lag_ms = lag_ms
        self._look()
        return known

    def _look(self) -> None:
        """Look at the server's clock, as Postgres is looked at."""
        self._time.sees(self.store.clock.now() * 1000)
        _, floor = self.store.memory.see()
        self._time.goes_on_from(uuid_of(floor), self._lag_ms)

    async def look(self) -> list[EdgeRow]:
        """See `storage.Database`."""
        return self._served().know_edges(())

    async def begin(self, *, sharing: Sharing = Sharing.ALONE) -> Transaction:
        """See `storage.Database`."""
        if self._node is not None:
            await self._node.step("begin")
        self._served()
        if self._join is None:
            return await self._started(SimTransaction(self.store, self._node, self._time))
        tx = JoinableTransaction(self.store, self._node, self._time)
        await self._started(tx)
        return self._join(tx) if sharing is Sharing.JOINED else tx

    async def _started(self, tx: SimTransaction) -> SimTransaction:
        await self.store.gate.enter(self._node, tx)
        tx.started()
        return tx

    async def read(self) -> SimReader:
        """See `storage.Database`."""
        self._served()
        return SimReader(self.store.memory)

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

    def connections(self) -> ConnectionCounts:
        """See `storage.Database`."""
        return self._served().connections()

    async def due_in_ms(self) -> int | None:
        """See `storage.Database`."""
        self._served()
        self._look()
        due_at, _ = self.store.memory.see()
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
