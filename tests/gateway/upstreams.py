"""What stands behind a gateway in tests of framing: servers of others, and one that keeps bytes.

Each answers with what it read of a request, so that it can be compared with what the gateway read.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any, cast

import uvicorn
from aiohttp import web
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

UPSTREAMS = ("uvicorn with httptools", "uvicorn with h11", "aiohttp", "recording")
ROOMY = 64 * 1024  # for a head at the gateway's limits, with what the gateway adds

Seen = dict[str, Any]


def seen(method: str, target: bytes, headers: list[tuple[bytes, bytes]], body: bytes) -> Seen:
    """Return what was read of a request, as JSON has it."""
    return {
        "method": method,
        "target": target.decode("latin-1"),
        "headers": [[n.decode("latin-1").lower(), v.decode("latin-1")] for n, v in headers],
        "body": [len(body), sha256(body).hexdigest()],
    }


class Upstream:
    """An upstream of some kind.

    Attributes:
        requests: what it read, in order. raw: all bytes that came, if it is the recording one.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.requests: list[Seen] = []
        self.raw = b""

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        """Be an ASGI app."""
        assert scope["type"] == "http", "its server asks for nothing else"
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message.get("more_body", False)
        query = scope["query_string"]
        target = scope["raw_path"] + (b"?" + query if query else b"")
        answer = self._take(seen(scope["method"], target, scope["headers"], body))
        length = (b"content-length", b"%d" % len(answer))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": answer})

    async def handler(self, request: web.BaseRequest) -> web.StreamResponse:
        """Be a handler of aiohttp's."""
        body = await request.read()
        target = request.raw_path.encode("latin-1", "surrogateescape")
        headers = [(n, v) for n, v in request.raw_headers]
        return web.Response(body=self._take(seen(request.method, target, headers, body)))

    def _take(self, request: Seen) -> bytes:
        self.requests.append(request)
        return json.dumps(request).encode()

    def factory(self) -> Callable[[], asyncio.Protocol]:
        """Return what makes the protocol of a connection."""
        if self.kind == "recording":
            return lambda: _Recorder(self)
        if self.kind == "aiohttp":
            server = web.Server(
                self.handler, max_field_size=ROOMY, max_line_size=ROOMY, access_log=None
            )
            return cast(Callable[[], asyncio.Protocol], server)
        protocol = H11Protocol if self.kind.endswith("h11") else HttpToolsProtocol
        config = uvicorn.Config(
            self.app,
            log_config=None,
            access_log=False,
            interface="asgi3",
            lifespan="off",
            proxy_headers=False,
            h11_max_incomplete_event_size=ROOMY,
        )
        config.load()
        state = ServerState()
        return lambda: cast(asyncio.Protocol, protocol(config, state, {}))

    def answer_recorded(self, data: bytes) -> bytes:
        """Take down one request that is complete, and return the bytes of the answer."""
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        method, target, version = lines[0].split(b" ")
        assert version == b"HTTP/1.1"
        headers = [cast(tuple[bytes, bytes], tuple(ln.split(b": ", 1))) for ln in lines[1:]]
        answer = self._take(seen(method.decode(), target, headers, body))
        return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer)


class _Recorder(asyncio.Protocol):
    """One connection: it knows `content-length` and nothing else, so that all else shows."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._upstream.raw += data
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = 0
            for line in self._buffer[:end].split(b"\r\n"):
                if line.startswith(b"content-length: "):
                    length = int(line[16:])
            size = end + 4 + length
            if len(self._buffer) < size:
                return
            request, self._buffer = self._buffer[:size], self._buffer[size:]
            self._transport.write(self._upstream.answer_recorded(request))


@asynccontextmanager
async def upstream(kind: str) -> AsyncIterator[tuple[Upstream, int]]:
    """Serve an upstream; yield it and its port."""
    made = Upstream(kind)
    server = await asyncio.get_running_loop().create_server(made.factory(), "127.0.0.1", 0)
    try:
        yield made, server.sockets[0].getsockname()[1]
    finally:
        server.close()
