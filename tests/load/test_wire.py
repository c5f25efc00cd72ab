"""One connection: whatever shape an answer has, it is one answer."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from holdfast.communication import Origin
from holdfast.load.wire import Wire, dialer

GET = b"GET / HTTP/1.1\r\n\r\n"
CHUNKS = b"2\r\nhi\r\n3;x=y\r\nyou\r\n0\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS


@asynccontextmanager
async def answering(*pieces: bytes, closes: bool = False) -> AsyncIterator[Origin]:
    """Answer each request by these pieces, one by one."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.001)  # so that each is read by itself
                if closes:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Origin.of(*server.sockets[0].getsockname())


async def answers(origin: Origin, number: int = 2) -> list[object]:
    """Ask that often over one wire, each time as soon as the answer is there; return what came."""
    ended = asyncio.Event()
    said = list[object]()

    def answered(wire: Wire, status: int, body: bytes) -> None:
        said.append((status, body))
        if len(said) < number:
            wire.send(GET)
        else:
            ended.set()

    def lost(wire: Wire, error: Exception) -> None:
        said.append(error)
        ended.set()

    wire = Wire(dialer(origin), answered, lost)
    wire.send(GET)
    await ended.wait()
    wire.close()
    return said


@pytest.mark.parametrize(
    ("pieces", "answer"),
    [
        ([b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"], (200, b"hi")),
        ([b"HTTP/1.1 200 OK\r\nContent-", b"Length: 2\r\n\r", b"\nh", b"i"], (200, b"hi")),
        ([b"HTTP/1.1 204 No Content\r\nx: y\r\n\r\n"], (204, b"")),
        ([b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"], (503, b"")),
        ([CHUNKED], (200, CHUNKS)),
        ([CHUNKED[:60], CHUNKED[60:]], (200, CHUNKS)),
    ],
)
async def test_an_answer_is_read_to_its_end(
    pieces: Sequence[bytes], answer: tuple[int, bytes]
) -> None:
    """With a length, without a body, or in chunks, in one piece or in several; twice over."""
    async with answering(*pieces) as origin:
        assert await answers(origin) == [answer, answer]


async def test_a_connection_that_the_server_ends_is_opened_again() -> None:
    """`Connection: close` is believed before the end is seen, so that no request falls into it."""
    close = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    async with answering(close, closes=True) as origin:
        assert await answers(origin, 5) == [(200, b"")] * 5


async def test_an_answer_without_an_end_is_an_error() -> None:
    """Nobody could say when the next one begins."""
    async with answering(b"HTTP/1.1 200 OK\r\n\r\n") as origin:
        [error] = await answers(origin, 1)

    assert isinstance(error, ValueError)


async def test_a_server_that_is_away_is_an_error() -> None:
    """Of the request, not of the loop."""
    async with answering(b"") as origin:
        pass

    [error] = await answers(origin, 1)

    assert isinstance(error, ConnectionRefusedError)
