"""What an owner does when it has migrated: make what has no revisions, and grant the other role.

The role that serves may read and write rows, and nothing else; see `engines.postgres_rights`. All
of it may be done again, and is: after each migration, and on databases of older versions.
"""

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, MetaData, text

from holdfast.engines.postgres_rights import RIGHTS, ROWS
from holdfast.engines.tables import check_columns
from holdfast.migrations.revisions import Revisions

_TABLES = text(
    "SELECT c.oid::regclass::text, c.relname FROM pg_class c JOIN pg_namespace n "
    "ON n.oid = c.relnamespace WHERE n.nspname = :schema AND c.relkind IN ('r', 'p', 'v', 'm') "
    "AND pg_has_role(c.relowner, 'USAGE') ORDER BY c.relname"
)
_SEQUENCES = text(
    "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE n.nspname = :schema AND c.relkind = 'S' AND pg_has_role(c.relowner, 'USAGE') AND NOT "
    "EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'i') ORDER BY c.relname"
)
"""Those of identity columns are not among them: to insert is enough."""


def make_unmanaged(revisions: Revisions, connection: Connection) -> None:
    """Make the tables of a service without revisions, which its own role may not make."""
    if revisions.managed:
        return
    for metadata in revisions.service.metadata:
        metadata.create_all(connection)
    check_columns(connection, revisions.service.metadata)
    connection.commit()


def grant(revisions: Revisions, connection: Connection, role: str) -> None:
    """Let a role read and write rows, and let nobody else in."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    database = quote(str(connection.execute(text("SELECT current_database()")).scalar_one()))
    to = quote(role)
    connection.exec_driver_sql(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")
    connection.exec_driver_sql(f"GRANT CONNECT ON DATABASE {database} TO {to}")
    for schema in _schemas(revisions.service.metadata):
        for statement in _of_schema(quote(schema), to):
            connection.exec_driver_sql(statement)
        for table, name in connection.execute(_TABLES, {"schema": schema}).all():
            connection.exec_driver_sql(f"REVOKE ALL ON {table} FROM {to}")
            rights = ", ".join(RIGHTS.get(name, ROWS))
            connection.exec_driver_sql(f"GRANT {rights} ON {table} TO {to}")
        for (sequence,) in connection.execute(_SEQUENCES, {"schema": schema}).all():
            connection.exec_driver_sql(f"GRANT USAGE ON SEQUENCE {sequence} TO {to}")
    connection.commit()


def _schemas(tables: Sequence[MetaData]) -> list[str]:
    return sorted({"public"} | {t.schema for m in tables for t in m.sorted_tables if t.schema})


def _of_schema(schema: str, role: str) -> Iterator[str]:
    """Yield what is granted on a schema, and on what will be made in it."""
    yield f"REVOKE ALL ON SCHEMA {schema} FROM PUBLIC, {role}"
    yield f"GRANT USAGE ON SCHEMA {schema} TO {role}"
    to_come = f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT"
    yield f"{to_come} {', '.join(ROWS)} ON TABLES TO {role}"
    yield f"{to_come} USAGE ON SEQUENCES TO {role}"
