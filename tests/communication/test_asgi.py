"""Existing ASGI apps behind the server."""

import asyncio
from typing import Any

import pytest

from holdfast import Mounted
from holdfast.communication import AsgiLifespan, asgi_handler
from holdfast.communication.asgi import PIECES_MAX
from holdfast.contract.http import Request, Response
from holdfast.errors import ClientGone, Overloaded

from .conftest import Serve

UNKNOWN = Mounted(caller=None, correlation_id="", traceparent="")
GET = b"GET /app/a%20b?x=1 HTTP/1.1\r\nHost: a:81\r\nX-Y: z\r\n\r\n"
START = {"type": "http.response.start", "status": 201, "headers": [(b"X-App", b"yes")]}


async def test_an_app_gets_the_scope_and_the_body(serve: Serve) -> None:
    """The scope follows the ASGI specification; what the gateway found out is in its state."""
    seen: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope, message=await receive())
        await send(START)
        await send({"type": "http.response.body", "body": b"done"})

    served = await serve(asgi_handler(app, root_path="/app", state={"db": 1}))
    request = GET.replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\nhi")
    answer = await served.ask(request)

    assert (answer.status, answer.headers["x-app"], answer.body) == (201, "yes", b"done")
    assert seen["message"] == {"type": "http.request", "body": b"hi", "more_body": False}
    assert (seen["method"], seen["path"], seen["raw_path"]) == ("POST", "/app/a b", b"/app/a%20b")
    assert (seen["root_path"], seen["query_string"]) == ("/app", b"x=1")
    assert (seen["server"], seen["client"]) == (("a", 81), ("127.0.0.1", 0))
    assert (b"x-y", b"z") in seen["headers"]
    assert seen["state"].pop("holdfast") == Mounted.of(seen | {"state": {"holdfast": UNKNOWN}})
    assert seen["state"] == {"db": 1}


async def test_an_app_streams(serve: Serve) -> None:
    """Pieces leave as the app sends them, many more than may wait."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        for _ in range(100):
            await send({"type": "http.response.body", "body": b"ab", "more_body": True})
        await send({"type": "http.response.body", "body": b"c"})

    answer = await (await serve(asgi_handler(app))).ask(GET)
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.body == b"ab" * 100 + b"c"


async def test_an_app_learns_that_the_client_is_gone(serve: Serve) -> None:
    """`receive` says http.disconnect and `send` raises an OSError, as ASGI 2.4 asks."""
    learned: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(START)
        try:
            while True:
                await send({"type": "http.response.body", "body": b"a" * 1000, "more_body": True})
        except OSError:
            learned.append("send")
        learned.append((await receive())["type"])

    served = await serve(asgi_handler(app))
    wire = await served.open()
    wire.send(GET)
    await wire.head()
    wire.reset()
    await served.until(lambda: len(learned) == 2)
    assert learned == ["send", "http.disconnect"]


async def test_what_the_leaving_became_in_an_app_is_no_bug() -> None:
    """Frameworks make their own errors of it, or groups of them; a bug of the app is told."""

    async def wraps(send: Any) -> None:
        try:
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
        except OSError as exc:
            raise RuntimeError("disconnected") from exc

    async def groups(send: Any) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(wraps(send))

    async def fails(send: Any) -> None:
        raise KeyError("a bug")

    ends: list[Any] = []
    for speak in (wraps, groups, fails):
        begun = asyncio.Event()

        async def app(
            scope: Any, receive: Any, send: Any, speak: Any = speak, begun: asyncio.Event = begun
        ) -> None:
            await send(START)
            await receive()
            begun.set()
            await receive()
            await speak(send)

        request, running = Request("GET", "/"), set[asyncio.Task[None]]()
        handling = asyncio.create_task(asgi_handler(app, running=running)(request))
        await begun.wait()
        request.leave()
        ends += await asyncio.gather(*running, return_exceptions=True)
        with pytest.raises(ClientGone):
            await handling

    assert [type(end) for end in ends] == [type(None), type(None), KeyError]


async def test_a_stream_that_nobody_reads_is_stopped() -> None:
    """Closing the stream before its first piece stops the app too, as after a HEAD."""
    stopped = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        try:
            while True:
                await send({"type": "http.response.body", "body": b"a", "more_body": True})
        finally:
            stopped.set()

    response = await asgi_handler(app)(Request("HEAD", "/"))
    stream: Any = response.stream
    await stream.aclose()
    async with asyncio.timeout(60):
        await stopped.wait()


async def test_so_many_pieces_wait_for_the_client() -> None:
    """The next one waits in the app's `send`, until one was taken."""
    sent = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await send(START)
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        while True:
            await send({"type": "http.response.body", "body": b"%d" % sent, "more_body": True})
            sent += 1

    response = await asgi_handler(app)(Request("GET", "/"))
    stream: Any = response.stream
    seen = []
    for taken in range(3):
        for _ in range(20):  # it goes on for as long as there is room
            await asyncio.sleep(0)
        seen.append(sent)
        assert await anext(stream) == b"%d" % taken
    await stream.aclose()

    assert seen == [PIECES_MAX, PIECES_MAX + 1, PIECES_MAX + 2]


async def test_what_an_app_still_does_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer does not end what its app does: a task that never ends is not piled up."""
    monkeypatch.setattr("holdfast.communication.asgi.RUNNING_MAX", 2)
    gate = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send({"type": "http.response.body", "body": b""})
        await gate.wait()

    running: set[asyncio.Task[None]] = set()
    handle = asgi_handler(app, running=running)
    for _ in range(2):
        assert (await handle(Request("GET", "/"))).status == 201
    with pytest.raises(Overloaded, match="too much to do"):
        await handle(Request("GET", "/"))
    gate.set()
    await asyncio.gather(*running)

    assert (await handle(Request("GET", "/"))).status == 201


async def test_background_work_does_not_delay_the_answer(serve: Serve) -> None:
    """What an app does after its response goes on by itself."""
    gate, ended = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send({"type": "http.response.body", "body": b""})
        assert (await receive())["type"] == "http.request"
        assert (await receive())["type"] == "http.disconnect"
        await gate.wait()
        ended.set()

    assert (await (await serve(asgi_handler(app))).ask(GET)).status == 201
    gate.set()
    async with asyncio.timeout(60):
        await ended.wait()


async def fail_early(scope: Any, receive: Any, send: Any) -> None:
    raise KeyError("early")


async def say_nothing(scope: Any, receive: Any, send: Any) -> None:
    await receive()


async def speak_websocket(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})


async def look_at_what_was_cancelled(scope: Any, receive: Any, send: Any) -> None:
    other = asyncio.create_task(asyncio.sleep(60))
    other.cancel()
    await other


@pytest.mark.parametrize(
    "app", [fail_early, say_nothing, speak_websocket, look_at_what_was_cancelled]
)
async def test_an_app_that_does_not_answer_is_a_bug(app: Any, serve: Serve) -> None:
    """An error before the response is the handler's: a 500, told to on_error."""
    told: list[BaseException] = []
    served = await serve(asgi_handler(app), on_error=lambda request, error: told.append(error))
    assert (await served.ask(GET)).status == 500
    assert len(told) == 1


@pytest.mark.parametrize("error", [KeyError("late"), asyncio.CancelledError()])
async def test_an_app_that_fails_within_the_body_breaks_off(
    error: BaseException, serve: Serve
) -> None:
    """A truncated body does not look complete."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        raise error

    told: list[BaseException] = []
    served = await serve(asgi_handler(app), on_error=lambda request, error: told.append(error))
    wire = await served.open()
    wire.send(GET)
    await wire.head()
    assert not (await wire.rest()).endswith(b"0\r\n\r\n")
    assert isinstance(told[0], KeyError | RuntimeError)


class TestLifespan:
    """Start-up and shutdown of an app."""

    async def test_an_app_is_started_and_stopped(self) -> None:
        """Both events arrive, and what the app leaves in the state is there."""
        events: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            for kind in ("startup", "shutdown"):
                events.append((await receive())["type"])
                scope["state"]["db"] = 1
                await send({"type": f"lifespan.{kind}.complete"})

        lifespan = AsgiLifespan(app)
        await lifespan.start()
        assert events == ["lifespan.startup"]
        assert lifespan.state == {"db": 1}
        await lifespan.stop()
        assert events == ["lifespan.startup", "lifespan.shutdown"]

    async def test_an_app_that_cannot_start_says_so(self) -> None:
        """The app's own message is the error's."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": "no database"})

        lifespan = AsgiLifespan(app)
        with pytest.raises(RuntimeError, match="no database"):
            await lifespan.start()
        await lifespan.stop()

    @pytest.mark.parametrize("app", [fail_early, say_nothing, look_at_what_was_cancelled])
    async def test_an_app_without_lifespan_is_left_alone(self, app: Any) -> None:
        """Raising or returning at start-up means that there is nothing to start."""
        lifespan = AsgiLifespan(app)
        await lifespan.start()
        await lifespan.stop()

    async def test_a_failing_shutdown_is_told(self) -> None:
        """An exception in the shutdown is not swallowed."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            raise KeyError("flush")

        lifespan = AsgiLifespan(app)
        await lifespan.start()
        with pytest.raises(KeyError, match="flush"):
            await lifespan.stop()


async def test_fastapi_runs(serve: Serve) -> None:
    """A FastAPI app with a dependency, validation and a streamed response works unchanged."""
    from fastapi import FastAPI
    from fastapi.responses import StreamingResponse

    app = FastAPI()

    @app.get("/items/{item}")
    async def item(item: int) -> dict[str, int]:
        return {"item": item}

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(iter([b"a", b"b"]))

    served = await serve(asgi_handler(app))
    good = await served.ask(b"GET /items/3 HTTP/1.1\r\nHost: a\r\n\r\n")
    bad = await served.ask(b"GET /items/x HTTP/1.1\r\nHost: a\r\n\r\n")
    streamed = await served.ask(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (good.status, good.body) == (200, b'{"item":3}')
    assert bad.status == 422
    assert streamed.body == b"ab"


async def test_a_handler_that_is_not_asgi_is_unaffected(serve: Serve) -> None:
    """Both kinds are one type: a `Handler`."""

    async def handler(request: Request) -> Response:
        return Response(204)

    assert (await (await serve(handler)).ask(GET)).status == 204
