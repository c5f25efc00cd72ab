"""The shop's databases on Postgres, read by nobody of the shop's own processes."""

import asyncio
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Executable
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from holdfast.runtime.servers import Servers


class Tables:
    """Reads every service's database with a connection of its own.

    Args:
        urls: {service: where its database is}.
    """

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = urls

    @classmethod
    def of(cls, servers: Servers, services: Iterable[str]) -> "Tables":
        """Read as the administrator, who comes through a Unix socket and needs no identity."""
        everywhere = servers.addresses["postgres"]
        return cls({name: everywhere.replace("/postgres?", f"/{name}?") for name in services})

    def rows(self, service: str, statement: Executable) -> list[dict[str, Any]]:
        """See `shop.demo.books.Source`."""
        found: list[dict[str, Any]] = []
        reading = threading.Thread(target=lambda: found.extend(asyncio.run(_read(url, statement))))
        url = self._urls[service].replace("postgresql://", "postgresql+asyncpg://")
        reading.start()
        reading.join()
        return found


async def _read(url: str, statement: Executable) -> list[dict[str, Any]]:
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            return [dict(row) for row in (await connection.execute(statement)).mappings()]
    finally:
        await engine.dispose()
