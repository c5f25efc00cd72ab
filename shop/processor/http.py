"""HTTP/1.1 as far as the processor speaks it: requests one after the other on a connection."""

import asyncio
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import cast

import httptools

from shop.processor.ledger import Answer

BODY_BYTES_MAX = 1 << 16


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `key` is its Idempotency-Key, "" without one."""

    method: str
    path: str
    query: str = ""
    key: str = ""
    body: bytes = b""


Handle = Callable[[Request], Awaitable[Answer]]


class Server:
    """Serves requests until it is closed."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._connections: set[Connection] = set()
        self._listener: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; return where. Port 0 is any free one."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            lambda: Connection(self._handle, self._connections), host, port
        )
        return cast(tuple[str, int], self._listener.sockets[0].getsockname()[:2])

    async def close(self, timeout_s: float) -> None:
        """Take nothing more; what is not answered within `timeout_s` is dropped."""
        if self._listener is not None:
            self._listener.close()
        for connection in list(self._connections):
            connection.finish()
        tasks = [c.task for c in self._connections if c.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)
        for connection in list(self._connections):
            connection.drop()


class Connection(asyncio.Protocol):
    """One connection; its methods without a docstring are what httptools calls.

    Attributes:
        task: answers what has been read; None while there is nothing to answer.
    """

    def __init__(self, handle: Handle, connections: "set[Connection]") -> None:
        self.task: asyncio.Task[None] | None = None
        self._handle = handle
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._transport = cast(asyncio.Transport, None)  # until `connection_made`
        self._waiting: deque[Request] = deque()
        self._ends = False
        self.on_message_begin()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End; nobody is left to answer."""
        self._connections.discard(self)
        if self.task is not None:
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        """Read requests, and nothing more before they are answered."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._write(Answer.of(400, reason="bad_request"), last=True)
            return
        if self._waiting and self.task is None:
            self._transport.pause_reading()
            self.task = asyncio.create_task(self._answer())

    def finish(self) -> None:
        """Close once what was read is answered."""
        self._ends = True
        if self.task is None:
            self._transport.close()

    def drop(self) -> None:
        """Close now."""
        self._transport.abort()

    def on_message_begin(self) -> None:
        self._url, self._key, self._body = b"", b"", b""

    def on_url(self, part: bytes) -> None:
        self._url += part

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"idempotency-key":
            self._key = value

    def on_body(self, part: bytes) -> None:
        self._body += part
        if len(self._body) > BODY_BYTES_MAX:
            raise ValueError(f"a body of more than {BODY_BYTES_MAX} bytes")

    def on_message_complete(self) -> None:
        path, _, query = self._url.decode("latin-1").partition("?")
        method, key = self._parser.get_method().decode(), self._key.decode("latin-1")
        self._waiting.append(Request(method, path, query, key, self._body))
        self._ends = self._ends or not self._parser.should_keep_alive()

    async def _answer(self) -> None:
        while self._waiting:
            request = self._waiting.popleft()
            try:
                answer = await self._handle(request)
            except Exception as exc:  # the next request may fare better
                print(f"{request.method} {request.path}: {exc!r}", file=sys.stderr, flush=True)
                answer = Answer.of(500, reason="error")
            self._write(answer, last=self._ends and not self._waiting)
        self.task = None
        if not self._ends:
            self._transport.resume_reading()

    def _write(self, answer: Answer, *, last: bool) -> None:
        lines = (
            f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
            "content-type: application/json",
            f"content-length: {len(answer.body)}",
            *(("connection: close",) if last else ()),
        )
        self._transport.write("\r\n".join((*lines, "", "")).encode() + answer.body)
        if last:
            self._transport.close()
