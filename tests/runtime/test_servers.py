"""The servers that `--on` starts: whom they let in, and whether they end."""

import asyncio
import json
import os
import re
import signal
import stat
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import nats
import pytest
import redis

from holdfast.runtime.servers import Servers
from shop.system import shop

KINDS = ("postgres", "nats", "redis")


@asynccontextmanager
async def servers_of(folder: Path, *kinds: str) -> AsyncIterator[Servers]:
    """Start servers, and end them."""
    servers = Servers(folder / "servers", kinds, shop)
    await servers.start()
    try:
        yield servers
    finally:
        await servers.stop()


@pytest.fixture
def open_umask() -> Iterator[None]:
    """Whoever starts us lets everybody read and write what is made."""
    before = os.umask(0)
    yield
    os.umask(before)


def within(folder: Path) -> list[Path]:
    """Return a folder and all in it; a server that runs may remove some meanwhile."""
    found = [folder]
    for place, folders, files in os.walk(folder):
        found += [Path(place, name) for name in (*folders, *files)]
    return found


def is_open(path: Path) -> bool:
    """Whether others may do anything with it."""
    try:
        return bool(stat.S_IMODE(path.lstat().st_mode) & 0o077)
    except FileNotFoundError:
        return False


def without(url: str) -> str:
    """Return a URL as somebody has it who knows no password."""
    return re.sub(":[^:/@]+@", "@", url)


async def select(url: str, sql: str = "SELECT 1") -> Any:
    """Ask Postgres."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_postgres_lets_nobody_in_without_a_password(tmp_path: Path) -> None:
    """Neither the administrator nor a service; a wrong one is none."""
    async with servers_of(tmp_path, "postgres") as servers:
        urls = [servers.addresses["postgres"], servers.environ["USERS_DATABASE_URL"]]
        known = [await select(url) for url in urls]

        assert known == [1, 1]
        for url in urls:
            for refused in (without(url), re.sub(":[^:/@]+@", ":guess@", url)):
                with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
                    await select(refused)


async def test_a_service_enters_its_own_database_alone(tmp_path: Path) -> None:
    """Not another service's, not the administrator's, not the template of new ones."""
    async with servers_of(tmp_path, "postgres") as servers:
        own = servers.environ["USERS_DATABASE_URL"]

        assert await select(own, "SELECT current_user") == "users"
        assert not await select(
            own,
            "SELECT rolsuper OR rolcreatedb OR rolcreaterole FROM pg_roles "
            "WHERE rolname = current_user",
        )
        for other in ("orders", "postgres", "template1"):
            with pytest.raises(asyncpg.PostgresError, match=r"pg_hba|permission denied"):
                await select(own.replace("/users?", f"/{other}?"))


async def test_a_folder_of_before_asks_for_passwords_now(tmp_path: Path) -> None:
    """Its Postgres trusted everybody who reached its socket; what it keeps stays."""
    async with servers_of(tmp_path, "postgres") as servers:
        await select(servers.addresses["postgres"], "CREATE TABLE kept AS SELECT 7 AS n")
    folder = tmp_path / "servers"
    (folder / "postgres" / "pg_hba.conf").write_text("local all all trust\n")
    known = json.loads((folder / "passwords.json").read_text())
    del known["server:postgres"], known["users"]  # nobody knew one, and one was lost
    (folder / "passwords.json").write_text(json.dumps(known))

    async with servers_of(tmp_path, "postgres") as servers:
        assert await select(servers.addresses["postgres"], "SELECT n FROM kept") == 7
        assert await select(servers.environ["USERS_DATABASE_URL"]) == 1
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
            await select(without(servers.addresses["postgres"]))


async def test_nats_and_redis_let_nobody_in_without_a_password(tmp_path: Path) -> None:
    """Other users of the machine reach their ports."""
    async with servers_of(tmp_path, "nats", "redis") as servers:
        client = await nats.connect(servers.environ["BROKER_URL"])
        await client.jetstream().account_info()
        await client.close()
        assert redis.Redis.from_url(servers.environ["REDIS_URL"]).time()

        port = int(servers.environ["BROKER_URL"].rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"CONNECT {}\r\nPING\r\n")
        said = await reader.read()  # to the end: it hangs up
        writer.close()
        assert b"-ERR 'Authorization Violation'" in said
        assert b"PONG" not in said
        with pytest.raises(redis.AuthenticationError):
            redis.Redis.from_url(re.sub("//.*@", "//", servers.environ["REDIS_URL"])).time()


@pytest.mark.usefixtures("open_umask")
async def test_passwords_and_files_are_for_nobody_else(tmp_path: Path) -> None:
    """Not in a command line, not in what people are shown; no file is open, whatever the umask."""
    async with servers_of(tmp_path / "a folder", *KINDS) as servers:
        folder = tmp_path / "a folder" / "servers"
        secrets = set(json.loads((folder / "passwords.json").read_text()).values())
        commands = [
            Path(f"/proc/{child.pid}/cmdline").read_text() for child in servers.children.values()
        ]
        wide = [str(path) for path in within(folder) if is_open(path)]
        shown = " ".join([*servers.shown.values(), *commands])

    assert len(secrets) == 2 * len(shop.services) + len(KINDS) + 1  # owners; who counts limits
    assert not [secret for secret in secrets if secret in shown]
    assert set(servers.shown) == set(KINDS)
    assert wide == []


async def restarted(servers: Servers, name: str) -> "subprocess.Popen[bytes]":
    """End a server and start it again as somebody would by hand, with the same settings."""
    child, pid_file = servers.children[name], servers.folder / f"{name}.pid"
    command = Path(f"/proc/{child.pid}/cmdline").read_text().split("\0")[:-1]
    if name == "redis":  # it writes its address into its command line
        command = [
            str(Path(f"/proc/{child.pid}/exe").readlink()),
            str(servers.folder / "redis.conf"),
        ]
    opened = [int(word.rpartition("/")[2]) for word in command if "/self/fd/" in word]
    child.send_signal(signal.SIGINT)
    await child.wait()
    if name == "postgres":
        pid_file = servers.folder / "postgres" / "postmaster.pid"
    again = subprocess.Popen(
        command,
        user=pid_file.parent.stat().st_uid,
        pass_fds=opened,
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not (pid_file.exists() and pid_file.read_text().split("\n")[0] == str(again.pid)):
        await asyncio.sleep(0.01)  # the test's time-out is the bound
    return again


@pytest.mark.parametrize("name", KINDS)
async def test_a_server_that_was_restarted_by_hand_ends_with_us(tmp_path: Path, name: str) -> None:
    """It is no child any more; its file says who it is."""
    async with servers_of(tmp_path, name) as servers:
        again = await restarted(servers, name)

    assert again.poll() is not None


async def test_a_number_that_went_to_another_program_is_left_alone(tmp_path: Path) -> None:
    """After the machine was restarted, a pid file names anybody."""
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        async with servers_of(tmp_path, "redis") as servers:
            (servers.folder / "nats.pid").write_text(f"{bystander.pid}\n")
        async with servers_of(tmp_path, "nats"):
            pass

        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


async def test_postgres_comes_back_after_a_crash(tmp_path: Path) -> None:
    """It is restarted at its old address, with what was committed."""
    async with servers_of(tmp_path, "postgres") as servers:
        url = servers.addresses["postgres"]
        await select(url, "CREATE TABLE kept AS SELECT 7 AS n")
        before = servers.children["postgres"].pid
        await servers.restart_postgres()

        assert servers.children["postgres"].pid != before
        assert await select(url, "SELECT n FROM kept") == 7
