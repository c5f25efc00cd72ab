"""Calls between processes of one system: the inner door that answers them, and who asks.

A query travels as `POST /-/ask/<sender>/<Query.v1>` with a header that no client can bring in. What
the gateway found out about a request that it forwards travels in such headers too; the services see
the request without them, as they do in one process. Who is asked checks what the graph allows, as
it does for a call in its own process. That the caller is who it says is the transport's to prove.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec
from pydantic import ValidationError

from holdfast.consistency.steps import failure_of
from holdfast.contract.carrier import carrier_of
from holdfast.contract.failure import Failure
from holdfast.contract.http import HeaderList, Request, Response
from holdfast.contract.messages import Query
from holdfast.dispatch.gone import WhileClientStays
from holdfast.dispatch.problem import problem_of, unfit
from holdfast.dispatch.queries import LocalAsks
from holdfast.dispatch.router import Router
from holdfast.errors import (
    BadAnswer,
    BadRequest,
    BulkheadFull,
    CallError,
    CircuitOpen,
    ConnectionLost,
    DeadlineExceeded,
    Forbidden,
    HoldfastError,
    NotFound,
    PoolFull,
    Unreachable,
)
from holdfast.observability import Context, Tracer, current
from holdfast.system import Caller

DEADLINE = b"holdfast-deadline-ms"
CALLER = b"holdfast-caller"
ORIGIN = b"holdfast-origin"
ASK = b"holdfast-ask"
HEADERS_MAX, HEADER_BYTES_MAX = 16, 16 * 1024
"""What the gateway adds to a request, at most: the scopes of a caller may be many."""

_OURS = frozenset([DEADLINE, CALLER, ORIGIN, ASK, b"x-correlation-id", b"traceparent"])
_ASK = "/-/ask/"
_JSON = (b"content-type", b"application/json")
_CALL_ERRORS: dict[str, type[CallError]] = {
    kind.code: kind
    for kind in (
        BadAnswer,
        BulkheadFull,
        CircuitOpen,
        ConnectionLost,
        DeadlineExceeded,
        Unreachable,
    )
}


class _Who(msgspec.Struct, frozen=True):
    subject: str
    scopes: list[str]
    client: str = ""


def entry_headers(request: Request, left_s: float) -> HeaderList:
    """Return what the gateway tells a service about a request that it forwards.

    A name with a line break cannot leave its header: JSON escapes it.
    """
    headers = [
        (DEADLINE, b"%d" % max(1, int(left_s * 1000))),
        _origin_header(request),
        (b"x-correlation-id", request.correlation_id.encode()),
        (b"traceparent", request.traceparent.encode()),
    ]
    if request.caller is not None:
        caller = request.caller
        who = _Who(caller.subject, sorted(caller.scopes), caller.client)
        headers.append((CALLER, msgspec.json.encode(who)))
    return headers


class _Where(msgspec.Struct, frozen=True):
    client: str
    scheme: str
    host: str


def _origin_header(request: Request) -> tuple[bytes, bytes]:
    """Return the header by which the gateway tells a service where a request came from."""
    host = (request.header(b"host") or b"").decode("latin-1")
    return ORIGIN, msgspec.json.encode(_Where(request.client, request.scheme, host))


def _set_origin(request: Request) -> None:
    """Give a request the client, scheme and host that the gateway saw."""
    said = request.header(ORIGIN)
    if said is None:
        return
    try:
        where = msgspec.json.decode(said, type=_Where)
    except msgspec.DecodeError as exc:
        raise BadRequest(f"{ORIGIN.decode()} names no origin: {exc}") from exc
    request.client, request.scheme = where.client, where.scheme
    others = [pair for pair in request.headers if pair[0] != b"host"]
    host = where.host.encode("latin-1", "replace")
    request.headers = [(b"host", host), *others] if host else others


def _caller_of(request: Request) -> Caller | None:
    who = request.header(CALLER)
    if who is None:
        return None
    try:
        found = msgspec.json.decode(who, type=_Who)
    except msgspec.DecodeError as exc:
        raise BadRequest(f"{CALLER.decode()} names nobody: {exc}") from exc
    if "\0" in found.subject:
        raise BadRequest(f"{CALLER.decode()} holds the character NUL, which databases do not store")
    return Caller(found.subject, frozenset(found.scopes), found.client)


class InnerDoor:
    """Serves what other processes of the system want of the services in this one."""

    def __init__(self, router: Router, asks: LocalAsks, tracer: Tracer) -> None:
        self._router = router
        self._asks = asks
        self._tracer = tracer

    async def __call__(self, request: Request) -> Response:
        """Serve one request; every error is an answer."""
        loop = asyncio.get_running_loop()
        left_ms = request.header(DEADLINE)
        if left_ms is not None and left_ms.isdigit():
            came = request.received_at or loop.time()
            request.deadline = came + int(left_ms[:9]) / 1000
        trace = (request.header(b"traceparent") or b"").decode("latin-1")
        given = (request.header(b"x-correlation-id") or b"").decode("latin-1")
        context: Context = self._tracer.enter(trace, correlation_id=given, service="")
        current.set(context)
        request.correlation_id, request.traceparent = context.correlation_id, context.traceparent
        try:
            if request.header(ASK) is not None and request.path.startswith(_ASK):
                return await self._ask(request, trace)
            request.caller = _caller_of(request)
            _set_origin(request)
            request.headers = [pair for pair in request.headers if pair[0] not in _OURS]
            target, path = self._router.find(request.method, request.path)
            request.route = target.template
            return await target.serve(request, path)
        except (HoldfastError, Failure) as exc:
            return problem_of(exc, request.correlation_id)

    async def _ask(self, request: Request, trace: str) -> Response:
        sender, _, wire = request.path.removeprefix(_ASK).partition("/")
        query_type = self._asks.type_of(wire)
        if query_type is None:
            raise NotFound(f"nobody in this process answers {wire}")
        try:  # a newer process may ask with fields that this one does not know
            query = carrier_of(query_type).decode(request.body)
        except ValidationError as exc:
            raise unfit(exc, "query") from exc
        deadline = request.deadline
        if deadline is None:
            raise Forbidden(f"{wire} was asked without {DEADLINE.decode()}")
        with WhileClientStays(request):  # in one process it would end with its asker, too
            reply = await self._asks.ask(query, sender=sender, deadline=deadline, trace=trace)
        return Response(200, [_JSON], carrier_of(query_type.reply_type).encode(reply))


class Discover(Protocol):
    """Sends a request to one of a service's processes."""

    def __call__(
        self, service: str, request: Request, timeout_s: float, /
    ) -> Awaitable[Response]: ...


class Asks:
    """Asks in this process if it can, and over the network otherwise."""

    def __init__(
        self, local: LocalAsks, owner_of: Callable[[type[Query[Any]]], str | None], call: Discover
    ) -> None:
        self._local = local
        self._owner_of = functools.cache(owner_of)
        self._call = call

    async def ask(self, query: Query[Any], *, sender: str, deadline: float, trace: str) -> Any:
        """See `outside.Asks.ask`."""
        wire = query.wire_name()
        if self._local.type_of(wire) is not None:
            return await self._local.ask(query, sender=sender, deadline=deadline, trace=trace)
        owner = self._owner_of(type(query))
        if owner is None:
            raise Unreachable(f"nobody answers {query.name}", edge=query.name)
        left_s = deadline - asyncio.get_running_loop().time()
        headers = [
            _JSON,
            (DEADLINE, str(max(1, int(left_s * 1000))).encode()),
            (ASK, b"1"),
            (b"x-correlation-id", current.get().correlation_id.encode()),
        ]
        if trace:
            headers.append((b"traceparent", trace.encode()))
        body = carrier_of(type(query)).encode(query)
        request = Request("POST", f"{_ASK}{sender}/{wire}", "", headers, body)
        response = await self._call(owner, request, left_s)
        if response.status != 200:
            raise _refused(query, response)
        try:
            return carrier_of(query.reply_type).decode(response.body)
        except ValidationError as exc:
            raise BadAnswer(f"{query.name}: the reply does not fit", edge=query.name) from exc


def _refused(query: Query[Any], response: Response) -> Exception:
    """Return what the other side raised, as far as its answer tells."""
    try:
        problem: dict[str, Any] = msgspec.json.decode(response.body)
    except msgspec.DecodeError:
        problem = {}
    code = str(problem.get("code"))
    if "failure" in problem:
        try:
            return failure_of(code, msgspec.json.encode(problem["failure"]), query)
        except BadAnswer as exc:
            return exc
    if code == PoolFull.code:
        again = (response.header(b"retry-after") or b"1").decode("latin-1")
        return PoolFull(
            str(problem.get("detail") or f"{query.name}: busy"), headers={"Retry-After": again}
        )
    kind = _CALL_ERRORS.get(code, BadAnswer)
    return kind(f"{query.name}: {problem.get('detail') or response.status}", edge=query.name)
