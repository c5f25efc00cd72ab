"""Existing ASGI apps (FastAPI, Starlette, …) as a `Handler`.

HTTP and lifespan are served; WebSockets are not: an app sees their request as a plain GET.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, cast
from urllib.parse import unquote

from holdfast.contract.http import Handler, HeaderList, Request, Response
from holdfast.errors import ClientGone, DeadlineExceeded, Overloaded
from holdfast.pump import is_cancelled
from holdfast.system import Mounted

Message = MutableMapping[str, Any]
AsgiApp = Callable[
    [
        Message,
        Callable[[], Awaitable[Message]],
        Callable[[Message], Awaitable[None]],
    ],
    Awaitable[None],
]

RUNNING_MAX = 10_000  # requests that an app has not done with; answers may be out already
PIECES_MAX = 16  # pieces of a streamed body that wait for the client; then `send` waits
_VERSIONS = {"version": "3.0", "spec_version": "2.4"}
_NOT_THE_APPS = frozenset(  # what describes a hop, or is ours to say
    (
        *(b"content-length", b"transfer-encoding", b"expect"),
        *(b"x-correlation-id", b"traceparent", b"tracestate", b"baggage"),
    )
)


def asgi_handler(
    app: AsgiApp,
    *,
    root_path: str = "",
    state: Mapping[str, Any] | None = None,
    running: set[asyncio.Task[None]] | None = None,
) -> Handler:
    """Return a handler that runs `app` for each request.

    What the gateway found out is `scope["state"]["holdfast"]`, see `Mounted`. An app that has not
    begun to answer at the request's deadline is cancelled; a stream goes on for as long as its
    client reads. A client that goes is an `http.disconnect`. What an app does after its response
    (background tasks) does not delay the answer. A request beyond RUNNING_MAX is Overloaded.

    Args:
        root_path: where the app is mounted, such as "/legacy"; it stays part of the path.
        state: what the lifespan left for the requests, see `AsgiLifespan.state`.
        running: gets a task for each request whose app has not returned, for a drain to wait for.
    """
    tasks: set[asyncio.Task[None]] = set() if running is None else running

    async def handle(request: Request) -> Response:
        if len(tasks) >= RUNNING_MAX:  # what goes on after answers is in no other count
            raise Overloaded("the app has too much to do", headers={"Retry-After": "1"})
        scope = _scope(request, root_path)
        scope["state"] = dict(state or {})
        scope["state"]["holdfast"] = Mounted(
            caller=request.caller,
            correlation_id=request.correlation_id,
            traceparent=request.cause.trace,
        )
        exchange = _Exchange(request)
        task = asyncio.get_running_loop().create_task(exchange.run(app, scope))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        exchange.watch(task, request)
        try:
            return await exchange.response
        except asyncio.CancelledError:
            exchange.leave()
            task.cancel()
            raise

    return handle


def _its_own(error: BaseException) -> Exception:
    """Return what an app raised. Raises a cancellation that somebody wished."""
    if isinstance(error, Exception):
        return error
    if is_cancelled():
        raise error
    made = RuntimeError(f"the app raised {error!r}; it is nobody's wish to stop it")
    return made.with_traceback(error.__traceback__)


def _scope(request: Request, root_path: str) -> dict[str, Any]:
    host, _, port = (request.header(b"host") or b"").decode("latin-1").rpartition(":")
    return {
        "type": "http",
        "asgi": _VERSIONS,
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.scheme,
        "path": unquote(request.path),
        "raw_path": request.path.encode("ascii"),
        "query_string": request.query.encode("ascii"),
        "root_path": root_path,
        "headers": _headers(request),
        "client": (request.client, 0) if request.client else None,
        "server": (host, int(port)) if host and port.isdigit() else None,
        "extensions": {},
    }


def _headers(request: Request) -> HeaderList:
    """Return what a request says, the same whatever hops it took, with our trace context."""
    headers = [pair for pair in request.headers if pair[0] not in _NOT_THE_APPS]
    if request.body:
        headers.append((b"content-length", b"%d" % len(request.body)))
    cause = request.cause
    for name, value in (
        (b"x-correlation-id", cause.correlation),
        (b"traceparent", cause.trace),
        (b"tracestate", cause.tracestate),
        (b"baggage", cause.baggage),
    ):
        if value:
            headers.append((name, value.encode()))
    return headers


class _Exchange:
    """One request and response between a handler and an app, which runs in a task of its own.

    It is the response's stream too: an iterator with `aclose`, which tells the app to stop.
    """

    def __init__(self, request: Request) -> None:
        self.response: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._body: bytes | None = request.body
        self._status: int | None = None
        self._headers: HeaderList = []
        self._streaming = False
        self._left = False
        self._pieces: asyncio.Queue[bytes | Exception | None] = asyncio.Queue(PIECES_MAX)
        self._ended = asyncio.Event()  # the response is complete, or the client is gone

    def watch(self, task: asyncio.Task[None], request: Request) -> None:
        """End the wait at the deadline of the request, or when its client goes."""
        if request.gone:
            self.leave()
        request.on_gone = self.leave

        def answered(_: object) -> None:
            request.on_gone = None

        self.response.add_done_callback(answered)
        if request.deadline is not None:
            late = DeadlineExceeded(f"{request.path}: the app did not answer before the deadline")
            loop = asyncio.get_running_loop()
            timer = loop.call_at(request.deadline, self._expire, task, late)
            task.add_done_callback(lambda _: timer.cancel())

    def _expire(self, task: asyncio.Task[None], late: DeadlineExceeded) -> None:
        if not self.response.done():
            self._give_up(late)
        if self._left:  # also when its client left before, and it went on all the same
            task.cancel()

    def leave(self) -> None:
        """Tell the app that its client is gone; whether it stops is its own to decide."""
        self._give_up(ClientGone("the client went before the app answered"))

    def _give_up(self, error: Exception) -> None:
        self._left = True
        self._ended.set()
        if not self.response.done():
            self.response.set_exception(error)

    async def run(self, app: AsgiApp, scope: dict[str, Any]) -> None:
        """Run the app; an error before the answer is the handler's, one within breaks it off."""
        try:
            await app(scope, self._receive, self._send)
            if self._ended.is_set():
                return
            raise RuntimeError("the ASGI app returned before it completed a response")
        except (Exception, asyncio.CancelledError) as raised:  # for whoever waits for the answer
            error = _its_own(raised)
            if self._ended.is_set():
                if not _is_of_leaving(error):
                    raise
            elif self._streaming:
                await self._pieces.put(error)
            else:
                self.response.set_exception(error)

    def __aiter__(self) -> "_Exchange":
        return self

    async def __anext__(self) -> bytes:
        piece = await self._pieces.get()
        if isinstance(piece, bytes):
            return piece
        await self.aclose()
        raise StopAsyncIteration if piece is None else piece

    async def aclose(self) -> None:
        self._ended.set()
        while not self._pieces.empty():  # a `send` may wait for room
            self._pieces.get_nowait()

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._ended.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if self._ended.is_set():
            if self._streaming or self._left:
                raise _ClientGone
        elif kind == "http.response.start" and self._status is None:
            self._status = message["status"]
            self._headers = [(name.lower(), value) for name, value in message.get("headers", ())]
        elif kind == "http.response.body" and self._status is not None:
            await self._send_body(
                self._status, message.get("body", b""), more=message.get("more_body", False)
            )
        else:
            raise RuntimeError(f"an ASGI app may not send {kind} here")

    async def _send_body(self, status: int, body: bytes, *, more: bool) -> None:
        if self._streaming:
            if body:
                await self._pieces.put(bytes(body))
            if not more:
                await self._pieces.put(None)
            return
        self._streaming = more
        if not more:
            self._ended.set()
        stream = self if more else None
        self.response.set_result(Response(status, self._headers, bytes(body), stream))


class _ClientGone(OSError):
    """Raised to an app that goes on sending; ASGI 2.4 asks for an OSError."""


def _is_of_leaving(error: BaseException | None) -> bool:
    """Whether an app raised what `_ClientGone` became in it; Starlette makes it its own error."""
    while error is not None and not isinstance(error, _ClientGone):
        if isinstance(error, BaseExceptionGroup):
            group = cast("BaseExceptionGroup[BaseException]", error)
            return all(_is_of_leaving(one) for one in group.exceptions)
        error = error.__cause__ or error.__context__
    return error is not None


class AsgiLifespan:
    """Starts and stops an ASGI app.

    Attributes:
        state: what the app left for its requests; pass it to `asgi_handler`.
    """

    def __init__(self, app: AsgiApp) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._inbox: asyncio.Queue[Message] = asyncio.Queue(2)  # startup and shutdown, once each
        self._task: asyncio.Task[None] | None = None
        self._answer: asyncio.Future[None] | None = None
        self._stopping = False

    async def start(self) -> None:
        """Run the app's start-up; an app that knows no lifespan is left alone.

        Raises:
            RuntimeError: the app says that it cannot start.
        """
        self._task = asyncio.create_task(self._run())
        await self._tell("lifespan.startup")

    async def stop(self) -> None:
        """Run the app's shutdown, if it was started.

        Raises:
            RuntimeError: the app says that it failed.
        """
        if self._task is None:
            return
        try:
            if not self._task.done():
                self._stopping = True
                await self._tell("lifespan.shutdown")
            await self._task
        except asyncio.CancelledError:  # whoever waited for it has given up
            self._task.cancel()
            raise

    async def _tell(self, kind: str) -> None:
        self._answer = asyncio.get_running_loop().create_future()
        await self._inbox.put({"type": kind})
        await self._answer

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": _VERSIONS, "state": self.state}
        try:
            await self._app(scope, self._inbox.get, self._send)
        except (Exception, asyncio.CancelledError) as raised:  # the app's own
            error = _its_own(raised)
            # At start-up it means, says ASGI: there is no lifespan.
            self._settle(error if self._stopping else None)
        else:
            self._settle(None)

    async def _send(self, message: Message) -> None:
        kind = str(message["type"])
        failed = kind.endswith(".failed")
        self._settle(RuntimeError(message.get("message") or kind) if failed else None)

    def _settle(self, error: Exception | None) -> None:
        answer = self._answer
        if answer is not None and not answer.done():
            if error is None:
                answer.set_result(None)
            else:
                answer.set_exception(error)
