"""Who and what the running code works for: set at the door, read by every log line and span."""

from contextvars import ContextVar

import msgspec


class Context(msgspec.Struct, frozen=True):
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
