"""Revisions run once, one process at a time, all or none; and an old database is refused."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, event, insert, inspect
from sqlalchemy.exc import DBAPIError

from holdfast import Service
from holdfast.engines.machine import MachineClock
from holdfast.engines.postgres import PostgresDatabase
from holdfast.engines.sqlite import SqliteDatabase
from holdfast.errors import OldSchema
from holdfast.migrations import Revisions, make, upgrade
from holdfast.migrations.upgrade import over, stored_revisions
from tests.migrations.conftest import SECOND
from tests.servers import Postgres

Make = Callable[[], Awaitable[str]]
ALL = ["holdfast_1", "shelf_0001", "shelf_0002"]


def columns(revisions: Revisions, connection: Connection) -> set[str]:
    """Return the columns of the service's table."""
    return {column["name"] for column in inspect(connection).get_columns("book")}


async def test_a_database_gets_what_it_lacks(
    database: Make, revisions: Revisions, folder: Path
) -> None:
    """Once; the framework's tables have revisions of their own."""
    url = await database()
    first = await upgrade(revisions, url)
    (folder / "shelf_0002.py").write_text(SECOND)
    later = Revisions("library", revisions.service)
    second = await upgrade(later, url)
    third = await upgrade(later, url)

    assert (first, second, third) == (ALL[:2], ALL[2:], [])
    assert await over(url, later, stored_revisions) == {"holdfast_1", "shelf_0002"}
    assert await over(url, later, columns) == {"id", "title"}


async def test_what_fails_leaves_nothing(
    database: Make, revisions: Revisions, folder: Path
) -> None:
    """Neither a table, nor the revision before it."""
    url = await database()
    broken = SECOND + '    op.execute("INSERT INTO nowhere VALUES (1)")\n'
    (folder / "shelf_0002.py").write_text(broken)

    with pytest.raises(DBAPIError, match="nowhere"):
        await upgrade(revisions, url)
    assert await over(url, revisions, stored_revisions) == frozenset()
    (folder / "shelf_0002.py").write_text(SECOND)
    assert await upgrade(Revisions("library", revisions.service), url) == ALL


async def test_many_at_once_are_one(postgres: Postgres, revisions: Revisions, folder: Path) -> None:
    """Each replica of a job migrates; one does, the others wait and find nothing to do."""
    url = await postgres.database()
    (folder / "shelf_0002.py").write_text(SECOND)

    ran = await asyncio.gather(*(upgrade(revisions, url) for _ in range(4)))

    assert sorted(ran) == [[], [], [], ALL]


async def test_a_table_in_use_is_waited_for(
    postgres: Postgres, revisions: Revisions, folder: Path
) -> None:
    """And nobody else waits behind the one that waits for more than a moment."""
    url = await postgres.database()
    await upgrade(revisions, url)
    (folder / "shelf_0002.py").write_text(SECOND)
    user = await asyncpg.connect(url)
    busy = user.transaction()
    await busy.start()
    await user.execute("SELECT * FROM book")
    migrating = asyncio.create_task(upgrade(Revisions("library", revisions.service), url))
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    while not await user.fetchval(waits):
        pass  # until it waits
    await busy.rollback()

    assert await migrating == ["shelf_0002"]
    await user.close()


async def test_an_old_database_is_refused(
    database: Make, revisions: Revisions, folder: Path
) -> None:
    """With the command to run; a new one, too; one at the newest revision is not."""
    url = await database()
    command = "run `holdfast migrate library --service shelf`"
    with pytest.raises(OldSchema, match=f"lacks holdfast_1, shelf_0001; {command}"):
        revisions.check(await over(url, revisions, stored_revisions))
    await upgrade(revisions, url)
    revisions.check(await over(url, revisions, stored_revisions))
    (folder / "shelf_0002.py").write_text(SECOND)
    with pytest.raises(OldSchema, match=f"lacks shelf_0002; {command}"):
        Revisions("library", revisions.service).check(await over(url, revisions, stored_revisions))


async def test_a_newer_database_may_be_used(
    database: Make, revisions: Revisions, folder: Path
) -> None:
    """The version before an expanding revision runs on beside it, and is started again."""
    url = await database()
    (folder / "shelf_0002.py").write_text(SECOND)
    await upgrade(revisions, url)
    (folder / "shelf_0002.py").unlink()

    Revisions("library", revisions.service).check(await over(url, revisions, stored_revisions))


async def test_a_new_database_of_ones_own_is_made(
    database: Make, revisions: Revisions, folder: Path
) -> None:
    """One that is not new is refused if it is old: nobody is surprised at a start."""
    url = await database()
    await make(revisions, url)
    (folder / "shelf_0002.py").write_text(SECOND)
    with pytest.raises(OldSchema, match="lacks shelf_0002"):
        await make(Revisions("library", revisions.service), url)

    assert await over(url, revisions, stored_revisions) == {"holdfast_1", "shelf_0001"}


async def test_what_seeds_a_table_seeds_it_once(database: Make, revisions: Revisions) -> None:
    """SQLAlchemy's `after_create` is told of a table that a revision made."""
    [metadata] = revisions.service.metadata

    @event.listens_for(metadata.tables["book"], "after_create")
    def seed(table: Table, connection: Connection, **_: object) -> None:
        connection.execute(insert(table).values(id=7))

    def books(revisions: Revisions, connection: Connection) -> list[int]:
        return [row[0] for row in connection.exec_driver_sql("SELECT id FROM book")]

    url = await database()
    await upgrade(revisions, url)
    await upgrade(revisions, url)

    assert await over(url, revisions, books) == [7]


def test_two_ends_are_refused(revisions: Revisions, folder: Path) -> None:
    """Two branches of the code each added one."""
    (folder / "shelf_0002.py").write_text(SECOND)
    (folder / "shelf_0003.py").write_text(SECOND.replace('= "shelf_0002"', '= "shelf_0003"'))
    with pytest.raises(OldSchema, match="two newest revisions, shelf_0002 and shelf_0003"):
        revisions.check(frozenset({"holdfast_1", "shelf_0001"}))


def test_tables_without_a_revision_are_refused(revisions: Revisions, folder: Path) -> None:
    """Nothing would make them."""
    (folder / "shelf_0001.py").unlink()
    with pytest.raises(OldSchema, match=r"has tables and no revision .* --new first"):
        revisions.check(frozenset())


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_column_that_is_missing_is_told_at_the_start(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Without a history tables are made once; what the code adds later is not there."""
    url = ""
    if kind == "postgres":
        url = await request.getfixturevalue("postgres").database()

    def database() -> SqliteDatabase | PostgresDatabase:
        if url:
            return PostgresDatabase(url, MachineClock())
        return SqliteDatabase(tmp_path / "shelf.db", MachineClock())

    before, after = MetaData(), MetaData()
    Table("book", before, Column("id", Integer, primary_key=True))
    Table("book", after, Column("id", Integer, primary_key=True), Column("title", Text))
    old, new = database(), database()
    await old.open([], [before])
    await old.close()

    with pytest.raises(OldSchema, match=r"the database lacks book\.title"):
        await new.open([], [after])
    await new.close()


def test_a_package_names_its_folder() -> None:
    """As in Alembic's own settings."""
    revisions = Revisions("shop", Service("s", migrations="tests.migrations:revisions"))

    assert revisions.folder == Path(__file__).parent / "revisions"
