"""Rate limits in the system's own Redis: both sides prove who they are before anything is said.

The server is the wheel's, which speaks no TLS: what stands in front of it does that.
"""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from holdfast.engines.machine import MachineClock
from holdfast.engines.mutual_tls import TlsIdentity
from holdfast.engines.redis import AGE_S, RedisLimits
from holdfast.errors import SettingError
from holdfast.resilience import MemoryLimits
from holdfast.runtime.engines import engines_of
from holdfast.runtime.servers import Servers
from shop.system import shop
from tests.identities import Identities


@dataclass
class Front:
    """Speaks TLS in front of the server's socket.

    Attributes:
        peers: who has come in, by their certificates. heard: what was said in clear.
    """

    socket: str
    user: str
    identity: TlsIdentity | None
    port: int = 0
    peers: list[str] = field(default_factory=list)
    heard: bytes = b""

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"rediss://{self.user}@localhost:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        if self.identity is None:
            self.heard += await reader.read(1 << 16)
            writer.write(b"-ERR unknown command\r\n")
            writer.close()
            return
        self.peers.append(self.identity.peer(writer.transport))
        behind, before = await asyncio.open_unix_connection(self.socket)
        await asyncio.gather(passed(reader, before), passed(behind, writer))


async def passed(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Hand on what comes, until nothing does."""
    try:
        while data := await source.read(1 << 16):
            target.write(data)
    except OSError:
        pass
    finally:
        target.close()


class Later(MachineClock):
    """The machine's clock, put forward."""

    later_s = 0.0

    def monotonic(self) -> float:
        """Return seconds."""
        return super().monotonic() + self.later_s


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Servers]:
    """A running Redis."""
    servers = Servers(tmp_path, ["redis"], shop)
    await servers.start()
    yield servers
    await servers.stop()


@pytest.fixture
def identities(tmp_path: Path) -> Identities:
    """The authority of the system."""
    return Identities(tmp_path / "issued", shop.name)


@asynccontextmanager
async def front(servers: Servers, identity: TlsIdentity | None) -> AsyncIterator[Front]:
    """Yield a server that shows an identity; None: one in clear."""
    user, _, socket = servers.environ["REDIS_URL"].removeprefix("unix://").partition("@")
    made = Front(socket, user, identity)
    context = identity.listens() if identity else None
    server = await asyncio.start_server(made.serve, "localhost", 0, ssl=context)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()


def limits(url: str, identity: TlsIdentity, clock: MachineClock) -> RedisLimits:
    """Return the limits of a gateway."""
    proof = identity.reaches("redis")
    local = MemoryLimits(clock)
    return RedisLimits(url, clock, local, system=shop.name, answer_s=10.0, proof=proof)


async def test_the_certificates_say_who_counts_and_where(
    servers: Servers, identities: Identities
) -> None:
    """The gateway shows its own; the name of the host is not what counts."""
    (redis, _), (gateway, refused) = identities.of("redis"), identities.of("gateway")
    async with front(servers, redis) as server:
        limit = limits(server.url, gateway, MachineClock())
        taken = [await limit.try_take("ada", 0.001, 2) for _ in range(3)]
        await limit.close()

    assert [one.allowed for one in taken] == [True, True, False]
    assert (server.peers, limit.alone(), refused.told) == (["gateway"], 0, [])


@pytest.mark.parametrize("who", ["nats", "another authority's", "in clear"])
async def test_who_is_not_the_redis_of_the_system_is_asked_nothing(
    who: str, servers: Servers, identities: Identities, tmp_path: Path
) -> None:
    """Neither another workload nor another authority's, and nobody in clear."""
    gateway, refused = identities.of("gateway")
    other = Identities(tmp_path / "elsewhere", shop.name).of("redis")[0]
    shown = {"nats": identities.of("nats")[0], "in clear": None}.get(who, other)
    async with front(servers, shown) as server:
        limit = limits(server.url, gateway, MachineClock())
        taken = await limit.try_take("ada", 0.001, 2)
        await limit.close()

    reasons = {"nats": "who", "in clear": "clear_text"}
    assert (taken.allowed, limit.alone()) == (True, 1)
    assert server.user.encode() not in server.heard and b"shop" not in server.heard
    assert refused.reasons == [reasons.get(who, "unknown_authority")]


async def test_an_old_connection_is_followed_by_one_with_the_newest_certificate(
    servers: Servers, identities: Identities
) -> None:
    """While it is not old, the same one goes on; a question is never lost for it."""
    (redis, _), (gateway, _) = identities.of("redis"), identities.of("gateway")
    clock = Later()
    async with front(servers, redis) as server:
        limit = limits(server.url, gateway, clock)
        connections: list[int] = []
        for later_s in (0.0, AGE_S - 1, AGE_S, AGE_S + 1, 2 * AGE_S):
            clock.later_s = later_s
            await limit.try_take("ada", 1000.0, 1000)
            connections.append(len(server.peers))
        await limit.close()

    assert connections == [1, 1, 2, 2, 3]
    assert limit.alone() == 0


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis://redis:6379", "rediss://host:6379, not redis://"),
        ("redis://gateway:hidden@redis", "rediss://host:6379, not redis://"),
        ("rediss://redis:6379?sslcert=/a&sslkey=/b", "sslcert: this process has an identity"),
        ("rediss://redis:6379?ssl_cert_reqs=none", "ssl_cert_reqs: this process has an identity"),
    ],
)
def test_what_makes_light_of_an_identity_is_refused_at_the_start(
    url: str, why: str, identities: Identities, tmp_path: Path
) -> None:
    """With what to write instead, and without the password."""
    with pytest.raises(SettingError, match=re.escape(why)) as told:
        engines_of(
            shop.name,
            [],
            {"REDIS_URL": url},
            tmp_path.joinpath,
            threads=1,
            identity=identities.of("gateway")[0],
        )

    assert "hidden" not in str(told.value)


def test_a_process_takes_nobody_but_the_redis_of_its_system(
    identities: Identities, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is what its identity is asked for."""
    asked: list[str] = []
    reaches = TlsIdentity.reaches

    def noted(identity: TlsIdentity, name: str) -> ssl.SSLContext:
        asked.append(name)
        return reaches(identity, name)

    monkeypatch.setattr(TlsIdentity, "reaches", noted)
    gateway, environ = identities.of("gateway")[0], {"REDIS_URL": "rediss://redis:6379"}
    engines_of(shop.name, [], environ, tmp_path.joinpath, threads=1, identity=gateway)

    assert asked == ["redis"]


async def test_a_socket_and_somebody_elses_redis_are_let_through(
    servers: Servers, identities: Identities, tmp_path: Path
) -> None:
    """A socket is of this machine; of whom another server is, its URL says."""
    gateway = identities.of("gateway")[0]
    trusted = identities.authority.trusted
    for url in (servers.environ["REDIS_URL"], f"rediss://cache:6379?sslrootcert={trusted}"):
        made = engines_of(
            shop.name, [], {"REDIS_URL": url}, tmp_path.joinpath, threads=1, identity=gateway
        )
        assert isinstance(made.limits, RedisLimits)
        if url.startswith("unix:"):
            await made.limits.try_take("ada", 1.0, 3)
            assert made.limits.alone() == 0
        await made.limits.close()
