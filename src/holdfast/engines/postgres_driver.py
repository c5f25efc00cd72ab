"""asyncpg, as far as it is used: it has no types of its own."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from holdfast.engines.postgres_url import Options, PostgresUrl

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


def engine_of(read: PostgresUrl, arguments: Options, *, autocommit: bool = False) -> AsyncEngine:
    """Return SQLAlchemy's engine of a URL, whose connections are made with what is fresh.

    Args:
        arguments: further ones of the driver's `connect`.
        autocommit: transactions are begun by hand.
    """
    engine = create_async_engine(
        read.url,
        poolclass=NullPool,
        connect_args=arguments | read.options,
        **({"isolation_level": "AUTOCOMMIT"} if autocommit else {}),
    )

    @event.listens_for(engine.sync_engine, "do_connect")
    def freshen(dialect: object, record: object, args: object, parameters: Options) -> None:
        parameters |= read.fresh()

    return engine


async def driver_of(connection: AsyncConnection) -> DriverConnection:
    """Return the driver's connection below one of SQLAlchemy's."""
    driver: Any = (await connection.get_raw_connection()).driver_connection
    typed: DriverConnection = driver
    return typed


def speaks_tls(driver: Any) -> bool:
    """Whether what is said to the server is encrypted; no public name of the driver's tells."""
    return driver._transport.get_extra_info("ssl_object") is not None
