"""From tables that were simply made to tables with a history."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import CheckConstraint, Column, Integer, MetaData, String, Table, Text

from holdfast import Service
from holdfast.engines.machine import MachineClock
from holdfast.engines.postgres import PostgresDatabase
from holdfast.engines.sqlite import SqliteDatabase
from holdfast.errors import Invalid, OldSchema
from holdfast.migrations import Revisions, upgrade
from holdfast.migrations.baseline import baseline
from holdfast.migrations.upgrade import over, stored_revisions
from holdfast.migrations.written import write

Make = Callable[[], Awaitable[str]]


def tables(*more: Any) -> MetaData:
    """Return the tables of the code."""
    metadata = MetaData()
    title = Column("title", String(9), nullable=False, server_default="?")
    checked = CheckConstraint("id > 0", name="positive")
    own = [part._copy() for part in more]
    Table("volume", metadata, Column("id", Integer, primary_key=True), title, checked, *own)
    return metadata


def revisions(folder: Path, *more: Any) -> Revisions:
    """Return the revisions of the code."""
    service = Service("lib", tables=tables(*more), migrations=folder / "own")
    return Revisions("library --data here", service)


async def simply_made(url: str, metadata: MetaData) -> None:
    """Start a service without revisions."""
    if url.startswith("sqlite:"):
        database: Any = SqliteDatabase(Path(url.removeprefix("sqlite:///")), MachineClock())
    else:
        database = PostgresDatabase(url, MachineClock())
    await database.open([], [metadata])
    await database.close()


async def test_tables_that_were_made_get_a_history(database: Make, folder: Path) -> None:
    """The revision that they are at is noted; the next one changes them."""
    url = await database()
    await simply_made(url, tables())
    write(revisions(folder), "first")
    with pytest.raises(
        OldSchema,
        match="volume of lib was made without revisions; run `holdfast migrate library --data "
        "here --service lib --baseline`",
    ):
        await upgrade(revisions(folder), url)
    at = await baseline(revisions(folder), url)
    write(revisions(folder, Column("author", Text)), "author")
    ran = await upgrade(revisions(folder, Column("author", Text)), url)

    assert (at, ran) == ("lib_0001", ["lib_0002"])
    assert await over(url, revisions(folder), stored_revisions) == {"holdfast_1", "lib_0002"}


async def test_the_newest_revision_that_fits_is_noted(database: Make, folder: Path) -> None:
    """Tables that have the second revision's column are at the second one, not at the third."""
    url = await database()
    author, year = Column("author", Text), Column("year", Integer)
    await simply_made(url, tables(author._copy()))
    write(revisions(folder), "first")
    write(revisions(folder, author._copy()), "author")
    write(revisions(folder, author._copy(), year._copy()), "year")

    assert await baseline(revisions(folder), url) == "lib_0002"
    assert await upgrade(revisions(folder, author._copy(), year._copy()), url) == ["lib_0003"]


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ([Column("more", Text)], "volume.more is in the database, and not in lib_0001"),
        (
            [CheckConstraint("id < 9", name="small")],
            "CHECK small on volume is in the database, and not in lib_0001",
        ),
    ],
)
async def test_tables_that_no_revision_makes_are_refused(
    database: Make, folder: Path, other: list[Any], told: str
) -> None:
    """With what differs; nothing is noted."""
    url = await database()
    await simply_made(url, tables(*other))
    write(revisions(folder), "first")

    with pytest.raises(OldSchema, match=told):
        await baseline(revisions(folder), url)
    assert await over(url, revisions(folder), stored_revisions) == {"holdfast_1"}


async def test_a_database_with_a_history_is_left_alone(database: Make, folder: Path) -> None:
    """It says itself where it is."""
    url = await database()
    write(revisions(folder), "first")
    await upgrade(revisions(folder), url)

    with pytest.raises(Invalid, match="the database of lib is at lib_0001 already"):
        await baseline(revisions(folder), url)


async def test_without_revisions_there_is_nothing_to_note(database: Make, folder: Path) -> None:
    """The command to write the first one is told."""
    url = await database()
    await simply_made(url, tables())

    with pytest.raises(Invalid, match=r"lib has no revisions; run `holdfast migrate .* --new"):
        await baseline(revisions(folder), url)
