"""Alembic's environment: runs revisions over a connection that the caller has opened."""

from typing import Literal

from alembic import context
from sqlalchemy import inspect
from sqlalchemy.types import TypeDecorator

from holdfast.migrations.revisions import ours

settings = context.config.attributes
connection = settings["connection"]
tables = settings["tables"]
rewrite = settings.get("rewrite")  # while a revision is written


def render(kind: str, item: object, autogen: object) -> str | Literal[False]:
    """Write what a type of the application is kept as: a revision must not import it."""
    if kind == "type" and isinstance(item, TypeDecorator):
        return f"sa.{item.impl!r}"
    return False


context.configure(
    connection=connection,
    target_metadata=tables,
    include_name=ours,
    render_item=render,
    render_as_batch=True,
    transactional_ddl=True,  # SQLite can, when its transactions are begun by hand
    compare_type=rewrite.differs("type") if rewrite else True,
    compare_server_default=rewrite.differs("server_default") if rewrite else True,
    process_revision_directives=rewrite,
)
with context.begin_transaction():
    if connection.dialect.name == "postgresql":  # for this transaction: a pool has others' next
        connection.exec_driver_sql("SET LOCAL lock_timeout = '3s'")
    before = set(inspect(connection).get_table_names())
    context.run_migrations()
    made = set(inspect(connection).get_table_names()) - before
    for table in (table for metadata in tables for table in metadata.sorted_tables):
        if table.name in made:  # what the application seeds a new table with
            table.dispatch.after_create(
                table, connection, checkfirst=False, tables=[table], _ddl_runner=None
            )
