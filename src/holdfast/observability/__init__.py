"""Logs, traces, metrics and health: what a process says about itself."""

from holdfast.contract.secret_names import is_secret_name
from holdfast.observability import catalogue
from holdfast.observability.context import NO_CONTEXT, Context, current
from holdfast.observability.health import Check, Health, in_brief
from holdfast.observability.instruments import Counter, Histogram, Outcomes
from holdfast.observability.log_buffer import LogStats
from holdfast.observability.logs import Bridge, Level, Logger, bridge
from holdfast.observability.metrics import (
    CALL_ERRORS,
    CONTENT_TYPE,
    SAGA_ENDS,
    SERVED_ERRORS,
    HandlerOutcomes,
    Metrics,
    RouteOutcomes,
    SagaOutcomes,
)
from holdfast.observability.operation import Operation, Requests, Span
from holdfast.observability.redact import REDACTED, describe, scrub
from holdfast.observability.trace import (
    Parent,
    Tracer,
    parse_traceparent,
)
from holdfast.observability.troubles import troubles

__all__ = [
    "CALL_ERRORS",
    "CONTENT_TYPE",
    "NO_CONTEXT",
    "REDACTED",
    "SAGA_ENDS",
    "SERVED_ERRORS",
    "Bridge",
    "Check",
    "Context",
    "Counter",
    "HandlerOutcomes",
    "Health",
    "Histogram",
    "Level",
    "LogStats",
    "Logger",
    "Metrics",
    "Operation",
    "Outcomes",
    "Parent",
    "Requests",
    "RouteOutcomes",
    "SagaOutcomes",
    "Span",
    "Tracer",
    "bridge",
    "catalogue",
    "current",
    "describe",
    "in_brief",
    "is_secret_name",
    "parse_traceparent",
    "scrub",
    "troubles",
]
