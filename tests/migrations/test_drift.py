"""What the code changes of its tables is seen, written, and kept on both kinds of database."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    CheckConstraint,
    Column,
    Computed,
    Connection,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from holdfast import Service
from holdfast.migrations import Revisions, upgrade
from holdfast.migrations.schema import Schema, differences, schema_of
from holdfast.migrations.upgrade import over
from holdfast.migrations.verdict import verdict
from holdfast.migrations.written import write

Make = Callable[[], Awaitable[str]]
Parts = Callable[[], list[Any]]


def revisions(folder: Path, parts: list[Any]) -> Revisions:
    """Return the revisions of a table with some more parts."""
    metadata = MetaData()
    Table("shelf", metadata, Column("id", Integer, primary_key=True))
    Table(
        "book",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("title", String(9), nullable=False, server_default="?"),
        CheckConstraint("id > 0", name="positive"),
        Index("book_title", "title"),
        *parts,
    )
    return Revisions("library", Service("lib", tables=metadata, migrations=folder))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder of revisions."""
    return tmp_path / "revisions"


CHANGES: dict[str, tuple[Parts, Parts]] = {
    "a server_default": (
        lambda: [Column("n", Integer)],
        lambda: [Column("n", Integer, server_default="7")],
    ),
    "another server_default": (
        lambda: [Column("n", Integer, server_default="7")],
        lambda: [Column("n", Integer, server_default="8")],
    ),
    "a default that is SQL": (
        lambda: [Column("at", DateTime(timezone=True))],
        lambda: [Column("at", DateTime(timezone=True), server_default=text("CURRENT_TIMESTAMP"))],
    ),
    "no server_default": (
        lambda: [Column("n", Integer, server_default="7")],
        lambda: [Column("n", Integer)],
    ),
    "nullability": (
        lambda: [Column("n", Integer, server_default="7")],
        lambda: [Column("n", Integer, server_default="7", nullable=False)],
    ),
    "a length": (lambda: [Column("s", String(9))], lambda: [Column("s", String(20))]),
    "a text without a length": (lambda: [Column("s", String(9))], lambda: [Column("s", Text)]),
    "a scale": (lambda: [Column("x", Numeric(8, 2))], lambda: [Column("x", Numeric(10, 4))]),
    "a zone": (
        lambda: [Column("at", DateTime)],
        lambda: [Column("at", DateTime(timezone=True))],
    ),
    "a CHECK": (
        lambda: [Column("n", Integer)],
        lambda: [Column("n", Integer), CheckConstraint("n < 9", name="small")],
    ),
    "another CHECK": (
        lambda: [Column("n", Integer), CheckConstraint("n < 9", name="small")],
        lambda: [Column("n", Integer), CheckConstraint("n < 10", name="small")],
    ),
    "no CHECK": (
        lambda: [Column("n", Integer), CheckConstraint("n < 9", name="small")],
        lambda: [Column("n", Integer)],
    ),
    "an index": (
        lambda: [Column("n", Integer)],
        lambda: [Column("n", Integer), Index("book_n", "n")],
    ),
    "a unique index": (
        lambda: [Column("n", Integer), Index("book_n", "n")],
        lambda: [Column("n", Integer), Index("book_n", "n", unique=True)],
    ),
    "an index over more": (
        lambda: [Column("n", Integer), Index("book_n", "n")],
        lambda: [Column("n", Integer), Index("book_n", "n", "title")],
    ),
    "a unique constraint": (
        lambda: [Column("n", Integer)],
        lambda: [Column("n", Integer), UniqueConstraint("n", name="one_n")],
    ),
    "no unique constraint": (
        lambda: [Column("n", Integer), UniqueConstraint("n", name="one_n")],
        lambda: [Column("n", Integer)],
    ),
    "a foreign key": (
        lambda: [Column("n", Integer)],
        lambda: [Column("n", Integer), ForeignKeyConstraint(["n"], ["shelf.id"], name="on_shelf")],
    ),
    "what a foreign key does": (
        lambda: [Column("n", Integer, ForeignKey("shelf.id", name="on_shelf"))],
        lambda: [Column("n", Integer, ForeignKey("shelf.id", name="on_shelf", ondelete="CASCADE"))],
    ),
    "a computed column": (
        lambda: [Column("n", Integer)],
        lambda: [
            Column("n", Integer),
            Column("twice", Integer, Computed("n * 2", persisted=False)),
        ],
    ),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_is_seen_written_and_kept(
    database: Make, folder: Path, tmp_path: Path, change: str
) -> None:
    """The tables become those of the code; what they had before is there after it."""
    old, new = CHANGES[change]
    url = await database()
    write(revisions(folder, old()), "first")
    await upgrade(revisions(folder, old()), url)
    await over(url, revisions(folder, old()), add)

    drift = (await verdict(revisions(folder, new()), None)).problems
    written = write(revisions(folder, new()), "change")
    after = revisions(folder, new())
    await upgrade(after, url)
    by_code = await database() if "postgres" in url else f"sqlite:///{tmp_path / 'by_code.db'}"
    await over(by_code, after, make)

    assert any("no revision changes that" in line for line in drift)
    assert written.left == []
    assert not any("no revision" in line for line in (await verdict(after, None)).problems)
    assert await over(url, after, titles) == [(1, "Odyssey"), (2, "?")]
    assert differences(await over(url, after, schema), await over(by_code, after, schema)) == []


def add(revisions: Revisions, connection: Connection) -> None:
    """Add two rows to the table."""
    connection.execute(text("INSERT INTO book (id, title) VALUES (1, 'Odyssey')"))
    connection.execute(text("INSERT INTO book (id) VALUES (2)"))
    connection.commit()


def titles(revisions: Revisions, connection: Connection) -> list[tuple[int, str]]:
    """Return the rows of the table."""
    found = connection.execute(text("SELECT id, title FROM book ORDER BY id"))
    return [(row[0], row[1]) for row in found]


def make(revisions: Revisions, connection: Connection) -> None:
    """Make the tables that the code declares."""
    for metadata in revisions.service.metadata:
        metadata.create_all(connection)
    connection.commit()


def schema(revisions: Revisions, connection: Connection) -> Schema:
    """Return what the tables are."""
    return schema_of(connection)


def test_what_cannot_be_written_is_told(folder: Path) -> None:
    """Another primary key, and a CHECK that has no name to drop it by."""
    old, new = MetaData(), MetaData()
    Table("t", old, Column("a", Integer, primary_key=True), Column("b", Integer, nullable=False))
    b = Column("b", Integer, primary_key=True)
    Table("t", new, Column("a", Integer, primary_key=True), b, CheckConstraint("a > b"))
    write(Revisions("x", Service("x", tables=old, migrations=folder)), "first")
    left = write(Revisions("x", Service("x", tables=new, migrations=folder)), "change").left

    assert left == [
        "CHECK a > b on t is in the code, and not in the revisions",
        "PRIMARY KEY on t is a, b in the code, and a in the revisions",
    ]


def test_a_revision_that_asks_what_it_runs_on_is_judged(folder: Path) -> None:
    """For both kinds of database, though neither is there."""
    path = write(revisions(folder, [Column("n", Integer), Column("m", Integer)]), "first").path
    second = path.read_text().replace("lib_0001", "lib_0002").partition("def upgrade")[0]
    second = second.replace("down_revision = None", "down_revision = 'lib_0001'")
    second = second.replace("branch_labels = ('lib',)", "branch_labels = None")
    (folder / "lib_0002.py").write_text(
        second
        + """def upgrade() -> None:
    bind = op.get_bind()
    rows = bind.execute(sa.text("SELECT id FROM book")).all()
    assert bind.scalar(sa.text("SELECT 1 WHERE false")) is None and rows == []
    op.drop_column("book", "n" if bind.dialect.name == "postgresql" else "m")
"""
    )
    told = asyncio.run(verdict(revisions(folder, []), None)).problems

    assert [f"book.{name} is dropped" in " ".join(told) for name in "nm"] == [True, True]


def test_a_computed_column_says_whether_it_is_stored(folder: Path) -> None:
    """SQLAlchemy 2.0 and 2.1 differ where nothing is said."""
    parts: list[Any] = [Column("n", Integer), Column("twice", Integer, Computed("n * 2"))]
    write(revisions(folder, parts), "first")
    parts = [Column("n", Integer), Column("twice", Integer, Computed("n * 2"))]
    [told] = asyncio.run(verdict(revisions(folder, parts), None)).problems

    assert "book.twice is computed, and whether it is stored depends on the version" in told
