"""Baseline: from tables that were simply made to tables with a history.

The revision is noted that would have made the tables as they are; nothing else is changed.
"""

from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import StaticPool

from holdfast.errors import Invalid, OldSchema
from holdfast.migrations.revisions import FRAMEWORK, Revisions
from holdfast.migrations.schema import Schema, differences, schema_of
from holdfast.migrations.upgrade import over, stored_revisions, upgrade_to
from holdfast.migrations.written import own_scripts

_ASIDE = "holdfast_baseline"  # a schema of Postgres that is never committed


async def baseline(revisions: Revisions, url: str) -> str:
    """Note the newest revision whose tables a database has; return its name.

    Raises:
        Invalid: the service has no revisions, or the database has a history.
        OldSchema: its tables are what no revision makes; with the differences.
    """
    return await over(url, revisions, _note)


def _note(revisions: Revisions, connection: Connection) -> str:
    own = [script.revision for script in own_scripts(revisions)]
    name = revisions.service.name
    if not own:
        raise Invalid(f"{name} has no revisions; run `{revisions.command} --new first`")
    at = {x for x in stored_revisions(revisions, connection) if not x.startswith(FRAMEWORK)}
    if at:
        raise Invalid(f"the database of {name} is at {', '.join(sorted(at))} already")
    there = schema_of(connection)
    connection.rollback()
    closest: list[str] | None = None
    for revision in reversed(own):
        told = differences(_made(revisions, connection, revision), there, of=revision)
        if not told:
            return _stamp(revisions, connection, revision)
        closest = told if closest is None or len(told) < len(closest) else closest
    lines = "; ".join(line.replace("in the code", "in the database") for line in closest or ())
    raise OldSchema(
        f"the tables of {name} are what no revision makes: {lines}. Write a first revision that "
        "makes them as they are, or bring them there by hand"
    )


def _stamp(revisions: Revisions, connection: Connection, revision: str) -> str:
    from alembic import command

    config = revisions.config()
    config.attributes["connection"] = connection
    command.stamp(config, revision)
    return revision


def _made(revisions: Revisions, connection: Connection, revision: str) -> Schema:
    """Return what the revisions up to one make, on the same kind of database."""
    aside = _beside if connection.dialect.name == "postgresql" else _in_memory
    with aside(connection) as empty:
        upgrade_to(revisions, empty, revision)
        return schema_of(empty)


@contextmanager
def _beside(connection: Connection) -> Generator[Connection]:
    """On Postgres: in a schema that no one else ever sees."""
    with connection.begin() as transaction:
        connection.execute(text(f"CREATE SCHEMA {_ASIDE}"))
        connection.execute(text(f"SET LOCAL search_path = {_ASIDE}"))
        yield connection
        transaction.rollback()


@contextmanager
def _in_memory(connection: Connection) -> Generator[Connection]:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    try:
        with engine.connect() as memory:
            yield memory
    finally:
        engine.dispose()
