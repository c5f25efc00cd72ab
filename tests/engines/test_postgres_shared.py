"""Turns that share a transaction on Postgres: joined or not, it comes to the same."""

from typing import Any

import pytest

from holdfast.contract.envelope import State, StepRow
from holdfast.engines.joined import JoinedTransaction
from holdfast.engines.machine import MachineClock
from holdfast.engines.postgres import PostgresDatabase
from holdfast.storage import Database, Sharing
from tests.contracts.joined import SAGAS, JoinedContract, restock, thing, things
from tests.contracts.rows import EDGES, METADATA, letter
from tests.servers import Postgres


class TestPostgres(JoinedContract):
    """The contract, on a server."""

    @pytest.fixture(autouse=True)
    def server(self, postgres: Postgres) -> None:
        """Keep the server."""
        self.postgres = postgres

    async def make(self) -> Database:
        """Return a database that is empty."""
        return PostgresDatabase(await self.postgres.database(), MachineClock())


async def test_what_is_gathered_leaves_in_few_statements(postgres: Postgres) -> None:
    """Sixty turns are three journeys."""
    database = PostgresDatabase(await postgres.database(), MachineClock())
    await database.open(EDGES, [METADATA])
    tx = await database.begin(sharing=Sharing.JOINED)
    assert isinstance(tx, JoinedTransaction)
    apart: Any = tx.apart
    driver = apart._driver = _Counted(apart._driver)
    for number in range(60):
        await tx.savepoint()
        await tx.write([thing(number)])
        await tx.insert_messages([letter(number)], sure=True)
        await tx.insert_steps([StepRow(SAGAS[0], str(number), "call", b"", 0)])
        await tx.release()
    await tx.commit()

    written = len(await things(database))
    await database.close()

    assert (driver.calls, written) == (3, 60)  # the things, all of ours, and COMMIT


@pytest.mark.parametrize("sharing", [Sharing.APART, Sharing.JOINED])
async def test_sagas_that_are_answered_together_are_read_together(
    postgres: Postgres, sharing: Sharing
) -> None:
    """With their steps, in one journey."""
    database = PostgresDatabase(await postgres.database(), MachineClock())
    await database.open(EDGES, [METADATA])
    await restock(database)
    tx = await database.begin(sharing=sharing)
    apart: Any = tx.apart if isinstance(tx, JoinedTransaction) else tx
    driver = apart._driver = _Counted(apart._driver)
    await tx.delete_messages(1, [letter(n).id for n in range(3)], State.DUE)
    before = driver.calls
    for id_ in SAGAS[:2]:
        assert await tx.lock_saga(id_) is not None
        assert await tx.steps(id_) == []
    await tx.abort()
    await database.close()

    assert driver.calls - before == 2  # the sagas, and ROLLBACK


class _Counted:
    """A driver whose statements are counted."""

    def __init__(self, driver: Any) -> None:
        self.calls = 0
        self._driver = driver

    def __getattr__(self, name: str) -> Any:
        self.calls += name in ("execute", "executemany", "fetch")
        return getattr(self._driver, name)
