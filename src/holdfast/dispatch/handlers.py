"""Compiled handlers of commands, undos, events and ticks: parse, resolve, run, encode."""

from uuid import UUID

from holdfast.consistency.delivery import Delivery
from holdfast.consistency.ledger import Ledger, encode
from holdfast.consistency.replay import derived_id
from holdfast.contract.carrier import carrier_of
from holdfast.contract.envelope import Kind, Letter, MessageRow, State
from holdfast.contract.messages import Message
from holdfast.dispatch.outside import OutsideView, Reach
from holdfast.dispatch.resolve import Provided, Work
from holdfast.dispatch.trail import messaging
from holdfast.dispatch.view import Look
from holdfast.observability import (
    Logger,
    Outcomes,
    SpanKind,
    SpanRecord,
    SpanSort,
    Tracing,
    current,
    semconv,
)
from holdfast.observability.span import Attributes, SpanLink, tick_trace_id, try_id
from holdfast.pump import may_wait
from holdfast.system.service import Job, tick_of
from holdfast.system.signature import read_signature
from holdfast.system.tables import MessageHandler


class CompiledHandler:
    """One handler, ready to run. Implements `consistency.Handled`."""

    __slots__ = (
        "_arguments",
        "_carrier",
        "_function",
        "_logger",
        "_name",
        "_outcomes",
        "_reach",
        "_reply",
        "_service",
        "_sort",
        "_tracing",
        "alone",
        "message",
        "waits",
    )

    def __init__(
        self,
        handler: MessageHandler,
        provided: Provided,
        reach: Reach,
        outcomes: Outcomes,
        tracing: Tracing,
        logger: Logger,
    ) -> None:
        self.message: type[Message] = handler.message
        self.alone = handler.alone
        self.waits = may_wait(handler.function)
        self._function = handler.function
        self._arguments = provided.arguments(handler.signature)
        self._reach = reach
        self._outcomes = outcomes
        self._logger = logger
        self._name = handler.message.wire_name()
        self._tracing = tracing
        self._service = reach.service.name
        destination = f"{self._service}.{self._name}"
        self._sort = messaging("process", destination, SpanKind.CONSUMER)
        reply_type = getattr(handler.message, "reply_type", None)  # only commands have one
        self._carrier = carrier_of(handler.message)
        self._reply = None if reply_type is None else carrier_of(reply_type)

    async def invoke(self, delivery: Delivery) -> object:
        """Run the handler on a letter."""
        letter, unit = delivery.letter, delivery.unit
        tracer, span_id = self._tracing.tracer, try_id(letter.id, delivery.claim)
        context = tracer.enter(letter, service=self._service, span_id=span_id)
        tracer.make_current(context)
        unit.cause = context.cause
        message = self._carrier.decode(bytes(letter.body))  # a newer sender's fields are no poison
        outside = _outside(self._reach, delivery)
        look = Look(unit.ledger.database, unit)
        work = Work(message=message, tx=unit, read=look, outside=outside)
        return await self._function(**self._arguments(work))

    def encode_reply(self, value: object) -> bytes:
        """Encode the reply.

        Raises:
            ValidationError, TypeError: it is not what the message promises.
            NotCarried: it would arrive changed.
        """
        if self._reply is None:
            if value is not None:
                raise TypeError(
                    f"{self.message.name} promises None, the handler answered {value!r}"
                )
            return b"null"
        return self._reply.encode(self._reply.fit(value))

    def next_row(self, now_ms: int) -> None:
        """Nothing comes after a letter."""

    def observe(
        self, delivery: Delivery, outcome: str, seconds: float, error: Exception | None
    ) -> None:
        """Count, log and record one run."""
        self._outcomes.observe("" if outcome == "reply" else outcome, seconds, current.get())
        self._logger.info("handled", message=self._name, outcome=outcome, ms=seconds * 1000)
        record_try(self._tracing, self._sort, delivery, seconds, error)


class CompiledJob:
    """One periodic job. Its next tick is inserted in the transaction of the one that ran."""

    message = Message
    alone = True
    waits = True

    def __init__(
        self,
        job: Job,
        ledger: Ledger,
        provided: Provided,
        reach: Reach,
        outcomes: Outcomes,
        tracing: Tracing,
    ) -> None:
        self.name = tick_of(job.kept_as)
        self._job = job
        self._ledger = ledger
        self._arguments = provided.arguments(read_signature(job.function))
        self._reach = reach
        self._outcomes = outcomes
        self._tracing = tracing
        self._sort = SpanSort(f"job {job.name}", SpanKind.INTERNAL)

    async def invoke(self, delivery: Delivery) -> None:
        """Run the job, then make its next tick; each tick begins a trace."""
        unit, id_ = delivery.unit, delivery.letter.id
        trace_id, tracer = tick_trace_id(id_), self._tracing.tracer
        context = tracer.root(
            trace_id,
            correlation_id=trace_id,
            service=self._ledger.service,
            span_id=try_id(id_, delivery.claim),
        )
        tracer.make_current(context)
        unit.cause = context.cause
        outside = _outside(self._reach, delivery)
        look = Look(unit.ledger.database, unit)
        await self._job.function(**self._arguments(Work(tx=unit, read=look, outside=outside)))
        unit.later(self.next_row)

    def next_row(self, now_ms: int) -> MessageRow:
        """Return the row of the first tick after `now_ms`; every replica makes the same one."""
        at = self._job.rhythm.next_ms(now_ms)
        edge = self._ledger.edge_to(self._ledger.service)
        id_ = derived_id(derived_id(_TICKS, self.name, 0), str(at), at)
        letter = Letter(id=id_, kind=Kind.TICK, type=self.name)
        return MessageRow(edge, id_, State.DUE, Kind.TICK, due_at=at, body=encode(letter))

    def encode_reply(self, value: object) -> bytes:
        """A job answers nobody."""
        return b"null"

    def observe(
        self, delivery: Delivery, outcome: str, seconds: float, error: Exception | None
    ) -> None:
        """Count and record one run."""
        self._outcomes.observe("" if outcome == "reply" else outcome, seconds, current.get())
        record_try(self._tracing, self._sort, delivery, seconds, error)


class GoneJob:
    """A job that the service does not have any more: its last tick ends here."""

    message = Message
    alone = False
    waits = True

    async def invoke(self, delivery: Delivery) -> None:
        """Do nothing, and make no next tick."""

    def encode_reply(self, value: object) -> bytes:
        """A job answers nobody."""
        return b"null"

    def next_row(self, now_ms: int) -> None:
        """There is none."""

    def observe(
        self, delivery: Delivery, outcome: str, seconds: float, error: Exception | None
    ) -> None:
        """Count nothing."""


def record_try(
    tracing: Tracing, sort: SpanSort, delivery: Delivery, seconds: float, error: Exception | None
) -> None:
    """Record the span of one try, which is the current one; a later try links to the first."""
    spans = tracing.spans
    if spans is None:
        return
    context, letter, ended = current.get(), delivery.letter, tracing.clock.monotonic()
    number = delivery.number
    attributes: Attributes = ((semconv.MESSAGE_ID, str(letter.id)),)
    links: tuple[SpanLink, ...] = ()
    if number > 1:
        attributes += ((semconv.TRY, number),)
        links = (SpanLink(context.trace_id, try_id(letter.id, 1)),)
    made = SpanRecord(sort, context, ended - seconds, ended, attributes, links=links)
    spans.record(made if error is None else made.failed(error))


def _outside(reach: Reach, delivery: Delivery) -> OutsideView:
    """Return the outside of one try; each call ends as an outage of who was called."""
    call_s = 0.9 * delivery.unit.ledger.schedule.lease_ms / 1000
    return OutsideView(reach, unit=delivery.unit, delivery=delivery, call_s=call_s)


_TICKS = UUID(int=0)
Compiled = CompiledHandler | CompiledJob | GoneJob
