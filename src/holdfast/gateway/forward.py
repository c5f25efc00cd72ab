"""Forwarding to a service in another process, over the client pool and that edge's policies.

What the gateway and the routes declare holds on the other side of the hop as it does in one
process: the deadline is the request's, answers of any length pass, streams stream, and a client
that goes is gone there too.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import lru_cache

from holdfast.contract.http import Request, Response
from holdfast.dispatch.gone import WhileClientStays
from holdfast.dispatch.inner_headers import entry_headers
from holdfast.dispatch.problem import problem_of
from holdfast.errors import CallError
from holdfast.observability import SpanKind, SpanSort, Tracing, semconv
from holdfast.resilience import BulkheadPolicy, DeadlinePassed, Edge, EdgePolicy
from holdfast.system import Gateway

GRACE_S = 0.5
"""How long the gateway waits beyond the deadline: the service stops at it, and says how it ended.

Without it the two would race, and a transaction that has begun would be told as a time-out.
"""

Call = Callable[[Request, float], Awaitable[Response]]
"""Sends a request to one service within so many seconds."""

Tell = Callable[[Request], tuple[bytes, str]]

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def hop_policy(gateway: Gateway) -> EdgePolicy:
    """Return the defences of the way from the gateway to one service.

    A try may take what a request may take; one service fills at most half of the gateway.
    """
    places = max(1, gateway.requests_max // 2)
    return EdgePolicy(
        timeout_s=gateway.deadline_s + GRACE_S,
        bulkhead=BulkheadPolicy(calls_max=places, queue_max=places),
    )


@lru_cache(maxsize=64)
def _sort(method: str) -> SpanSort:
    return SpanSort(method, SpanKind.CLIENT, ((semconv.METHOD, method),))


class Forward:
    """Serves a route, or a mounted app, of a service in another process.

    A request that may have had an effect is sent again only if it carries an Idempotency-Key that
    the other side heeds: HTTP calls PUT and DELETE idempotent, but between two tries somebody else
    may have written.

    Args:
        keyed: the other side records the answers to keys.
        tell: returns what tells it whose request it is, where it takes nobody's word for that, and
            the correlation id that is in it.
    """

    def __init__(
        self,
        edge: Edge,
        call: Call,
        tracing: Tracing,
        *,
        keyed: bool = True,
        tell: Tell | None = None,
    ) -> None:
        self._edge = edge
        self._call = call
        self._tracing = tracing
        self._keyed = keyed
        self._tell = tell

    async def __call__(self, request: Request, path: dict[str, str]) -> Response:
        """Forward one request; the remaining time travels with it."""
        loop = asyncio.get_running_loop()
        deadline = request.deadline
        passing = [pair for pair in request.headers if pair[0] not in (b"host", b"content-length")]

        sort = _sort(request.method)
        attributes = ((semconv.PATH, request.path),)

        async def once(timeout_s: float) -> Response:
            left_s = timeout_s if deadline is None else min(timeout_s, deadline - loop.time())
            if left_s <= 0:
                raise DeadlinePassed("the deadline passed before anything was sent")
            with self._tracing.part(sort, attributes) as part:
                token = None
                if self._tell is not None and request.caller is not None:
                    token, transaction = self._tell(request)
                    part.say((semconv.TRANSACTION, transaction))
                headers = [*passing, *entry_headers(request, left_s, part.context.cause, token)]
                outgoing = Request(
                    request.method,
                    request.path,
                    request.query,
                    headers,
                    request.body,
                    sent=request.sent,
                )
                response = await self._call(outgoing, timeout_s)
                part.answered(response.status)
                return response

        repeatable = request.method in _SAFE or (self._keyed and b"idempotency-key" in request.sent)
        give_up = None if deadline is None else deadline + GRACE_S
        try:
            with WhileClientStays(request):
                return await self._edge.call(once, deadline=give_up, idempotent=repeatable)
        except CallError as exc:
            return problem_of(exc, request.correlation_id)
