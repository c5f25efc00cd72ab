"""Logs, traces, metrics and health: what a process says about itself."""

from holdfast.observability import catalogue, semconv
from holdfast.observability.exposition import Exposition, exposition_of
from holdfast.observability.health import Health, in_brief
from holdfast.observability.instruments import Counter, Histogram, Outcomes
from holdfast.observability.logs import Level, Logger, bridge
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
    current,
    parse_traceparent,
)
from holdfast.observability.troubles import troubles

__all__ = [
    "CALL_ERRORS",
    "SAGA_ENDS",
    "SERVED_ERRORS",
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
    "bridge",
    "catalogue",
    "current",
    "exposition_of",
    "in_brief",
    "parse_traceparent",
    "semconv",
    "served",
    "troubles",
]
