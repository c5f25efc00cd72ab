"""Postgres keeps the database's contract; and what is its own."""

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy import text

from holdfast.engines.host import HostClock
from holdfast.engines.postgres import PostgresDatabase
from holdfast.ports import Database, Transaction
from tests.contracts.database import DatabaseContract
from tests.servers import Postgres


class TestPostgres(DatabaseContract):
    """The contract, on a server."""

    @pytest.fixture(autouse=True)
    def server(self, postgres: Postgres) -> None:
        """Keep the server."""
        self.postgres = postgres

    async def make(self) -> Database:
        """Return a database that is empty."""
        return PostgresDatabase(await self.postgres.database(), HostClock())

    async def end_transaction(self, database: Database, tx: Transaction) -> None:
        """An operator ends the server's process."""
        pid = (await tx.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        connection = await asyncpg.connect(self.postgres.url)
        await connection.fetch("SELECT pg_terminate_backend($1)", pid)
        await connection.close()
