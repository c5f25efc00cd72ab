"""Rate limits that several gateways share, in Redis; local ones while Redis is away."""

import functools
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, cast
from urllib.parse import urlencode

from redis.asyncio import Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError, RedisError

from holdfast.engines.server_urls import parts_of, split
from holdfast.engines.short_passwords import read_password
from holdfast.engines.tls import client_context, take_tls
from holdfast.engines.troubles import Troubles
from holdfast.ports import Clock, Limits, Taken

ANSWER_S = 0.1  # a request does not wait longer for its limit
AWAY_S = 1.0  # after a failure Redis is left alone for so long
LOOK_S = 1.0  # so often a URL that came as a file is looked at
AGE_S = 300.0
"""How old a connection may be that an identity was shown for; then another one follows it."""
_TAKE = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1e6
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local held = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = burst
if held[1] then tokens = math.min(burst, held[1] + (now - held[2]) * rate) end
local allowed = tokens >= 0.999
if allowed then tokens = tokens - 1 end
redis.call('HSET', KEYS[1], 'tokens', string.format('%.9f', tokens), 'at',
  string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((burst - tokens) / rate * 1000) + 1000)
return {allowed and 1 or 0, string.format('%.9f', tokens)}
"""
"""The token bucket of `resilience.limiter.take`, by Redis's clock. A full bucket is forgotten."""


class RedisLimits:
    """Implements `ports.Limits` on a server.

    Args:
        url: `redis://host:6379`; `rediss://host:6379?sslrootcert=…` is TLS from the first byte;
            `unix://user@/path/of/the.sock`. `passwordfile=…` is read for each new connection.
        answer_s: how long it may take to connect, and to answer.
        local: decides while the server is away: each gateway for itself.
        proof: shows this process's certificate, and takes that of the system's Redis alone; None:
            nothing is shown but what the URL says. With it `redis://` is refused, and `rediss://`
            without a file of authorities is the system's.
        newest: returns where it is now; one that does not fit leaves the last good one in use.
    Raises:
        ValueError: the URL does not fit.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        local: Limits,
        *,
        system: str,
        answer_s: float = ANSWER_S,
        proof: ssl.SSLContext | None = None,
        newest: Callable[[], str] | None = None,
    ) -> None:
        self._client = functools.partial(_client, clock=clock, answer_s=answer_s, proof=proof)
        self._url: str = url
        self._newest = newest
        self._redis: Any = self._client(url)
        self._script: Any = self._redis.register_script(_TAKE)
        self._left: Redis | None = (
            None  # where it was before: somebody may still wait for an answer there
        )
        self._clock, self._local, self._prefix = clock, local, f"{system}:limit:"
        self._troubles = Troubles("limits")
        self._away_until = self._look_at = 0.0
        self._alone = 0

    async def try_take(self, key: str, rate_per_s: float, burst: int) -> Taken:
        """See `ports.Limits.try_take`."""
        if self._newest is not None and self._clock.monotonic() >= self._look_at:
            await self._follow(self._newest)
        if self._clock.monotonic() >= self._away_until:
            try:
                allowed, held = await self._script(
                    keys=[self._prefix + key], args=[rate_per_s, burst]
                )
            except (RedisError, OSError, TimeoutError) as exc:
                self._away_until = self._clock.monotonic() + AWAY_S
                self._troubles.begin("redis", f"each gateway counts for itself: {exc!r}")
            else:
                self._troubles.end("redis")
                tokens = float(held)
                remaining = int(tokens + 1e-3)
                return Taken(bool(allowed), remaining, (remaining + 1 - tokens) / rate_per_s)
        self._alone += 1
        return await self._local.try_take(key, rate_per_s, burst)

    def alone(self) -> int:
        """See `ports.Limits.alone`."""
        return self._alone

    async def close(self) -> None:
        """Close the connections."""
        await self._leave()
        await self._redis.aclose()

    async def _follow(self, newest: Callable[[], str]) -> None:
        """Ask where it is now, if that has changed."""
        self._look_at = self._clock.monotonic() + LOOK_S
        url = newest()
        if url == self._url:
            self._troubles.end("address")
            await self._leave()
            return
        try:
            found = self._client(url)
        except ValueError as exc:
            self._troubles.begin("address", f"the last good one is in use: {exc}")
            return
        self._troubles.end("address")
        await self._leave()
        self._left, self._redis, self._url = self._redis, found, url
        self._script, self._away_until = found.register_script(_TAKE), 0.0

    async def _leave(self) -> None:
        left, self._left = self._left, None
        if left is not None:
            with suppress(RedisError, OSError):  # it may be gone: no request fails for that
                await left.aclose()


def _client(url: str, *, clock: Clock, answer_s: float, proof: ssl.SSLContext | None) -> Redis:
    """Return the vendor's client for a URL. Raises ValueError."""
    bare, given = take_tls(url)
    bare, credentials = _take_credentials(bare)
    if proof is not None and _is_ours(bare, given):
        bare = f"redis://{bare.removeprefix('rediss://')}"  # its TLS is not the client's own
        tls: dict[str, Any] = {"connection_class": _proven(proof, clock)}
    else:
        tls = _tls_options(bare, given)
    return Redis.from_url(  # pyright: ignore[reportUnknownMemberType]  # half typed
        bare,
        socket_timeout=answer_s,
        socket_connect_timeout=answer_s,
        retry=Retry(NoBackoff(), 0),  # versions differ: a try that is repeated counts twice
        **tls,
        **credentials,
    )


def _proven(proof: ssl.SSLContext, clock: Clock) -> type[SSLConnection]:
    """Return the connections on which both sides prove who they are; old ones are made anew."""

    class Proven(SSLConnection):
        made_s = 0.0

        async def connect(self) -> None:
            """Connect, if there is none yet that is new enough; said before each question."""
            if self.is_connected and clock.monotonic() - self.made_s >= AGE_S:
                await self.disconnect()
            if not self.is_connected:
                self.made_s = clock.monotonic()
                self.ssl_context.context = proof  # then the client makes none of its own
            await cast("Callable[[], Awaitable[None]]", super().connect)()  # half typed

    return Proven


class _FromFile(CredentialProvider):
    """Whom a new connection is made as: a user, with the password that a file has then."""

    def __init__(self, user: str, file: str) -> None:
        self._user, self._file = user, file

    def get_credentials(self) -> tuple[str, str]:
        """Read it. Raises AuthenticationError."""
        try:
            return self._user, read_password(self._file)
        except ValueError as exc:
            raise AuthenticationError(str(exc)) from exc


def _take_credentials(url: str) -> tuple[str, dict[str, Any]]:
    """Return a URL without the file of its password, and who reads that. Raises ValueError."""
    bare, query = split(url)
    file = query.pop("passwordfile", "")
    if not file:
        return url, {}
    user, password, hosts = parts_of(bare)
    if password:
        raise ValueError("passwordfile is there beside a password; leave one out")
    read_password(file)  # said now, not at the first request
    scheme, _, rest = bare.partition("//")
    bare = f"{scheme}//{hosts}{''.join(rest.partition('/')[1:])}"
    found = _FromFile(user or "default", file)
    return (f"{bare}?{urlencode(query)}" if query else bare), {"credential_provider": found}


def _is_ours(url: str, given: Mapping[str, str]) -> bool:
    """Whether it is the system's own Redis, which knows us. Raises ValueError."""
    if url.startswith("redis://"):
        raise ValueError(
            "this process has an identity, to be shown by TLS alone: write it as "
            "rediss://host:6379, not redis://; with sslrootcert=… if it is not the system's own"
        )
    if not url.startswith("rediss://") or "sslrootcert" in given:
        return False
    own = [*given, *(name for name in split(url)[1] if name.startswith("ssl_"))]
    if own:
        raise ValueError(
            f"{own[0]}: this process has an identity; leave it out, or say with sslrootcert whose "
            "Redis it is"
        )
    return True


def _tls_options(url: str, given: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters of TLS under the client's names. Raises ValueError."""
    if not url.startswith("rediss://"):
        if not given:
            return {}
        raise ValueError(f"{next(iter(given))} needs rediss://host:6379")
    client_context(given)  # a file that cannot be read is said now, not at the first request
    names = {
        "sslrootcert": "ssl_ca_certs",
        "sslcert": "ssl_certfile",
        "sslkey": "ssl_keyfile",
        "sslpassword": "ssl_password",
    }
    if given.get("sslrootcert") == "system":
        names.pop("sslrootcert")
    options: dict[str, object] = {"ssl_check_hostname": "ssl_cert_reqs" not in url}
    options |= {ours: given[name] for name, ours in names.items() if name in given}
    if "ssl_min_protocol_version" in given:
        options["ssl_min_version"] = client_context(given).minimum_version
    return options
