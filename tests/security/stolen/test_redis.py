"""Who has stolen the certificate of notifications gets nothing at the Redis that is rendered.

Each attempt is made against a real Valkey with the configuration of the shop, and again with the
one line changed that forbids it, where it succeeds.
"""

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.engines.machine import MachineClock
from holdfast.engines.mutual_tls import TlsIdentity
from holdfast.engines.redis import RedisLimits
from holdfast.resilience import MemoryLimits
from holdfast.runtime.children import free_port
from holdfast.runtime.local_authority import LocalAuthority
from shop.system import shop
from tests.delivery.valkey import Rendered, rendered_redis
from tests.security.stolen.shop import THIEF

pytestmark = pytest.mark.deploy

REFUSED = ("NOAUTH", "WRONGPASS", "NOPERM")
GATEWAY = f"spiffe://{shop.name}/gateway"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Rendered]:
    """The server, as it is rendered."""
    with rendered_redis(tmp_path) as server:
        yield server


def limits(redis: Rendered, name: str, authority: LocalAuthority | None = None) -> RedisLimits:
    """Return the limits of a process."""
    files, clock = (authority or redis.authority).issue(name), MachineClock()
    identity = TlsIdentity(files, shop.name, clock, lambda reason, why: None)
    return RedisLimits(
        f"rediss://localhost:{redis.port}",
        clock,
        MemoryLimits(clock),
        system=shop.name,
        answer_s=10.0,
        proof=identity.reaches("redis"),
    )


ATTEMPTS = [
    ("HMGET", "shop:limit:ada", "tokens"),
    ("HSET", "shop:limit:ada", "tokens", "9"),
    ("SET", "shop:other", "1"),
    ("FLUSHALL",),
    ("KEYS", "*"),
    ("CONFIG", "SET", "maxmemory", "1"),
    ("ACL", "SETUSER", "default", "on"),
]


@pytest.mark.parametrize("words", ATTEMPTS, ids=lambda words: words[0])
def test_it_reads_writes_and_flushes_nothing(words: tuple[str, ...], tmp_path: Path) -> None:
    """Nobody knows its certificate there; with the user that every Redis has it may do all."""
    everything = {"user default": "on nopass ~* &* +@all"}
    for instead, refused in ((None, True), (everything, False)):
        folder = tmp_path / str(refused)
        folder.mkdir()
        with rendered_redis(folder, instead) as redis:
            said = redis.said(redis.authority.issue(THIEF), *words)

        assert said.startswith(REFUSED) is refused, said


def test_it_becomes_nobody_else(redis: Rendered) -> None:
    """No user has a password, not even an empty one."""
    files = redis.authority.issue(THIEF)
    for user in ("default", GATEWAY, f"spiffe://{shop.name}/redis"):
        for password in ("", "x", user):
            assert redis.said(files, "AUTH", user, password).startswith("WRONGPASS")


def test_who_counts_does_nothing_else(redis: Rendered) -> None:
    """Also the gateway reaches its own keys alone, with what counting needs."""
    files = redis.authority.issue("gateway")

    assert redis.said(files, "HSET", "shop:limit:ada", "tokens", "9") == "1"
    for words in [
        *ATTEMPTS[2:],
        ("HSET", "bank:limit:ada", "tokens", "9"),
        ("GET", "shop:limit:a"),
    ]:
        assert redis.said(files, *words).startswith("NOPERM"), words


async def test_nothing_is_said_in_clear(tmp_path: Path) -> None:
    """There is no such port; what comes in clear to the other one is not answered."""
    for clear in (False, True):
        port = free_port()
        folder = tmp_path / str(clear)
        folder.mkdir()
        instead = {"port": f"{port}\nprotected-mode no"} if clear else {}
        with rendered_redis(folder, instead) as redis:
            answers = [await in_clear(at) for at in (port, redis.port)]

        assert answers == [b"-NOAUTH Authentication required." if clear else b"", b""]


async def in_clear(port: int) -> bytes:
    """Return what is answered to a question in clear; nothing, if nobody does."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"TIME\r\n")
        said = await reader.readline()
        writer.close()
    except OSError:
        return b""
    return said.strip()


async def test_another_authoritys_certificate_is_none(tmp_path: Path) -> None:
    """Whatever it says; and without one nobody gets through the handshake."""
    other = LocalAuthority(tmp_path / "elsewhere", shop.name, MachineClock())
    for asked, refused in (("yes", True), ("no", False)):
        folder = tmp_path / asked
        folder.mkdir()
        with rendered_redis(folder, {"tls-auth-clients": asked}) as redis:
            said = redis.said(other.issue("gateway"), "TIME")
            nobody = await handshake(redis, ssl.TLSVersion.TLSv1_3)

        assert ("NOAUTH" in said) is not refused, said
        assert (nobody == b"-NOAUTH Authentication required.") is not refused


async def test_it_is_tls_1_3_alone(tmp_path: Path) -> None:
    """An older version is refused, with a good certificate too."""
    for versions, refused in (("TLSv1.3", True), ('"TLSv1.2 TLSv1.3"', False)):
        folder = tmp_path / str(refused)
        folder.mkdir()
        with rendered_redis(folder, {"tls-protocols": versions}) as redis:
            said = await handshake(redis, ssl.TLSVersion.TLSv1_2, "gateway")

        assert (said[:1] == b"*") is not refused


async def handshake(redis: Rendered, most: ssl.TLSVersion, name: str = "") -> bytes:
    """Return the first line of an answer; nothing, if the handshake fails."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = most
    if name:
        files = redis.authority.issue(name)
        context.load_cert_chain(files.certificate, files.key)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", redis.port, ssl=context)
        writer.write(b"TIME\r\n")
        said = await reader.readline()
        writer.close()
    except OSError:
        return b""
    return said.strip()


async def test_those_who_limit_count_together_and_nobody_else(redis: Rendered) -> None:
    """By their certificates alone: the gateway and users share a bucket; notifications has none."""
    gateway, users, thief = (limits(redis, name) for name in ("gateway", "users", THIEF))
    taken = [await one.try_take("ada", 0.001, 3) for one in (gateway, users) * 2]
    await thief.try_take("ada", 0.001, 3)
    for one in (gateway, users, thief):
        await one.close()

    assert [one.allowed for one in taken] == [True, True, True, False]
    assert [one.alone() for one in (gateway, users, thief)] == [0, 0, 1]


async def test_new_certificates_are_taken_up_and_nobody_is_refused(tmp_path: Path) -> None:
    """It looks by itself; an authority that has changed is known with the next certificate."""
    with rendered_redis(tmp_path, {"tls-auto-reload-interval": "1"}) as redis:
        other = LocalAuthority(tmp_path / "elsewhere", shop.name, MachineClock())
        stranger, gateway = other.issue("gateway"), redis.authority.issue("gateway")
        before = redis.said(stranger, "TIME")
        shown = await served(redis)
        both = redis.files.trusted.read_bytes() + stranger.trusted.read_bytes()
        redis.authority.issue("redis")
        redis.files.trusted.write_bytes(both)
        said: list[str] = []
        async with asyncio.timeout(60):
            while await served(redis) == shown:
                said.append(redis.said(gateway, "HSET", "shop:limit:ada", "tokens", "9"))
        after = redis.said(stranger, "TIME")

    assert not before.isdigit() and after.split()[0].isdigit(), (before, after)
    assert set(said) <= {"0", "1"}


async def served(redis: Rendered) -> bytes:
    """Return the certificate that it shows."""
    files = redis.authority.issue("gateway")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(files.certificate, files.key)
    _, writer = await asyncio.open_connection("127.0.0.1", redis.port, ssl=context)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return bytes(shown)
