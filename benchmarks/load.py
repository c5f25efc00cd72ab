"""The load: kept connections that send the next request when the last one is answered.

It must cost less than any server under test, so it knows just enough HTTP: an answer has a status,
a Content-Length and a body. Requests are bytes, made before the clock starts.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import cast

from benchmarks.harness import Sample, percentile

CONNECTIONS = 32
_END = b"\r\n\r\n"
_LENGTH = b"content-length: "


class Wire(asyncio.Protocol):
    """One connection with at most one request under way.

    A server may close it while nothing is: whoever waits long for the end of an order finds that
    it was idle for too long. It is opened again for the next request.

    Args:
        on_answer: gets this wire, the status and the body.
        on_lost: gets what ended the connection while a request was under way.
    """

    def __init__(
        self,
        on_answer: Callable[["Wire", int, bytes], None],
        on_lost: Callable[[Exception], None],
    ) -> None:
        self.sent_at = 0.0
        self._on_answer = on_answer
        self._on_lost = on_lost
        self._open: Callable[[], Awaitable[object]] | None = None
        self._opening: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._under_way = b""
        self._closing = False

    @property
    def is_open(self) -> bool:
        """Whether it could send at once."""
        return self._transport is not None

    async def open(self, open_: Callable[[], Awaitable[object]]) -> None:
        """Open the connection by a function, which is kept for the next time."""
        self._open = open_
        await open_()

    def send(self, request: bytes) -> None:
        """Send a request; the one before must have been answered."""
        self.sent_at = time.perf_counter()
        self._under_way = request
        if self._transport is not None:
            self._transport.write(request)
        else:
            self._opening = asyncio.ensure_future(self._open_again())

    async def _open_again(self) -> None:
        assert self._open is not None
        try:
            await self._open()
        except OSError as exc:
            self._on_lost(exc)

    def close(self) -> None:
        """Close the connection."""
        self._closing = True
        if self._opening is not None:
            self._opening.cancel()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, and send what waits for it."""
        self._transport = cast(asyncio.Transport, transport)
        if self._under_way:
            self._transport.write(self._under_way)

    def connection_lost(self, exc: Exception | None) -> None:
        """Report an end that nobody wanted."""
        self._transport = None
        if self._under_way and not self._closing:
            self._on_lost(exc or ConnectionResetError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        """Hand the answer on when it is complete."""
        if self._buffer:
            data = self._buffer + data
        end = data.find(_END)
        if end >= 0:
            start = data.find(_LENGTH, 0, end)
            if start < 0:  # written with capitals
                start = data.lower().find(_LENGTH, 0, end)
            if start < 0:
                self._on_lost(ValueError(f"an answer without Content-Length: {data[:200]!r}"))
                return
            start += len(_LENGTH)
            stop = data.find(b"\r", start, end + 1)
            size = end + 4 + int(data[start:stop])
            if len(data) >= size:
                self._buffer = self._under_way = b""
                self._on_answer(self, int(data[9:12]), data[end + 4 : size])
                return
        self._buffer = data


def post(path: str, body: bytes, *, token: str = "") -> bytes:
    """Return the bytes of a POST of JSON."""
    authorization = f"authorization: Bearer {token}\r\n" if token else ""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: bench.local\r\n{authorization}"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def connect(url: str, make: Callable[[], Wire], *, source: str = "") -> list[Wire]:
    """Open 32 connections to `http://host:port`, from the local address `source`."""
    host, _, port = url.removeprefix("http://").partition(":")
    loop = asyncio.get_running_loop()
    local = (source, 0) if source else None
    wires: list[Wire] = []
    for _ in range(CONNECTIONS):
        wire = make()
        wires.append(wire)
        one: Callable[[], Wire] = lambda wire=wire: wire  # noqa: E731  # the same again
        opened = partial(loop.create_connection, one, host, int(port), local_addr=local)
        await wire.open(opened)
    return wires


async def closed_loop(
    url: str, requests: Sequence[bytes], *, status: int, seconds: float
) -> tuple[int, Sample]:
    """Send requests in turn on 32 connections for so long; return how many, and the sample.

    Raises:
        RuntimeError: an answer has another status.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    latencies_s: list[float] = []
    turn = 0
    under_way = CONNECTIONS

    def fail(error: Exception) -> None:
        if not ended.done():
            ended.set_exception(error)

    def answered(wire: Wire, answer_status: int, body: bytes) -> None:
        nonlocal turn, under_way
        now = time.perf_counter()
        latencies_s.append(now - wire.sent_at)
        if answer_status != status:
            fail(RuntimeError(f"{url} answered {answer_status}: {body[:500]!r}"))
        elif now < give_up:
            turn += 1
            wire.send(requests[turn % len(requests)])
        else:
            under_way -= 1
            if not under_way and not ended.done():
                ended.set_result(None)

    wires = await connect(url, lambda: Wire(answered, fail))
    begun = time.perf_counter()
    give_up = begun + seconds
    try:
        for number, wire in enumerate(wires):
            wire.send(requests[number % len(requests)])
        async with asyncio.timeout(seconds + 300):
            await ended
        took = time.perf_counter() - begun
    finally:
        for wire in wires:
            wire.close()
    return sample_of(latencies_s, took)


def sample_of(latencies_s: list[float], took_s: float) -> tuple[int, Sample]:
    """Return how many operations there were, and what they say."""
    latencies_s.sort()
    count = len(latencies_s)
    p50_ms, p99_ms = (percentile(latencies_s, share) * 1e3 for share in (0.5, 0.99))
    return count, Sample(count / took_s, p50_ms, p99_ms)
