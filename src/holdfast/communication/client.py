"""The HTTP/1.1 client: a pool of kept connections for each origin, the newest one used first.

One call is one attempt: retries, breakers and budgets belong to the edge that calls. The single
exception is a kept connection that the other side closed while the request was on its way; see
`ClientPool.request`.
"""

import asyncio
import ssl
from dataclasses import dataclass

from holdfast.communication.link import Link, Stale
from holdfast.communication.origin import Origin, encode_request
from holdfast.communication.upstream import PoolLimits, Upstream
from holdfast.contract.http import Request, Response
from holdfast.errors import BulkheadFull, CallError, ConnectionLost, DeadlineExceeded, Unreachable
from holdfast.ports import Clock, Identity, Network

_SAFE = frozenset(["GET", "HEAD", "OPTIONS"])


@dataclass(frozen=True, slots=True)
class PoolStats:
    """What a pool does now, and did so far.

    Attributes:
        connections, idle, waiting: of this moment, over all origins.
        calls: all that were begun. opened: connections made. retried: calls sent again because
            a kept connection had been closed.
    """

    connections: int
    idle: int
    waiting: int
    calls: int
    opened: int
    retried: int


_DEFAULT_LIMITS = PoolLimits()


class ClientPool:
    """Sends requests to any number of origins.

    Args:
        tls: for https origins; without it the system's authorities are trusted and host names are
            checked.
        identity: for origins that are workloads of the system.
    """

    def __init__(
        self,
        *,
        network: Network,
        clock: Clock,
        limits: PoolLimits = _DEFAULT_LIMITS,
        tls: ssl.SSLContext | None = None,
        identity: Identity | None = None,
    ) -> None:
        self._identity = identity
        self._network = network
        self._clock = clock
        self._limits = limits
        self._tls = tls
        self._upstreams: dict[Origin, Upstream] = {}
        self._closed = False
        self._calls = 0
        self._retried = 0
        self._opened = 0

    async def request(
        self, origin: Origin, request: Request, *, deadline_s: float, streams: bool = False
    ) -> Response:
        """Send a request and return the whole answer, whatever its status.

        A kept connection may be closed by the other side just when a request is sent. If no byte
        of an answer came, a request with a safe method is sent once more on a new connection. A
        PUT or a DELETE is not: it may have been carried out, and another one may have come since.

        Args:
            deadline_s: how long the call may take in all, in seconds from now.
            streams: an answer of more than 256 KiB, or of unknown length, is returned with its
                head. Its stream is to be read to the end or closed; it has no limit and no
                deadline, and what is not read holds the other side up.
        Raises:
            BulkheadFull: no connection became free in time, or too many calls wait.
            Unreachable: no connection could be made.
            ConnectionLost: it broke after the request was sent.
            DeadlineExceeded: the request was sent, no answer came in time.
            BadAnswer: the answer is not HTTP/1.1, or over the limits.
            ValueError: the request has a field that would break it in two.
        """
        deadline = self._clock.monotonic() + deadline_s
        upstream = self._upstreams.get(origin) or self._new_upstream(origin)
        self._calls += 1
        data = encode_request(request, upstream.host_line)
        if deadline_s <= 0:
            raise DeadlineExceeded(f"no time was left to call {upstream.name}", edge=upstream.name)
        link = upstream.take_idle() or await upstream.take(deadline)
        headless = request.method == "HEAD"
        answer = link.send(data, headless=headless, deadline=deadline, streams=streams)
        try:
            return await answer
        except asyncio.CancelledError:
            link.close()
            raise
        except Stale as stale:
            if request.method not in _SAFE:
                raise _lost(upstream) from stale
        finally:
            _end(upstream, link)
        self._retried += 1
        try:
            link = await upstream.take(deadline)
        except CallError as error:  # which says "none", but the first try may have had an effect
            raise _lost(upstream) from error
        answer = link.send(data, headless=headless, deadline=deadline, streams=streams)
        try:
            return await answer
        except asyncio.CancelledError:
            link.close()
            raise
        except Stale as stale:
            raise _lost(upstream) from stale
        finally:
            _end(upstream, link)

    async def close(self) -> None:
        """Close every connection; calls under way end with ConnectionLost."""
        self._closed = True
        for upstream in self._upstreams.values():
            upstream.close()
        self._upstreams.clear()

    def stats(self) -> PoolStats:
        """Return the counts of this moment."""
        upstreams = self._upstreams.values()
        return PoolStats(
            connections=sum(upstream.size for upstream in upstreams),
            idle=sum(len(upstream.idle) for upstream in upstreams),
            waiting=sum(len(upstream.waiting) for upstream in upstreams),
            calls=self._calls,
            opened=self._opened,
            retried=self._retried,
        )

    def _new_upstream(self, origin: Origin) -> "Upstream":
        if self._closed:
            raise Unreachable("the pool is closed", edge=str(origin))
        if len(self._upstreams) >= self._limits.origins_max:
            for other in [key for key, upstream in self._upstreams.items() if not upstream.size]:
                del self._upstreams[other]
            if len(self._upstreams) >= self._limits.origins_max:
                raise BulkheadFull("too many origins have connections", edge=str(origin))
        upstream = self._upstreams[origin] = Upstream(origin, self._limits, self._open)
        return upstream

    async def _open(self, origin: Origin, link: Link) -> None:
        tls = self._speaks(origin)
        await self._network.connect(
            lambda: link, origin.host, origin.port, tls=tls, path=origin.path
        )
        self._opened += 1

    def _speaks(self, origin: Origin) -> ssl.SSLContext | None:
        if origin.workload:
            assert self._identity is not None, "who reaches a workload is one"
            return self._identity.reaches(origin.workload)
        if origin.tls and self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls if origin.tls else None


def _end(upstream: Upstream, link: Link) -> None:
    """Give a link back when its exchange is over: a stream outlives the call."""
    if link.streaming:
        link.freed = upstream.give_back
    else:
        upstream.give_back(link)


def _lost(upstream: Upstream) -> ConnectionLost:
    return ConnectionLost(
        f"{upstream.name} closed the connection before it answered", edge=upstream.name
    )
