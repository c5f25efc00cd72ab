"""One kept connection, and no more of HTTP/1.1 than a load needs: status, length, body.

It must cost less than any server under test. So requests are bytes that were made before, one is
under way at a time, and an answer is looked for with `bytes.find`.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import cast

from holdfast.communication import Origin

_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length: "
_CLOSES = b"\r\nconnection: close"
_CHUNKED = b"\r\ntransfer-encoding: chunked"
_EMPTY = frozenset([204, 304])

Dial = Callable[["Wire"], Awaitable[object]]


class Wire(asyncio.Protocol):
    """One connection with at most one request under way.

    A server may close it while nothing is. It is opened again for the next request.

    Args:
        dial: opens it.
        on_answer: gets this wire, the status and the body.
        on_lost: gets what ended the connection while a request was under way.
    """

    def __init__(
        self,
        dial: Dial,
        on_answer: Callable[["Wire", int, bytes], None],
        on_lost: Callable[["Wire", Exception], None],
    ) -> None:
        self._dial = dial
        self._on_answer = on_answer
        self._on_lost = on_lost
        self._opening: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._buffer: bytes = b""
        self._under_way: bytes = b""
        self._closing = False
        self._ending = False  # we ended it, and its transport has not said so yet

    @property
    def is_open(self) -> bool:
        """Whether it could send at once."""
        return self._transport is not None

    async def open(self) -> None:
        """Open the connection before there is something to send."""
        await self._dial(self)

    def send(self, request: bytes) -> None:
        """Send a request; the one before must have been answered."""
        self._under_way = request
        if self._transport is not None:
            self._transport.write(request)
        else:
            self._opening = asyncio.ensure_future(self._open_again())

    async def _open_again(self) -> None:
        try:
            await self._dial(self)
        except OSError as exc:
            self._under_way = b""
            if not self._closing:
                self._on_lost(self, exc)

    def close(self) -> None:
        """Close the connection at once; what is under way is not reported any more."""
        self._closing = True
        if self._opening is not None:
            self._opening.cancel()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, and send what waits for it."""
        self._transport = cast(asyncio.Transport, transport)
        if self._closing:
            self._transport.abort()
        elif self._under_way:
            self._transport.write(self._under_way)

    def connection_lost(self, exc: Exception | None) -> None:
        """Report an end that nobody wanted."""
        if self._ending:
            self._ending = False
            return
        self._transport, self._buffer = None, b""
        if self._under_way and not self._closing:
            self._under_way = b""
            self._on_lost(self, exc or ConnectionResetError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        """Hand the answer on when it is complete."""
        if self._buffer:
            data = self._buffer + data
        head = data.find(_END) + 4
        if head < 4:
            self._buffer = data
            return
        start = data.find(_LENGTH, 0, head)
        if start >= 0:  # as nearly all answers have it
            start += len(_LENGTH)
            end = head + int(data[start : data.find(b"\r", start, head)])
        else:
            try:
                end = _end(data, head)
            except ValueError as exc:
                self._fail(exc)
                return
        if len(data) < end:
            self._buffer = data
            return
        self._buffer = self._under_way = b""
        if data.find(_CLOSES, 0, head) >= 0 and self._transport is not None:
            self._ending, transport, self._transport = True, self._transport, None
            transport.abort()  # the next request opens another one
        self._on_answer(self, int(data[9:12]), data[head:end])

    def _fail(self, error: Exception) -> None:
        self._under_way = b""
        if self._transport is not None:
            self._transport.abort()
        self._on_lost(self, error)


def _end(data: bytes, head: int) -> int:
    """Return where an answer ends that does not say its length the usual way.

    Past the data as long as it has not come. Raises ValueError.
    """
    status, names = int(data[9:12]), data[:head].lower()
    if status in _EMPTY:
        return head
    start = names.find(_LENGTH)
    if start >= 0:  # written with capitals
        start += len(_LENGTH)
        return head + int(data[start : data.find(b"\r", start, head)])
    if _CHUNKED not in names:
        raise ValueError(f"an answer without Content-Length: {data[:200]!r}")
    at, not_yet = head, len(data) + 1
    while True:
        line = data.find(b"\r\n", at)
        if line < 0:
            return not_yet
        size = int(data[at:line].partition(b";")[0], 16)
        at = line + 2 + size + 2
        if not size:
            return at  # trailers are not looked for: nobody sends any
        if at > len(data):
            return not_yet


def dialer(origin: Origin, *, source: str = "") -> Dial:
    """Return what opens connections to an origin, from the local address `source`."""
    loop = asyncio.get_running_loop()
    context = ssl.create_default_context() if origin.tls else None
    local = (source, 0) if source else None

    async def dial(wire: Wire) -> None:
        if origin.path is not None:
            await loop.create_unix_connection(lambda: wire, origin.path)
            return
        name = origin.host if context is not None else None
        await loop.create_connection(
            lambda: wire,
            origin.host,
            origin.port,
            ssl=context,
            server_hostname=name,
            local_addr=local,
        )

    return dial
