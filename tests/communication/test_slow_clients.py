"""Clients that are slow on purpose are gone within ten seconds; honest ones on a bad line are not.

Time is virtual: what takes minutes here takes none.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import cast

import pytest

from holdfast.communication import HttpLimits, HttpServer
from holdfast.communication.connection import WAITING_BYTES_MAX
from holdfast.communication.pace import Uptake
from holdfast.contract.http import Handler, Request, Response
from holdfast.engines.network import UNSENT_BYTES_MAX, SystemNetwork
from holdfast.ports import Network
from holdfast.simulation.network import NodeNetwork, SimNetwork
from holdfast.simulation.node import Node
from tests.virtual_loop import LoopClock, run_virtual

POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
LENGTH = POST + b"Content-Length: 100000\r\n\r\n"
CHUNKS = POST + b"Transfer-Encoding: chunked\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LARGE = 1 << 20
GONE_S = 10.0


@dataclass
class Client(asyncio.Protocol):
    """One connection; it reads all that comes unless it is told not to."""

    came: bytearray = field(default_factory=bytearray)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.came += data

    def eof_received(self) -> bool:
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()

    async def dribble(self, piece: bytes, every_s: float) -> None:
        """Send a piece again and again until the other side has closed."""
        while not self.ended.is_set():
            self.transport.write(piece)
            await asyncio.sleep(every_s)

    async def answer(self, size: int) -> None:
        """Wait for so many bytes, as long as it takes."""
        while len(self.came) < size:
            assert not self.ended.is_set(), bytes(self.came[:200])
            await asyncio.sleep(0.1)


@dataclass
class Served:
    """A server in virtual time, and whoever connects to it."""

    server: HttpServer
    connect: Callable[[], Awaitable[Client]]
    bodies: list[int] = field(default_factory=list[int])

    async def gone_after(self) -> float:
        """Return when the server has no connection any more, in seconds from now."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while self.server.stats().connections and loop.time() < begun + 2 * GONE_S:
            await asyncio.sleep(0.05)
        return loop.time() - begun


async def served(
    limits: HttpLimits, answering: float = 0.0, handler: Handler | None = None
) -> Served:
    """Serve: a GET gets a large answer, anything else what it sent, after a while."""
    network = SimNetwork.seeded("slow")
    front, outside = (NodeNetwork(network, Node(name, name)) for name in ("front", "outside"))

    async def handle(request: Request) -> Response:
        made.bodies.append(len(request.body))
        await asyncio.sleep(answering)
        return Response(200, [], b"a" * LARGE if request.method == "GET" else b"done")

    async def connect() -> Client:
        _, client = await outside.connect(Client, "front", 8000)
        return cast(Client, client)

    made = Served(
        HttpServer(handler or handle, network=front, clock=LoopClock(), limits=limits), connect
    )
    await made.server.start("front", 8000)
    return made


DRIBBLED: dict[str, tuple[bytes, bytes, float]] = {
    "nothing": (b"", b"", 1.0),
    "a head": (b"GET / HTTP/1.1\r\nX: ", b"a", 1.0),
    "headers without end": (b"GET / HTTP/1.1\r\n", b"X: y\r\n", 0.5),
    "blank lines": (b"", b"\r\n", 1.0),
    "the head of a second request": (GET[:-2] + b"\r\nPOST /", b"a", 1.0),
    "no body": (LENGTH, b"", 1.0),
    "a body": (LENGTH, b"a", 1.0),
    "a body after a good beginning": (LENGTH + b"a" * 50_000, b"a", 1.0),
    "chunks": (CHUNKS, b"1\r\na\r\n", 1.0),
    "chunks in long extensions": (CHUNKS, b"1;%b\r\na\r\n" % (b"x" * 3_000), 1.0),
    "an extension": (CHUNKS + b"1;", b"x" * 2_000, 1.0),
    "trailers": (CHUNKS + b"5\r\nhello\r\n0\r\n", b"X: y\r\n", 0.5),
}


@pytest.mark.parametrize("kind", DRIBBLED)
def test_who_sends_slowly_is_gone_within_ten_seconds(kind: str) -> None:
    """Whatever it dribbles, and however well it began; and it never reached the handler."""
    begins, goes_on, every_s = DRIBBLED[kind]

    async def main() -> None:
        slow = await served(HttpLimits())
        client = await slow.connect()
        client.transport.write(begins)
        dribbling = asyncio.create_task(client.dribble(goes_on, every_s))
        await asyncio.sleep(0.1)
        took_s = await slow.gone_after()
        dribbling.cancel()

        assert took_s <= GONE_S
        assert slow.bodies == ([0] if kind == "the head of a second request" else [])
        if begins and kind != "the head of a second request":
            assert client.came.startswith(b"HTTP/1.1 408 ")

    run_virtual(main())


WAITS: dict[str, tuple[bytes, float]] = {
    "for a head": (b"GET / HTTP/1.1\r\n", HttpLimits().header_deadline_s),
    "for the first byte": (b"", HttpLimits().header_deadline_s),
    "for a body": (LENGTH, HttpLimits().body_stall_s),
    "for the next request": (POST + b"Content-Length: 0\r\n\r\n", HttpLimits().idle_s),
    "for a refused client": (b"GET / HTTP/1.1\r\n\r\n", HttpLimits().linger_s),
}


@pytest.mark.parametrize("kind", WAITS)
def test_a_wait_is_as_long_as_it_is_said_to_be(kind: str) -> None:
    """The connection is there a moment before its end, and gone a moment after it."""
    sent, seconds = WAITS[kind]

    async def main() -> list[int]:
        slow = await served(HttpLimits())
        client = await slow.connect()
        client.transport.write(sent)
        await asyncio.sleep(seconds - 0.1)
        before = slow.server.stats().connections
        await asyncio.sleep(0.5)
        if client.came.startswith(b"HTTP/1.1 408 "):  # that a refused one can read it has its own
            await asyncio.sleep(HttpLimits().linger_s)
        return [before, slow.server.stats().connections]

    assert run_virtual(main()) == [1, 0]


def test_a_connection_is_as_old_as_it_is_said_to_be() -> None:
    """The answer to the request that comes then is its last, and the one before it was not."""

    async def main() -> list[bytes]:
        slow, answers = await served(HttpLimits(age_s=5.0)), list[bytes]()
        client = await slow.connect()
        for pause_s in (4.9, 0.2):
            await asyncio.sleep(pause_s)
            client.came.clear()
            client.transport.write(POST + b"Content-Length: 0\r\n\r\n")
            await client.answer(1)
            answers.append(bytes(client.came))
        return answers

    assert [b"connection: close" in answer for answer in run_virtual(main())] == [False, True]


def test_who_takes_nothing_is_gone_within_ten_seconds() -> None:
    """One answer, or many that it pipelined: what it does not take is not kept for it."""

    async def main() -> None:
        for asked in (GET, GET * 8, GET[:-2] + b"Connection: close\r\n\r\n"):
            slow = await served(HttpLimits())
            client = await slow.connect()
            client.transport.pause_reading()  # type: ignore[attr-defined]
            client.transport.write(asked)
            await asyncio.sleep(0.1)

            assert await slow.gone_after() <= GONE_S

    run_virtual(main())


def test_who_sends_at_half_the_rate_has_twice_the_time() -> None:
    """What it lacks adds up to the seven seconds that it may stand still."""

    async def main() -> None:
        slow = await served(HttpLimits())
        client = await slow.connect()
        client.transport.write(LENGTH)
        dribbling = asyncio.create_task(client.dribble(b"a" * 512, 1.0))
        await asyncio.sleep(0.1)

        assert 13.0 <= await slow.gone_after() <= 16.0
        dribbling.cancel()

    run_virtual(main())


def test_a_stream_is_not_read_on_for_who_takes_nothing() -> None:
    """Thousands of them are then not much; here what is on the way counts as well."""

    async def main() -> None:
        made: list[int] = []

        async def pieces() -> AsyncIterator[bytes]:
            while True:
                made.append(8_192)
                yield b"a" * 8_192

        async def handle(request: Request) -> Response:
            return Response(200, [], b"", pieces())

        slow = await served(HttpLimits(), handler=handle)
        client = await slow.connect()
        client.transport.pause_reading()  # type: ignore[attr-defined]
        client.transport.write(GET)
        await asyncio.sleep(1.0)

        assert WAITING_BYTES_MAX // 2 < sum(made) <= WAITING_BYTES_MAX + 8_192
        assert await slow.gone_after() <= GONE_S

    run_virtual(main())


def test_a_body_may_take_long_at_the_rate() -> None:
    """A megabyte on a line of 10 kbit/s, with the pauses of a bad line, takes minutes."""

    async def main() -> None:
        slow = await served(HttpLimits())
        client = await slow.connect()
        client.transport.write(POST + b"Content-Length: %d\r\n\r\n" % LARGE)
        for second in range(LARGE // 2_048):
            client.transport.write(b"a" * 2_048)
            await asyncio.sleep(6.5 if second % 60 == 59 else 1.5)
        await client.answer(1)

        assert client.came.startswith(b"HTTP/1.1 200 ")
        assert slow.bodies == [LARGE]

    run_virtual(main())


def test_a_client_that_waits_for_us_is_not_slow() -> None:
    """It was not told to go on with its body, because the answer before it takes its time."""

    async def main() -> None:
        slow = await served(HttpLimits(), answering=60.0)
        client = await slow.connect()
        client.transport.write(
            POST + b"Content-Length: 0\r\n\r\n" + POST + b"Content-Length: 2\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        while b"100 Continue" not in client.came:
            assert not client.ended.is_set(), client.came
            await asyncio.sleep(1.0)
        await asyncio.sleep(5.0)
        client.transport.write(b"ab")
        while client.came.count(b"done") < 2:
            assert not client.ended.is_set(), client.came
            await asyncio.sleep(1.0)

        assert slow.bodies == [0, 2]

    run_virtual(main())


def test_a_client_that_is_not_read_is_not_slow() -> None:
    """Its requests wait for those before them, and the rest of the last one cannot be read."""

    async def main() -> None:
        slow = await served(HttpLimits(requests_ahead_max=2), answering=20.0)
        client = await slow.connect()
        one = POST + b"Content-Length: 0\r\n\r\n"
        client.transport.write(one * 4 + one[:20])
        await asyncio.sleep(1.0)
        client.transport.write(one[20:])
        while client.came.count(b"done") < 5:
            assert not client.ended.is_set(), client.came
            await asyncio.sleep(1.0)

    run_virtual(main())


class Pipe(asyncio.Transport):
    """A transport and a kernel that hold so much; `drain` says how fast the other side takes it."""

    def __init__(self, held: int, kernel: int) -> None:
        super().__init__()
        self.held, self.kernel = held, kernel
        self.aborted_at: float | None = None

    def take(self, size: int) -> None:
        """Let the other side confirm so much; the kernel takes more once a third of it is free."""
        self.kernel = max(0, self.kernel - size)
        if self.kernel < 2_000_000:
            moved = min(self.held, 3_000_000 - self.kernel)
            self.held, self.kernel = self.held - moved, self.kernel + moved

    def get_write_buffer_size(self) -> int:
        return self.held

    def is_closing(self) -> bool:
        return False

    def cut(self, transport: asyncio.Transport) -> None:
        """Be the network."""
        self.aborted_at = asyncio.get_running_loop().time()

    def untaken(self, transport: asyncio.BaseTransport) -> int:
        """Be the network."""
        return self.kernel


@pytest.mark.parametrize(
    ("taken", "every_s", "within_s"),
    [
        (0, 1.0, 7.0),
        (1, 1.0, 7.1),
        (512, 1.0, 14.0),
        (1_100, 1.0, None),
        (9_000, 6.9, None),
        (20_000, 9.0, 7.0),
    ],
)
def test_an_answer_may_take_long_at_the_rate(
    taken: int, every_s: float, within_s: float | None
) -> None:
    """What counts is what was confirmed: for minutes the kernel asks for nothing more."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        begun, pipe = loop.time(), Pipe(held=2_000_000, kernel=3_000_000)
        watch = Uptake(pipe, HttpLimits(), cast(Network, pipe))
        watch.watch()
        while pipe.held and pipe.aborted_at is None:
            await asyncio.sleep(every_s)
            pipe.take(taken)

        if within_s is None:
            assert pipe.aborted_at is None
            assert loop.time() - begun > 600
        else:
            assert pipe.aborted_at is not None
            assert pipe.aborted_at - begun <= within_s

    run_virtual(main())


class Silent(asyncio.Protocol):
    """Reads nothing."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).pause_reading()
        self.transport = transport


def test_the_kernel_holds_little_for_a_client_that_does_not_read() -> None:
    """It would take megabytes of each answer, which no limit of ours counts."""

    async def main() -> None:
        network, written = SystemNetwork(), list[asyncio.WriteTransport]()

        class Writing(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                written.append(cast(asyncio.WriteTransport, transport))
                written[0].write(b"a" * 16_000_000)

        listener = await network.listen(Writing, "127.0.0.1", 0)
        client, _ = await network.connect(Silent, *listener.address)
        while not written:
            await asyncio.sleep(0)
        held = -1
        while held != (held := written[0].get_write_buffer_size()):  # it stands still
            await asyncio.sleep(0.05)
        unsent = network.untaken(written[0])
        client.abort()
        written[0].abort()
        listener.close()
        await asyncio.sleep(0)

        assert held > 8_000_000
        assert unsent < 4 * UNSENT_BYTES_MAX

    asyncio.run(main())


def test_who_is_cut_off_is_told_so() -> None:
    """Also by the kernel, which would go on to offer what it has."""

    async def main() -> None:
        network, accepted = SystemNetwork(), asyncio.get_running_loop().create_future()
        lost = asyncio.get_running_loop().create_future()

        class Waiting(Silent):
            def connection_lost(self, exc: Exception | None) -> None:
                lost.set_result(exc)

        class Writing(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                cast(asyncio.Transport, transport).write(b"a" * 16_000_000)
                accepted.set_result(transport)

        listener = await network.listen(Writing, "127.0.0.1", 0)
        client, _ = await network.connect(Waiting, *listener.address)
        transport = await accepted
        network.cut(transport)
        network.cut(transport)
        cast(asyncio.ReadTransport, client).resume_reading()
        listener.close()

        assert isinstance(await lost, ConnectionResetError)

    asyncio.run(main())


def test_the_kernel_tells_what_was_not_taken() -> None:
    """Also what it has accepted, of which a transport knows nothing; and none once it is read."""

    async def main() -> None:
        network, accepted = SystemNetwork(), list[Silent]()

        def accept() -> Silent:
            accepted.append(Silent())
            return accepted[-1]

        listener = await network.listen(accept, "127.0.0.1", 0)
        transport, _ = await network.connect(asyncio.Protocol, *listener.address)
        assert network.untaken(transport) == 0
        while not transport.get_write_buffer_size():
            transport.write(b"a" * 100_000)
            await asyncio.sleep(0)
        held = network.untaken(transport)
        cast(asyncio.ReadTransport, accepted[0].transport).resume_reading()
        while network.untaken(transport):
            await asyncio.sleep(0.001)
        transport.abort()
        listener.close()
        await asyncio.sleep(0)

        assert held > 10_000
        assert network.untaken(transport) == 0

    asyncio.run(main())
