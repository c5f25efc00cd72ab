"""Compiled routes: from a request to a response, through parameters and the unit of work."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import TypeVar
from uuid import UUID

from holdfast.consistency.core import Core
from holdfast.consistency.ledger import MESSAGE_BYTES_MAX
from holdfast.consistency.turn import RunAgain
from holdfast.consistency.unit import Unit, stray
from holdfast.contract.failure import Failure
from holdfast.contract.http import Request, Response
from holdfast.dispatch.attempts import AttemptLimits
from holdfast.dispatch.gone import WhileClientStays, client_gone
from holdfast.dispatch.inputs import Inputs, answer_model, reply_encoder
from holdfast.dispatch.outside import OutsideView, Reach
from holdfast.dispatch.problem import problem_of
from holdfast.dispatch.requests import RESPONSE_BYTES_MAX, Key, Refusals
from holdfast.dispatch.resolve import Provided, Work
from holdfast.dispatch.view import Look, ReadView
from holdfast.dispatch.writing import WriteTurn
from holdfast.errors import (
    BadRequest,
    CallError,
    ClientGone,
    Conflict,
    DeadlineExceeded,
    MessageTooLarge,
    Overloaded,
    PoolFull,
    TooLarge,
    TransactionLost,
)
from holdfast.observability import Operation, current
from holdfast.pump import Finished, first_step, is_cancelled
from holdfast.resilience import DeadlinePassed, Watch
from holdfast.security import scope_missing, token_missing
from holdfast.storage import MessageFilter
from holdfast.system.service import Route
from holdfast.system.signature import Signature, Source

JSON: tuple[bytes, bytes] = (b"content-type", b"application/json")

T = TypeVar("T")


class CompiledRoute:
    """One route, ready to serve. Calling it never raises: every error is an answer.

    Attributes:
        answer: the model that it answers with; None if that is not known.
        getters: what fills each parameter of its handler.
    """

    def __init__(
        self,
        route: Route,
        signature: Signature,
        *,
        core: Core,
        provided: Provided,
        reach: Reach,
        operation: Operation,
        on_error: Callable[[Request, BaseException], None],
        attempts: AttemptLimits | None = None,
    ) -> None:
        self.route = route
        self.signature = signature
        self.inputs = Inputs(signature)
        self._core = core
        self.ledger = core.ledger
        self.reach = reach
        self.operation = operation
        self._on_error = on_error
        self.attempts = attempts
        self.arguments = provided.arguments(signature)
        self.getters = {p.name: provided.getter(p) for p in signature.parameters}
        self.answer = answer_model(signature.returns)
        self._encode = reply_encoder(signature.returns)
        self.takes = {p.source for p in signature.parameters}
        self.writes = Source.TX in self.takes
        self._has_inputs = bool(
            self.takes & {Source.PATH, Source.QUERY, Source.HEADER, Source.BODY}
        )
        self._refusals = Refusals()
        self._in_flight: set[UUID] = set()
        self._watch = Watch()
        self._what = f"{route.method} {route.path}"

    async def __call__(self, request: Request, path: dict[str, str]) -> Response:
        """Serve one request."""
        operation = self.operation
        span = operation.part()
        error: Exception | None = None
        try:
            response = await self._serve(request, path)
        except asyncio.CancelledError as exc:
            if is_cancelled():
                operation.end(span, None)
                raise
            error = stray(exc)
            response = self.answer_to(error, request)
        except Exception as exc:  # the request's edge: every error becomes an answer here
            error = exc
            response = self.answer_to(error, request)
        operation.end(span, response.status, error)
        return response

    def answer_to(self, error: Exception, request: Request) -> Response:
        """Return the answer to a request that ended with an error, and record what is ours."""
        response = problem_of(_told(error, request), request.correlation_id)
        if response.status >= 500 and not isinstance(error, PoolFull):  # it has a metric
            self._on_error(request, error)
        return response

    async def _serve(self, request: Request, path: dict[str, str]) -> Response:
        route, caller = self.route, request.caller
        if not route.public:
            if caller is None:
                raise token_missing()
            if route.scope is not None and route.scope not in caller.scopes:
                raise scope_missing(route.scope)
        work = Work(caller=caller)
        if self._has_inputs:
            work.values = self.inputs.read(request, path)
        if self.attempts is not None:
            await self.attempts.check(request.client, work.values)
        if self.writes:
            return await self.write(request, work)
        return await self._read(request, work)

    async def _read(self, request: Request, work: Work) -> Response:
        view = ReadView(self.ledger)
        work.read = view
        if Source.OUTSIDE in self.takes:
            work.outside = OutsideView(self.reach, unit=None, deadline=request.deadline)
        try:
            handler = self.route.function(**self.arguments(work))
            return self.respond(await self.limited(request, handler))
        except TimeoutError as exc:
            raise too_late(request, self.route.path) from exc
        except Failure as failure:
            return problem_of(failure, request.correlation_id)
        finally:
            await view.close()

    async def limited(self, request: Request, part: Coroutine[object, None, T]) -> T:
        """Run what may still be cancelled, when the deadline passes or the client goes.

        Raises:
            TimeoutError, ClientGone
        """
        deadline = request.deadline
        now = asyncio.get_running_loop().time()
        if deadline is not None and deadline <= now:
            part.close()
            raise TimeoutError
        begun = first_step(part)
        if isinstance(begun, Finished):
            return begun.value
        return await self.until(request, begun)

    async def until(self, request: Request, rest: Awaitable[T]) -> T:
        """Await the rest of what was begun, until the deadline passes or the client goes.

        Raises:
            TimeoutError, ClientGone
        """
        deadline = request.deadline
        with WhileClientStays(request):
            if deadline is None:
                return await rest
            now = asyncio.get_running_loop().time()
            return await self._watch.run(lambda _: rest, limit_s=deadline - now, now=now)

    # -- writes ---------------------------------------------------------------------------------

    async def write(self, request: Request, work: Work) -> Response:
        """Run the handler in a transaction."""
        if self._core.high_water.is_reached():
            raise Overloaded(
                "too much is waiting to be delivered; writes are refused until it is less",
                headers={"Retry-After": "5"},
            )
        if self.route.record and (sent := request.header_all(b"idempotency-key")):
            return await self._write_once(request, work, set(sent))
        turn = self._turn(request, work, None)
        await self._perform(request, turn)
        if turn.refused is not None:
            return problem_of(turn.refused, request.correlation_id)
        assert turn.output is not None, "a turn that was performed has an answer"
        return turn.output

    async def _write_once(self, request: Request, work: Work, keys: set[bytes]) -> Response:
        """Write under an Idempotency-Key, or return what was answered under it before."""
        if len(keys) > 1:
            raise BadRequest("a request has one Idempotency-Key, and this one has several")
        key = Key(request, keys.pop(), self.route.path)
        if key.id in self._in_flight:
            raise Conflict(
                "a request with this Idempotency-Key is under way", headers={"Retry-After": "1"}
            )
        self._in_flight.add(key.id)
        try:
            return await self._recorded(key) or await self._recording(request, work, key)
        finally:
            self._in_flight.discard(key.id)

    async def _recording(self, request: Request, work: Work, key: Key) -> Response:
        turn = self._turn(request, work, key)
        try:
            await self._perform(request, turn)
        except Exception:  # raised again, unless the key has been answered
            # Another process may have committed this key meanwhile: then this run met its
            # record, or what else it left, such as a value in a unique column.
            recorded = await self._recorded(key)
            if recorded is None:
                raise
            return recorded
        if turn.refused is None:
            assert turn.output is not None, "a turn that was performed has an answer"
            return turn.output
        refusal = problem_of(turn.refused, request.correlation_id)
        recorded = await self._recorded(key)  # the same key may have succeeded elsewhere meanwhile
        if recorded is None:
            self._refusals.keep(key.row(self.ledger, refusal, self._now_ms()))
        return recorded or refusal

    async def _perform(self, request: Request, turn: WriteTurn[Response]) -> None:
        try:
            await self._core.writer.perform(turn)
        except TimeoutError as exc:
            raise too_late(request, self.route.path) from exc
        except DeadlineExceeded as exc:
            if _has_asked(exc):
                raise  # of what the handler has asked for
            raise too_late(request, self.route.path) from exc
        except RunAgain as exc:
            raise Overloaded("the database is busy", headers={"Retry-After": "1"}) from exc

    async def _recorded(self, key: Key) -> Response | None:
        which = MessageFilter(edges=(self.ledger.http_edge,), id=key.id, limit=1)
        rows = await self.ledger.database.messages(which)
        row = rows[0] if rows else self._refusals.find(key.id, self._now_ms())
        return key.recorded_response(row) if row is not None else None

    def _now_ms(self) -> int:
        return int(self.ledger.clock.now() * 1000)

    def _turn(self, request: Request, work: Work, key: Key | None) -> WriteTurn[Response]:
        takes, reach, deadline = self.takes, self.reach, request.deadline

        def call(unit: Unit) -> Coroutine[object, None, object]:
            work.tx = unit
            if Source.READ in takes:
                work.read = Look(self.ledger.database, unit)
            if Source.OUTSIDE in takes:
                work.outside = OutsideView(reach, unit=unit, deadline=deadline)
            return self.route.function(**self.arguments(work))

        record = None
        if key is not None:
            record = functools.partial(key.record, self.ledger)
        return WriteTurn(
            self._core,
            call,
            self._recordable,
            what=self._what,
            seed=None if key is None else key.id,
            cause=current.get().cause,
            limited=functools.partial(self.limited, request),
            wanted_until=request.wanted_until,
            record=record,
        )

    def _recordable(self, value: object) -> Response:
        response = self.respond(value)
        if len(response.body) > RESPONSE_BYTES_MAX:
            raise MessageTooLarge(
                f"the response is {len(response.body):,} bytes; the maximum is "
                f"{RESPONSE_BYTES_MAX:,}: page it"
            )
        return response

    def respond(self, value: object) -> Response:
        """Return what a handler returned as an answer. Raises ValidationError, ValueError."""
        if isinstance(value, Response):
            return _sendable(value)
        body = self._encode(value)
        return Response(self.route.status_code, [JSON] if body else [], body)


def _told(error: Exception, request: Request) -> Exception:
    """Return what the client is told.

    A body that is larger than what carries it on is the client's; a database that is away is
    nobody's, and the request may be sent again.
    """
    if isinstance(error, MessageTooLarge) and 2 * len(request.body) > MESSAGE_BYTES_MAX:
        return TooLarge(
            f"the body has {len(request.body):,} bytes, and what carries it on holds at most "
            f"{MESSAGE_BYTES_MAX:,}"
        )
    if isinstance(error, TransactionLost):
        return Overloaded("the database is away", headers={"Retry-After": "1"})
    return error


def _has_asked(error: CallError) -> bool:
    """Whether it may have had an effect: the deadline of the request itself had none."""
    return error.effect != "none"


def _sendable(response: Response) -> Response:
    """Return a handler's own response. Raises ValueError, before the commit, for a broken one."""
    if response.stream is not None:
        raise ValueError("a route answers in one piece; mount an app for what is streamed")
    if not 200 <= response.status <= 599:
        raise ValueError(f"a response's status must be from 200 to 599, got {response.status}")
    if any(byte in part for pair in response.headers for part in pair for byte in b"\r\n\0"):
        raise ValueError("a response header holds a line break or NUL")
    return response


def too_late(request: Request, path: str) -> ClientGone | DeadlinePassed:
    """Return the error of a request for which nobody waits, and which has written nothing."""
    if request.gone:
        return client_gone()
    return DeadlinePassed(f"{path}: the deadline passed before anything was written")
