"""Forwarding to a service in another process, over the client pool and that edge's policies."""

import asyncio
from collections.abc import Awaitable, Callable

from holdfast.contract.http import Request, Response
from holdfast.dispatch.inside import DEADLINE, caller_header, origin_header
from holdfast.dispatch.problem import problem_of
from holdfast.errors import CallError
from holdfast.gateway.headers import response_headers
from holdfast.resilience import Edge

Call = Callable[[Request, float], Awaitable[Response]]
"""Sends a request to one service within so many seconds."""

_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


class Forward:
    """Serves the routes of one remote service.

    A request with an effect is sent again only if it carries an Idempotency-Key, or when it is
    known that nothing happened.
    """

    def __init__(self, edge: Edge, call: Call) -> None:
        self._edge = edge
        self._call = call

    async def __call__(self, request: Request, path: dict[str, str]) -> Response:
        """Forward one request; the remaining time travels with it."""
        loop = asyncio.get_running_loop()
        repeatable = request.method in _REPEATABLE or bool(request.header(b"idempotency-key"))
        headers = [pair for pair in request.headers if pair[0] not in (b"host", b"content-length")]
        headers.append((b"x-correlation-id", request.correlation_id.encode()))
        headers.append((b"traceparent", request.traceparent.encode()))
        headers.append(origin_header(request))
        if request.caller is not None:
            headers.append(caller_header(request.caller))
        deadline = request.deadline

        async def once(timeout_s: float) -> Response:
            left_s = timeout_s if deadline is None else min(timeout_s, deadline - loop.time())
            remaining = (DEADLINE, str(max(1, int(left_s * 1000))).encode())
            outgoing = Request(
                request.method,
                request.path,
                request.query,
                [*headers, remaining],
                request.body,
            )
            return await self._call(outgoing, timeout_s)

        try:
            response = await self._edge.call(once, deadline=deadline, idempotent=repeatable)
        except CallError as exc:
            return problem_of(exc, request.correlation_id)
        response.headers = response_headers(response.headers)
        return response
