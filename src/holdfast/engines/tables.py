"""The tables of a new database, and whether those of an old one are what the code declares."""

from collections.abc import Sequence

from sqlalchemy import Connection, MetaData, inspect

from holdfast.engines.versions import holdfast_1 as newest
from holdfast.errors import OldSchema

REVISION = newest.revision
_STAMP = f"""
CREATE TABLE IF NOT EXISTS alembic_version (
  version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO alembic_version VALUES ('{REVISION}') ON CONFLICT DO NOTHING;
"""
SQLITE, POSTGRES = newest.SQLITE + _STAMP, newest.POSTGRES + _STAMP
"""These make the framework's tables in a database without a history, at once."""
VERSIONS = "alembic_version"
REVISIONS = f"SELECT version_num FROM {VERSIONS}"


def check_columns(connection: Connection, tables: Sequence[MetaData]) -> None:
    """Refuse tables that lack a column: to make what is missing does not change what is there.

    Raises:
        OldSchema: with the columns, and what to do.
    """
    there = inspect(connection)
    lacks: list[str] = []
    for metadata in tables:
        for table in metadata.sorted_tables:
            columns = {column["name"] for column in there.get_columns(table.name, table.schema)}
            lacks += [f"{table.name}.{c.name}" for c in table.columns if c.name not in columns]
    if lacks:
        raise OldSchema(
            f"the database lacks {', '.join(lacks)}, which its tables were made without; give the "
            "service `migrations=` and run `holdfast migrate`, or, if nothing in it is wanted, "
            "delete the data folder"
        )
