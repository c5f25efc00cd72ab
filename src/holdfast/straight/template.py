"""The way of a request in two pieces: through the door, and through a route of this process.

They say what `gateway.Door.serve` and `dispatch.CompiledRoute` say of what is usual; each step has
the name that it has there. `flags` are questions whose answers are known when a piece is made:
`specialise` answers them, and writes the arguments of the handler out. As they stand both can be
run as well, and the tests do.
"""

from asyncio import CancelledError

import msgspec
from msgspec.structs import replace

from holdfast.communication.response_head import BODILESS
from holdfast.consistency.unit import stray
from holdfast.contract.cause import NO_CAUSE
from holdfast.contract.failure import Failure
from holdfast.contract.http import HeaderList, Request, Response
from holdfast.contract.model import Model
from holdfast.dispatch.inner_headers import DEADLINE
from holdfast.dispatch.outside import OutsideView
from holdfast.dispatch.problem import problem_of
from holdfast.dispatch.resolve import Work
from holdfast.dispatch.router import Serve, Target
from holdfast.dispatch.routes import JSON, CompiledRoute, too_late
from holdfast.dispatch.view import ReadView
from holdfast.errors import HoldfastError
from holdfast.gateway import Door
from holdfast.gateway.admission import told
from holdfast.gateway.forwarded import address_of
from holdfast.gateway.headers import correlation_of, forwarded_headers
from holdfast.observability import current
from holdfast.observability.operation import Span
from holdfast.observability.trace import NO_CONTEXT, Outer
from holdfast.pump import begun_by_hand, is_cancelled
from holdfast.resilience import MemoryLimits
from holdfast.security import scope_missing, token_missing
from holdfast.system import Caller

JSON_LINE = b"%b: %b\r\n" % JSON
NO_WORK = Work()  # for arguments that are written out
UNKNOWN = Response(500)
NOTHING: dict[str, object] = {}
_REFUSALS = (401, 403)


class DoorFlags(msgspec.Struct, frozen=True):
    """What is known of a gateway, and of a route behind it.

    Attributes:
        proxied: the gateway trusts proxies. cors: it answers pages of other origins.
        by_address, by_caller: there is a rate for each.
        spans: somebody records spans.
        public: the route asks for no token.
        whole: what serves it looks at the headers of a request, and at its cause.
    """

    proxied: bool
    cors: bool
    by_address: bool
    by_caller: bool
    spans: bool
    public: bool
    whole: bool


class RouteFlags(msgspec.Struct, frozen=True):
    """What is known of a route, and of its process.

    Attributes:
        public, scoped: it asks for no token, or for one with a scope.
        spans: somebody records spans.
        attempts: it limits attempts. writes: its handler has a transaction.
        fields, body, reads, outside: its handler takes something of path, query or header, a body,
            a view of the tables, or what is outside.
        tells: it may answer with anything but one model.
    """

    public: bool
    scoped: bool
    spans: bool
    attempts: bool
    writes: bool
    fields: bool
    body: bool
    reads: bool
    outside: bool
    tells: bool


def straight_door(
    door: Door, target: Target, method: str, answer: Serve, limits: MemoryLimits, flags: DoorFlags
) -> Serve:
    """Return what serves the route of `target` behind `door`, where `answer` serves it."""
    admission, requests, cached = door.admission, door.requests, door.authentication.cached
    monotonic, tracer, log = requests.clock.monotonic, requests.tracer, requests.logger.request
    enter_whole, set_current = tracer.enter_whole, current.set
    deadline_s = door.deadline_s
    address_rate, caller_rate = admission.address_rate, admission.caller_rate
    take_all, template = limits.take_all, target.template
    outcomes, sort = requests.learn(method, template)

    async def serve(request: Request, path: dict[str, str]) -> Response:
        sent = request.sent
        begun = monotonic()
        cause = door.believe(request) if flags.proxied else NO_CAUSE
        request.client = client = address_of(request.client) or request.client
        received_at = request.received_at or begun
        if request.gone:
            return await door.serve(request, cause)
        subject = ""
        if not flags.public:
            claims = cached(sent.get(b"authorization", b""))
            if claims is None or claims.bound_to:
                return await door.serve(request, cause)
            subject = claims.subject
            request.caller = Caller(subject, claims.scopes, claims.client)
            request.caller_until = claims.expires_at
        rate: HeaderList = []
        if flags.by_address or flags.by_caller:
            if flags.by_address and flags.by_caller:
                taken = take_all((address_rate(client), caller_rate(subject)))
            elif flags.by_address:
                taken = take_all((address_rate(client),))
            else:
                taken = take_all((caller_rate(subject),))
            if taken is None:
                return await door.serve(request, cause)
            if flags.by_caller:
                rate = [told(taken)]
        if b"x-correlation-id" in sent:
            cause = replace(cause, correlation=correlation_of(request.headers))
        outer: Outer = (current.get(), None) if flags.spans else (NO_CONTEXT, None)
        context = enter_whole(cause, subject)
        set_current(context)
        request.route = template
        asked = sent.get(DEADLINE)
        limit_s = deadline_s if asked is None else door.limit_s(asked)
        request.deadline = received_at + limit_s
        refused = ""
        try:
            if flags.whole:
                request.headers = forwarded_headers(request.headers)
                request.cause = context.cause
            response = await answer(request, path)
            if response.status in _REFUSALS:
                refused = f"{response.status}"
        except HoldfastError as exc:
            response, rate = problem_of(exc, context.correlation_id), []
            if exc.status in _REFUSALS:
                refused = str(getattr(exc.__cause__, "reason", exc.code))
        except CancelledError:
            if flags.spans:
                requests.record(Span(context, begun, outer), sort, request, monotonic(), None)
            raise
        if refused:
            door.may_not(request, refused)
        status, head = response.status, response.head
        ended = monotonic()
        seconds = ended - begun
        outcomes.observe(status, seconds, context)
        log(context, method, template, status, seconds, client)
        if flags.spans:
            requests.record(Span(context, begun, outer), sort, request, ended, status)
        correlation = context.correlation_id.encode()
        headers = [*response.headers, *rate, (b"x-correlation-id", correlation)]
        if head:
            if flags.by_caller:
                limit = rate[0][1]
                head = b"%bratelimit: %b\r\nx-correlation-id: %b\r\n" % (head, limit, correlation)
            else:
                head = b"%bx-correlation-id: %b\r\n" % (head, correlation)
        response = Response(status, headers, response.body, response.stream, head)
        if flags.cors and door.cors is not None:
            return door.cors.dress(sent.get(b"origin"), response)
        return response

    return serve


def straight_route(route: CompiledRoute, flags: RouteFlags) -> Serve:
    """Return what serves `route`, behind whichever door."""
    operation = route.operation
    outcomes, service, tracer = operation.outcomes, operation.service, operation.tracer
    monotonic, enter_part, set_current = operation.clock.monotonic, tracer.enter_part, current.set
    template, scope = route.route.path, route.route.scope or ""
    inputs, attempts, function = route.inputs, route.attempts, route.route.function
    body_of = inputs.body
    read_body = no_body if body_of is None else body_of.read
    body_name = "" if body_of is None else body_of.parameter.name
    answer, status_code = route.answer, route.route.status_code
    to_json = (answer or Model).__pydantic_serializer__.to_json
    arguments, json = route.arguments, [JSON]
    json_head = b"" if status_code in BODILESS else JSON_LINE

    async def serve(request: Request, path: dict[str, str]) -> Response:
        part, outer = enter_part(service)
        outcomes.active += 1
        begun = monotonic()
        error: Exception | None = None
        response = UNKNOWN
        try:
            caller = request.caller
            if not flags.public:
                if caller is None:
                    raise token_missing()
                if flags.scoped and scope not in caller.scopes:
                    raise scope_missing(scope)
            values = inputs.fields(request, path) if flags.fields else NOTHING
            body = read_body(request) if flags.body else None
            if flags.attempts and attempts is not None:
                await attempts.check(request.client, {body_name: body})
            if flags.writes:
                work = Work(caller=caller)
                work.values = {**values, body_name: body} if flags.body else values
                response = await route.write(request, work)
            else:
                deadline = request.deadline
                read = ReadView(route.ledger) if flags.reads else None
                outside = outside_of(route, deadline) if flags.outside else None
                try:
                    if deadline is not None and deadline <= begun:
                        raise TimeoutError
                    handling = function(
                        **arguments(
                            Work(
                                read=read,
                                outside=outside,
                                caller=caller,
                                values={**values, body_name: body},
                            )
                        )
                    )
                    try:
                        awaited = handling.send(None)
                    except StopIteration as stop:
                        value = stop.value
                    else:
                        value = await route.until(request, begun_by_hand(handling, awaited))
                    if flags.tells or type(value) is not answer:
                        response = route.respond(value)
                    else:
                        told_as = to_json(value, by_alias=True)
                        response = Response(status_code, json, told_as, None, json_head)
                except TimeoutError as exc:
                    raise too_late(request, template) from exc
                except Failure as failure:
                    response = problem_of(failure, part.correlation_id)
                finally:
                    if flags.reads and read is not None:
                        await read.close()
        except CancelledError as exc:
            if is_cancelled():
                if flags.spans:
                    operation.record(Span(part, begun, outer), monotonic(), None)
                raise
            error = stray(exc)
        except Exception as exc:  # the request's edge: every error becomes an answer here
            error = exc
        finally:
            outcomes.active -= 1
        if error is not None:
            request.cause = outer[0].cause
            response = route.answer_to(error, request)
        status = response.status
        ended = monotonic()
        outcomes.observe(status, ended - begun, part)
        if flags.spans:
            operation.record(Span(part, begun, outer), ended, status, error)
            tracer.back_to(outer)
        else:
            set_current(outer[0])
        return response

    return serve


def no_body(request: Request) -> object:
    """Return nothing: the route takes no body."""
    return None


def outside_of(route: CompiledRoute, deadline: float | None) -> OutsideView:
    """Return the outside of a handler that only reads."""
    return OutsideView(route.reach, unit=None, deadline=deadline)
