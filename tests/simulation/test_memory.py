"""Tables that are kept for further runs: each run finds them as if they were new."""

from contextlib import nullcontext
from typing import Any

import pytest
from sqlalchemy import (
    DDL,
    Column,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    event,
    func,
    insert,
    select,
    update,
)

from holdfast.engines.sqlite_bounds import guard_computed
from holdfast.simulation.clock import SimClock
from holdfast.simulation.memory import Memory, give_memory, take_memory
from holdfast.simulation.reader import SimReader


def library(**options: Any) -> tuple[MetaData, Table, Table]:
    """Return shelves, the first of which is there from the beginning, and their books."""
    metadata = MetaData()
    shelf = Table(
        "shelf",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("name", String(8), nullable=False),
        **options,
    )
    book = Table(
        "book",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("shelf", ForeignKey(shelf.c.id), nullable=False),
    )
    event.listen(shelf, "after_create", DDL("INSERT INTO shelf (name) VALUES ('first')"))
    return metadata, shelf, book


def opened(metadata: MetaData) -> Memory:
    """Return tables as a run gets them."""
    return take_memory(id(metadata), SimClock(), [metadata], nullcontext)


def used(metadata: MetaData, shelf: Table, book: Table) -> Memory:
    """Return tables that a run has used, and a second one gets."""
    memory = opened(metadata)
    memory.users.execute(insert(shelf).values(name="second"))
    memory.users.execute(insert(book).values(shelf=1))
    memory.users.execute(update(shelf).values(name="moved"))
    give_memory(id(metadata), memory)
    return opened(metadata)


def shelves(memory: Memory, shelf: Table) -> list[tuple[int, str]]:
    """Return (id, name) of all shelves."""
    return [(row.id, row.name) for row in memory.users.execute(select(shelf))]


AUDIT = "CREATE TRIGGER audit AFTER DELETE ON book BEGIN INSERT INTO shelf (name) VALUES ('x'); END"


@pytest.mark.parametrize(
    ("options", "trigger"),
    [({}, ""), ({"sqlite_autoincrement": True}, ""), ({}, AUDIT)],
    ids=["plain", "counted", "triggered"],
)
def test_a_second_run_finds_what_was_seeded_and_no_more(
    options: dict[str, Any], trigger: str
) -> None:
    """What the first one wrote is gone, and ids count from where they did."""
    metadata, shelf, book = library(**options)
    if trigger:
        event.listen(book, "after_create", DDL(trigger))

    memory = used(metadata, shelf, book)
    memory.users.execute(insert(shelf).values(name="again"))

    assert memory.users.execute(select(func.count()).select_from(book)).scalar() == 0
    assert shelves(memory, shelf) == [(1, "first"), (2, "again")]


def test_tables_in_a_circle_are_found_as_they_were() -> None:
    """None of them can be emptied before the other."""
    metadata = MetaData()
    egg = Table(
        "egg",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("hen", ForeignKey("hen.id", use_alter=False)),
    )
    hen = Table(
        "hen",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("egg", ForeignKey("egg.id"), nullable=False),
    )
    event.listen(metadata, "after_create", DDL("INSERT INTO egg VALUES (1, NULL)"))
    event.listen(metadata, "after_create", DDL("INSERT INTO hen VALUES (1, 1)"))
    event.listen(metadata, "after_create", DDL("UPDATE egg SET hen = 1"))
    memory = opened(metadata)
    memory.users.execute(insert(egg).values(id=2))
    give_memory(id(metadata), memory)

    memory = opened(metadata)

    assert [tuple(row) for row in memory.users.execute(select(egg))] == [(1, 1)]
    assert [tuple(row) for row in memory.users.execute(select(hen))] == [(1, 1)]


def test_a_second_run_has_no_guards_of_the_first() -> None:
    """A table gets them with its first statement that computes."""
    metadata, shelf, _ = library()
    memory = opened(metadata)
    guard_computed(memory.users, update(shelf).values(name=shelf.c.name + "!"))
    give_memory(id(metadata), memory)

    memory = opened(metadata)

    assert memory.writer.execute("SELECT count(*) FROM sqlite_temp_master").fetchone() == (0,)


async def test_a_reader_sees_what_was_there_at_its_first_statement() -> None:
    """What is written, and what is committed, after that is for the next one."""
    metadata, shelf, _ = library()
    memory = opened(metadata)
    early, late = SimReader(memory), SimReader(memory)
    names = select(shelf.c.name)
    before = (await early.execute(names)).scalars().all()

    memory.image()
    memory.writer.execute("BEGIN IMMEDIATE")
    memory.users.execute(insert(shelf).values(name="second"))
    meanwhile = (await late.execute(names)).scalars().all()
    memory.writer.execute("COMMIT")
    memory.changed()
    after = [(await reader.execute(names)).scalars().all() for reader in (early, late)]
    anew = (await SimReader(memory).execute(names)).scalars().all()

    assert before == meanwhile == ["first"]
    assert after == [["first"], ["first"]]
    assert anew == ["first", "second"]
