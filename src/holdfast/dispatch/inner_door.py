"""The inner door: what the services in this process give to the system's other processes.

A query travels as `POST /-/ask/<sender>/<Query.v1>` with a header that no client can bring in. Who
is asked checks what the graph allows, as it does for a call in its own process. Who the caller is,
its connection has proved: what it says of itself must be the same.
"""

import asyncio
from collections.abc import Callable

from pydantic import ValidationError

from holdfast.contract.carrier import carrier_of
from holdfast.contract.cause import Cause
from holdfast.contract.failure import Failure
from holdfast.contract.http import Request, Response
from holdfast.contract.spiffe import ALL, GATEWAY
from holdfast.dispatch.gone import WhileClientStays
from holdfast.dispatch.inner_headers import (
    ASK,
    ASKING,
    DEADLINE,
    as_it_was,
    caller_of,
    cause_of,
)
from holdfast.dispatch.problem import problem_of, unfit
from holdfast.dispatch.queries import QueriesHere
from holdfast.dispatch.router import Router, Serve, Target
from holdfast.dispatch.signed_callers import SignedCallers
from holdfast.errors import Forbidden, HoldfastError, NotFound
from holdfast.observability import Tracer, current
from holdfast.observability.trace import NO_CONTEXT, make_subject

Refused = Callable[[str, str, str], None]

_JSON = (b"content-type", b"application/json")


class InnerDoor:
    """Serves what other processes of the system want of the services in this one.

    Args:
        refused: told of what is not allowed: the peer, what it wanted, and why.
        signed: tells callers where peers prove who they are; None: peers are believed, and what
            they say of callers too.
    """

    def __init__(
        self,
        router: Router,
        here: QueriesHere,
        tracer: Tracer,
        refused: Refused = lambda peer, wanted, why: None,
        signed: SignedCallers | None = None,
    ) -> None:
        self._router = router
        self._here = here
        self._tracer = tracer
        self._refused = refused
        self._signed = signed
        self.straight: dict[Target, Serve] = {}

    async def __call__(self, request: Request) -> Response:
        """Serve one request; every error is an answer."""
        sent = request.sent
        left_ms = sent.get(DEADLINE)
        if left_ms is not None and left_ms.isdigit():
            came = request.received_at or asyncio.get_running_loop().time()
            request.deadline = came + int(left_ms[:9]) / 1000
        context = NO_CONTEXT
        try:
            context = self._tracer.follow(cause_of(request), service="")
            current.set(context)
            if ASK in sent and request.path.startswith(ASKING):
                return await self._ask(request, context.cause)
            self._check_entry(request)
            found = request.found or self._router.find(request.method, request.path)
            target, path = found
            request.route = target.template
            signed = self._signed
            request.caller = caller = (
                caller_of(request) if signed is None else signed.caller_of(request, target)
            )
            request.cause = make_subject("" if caller is None else caller.subject).cause
            as_it_was(request)
            serve = self.straight.get(target) or target.serve
            return await serve(request, path)
        except (HoldfastError, Failure) as exc:
            return problem_of(exc, context.correlation_id)

    def _check_entry(self, request: Request) -> None:
        self._check(request, GATEWAY, "its routes are for the gateway alone")

    def _check_asker(self, request: Request, sender: str) -> None:
        self._check(request, sender, "nobody asks in the name of another service")

    def _check(self, request: Request, name: str, why: str) -> None:
        """Refuse a peer that is not whom the request needs. Raises Forbidden."""
        if self._signed is not None and request.peer.identity not in (name, ALL):
            peer = str(request.peer.identity) or "a stranger"
            raise self._forbidden(
                peer, request.path, f"{peer} asked as {name} for {request.path}: {why}"
            )

    def _forbidden(self, peer: str, wanted: str, why: str) -> Forbidden:
        self._refused(peer, wanted, why)
        return Forbidden(why)

    async def _ask(self, request: Request, cause: Cause) -> Response:
        sender, _, wire = request.path.removeprefix(ASKING).partition("/")
        self._check_asker(request, sender)
        query_type = self._here.type_of(wire)
        if query_type is None:
            raise NotFound(f"nobody in this process answers {wire}")
        try:  # before its body is looked at: what a query holds is no business of theirs
            self._here.check(wire, sender)
        except Forbidden as exc:  # the graph has no such edge; it says the line to add
            raise self._forbidden(sender, wire, str(exc)) from exc
        try:  # a newer process may ask with fields that this one does not know
            query = carrier_of(query_type).decode(request.body)
        except ValidationError as exc:
            raise unfit(exc, "query") from exc
        deadline = request.deadline
        if deadline is None:
            raise Forbidden(f"{wire} was asked without {DEADLINE.decode()}")
        with WhileClientStays(request):  # in one process it would end with its asker, too
            reply = await self._here.ask(query, sender=sender, deadline=deadline, cause=cause)
        return Response(200, [_JSON], carrier_of(query_type.reply_type).encode(reply))
