"""The trail of one service: spans of the letters that it sends, and of its sagas' advances."""

import functools
from collections.abc import Callable, Sequence
from types import TracebackType
from uuid import UUID

import msgspec

from holdfast.contract.cause import Cause
from holdfast.contract.envelope import Kind, Letter, SagaInput, SagaRow
from holdfast.observability import Context, Spans, Tracing, context_of, semconv
from holdfast.observability.span import (
    SpanKind,
    SpanRecord,
    SpanSort,
    link_to,
    tick_trace_id,
    try_id,
)
from holdfast.observability.trace import sampled_trace


class ServiceTrail:
    """Implements `consistency.trail.Trail`."""

    def __init__(self, service: str, tracing: Tracing) -> None:
        self._service, self._tracing = service, tracing
        self._sorts: dict[tuple[str, str], SpanSort] = {}

    def letter(
        self, cause: Cause, type: str, receiver: str, id: UUID
    ) -> tuple[Cause, Callable[[], None] | None]:
        """Let a letter that is made now have a span, whose child is what its receiver does."""
        tracing = self._tracing
        spans = tracing.spans
        if spans is None:
            return cause, None
        context = tracing.tracer.enter(cause, service=self._service)
        sort = self._sorts.get((receiver, type)) or self._learn(receiver, type)
        begun = tracing.clock.monotonic()
        attributes = (
            (semconv.MESSAGE_ID, str(id)),
            (semconv.CONVERSATION_ID, context.correlation_id),
        )
        span = SpanRecord(sort, context, begun, begun, attributes)
        return context.cause, functools.partial(_sent, spans, span)

    def _learn(self, receiver: str, type: str) -> SpanSort:
        sort = messaging("send", f"{receiver}.{type}", SpanKind.PRODUCER)
        self._sorts[receiver, type] = sort
        return sort

    def advance(self, saga: SagaRow, stored: SagaInput, links: Sequence[str]) -> "SagaAdvance":
        """Let an advance be the current span while it lasts."""
        return SagaAdvance(self._tracing, self._service, saga, stored, links)


def about(cause: Cause, service: str) -> Context:
    """Return the context of lines about a letter, or a saga, on which nobody works now."""
    if isinstance(cause, Letter) and cause.kind is Kind.TICK:  # it began its own trace
        trace_id = tick_trace_id(cause.id)
        return Context(trace_id, trace_id, try_id(cause.id, 1), service=service)
    return context_of(cause, service=service)


def _sent(spans: Spans, span: SpanRecord) -> None:
    spans.record(msgspec.structs.replace(span, ended=spans.clock.monotonic()))


def messaging(operation: str, destination: str, kind: SpanKind) -> SpanSort:
    """Return the sort of spans of what is done with a letter."""
    return SpanSort(
        f"{operation} {destination}",
        kind,
        (
            (semconv.MESSAGING, semconv.OURS),
            (semconv.MESSAGING_OPERATION, operation),
            (semconv.MESSAGING_OPERATION_TYPE, operation),
            (semconv.DESTINATION, destination),
        ),
    )


class SagaAdvance:
    """Implements `consistency.trail.Advancing`."""

    __slots__ = (
        "_begun",
        "_context",
        "_ended",
        "_links",
        "_outer",
        "_saga",
        "_stored",
        "_tracing",
    )

    def __init__(
        self,
        tracing: Tracing,
        service: str,
        saga: SagaRow,
        stored: SagaInput,
        links: Sequence[str],
    ) -> None:
        self._tracing, self._saga, self._stored, self._links = tracing, saga, stored, links
        self._context = tracing.tracer.enter(stored, service=service)
        self._begun = self._ended = 0.0
        self._outer = tracing.tracer.outer()

    @property
    def cause(self) -> Cause:
        """What it hands on; without anybody who records, what the saga was started with."""
        return self._stored if self._tracing.spans is None else self._context.cause

    @property
    def mark(self) -> str:
        """Its traceparent, "" where nothing is recorded."""
        return "" if self._tracing.spans is None else self._context.traceparent

    def keep(self) -> str:
        """Have the trace kept in this process, and sampled wherever it comes from now on."""
        spans, context = self._tracing.spans, self._context
        if spans is None or context.sampled:
            return ""
        self._context = msgspec.structs.replace(context, sampled=True)
        self._tracing.tracer.make_current(self._context)
        spans.keep(context.trace_id)
        return sampled_trace(self._stored.trace)

    def __enter__(self) -> "SagaAdvance":
        self._begun = self._tracing.clock.monotonic()
        self._tracing.tracer.make_current(self._context)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended = self._tracing.clock.monotonic()
        self._tracing.tracer.back_to(self._outer)

    def committed(self) -> None:
        """Record the span: it has happened."""
        spans, saga = self._tracing.spans, self._saga
        if spans is None:
            return
        parked = saga.state == "parked"
        attributes = (
            (semconv.SAGA, saga.type),
            (semconv.SAGA_ID, str(saga.id)),
            (semconv.SAGA_STATE, saga.state),
            (semconv.CONVERSATION_ID, self._context.correlation_id),
        )
        links = tuple(link for mark in self._links for link in link_to(mark))
        sort = SpanSort(f"saga {saga.type}", SpanKind.INTERNAL)
        spans.record(
            SpanRecord(
                sort,
                self._context,
                self._begun,
                self._ended,
                attributes,
                error="saga_parked" if parked else "",
                message=(saga.error or "") if parked else "",
                links=links,
            )
        )
