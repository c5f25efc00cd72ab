"""Writing: one run of a handler that writes, from its input to its output, in one transaction.

What comes in and what goes out are somebody else's: a route makes a call of a request, and a
response of what is returned.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Generic, TypeVar
from uuid import UUID

from holdfast.consistency.core import Core
from holdfast.consistency.turn import Turn
from holdfast.consistency.unit import Driver, Unit
from holdfast.contract.cause import Cause
from holdfast.contract.failure import Failure
from holdfast.storage import Transaction

Out = TypeVar("Out")

Limited = Callable[[Coroutine[object, None, None]], Awaitable[None]]
"""Runs what may still be cancelled: the part before the first statement."""


class WriteTurn(Turn, Generic[Out]):
    """The handler's writes, what it sends and starts, and the record of it: all or nothing.

    Args:
        call: calls the handler with a unit of work, whose ids derive from `seed`.
        output: makes what goes out of what it returns; what it raises rolls everything back.
        record: writes what goes out down, in the same transaction.
    Attributes:
        output: what goes out, once the turn is committed.
        refused: the failure that the handler raised instead; nothing of it is kept.
    """

    prepares = True

    def __init__(
        self,
        core: Core,
        call: Callable[[Unit], Coroutine[object, None, object]],
        output: Callable[[object], Out],
        *,
        what: str,
        seed: UUID | None = None,
        cause: Cause,
        limited: Limited,
        wanted_until: Callable[[], float | None] | None = None,
        record: Callable[[Transaction, Out], Awaitable[None]] | None = None,
    ) -> None:
        self._core, self._call, self._make_output = core, call, output
        self._what, self._seed, self._cause = what, seed, cause
        self._limited, self._record = limited, record
        self.wanted_until = wanted_until
        self._driver: Driver | None = None
        self.output: Out | None = None
        self.refused: Failure | None = None

    async def prepare(self) -> bool:
        """Run the handler up to its first statement; a refusal there needs no transaction."""
        core = self._core
        now_ms = int(core.ledger.clock.now() * 1000)
        self._unit = unit = Unit(
            core.units,
            core.ledger.seed(now_ms) if self._seed is None else self._seed,
            now_ms,
            what=self._what,
            cause=self._cause,
        )
        self._driver = driver = Driver(self._call(unit), unit)
        self.output, self.refused = None, None
        try:
            await self._limited(driver.to_first_statement())
        except Failure as failure:
            self.refused = failure
            return False
        return True

    async def run(self, tx: Transaction) -> None:
        """Run the handler to its end, and write what it wants written."""
        unit, driver = self._unit, self._driver
        assert driver is not None, "it was prepared"
        unit.tx = tx
        value = driver.result if driver.finished else await driver.to_end()
        output = self._make_output(value)
        await self._core.sagas.settle(unit, self.effects)
        if self._record is not None:
            await self._record(tx, output)
        self.output = output

    def answers_for(self, error: Exception) -> bool:
        """Whether it is a refusal."""
        return isinstance(error, Failure)

    async def failed(self, tx: Transaction, error: Exception) -> None:
        """Keep nothing but the refusal."""
        assert isinstance(error, Failure)
        self._unit.discard()
        self.refused = error

    def close(self) -> None:
        """Abandon the handler if its turn never came."""
        if self._driver is not None and not self._driver.finished:
            self._driver.close()
