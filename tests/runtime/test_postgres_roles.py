"""Who may do what in the databases of `--on postgres`: each role, each table, each right.

What is expected is drawn from the declared system, and from a list of the framework's tables that
is written out here. What happens is asked of a real server, by doing it.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Column, Integer, MetaData, Sequence, String, Table

from holdfast import Service, System
from holdfast.engines.machine import MachineClock
from holdfast.engines.postgres import PostgresDatabase
from holdfast.errors import RightMissing, SettingError
from holdfast.migrations import Revisions, upgrade
from holdfast.runtime.postgres_roles import OWNER
from holdfast.runtime.servers import Servers
from holdfast.runtime.variables import database_variable
from shop.system import shop
from tests.runtime import ferry

FRAMEWORK = {
    "alembic_version": {"SELECT"},
    "holdfast_edge": {"SELECT", "INSERT", "UPDATE"},
    "holdfast_gate": {"LOCK"},
    "holdfast_message": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "holdfast_saga": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "holdfast_step": {"SELECT", "INSERT", "DELETE"},
}
"""What the protocol needs. The gate has no rows; to lock it is to write."""
ROWS = {"SELECT", "INSERT", "UPDATE", "DELETE"}
ON_TABLES = {
    "SELECT": "SELECT {column} FROM {table} LIMIT 0",
    "INSERT": "INSERT INTO {table} DEFAULT VALUES",
    "UPDATE": "UPDATE {table} SET {column} = DEFAULT WHERE false",
    "DELETE": "DELETE FROM {table} WHERE false",
    "LOCK": "LOCK TABLE {table} IN EXCLUSIVE MODE",
    "TRUNCATE": "TRUNCATE {table}",
    "ALTER": "ALTER TABLE {table} ADD COLUMN more int",
    "DROP": "DROP TABLE {table} CASCADE",
    "INDEX": "CREATE INDEX ON {table} ((1))",
    "TRIGGER": "CREATE TRIGGER spy BEFORE INSERT ON {table} FOR EACH ROW "
    "EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "OWN": "ALTER TABLE {table} OWNER TO CURRENT_USER",
}
ON_DATABASES = {
    "CONNECT": "SELECT 1",
    "TEMP": "CREATE TEMP TABLE spare (n int)",
    "TABLE": "CREATE TABLE spare (n int)",
    "SCHEMA": "CREATE SCHEMA spare",
    "FUNCTION": "CREATE FUNCTION spare() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "OTHER SCHEMA": "SELECT n FROM private.kept",
    "PASSWORDS": "SELECT rolpassword FROM pg_authid",
    "FILES": "SELECT pg_read_file('PG_VERSION')",
    "PROGRAMS": "COPY (SELECT 1) TO PROGRAM 'true'",
    "ROLE": "CREATE ROLE spare",
    "BECOME": 'SET ROLE "{owner}"',
    "DATABASE": 'ALTER DATABASE "{database}" CONNECTION LIMIT 5',
}
REFUSED = (asyncpg.InsufficientPrivilegeError, asyncpg.InvalidAuthorizationSpecificationError)

lower, depot = MetaData(), MetaData()
Table("Mixed Case", lower, Column("n", Integer, Sequence("numbers"), primary_key=True))
Table("crate", depot, Column("name", String, primary_key=True))
yard = System(
    "yard", services=[Service("gate-house", tables=lower), Service("depot", tables=depot)]
)
"""A system with names that must be quoted, a sequence, and no revisions."""


@asynccontextmanager
async def servers_of(folder: Path, system: System) -> AsyncIterator[Servers]:
    """Start a Postgres for a system."""
    servers = Servers(folder / "servers", ["postgres"], system)
    await servers.start()
    try:
        yield servers
    finally:
        await servers.stop()


def at(url: str, database: str) -> str:
    """Return where another database of the same server is, for the same role."""
    before, _, behind = url.partition("?")
    return f"{before.rpartition('/')[0]}/{database}?{behind}"


def own_url(servers: Servers, service: str) -> str:
    """Return the URL that a service's processes are told."""
    return servers.environ[database_variable(service)]


async def ask(url: str, sql: str) -> Any:
    """Ask one thing."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


@dataclass(frozen=True)
class Cells:
    """What may be tried in one database: {(what, right): its SQL}."""

    database: str
    tried: dict[tuple[str, str], str]

    @classmethod
    async def of(cls, servers: Servers, database: str) -> "Cells":
        """Look at the tables of a database with the eyes of the administrator."""
        connection = await asyncpg.connect(at(servers.addresses["postgres"], database))
        rows = await connection.fetch(
            "SELECT c.oid::regclass::text AS quoted, c.relname AS name, (SELECT "
            "quote_ident(attname) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 "
            "ORDER BY attnum LIMIT 1) AS first FROM pg_class c "
            "JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE c.relkind = 'r' AND n.nspname = 'public' ORDER BY c.relname"
        )
        await connection.close()
        tried = {
            (row["name"], right): sql.format(table=row["quoted"], column=row["first"] or "ctid")
            for row, (right, sql) in product(rows, ON_TABLES.items())
            if row["first"] or "column" not in sql
        }
        tried |= {
            ("", right): sql.format(owner=f"{database}{OWNER}", database=database)
            for right, sql in ON_DATABASES.items()
        }
        return cls(database, tried)

    async def allowed(self, url: str) -> set[tuple[str, str, str]]:
        """Return what a role can do here: (database, what, right)."""
        try:
            connection = await asyncpg.connect(at(url, self.database))
        except REFUSED:
            return set()
        found = set[tuple[str, str, str]]()
        for (what, right), sql in self.tried.items():
            if await succeeds(connection, sql):
                found.add((self.database, what, right))
        await connection.close()
        return found


async def succeeds(connection: Any, sql: str) -> bool:
    """Whether somebody may do something; it is not kept. A row that does not fit is no refusal."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(sql)
    except REFUSED:
        return False
    except asyncpg.IntegrityConstraintViolationError:
        pass  # it was allowed to try
    finally:
        await transaction.rollback()
    return True


def declared(service: Service) -> Iterator[tuple[str, str, str]]:
    """Yield what the system declares that a service may do: (database, what, right)."""
    yield service.name, "", "CONNECT"
    own = {table.name: ROWS for metadata in service.metadata for table in metadata.sorted_tables}
    for table, rights in (own | FRAMEWORK).items():
        for right in rights:
            yield service.name, table, right
        if "UPDATE" in rights or "DELETE" in rights:
            yield service.name, table, "LOCK"  # the server gives that with them


async def matrix(servers: Servers, system: System) -> dict[str, set[tuple[str, str, str]]]:
    """Try everything as everybody: {service: what its role can do}."""
    names = [service.name for service in system.services]
    for name in names:
        administrator = await asyncpg.connect(at(servers.addresses["postgres"], name))
        await administrator.execute("CREATE SCHEMA IF NOT EXISTS private")
        await administrator.execute("CREATE TABLE IF NOT EXISTS private.kept (n int)")
        await administrator.close()
    cells = [await Cells.of(servers, name) for name in (*names, "postgres", "template1")]
    assert sum(len(one.tried) for one in cells) > 80 * len(names)
    return {
        name: {cell for one in cells for cell in await one.allowed(own_url(servers, name))}
        for name in names
    }


@pytest.mark.parametrize("system", [shop, ferry.ferry, yard], ids=lambda system: system.name)
async def test_exactly_what_is_declared_succeeds(tmp_path: Path, system: System) -> None:
    """Rows of its own tables; no other table, no other database, nothing that changes one."""
    async with servers_of(tmp_path, system) as servers:
        can = await matrix(servers, system)

    assert can == {service.name: set(declared(service)) for service in system.services}


async def as_in_an_older_version(servers: Servers, system: System) -> None:
    """Let each service's role own its database and all in it, and have no owner beside it."""
    for name in (service.name for service in system.services):
        connection = await asyncpg.connect(at(servers.addresses["postgres"], name))
        owner = f'"{name}{OWNER}"'
        await connection.execute(f'REASSIGN OWNED BY {owner} TO "{name}"; DROP OWNED BY {owner}')
        await connection.execute(f'DROP ROLE {owner}; GRANT ALL ON SCHEMA public TO "{name}"')
        await connection.close()


@pytest.mark.parametrize("system", [shop, yard], ids=lambda system: system.name)
async def test_a_folder_of_an_older_version_is_brought_there(
    tmp_path: Path, system: System
) -> None:
    """Where each service's role owned everything, it owns nothing after the next start."""
    table = next(t for m in system.services[0].metadata for t in m.sorted_tables)
    async with servers_of(tmp_path, system) as servers:
        await as_in_an_older_version(servers, system)
        own = own_url(servers, system.services[0].name)
        assert await ask(own, f'ALTER TABLE "{table.name}" ADD COLUMN kept int DEFAULT 7') is None

    async with servers_of(tmp_path, system) as servers:
        can = await matrix(servers, system)
        stays = f'SELECT count(kept) FROM "{table.name}"'
        assert await ask(own_url(servers, system.services[0].name), stays) is not None

    assert can == {service.name: set(declared(service)) for service in system.services}


async def test_what_looks_at_a_folder_of_an_older_version_may_read_it(tmp_path: Path) -> None:
    """`holdfast trace` starts the server, makes no tables, and is granted rows all the same."""
    async with servers_of(tmp_path, yard) as servers:
        await as_in_an_older_version(servers, yard)

    servers = Servers(tmp_path / "servers", ["postgres"], yard)
    await servers.start(new_tables=False)
    try:
        assert await ask(own_url(servers, "depot"), "SELECT count(*) FROM crate") == 0
    finally:
        await servers.stop()


async def test_no_process_that_serves_is_told_of_an_owner(tmp_path: Path) -> None:
    """Its password is not in the environment that processes are given."""
    async with servers_of(tmp_path, yard) as servers:
        told = " ".join(servers.environ.values())

        assert set(servers.owners) == {"gate-house", "depot"}
        assert OWNER not in told
        assert await ask(servers.owners["depot"], "SELECT current_user") == f"depot{OWNER}"
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
            await ask(at(servers.owners["depot"], "gate-house"), "SELECT 1")


async def test_a_table_that_comes_later_is_for_the_service_too(tmp_path: Path) -> None:
    """Also one that its owner makes by hand, between two migrations."""
    async with servers_of(tmp_path, yard) as servers:
        await ask(servers.owners["depot"], "CREATE TABLE later (id serial PRIMARY KEY, n int)")

        assert await ask(own_url(servers, "depot"), "INSERT INTO later (n) VALUES (1) RETURNING id")


@pytest.mark.parametrize(
    ("taken", "told"),
    [
        ("UPDATE ON holdfast_gate", "the role depot has no UPDATE on holdfast_gate; run"),
        ("DELETE ON holdfast_message", "no DELETE on holdfast_message"),
        ("USAGE ON SCHEMA public", "may not look into the schema public"),
        ("SELECT ON alembic_version", "no SELECT on alembic_version"),
    ],
)
async def test_a_right_that_is_missing_is_named_at_the_start(
    tmp_path: Path, taken: str, told: str
) -> None:
    """With who grants it; without the schema's, the database would look like a new one."""
    async with servers_of(tmp_path, yard) as servers:
        await ask(servers.owners["depot"], f"REVOKE {taken} FROM depot")
        database = PostgresDatabase(own_url(servers, "depot"), MachineClock())
        try:
            with pytest.raises(RightMissing, match=told) as refused:
                await database.revisions()
            with pytest.raises(RightMissing, match=told):
                await database.open([], [depot])
        finally:
            await database.close()

        assert "holdfast migrate" in str(refused.value)
        await upgrade(Revisions("yard", yard.services[1]), servers.owners["depot"], role="depot")
        again = PostgresDatabase(own_url(servers, "depot"), MachineClock())
        await again.revisions()
        await again.close()


async def test_a_role_that_may_make_no_tables_says_which_are_missing(tmp_path: Path) -> None:
    """And who makes them, for a service without revisions."""
    async with servers_of(tmp_path, yard) as servers:
        await ask(servers.owners["depot"], "DROP TABLE crate")
        database = PostgresDatabase(own_url(servers, "depot"), MachineClock())
        with pytest.raises(RightMissing, match=r"depot may not make tables.* no crate; run"):
            await database.open([], [depot])

        await upgrade(Revisions("yard", yard.services[1]), servers.owners["depot"], role="depot")
        await database.open([], [depot])
        await database.close()


@pytest.mark.parametrize("name", ["postgres", "template1", "public", "none"])
async def test_a_service_whose_name_no_role_can_have_is_refused(tmp_path: Path, name: str) -> None:
    """Before a server is made for it, with the remedy."""
    system = System("yard", services=[Service("depot"), Service(name)])
    with pytest.raises(SettingError, match=f"no role can be named {name}, .* rename the service"):
        await Servers(tmp_path / "servers", ["postgres"], system).start()

    assert not (tmp_path / "servers" / "postgres").exists()
