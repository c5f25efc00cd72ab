"""Statements that are compiled once stay few, whatever columns a caller names."""

import pytest
from sqlalchemy import ARRAY, Column, Integer, MetaData, Table, func
from sqlalchemy.dialects import postgresql, sqlite

from holdfast.engines.prepared import PreparedWrites

WIDE = Table(
    "wide",
    MetaData(),
    Column("id", Integer, primary_key=True),
    *(Column(f"c{n}", Integer) for n in range(4)),
)


def test_a_shape_is_compiled_once() -> None:
    """The same table and columns are the same statement."""
    writes = PreparedWrites(sqlite.dialect())

    assert writes.insert(WIDE, ("id", "c0")) is writes.insert(WIDE, ("id", "c0"))


def test_the_oldest_shape_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns that a client chooses would fill the memory otherwise; what is kept stays."""
    monkeypatch.setattr("holdfast.engines.prepared.SHAPES_MAX", 3)
    writes = PreparedWrites(sqlite.dialect())
    shapes = [("id", f"c{n}") for n in range(4)]

    first, *others = [writes.insert(WIDE, shape) for shape in shapes]

    found = [writes.insert(WIDE, shape) for shape in shapes[1:]]
    assert list(map(id, found)) == list(map(id, others))
    again = writes.insert(WIDE, shapes[0])
    assert first is not None and again is not None
    assert again.sql == first.sql and again is not first


def test_many_new_rows_are_one_statement_of_arrays() -> None:
    """On Postgres; elsewhere, and where SQL makes a value of each row, they are told one by one."""
    made = Table(
        "made", MetaData(), Column("id", Integer), Column("n", Integer, default=func.now())
    )
    lists = Table("lists", MetaData(), Column("id", Integer), Column("n", ARRAY(Integer)))
    dialect = postgresql.asyncpg.dialect()  # type: ignore[no-untyped-call]  # it has no types

    def many(table: Table, *columns: str) -> str:
        prepared = PreparedWrites(dialect).insert(table, columns)
        return "" if prepared is None else prepared.many

    assert many(WIDE, "id", "c0") == (
        "INSERT INTO wide (id, c0) SELECT * FROM unnest($1::INTEGER[], $2::INTEGER[])"
    )
    assert many(made, "id") == "" != many(made, "id", "n")
    assert many(lists, "id", "n") == "" != many(lists, "id")
    on_sqlite = PreparedWrites(sqlite.dialect()).insert(WIDE, ("id", "c0"))
    assert on_sqlite is not None and on_sqlite.many == ""
