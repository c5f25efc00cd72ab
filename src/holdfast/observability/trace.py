"""Who and what the running code works for: W3C trace context in and out, and the sampling decision.

Every log line carries the trace it belongs to. Whether its spans are exported is decided where it
begins; they are recorded where a `Spans` is there to take them (`observability.spans`).
"""

import re
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple, Protocol

import msgspec

from holdfast.contract.cause import NO_CAUSE, SUBJECT_CHARS_MAX, Cause
from holdfast.ports import Random

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
_SAMPLED, _RANDOM = 0x01, 0x02  # a bit field: others are unknown, and not handed on
_FLAGS = slice(53, 55)
_FLAG_TEXTS = ("00", "01", "02", "03")  # a look-up takes a third of the time of a format


class Context(msgspec.Struct, frozen=True, gc=False):
    """The request or message that is being worked on.

    Attributes:
        correlation_id: finds all logs of what one request caused; survives new traces.
        trace_id: 32 lower-case hex digits, "" outside a trace.
        span_id: 16 lower-case hex digits, "" outside a trace.
        sampled: whether spans of this trace are recorded; logs are written either way.
        service: whose code runs; several services may share a process.
        parent_id: the span that caused this one, "" for the first of a trace.
        random: whoever began the trace says that its id is random; it is handed on as it came.
        tracestate, baggage: W3C headers that are handed on as they came.
        subject: for whom the request was, as data: see `Cause`.
    """

    correlation_id: str = ""
    trace_id: str = ""
    span_id: str = ""
    sampled: bool = False
    service: str = ""
    parent_id: str = ""
    random: bool = False
    tracestate: str = ""
    baggage: str = ""
    subject: str = ""

    @property
    def cause(self) -> Cause:
        """What this span hands on to the work that it asks for."""
        return Cause(
            correlation=self.correlation_id,
            trace=self.traceparent,
            tracestate=self.tracestate,
            baggage=self.baggage,
            subject=self.subject,
        )

    def of_subject(self, subject: str) -> "Context":
        """Return the same context, for a caller."""
        told = subject if len(subject) <= SUBJECT_CHARS_MAX else ""
        return msgspec.structs.replace(self, subject=told)

    @property
    def traceparent(self) -> str:
        """The W3C header value that hands this span on as the parent, "" outside a trace."""
        if not self.trace_id:
            return ""
        return f"00-{self.trace_id}-{self.span_id}-{_FLAG_TEXTS[self.sampled + 2 * self.random]}"


NO_CONTEXT = Context()

current: ContextVar[Context] = ContextVar("holdfast_context", default=NO_CONTEXT)


def context_of(cause: Cause, *, service: str) -> Context:
    """Return the context of lines about what nobody here works on now: that of its sender."""
    parent = parse_traceparent(cause.trace) if cause.trace else None
    if parent is None:
        return Context(cause.correlation, service=service, subject=cause.subject)
    return Context(cause.correlation, *parent, service, subject=cause.subject)


def make_subject(subject: str) -> Context:
    """Let the current work be for a caller, and return its context."""
    context = current.get().of_subject(subject)
    current.set(context)
    return context


@contextmanager
def within(context: Context) -> Generator[None]:
    """Let the lines of a block, and of the tasks that it makes, belong to a context."""
    token = current.set(context)
    try:
        yield
    finally:
        current.reset(token)


class Parent(NamedTuple):
    """What a caller's traceparent says."""

    trace_id: str
    span_id: str
    sampled: bool


def parse_traceparent(value: str) -> Parent | None:
    """Return the caller's span, or None when the header is absent or breaks the specification.

    A version above 00 is read as far as 00 goes, and may carry more after a dash.

    Source: W3C Trace Context, section 3.2; the random bit is of its level 2.
    """
    found = _TRACEPARENT.fullmatch(value)
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more is not None):
        return None
    if trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return Parent(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))


def sampled_trace(traceparent: str) -> str:
    """Return a traceparent that says that its trace is recorded; "" for none."""
    if not traceparent:
        return ""
    flags = int(traceparent[_FLAGS], 16) | _SAMPLED
    return f"{traceparent[: _FLAGS.start]}{flags:02x}"


Outer = tuple[Context, object]
"""What was current before a span began, and what `ForeignSpans.current` returned then."""


class ForeignSpans(Protocol):
    """Spans that are not made by Holdfast, and nest with those that are."""

    def attach(self, context: Context) -> None:
        """Let what is recorded from here on be below this span; NO_CONTEXT: below none."""
        ...

    def current(self) -> object:
        """Return what is recorded now below whatever it is, for `back_to`."""
        ...

    def back_to(self, outer: object) -> None:
        """Let what is recorded be below what it was below before."""
        ...

    def innermost(self, context: Context, current: object) -> str:
        """Return the id of the span that is the current one within `context`'s, or its own.

        Args:
            current: what `current` returned.
        """
        ...


def _handed_on(
    cause: Cause, parent: Parent, service: str, span_id: str, parent_id: str = ""
) -> Context:
    """Return the context of what a caller's span is the parent of, or of that span itself."""
    return Context(
        cause.correlation or parent.trace_id,
        parent.trace_id,
        span_id,
        parent.sampled,
        service,
        parent_id,
        bool(int(cause.trace[_FLAGS], 16) & _RANDOM),
        cause.tracestate,
        cause.baggage,
        cause.subject,
    )


class Tracer:
    """Makes the contexts of spans; decides once per trace whether it is recorded.

    The decision reads the trace id alone (its last 56 bits against a threshold), so processes
    with the same ratio agree on a trace without asking each other.

    Args:
        ratio: share of new traces that are recorded, 0 to 1.
        foreign: other code that records spans, such as a user's; see `ForeignSpans`.
    Source: OpenTelemetry, "Probability sampling", the rejection threshold.
    """

    def __init__(
        self, random: Random, *, ratio: float, foreign: "ForeignSpans | None" = None
    ) -> None:
        if not 0.0 <= ratio <= 1.0:
            raise ValueError(f"ratio must be between 0 and 1, got {ratio}")
        self._random = random
        self._foreign = foreign
        self._threshold = round((1.0 - ratio) * 2**56)

    def enter(self, cause: Cause, *, service: str, span_id: str = "") -> Context:
        """Return the context of work that something caused; a broken trace starts anew.

        Without a correlation id the trace id serves as one. A caller's sampling is followed.
        Where callers are strangers, hand in no trace: they could have every request recorded.

        Args:
            span_id: where it has to be found again; drawn by default.
        """
        parent = parse_traceparent(cause.trace) if cause.trace else None
        if not span_id:
            span_id = self.new_span_id()
        if parent is not None:
            return _handed_on(cause, parent, service, span_id, parent.span_id)
        trace_id = (self._random.getrandbits(128) or 1).to_bytes(16).hex()
        correlation_id = cause.correlation or trace_id
        context = self.root(
            trace_id, correlation_id=correlation_id, service=service, span_id=span_id
        )
        if not cause.baggage and not cause.subject:  # these are handed on without a trace, too
            return context
        return msgspec.structs.replace(context, baggage=cause.baggage, subject=cause.subject)

    def follow(self, cause: Cause, *, service: str) -> Context:
        """Return the context of what only passes work on, and has no span: that of its sender."""
        parent = parse_traceparent(cause.trace) if cause.trace else None
        if parent is None:
            return self.enter(cause, service=service)
        return _handed_on(cause, parent, service, parent.span_id)

    def root(self, trace_id: str, *, correlation_id: str, service: str, span_id: str) -> Context:
        """Return the context of what begins a trace."""
        sampled = int(trace_id[-14:], 16) >= self._threshold
        return Context(correlation_id, trace_id, span_id, sampled, service)

    def enter_part(self, service: str) -> tuple[Context, Outer]:
        """Make a part of what is under way the current span, run by `service`, "" as the whole is.

        Returns: its context, and what to go back to.
        """
        now, foreign = current.get(), self._foreign  # `outer` and `make_current`, written out
        within = None if foreign is None else foreign.current()
        if now.trace_id:
            context = Context(
                now.correlation_id,
                now.trace_id,
                (self._random.getrandbits(64) or 1).to_bytes(8).hex(),
                now.sampled,
                service or now.service,
                now.span_id if foreign is None else foreign.innermost(now, within),
                now.random,
                now.tracestate,
                now.baggage,
                now.subject,
            )
        else:
            context = self.enter(now.cause, service=service or now.service)
        current.set(context)
        if foreign is not None:
            foreign.attach(context)
        return context, (now, within)

    def enter_whole(self, cause: Cause, subject: str) -> Context:
        """Return the context of a gateway's request; it is not made the current one.

        Args:
            subject: for whom the request is; "": nobody was authenticated.
        """
        if cause is not NO_CAUSE:
            return self.enter(cause, service="gateway").of_subject(subject)
        if len(subject) > SUBJECT_CHARS_MAX:
            subject = ""
        # At once, since each request comes here; neither of the two is 0 in any run that is real.
        drawn = self._random.getrandbits(192).to_bytes(24).hex()
        trace_id = drawn[:32]
        sampled = int(drawn[18:32], 16) >= self._threshold
        return Context(
            trace_id, trace_id, drawn[32:], sampled, "gateway", "", False, "", "", subject
        )

    @property
    def nests_foreign(self) -> bool:
        """Whether other code records spans here."""
        return self._foreign is not None

    def make_current(self, context: Context) -> None:
        """Let everything that happens from here on belong to a span."""
        current.set(context)
        if self._foreign is not None:
            self._foreign.attach(context)

    def outer(self) -> Outer:
        """Return what is current, to go back to it."""
        foreign = self._foreign
        return current.get(), None if foreign is None else foreign.current()

    def back_to(self, outer: Outer) -> None:
        """Let what happens from here on belong to what was current before, and to no more."""
        context, foreign = outer
        current.set(context)
        if self._foreign is not None:
            self._foreign.back_to(foreign)

    def new_span_id(self) -> str:
        """Draw the id of a span."""
        return (self._random.getrandbits(64) or 1).to_bytes(8).hex()
