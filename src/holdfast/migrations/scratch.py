"""Scratch databases: SQLite in memory, in which tables are made only to be looked at.

Types are written there as Postgres writes them, and SQLite keeps what is written. So a length, a
zone or an array that SQLite has no word for is seen, and tables for Postgres alone can be made.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Enum, MetaData, create_engine
from sqlalchemy.dialects import postgresql, registry
from sqlalchemy.dialects.sqlite.base import SQLiteTypeCompiler
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.pool import StaticPool
from sqlalchemy.types import UserDefinedType

_POSTGRES: Any = postgresql.dialect()  # type: ignore[no-untyped-call]


class Verbatim(UserDefinedType[object]):
    """A type of which only its text is known."""

    cache_ok = True

    def __init__(self, text: str) -> None:
        self.text = text

    def get_col_spec(self, **_: object) -> str:
        """Return the text."""
        return self.text


class _TypeCompiler(SQLiteTypeCompiler):
    def process(self, type_: object, **options: object) -> str:
        """Write a type as Postgres does; of an enumeration its values, too."""
        if isinstance(type_, Verbatim):
            return type_.text
        if isinstance(type_, Enum) and type_.native_enum and type_.name:
            return f'"{type_.name}: {", ".join(type_.enums)}"'
        return str(_POSTGRES.type_compiler_instance.process(type_, **options))


class ScratchDialect(SQLiteDialect_pysqlite):
    """SQLite with the types of Postgres."""

    type_compiler_cls = _TypeCompiler
    supports_statement_cache = True

    def _resolve_type_affinity(self, type_: str) -> Any:
        """Return the type whose text was kept."""
        name, _, rest = type_.partition("(")
        known = getattr(sqlalchemy, name.strip().upper(), None)
        if known is not None:
            numbers = [int(n) for n in rest.rstrip(")").split(",") if n.strip().isdigit()]
            found = known(*numbers)
            if self.type_compiler_instance.process(found).upper() == type_.upper():
                return found
        return Verbatim(type_ if "(" in rest or not rest or name.isupper() else f'"{type_}"')


registry.register("sqlite.holdfast_scratch", __name__, "ScratchDialect")


@contextmanager
def scratch(fill: Callable[[Connection], object]) -> Generator[Connection]:
    """Open a database in memory that `fill` has made its tables in."""
    engine = create_engine("sqlite+holdfast_scratch://", poolclass=StaticPool)
    try:
        with engine.connect() as connection:
            fill(connection)
            yield connection
    finally:
        engine.dispose()


def declared(tables: Sequence[MetaData]) -> Callable[[Connection], None]:
    """Return what makes the tables of the code."""

    def make(connection: Connection) -> None:
        for metadata in tables:
            for table in metadata.sorted_tables:  # without what seeds them
                connection.execute(sqlalchemy.schema.CreateTable(table))
                for index in table.indexes:
                    connection.execute(sqlalchemy.schema.CreateIndex(index))

    return make
