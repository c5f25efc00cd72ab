"""Who and what the running code works for: W3C trace context in and out, and the sampling decision.

Every log line carries the trace it belongs to. Spans are not recorded yet; the decision is made
where a trace begins, so that a trace which is not sampled costs its ids and nothing else.
"""

import re
from contextvars import ContextVar
from typing import NamedTuple

import msgspec

from holdfast.ports import Random

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
_SAMPLED, _RANDOM = 0x01, 0x02  # a bit field: others are unknown, and not handed on
_FLAGS = slice(53, 55)


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
    """

    correlation_id: str = ""
    trace_id: str = ""
    span_id: str = ""
    sampled: bool = False
    service: str = ""
    parent_id: str = ""
    random: bool = False

    @property
    def traceparent(self) -> str:
        """The W3C header value that hands this span on as the parent, "" outside a trace."""
        if not self.trace_id:
            return ""
        flags = self.sampled | self.random << 1
        return f"00-{self.trace_id}-{self.span_id}-{flags:02x}"


NO_CONTEXT = Context()

current: ContextVar[Context] = ContextVar("holdfast_context", default=NO_CONTEXT)


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


class Tracer:
    """Makes the contexts of spans; decides once per trace whether it is recorded.

    The decision reads the trace id alone (its last 56 bits against a threshold), so processes
    with the same ratio agree on a trace without asking each other.

    Args:
        ratio: share of new traces that are recorded, 0 to 1.
    Source: OpenTelemetry, "Probability sampling", the rejection threshold.
    """

    def __init__(self, random: Random, *, ratio: float) -> None:
        if not 0.0 <= ratio <= 1.0:
            raise ValueError(f"ratio must be between 0 and 1, got {ratio}")
        self._random = random
        self._threshold = round((1.0 - ratio) * 2**56)

    def enter(self, traceparent: str, *, correlation_id: str, service: str) -> Context:
        """Return the context of work that came in with `traceparent`; an invalid one starts anew.

        Without a correlation id the trace id serves as one. A caller's sampling is followed.
        Where callers are strangers, pass "": they could otherwise have every request recorded.
        """
        parent = parse_traceparent(traceparent) if traceparent else None
        span_id = f"{self._random.getrandbits(64) or 1:016x}"
        if parent is not None:
            return Context(
                correlation_id,
                parent.trace_id,
                span_id,
                parent.sampled,
                service,
                parent.span_id,
                bool(int(traceparent[_FLAGS], 16) & _RANDOM),
            )
        trace = self._random.getrandbits(128) or 1
        sampled = trace & (2**56 - 1) >= self._threshold
        trace_id = f"{trace:032x}"
        return Context(correlation_id or trace_id, trace_id, span_id, sampled, service)
