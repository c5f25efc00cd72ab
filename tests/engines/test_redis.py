"""Rate limits in Redis: shared by gateways, like the local ones, and local while it is away."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from holdfast.engines.machine import MachineClock
from holdfast.engines.redis import RedisLimits
from holdfast.resilience import MemoryLimits
from holdfast.runtime.servers import Servers
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
    return RedisLimits(servers.environ["REDIS_URL"], clock, MemoryLimits(clock), system="tiny")


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
