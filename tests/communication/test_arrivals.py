"""Requests are dated by when their bytes came, which may be long before anybody read them."""

import asyncio
import socket
from dataclasses import dataclass, field
from typing import cast

import pytest

from holdfast.communication import HttpLimits
from holdfast.communication.arrivals import Arrivals
from holdfast.contract.http import GONE_S, Request, Response
from holdfast.engines.network import SystemNetwork
from holdfast.ports import Network, Unread
from tests.skipping_loop import pass_time

from .conftest import Serve

WIRE = cast(asyncio.BaseTransport, None)


class Busy(asyncio.Protocol):
    """Reads nothing, as a loop that has other work does."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).pause_reading()


@dataclass
class Host:
    """A clock that stands, and a kernel that was told what to say."""

    time_s: float = 100.0
    says: Unread = field(default_factory=Unread)
    asked: int = 0

    def now(self) -> float:
        return self.time_s

    def monotonic(self) -> float:
        return self.time_s

    def unread(self, transport: asyncio.BaseTransport) -> Unread:
        self.asked += 1
        return self.says

    def arrivals(self) -> Arrivals:
        return Arrivals(cast(Network, self), self)


@pytest.mark.parametrize(("round_s", "asked"), [(0.001, 0), (0.019, 0), (0.021, 2), (3.0, 2)])
async def test_the_kernel_is_asked_after_a_long_round(round_s: float, asked: int) -> None:
    """All that is read after it waited as long, unless it came meanwhile; the kernel knows."""
    host = Host(says=Unread(0.5, ended=True))
    arrivals = host.arrivals()
    arrivals.read(WIRE)
    await asyncio.sleep(0)
    host.asked, host.time_s = 0, host.time_s + round_s

    dates = [arrivals.read(WIRE), arrivals.read(WIRE)]

    late = (host.time_s - 0.5, True)
    assert host.asked == asked
    assert dates == [late if asked else (host.time_s, False)] * 2


async def test_a_round_begins_when_all_is_read() -> None:
    """What is read together came together, however long it takes to look at it."""
    host = Host()
    arrivals = host.arrivals()
    dates = list[tuple[float, bool]]()
    for _ in range(3):
        dates.append(arrivals.read(WIRE))
        host.time_s += 1 / 64
    await asyncio.sleep(0)
    host.time_s += 1 / 64
    dates.append(arrivals.read(WIRE))

    assert dates == [(100.0, False)] * 3 + [(100.0625, False)]
    assert host.asked == 0


async def test_the_first_bytes_of_a_connection_are_always_dated() -> None:
    """They may have waited to be accepted, through any number of short rounds."""
    host = Host(says=Unread(2.0))
    arrivals = host.arrivals()
    arrivals.read(WIRE)
    await asyncio.sleep(0)

    assert arrivals.read(WIRE, first=True) == (98.0, False)


async def test_what_was_never_served_makes_no_request_old(serve: Serve) -> None:
    """Half a head, or a body on its way: who comes a minute later has not waited for a minute."""
    came: list[float] = []

    async def handle(request: Request) -> Response:
        came.append(request.received_at)
        return Response(200)

    served, loop = (
        await serve(handle, HttpLimits(header_deadline_s=600)),
        asyncio.get_running_loop(),
    )
    slow = await served.open()
    slow.send(b"GET / HTTP/1.1\r\n")
    await served.until(lambda: served.server.stats().connections == 1)
    kept = await served.open()
    await pass_time(60)
    slow.send(b"Host: a\r\n")
    await pass_time(60)
    began = loop.time()
    kept.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await kept.answer()

    assert came[0] >= began - 1.0


@pytest.mark.parametrize("closes", [False, True])
async def test_the_kernel_tells_how_long_bytes_have_waited(closes: bool) -> None:
    """Since they came, whether or not the connection was accepted; and whether more will come."""
    network, loop = SystemNetwork(), asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        client.sendall(b"hello")
        if closes:
            client.close()
        accepted, _ = listener.accept()
        transport, _ = await loop.connect_accepted_socket(Busy, accepted)
        async with asyncio.timeout(60):
            while not network.unread(transport).age_s or network.unread(transport).ended != closes:
                await asyncio.sleep(0.005)
        first = network.unread(transport).age_s
        async with asyncio.timeout(60):
            while network.unread(transport).age_s <= first:
                await asyncio.sleep(0.005)
        transport.abort()
        client.close()


async def test_what_is_no_tcp_connection_has_not_waited() -> None:
    """Nothing is known of it."""
    network, loop = SystemNetwork(), asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    theirs.sendall(b"hello")
    transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, ours)

    assert network.unread(transport) == Unread(0.0, ended=False)
    transport.abort()
    theirs.close()


async def test_a_request_knows_when_it_came_and_that_its_client_has_gone(serve: Serve) -> None:
    """It is told while it runs, and while it waits for its turn."""
    seen: list[Request] = []
    gate = asyncio.Event()

    async def handle(request: Request) -> Response:
        seen.append(request)
        await gate.wait()
        return Response(200)

    served = await serve(handle)
    wire = await served.open()
    wire.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
    await served.until(lambda: len(seen) == 1)
    assert not seen[0].gone
    assert 0 < seen[0].received_at <= asyncio.get_running_loop().time()
    wire.writer.write_eof()
    await served.until(lambda: seen[0].gone)
    gate.set()

    assert [(await wire.answer()).status for _ in range(2)] == [200, 200]
    assert seen[1].gone


@pytest.mark.parametrize(
    ("gone", "deadline", "until"),
    [
        (False, None, None),
        (False, 9.0, 9.0),
        (True, None, 5.0 + GONE_S),
        (True, 9.0, 5.0 + GONE_S),
        (True, 5.1, 5.1),
    ],
)
def test_a_client_that_is_gone_wants_no_answer_for_long(
    gone: bool, deadline: float | None, until: float | None
) -> None:
    """Until its deadline, or for half a second if nobody is there to read the answer."""
    request = Request("GET", "/", received_at=5.0, gone=gone, deadline=deadline)

    assert request.wanted_until() == until
