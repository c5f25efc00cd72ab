"""Spans that users and libraries make with OpenTelemetry's API: they nest with those of Holdfast.

Nothing else imports OpenTelemetry, and this is imported only where spans are exported and its SDK
(the extra `otel`) is installed. A provider that somebody has set before is left as it is: it
exports its spans itself, and they nest all the same.
"""

import asyncio
import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from opentelemetry import trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context as OtelContext
from opentelemetry.context import attach, get_current
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import StatusCode, TraceFlags, TraceState

from holdfast.contract.secret_names import is_secret_name
from holdfast.observability import semconv
from holdfast.observability.redact import REDACTED, scrub
from holdfast.observability.span import (
    Attributes,
    SpanEvent,
    SpanKind,
    SpanLink,
    SpanRecord,
    SpanSort,
    Value,
    exception_event,
)
from holdfast.observability.spans import Additions, Spans
from holdfast.observability.trace import Context
from holdfast.ports import Random

_OPEN_MAX = 10_000  # spans of users that have not ended
_PLAIN = (str, bool, int, float)
(_CURRENT,) = trace.set_span_in_context(trace.INVALID_SPAN, OtelContext())  # the span's key


class CurrentSpan(trace.Span):
    """A span of Holdfast's as OpenTelemetry's API sees it; what is set on it goes with it."""

    _made: trace.SpanContext | None = None

    def __init__(self, context: Context, owner: "OtelSpans") -> None:
        self.context, self.owner = context, owner

    def get_span_context(self) -> trace.SpanContext:
        if self._made is None:
            context = self.context
            self._made = trace.SpanContext(
                int(context.trace_id, 16),
                int(context.span_id, 16),
                is_remote=False,
                trace_flags=TraceFlags(int(context.sampled)),
                trace_state=TraceState.from_header([context.tracestate]),
            )
        return self._made

    def is_recording(self) -> bool:
        return True

    def set_attributes(self, attributes: Mapping[str, object]) -> None:
        for name, value in attributes.items():
            self.set_attribute(name, value)

    def set_attribute(self, key: str, value: object) -> None:
        self._add(Additions(attributes=_plain({key: value})))

    def add_event(
        self,
        name: str,
        attributes: Mapping[str, object] | None = None,
        timestamp: int | None = None,
    ) -> None:
        at = self.owner.monotonic(timestamp)
        self._add(Additions(events=(SpanEvent(str(name), at, _plain(attributes)),)))

    def record_exception(
        self,
        exception: BaseException,
        attributes: Mapping[str, object] | None = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        event = exception_event(exception, self.owner.monotonic(timestamp))
        self._add(Additions(events=(event,)))

    def set_status(self, status: object, description: str | None = None) -> None:
        code = getattr(status, "status_code", status)
        if code is StatusCode.ERROR:
            said = description or getattr(status, "description", None) or ""
            self._add(Additions(error="error", message=scrub(said)))

    def update_name(self, name: str) -> None:
        """The name is the operation's."""

    def end(self, end_time: int | None = None) -> None:
        """Holdfast ends it."""

    def _add(self, additions: Additions) -> None:
        self.owner.in_loop(lambda: self.owner.spans.add(self.context.span_id, additions))


class CurrentContext(OtelContext):
    """Where a span of Holdfast's is the current one; few ask for it, so that it is made then."""

    __slots__ = ("context", "owner", "span")

    def __init__(self, context: Context, owner: "OtelSpans") -> None:
        self.context, self.owner = context, owner
        self.span: CurrentSpan | None = None

    def get(self, key: str, default: object = None) -> object:
        """Return the span, which is all that is here."""
        if key != _CURRENT:
            return default
        if self.span is None:
            self.span = CurrentSpan(self.context, self.owner)
        return self.span

    def copy(self) -> dict[str, object]:
        """Return what OpenTelemetry makes the next context of."""
        return {_CURRENT: self.get(_CURRENT)}


class OtelSpans:
    """Implements `trace.ForeignSpans` for one process; made in its loop."""

    def __init__(self, spans: Spans, random: Random) -> None:
        self.spans, self.random = spans, random
        self._thread = threading.get_ident()
        self._loop = asyncio.get_running_loop()
        _provide()

    def attach(self, context: Context) -> None:
        """See `ForeignSpans.attach`."""
        if not context.trace_id:
            attach(OtelContext())
            return
        if context.baggage:
            base = W3CBaggagePropagator().extract({"baggage": context.baggage}, OtelContext())
            attach(trace.set_span_in_context(CurrentSpan(context, self), base))
        else:
            attach(CurrentContext(context, self))

    def current(self) -> OtelContext:
        """See `ForeignSpans.current`."""
        return get_current()

    def back_to(self, outer: object) -> None:
        """See `ForeignSpans.back_to`."""
        if isinstance(outer, OtelContext):
            attach(outer)

    def innermost(self, context: Context, current: object) -> str:
        """See `ForeignSpans.innermost`."""
        if type(current) is CurrentContext or not (
            isinstance(current, OtelContext) and _CURRENT in current
        ):
            return context.span_id
        found = trace.get_current_span().get_span_context()
        if found.is_valid and f"{found.trace_id:032x}" == context.trace_id:
            return f"{found.span_id:016x}"
        return context.span_id

    def monotonic(self, wall_ns: int | None) -> float:
        """Return a time of OpenTelemetry's on the scale of ours; None: now."""
        return self.spans.clock.monotonic() if wall_ns is None else wall_ns / 1e9 + self._offset_s()

    def _offset_s(self) -> float:
        return self.spans.clock.monotonic() - self.spans.clock.now()

    def in_loop(self, function: Callable[[], None]) -> None:
        """Call a function in the loop's thread: users may end spans in others."""
        if threading.get_ident() == self._thread:
            function()
            return
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:  # the loop is closed: nobody exports any more
            return

    def take(self, span: ReadableSpan, within: Context) -> None:
        """Record a span that was made within one of ours."""
        record = self._record(span, within)
        if record is not None:
            self.in_loop(lambda: self.spans.record(record))

    def _record(self, span: ReadableSpan, within: Context) -> SpanRecord | None:
        ids, scope = span.context, span.instrumentation_scope
        if ids is None or span.start_time is None or span.end_time is None:
            return None
        context = Context(
            within.correlation_id,
            f"{ids.trace_id:032x}",
            f"{ids.span_id:016x}",
            bool(ids.trace_flags & TraceFlags.SAMPLED),
            within.service,
            f"{span.parent.span_id:016x}" if span.parent is not None else "",
            tracestate=within.tracestate,
        )
        sort = SpanSort(
            scrub(span.name),
            SpanKind(span.kind.value + 1),
            scope=scope.name if scope is not None else "",
            scope_version=(scope.version or "") if scope is not None else "",
        )
        offset_s = self._offset_s()  # one for all, so that they stay in their order
        attributes, failed = _plain(span.attributes), span.status.status_code is StatusCode.ERROR
        events = tuple(
            SpanEvent(event.name, event.timestamp / 1e9 + offset_s, _plain(event.attributes))
            for event in span.events
        )
        return SpanRecord(
            sort,
            context,
            span.start_time / 1e9 + offset_s,
            span.end_time / 1e9 + offset_s,
            tuple(pair for pair in attributes if pair[0] != semconv.ERROR_TYPE),
            error=_error_type(attributes, events) if failed else "",
            message=scrub(span.status.description or ""),
            events=events,
            links=tuple(
                SpanLink(f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}")
                for link in span.links
            ),
        )


def _error_type(attributes: Attributes, events: Sequence[SpanEvent]) -> str:
    """Return what kind of error a span says that it ended with."""
    named = dict(attributes).get(semconv.ERROR_TYPE)
    for event in events:
        named = named or dict(event.attributes).get(semconv.EXCEPTION_TYPE)
    return str(named or "error")


def _plain(attributes: Mapping[str, object] | None) -> Attributes:
    """Return what may leave of attributes: plain values, and no secrets."""
    found: list[tuple[str, Value]] = []
    for name, value in (attributes or {}).items():
        if is_secret_name(name):
            found.append((name, REDACTED))
        elif isinstance(value, str):
            found.append((name, scrub(value)))
        elif isinstance(value, _PLAIN):
            found.append((name, value))
        elif isinstance(value, (list, tuple)):
            items = [v for v in cast("Sequence[object]", value) if isinstance(v, _PLAIN)]
            found.append((name, tuple(scrub(v) if isinstance(v, str) else v for v in items)))
    return tuple(found)


class _Within(Sampler):
    """Records what is made within a span of ours; it is exported if that is."""

    def should_sample(
        self,
        parent_context: OtelContext | None,
        trace_id: int,
        name: str,
        kind: object = None,
        attributes: object = None,
        links: object = None,
        trace_state: object = None,
    ) -> SamplingResult:
        parent = trace.get_current_span(parent_context)
        if _owner_of(parent) is None:
            return SamplingResult(Decision.DROP)
        context = parent.get_span_context()
        sampled = context.trace_flags & TraceFlags.SAMPLED
        decision = Decision.RECORD_AND_SAMPLE if sampled else Decision.RECORD_ONLY
        return SamplingResult(decision, trace_state=context.trace_state)

    def get_description(self) -> str:
        return "within Holdfast's"


class _Ids(IdGenerator):
    """Draws ids by the port of whose span it is within; what belongs to nobody is numbered.

    Nobody's spans are dropped, and code under simulation must not draw by itself.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def generate_span_id(self) -> int:
        return self._drawn(64)

    def generate_trace_id(self) -> int:
        return self._drawn(128)

    def _drawn(self, bits: int) -> int:
        owner = _owner_of(trace.get_current_span())
        return next(self._numbers) if owner is None else owner[0].random.getrandbits(bits) or 1


class _Hand(SpanProcessor):
    """Hands spans of users to the process in whose span they were made."""

    def __init__(self) -> None:
        self._open: OrderedDict[int, tuple[OtelSpans, Context]] = OrderedDict()

    def on_start(self, span: SdkSpan, parent_context: OtelContext | None = None) -> None:
        owner = _owner_of(trace.get_current_span(parent_context))
        if owner is None:
            return
        span._holdfast = owner  # type: ignore[attr-defined]  # for spans within this one
        self._open[span.get_span_context().span_id] = owner
        if len(self._open) > _OPEN_MAX:
            self._open.popitem(last=False)

    def on_end(self, span: ReadableSpan) -> None:
        owner = self._open.pop(span.context.span_id, None) if span.context is not None else None
        if owner is not None:
            owner[0].take(span, owner[1])


def _owner_of(span: trace.Span) -> "tuple[OtelSpans, Context] | None":
    """Return whose span it is, and the span of ours that it is within."""
    if isinstance(span, CurrentSpan):
        return span.owner, span.context
    return getattr(span, "_holdfast", None)


_provided: list[TracerProvider] = []


def _provide() -> None:
    """Let OpenTelemetry's API make spans, once for the interpreter."""
    if not _provided and isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        provider = TracerProvider(sampler=_Within(), id_generator=_Ids(), shutdown_on_exit=False)
        provider.add_span_processor(_Hand())
        trace.set_tracer_provider(provider)
        _provided.append(provider)
