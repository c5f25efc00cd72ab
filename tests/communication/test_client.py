"""The client pool against servers that behave, and against some that do not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from holdfast.communication import ClientPool, HttpLimits, Origin, PoolLimits
from holdfast.contract.http import Request, Response
from holdfast.engines.network import SystemNetwork
from holdfast.errors import (
    BadAnswer,
    BulkheadFull,
    CallError,
    ConnectionLost,
    DeadlineExceeded,
    Unreachable,
)
from tests.skipping_loop import pass_time

from .conftest import LoopClock, Serve, Served

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]


@pytest.fixture
async def pools() -> AsyncIterator[Callable[..., ClientPool]]:
    """Make pools; they are closed with the test."""
    made: list[ClientPool] = []

    def make(**limits: float) -> ClientPool:
        chosen = PoolLimits(**limits)  # type: ignore[arg-type]
        made.append(ClientPool(network=SystemNetwork(), clock=LoopClock(), limits=chosen))
        return made[-1]

    yield make
    for pool in made:
        await pool.close()


@pytest.fixture
async def raw() -> AsyncIterator[Callable[[Talk], Awaitable[Origin]]]:
    """Start servers that speak raw bytes; `talk` gets the number of the connection."""
    servers: list[asyncio.Server] = []
    tasks: set[asyncio.Task[None]] = set()

    async def start(talk: Talk) -> Origin:
        count = 0

        async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal count
            count += 1
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                await talk(reader, writer, count)
            except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                pass
            finally:
                tasks.discard(task)
                writer.close()

        servers.append(await asyncio.start_server(run, "127.0.0.1", 0))
        return Origin("127.0.0.1", servers[-1].sockets[0].getsockname()[1])

    yield start
    for server in servers:
        server.close()
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(set(tasks), timeout=60)


def of(served: Served) -> Origin:
    return Origin.parse(f"http://{served.host}:{served.port}")


async def test_a_request_arrives_as_it_was_meant(
    serve: Serve, pools: Callable[..., ClientPool]
) -> None:
    """Method, target, headers and body come through; hop-by-hop headers do not."""
    seen: list[Request] = []

    async def handler(request: Request) -> Response:
        seen.append(request)
        return Response(201, [(b"x-answer", b"yes")], b"made")

    origin = of(await serve(handler))
    headers = [(b"x-a", b"1"), (b"x-hop", b"2"), (b"connection", b"X-Hop"), (b"te", b"trailers")]
    response = await pools().request(
        origin, Request("POST", "/v1/a%20b", "q=1", headers, b"body"), deadline_s=5
    )

    assert (response.status, response.body) == (201, b"made")
    assert response.header(b"x-answer") == b"yes"
    got = seen[0]
    assert (got.method, got.path, got.query, got.body) == ("POST", "/v1/a%20b", "q=1", b"body")
    assert got.headers == [
        (b"host", origin.authority.encode()),
        (b"x-a", b"1"),
        (b"content-length", b"4"),
    ]


async def test_one_connection_serves_calls_in_turn(
    serve: Serve, pools: Callable[..., ClientPool]
) -> None:
    """A connection is kept and used again."""
    served, pool = await serve(), pools()
    for _ in range(5):
        await pool.request(of(served), Request("GET", "/"), deadline_s=60)
    assert pool.stats().opened == 1
    assert pool.stats().idle == 1


async def test_head_keeps_the_connection_in_step(
    serve: Serve, pools: Callable[..., ClientPool]
) -> None:
    """The length in an answer to HEAD announces no body."""
    served, pool = await serve(), pools()
    for _ in range(2):
        head = await pool.request(of(served), Request("HEAD", "/"), deadline_s=60)
        assert (head.body, head.header(b"content-length")) == (b"", b"8")
        assert (
            await pool.request(of(served), Request("GET", "/"), deadline_s=60)
        ).body == b"GET /? "
    assert pool.stats().opened == 1


async def test_a_streamed_answer_comes_whole(
    serve: Serve, pools: Callable[..., ClientPool]
) -> None:
    """Chunks are put together."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b"a" * 10_000

    async def handler(request: Request) -> Response:
        return Response(200, [], b"", pieces())

    response = await pools().request(of(await serve(handler)), Request("GET", "/"), deadline_s=60)
    assert response.body == b"a" * 500_000


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (OK, 200, b"ok"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n" + OK, 200, b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", 304, b""),
        (b"HTTP/1.1 500 \r\ncontent-length: 0\r\n\r\n", 500, b""),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200, b"until the end"),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx: y\r\n\r\n",
            200,
            b"a",
        ),
    ],
)
async def test_answers_of_other_servers(
    answer: bytes,
    status: int,
    body: bytes,
    raw: Callable[[Talk], Awaitable[Origin]],
    pools: Callable[..., ClientPool],
) -> None:
    """Every way in which HTTP/1.1 ends a body, and interim answers before it."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for start in range(0, len(answer), 9):
            writer.write(answer[start : start + 9])
            await asyncio.sleep(0)

    response = await pools().request(await raw(talk), Request("GET", "/"), deadline_s=60)
    assert (response.status, response.body) == (status, body)
    assert all(name != b"link" for name, _ in response.headers)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3e9\r\n" + b"a" * 1001,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 1001,
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 1000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 400_000,
    ],
)
async def test_an_answer_that_cannot_be_used(
    answer: bytes, raw: Callable[[Talk], Awaitable[Origin]], pools: Callable[..., ClientPool]
) -> None:
    """Ambiguous framing and answers over the limits are BadAnswer; the connection is not kept."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await reader.read()

    pool = pools(header_bytes_max=900, body_bytes_max=1000)
    with pytest.raises(BadAnswer, match="the answer of http://127"):
        await pool.request(await raw(talk), Request("GET", "/"), deadline_s=60)
    assert pool.stats().idle == 0


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: %d\r\n\r\n%b",
    ],
)
@pytest.mark.parametrize("over", [0, 1])
async def test_a_body_may_be_so_large(
    answer: bytes,
    over: int,
    raw: Callable[[Talk], Awaitable[Origin]],
    pools: Callable[..., ClientPool],
) -> None:
    """To the byte, however it is framed."""
    size = 1_000 + over

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer % (size, b"a" * size))
        writer.write_eof()
        await reader.read()

    asked = pools(body_bytes_max=1_000).request(await raw(talk), Request("GET", "/"), deadline_s=60)
    if over:
        with pytest.raises(BadAnswer, match="has a body of over 1000 bytes"):
            await asked
    else:
        assert len((await asked).body) == size


@pytest.mark.parametrize("over", [0, 1])
async def test_a_head_may_be_so_large(
    over: int, raw: Callable[[Talk], Awaitable[Origin]], pools: Callable[..., ClientPool]
) -> None:
    """To the byte: names and values, with what stands between them."""
    value = b"a" * (900 - len(b"content-length: 0\r\n") - len(b"x: \r\n") + over)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx: %b\r\n\r\n" % value)
        await reader.read()

    pool = pools(header_bytes_max=900)
    asked = pool.request(await raw(talk), Request("GET", "/"), deadline_s=60)
    if over:
        with pytest.raises(BadAnswer, match="has a head of over 900 bytes"):
            await asked
    else:
        assert (await asked).headers[-1] == (b"x", value)


async def test_an_answer_to_nothing_is_not_taken_for_the_next_one(
    raw: Callable[[Talk], Awaitable[Origin]], pools: Callable[..., ClientPool]
) -> None:
    """A second answer that nobody asked for must not reach the next call."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK + OK.replace(b"ok", b"no"))

    origin, pool = await raw(talk), pools()
    for _ in range(3):
        assert (await pool.request(origin, Request("GET", "/"), deadline_s=60)).body == b"ok"
    assert pool.stats().opened == 3


class TestBrokenConnections:
    """What a caller may conclude when a connection breaks."""

    @pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "POST", "PATCH"])
    async def test_a_kept_connection_that_was_closed(
        self,
        method: str,
        raw: Callable[[Talk], Awaitable[Origin]],
        pools: Callable[..., ClientPool],
    ) -> None:
        """Safe requests are sent once more; others are ConnectionLost, effect unknown."""

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, n: int) -> None:
            for _ in range(1 if n == 1 else 9):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(OK[:-2] if head.startswith(b"HEAD") else OK)
            await reader.readuntil(b"\r\n\r\n")  # closes when the second request is there

        origin, pool = await raw(talk), pools()
        await pool.request(origin, Request("GET", "/"), deadline_s=60)
        if method not in ("GET", "HEAD", "OPTIONS"):
            with pytest.raises(ConnectionLost, match="closed the connection") as caught:
                await pool.request(origin, Request(method, "/"), deadline_s=60)
            assert caught.value.effect == "unknown"
            assert pool.stats().retried == 0
        else:
            response = await pool.request(origin, Request(method, "/"), deadline_s=60)
            assert response.status == 200
            assert pool.stats().retried == 1

    async def test_a_new_connection_that_was_closed(
        self, raw: Callable[[Talk], Awaitable[Origin]], pools: Callable[..., ClientPool]
    ) -> None:
        """A server that dies of a request does not get it a second time."""
        asked = 0

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
            nonlocal asked
            await reader.readuntil(b"\r\n\r\n")
            asked += 1

        with pytest.raises(ConnectionLost, match="lost before the whole answer"):
            await pools().request(await raw(talk), Request("GET", "/"), deadline_s=60)
        assert asked == 1

    async def test_one_that_breaks_within_the_answer(
        self, raw: Callable[[Talk], Awaitable[Origin]], pools: Callable[..., ClientPool]
    ) -> None:
        """A truncated answer is never taken for a whole one."""

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK[:-1])

        with pytest.raises(ConnectionLost, match="lost before the whole answer"):
            await pools().request(await raw(talk), Request("GET", "/"), deadline_s=60)

    async def test_nobody_listens(self, pools: Callable[..., ClientPool]) -> None:
        """No connection: nothing was sent."""
        server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        origin = Origin("127.0.0.1", server.sockets[0].getsockname()[1])
        server.close()
        await server.wait_closed()
        pool = pools()
        with pytest.raises(Unreachable, match="cannot reach http://127") as caught:
            await pool.request(origin, Request("GET", "/"), deadline_s=60)
        assert (caught.value.effect, caught.value.edge) == ("none", str(origin))
        assert pool.stats().connections == 0


class TestBounds:
    """Maxima and deadlines."""

    async def test_no_answer_in_time(self, serve: Serve, pools: Callable[..., ClientPool]) -> None:
        """The call ends at its deadline and its connection is not used again."""
        never = asyncio.Event()

        async def handler(request: Request) -> Response:
            await never.wait()
            return Response()

        served, pool = await serve(handler), pools()
        with pytest.raises(DeadlineExceeded, match="no answer"):
            await pool.request(of(served), Request("GET", "/"), deadline_s=0.05)
        await served.until(lambda: pool.stats().connections == 0)
        never.set()

    async def test_no_time_is_left(self, serve: Serve, pools: Callable[..., ClientPool]) -> None:
        """A call whose deadline is past is not sent."""
        served = await serve()
        with pytest.raises(DeadlineExceeded, match="no time was left"):
            await pools().request(of(served), Request("GET", "/"), deadline_s=0)
        assert served.server.stats().connections == 0

    async def test_calls_over_the_maximum_wait_their_turn(
        self, serve: Serve, pools: Callable[..., ClientPool]
    ) -> None:
        """Twenty calls share two connections."""
        most = 0

        async def handler(request: Request) -> Response:
            nonlocal most
            most = max(most, served.server.stats().in_flight)
            await asyncio.sleep(0)
            return Response()

        served, pool = await serve(handler), pools(connections_max=2)
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(pool.request(of(served), Request("GET", "/"), deadline_s=60))
        assert pool.stats().opened == 2
        assert most == 2

    async def test_a_full_queue_refuses_and_a_wait_ends(
        self, serve: Serve, pools: Callable[..., ClientPool]
    ) -> None:
        """The waiting call is refused at its deadline, the next one at once; nothing was sent."""
        gate = asyncio.Event()

        async def handler(request: Request) -> Response:
            await gate.wait()
            return Response()

        served, pool = await serve(handler), pools(connections_max=1, waiters_max=1)
        first = asyncio.create_task(pool.request(of(served), Request("GET", "/"), deadline_s=600))
        await served.until(lambda: served.server.stats().in_flight == 1)
        second = asyncio.create_task(pool.request(of(served), Request("GET", "/"), deadline_s=60))
        await served.until(lambda: pool.stats().waiting == 1)
        with pytest.raises(BulkheadFull, match="too many calls wait"):
            await pool.request(of(served), Request("GET", "/"), deadline_s=60)
        await pass_time(61)
        with pytest.raises(BulkheadFull, match="became free"):
            await second
        gate.set()
        assert (await first).status == 200
        assert pool.stats().waiting == 0
        assert served.server.stats().requests == 1

    async def test_a_cancelled_call_frees_its_place(
        self, serve: Serve, pools: Callable[..., ClientPool]
    ) -> None:
        """Cancelling the running and the waiting call leaves the pool usable."""
        gate = asyncio.Event()

        async def handler(request: Request) -> Response:
            await gate.wait()
            return Response()

        served, pool = await serve(handler), pools(connections_max=1)
        calls = [
            asyncio.create_task(pool.request(of(served), Request("GET", "/"), deadline_s=60))
            for _ in range(3)
        ]
        await served.until(lambda: served.server.stats().in_flight == 1)
        calls[1].cancel()
        calls[0].cancel()
        gate.set()
        assert (await calls[2]).status == 200
        assert pool.stats().connections == 1

    async def test_old_connections_are_replaced(
        self, serve: Serve, pools: Callable[..., ClientPool]
    ) -> None:
        """A connection is not kept beyond its age."""
        served, pool = await serve(), pools(age_s=0.0)
        for _ in range(2):
            await pool.request(of(served), Request("GET", "/"), deadline_s=60)
        assert pool.stats().opened == 2

    async def test_idle_connections_are_closed(
        self, serve: Serve, pools: Callable[..., ClientPool]
    ) -> None:
        """What is not used is closed by the client, before the server does."""
        served, pool = await serve(), pools(idle_s=0.02)
        await pool.request(of(served), Request("GET", "/"), deadline_s=60)
        await served.until(lambda: pool.stats().connections == 0)
        await served.until(lambda: served.server.stats().connections == 0)

    async def test_a_connection_that_the_server_closed_is_not_tried(
        self, serve: Serve, pools: Callable[..., ClientPool]
    ) -> None:
        """When the close was seen before the call, even a POST just uses a new connection."""
        served, pool = await serve(limits=HttpLimits(idle_s=0.02)), pools()
        await pool.request(of(served), Request("POST", "/"), deadline_s=60)
        await served.until(lambda: pool.stats().connections == 0)
        assert (await pool.request(of(served), Request("POST", "/"), deadline_s=60)).status == 200

    async def test_a_closed_pool_calls_nobody(
        self, serve: Serve, pools: Callable[..., ClientPool]
    ) -> None:
        """After close() every call is Unreachable."""
        served, pool = await serve(), pools()
        await pool.request(of(served), Request("GET", "/"), deadline_s=60)
        await pool.close()
        with pytest.raises(Unreachable, match="closed"):
            await pool.request(of(served), Request("GET", "/"), deadline_s=60)
        await served.until(lambda: served.server.stats().connections == 0)

    async def test_origins_are_bounded(
        self, serve: Serve, pools: Callable[..., ClientPool]
    ) -> None:
        """A busy origin makes no room for another one; one without connections does."""
        one, two, pool = await serve(), await serve(), pools(origins_max=1)
        await pool.request(of(one), Request("GET", "/"), deadline_s=60)
        with pytest.raises(BulkheadFull, match="too many origins"):
            await pool.request(of(two), Request("GET", "/"), deadline_s=60)
        await one.server.drain(5)
        await one.until(lambda: pool.stats().connections == 0)
        assert (await pool.request(of(two), Request("GET", "/"), deadline_s=60)).status == 200


@pytest.mark.parametrize(
    "request_",
    [
        Request("GET", "/ HTTP/1.1\r\nx: y"),
        Request("GET", "/a b"),
        Request("GET", "a"),
        Request("GET", "/", "a#b"),
        Request("GET", "/\xe4"),
        Request("GET /", "/"),
        Request("get", "/"),
        Request("GET", "/", "", [(b"x", b"a\r\ny: b")]),
        Request("GET", "/", "", [(b"x", b"a\n")]),
        Request("GET", "/", "", [(b"host", b"a\r")]),
        Request("GET", "/", "", [(b"x\n", b"a")]),
        Request("GET", "/", "", [(b"x", b"\0")]),
    ],
)
async def test_a_request_that_would_break_in_two_is_not_sent(
    request_: Request, serve: Serve, pools: Callable[..., ClientPool]
) -> None:
    """Nothing of a request can end its line early."""
    served = await serve()
    with pytest.raises(ValueError, match="request"):
        await pools().request(of(served), request_, deadline_s=60)
    assert served.server.stats().requests == 0


def test_every_error_tells_its_effect() -> None:
    """What the pool raises is a CallError, so a caller decides by `effect` alone."""
    raised = {BadAnswer, BulkheadFull, ConnectionLost, DeadlineExceeded, Unreachable}
    assert all(issubclass(error, CallError) for error in raised)
    assert {error for error in raised if error.effect == "none"} == {BulkheadFull, Unreachable}


@pytest.mark.parametrize(
    ("url", "origin", "authority"),
    [
        ("http://a", Origin("a", 80), "a"),
        ("http://a:8080/", Origin("a", 8080), "a:8080"),
        ("https://A.example", Origin("a.example", 443, tls=True), "a.example"),
        ("https://a:80", Origin("a", 80, tls=True), "a:80"),
        ("http://[::1]:81", Origin("::1", 81), "[::1]:81"),
        ("unix:/run/a.sock", Origin("localhost", 0, path="/run/a.sock"), "localhost"),
    ],
)
def test_an_origin_is_read_from_its_url(url: str, origin: Origin, authority: str) -> None:
    """Scheme, host and port; the usual port is not in the Host header."""
    assert Origin.parse(url) == origin
    assert origin.authority == authority
    assert Origin.parse(str(origin)) == origin


@pytest.mark.parametrize(
    "url", ["", "a:80", "ftp://a", "http://", "http://a/b", "http://a?b", "http://u@a", "unix:a"]
)
def test_what_is_not_an_origin(url: str) -> None:
    """A path, a query or a user in a base URL is a mistake that must not be dropped silently."""
    with pytest.raises(ValueError, match="an origin is"):
        Origin.parse(url)


class TestStreams:
    """Answers that come piece by piece."""

    async def test_pieces_come_as_they_are_sent(
        self, serve: Serve, pools: Callable[..., ClientPool]
    ) -> None:
        """The head with the first of them; the connection is used again after the last."""
        gate = asyncio.Event()

        async def pieces() -> AsyncIterator[bytes]:
            yield b"one"
            await gate.wait()
            yield b"two"

        async def handler(request: Request) -> Response:
            return Response(200, [(b"x-a", b"1")], b"", pieces())

        served, pool = await serve(handler), pools()
        response = await pool.request(of(served), GET, deadline_s=60, streams=True)
        stream = stream_of(response)
        first = await anext(stream)
        meanwhile = pool.stats().idle
        gate.set()
        rest = [piece async for piece in stream]

        assert (response.header(b"x-a"), first, rest) == (b"1", b"one", [b"two"])
        assert (meanwhile, pool.stats().idle, pool.stats().opened) == (0, 1, 1)

    async def test_a_long_answer_passes_the_limit_in_pieces(
        self, serve: Serve, pools: Callable[..., ClientPool]
    ) -> None:
        """Under its own length; a short one is whole, and both are refused without a stream."""

        async def handler(request: Request) -> Response:
            return await long_answer((300 if request.path == "/long" else 200) * 1024)

        served = await serve(handler)
        pool = pools(body_bytes_max=100 * 1024)
        long = Request("GET", "/long")
        response = await pool.request(of(served), long, deadline_s=60, streams=True)
        size = sum([len(piece) async for piece in stream_of(response)])
        whole = pools(body_bytes_max=250 * 1024)

        assert (response.header(b"content-length"), size) == (b"307200", 300 * 1024)
        assert (await whole.request(of(served), GET, deadline_s=60, streams=True)).stream is None
        with pytest.raises(BadAnswer, match="a body of over"):
            await pool.request(of(served), long, deadline_s=60)

    async def test_who_stops_reading_closes_the_connection(
        self, serve: Serve, pools: Callable[..., ClientPool]
    ) -> None:
        """The other side learns it, and nothing is read for nobody."""
        ended = asyncio.Event()

        async def pieces() -> AsyncIterator[bytes]:
            try:
                yield b"one"
                await asyncio.Event().wait()
            finally:
                ended.set()

        async def handler(request: Request) -> Response:
            return Response(200, [], b"", pieces())

        served, pool = await serve(handler), pools()
        stream: Any = stream_of(await pool.request(of(served), GET, deadline_s=60, streams=True))
        await anext(stream)
        await stream.aclose()
        async with asyncio.timeout(60):
            await ended.wait()
        await served.until(lambda: pool.stats().connections == 0)

    async def test_a_stream_that_breaks_is_not_complete(
        self, raw: Callable[[Talk], Awaitable[Origin]], pools: Callable[..., ClientPool]
    ) -> None:
        """What came is handed on, and then the error."""

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n")

        pool = pools()
        response = await pool.request(await raw(talk), GET, deadline_s=60, streams=True)
        stream = stream_of(response)
        assert await anext(stream) == b"one"
        with pytest.raises(ConnectionLost, match="before the whole answer"):
            await anext(stream)

    async def test_who_reads_slowly_is_waited_for(
        self, serve: Serve, pools: Callable[..., ClientPool]
    ) -> None:
        """No more is taken than a few buffers hold; then the sender waits."""
        sent: list[int] = []

        async def pieces() -> AsyncIterator[bytes]:
            for number in range(1_000):
                sent.append(number)
                yield b"x" * 65536

        async def handler(request: Request) -> Response:
            return Response(200, [], b"", pieces())

        served, pool = await serve(handler), pools()
        stream = stream_of(await pool.request(of(served), GET, deadline_s=60, streams=True))
        first = await anext(stream)
        rounds, last = 0, -1
        while rounds < 20:  # it stands still for so long
            await asyncio.sleep(0.01)
            rounds, last = (rounds + 1 if last == len(sent) else 0), len(sent)
        waiting = len(sent)
        size = len(first) + sum([len(piece) async for piece in stream])

        assert waiting < 1_000
        assert size == 1_000 * 65536


GET = Request("GET", "/")


def stream_of(response: Response) -> AsyncIterator[bytes]:
    """Return the stream of a response that has one."""
    assert response.stream is not None
    return response.stream


async def long_answer(size: int) -> Response:
    """Return an answer in one piece."""
    return Response(200, [], b"x" * size)
