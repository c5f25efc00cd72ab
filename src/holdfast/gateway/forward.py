"""Forwarding to a service in another process, over the client pool and that edge's policies.

What the gateway and the routes declare holds on the other side of the hop as it does in one
process: the deadline is the request's, answers of any length pass, streams stream, and a client
that goes is gone there too.
"""

from collections.abc import Awaitable, Callable
from functools import lru_cache, partial

from holdfast.contract.http import Request, Response
from holdfast.dispatch.gone import WhileClientStays
from holdfast.dispatch.inner_headers import entry_headers
from holdfast.dispatch.problem import problem_of
from holdfast.errors import CallError
from holdfast.observability import Part, SpanKind, SpanSort, Tracing, semconv
from holdfast.resilience import BulkheadPolicy, DeadlinePassed, Edge, EdgePolicy
from holdfast.system import Gateway

GRACE_S = 0.5
"""How long the gateway waits beyond the deadline: the service stops at it, and says how it ended.

Without it the two would race, and a transaction that has begun would be told as a time-out.
"""

Call = Callable[[Request, float], Awaitable[Response]]
"""Sends a request to one service within so many seconds."""

Tell = Callable[[Request], tuple[bytes, str]]

_FRAMING = frozenset([b"host", b"content-length"])
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
        deadline = request.deadline
        give_up = None if deadline is None else deadline + GRACE_S
        try:
            with WhileClientStays(request):
                begun = self._edge.begin(give_up)
                if begun is None:
                    return await self._edge.call(
                        partial(self._once, request),
                        deadline=give_up,
                        idempotent=self._repeatable(request),
                    )
                try:
                    if self._tracing.spans is None:
                        outgoing = self._outgoing(request, begun.limit_s, None)
                        response = await self._call(outgoing, begun.limit_s)
                    else:
                        response = await self._once(request, begun.limit_s)
                except BaseException as error:  # raised again, unless another try is answered
                    return await self._edge.go_on(
                        begun,
                        error,
                        partial(self._once, request),
                        deadline=give_up,
                        idempotent=self._repeatable(request),
                    )
                self._edge.ended(begun)
                return response
        except CallError as exc:
            return problem_of(exc, request.correlation_id)

    async def _once(self, request: Request, timeout_s: float) -> Response:
        """Send a request within so many seconds, as a part that has a span."""
        attributes = ((semconv.PATH, request.path),)
        with self._tracing.part(_sort(request.method), attributes) as part:
            outgoing = self._outgoing(request, timeout_s, part)
            response = await self._call(outgoing, timeout_s)
            part.answered(response.status)
            return response

    def _outgoing(self, request: Request, timeout_s: float, part: Part | None) -> Request:
        """Return what is sent; without a part nobody records spans."""
        left_s, deadline = timeout_s, request.deadline
        if deadline is not None:
            left_s = min(timeout_s, deadline - self._tracing.clock.monotonic())
        if left_s <= 0:
            raise DeadlinePassed("the deadline passed before anything was sent")
        token = None
        if self._tell is not None and request.caller is not None:
            token, transaction = self._tell(request)
            if part is not None:
                part.say((semconv.TRANSACTION, transaction))
        cause = request.cause if part is None else part.context.cause
        headers = [pair for pair in request.headers if pair[0] not in _FRAMING]
        headers += entry_headers(request, left_s, cause, token)
        return Request(
            request.method, request.path, request.query, headers, request.body, sent=request.sent
        )

    def _repeatable(self, request: Request) -> bool:
        return request.method in _SAFE or (self._keyed and b"idempotency-key" in request.sent)
