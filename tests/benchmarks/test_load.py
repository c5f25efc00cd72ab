"""The load of the benchmarks: what ends a measurement, and what does not."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from benchmarks.load import connect

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
GET = b"GET / HTTP/1.1\r\n\r\n"


@asynccontextmanager
async def closing_server(answer: bytes) -> AsyncIterator[str]:
    """Answer one request on each connection and close it, as after a long idle time."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until something is so; the test's time-out is the bound."""
    while not condition():
        await asyncio.sleep(0.001)


async def test_an_idle_connection_may_be_closed() -> None:
    """It is opened again for the next request, and nothing was lost."""
    bodies, lost = list[bytes](), list[Exception]()
    async with closing_server(ANSWER) as url:
        wires = await connect(
            url, lambda w, s, body: bodies.append(body), lambda w, exc: lost.append(exc)
        )
        wire = wires[0]
        for number in range(1, 4):
            wire.send(GET)
            await until(lambda number=number: len(bodies) == number)  # type: ignore[misc]
            await until(lambda: not wire.is_open)
        for each in wires:
            each.close()

    assert (bodies, lost) == ([b"hi"] * 3, [])


async def test_a_request_without_an_answer_ends_the_measurement() -> None:
    """A connection that ends under it is a failure of the server."""
    lost: list[Exception] = []
    async with closing_server(b"") as url:
        wires = await connect(url, lambda w, s, body: None, lambda w, exc: lost.append(exc))
        wires[0].send(GET)
        await until(lambda: lost)
        for wire in wires:
            wire.close()

    assert isinstance(lost[0], ConnectionResetError)
