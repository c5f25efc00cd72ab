"""The read-only view of a GET or a query. It implements `system.Read`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from holdfast.consistency.ledger import Ledger
from holdfast.errors import TransactionError
from holdfast.ports import Reader

if TYPE_CHECKING:
    from sqlalchemy import Executable, Result


class ReadView:
    """Opens its connection at the first statement; of no use after its handler has returned."""

    __slots__ = ("_closed", "_ledger", "_reader")

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._reader: Reader | None = None
        self._closed = False

    async def execute(
        self, statement: "Executable", parameters: Mapping[str, Any] | None = None
    ) -> "Result[Any]":
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
