"""The door: what every request passes on its way in, compiled into one callable.

correlation → load → rate by address → preflight → route → token → rate by caller → deadline →
service.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from holdfast.contract.http import GONE_S, HeaderList, Request, Response
from holdfast.dispatch.attempts import network_of
from holdfast.dispatch.inner_headers import DEADLINE
from holdfast.dispatch.problem import problem_of
from holdfast.dispatch.router import Router
from holdfast.errors import (
    BadRequest,
    CallError,
    HoldfastError,
    Overloaded,
    RateLimited,
    Unauthenticated,
)
from holdfast.gateway.cors import CorsRules, is_preflight
from holdfast.gateway.forwarded import Proxies, address_of, origin_of
from holdfast.gateway.headers import correlation_of, forwarded_headers
from holdfast.gateway.lateness import Lateness
from holdfast.observability import Logger, Metrics, Requests, Tracer
from holdfast.ports import Clock, Limits, Taken
from holdfast.security import (
    REASONS,
    TokenRefused,
    bearer_token,
    token_invalid,
    token_missing,
)
from holdfast.system import Caller, Gateway, Rate

UNAUTHENTICATED = ("missing", "bad_header", "no_tokens", "no_keys", *REASONS)
"""Why nobody was authenticated, as the metric's label and the log say it."""


Page = Callable[[Request], Response | Awaitable[Response]]
"""Serves a path of the gateway's own."""


class Verifier(Protocol):
    """Checks bearer tokens."""

    def cached(self, token: bytes) -> "VerifiedClaims | None":
        """Return the claims of a token that was verified before."""
        ...

    async def verify(self, token: bytes) -> "VerifiedClaims":
        """Verify a token. Raises Unauthenticated."""
        ...


class VerifiedClaims(Protocol):
    """What a verified token says."""

    @property
    def subject(self) -> str: ...

    @property
    def scopes(self) -> frozenset[str]: ...

    @property
    def client(self) -> str: ...


@dataclass(frozen=True, slots=True)
class DoorStats:
    """Counts since the start; `in_flight` is now."""

    in_flight: int
    requests: int
    rate_limited: int
    shed: int


class Door:
    """The gateway's handler.

    Args:
        pages: {path: page} that the gateway serves itself, such as /health/ready.
        verifier: None when the gateway accepts no tokens.
    """

    def __init__(
        self,
        gateway: Gateway,
        router: Router,
        *,
        clock: Clock,
        verifier: Verifier | None,
        limits: Limits,
        metrics: Metrics,
        logger: Logger,
        tracer: Tracer,
        pages: dict[str, Page],
    ) -> None:
        self._gateway = gateway
        self._router = router
        self._verifier = verifier
        self._limits = limits
        self._logger = logger
        self.requests = Requests(tracer=tracer, clock=clock, metrics=metrics, logger=logger)
        self._pages = pages
        self._trusted = Proxies(gateway.trusted_proxies)
        self._lateness = Lateness(gateway.wait_s)
        self._cors = CorsRules(gateway.cors) if gateway.cors is not None else None
        self._limited = metrics.rate_limited("gateway")
        # Made at the start, so that the first refusal is an increase and not a new series.
        self._unauthenticated = {
            reason: metrics.unauthenticated("gateway", reason) for reason in UNAUTHENTICATED
        }
        self._in_flight = self._requests = self._rate_limited = self._shed = 0

    async def __call__(self, request: Request) -> Response:
        """Serve one request; every error is an answer."""
        cors = self._cors
        origin = request.header(b"origin") if cors is not None else None
        page = self._pages.get(request.path)
        if page is not None and request.method in ("GET", "HEAD"):
            answer = page(request)
            response = answer if isinstance(answer, Response) else await answer
            if cors is not None:
                response = cors.dress(origin, response)
            return response
        trace = self._believe(request)
        span = self.requests.begin(trace, correlation_of(request.headers))
        request.correlation_id = correlation = span.context.correlation_id
        request.traceparent = span.context.traceparent
        self._in_flight += 1
        self._requests += 1
        try:
            response = await self._pass(request, span.begun)
        except HoldfastError as exc:
            response = problem_of(exc, correlation)
        finally:
            self._in_flight -= 1
        response = response.adding((b"x-correlation-id", correlation.encode()))
        self.requests.end(span, request.method, request.route, response.status, request.client)
        if cors is not None:
            response = cors.dress(origin, response)
        return response

    def refusal_headers(self, headers: HeaderList) -> HeaderList:
        """Return what the answer of the server itself to a request with these headers carries."""
        if self._cors is None:
            return []
        return self._cors.answer(next((v for name, v in headers if name == b"origin"), None))

    def _believe(self, request: Request) -> str:
        """Set where the request came from, and return its trace, as trusted proxies say it.

        A stranger's trace is not followed: it could have every request recorded.
        """
        if request.client not in self._trusted:
            request.client = address_of(request.client) or request.client
            return ""
        traces = request.header_all(b"traceparent")
        origin = origin_of(request.client, request.headers, self._trusted)
        request.client = origin.client
        if origin.scheme:
            request.scheme = origin.scheme
        if origin.host:
            others = [pair for pair in request.headers if pair[0] != b"host"]
            request.headers = [(b"host", origin.host.encode()), *others]
        return traces[0].decode("latin-1") if len(traces) == 1 else ""

    async def _pass(self, request: Request, now: float) -> Response:
        gateway = self._gateway
        if self._in_flight > gateway.requests_max:
            self._shed += 1
            raise Overloaded("too many requests are under way", headers={"Retry-After": "1"})
        came = request.received_at or now
        waited_s = now - came
        if self._lateness.refuses(waited_s, now) or (request.gone and waited_s > GONE_S):
            self._shed += 1
            raise Overloaded("the request waited for too long", headers={"Retry-After": "1"})
        if gateway.per_address is not None:
            await self._take("address", network_of(request.client), gateway.per_address)
        preflight = request.method == "OPTIONS" and is_preflight(request)
        if preflight and self._cors is not None:
            return self._cors.preflight(request)
        target, path = self._router.find(request.method, request.path)
        request.route = target.template
        taken: Taken | None = None
        if not target.public and not (preflight and target.mount):
            request.caller = await self._authenticate(request)
            if gateway.per_caller is not None:
                taken = await self._take("caller", request.caller.subject, gateway.per_caller)
        limit_s = gateway.deadline_s
        asked = request.header(DEADLINE)
        if asked is not None and asked.isdigit():
            limit_s = min(limit_s, int(asked[:9]) / 1000)
        request.deadline = came + limit_s
        request.headers = forwarded_headers(request.headers)
        response = await target.serve(request, path)
        if taken is not None:
            response = response.adding(_rate_header("caller", taken))
        return response

    async def _authenticate(self, request: Request) -> Caller:
        if self._verifier is None:
            raise self._unknown("no_tokens", "the gateway accepts no tokens", token_missing())
        try:
            token = bearer_token(request.header_all(b"authorization"))
        except BadRequest as exc:  # a header that is no token is a token that is not valid
            raise self._unknown("bad_header", exc.detail, token_invalid()) from exc
        if token is None:
            raise self._unknown("missing", "no bearer token", token_missing())
        claims = self._verifier.cached(token)
        if claims is None:
            claims = await self._verify(self._verifier, token)
        return Caller(claims.subject, claims.scopes, claims.client)

    async def _verify(self, verifier: Verifier, token: bytes) -> VerifiedClaims:
        try:
            return await verifier.verify(token)
        except Unauthenticated as exc:
            cause = exc.__cause__
            reason = cause.reason if isinstance(cause, TokenRefused) else "malformed"
            self._unknown(reason, str(cause), exc)
            raise
        except CallError as exc:
            self._unknown("no_keys", str(exc), exc)
            raise

    def _unknown(self, reason: str, why: str, error: HoldfastError) -> HoldfastError:
        """Count and log why nobody was authenticated, which the answer must not say; return it."""
        self._unauthenticated[reason].inc()
        self._logger.info("token.refused", reason=reason, why=why)
        return error

    async def _take(self, kind: str, key: str, rate: Rate) -> Taken:
        taken = await self._limits.try_take(f"{kind}:{key}", rate.per_s, rate.burst)
        if not taken.allowed:
            self._rate_limited += 1
            self._limited.inc()
            name, value = _rate_header(kind, taken)
            raise RateLimited(
                f"more than {rate.per_s:g} requests a second of one {kind} (burst {rate.burst})",
                headers={
                    "Retry-After": str(max(1, int(taken.reset_s + 0.999))),
                    name.decode(): value.decode(),
                    "RateLimit-Policy": f'"{kind}";q={rate.burst};w={rate.burst / rate.per_s:.0f}',
                },
            )
        return taken

    def stats(self) -> DoorStats:
        """Return the counts."""
        return DoorStats(self._in_flight, self._requests, self._rate_limited, self._shed)


def _rate_header(kind: str, taken: Taken) -> tuple[bytes, bytes]:
    """Return the RateLimit header (draft-ietf-httpapi-ratelimit-headers-10)."""
    return b"ratelimit", f'"{kind}";r={taken.remaining};t={taken.reset_s:.0f}'.encode()
