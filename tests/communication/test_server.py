"""How the server answers: order, deadlines, limits, streams, and the end."""

import asyncio
import contextlib
import gc
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.communication import HttpLimits
from holdfast.contract.crossing import HOP_BY_HOP
from holdfast.contract.http import Peer, Request, Response
from tests.certificates import Authority
from tests.skipping_loop import pass_time

from .conftest import Serve, echo

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: a", *headers, "", ""]).encode()


class Gate:
    """A handler that waits until it is opened, path by path."""

    def __init__(self) -> None:
        self.entered: list[str] = []
        self.left: list[str] = []
        self.open = asyncio.Event()

    async def __call__(self, request: Request) -> Response:
        self.entered.append(request.path)
        await self.open.wait()
        self.left.append(request.path)
        return Response(200, [], request.path.encode())


async def test_an_answer_has_date_and_length(serve: Serve) -> None:
    """The server adds what the handler does not decide."""
    answer = await (await serve()).ask(GET)
    assert answer.headers == {
        "content-type": "text/plain",
        "date": "Tue, 14 Nov 2023 22:13:20 GMT",
        "content-length": str(len(answer.body)),
    }


async def test_a_connection_is_kept(serve: Serve) -> None:
    """The second request uses the same connection."""
    served = await serve()
    wire = await served.open()
    for path in ("/1", "/2"):
        wire.send(get(path))
        assert (await wire.answer()).body == f"GET {path}? ".encode()
    assert served.server.stats().connections == 1
    assert served.server.stats().requests == 2


@pytest.mark.parametrize("data", [get("/", "Connection: close"), b"GET / HTTP/1.0\r\n\r\n"])
async def test_a_client_that_wants_no_more_is_closed(data: bytes, serve: Serve) -> None:
    """`Connection: close` and HTTP/1.0 end the connection; what follows is not read."""
    wire = await (await serve()).open()
    wire.send(data + get("/hidden"))
    answer = await wire.answer()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert await wire.rest() == b""


async def test_pipelined_requests_are_answered_in_order(serve: Serve) -> None:
    """A slow first request holds back the answers to the later ones, and only one runs."""
    gate = Gate()
    served = await serve(gate)
    wire = await served.open()
    wire.send(get("/1") + get("/2") + get("/3"))
    await served.until(lambda: bool(gate.entered))
    assert served.server.stats().in_flight == 1
    gate.open.set()
    assert [(await wire.answer()).body for _ in range(3)] == [b"/1", b"/2", b"/3"]


async def test_a_refusal_waits_for_the_answers_before_it(serve: Serve) -> None:
    """A bad request behind a good one does not spoil the good one's answer."""
    gate = Gate()
    served = await serve(gate)
    wire = await served.open()
    wire.send(get("/1") + b"nonsense\r\n\r\n")
    await served.until(lambda: bool(gate.entered))
    gate.open.set()
    assert [(await wire.answer()).status for _ in range(2)] == [200, 400]
    assert await wire.rest() == b""


async def test_a_pipeline_is_read_ahead_only_so_far(serve: Serve) -> None:
    """A client that sends without end fills the kernel's buffers, not our memory."""
    gate = Gate()
    served = await serve(gate, HttpLimits(requests_ahead_max=4))
    wire = await served.open()
    wire.send(GET * 600_000)
    await served.until(lambda: bool(gate.entered))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await wire.writer.drain()

    gate.open.set()
    for _ in range(1_000):
        assert (await wire.answer()).status == 200


async def test_so_many_requests_are_read_ahead(serve: Serve) -> None:
    """The next one stays as bytes, and is answered like the others in the end."""
    gate = Gate()
    served = await serve(gate, HttpLimits(requests_ahead_max=4))
    wire, ahead = await served.open(), list[int]()
    await served.until(lambda: served.server.stats().connections == 1)
    [connection] = served.server._state.connections

    def came() -> int:
        return len(gate.entered) + len(connection._ahead) + len(connection._unread) // len(GET)

    for number in range(1, 8):
        wire.send(GET)  # each in a read of its own
        if number <= 6:
            await served.until(lambda number=number: came() == number)  # type: ignore[misc]
        else:
            await asyncio.sleep(0.01)
        ahead.append(len(connection._ahead))
    gate.open.set()
    statuses = [(await wire.answer()).status for _ in range(7)]

    assert ahead == [0, 1, 2, 3, 4, 4, 4]
    assert statuses == [200] * 7


async def test_head_has_the_length_without_the_body(serve: Serve) -> None:
    """HEAD says what GET would send, and the connection stays in step."""
    wire = await (await serve()).open()
    wire.send(b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n" + get("/y"))
    assert (await wire.answer(bodiless=True)).headers["content-length"] == str(len("HEAD /x? "))
    assert (await wire.answer()).body == b"GET /y? "


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_content_has_no_length(status: int, serve: Serve) -> None:
    """204 and 304 carry neither body nor Content-Length, whatever the handler gave."""

    async def handler(request: Request) -> Response:
        return Response(status, [], b"ignored")

    wire = await (await serve(handler)).open()
    wire.send(GET + GET)
    for _ in range(2):
        answer = await wire.answer()
        assert answer.status == status
        assert "content-length" not in answer.headers


async def test_a_client_is_told_to_continue(serve: Serve) -> None:
    """100 Continue is sent once, when the server waits for the body."""
    wire = await (await serve()).open()
    wire.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert await wire.head() == (100, {})
    wire.send(b"a")
    wire.send(b"b")
    assert (await wire.answer()).body == b"PUT /? ab"


async def test_continue_waits_for_the_answers_before_it(serve: Serve) -> None:
    """An interim answer never comes before the answer of an earlier request."""
    gate = Gate()
    served = await serve(gate)
    wire = await served.open()
    expecting = b"PUT /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    wire.send(get("/1") + expecting)
    await served.until(lambda: bool(gate.entered))
    gate.open.set()
    assert (await wire.answer()).body == b"/1"
    assert await wire.head() == (100, {})
    wire.send(b"ab")
    assert (await wire.answer()).body == b"/2"


async def test_the_handler_gets_the_request(serve: Serve) -> None:
    """Names are lower case, values have no blanks around, the identity is the connection's."""
    seen: list[Request] = []

    async def handler(request: Request) -> Response:
        seen.append(request)
        return Response(204)

    served = await serve(handler, identify=lambda transport: "peer")
    await served.ask(get("/a?b", "X-Y:  z \t", "x-y: w"))

    assert seen[0].header_all(b"x-y") == [b"z", b"w"]
    assert seen[0].peer == Peer("127.0.0.1", "http", "peer")
    assert (seen[0].client, seen[0].caller) == ("127.0.0.1", None)  # who connected is no caller


async def test_a_bug_in_a_handler_is_a_500_and_is_told(serve: Serve) -> None:
    """The client learns nothing of the exception; `on_error` gets it; the connection goes on."""
    told: list[tuple[str, BaseException]] = []

    async def handler(request: Request) -> Response:
        raise KeyError("secret")

    served = await serve(
        handler, on_error=lambda request, error: told.append((request.path, error))
    )
    wire = await served.open()
    for path in ("/1", "/2"):
        wire.send(get(path))
        answer = await wire.answer()
        assert answer.status == 500
        assert json.loads(answer.body)["code"] == "internal"
        assert b"secret" not in answer.body
    assert [path for path, _ in told] == ["/1", "/2"]
    assert isinstance(told[0][1], KeyError)
    assert served.server.stats().errors == 2


@pytest.mark.parametrize(
    "response",
    [
        Response(200, [(b"location", b"/\r\nset-cookie: a=b")]),
        Response(200, [(b"x\r\ny", b"z")]),
        Response(200, [(b"x", b"a\nb")]),
        Response(200, [(b"x", b"a\0b")]),
        Response(99),
        Response(101),
        Response(600),
    ],
)
async def test_a_response_that_would_break_the_head_is_a_bug(
    response: Response, serve: Serve
) -> None:
    """Line breaks in a header are never sent; neither is a status that is not final."""

    async def handler(request: Request) -> Response:
        return response

    told: list[BaseException] = []
    served = await serve(handler, on_error=lambda request, error: told.append(error))
    assert (await served.ask(GET)).status == 500
    assert isinstance(told[0], ValueError)


async def test_the_framing_of_a_response_is_the_servers(serve: Serve) -> None:
    """A handler's own Content-Length, Transfer-Encoding and Connection are not sent."""

    async def handler(request: Request) -> Response:
        names = (b"content-length", b"transfer-encoding", b"connection", b"date")
        return Response(200, [(name, b"7") for name in names], b"abc")

    answer = await (await serve(handler)).ask(GET)
    assert answer.body == b"abc"
    assert set(answer.headers) == {"date", "content-length"}
    assert answer.headers["content-length"] == "3"


class TestStreams:
    """Responses that come piece by piece."""

    @pytest.mark.parametrize(
        ("pieces", "whole"), [([b"ab", b"c"], True), ([b"ab"], False), ([b"ab", b"cd"], False)]
    )
    async def test_a_stream_keeps_its_length(
        self, pieces: list[bytes], whole: bool, serve: Serve
    ) -> None:
        """A file has a progress; one that does not keep its word is broken off."""

        async def stream() -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece

        async def handler(request: Request) -> Response:
            return Response(200, [(b"content-length", b"3")], b"", stream())

        told: list[BaseException] = []
        served = await serve(handler, on_error=lambda request, error: told.append(error))
        wire = await served.open()
        wire.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        _, headers = await wire.head()
        body = await wire.rest()

        assert (headers["content-length"], "transfer-encoding" in headers) == ("3", False)
        assert body == (b"abc" if whole else b"ab")
        assert [type(error) for error in told] == ([] if whole else [ValueError])

    async def test_a_stream_ends_with_its_client(self, serve: Serve) -> None:
        """One that may never end, at once; it need not send anything to notice."""
        ended = asyncio.Event()

        async def stream() -> AsyncIterator[bytes]:
            yield b"data: 1\n\n"
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        async def handler(request: Request) -> Response:
            return Response(200, [], b"", stream())

        wire = await (await serve(handler)).open()
        wire.send(GET)
        async with asyncio.timeout(60):
            await wire.reader.readuntil(b"data: 1\n\n")
            wire.writer.close()
            await ended.wait()

    @pytest.mark.parametrize("name", sorted(HOP_BY_HOP))
    async def test_hop_by_hop_headers_are_the_servers(self, name: bytes, serve: Serve) -> None:
        """What an app says of its connection is not said of this one."""

        async def handler(request: Request) -> Response:
            return Response(200, [(name, b"x-secret"), (b"server", b"own")], b"a")

        answer = await (await serve(handler)).ask(GET)
        assert answer.headers.get(name.decode()) != "x-secret"
        assert answer.headers["server"] == "own"

    async def test_a_stream_is_chunked(self, serve: Serve) -> None:
        """The first body and the pieces arrive in order; empty pieces do not end it."""

        async def pieces() -> AsyncIterator[bytes]:
            for piece in (b"b", b"", b"c" * 100_000):
                yield piece

        async def handler(request: Request) -> Response:
            return Response(200, [], b"a", pieces())

        wire = await (await serve(handler)).open()
        for _ in range(2):
            wire.send(GET)
            assert (await wire.answer()).body == b"ab" + b"c" * 100_000

    async def test_an_old_client_gets_it_unframed(self, serve: Serve) -> None:
        """HTTP/1.0 knows no chunks: the end of the connection ends the body."""

        async def pieces() -> AsyncIterator[bytes]:
            yield b"a"
            yield b"b"

        async def handler(request: Request) -> Response:
            return Response(200, [], b"", pieces())

        wire = await (await serve(handler)).open()
        wire.send(b"GET / HTTP/1.0\r\n\r\n")
        assert "transfer-encoding" not in (await wire.head())[1]
        assert await wire.rest() == b"ab"

    async def test_one_that_fails_is_broken_off(self, serve: Serve) -> None:
        """A truncated stream must not look complete."""

        async def pieces() -> AsyncIterator[bytes]:
            yield b"a"
            raise KeyError("lost")

        async def handler(request: Request) -> Response:
            return Response(200, [], b"", pieces())

        told: list[BaseException] = []
        served = await serve(handler, on_error=lambda request, error: told.append(error))
        wire = await served.open()
        wire.send(GET)
        await wire.head()
        assert not (await wire.rest()).endswith(b"0\r\n\r\n")
        assert isinstance(told[0], KeyError)

    async def test_one_is_closed_when_the_client_goes(self, serve: Serve) -> None:
        """The generator's `finally` runs, so that what it holds is freed."""
        closed = asyncio.Event()

        async def pieces() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"a" * 10_000
                    await asyncio.sleep(0)
            finally:
                closed.set()

        async def handler(request: Request) -> Response:
            return Response(200, [], b"", pieces())

        served = await serve(handler)
        wire = await served.open()
        wire.send(GET)
        await wire.head()
        wire.writer.transport.abort()
        async with asyncio.timeout(60):
            await closed.wait()
        await served.until(lambda: served.server.stats().connections == 0)


class TestDeadlines:
    """Every wait for a client has an end."""

    async def test_a_silent_connection_is_closed(self, serve: Serve) -> None:
        """A client that connects and says nothing gets no answer."""
        served = await serve(limits=HttpLimits(header_deadline_s=60))
        wire = await served.open()
        await served.until(lambda: served.server.stats().connections == 1)
        await pass_time(61)
        assert await wire.rest() == b""

    async def test_an_idle_connection_is_closed(self, serve: Serve) -> None:
        """A kept connection does not stay forever."""
        served = await serve(limits=HttpLimits(idle_s=0.05))
        wire = await served.open()
        wire.send(GET)
        assert (await wire.answer()).status == 200
        assert await wire.rest() == b""

    @pytest.mark.parametrize(
        "part",
        [
            b"GET",
            b"GET / HTTP/1.1\r\nHo",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n",
        ],
    )
    async def test_a_slow_request_is_refused(self, part: bytes, serve: Serve) -> None:
        """A head or a body that does not end in time gets 408, however it trickles."""
        served = await serve(limits=HttpLimits(header_deadline_s=60, body_stall_s=60))
        wire = await served.open()
        wire.send(part)
        await served.until(lambda: served.server.stats().connections == 1)
        await pass_time(61)
        answer = await wire.answer()
        assert (answer.status, json.loads(answer.body)["code"]) == (408, "too_slow")
        assert await wire.rest() == b""

    async def test_bytes_do_not_prolong_a_deadline(self, serve: Serve) -> None:
        """One byte now and then does not keep a head open."""
        served = await serve(limits=HttpLimits(header_deadline_s=600))
        wire = await served.open()
        wire.send(b"GET / HTTP/1.1\r\nX: ")
        await served.until(lambda: served.server.stats().connections == 1)
        for _ in range(11):
            wire.send(b"a")
            await pass_time(60)
        assert (await wire.answer()).status == 408

    async def test_a_running_request_is_not_hurried(self, serve: Serve) -> None:
        """The deadlines are for the client: a handler may take longer than all of them."""
        gate = Gate()
        served = await serve(gate, HttpLimits(header_deadline_s=60, body_stall_s=60, idle_s=60))
        wire = await served.open()
        wire.send(GET[:10])
        await asyncio.sleep(0.01)
        wire.send(GET[10:])
        await served.until(lambda: bool(gate.entered))
        await pass_time(600)
        gate.open.set()
        assert (await wire.answer()).status == 200

    async def test_a_reader_that_does_not_read_is_cut_off(self, serve: Serve) -> None:
        """Answers that nobody takes do not stay in memory."""

        async def handler(request: Request) -> Response:
            return Response(200, [], b"a" * 20_000_000)

        served = await serve(handler, HttpLimits(write_stall_s=0.1))
        wire = await served.open()
        transport: Any = wire.writer.transport  # it reads, too
        transport.pause_reading()
        wire.send(GET)
        await served.until(lambda: served.server.stats().requests == 1)
        await served.until(lambda: served.server.stats().connections == 0)


async def test_a_slow_reader_gets_all_its_answers(serve: Serve) -> None:
    """While an answer waits to be taken, no deadline of the next request cuts it off."""

    async def handler(request: Request) -> Response:
        return Response(200, [], b"a" * 20_000_000)

    served = await serve(handler, HttpLimits(header_deadline_s=60, idle_s=60, write_stall_s=600))
    wire = await served.open()
    transport: Any = wire.writer.transport  # it reads, too
    transport.pause_reading()
    wire.send(GET)
    await served.until(lambda: served.server.stats().requests == 1)
    wire.send(GET[:9])
    await asyncio.sleep(0.01)
    wire.send(GET[9:])
    await pass_time(120)
    transport.resume_reading()
    assert [len((await wire.answer()).body) for _ in range(2)] == [20_000_000] * 2


async def test_connections_over_the_maximum_are_refused(serve: Serve) -> None:
    """One connection too many gets a 503, and a place is free again when one closes."""
    served = await serve(limits=HttpLimits(connections_max=1))
    first = await served.open()
    await served.until(lambda: served.server.stats().connections == 1)
    second = await served.open()
    assert (await second.answer()).status == 503
    assert await second.rest() == b""

    first.writer.close()
    await served.until(lambda: served.server.stats().connections == 0)
    assert (await served.ask(GET)).status == 200


async def test_a_handler_outlives_its_client_and_keeps_its_place(serve: Serve) -> None:
    """A transaction under way is finished; until then it counts as a connection."""
    gate = Gate()
    served = await serve(gate, HttpLimits(connections_max=1))
    wire = await served.open()
    wire.send(get("/1") + get("/2"))
    await served.until(lambda: gate.entered == ["/1"])
    wire.reset()
    assert (await served.ask(GET)).status == 503

    gate.open.set()
    await served.until(lambda: served.server.stats().connections == 0)
    assert gate.left == ["/1"]
    assert gate.entered == ["/1"]


async def test_all_bodies_together_are_bounded(serve: Serve) -> None:
    """Many senders of large bodies are refused before they fill the memory; it is freed."""
    served = await serve(limits=HttpLimits(bodies_bytes_max=1000))
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n"
    first, second = await served.open(), await served.open()
    first.send(head + b"a" * 600)
    second.send(head + b"a" * 600)
    done, _ = await asyncio.wait(
        [asyncio.create_task(wire.answer()) for wire in (first, second)],
        return_when=asyncio.FIRST_COMPLETED,
        timeout=60,
    )
    assert done.pop().result().status == 503
    first.send(b"a" * 300)
    second.send(b"a" * 300)
    await served.until(lambda: served.server.stats().requests == 1)
    assert (await served.ask(head + b"a" * 900)).status == 200


@pytest.mark.parametrize(("size", "status"), [(400, 200), (401, 503)])
async def test_all_bodies_together_may_be_so_large(size: int, status: int, serve: Serve) -> None:
    """To the byte: what is not complete yet counts with what comes."""
    served = await serve(limits=HttpLimits(bodies_bytes_max=1000))
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
    first = await served.open()
    first.send(head % 900 + b"a" * 600)
    await served.until(lambda: served.server._state.bodies.bytes_held == 600)

    assert (await served.ask(head % size + b"a" * size)).status == status


@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n",
    ],
)
@pytest.mark.parametrize("resets", [False, True])
async def test_a_body_cut_short_reaches_no_handler(data: bytes, resets: bool, serve: Serve) -> None:
    """Half an order is no order; and what was held of it is let go."""
    served = await serve(limits=HttpLimits(bodies_bytes_max=4))
    wire = await served.open()
    wire.send(data)
    await wire.writer.drain()
    await served.until(lambda: served.server.stats().connections == 1)
    if resets:
        wire.reset()
    else:
        wire.writer.write_eof()
        assert await wire.rest() == b""
    await served.until(lambda: served.server.stats().connections == 0)

    assert served.server.stats().requests == 0
    whole = await served.ask(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd")
    assert whole.body == b"POST /? abcd"
    assert served.server.stats().requests == 1


async def test_who_closes_its_half_has_gone(serve: Serve) -> None:
    """Nothing tells it from a client that closed; before the handler begins it counts as well."""
    told: list[str] = []
    gate = asyncio.Event()

    async def handler(request: Request) -> Response:
        told.append("gone" if request.gone else "here")
        request.on_gone = lambda: told.append("went") or gate.set()  # type: ignore[func-returns-value]
        if not request.gone:
            await gate.wait()
        return Response(499)

    served = await serve(handler)
    for at_once in (True, False):
        wire = await served.open()
        wire.send(GET)
        if not at_once:
            await served.until(lambda: told[-1:] == ["here"])
        wire.writer.write_eof()
        assert (await wire.answer()).status == 499
        gate.clear()
    assert told[-2:] == ["here", "went"]


async def test_a_half_closed_client_gets_the_answer_that_comes_all_the_same(serve: Serve) -> None:
    """A handler that finishes what it began is heard by a client that still reads."""
    gate = Gate()
    served = await serve(gate)
    wire = await served.open()
    wire.send(GET)
    wire.writer.write_eof()
    await served.until(lambda: bool(gate.entered))
    gate.open.set()
    assert (await wire.answer()).status == 200
    assert await wire.rest() == b""


async def test_a_refused_sender_gets_to_see_the_refusal(serve: Serve) -> None:
    """A client that is in the middle of a large body reads 413, not a reset."""
    served = await serve()
    wire = await served.open()
    wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n" + b"a" * 9_000_000)
    assert (await wire.answer()).status == 413


class TestDrain:
    """The end of a server."""

    async def test_running_requests_finish(self, serve: Serve) -> None:
        """The answer carries Connection: close; what was pipelined behind it is not begun."""
        gate = Gate()
        served = await serve(gate)
        wire, idle = await served.open(), await served.open()
        wire.send(get("/1") + get("/2"))
        await served.until(lambda: bool(gate.entered))

        draining = asyncio.create_task(served.server.drain(5))
        assert await idle.rest() == b""
        with pytest.raises(ConnectionRefusedError):
            await served.open()
        gate.open.set()

        answer = await wire.answer()
        assert (answer.body, answer.headers["connection"]) == (b"/1", "close")
        assert await wire.rest() == b""
        assert await draining == 0
        assert gate.entered == ["/1"]

    async def test_what_takes_too_long_is_aborted(self, serve: Serve) -> None:
        """After the time-out the handler is cancelled and counted."""
        gate = Gate()
        served = await serve(gate)
        wire = await served.open()
        wire.send(GET)
        await served.until(lambda: bool(gate.entered))

        assert await served.server.drain(0.05) == 1
        assert gate.left == []
        assert served.server.stats().connections == 0

    async def test_an_unused_server_is_drained_at_once(self, serve: Serve) -> None:
        """Nothing to wait for."""
        served = await serve(echo)
        assert await served.server.drain(5) == 0


async def test_an_answer_over_tls_that_breaks_off_is_told_once(
    serve: Serve, tmp_path: Path
) -> None:
    """Its connection is aborted, and then closed as the last answer's is: that is no error more."""

    async def stream() -> AsyncIterator[bytes]:
        yield b"ab"

    async def handler(request: Request) -> Response:
        return Response(200, [(b"content-length", b"3")], b"", stream())

    told: list[BaseException] = []
    wrong: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context))
    served = await serve(handler, on_error=lambda request, error: told.append(error))
    authority = Authority(tmp_path)
    listener = await served.server.start("127.0.0.1", 0, tls=authority.server())
    trusting = ssl.create_default_context(cafile=str(authority.file))
    reader, writer = await asyncio.open_connection(
        *listener.address, ssl=trusting, server_hostname="localhost"
    )
    writer.write(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    with contextlib.suppress(ConnectionError):
        await reader.read()
    writer.transport.abort()
    await served.until(lambda: not served.server.stats().connections)
    gc.collect()

    assert [type(error) for error in told] == [ValueError]
    assert wrong == []
