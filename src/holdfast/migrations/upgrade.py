"""Runs revisions on a database: one process at a time, all of them or none."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from holdfast.engines.tables import REVISIONS, VERSIONS
from holdfast.errors import Conflict, OldSchema, RightMissing
from holdfast.migrations.owner import grant, make_unmanaged
from holdfast.migrations.revisions import FRAMEWORK, Revisions

if TYPE_CHECKING:
    from alembic.script import Script
    from sqlalchemy.ext.asyncio import AsyncEngine

TRIES = 10  # for the lock of a table that is in use
_WAIT_S = 60  # for another process that migrates
_LOCK = 7_368_425_002  # the advisory lock of the one that migrates
_IN_USE = "55P03"  # lock_not_available
_REFUSED = "42501"  # insufficient_privilege
T = TypeVar("T")


async def upgrade(revisions: Revisions, url: str, *, role: str = "") -> list[str]:
    """Bring a database to the newest revision; return the names of the revisions that ran.

    Args:
        url: `postgresql://…`, or `sqlite:///path`.
        role: who serves, where that is not who migrates: it is granted rows, and nothing else.
    Raises:
        Conflict: another process migrates it, or a table stayed in use.
        OldSchema: its tables were made without revisions.
        RightMissing: the role of the URL may not change them.
    """
    if url.startswith("sqlite:"):
        return await over(url, revisions, run)
    async with _alone(revisions, url):
        ran = await _patiently(revisions, url, run)
        if role:
            await _hand_over(revisions, url, role)
        return ran


async def make(revisions: Revisions, url: str, *, role: str = "") -> None:
    """Bring a new database to the newest revision; one that is not new is left as it is.

    Args:
        role: see `upgrade`. Who has none makes tables without revisions at the first start.
    Raises:
        OldSchema: it is not new, and old.
    """
    if not (revisions.managed or role):
        return
    at = await over(url, revisions, stored_revisions)
    if not at:
        await upgrade(revisions, url, role=role)
        return
    if role:
        await regrant(revisions, url, role)
        await _patiently(revisions, url, make_unmanaged)
    revisions.check(at)


async def regrant(revisions: Revisions, url: str, role: str) -> None:
    """Grant a role rows again: in databases of older versions it had none, or too much."""
    await _patiently(revisions, url, lambda r, connection: grant(r, connection, role))


async def _hand_over(revisions: Revisions, url: str, role: str) -> None:
    await _patiently(revisions, url, make_unmanaged)
    await regrant(revisions, url, role)


async def _patiently(
    revisions: Revisions, url: str, function: Callable[[Revisions, Connection], T]
) -> T:
    for tries in range(1, TRIES + 1):
        try:
            return await over(url, revisions, function)
        except DBAPIError as exc:
            if getattr(exc.orig, "sqlstate", None) == _REFUSED:
                raise RightMissing(
                    f"{revisions.service.name} was not migrated: {_first_line(exc.orig)}; migrate "
                    "as the role that owns its database"
                ) from exc
            if tries == TRIES or not _in_use(exc):
                raise _busy(exc, revisions, "a table stayed in use") from exc
        await asyncio.sleep(1)
    raise AssertionError("the last try returns or raises")


def run_on_file(revisions: Revisions, url: str) -> None:
    """Bring an SQLite file to the newest revision, without a loop."""
    _over_file(url, revisions, run)


def run(revisions: Revisions, connection: Connection) -> list[str]:
    """Run what a database lacks, over a connection."""
    at = stored_revisions(revisions, connection)
    pending = revisions.pending(at)
    _refuse_made_tables(revisions, connection, pending, at)
    connection.rollback()  # the transaction is Alembic's to begin and to end
    if pending:
        upgrade_to(revisions, connection, "heads")
    return [script.revision for script in pending]


def upgrade_to(revisions: Revisions, connection: Connection, revision: str) -> None:
    """Run the revisions up to one, over a connection; in its transaction if one has begun."""
    from alembic import command

    config = revisions.config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _refuse_made_tables(
    revisions: Revisions, connection: Connection, pending: "Sequence[Script]", at: frozenset[str]
) -> None:
    """Refuse to make tables that were made without revisions."""
    from alembic.operations.ops import CreateTableOp

    from holdfast.migrations.breaking import recorded

    if not at or not at <= {name for name in at if name.startswith(FRAMEWORK)}:
        return  # it is new, or has a history of its own
    there = set(inspect(connection).get_table_names())
    made = {
        str(operation.table_name)
        for script in pending
        if not script.revision.startswith(FRAMEWORK)
        for operation in recorded(script.module.upgrade, connection.dialect)
        if isinstance(operation, CreateTableOp)
    }
    if both := sorted(made & there):
        raise OldSchema(
            f"{', '.join(both)} of {revisions.service.name} was made without revisions; run "
            f"`{revisions.command} --baseline`, which notes the revision that it is at"
        )


def stored_revisions(revisions: Revisions, connection: Connection) -> frozenset[str]:
    """Return the revisions that a database is at."""
    if not inspect(connection).has_table(VERSIONS):
        return frozenset()
    return frozenset(connection.execute(text(REVISIONS)).scalars())


async def over(url: str, revisions: Revisions, function: Callable[[Revisions, Connection], T]) -> T:
    """Call a function with a connection to a database."""
    if url.startswith("sqlite:"):
        return _over_file(url, revisions, function)
    async with _postgres(url) as engine, engine.connect() as connection:
        return await connection.run_sync(lambda sync: function(revisions, sync))


def _over_file(url: str, revisions: Revisions, function: Callable[[Revisions, Connection], T]) -> T:
    """Call a function with a connection to an SQLite file."""
    with _sqlite(url).connect() as connection:
        return function(revisions, connection)


def _sqlite(url: str) -> Engine:
    engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": _WAIT_S})

    @event.listens_for(engine, "connect")
    def manual(connection: sqlite3.Connection, record: object) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # Python's own begins too late for DDL

    return engine


@asynccontextmanager
async def _postgres(url: str) -> AsyncGenerator["AsyncEngine"]:
    from holdfast.engines.postgres_engine import engine_of  # it needs greenlet
    from holdfast.engines.postgres_url import read_postgres_url

    unprepared = {"statement_cache_size": 0, "prepared_statement_name_func": str}
    engine = engine_of(read_postgres_url(url), unprepared)
    try:
        yield engine
    finally:
        await engine.dispose()


@asynccontextmanager
async def _alone(revisions: Revisions, url: str) -> AsyncGenerator[None]:
    """Hold the lock of the one that migrates.

    It is held by a transaction of its own: PgBouncer keeps that on one connection, and a revision
    may commit by itself, as `CREATE INDEX CONCURRENTLY` needs.
    """
    async with _postgres(url) as engine, engine.connect() as connection:
        await connection.execute(text(f"SET LOCAL lock_timeout = '{_WAIT_S}s'"))
        try:
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        except DBAPIError as exc:
            raise _busy(exc, revisions, "another process migrates it") from exc
        yield


def _first_line(error: object) -> str:
    """Return what the server said, without the name of the driver's class."""
    return str(error).partition("\n")[0].rpartition(">: ")[2]


def _in_use(exc: DBAPIError) -> bool:
    return getattr(exc.orig, "sqlstate", None) == _IN_USE


def _busy(exc: DBAPIError, revisions: Revisions, why: str) -> Exception:
    if not _in_use(exc):
        return exc
    return Conflict(f"{revisions.service.name} was not migrated: {why}; try again")
