"""Logs, traces, metrics and health: what a process says about itself."""

from holdfast.observability import catalogue, semconv
from holdfast.observability.audit import Audit
from holdfast.observability.bridge import bridged
from holdfast.observability.exposition import Exposition, exposition_of
from holdfast.observability.health import Health, in_brief
from holdfast.observability.instruments import Counter, Histogram, Outcomes
from holdfast.observability.logs import Level, Logger
from holdfast.observability.metrics import (
    CALL_ERRORS,
    SAGA_ENDS,
    SERVED_ERRORS,
    Metrics,
    RouteOutcomes,
)
from holdfast.observability.operation import Operation, Part, Requests, Span, Tracing, served
from holdfast.observability.span import SpanKind, SpanRecord, SpanSort
from holdfast.observability.spans import Spans
from holdfast.observability.trace import (
    Context,
    Tracer,
    context_of,
    current,
    parse_traceparent,
    within,
)
from holdfast.observability.troubles import troubles

__all__ = [
    "CALL_ERRORS",
    "SAGA_ENDS",
    "SERVED_ERRORS",
    "Audit",
    "Context",
    "Counter",
    "Exposition",
    "Health",
    "Histogram",
    "Level",
    "Logger",
    "Metrics",
    "Operation",
    "Outcomes",
    "Part",
    "Requests",
    "RouteOutcomes",
    "Span",
    "SpanKind",
    "SpanRecord",
    "SpanSort",
    "Spans",
    "Tracer",
    "Tracing",
    "bridged",
    "catalogue",
    "context_of",
    "current",
    "exposition_of",
    "in_brief",
    "parse_traceparent",
    "semconv",
    "served",
    "troubles",
    "within",
]
