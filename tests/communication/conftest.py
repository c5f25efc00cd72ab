"""A server on the loopback device and a client that speaks in raw bytes."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from holdfast.communication import HttpLimits, HttpServer
from holdfast.contract.http import Handler, Request, Response
from holdfast.engines.network import SystemNetwork
from tests.skipping_loop import SkippingLoop

WAIT_S = 1e6  # of what takes no time; the test's own time-out is the bound


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Name the one loop that these tests use."""
    return {"skipping": SkippingLoop}


class LoopClock:
    """A wall clock that stands still, and the loop's own monotonic one."""

    def now(self) -> float:
        return 1_700_000_000.0

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


@dataclass
class Answer:
    """One answer as read from the wire."""

    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> tuple[int, dict[str, str]]:
        async with asyncio.timeout(WAIT_S):
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = [line.split(": ", 1) for line in lines[1:] if line]
        return int(lines[0].split()[1]), dict(pairs)

    async def answer(self, *, bodiless: bool = False) -> Answer:
        status, headers = await self.head()
        body = b""
        async with asyncio.timeout(WAIT_S):
            if bodiless or status in (204, 304):
                pass
            elif headers.get("transfer-encoding") == "chunked":
                while size := int(await self.reader.readline(), 16):
                    body += await self.reader.readexactly(size)
                    assert await self.reader.readexactly(2) == b"\r\n"
                assert await self.reader.readline() == b"\r\n"
            elif "content-length" in headers:
                body = await self.reader.readexactly(int(headers["content-length"]))
        return Answer(status, headers, body)

    def reset(self) -> None:
        """Close with a reset, so that the other side knows that nobody reads any more."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def rest(self) -> bytes:
        """Return what comes until the other side closes."""
        async with asyncio.timeout(WAIT_S):
            return await self.reader.read()


@dataclass
class Served:
    """A running server."""

    server: HttpServer
    host: str
    port: int
    wires: list[Wire]

    async def open(self) -> Wire:
        wire = Wire(*await asyncio.open_connection(self.host, self.port))
        self.wires.append(wire)
        return wire

    async def ask(self, data: bytes) -> Answer:
        wire = await self.open()
        wire.send(data)
        return await wire.answer()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the loop run until something is so."""
        async with asyncio.timeout(WAIT_S):
            while not condition():
                await asyncio.sleep(0.001)


async def echo(request: Request) -> Response:
    """Answer with what was understood."""
    text = f"{request.method} {request.path}?{request.query} ".encode() + request.body
    return Response(200, [(b"content-type", b"text/plain")], text)


Serve = Callable[..., Awaitable[Served]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start servers; they are ended with the test."""
    running: list[Served] = []

    async def start(
        handler: Handler = echo, limits: HttpLimits | None = None, **options: Any
    ) -> Served:
        server = HttpServer(
            handler,
            network=SystemNetwork(),
            clock=LoopClock(),
            limits=limits or HttpLimits(),
            **options,
        )
        listener = await server.start("127.0.0.1", 0)
        running.append(Served(server, *listener.address, []))
        return running[-1]

    yield start
    for served in running:
        for wire in served.wires:
            wire.writer.transport.abort()
        await served.server.drain(0.05)
