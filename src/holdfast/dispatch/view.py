"""The read-only views of GETs and queries, and of handlers before they write."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from holdfast.consistency.ledger import Ledger
from holdfast.consistency.unit import Unit
from holdfast.errors import ReadShut, TransactionError
from holdfast.storage import Database, Reader, Rows

if TYPE_CHECKING:
    from sqlalchemy import Executable


class Look:
    """What a handler reads before its transaction begins. It implements `system.Read`.

    Each statement is a view of its own, so that nothing is held open while the handler reaches
    outside. From the first statement on `tx` it is shut: there the transaction is what to read.
    """

    __slots__ = ("_database", "_unit")

    def __init__(self, database: Database, unit: Unit) -> None:
        self._database = database
        self._unit = unit

    async def execute(
        self, statement: "Executable", parameters: Mapping[str, object] | None = None
    ) -> "Rows":
        """See `system.Read.execute`. Raises ReadShut after the first statement on `tx`."""
        if self._unit.shut:
            raise ReadShut(
                "`read` is shut by the first statement on `tx`: it looks before the transaction; "
                "read with `tx.execute` from here"
            )
        reader = await self._database.read()
        try:
            return await reader.execute(statement, parameters)
        finally:
            await reader.close()

    @property
    def now(self) -> datetime:
        """See `system.Read.now`; the time of this work, as `tx.now`."""
        return self._unit.now


class ReadView:
    """The view of a GET or a query. It implements `system.Read`.

    It opens its connection at the first statement, and is of no use after its handler has returned.
    """

    __slots__ = ("_closed", "_ledger", "_reader")

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._reader: Reader | None = None
        self._closed = False

    async def execute(
        self, statement: "Executable", parameters: Mapping[str, object] | None = None
    ) -> "Rows":
        """See `system.Read.execute`."""
        if self._closed:  # nobody would give a new connection back
            raise TransactionError("`read` was used after its handler had returned")
        if self._reader is None:
            self._reader = await self._ledger.database.read()
        return await self._reader.execute(statement, parameters)

    @property
    def now(self) -> datetime:
        """See `system.Read.now`."""
        return datetime.fromtimestamp(self._ledger.clock.now(), UTC)

    async def close(self) -> None:
        """Give the connection back."""
        self._closed = True
        if self._reader is not None:
            await self._reader.close()
            self._reader = None
