"""What a handler may do as in any task: time-outs, groups, variables of its own, being cancelled.

It holds in the first step, before anything was awaited, as it does later, and on either loop.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextvars import ContextVar
from typing import Any

import pytest
import uvloop

from holdfast.communication import HttpServer
from holdfast.contract.http import Handler, Request, Response
from holdfast.engines.network import SystemNetwork

from .conftest import LoopClock, Served, Wire

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]
WHOSE: ContextVar[str] = ContextVar("whose", default="nobody's")
FAR_S = 1e6

Scenario = Callable[[], Coroutine[Any, Any, None]]
Loop = Callable[[], asyncio.AbstractEventLoop]

pytestmark = pytest.mark.parametrize("loop", LOOPS)


def run(loop: Loop, scenario: Scenario) -> None:
    """Run a scenario on a loop of its own."""
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scenario())


@contextlib.asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[Served]:
    """Serve with a handler."""
    server = HttpServer(
        handler, network=SystemNetwork(), clock=LoopClock(), on_error=lambda request, error: None
    )
    listener = await server.start("127.0.0.1", 0)
    one = Served(server, *listener.address, [])
    try:
        yield one
    finally:
        for wire in one.wires:
            wire.writer.transport.abort()
        await server.drain(0.05)


def get(*paths: str) -> bytes:
    """Return requests, as they come when they are pipelined."""
    return b"".join(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode() for path in paths)


async def bodies(wire: Wire, count: int) -> list[str]:
    """Return the bodies of the next answers."""
    return [(await wire.answer()).body.decode() for _ in range(count)]


def told(text: object) -> Response:
    """Return an answer that says something."""
    return Response(200, [], str(text).encode())


@pytest.mark.parametrize("first", [0, 1])
def test_a_timeout_ends_what_waits(loop: Loop, first: int) -> None:
    """Begun in the first step and later; the next request of the connection knows nothing of it."""

    async def handler(request: Request) -> Response:
        for _ in range(first):
            await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        if request.path == "/late":
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    await asyncio.sleep(FAR_S)
        elif request.path == "/past":
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0):
                    await asyncio.sleep(FAR_S)
        else:
            async with asyncio.timeout(FAR_S):
                pass
        return told(f"{request.path} {task.cancelling()}")

    async def scenario() -> None:
        async with served(handler) as one:
            wire = await one.open()
            wire.send(get("/late", "/past", "/soon", "/past", "/late"))
            assert await bodies(wire, 5) == ["/late 0", "/past 0", "/soon 0", "/past 0", "/late 0"]

    run(loop, scenario)


def test_a_group_of_tasks_belongs_to_the_handler(loop: Loop) -> None:
    """Its members end with it, and one that fails ends the others."""
    ended: list[str] = []

    async def member(name: str) -> str:
        try:
            await asyncio.sleep(FAR_S if name == "long" else 0)
            if name == "bad":
                raise ValueError(name)
            return name
        finally:
            ended.append(name)

    async def handler(request: Request) -> Response:
        names = request.path.strip("/").split("-")
        tasks: list[asyncio.Task[str]] = []
        try:
            async with asyncio.TaskGroup() as group:
                tasks += [group.create_task(member(name)) for name in names]
        except ExceptionGroup:
            return told("one failed")
        return told(" ".join(task.result() for task in tasks))

    async def scenario() -> None:
        async with served(handler) as one:
            wire = await one.open()
            wire.send(get("/a-b", "/long-bad", "/c"))
            assert await bodies(wire, 3) == ["a b", "one failed", "c"]
            assert sorted(ended) == ["a", "b", "bad", "c", "long"]

    run(loop, scenario)


def test_the_current_task_is_one(loop: Loop) -> None:
    """Before the first wait and after it; another request has another one while this one waits."""
    seen: dict[str, list[object]] = {}
    gate = asyncio.Event()

    async def handler(request: Request) -> Response:
        tasks = seen.setdefault(request.path, [])
        tasks.append(asyncio.current_task())
        await (gate.wait() if request.path == "/waits" else asyncio.sleep(0))
        tasks.append(asyncio.current_task())
        return told(request.path)

    async def scenario() -> None:
        async with served(handler) as one:
            first, second = await one.open(), await one.open()
            first.send(get("/waits"))
            await one.until(lambda: "/waits" in seen)
            second.send(get("/passes"))
            assert await bodies(second, 1) == ["/passes"]
            gate.set()
            assert await bodies(first, 1) == ["/waits"]
        (waits, again), (passes, later) = seen["/waits"], seen["/passes"]
        assert waits is again is not None
        assert passes is later is not None
        assert waits is not passes

    run(loop, scenario)


def test_variables_are_those_of_one_request(loop: Loop) -> None:
    """None is seen by the next one of the connection, also of those that came at once."""

    async def handler(request: Request) -> Response:
        before = WHOSE.get()
        token = WHOSE.set(request.path)
        if "waits" in request.path:
            await asyncio.sleep(0)
        inside = WHOSE.get()
        if "back" in request.path:
            WHOSE.reset(token)
        return told(f"{before}, {inside}, {WHOSE.get()}")

    async def scenario() -> None:
        async with served(handler) as one:
            wire = await one.open()
            paths = ["/1", "/waits-2", "/3", "/waits-back", "/back", "/waits-4", "/5"]
            wire.send(get(*paths))
            for path in paths:
                (answer,) = await bodies(wire, 1)
                left = "nobody's" if "back" in path else path
                assert answer == f"nobody's, {path}, {left}"
            wire.send(get("/6"))
            assert await bodies(wire, 1) == ["nobody's, /6, /6"]

    run(loop, scenario)


def test_answers_come_in_the_order_of_the_requests(loop: Loop) -> None:
    """Some wait and some do not; no two of a connection are under way at once."""
    running: list[str] = []
    most: list[int] = []

    async def handler(request: Request) -> Response:
        running.append(request.path)
        most.append(len(running))
        for _ in range(int(request.path.strip("/")) % 4):
            await asyncio.sleep(0)
        running.remove(request.path)
        return told(request.path)

    async def scenario() -> None:
        async with served(handler) as one:
            wires = [await one.open() for _ in range(3)]
            for wire in wires:
                wire.send(get(*(f"/{n}" for n in range(40))))
            for n, wire in enumerate(wires):
                assert await bodies(wire, 40) == [f"/{m}" for m in range(40)], n

    async def alone() -> None:
        async with served(handler) as one:
            wire = await one.open()
            for n in range(0, 60, 3):  # what comes while others are answered
                wire.send(get(f"/{n}", f"/{n + 1}"))
                await asyncio.sleep(0)
                wire.send(get(f"/{n + 2}"))
            assert await bodies(wire, 60) == [f"/{n}" for n in range(60)]
            assert set(most) == {1}

    run(loop, scenario)
    most.clear()
    run(loop, alone)


@pytest.mark.parametrize("first", [0, 1])
def test_who_raises_that_he_was_cancelled_is_not_waited_for(loop: Loop, first: int) -> None:
    """The connection is broken off, and the server is left as it was."""

    async def handler(request: Request) -> Response:
        for _ in range(first):
            await asyncio.sleep(0)
        if request.path == "/stray":
            raise asyncio.CancelledError
        return told(request.path)

    async def scenario() -> None:
        async with served(handler) as one:
            wire = await one.open()
            wire.send(get("/1", "/stray", "/2"))
            assert b"/1" in await _all_of(wire)
            assert (await one.ask(get("/3"))).body == b"/3"
            await one.until(lambda: one.server.stats().connections == 1)
            assert one.server.stats().in_flight == 0

    run(loop, scenario)


@pytest.mark.parametrize("first", [0, 1])
def test_who_cancels_himself_is_cancelled_where_he_waits(loop: Loop, first: int) -> None:
    """And nobody who comes after him is."""
    cancelled: list[str] = []

    async def handler(request: Request) -> Response:
        for _ in range(first):
            await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        if request.path != "/other":
            task.cancel()
        if request.path == "/waits":
            try:
                await asyncio.sleep(FAR_S)
            finally:
                cancelled.append(request.path)
        return told(task.cancelling())

    async def scenario() -> None:
        async with served(handler) as one:
            for path in ("/waits", "/ends", "/waits"):
                wire = await one.open()
                wire.send(get(path))
                await _all_of(wire, at_most_s=0.2)
                assert (await one.ask(get("/other"))).body == b"0"
            assert cancelled == ["/waits", "/waits"]
            assert one.server.stats().in_flight == 0

    run(loop, scenario)


def test_a_drain_cancels_what_waits_for_too_long(loop: Loop) -> None:
    """The handler sees it, nothing is under way afterwards, and no task is left behind."""
    seen: list[str] = []

    async def handler(request: Request) -> Response:
        try:
            await asyncio.sleep(FAR_S)
        except asyncio.CancelledError:
            seen.append(request.path)
            raise
        return told("never")

    async def scenario() -> None:
        async with served(handler) as one:
            before = len(asyncio.all_tasks())
            wires = [await one.open() for _ in range(2)]
            for n, wire in enumerate(wires):
                wire.send(get(f"/{n}"))
            await one.until(lambda: one.server.stats().in_flight == 2)
            await one.server.drain(0.01)
            assert sorted(seen) == ["/0", "/1"]
            assert one.server.stats().in_flight == 0
            await one.until(lambda: len(asyncio.all_tasks()) == before)

    run(loop, scenario)


@pytest.mark.parametrize("pieces", [0, 1])
def test_a_stream_is_closed_when_its_client_goes(loop: Loop, pieces: int) -> None:
    """Before its first piece and after it."""
    closed: list[str] = []
    begun = asyncio.Event()

    async def stream() -> AsyncIterator[bytes]:
        try:
            for _ in range(pieces):
                yield b"a piece"
            begun.set()
            await asyncio.sleep(FAR_S)
            yield b"never"
        finally:
            closed.append("closed")

    async def handler(request: Request) -> Response:
        return Response(200, [], b"", stream())

    async def scenario() -> None:
        async with served(handler) as one:
            wire = await one.open()
            wire.send(get("/"))
            await begun.wait()
            wire.reset()
            await one.until(lambda: bool(closed))
            await one.until(lambda: one.server.stats().in_flight == 0)

    run(loop, scenario)


async def _all_of(wire: Wire, at_most_s: float = FAR_S) -> bytes:
    """Return what comes until the other side closes, or has closed without a word."""
    with contextlib.suppress(ConnectionResetError, TimeoutError):
        async with asyncio.timeout(at_most_s):
            return await wire.reader.read()
    return b""
