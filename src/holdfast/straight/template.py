"""The way of a request to a route, in one piece: of this process, or of another one.

It says what `gateway.Door.serve` and `dispatch.CompiledRoute` say between them; each of its steps
has the name that it has there. `flags` are questions whose answers are known when it is made:
`specialise` answers them, and writes the arguments of the handler out. As it stands it can be run
as well, and the tests do.
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
from holdfast.system import Caller

JSON_LINE = b"%b: %b\r\n" % JSON
NO_WORK = Work()  # for arguments that are written out
UNKNOWN = Response(500)
NOTHING: dict[str, object] = {}
_REFUSALS = (401, 403)


class Flags(msgspec.Struct, frozen=True):
    """What is known of a route, its gateway and its process.

    Attributes:
        proxied: the gateway trusts proxies. cors: it answers pages of other origins.
        public, scoped: the route asks for no token, or for one with a scope.
        by_address, by_caller: there is a rate for each.
        spans: somebody records spans.
        attempts: the route limits attempts. writes: its handler has a transaction.
        fields, body, reads, outside, sent: its handler takes something of path, query or header, a
            body, a view of the tables, what is outside, or a header.
        tells: it may answer with anything but one model.
    """

    proxied: bool
    cors: bool
    public: bool
    scoped: bool
    by_address: bool
    by_caller: bool
    spans: bool
    attempts: bool
    writes: bool
    fields: bool
    body: bool
    reads: bool
    outside: bool
    sent: bool
    tells: bool


def straight(door: Door, route: CompiledRoute, limits: MemoryLimits, flags: Flags) -> Serve:
    """Return what serves `route` behind `door`."""
    admission, requests, cached = door.admission, door.requests, door.authentication.cached
    monotonic, tracer, log = requests.clock.monotonic, requests.tracer, requests.logger.request
    enter_both, set_current = tracer.enter_both, current.set
    gateway, lateness = admission.gateway, admission.lateness
    requests_max, wait_s, deadline_s = gateway.requests_max, gateway.wait_s, door.deadline_s
    address_rate, caller_rate = admission.address_rate, admission.caller_rate
    take_all = limits.take_all
    method, template, scope = route.route.method, route.route.path, route.route.scope or ""
    at_door, sort = requests.learn(method, template)
    operation = route.operation
    inside, service = operation.outcomes, operation.service
    inputs, attempts, function = route.inputs, route.attempts, route.route.function
    body_of = inputs.body
    read_body = no_body if body_of is None else body_of.read
    body_name = "" if body_of is None else body_of.parameter.name
    answer, status_code = route.answer, route.route.status_code
    to_json = (answer or Model).__pydantic_serializer__.to_json
    arguments, json = route.arguments, [JSON]

    async def serve(request: Request, path: dict[str, str]) -> Response:
        sent = request.sent
        begun = monotonic()
        cause = door.believe(request) if flags.proxied else NO_CAUSE
        request.client = client = address_of(request.client) or request.client
        received_at = request.received_at or begun
        if admission.in_flight >= requests_max or request.gone or begun - received_at > wait_s:
            return await door.serve(request, cause)
        caller: Caller | None = None
        subject = ""
        if not flags.public:
            claims = cached(sent.get(b"authorization", b""))
            if claims is None or claims.bound_to:
                return await door.serve(request, cause)
            if flags.scoped and scope not in claims.scopes:
                return await door.serve(request, cause)
            subject = claims.subject
            request.caller = caller = Caller(subject, claims.scopes, claims.client)
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
        lateness.on_time()
        admission.requests += 1
        admission.in_flight += 1
        inside.active += 1
        if b"x-correlation-id" in sent:
            cause = replace(cause, correlation=correlation_of(request.headers))
        outer: Outer = NO_CONTEXT, None
        within = outer
        if flags.spans:
            outer = current.get(), None
            context = tracer.enter(cause, service="gateway").of_subject(subject)
            set_current(context)
            part, within = tracer.enter_part(service)
        else:
            context, part = enter_both(cause, service, subject)
            set_current(part)
        request.route = template
        asked = sent.get(DEADLINE)
        limit_s = deadline_s if asked is None else door.limit_s(asked)
        request.deadline = deadline = received_at + limit_s
        error: Exception | None = None
        response = UNKNOWN
        try:
            if flags.sent or flags.writes:
                request.headers = forwarded_headers(request.headers)
            values = inputs.fields(request, path) if flags.fields else NOTHING
            body = read_body(request) if flags.body else None
            if flags.attempts and attempts is not None:
                await attempts.check(client, {body_name: body})
            if flags.writes:
                request.cause = context.cause
                work = Work(caller=caller)
                work.values = {**values, body_name: body} if flags.body else values
                response = await route.write(request, work)
            else:
                read = ReadView(route.ledger) if flags.reads else None
                outside = outside_of(route, deadline) if flags.outside else None
                try:
                    if deadline <= begun:
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
                        response = Response(status_code, json, to_json(value, by_alias=True))
                except TimeoutError as exc:
                    raise too_late(template) from exc
                except Failure as failure:
                    response = problem_of(failure, context.correlation_id)
                finally:
                    if flags.reads and read is not None:
                        await read.close()
        except CancelledError as exc:
            if is_cancelled():
                if flags.spans:
                    operation.record(Span(part, begun, within), monotonic(), None)
                    requests.record(Span(context, begun, outer), sort, request, monotonic(), None)
                raise
            error = stray(exc)
        except Exception as exc:  # the request's edge: every error becomes an answer here
            error = exc
        finally:
            inside.active -= 1
            admission.in_flight -= 1
        if error is not None:
            request.cause = context.cause
            response = route.answer_to(error, request)
        status = response.status
        ended = monotonic()
        seconds = ended - begun
        inside.observe(status, seconds, part)
        if flags.spans:
            operation.record(Span(part, begun, within), ended, status, error)
            tracer.back_to(within)
        else:
            set_current(context)
        if status in _REFUSALS:
            door.may_not(request, f"{status}")
        at_door.observe(status, seconds, context)
        log(context, method, template, status, seconds, client)
        if flags.spans:
            requests.record(Span(context, begun, outer), sort, request, ended, status)
        correlation = context.correlation_id.encode()
        headers = [*response.headers, *rate, (b"x-correlation-id", correlation)]
        if flags.cors and door.cors is not None:
            made = Response(status, headers, response.body, response.stream)
            return door.cors.dress(sent.get(b"origin"), made)
        if status != status_code or status in BODILESS or response.headers is not json:
            return Response(status, headers, response.body, response.stream)
        if flags.by_caller:
            head = b"%bratelimit: %b\r\nx-correlation-id: %b\r\n" % (
                JSON_LINE,
                rate[0][1],
                correlation,
            )
        else:
            head = b"%bx-correlation-id: %b\r\n" % (JSON_LINE, correlation)
        return Response(status, headers, response.body, None, head)

    return serve


def through(door: Door, target: Target, method: str, limits: MemoryLimits, flags: Flags) -> Serve:
    """Return what serves a route of another process behind `door`."""
    admission, requests, cached = door.admission, door.requests, door.authentication.cached
    monotonic, tracer, log = requests.clock.monotonic, requests.tracer, requests.logger.request
    enter, set_current, get_current = tracer.enter, current.set, current.get
    gateway, lateness = admission.gateway, admission.lateness
    requests_max, wait_s, deadline_s = gateway.requests_max, gateway.wait_s, door.deadline_s
    address_rate, caller_rate = admission.address_rate, admission.caller_rate
    take_all, template, forward = limits.take_all, target.template, target.serve
    at_door, sort = requests.learn(method, template)

    async def serve(request: Request, path: dict[str, str]) -> Response:
        sent = request.sent
        begun = monotonic()
        cause = door.believe(request) if flags.proxied else NO_CAUSE
        request.client = client = address_of(request.client) or request.client
        received_at = request.received_at or begun
        if admission.in_flight >= requests_max or request.gone or begun - received_at > wait_s:
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
        lateness.on_time()
        admission.requests += 1
        admission.in_flight += 1
        if b"x-correlation-id" in sent:
            cause = replace(cause, correlation=correlation_of(request.headers))
        outer = get_current(), None
        context = enter(cause, service="gateway")
        if not flags.public:
            context = context.of_subject(subject)
        set_current(context)
        request.cause = context.cause
        request.route = template
        asked = sent.get(DEADLINE)
        limit_s = deadline_s if asked is None else door.limit_s(asked)
        request.deadline = received_at + limit_s
        refused = ""
        try:
            request.headers = forwarded_headers(request.headers)
            response = await forward(request, path)
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
        finally:
            admission.in_flight -= 1
        if refused:
            door.may_not(request, refused)
        status = response.status
        correlation = context.correlation_id.encode()
        headers = [*response.headers, *rate, (b"x-correlation-id", correlation)]
        response = Response(status, headers, response.body, response.stream)
        ended = monotonic()
        seconds = ended - begun
        at_door.observe(status, seconds, context)
        log(context, method, template, status, seconds, client)
        if flags.spans:
            requests.record(Span(context, begun, outer), sort, request, ended, status)
        if flags.cors and door.cors is not None:
            return door.cors.dress(sent.get(b"origin"), response)
        return response

    return serve


def no_body(request: Request) -> object:
    """Return nothing: the route takes no body."""
    return None


def outside_of(route: CompiledRoute, deadline: float) -> OutsideView:
    """Return the outside of a handler that only reads."""
    return OutsideView(route.reach, unit=None, deadline=deadline)
