"""The transaction of code that Holdfast does not call, such as a mounted app."""

import asyncio

from holdfast.consistency.sagas import Sagas
from holdfast.consistency.unit import Unit
from holdfast.consistency.writer import Turn
from holdfast.errors import TransactionLost
from holdfast.storage import Transaction


class Abandoned(Exception):
    """The user left the transaction by an exception, which is the user's to see."""


class OpenedTurn(Turn):
    """A transaction that is held open until its user leaves it; bounded in time.

    Attributes:
        entered: done when statements may be run.
    """

    def __init__(self, unit: Unit, sagas: Sagas, limit_s: float) -> None:
        super().__init__()
        self.alone = True
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
