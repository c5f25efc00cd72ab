"""The door: what every request passes on its way in and out.

correlation → load → rate by address → preflight → route → token → rate by caller → deadline →
service.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from msgspec.structs import replace

from holdfast.contract.cause import NO_CAUSE, Cause
from holdfast.contract.http import HeaderList, Request, Response, is_preflight
from holdfast.dispatch.attempts import network_of
from holdfast.dispatch.inner_headers import DEADLINE
from holdfast.dispatch.problem import problem_of
from holdfast.dispatch.router import Router, Serve, Target
from holdfast.errors import HoldfastError
from holdfast.gateway.admission import Admission
from holdfast.gateway.authentication import Authentication, Verifier
from holdfast.gateway.cors import CorsRules
from holdfast.gateway.forwarded import Proxies, address_of, origin_of
from holdfast.gateway.headers import correlation_of, forwarded_headers
from holdfast.gateway.possession import Possession
from holdfast.observability import Audit, Logger, Metrics, Requests, Tracing, parse_traceparent
from holdfast.observability.carried import baggage_of, tracestate_of
from holdfast.observability.trace import make_subject
from holdfast.ports import Limits
from holdfast.system import Gateway

_REFUSALS = (401, 403)

Page = Callable[[Request], Response | Awaitable[Response]]
"""Serves a path of the gateway's own."""


class Door:
    """The gateway's handler.

    Args:
        slow_s: {(method, route): how long its requests may take that are not slow}.
        pages: {path: page} that the gateway serves itself, such as /health/ready.
        verifier: None when the gateway accepts no tokens.
        possession: None when it accepts none that are bound to a key.

    Attributes:
        straight: {what serves a route: its straight way}; see `holdfast.straight`.
    """

    def __init__(
        self,
        gateway: Gateway,
        router: Router,
        *,
        verifier: Verifier | None,
        possession: Possession | None = None,
        limits: Limits,
        metrics: Metrics,
        logger: Logger,
        tracing: Tracing,
        audit: Audit,
        slow_s: Mapping[tuple[str, str], float],
        pages: dict[str, Page],
    ) -> None:
        self._router = router
        self._audit = audit
        self._pages = pages
        self.deadline_s = gateway.deadline_s
        self._proxies = Proxies(gateway.trusted_proxies)
        self.has_proxies = bool(self._proxies)
        self.cors = CorsRules(gateway.cors) if gateway.cors is not None else None
        self.admission = Admission(gateway, limits, metrics.rate_limited("gateway"))
        self.authentication = Authentication(verifier, metrics, logger, possession)
        self._trace_refused = metrics.trace_refused
        self.straight: dict[Target, Serve] = {}
        self.requests = Requests(tracing, metrics=metrics, logger=logger, slow_s=slow_s)

    def __call__(self, request: Request) -> Awaitable[Response]:
        """Serve one request, by the straight way of its route if it has one."""
        straight = self.straight
        if straight and request.path not in self._pages:
            found = request.found or self._router.quick(request.method, request.path)
            if found is not None:
                serve = straight.get(found[0])
                if serve is not None:
                    return serve(request, found[1])
        return self.serve(request)

    async def serve(self, request: Request, believed: Cause | None = None) -> Response:
        """Serve one request the long way; every error is an answer.

        Args:
            believed: what trusted proxies say has been taken over, and this is the trace.
        """
        cors = self.cors
        origin = request.sent.get(b"origin")
        page = self._pages.get(request.path)
        if page is not None and request.method in ("GET", "HEAD"):
            answer = page(request)
            response = answer if isinstance(answer, Response) else await answer
            return response if cors is None else cors.dress(origin, response)
        cause = believed
        if cause is None:
            cause = self.believe(request) if self.has_proxies else NO_CAUSE
        request.client = address_of(request.client) or request.client
        if b"x-correlation-id" in request.sent:
            cause = replace(cause, correlation=correlation_of(request.headers))
        span = self.requests.begin(cause)
        request.cause = span.context.cause
        correlation = span.context.correlation_id
        rate: HeaderList = []
        try:
            waited_s = span.begun - (request.received_at or span.begun)
            await self.admission.admit(request, waited_s)
            preflight = request.method == "OPTIONS" and is_preflight(request)
            if preflight and cors is not None:
                response = cors.preflight(request)
            else:
                target, path = self._router.find(request.method, request.path)
                request.route = target.template
                if not (target.public or (preflight and target.mount)):
                    request.caller = caller = await self.authentication.caller_of(request)
                    request.cause = make_subject(caller.subject).cause
                    rate = await self.admission.admit_caller(caller.subject)
                asked = request.sent.get(DEADLINE)
                limit_s = self.deadline_s if asked is None else self.limit_s(asked)
                request.deadline = (request.received_at or span.begun) + limit_s
                request.headers = forwarded_headers(request.headers)
                response = await target.serve(request, path)
                if response.status in _REFUSALS:
                    self.may_not(request, f"{response.status}")
        except HoldfastError as exc:
            response, rate = problem_of(exc, correlation), []
            if exc.status in _REFUSALS:
                self.may_not(request, str(getattr(exc.__cause__, "reason", exc.code)))
        except asyncio.CancelledError:
            self.requests.end(span, request, None)
            raise
        headers = [*response.headers, *rate, (b"x-correlation-id", correlation.encode())]
        response = Response(response.status, headers, response.body, response.stream)
        self.requests.end(span, request, response.status)
        return response if cors is None else cors.dress(origin, response)

    def may_not(self, request: Request, why: str) -> None:
        """Write down that a request may not do what it asks for."""
        caller = request.caller
        self._audit.record(
            "request.refused",
            who=f"address {request.client}" if caller is None else f"caller {caller.subject}",
            authority="" if caller is None else f"token of {caller.client or 'its subject'}",
            on=f"{request.method} {request.route}",
            outcome=f"refused: {why}",
        )

    def limit_s(self, asked: bytes) -> float:
        """Return how long a request may take whose client asks for so many milliseconds."""
        given_s = int(asked[:9]) / 1000 if asked.isdigit() else self.deadline_s
        return min(self.deadline_s, given_s)

    def dressed(self, request: Request, response: Response) -> Response:
        """Return an answer that a page of an allowed origin may read."""
        cors = self.cors
        return response if cors is None else cors.dress(request.sent.get(b"origin"), response)

    def refusal_headers(self, headers: HeaderList) -> HeaderList:
        """Return what the answer of the server itself to a request with these headers carries."""
        if self.cors is None:
            return []
        return self.cors.answer(next((v for name, v in headers if name == b"origin"), None))

    def counted_as(self, address: str) -> str:
        """Return under which name the connections of an address are counted; "": they are not."""
        return "" if address in self._proxies else network_of(address)

    def believe(self, request: Request) -> Cause:
        """Set where the request came from, and return its trace, as trusted proxies say it.

        A stranger's trace is not followed: it could have every request recorded.
        """
        if request.client not in self._proxies:
            return NO_CAUSE
        cause = self._cause_of(request)
        origin = origin_of(request.client, request.headers, self._proxies)
        request.client = origin.client
        if origin.scheme:
            request.scheme = origin.scheme
        if origin.host:
            others = [pair for pair in request.headers if pair[0] != b"host"]
            request.headers = [(b"host", origin.host.encode()), *others]
        return cause

    def _cause_of(self, request: Request) -> Cause:
        """Return the trace that a proxy hands on; what breaks its format is left out, and counted.

        Source: W3C Trace Context, section 4.3: without a good traceparent there is no tracestate.
        """
        traces = [value.decode("latin-1") for value in request.header_all(b"traceparent")]
        trace = traces[0] if len(traces) == 1 else ""
        if traces and parse_traceparent(trace) is None:
            trace = self._refused("traceparent")
        state = tracestate_of(request.header_all(b"tracestate")) if trace else ""
        if state is None:
            state = self._refused("tracestate")
        baggage = baggage_of(request.header_all(b"baggage"))
        if baggage is None:
            baggage = self._refused("baggage")
        return Cause(trace=trace, tracestate=state, baggage=baggage)

    def _refused(self, header: str) -> str:
        self._trace_refused(header).inc()
        return ""
