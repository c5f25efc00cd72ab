"""The gate of a server: asked before anything is made for a request, and told of its end."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from holdfast.communication import HttpServer
from holdfast.contract.http import Request, Response
from holdfast.engines.machine import MachineClock
from holdfast.engines.network import SystemNetwork

FULL = Response(503, [(b"retry-after", b"1")], b"full")


@dataclass
class Gate:
    """Refuses paths below /full; notes what it is told."""

    told: list[str] = field(default_factory=list[str])

    def is_full(self, request: Request) -> bool:
        return request.path.startswith("/full")

    def enter(self, request: Request) -> Response | None:
        self.told.append(f"enter {request.path}")
        request.places = self
        return FULL if self.is_full(request) else None

    def begin(self, request: Request) -> Response | None:
        self.told.append(f"begin {request.path}")
        return FULL if request.path == "/late" else None

    def leave(self, request: Request) -> None:
        self.told.append(f"leave {request.path}")


async def pieces(request: Request) -> AsyncIterator[bytes]:
    """Stream what the gate was told by then."""
    gate: Gate = request.places  # type: ignore[assignment]  # put there by the gate
    yield gate.told[-1].encode()


async def echo(request: Request) -> Response:
    """Answer with the path; /bug fails."""
    if request.path == "/bug":
        raise RuntimeError("a bug")
    if request.path == "/stream":
        return Response(200, [], stream=pieces(request))
    return Response(200, [], request.path.encode())


@pytest.fixture(name="gate")
def _gate() -> Gate:
    return Gate()


async def talk(gate: Gate, *pieces: bytes) -> bytes:
    """Send pieces, and return all that comes back until the server closes."""
    server = HttpServer(
        echo,
        gate=gate,
        network=SystemNetwork(),
        clock=MachineClock(),
        on_error=lambda request, error: None,
    )
    listener = await server.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listener.address)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await asyncio.wait_for(reader.read(), 60)
    finally:
        writer.close()
        await server.drain(1.0)


def head(path: str, more: str = "", method: str = "GET") -> bytes:
    """Return the head of a request."""
    return f"{method} {path} HTTP/1.1\r\nhost: a\r\n{more}\r\n".encode()


LAST = "connection: close\r\n"


async def test_what_is_refused_costs_no_handler_and_keeps_the_connection(
    gate: Gate,
) -> None:
    """Answers go in order, whether they were let in or not."""
    said = await talk(gate, head("/full/1") + head("/a") + head("/full/2") + head("/b", LAST))

    bodies = [piece.rpartition(b"\r\n\r\n")[2] for piece in said.split(b"HTTP/1.1 ")[1:]]
    assert bodies == [b"full", b"/a", b"full", b"/b"]
    assert gate.told == [
        *("enter /full/1", "enter /a", "begin /a", "leave /a"),
        *("enter /full/2", "enter /b", "begin /b", "leave /b"),
    ]


async def test_the_last_refusal_closes(gate: Gate) -> None:
    """As the last answer does."""
    said = await talk(gate, head("/full", LAST))

    assert said.startswith(b"HTTP/1.1 503 ")
    assert b"connection: close" in said


async def test_many_refusals_in_a_row_are_read_on(gate: Gate) -> None:
    """More than may wait, in one piece: nothing is left unread."""
    said = await talk(gate, head("/full") * 400 + head("/a", LAST))

    assert said.count(b"HTTP/1.1 503 ") == 400
    assert said.endswith(b"/a")


async def test_a_body_is_not_waited_for(gate: Gate) -> None:
    """A refusal comes before it, and ends the connection: what follows is the body."""
    said = await talk(gate, head("/full", "content-length: 9\r\n", "POST") + b"some")

    assert said.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1" in said
    assert b"connection: close" in said
    assert gate.told == []


async def test_a_bug_gives_its_place_back(gate: Gate) -> None:
    """However a request ends."""
    said = await talk(gate, head("/bug", LAST))

    assert said.startswith(b"HTTP/1.1 500 ")
    assert gate.told == ["enter /bug", "begin /bug", "leave /bug"]


async def test_a_stream_gives_its_place_back_when_it_begins(gate: Gate) -> None:
    """It may last for hours, and holds nobody up."""
    said = await talk(gate, head("/stream", LAST))

    assert b"leave /stream" in said
    assert gate.told == ["enter /stream", "begin /stream", "leave /stream"]


async def test_whoever_is_refused_at_its_turn_costs_no_handler(gate: Gate) -> None:
    """It had a place until then, and gives it back; the connection stays."""
    said = await talk(gate, head("/late") + head("/a", LAST))

    assert said.startswith(b"HTTP/1.1 503 ")
    assert said.endswith(b"/a")
    assert gate.told == [
        *("enter /late", "begin /late", "leave /late"),
        *("enter /a", "begin /a", "leave /a"),
    ]
