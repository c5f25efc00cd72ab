"""The transaction of code that Holdfast does not call, such as a mounted app."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar

from holdfast.consistency.core import Core
from holdfast.consistency.sagas import Sagas
from holdfast.consistency.turn import RunAgain, Turn
from holdfast.consistency.unit import Unit
from holdfast.errors import TransactionLost
from holdfast.observability import Context
from holdfast.storage import Transaction


class Abandoned(Exception):
    """The user left the transaction by an exception, which is the user's to see."""


class OpenedTurn(Turn):
    """A transaction that is held open until its user leaves it; bounded in time.

    Attributes:
        entered: done when statements may be run.
    """

    alone = True

    def __init__(self, unit: Unit, sagas: Sagas, limit_s: float) -> None:
        loop = asyncio.get_running_loop()
        self.entered: asyncio.Future[None] = loop.create_future()
        self._left: asyncio.Future[None] = loop.create_future()
        self._unit = unit
        self._sagas = sagas
        self._limit_s = limit_s

    async def run(self, tx: Transaction) -> None:
        self._unit.tx = tx
        self.entered.set_result(None)
        try:
            async with asyncio.timeout(self._limit_s):
                await asyncio.shield(self._left)
        except TimeoutError as exc:
            raise TransactionLost(
                f"`begin()` was held open for more than {self._limit_s:g} s"
            ) from exc
        await self._sagas.settle(self._unit, self.effects)

    def leave(self) -> None:
        """The user is through: write what is buffered, and commit."""
        if not self._left.done():
            self._left.set_result(None)

    def abandon(self) -> None:
        """Roll back. What the user raised stays outside: a cancellation would end the writer."""
        if not self._left.done():
            self._left.set_exception(Abandoned())
            self._left.exception()  # retrieved: the turn may never have come


@asynccontextmanager
async def opened(core: Core, current: ContextVar[Context]) -> AsyncGenerator[Unit, None]:
    """Open a transaction of a service. See `Service.begin`."""
    ledger, context = core.ledger, current.get()
    now_ms = int(ledger.clock.now() * 1000)
    unit = Unit(
        core.units,
        ledger.seed(now_ms),
        now_ms,
        cause=context.cause,
    )
    turn = OpenedTurn(unit, core.sagas, ledger.schedule.transaction_ms / 2000)
    performed = core.writer.submit(turn)
    try:
        await asyncio.wait({performed, turn.entered}, return_when=asyncio.FIRST_COMPLETED)
        if performed.done():
            performed.result()
        yield unit
        turn.leave()
        await asyncio.shield(performed)
    except RunAgain as exc:
        raise TransactionLost(str(exc)) from exc
    except BaseException:  # raised again: whatever left the block, its turn ends
        turn.abandon()
        if not turn.begun:
            performed.cancel()
        await asyncio.wait({performed})
        raise
    finally:
        unit.end()
