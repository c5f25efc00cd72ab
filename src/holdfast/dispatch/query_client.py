"""Who asks another process of the system: a query as a request, and what its answer means."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import msgspec
from pydantic import ValidationError

from holdfast.consistency.steps import failure_of
from holdfast.contract.carrier import carrier_of
from holdfast.contract.cause import Cause
from holdfast.contract.http import Request, Response
from holdfast.contract.messages import AnyQuery, Query
from holdfast.dispatch.inner_headers import ASK, ASKING, DEADLINE, cause_headers, subject_headers
from holdfast.dispatch.queries import QueriesHere
from holdfast.errors import (
    BadAnswer,
    BulkheadFull,
    CallError,
    CircuitOpen,
    ConnectionLost,
    DeadlineExceeded,
    Overloaded,
    PoolFull,
    Unreachable,
)

R = TypeVar("R")
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


class Discover(Protocol):
    """Sends a request to one of a service's processes."""

    def __call__(
        self, service: str, request: Request, timeout_s: float, /
    ) -> Awaitable[Response]: ...


class QueryClient:
    """Asks in this process if it can, and over the network otherwise."""

    def __init__(
        self,
        here: QueriesHere,
        owner_of: Callable[[type[AnyQuery]], str | None],
        call: Discover,
    ) -> None:
        self._here = here
        self._owner_of = functools.cache(owner_of)
        self._call = call

    async def ask(self, query: Query[R], *, sender: str, deadline: float, cause: Cause) -> R:
        """See `outside.Asks.ask`."""
        wire = query.wire_name()
        if self._here.type_of(wire) is not None:
            return await self._here.ask(query, sender=sender, deadline=deadline, cause=cause)
        owner = self._owner_of(type(query))
        if owner is None:
            raise Unreachable(f"nobody answers {query.name}", edge=query.name)
        left_s = deadline - asyncio.get_running_loop().time()
        headers = [
            _JSON,
            (DEADLINE, str(max(1, int(left_s * 1000))).encode()),
            (ASK, b"1"),
            *cause_headers(cause),
            *subject_headers(cause),
        ]
        body = carrier_of(type(query)).encode(query)
        request = Request("POST", f"{ASKING}{sender}/{wire}", "", headers, body)
        response = await self._call(owner, request, left_s)
        if response.status != 200:
            raise _refused(query, response)
        try:
            reply: R = carrier_of(query.reply_type).decode(response.body)
        except ValidationError as exc:
            raise BadAnswer(f"{query.name}: the reply does not fit", edge=query.name) from exc
        return reply


def _refused(query: AnyQuery, response: Response) -> Exception:
    """Return what the other side raised, as far as its answer tells."""
    try:
        problem: dict[str, object] = msgspec.json.decode(response.body)
    except msgspec.DecodeError:
        problem = {}
    code = str(problem.get("code"))
    if "failure" in problem:
        try:
            return failure_of(code, msgspec.json.encode(problem["failure"]), query)
        except BadAnswer as exc:
            return exc
    if code in (PoolFull.code, Overloaded.code):
        again = (response.header(b"retry-after") or b"1").decode("latin-1")
        busy = PoolFull if code == PoolFull.code else Overloaded
        return busy(
            str(problem.get("detail") or f"{query.name}: busy"), headers={"Retry-After": again}
        )
    kind = _CALL_ERRORS.get(code, BadAnswer)
    return kind(f"{query.name}: {problem.get('detail') or response.status}", edge=query.name)
