"""asyncpg, as far as it is used: it has no types of its own."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # its module needs greenlet, and what has these types is imported without
    from sqlalchemy.ext.asyncio import AsyncConnection

Record = Sequence[Any]
"""A row as the driver gives it."""


class DriverTransaction(Protocol):
    """A transaction of the driver's own."""

    async def start(self) -> None:
        """Begin it."""
        ...

    async def commit(self) -> None:
        """Keep it."""
        ...

    async def rollback(self) -> None:
        """Undo it."""
        ...


class DriverConnection(Protocol):
    """One connection."""

    async def execute(self, query: str, *args: object) -> str:
        """Run a statement; return its status, such as `UPDATE 3`."""
        ...

    async def executemany(self, command: str, args: Iterable[Sequence[object]]) -> None:
        """Run a statement for each row of parameters."""
        ...

    async def fetch(self, query: str, *args: object) -> list[Record]:
        """Run a statement; return its rows."""
        ...

    async def fetchval(self, query: str, *args: object) -> object:
        """Run a statement; return the first value of its first row."""
        ...

    def transaction(self) -> DriverTransaction:
        """Return a transaction, to be started."""
        ...

    async def close(self) -> None:
        """End it."""
        ...

    def is_closed(self) -> bool:
        """Whether nothing can be sent any more."""
        ...


async def driver_of(connection: "AsyncConnection") -> DriverConnection:
    """Return the driver's connection below one of SQLAlchemy's."""
    driver: Any = (await connection.get_raw_connection()).driver_connection
    typed: DriverConnection = driver
    return typed


def speaks_tls(driver: Any) -> bool:
    """Whether what is said to the server is encrypted; no public name of the driver's tells."""
    return driver._transport.get_extra_info("ssl_object") is not None
