"""One connection of a client: a request out, its answer in, one at a time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import cast

import httptools

from holdfast.communication.inflow import Inflow
from holdfast.contract.http import HeaderList, Response
from holdfast.errors import BadAnswer, ConnectionLost, DeadlineExceeded
from holdfast.resilience.deadlines import Deadlines

_READ_BYTES = 256 * 1024  # the most that a transport hands over at a time
_WHOLE_BYTES = 256 * 1024  # an answer that says that it is longer is streamed, if it may be


class Stale(Exception):
    """A kept connection was closed by the other side before any byte of the answer came."""


class Link(asyncio.Protocol):
    """The protocol of one connection of a pool; `name` is that of its origin, for errors.

    Attributes:
        opened_at, idle_since: loop time in seconds.
        used: whether a request was answered on it before.
        freed: told once when the stream of an answer has ended, and with it the exchange.
    """

    def __init__(
        self,
        name: str,
        header_bytes_max: int,
        body_bytes_max: int,
        deadlines: Deadlines,
        on_lost: "Callable[[Link], None]",
    ) -> None:
        self._name = name
        self._header_bytes_max = header_bytes_max
        self._body_bytes_max = body_bytes_max
        self._deadlines = deadlines
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[Response] | None = None
        self.opened_at = self.idle_since = self._loop.time()
        self.used = False
        self.freed: Callable[[Link], None] | None = None
        # the answer that is being read
        self._streams = False  # it may come piece by piece
        self._inflow: Inflow | None = None  # it does, and is not complete
        self._headless = False  # it answers HEAD: no body, whatever its headers say
        self._broken = False  # what comes next cannot be told from the answer: do not keep
        self._started = False
        self._in_body = False
        self._until_closed = False
        self._status = 0
        self._headers: HeaderList = []
        self._fed_bytes = 0  # at most so many since the answer or a piece of its body began
        self._body = b""
        self._more_body = bytearray()

    @property
    def usable(self) -> bool:
        """Whether another request may be sent."""
        transport = self._transport
        return transport is not None and not self._broken and not transport.is_closing()

    @property
    def streaming(self) -> bool:
        """Whether the body of an answer is still to come."""
        return self._inflow is not None

    def send(
        self, data: bytes, *, headless: bool, deadline: float, streams: bool = False
    ) -> asyncio.Future[Response]:
        """Send a request and return what gets its answer; who stops waiting closes the link.

        It gets `Stale` instead, on a connection that was used before alone; or ConnectionLost,
        DeadlineExceeded or BadAnswer. The link cannot be used again after any of them.

        Args:
            headless: the request is a HEAD.
            deadline: loop time, in seconds; for the head alone if the answer streams.
            streams: return a long answer, or one of unknown length, with its head.
        """
        self._answer = answer = self._loop.create_future()
        self._headless = headless
        self._streams = streams
        self._started = self._in_body = self._until_closed = False
        self._fed_bytes = 0
        self._deadlines.add(self, deadline)
        cast(asyncio.Transport, self._transport).write(data)
        return answer

    def close(self) -> None:
        """Close at once: nothing that is still to come is of interest."""
        self._broken = True
        self._deadlines.remove(self)
        if self._transport is not None:
            self._transport.abort()

    # -- the transport calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Parse a part of the answer."""
        if self._inflow is None and (self._answer is None or self._answer.done()):
            self.close()  # nothing was asked
            return
        self._started = True
        self._fed_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if self._inflow is None and (self._answer is None or self._answer.done()):
                self.close()
            elif isinstance(error.__context__, BadAnswer):
                self._fail(error.__context__)
            else:
                self._fail(self._bad(f"is not HTTP/1.1: {error}"))
        else:
            if self._fed_bytes > self._header_bytes_max + _READ_BYTES:
                self._fail(self._head_too_large())
            elif self._headless and self._in_body:
                self._parser = httptools.HttpResponseParser(self)  # the old one waits for a body

    def connection_lost(self, exc: Exception | None) -> None:
        """End the exchange that is under way; tell the pool."""
        self._broken = True
        if self._until_closed and exc is None:
            self._complete()
            self._end_stream()
        elif self._started or not self.used:
            text = f"the connection to {self._name} was lost before the whole answer came"
            self._fail(ConnectionLost(text, edge=self._name))
        else:
            self._fail(Stale())
        self._on_lost(self)

    # -- the parser calls these

    def on_message_begin(self) -> None:
        """Start an answer, which may be an interim one."""
        if self._answer is None or self._answer.done():
            self._broken = True  # more than was asked for
        self._headers = []
        self._body = b""
        self._more_body = bytearray()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Gather a header; trailers are dropped."""
        if not self._in_body:
            self._headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """Check what decides where the body ends."""
        parser = self._parser
        self._status = status = parser.get_status_code()
        if parser.get_http_version() not in ("1.1", "1.0") or status == 101:
            raise self._bad(f"is not HTTP/1.1, its status is {status}")
        headers = self._headers
        if self._fed_bytes > self._header_bytes_max and (
            sum(len(name) + len(value) + 4 for name, value in headers) > self._header_bytes_max
        ):
            raise self._head_too_large()
        if status < 200:
            return
        self._in_body = True
        if self._headless:
            self._broken = self._broken or not parser.should_keep_alive()
            chunked = self._streams and any(name == b"transfer-encoding" for name, _ in headers)
            self._complete(_nothing() if chunked else None)  # which a HEAD repeats
        elif status != 204 and status != 304:
            length = self._check_framing(headers)
            if self._streams and (length is None or length > _WHOLE_BYTES):
                self._inflow = Inflow(cast(asyncio.Transport, self._transport), self.close)
                self._complete(self._inflow)

    def _check_framing(self, headers: HeaderList) -> int | None:
        """Return the length of the body, if the head says it."""
        length: int | None = None
        framed = False
        for name, value in headers:
            if name == b"content-length":
                framed, length = True, int(value)
                if length > self._body_bytes_max and not self._streams:
                    raise self._body_too_large()
            elif name == b"transfer-encoding":
                framed = True
                if value.lower() != b"chunked":
                    raise self._bad("has a Transfer-Encoding other than chunked")
        self._until_closed = not framed
        return length

    def on_body(self, piece: bytes) -> None:
        """Gather the body."""
        self._fed_bytes = 0
        if self._headless:
            self._broken = True
        elif self._inflow is not None:
            self._inflow.feed(piece)
            return
        elif self._body:
            self._more_body += piece
        else:
            self._body = piece
        if len(self._body) + len(self._more_body) > self._body_bytes_max:
            raise self._body_too_large()

    def on_message_complete(self) -> None:
        """Hand the answer over, unless it is an interim one."""
        if self._status >= 200:
            if not self._parser.should_keep_alive():
                self._broken = True
            self._complete()
            self._end_stream()

    def _head_too_large(self) -> BadAnswer:
        return self._bad(f"has a head of over {self._header_bytes_max} bytes")

    def _body_too_large(self) -> BadAnswer:
        return self._bad(f"has a body of over {self._body_bytes_max} bytes")

    def _bad(self, what: str) -> BadAnswer:
        return BadAnswer(f"the answer of {self._name} {what}", edge=self._name)

    def _complete(self, stream: AsyncIterator[bytes] | None = None) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            body = self._body + self._more_body if self._more_body else self._body
            self._deadlines.remove(self)
            self.used = True
            answer.set_result(Response(self._status, self._headers, body, stream))

    def _end_stream(self, error: Exception | None = None) -> None:
        inflow, self._inflow = self._inflow, None
        if inflow is not None:
            inflow.end(error)
            freed, self.freed = self.freed, None
            if freed is not None:
                freed(self)

    def _fail(self, error: Exception) -> None:
        self._end_stream(error)
        answer, self._answer = self._answer, None
        self._deadlines.remove(self)
        if answer is not None and not answer.done():
            answer.set_exception(error)
        if not self._broken:
            self.close()

    def expire(self) -> None:
        """See `deadlines.Expires`."""
        text = f"no answer of {self._name} before the deadline"
        self._fail(DeadlineExceeded(text, edge=self._name))


async def _nothing() -> AsyncIterator[bytes]:
    """Yield nothing: the stream of a HEAD."""
    for piece in tuple[bytes]():
        yield piece
