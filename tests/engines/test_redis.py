"""Rate limits in Redis: shared by gateways, like the local ones, and local while it is away."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from holdfast.engines.machine import MachineClock
from holdfast.engines.redis import AWAY_S, LOOK_S, RedisLimits
from holdfast.resilience import MemoryLimits
from holdfast.runtime.engines import engines_of
from holdfast.runtime.environ import Environ
from holdfast.runtime.secret_file import SecretFile
from holdfast.runtime.servers import Servers
from holdfast.runtime.variables import REDIS_URL
from shop.system import shop
from tests.certificates import Authority


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Servers]:
    """A running Redis."""
    servers = Servers(tmp_path, ["redis"], shop)
    await servers.start()
    yield servers
    await servers.stop()


def limits(servers: Servers) -> RedisLimits:
    """Return the limits of one gateway."""
    clock = MachineClock()
    return RedisLimits(servers.environ["REDIS_URL"], clock, MemoryLimits(clock), system="shop")


async def test_gateways_share_a_bucket(servers: Servers) -> None:
    """Together they let in as many as one alone would."""
    one, two = limits(servers), limits(servers)
    taken = [await limit.try_take("ada", 0.001, 6) for limit in (one, two) for _ in range(5)]
    other = await two.try_take("grace", 0.001, 6)
    for limit in (one, two):
        await limit.close()

    assert [t.allowed for t in taken] == [True] * 6 + [False] * 4
    assert [t.remaining for t in taken] == [5, 4, 3, 2, 1, 0, 0, 0, 0, 0]
    assert taken[-1].reset_s == pytest.approx(1_000, rel=0.01)
    assert other.remaining == 5
    assert one.alone() == two.alone() == 0


async def test_it_says_what_the_local_ones_say(servers: Servers) -> None:
    """The same bucket, taken from at the same times."""
    shared, local = limits(servers), MemoryLimits(MachineClock())
    for _ in range(4):
        mine, theirs = [await both.try_take("k", 0.5, 3) for both in (shared, local)]
        assert mine[:2] == theirs[:2]
        assert mine.reset_s == pytest.approx(theirs.reset_s, abs=0.05)
    await shared.close()


async def test_without_redis_each_gateway_decides_for_itself(servers: Servers) -> None:
    """A request is not refused for it, and the metric says so."""
    limit = limits(servers)
    await servers.stop()
    taken = [await limit.try_take("ada", 0.001, 3) for _ in range(4)]
    await limit.close()

    assert [t.allowed for t in taken] == [True, True, True, False]
    assert limit.alone() == 4


async def test_a_question_without_an_answer_is_not_asked_twice() -> None:
    """It may have been counted: some versions of the client would ask again by themselves."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while received := await reader.read(1 << 16):
            if b"EVAL" in received:
                asked.append(received)
                break
            writer.write(b"+OK\r\n" * received.count(b"*"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    port, clock = server.sockets[0].getsockname()[1], MachineClock()
    limit = RedisLimits(f"redis://127.0.0.1:{port}", clock, MemoryLimits(clock), system="tiny")
    taken = await limit.try_take("ada", 1.0, 3)
    await limit.close()
    server.close()
    await server.wait_closed()

    assert (len(asked), taken.allowed, limit.alone()) == (1, True, 1)


class Answering:
    """Stands where a Redis is: answers everything, and notes whether it was asked in secret."""

    def __init__(self) -> None:
        self.secret: list[bool] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        while received := await reader.read(1 << 16):
            if b"EVAL" in received:
                self.secret.append(writer.get_extra_info("ssl_object") is not None)
                writer.write(b"*2\r\n:1\r\n$1\r\n2\r\n")
            else:
                writer.write(b"+OK\r\n" * received.count(b"*"))
        writer.close()


@pytest.mark.parametrize("trusted", [True, False])
async def test_rediss_is_tls_with_a_server_that_is_known(trusted: bool, tmp_path: Path) -> None:
    """A server of another authority is asked nothing, and the log says why."""
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    where, clock = Answering(), MachineClock()
    server = await asyncio.start_server(where.serve, "localhost", 0, ssl=authority.server())
    port = server.sockets[0].getsockname()[1]
    known = authority if trusted else other
    url = f"rediss://localhost:{port}?sslrootcert={known.file}"
    limit = RedisLimits(url, clock, MemoryLimits(clock), system="tiny", answer_s=10.0)
    await limit.try_take("ada", 1.0, 3)
    await limit.close()
    server.close()

    assert where.secret == ([True] if trusted else [])
    assert limit.alone() == (0 if trusted else 1)


async def test_rediss_tells_a_server_in_clear_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """There is no fall-back, and the log says so once."""
    where, clock = Answering(), MachineClock()
    server = await asyncio.start_server(where.serve, "localhost", 0)
    port = server.sockets[0].getsockname()[1]
    url = f"rediss://localhost:{port}"
    limit = RedisLimits(url, clock, MemoryLimits(clock), system="tiny")
    for _ in range(3):
        await limit.try_take("ada", 1.0, 3)
    await limit.close()
    server.close()

    assert (where.secret, limit.alone()) == ([], 3)
    assert caplog.text.count("limits: redis: each gateway counts for itself") == 1


def test_parameters_of_tls_need_rediss() -> None:
    """What is asked for and cannot be had is refused at the start."""
    clock = MachineClock()
    with pytest.raises(ValueError, match="sslrootcert needs rediss://"):
        RedisLimits("redis://h:1?sslrootcert=/ca.pem", clock, MemoryLimits(clock), system="tiny")


FOR_EVERYBODY = {"auth", "hello", "quit", "reset"}
"""What comes before anybody is known, or says good-bye."""
OURS = {"evalsha", "script", "time", "hmget", "hset", "pexpire", "client"}


async def refused(client: Any, *words: str) -> str:
    """Return why Redis does not let somebody say something; "" if it does."""
    try:
        await client.execute_command(*words)
    except RedisError as exc:
        return str(exc) if "permission" in str(exc) else ""  # it was taken, and made no sense
    except (TypeError, ValueError):
        return ""  # an answer that the client makes nothing of
    return ""


async def test_who_counts_may_say_what_counting_needs_and_no_more(servers: Servers) -> None:
    """Each command of the server is tried, with a key of the limits wherever it takes one."""
    administrator = Redis.from_url(servers.addresses["redis"])
    commands: dict[str, Any] = await administrator.execute_command("COMMAND")
    may = set[str]()
    for name, command in commands.items():
        words = ["shop:limit:x"] * (abs(command["arity"]) - 1)
        async with Redis.from_url(servers.environ["REDIS_URL"]) as counts:
            if not await refused(counts, name, *words):
                may.add(name)
    await administrator.aclose()

    assert len(commands) > 200
    assert may - FOR_EVERYBODY == OURS - {"script", "client"}  # of which one word each is allowed


async def test_who_counts_reaches_no_other_key(servers: Servers) -> None:
    """Neither directly nor by a script; nor may it end scripts, or see who else is there."""
    counts = Redis.from_url(servers.environ["REDIS_URL"])
    sha = await counts.script_load("return redis.call('HSET', KEYS[1], 'a', 1)")
    reads = await counts.script_load("return redis.call('GET', KEYS[1])")
    told = {
        "own": await refused(counts, "HSET", "shop:limit:ada", "tokens", "1"),
        "other": await refused(counts, "HSET", "shop:session:ada", "tokens", "1"),
        "other system": await refused(counts, "HMGET", "bank:limit:ada", "tokens"),
        "own script": await refused(counts, "EVALSHA", sha, "1", "shop:limit:ada"),
        "script": await refused(counts, "EVALSHA", sha, "1", "shop:session:ada"),
        "in a script": str(await caught(counts, "EVALSHA", reads, "1", "shop:limit:ada")),
        "flush": await refused(counts, "SCRIPT", "FLUSH"),
        "list": await refused(counts, "CLIENT", "LIST"),
        "acl": await refused(counts, "ACL", "SETUSER", "limits", "+@all"),
        "config": await refused(counts, "CONFIG", "GET", "*"),
    }
    await counts.aclose()

    assert [name for name, why in told.items() if not why] == ["own", "own script"]


async def caught(client: Any, *words: str) -> Exception | None:
    """Return what a command raises."""
    try:
        await client.execute_command(*words)
    except RedisError as exc:
        return exc
    return None


async def test_nobody_comes_in_without_a_name(servers: Servers) -> None:
    """The user that every Redis has is off; it listens on no port."""
    socket = servers.environ["REDIS_URL"].partition("@")[2]
    for url in (f"unix://{socket}", f"unix://default:x@{socket}", f"unix://limits:x@{socket}"):
        async with Redis.from_url(url) as client:
            with pytest.raises(RedisError, match=r"HELLO must|WRONGPASS|invalid username|NOAUTH"):
                await client.time()
    administrator = Redis.from_url(servers.addresses["redis"])
    found = await administrator.config_get("port")
    await administrator.aclose()

    assert found == {b"port": b"0"} or found == {"port": "0"}


class Later(MachineClock):
    """The machine's clock, put forward."""

    later_s = 0.0

    def monotonic(self) -> float:  # type: ignore[override]
        """Return seconds."""
        return time.monotonic() + self.later_s


async def test_a_password_is_read_for_each_connection(servers: Servers, tmp_path: Path) -> None:
    """A wrong one is an outage; when the file has the right one, it is over without a restart."""
    clock, file = Later(), tmp_path / "password"
    user, _, socket = servers.environ["REDIS_URL"].removeprefix("unix://").partition("@")
    file.write_text("not the one\n")
    where = f"unix://limits@{socket}?passwordfile={file}"
    limit = RedisLimits(where, clock, MemoryLimits(clock), system="shop", answer_s=10.0)
    await limit.try_take("ada", 1.0, 3)
    wrong = limit.alone()
    file.write_text(user.partition(":")[2])
    clock.later_s = AWAY_S + 1
    taken = await limit.try_take("ada", 0.001, 3)
    await limit.close()

    assert (wrong, limit.alone(), taken.allowed) == (1, 1, True)


def told_by(file: Path, clock: Later, written: str) -> RedisLimits:
    """Return the limits of a process whose REDIS_URL is a file."""
    file.write_text(written)
    environ = Environ({}, {REDIS_URL: SecretFile(str(file))})
    limits = engines_of("shop", [], environ, lambda name: file, threads=1).limits
    assert isinstance(limits, RedisLimits)
    limits._clock = clock
    limits._client = partial(limits._client, answer_s=10.0)  # however busy this machine is
    return limits


async def test_an_address_that_was_written_anew_is_in_use(servers: Servers, tmp_path: Path) -> None:
    """Another password, or another server while the old one serves; nobody restarts anything."""
    clock, file = Later(), tmp_path / "url"
    good = servers.environ["REDIS_URL"]
    wrong = re.sub("//(.*):.*@", r"//\1:wrong@", good)
    other = Servers(tmp_path / "other", ["redis"], shop)
    await other.start()
    limit = told_by(file, clock, wrong)
    counts = list[tuple[int, int]]()
    for written in (wrong, good, "nonsense", other.environ["REDIS_URL"], good):
        file.write_text(written)
        clock.later_s += AWAY_S + LOOK_S + 1
        taken = await limit.try_take("ada", 0.001, 9)
        counts.append((taken.remaining, limit.alone()))
    await limit.close()
    await other.stop()

    assert counts == [(8, 1), (8, 1), (7, 1), (8, 1), (6, 1)]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis://limits@h:1?passwordfile=/nowhere", "passwordfile=/nowhere: No such file"),
        ("redis://limits:hidden@h:1?passwordfile=/dev/null", "beside a password"),
        ("redis://limits@h:1?passwordfile=/dev/null", "nothing is in it"),
    ],
)
def test_a_password_that_cannot_be_read_is_refused_at_the_start(url: str, why: str) -> None:
    """With the file, and without the password."""
    clock = MachineClock()
    with pytest.raises(ValueError, match=why) as told:
        RedisLimits(url, clock, MemoryLimits(clock), system="tiny")

    assert "hidden" not in str(told.value)
