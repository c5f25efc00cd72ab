"""The closed loop: the next request when the last one is answered, and what ends it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from holdfast.communication import Origin
from holdfast.engines.machine import MachineClock
from holdfast.load.closed_loop import Asking, ClosedLoop
from holdfast.load.wire import dialer


@asynccontextmanager
async def server(*, silent_after: int, bad: int = -1) -> AsyncIterator[tuple[Origin, list[bytes]]]:
    """Answer requests until so many have come, one of them by 500; yield what is asked."""
    asked, serving = list[bytes](), set[asyncio.StreamWriter]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(writer)
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                asked.append(request)
                if len(asked) > silent_after:
                    await reader.read()
                    break
                status = b"500 Oops" if len(asked) == bad else b"200 OK"
                writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 2\r\n\r\nhi")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            serving.remove(writer)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield Origin.of(*listening.sockets[0].getsockname()), asked
        while serving:  # the client has closed its connections
            await asyncio.sleep(0.001)


async def ask(origin: Origin, *, seconds: float, connections: int) -> tuple[Asking, int]:
    """Ask over so many connections; return what was found, and the number of the next request."""
    loop = ClosedLoop(
        lambda number: f"GET /{number} HTTP/1.1\r\n\r\n".encode(),
        lambda number, status: status == 200,
        MachineClock(),
        seconds=seconds,
        patience_s=0.5,
        first=7,
    )
    return await loop.run([dialer(origin)] * connections), loop.next


async def test_a_silent_server_ends_it() -> None:
    """What is under way when patience ends was not answered; all before counts."""
    async with server(silent_after=8) as (origin, asked):
        found, next_ = await ask(origin, seconds=0.5, connections=4)

    assert (len(found.good_s), found.bad) == (8, 4)
    assert sum(found.halves) == 8
    assert found.first_bad == "no answer in 0.5 s"
    assert len(asked) == 12 and next_ == 7 + 12
    assert {request.split()[1] for request in asked} == {b"/%d" % n for n in range(7, next_)}


async def test_another_answer_is_bad_and_it_goes_on() -> None:
    """The first one is told; it ends with the answers to what it had asked in its time."""
    async with server(silent_after=1_000_000, bad=3) as (origin, asked):
        found, next_ = await ask(origin, seconds=0.5, connections=2)

    assert (found.bad, found.first_bad) == (1, "500 hi")
    assert len(found.good_s) == len(asked) - 1 == next_ - 8
    assert found.took_s >= 0.5
