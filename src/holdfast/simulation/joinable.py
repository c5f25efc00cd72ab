"""A simulated transaction that turns may join, as on Postgres; see `engines.joined`."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Executable, Result
from sqlalchemy.exc import DBAPIError

from holdfast.engines.joined import Apart
from holdfast.engines.pending import Ours
from holdfast.engines.sqlite_transaction import SqliteTransaction
from holdfast.errors import Refused, StatementFailed, TransactionLost
from holdfast.simulation.transaction import SERVER, SimTransaction
from holdfast.storage import Transaction, Write

IDLE_S = 0.8
JOURNEY_S = (0.001, 0.01)  # that a statement takes: turns that come meanwhile share a transaction
Join = Callable[[Apart], Transaction]
"""Makes a transaction of joined turns of one in which they are apart."""


class JoinableTransaction(SimTransaction):
    """Implements `joined.Apart`, as strictly as Postgres.

    After a failed statement nothing but the end of its savepoint helps, and who stands still
    between two statements is put out.
    """

    failed = False
    _idle_from = 0.0  # when the last statement is through
    _patience: asyncio.TimerHandle | None = None

    def started(self) -> None:
        super().started()
        self._idle_from = asyncio.get_running_loop().time()
        self._be_patient(IDLE_S)

    def _be_patient(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._patience = loop.call_later(seconds, self._look, context=SERVER)

    def _look(self) -> None:
        left_s = self._idle_from + IDLE_S - asyncio.get_running_loop().time()
        if left_s > 0:
            self._be_patient(left_s)
        else:
            self.end("its process stood still")

    def _finish(self, statement: str) -> None:
        if self._patience is not None:
            self._patience.cancel()
        super()._finish(statement)

    async def _travel(self) -> None:
        chance, latency_s = self._store.chance, self._store.latency_s
        seconds = chance.uniform(*JOURNEY_S)
        if latency_s is not None:
            seconds += chance.uniform(*latency_s)
        self._idle_from = asyncio.get_running_loop().time() + seconds  # until then it is at work
        await asyncio.sleep(seconds)
        self._pass()

    def _pass(self, last: bool = False) -> None:
        super()._pass(last)
        self._idle_from = asyncio.get_running_loop().time()
        if self.failed:
            raise StatementFailed("an earlier statement failed, and was not undone")

    async def execute(
        self,
        statement: Executable,
        parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> Result[Any]:
        try:
            return await super().execute(statement, parameters)
        except (DBAPIError, Refused) as exc:
            self.failed = _was_sent(exc)
            raise

    async def write(self, writes: Sequence[Write]) -> None:
        try:
            await super().write(writes)
        except (DBAPIError, Refused) as exc:
            self.failed = _was_sent(exc)
            raise

    async def rollback(self) -> None:
        self.failed = False
        await super().rollback()

    async def commit(self) -> bool:
        if self.failed:
            await self.abort()
            return False
        if self._patience is not None:
            self._patience.cancel()  # from here on it is the server that works
        return await super().commit()

    async def write_ours(self, rows: Ours) -> bool:
        """See `joined.Apart`. What is changed was there before: it comes first."""
        await self._travel()
        try:
            return await self._written(rows)
        except sqlite3.Error as exc:
            self.end(f"{type(exc).__name__}: {exc}")
            raise TransactionLost(str(exc)) from exc

    async def _written(self, rows: Ours) -> bool:
        plain = SqliteTransaction  # of one statement; each verb of ours would pass another
        named = {(settled.row.edge, settled.row.id) for settled in rows.settled}
        as_wanted = len(named) == len(rows.settled)
        for settled in rows.settled:
            row, was, held = settled.row, settled.was, settled.held
            as_wanted &= await plain.update_message(self, row, was, held=held)
        for saga in rows.advanced:
            as_wanted &= await plain.lock_saga(self, saga.id) is not None
            await self.update_saga(saga)
        for sent in rows.sent:
            new = await plain.insert_messages(self, [sent.row], above_floor=sent.guarded)
            as_wanted &= bool(new)
            self.keep_letters(new)
        for saga in rows.started:
            as_wanted &= await self.insert_saga(saga)
        if rows.stepped:
            await self.insert_steps(rows.stepped)
        return as_wanted


def _was_sent(error: Exception) -> bool:
    """Whether the server has refused a statement, and not whoever would have sent it."""
    return isinstance(error, DBAPIError) or isinstance(error.__cause__, DBAPIError | sqlite3.Error)
