"""Spans for tests: made with what a test is about, the rest is the same for all."""

from typing import Any

from holdfast.observability.span import SpanKind, SpanRecord, SpanSort
from holdfast.observability.trace import Context

SORT = SpanSort("GET /a", SpanKind.SERVER, (("http.route", "/a"),))


def context_of(trace: int = 1, span: int = 1, *, sampled: bool = True, **rest: Any) -> Context:
    """Return the context of a span of a trace, both named by a number."""
    return Context("c-1", f"{trace:032x}", f"{span:016x}", sampled, "orders", **rest)


def span_of(
    trace: int = 1,
    span: int = 1,
    *,
    sampled: bool = True,
    begun: float = 1.0,
    ended: float = 1.5,
    sort: SpanSort = SORT,
    **rest: Any,
) -> SpanRecord:
    """Return a span that has ended."""
    return SpanRecord(sort, context_of(trace, span, sampled=sampled), begun, ended, **rest)
