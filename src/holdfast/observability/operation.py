"""Operations: what comes in, is done, and ends in one of several ways.

A request at the door, a route, a query: each has one begin, where its context is made, and one end,
where everything hangs that tells of it: the metric, the log line and the span. A `Part` is a piece
of one that has a span and no metric of its own, such as a call to somebody else.
"""

from collections.abc import Mapping
from types import TracebackType

import msgspec

from holdfast.contract.cause import Cause
from holdfast.contract.http import Request
from holdfast.observability import semconv
from holdfast.observability.instruments import Outcomes
from holdfast.observability.logs import Logger
from holdfast.observability.metrics import Metrics, RouteOutcomes
from holdfast.observability.span import (
    NEVER_SLOW,
    Attributes,
    SpanKind,
    SpanRecord,
    SpanSort,
    Value,
)
from holdfast.observability.spans import Spans
from holdfast.observability.trace import NO_CONTEXT, Context, Outer, Tracer, current
from holdfast.ports import Clock

_REMEMBERED_MAX = 1_000
_BROKEN_OFF = "cancelled"
_NOTHING: Outer = NO_CONTEXT, None
_OF_REQUESTS = (semconv.SCHEME, semconv.PATH, semconv.CLIENT_ADDRESS)


class Span(msgspec.Struct, frozen=True, gc=False):
    """One run of an operation.

    Attributes:
        context: where it stands in its trace. outer: what was current before.
        begun: when, on the clock's monotonic scale.
    """

    context: Context
    begun: float
    outer: Outer


class Tracing(msgspec.Struct, frozen=True):
    """What everything that has spans is made with; one for a process.

    Attributes:
        spans: where they are recorded; None: nowhere, and contexts travel all the same.
    """

    tracer: Tracer
    clock: Clock
    spans: Spans | None = None

    @property
    def records(self) -> bool:
        """Whether spans are recorded, or others may record some in between."""
        return self.spans is not None or self.tracer.nests_foreign

    def part(self, sort: SpanSort, attributes: Attributes = ()) -> "Part":
        """Return a part of what is under way, to be entered."""
        return Part(self, sort, attributes)


def served(
    method: str, route: str, *, slow_s: float = NEVER_SLOW, names: tuple[str, ...] = ()
) -> SpanSort:
    """Return the sort of the spans of a route, at the gateway or in its service.

    Args:
        names: of the attributes that each of them has before its status.
    """
    attributes = ((semconv.METHOD, method), (semconv.ROUTE, route)) if route else ()
    return SpanSort(
        f"{method} {route}".rstrip(),
        SpanKind.SERVER,
        attributes,
        slow_s,
        names=(*names, semconv.STATUS),
    )


class Operation:
    """One thing that a service does for others again and again, such as a route or a query.

    Args:
        service: whose code runs.
        outcomes: what its ends are counted by.

    Attributes:
        records: see `Tracing.records`.
    """

    __slots__ = ("_sort", "_spans", "clock", "outcomes", "records", "service", "tracer")

    def __init__(
        self,
        service: str,
        outcomes: Outcomes,
        sort: SpanSort,
        tracing: Tracing,
    ) -> None:
        self.service = service
        self.outcomes = outcomes
        self._sort = sort
        self.tracer, self.clock, self._spans = tracing.tracer, tracing.clock, tracing.spans
        self.records = tracing.records

    def begin(self, cause: Cause) -> Span:
        """Begin work that something else asked for; its context is the current one."""
        tracer = self.tracer
        context, outer = tracer.enter(cause, service=self.service), tracer.outer()
        tracer.make_current(context)
        self.outcomes.active += 1
        return Span(context, self.clock.monotonic(), outer)

    def part(self) -> Span:
        """Begin a part of what is under way already; its context is the current one."""
        context, outer = self.tracer.enter_part(self.service)
        self.outcomes.active += 1
        return Span(context, self.clock.monotonic(), outer)

    def end(
        self,
        span: Span,
        outcome: int | str | None,
        error: BaseException | None = None,
    ) -> None:
        """End a run, by how it ended: see `Outcomes.observe`; None: it was broken off."""
        self.outcomes.active -= 1
        ended = self.clock.monotonic()
        if outcome is not None:
            self.outcomes.observe(outcome, ended - span.begun, span.context)
        self.record(span, ended, outcome, error)
        self.tracer.back_to(span.outer)

    def record(
        self,
        span: Span,
        ended: float,
        outcome: int | str | None,
        error: BaseException | None = None,
    ) -> None:
        """Record the span of a run that has ended."""
        if self._spans is not None:
            self._spans.record(_record(self._sort, span, ended, outcome, error, ()))


def _record(
    sort: SpanSort,
    span: Span,
    ended: float,
    outcome: int | str | None,
    error: BaseException | None,
    values: tuple[Value, ...],
) -> SpanRecord:
    """Return what a run leaves: an HTTP status below 500 is no error of who answered so."""
    bad = ""
    if isinstance(outcome, int):
        values += (outcome,)
        if outcome < 500:
            return SpanRecord(sort, span.context, span.begun, ended, values=values)
        bad = str(outcome)
    elif outcome is None:
        bad = _BROKEN_OFF
    made = SpanRecord(sort, span.context, span.begun, ended, error=bad, values=values)
    return made if error is None else made.failed(error)


class Part:
    """A part of what is under way that has a span of its own; its block is the part.

    Attributes:
        context: where it stands in its trace; without anybody who records, where the whole stands.
    """

    __slots__ = ("_attributes", "_bad", "_begun", "_outer", "_sort", "_tracing", "context")

    def __init__(self, tracing: Tracing, sort: SpanSort, attributes: Attributes) -> None:
        self._tracing, self._sort, self._attributes = tracing, sort, attributes
        self._outer, self.context = _NOTHING, current.get()
        self._begun, self._bad = 0.0, ""

    def answered(self, status: int) -> None:
        """Note the status of an HTTP answer; to who asked, 400 and more is an error."""
        self._attributes += ((semconv.STATUS, status),)
        self._bad = str(status) if status >= 400 else ""

    def say(self, *attributes: tuple[str, Value]) -> None:
        """Add what is known only now."""
        self._attributes += attributes

    def __enter__(self) -> "Part":
        tracing = self._tracing
        if tracing.spans is not None:
            self.context, self._outer = tracing.tracer.enter_part("")
            self._begun = tracing.clock.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        tracing = self._tracing
        if tracing.spans is None:
            return
        ended = tracing.clock.monotonic()
        made = SpanRecord(self._sort, self.context, self._begun, ended, self._attributes, self._bad)
        tracing.spans.record(made if error is None else made.failed(error))
        tracing.tracer.back_to(self._outer)


class Requests:
    """The operations of a gateway: which route a request is for, its end alone knows.

    Args:
        slow_s: {(method, route): how long its requests may take that are not slow}.
    Attributes:
        clock: tells when requests begin, how long they have waited then, and when they end.
        tracer, logger: make their contexts, and write their lines.
        records: see `Tracing.records`.
    """

    __slots__ = (
        *("_metrics", "_outcomes", "_slow_s", "_spans", "clock", "logger", "records", "tracer"),
    )

    def __init__(
        self,
        tracing: Tracing,
        *,
        metrics: Metrics,
        logger: Logger,
        slow_s: Mapping[tuple[str, str], float],
    ) -> None:
        self.tracer, self.clock, self._spans = tracing.tracer, tracing.clock, tracing.spans
        self.records = tracing.records
        self._metrics = metrics
        self.logger = logger
        self._slow_s = slow_s
        self._outcomes: dict[tuple[str, str], tuple[RouteOutcomes, SpanSort]] = {}

    def begin(self, cause: Cause) -> Span:
        """Begin a request; its context is the current one."""
        context = self.tracer.enter(cause, service="gateway")
        outer = current.get(), None
        current.set(context)
        return Span(context, self.clock.monotonic(), outer)

    def end(self, span: Span, request: Request, status: int | None) -> None:
        """End a request with its answer's status; None: it was broken off."""
        ended = self.clock.monotonic()
        method, route = request.method, request.route
        outcomes, sort = self._outcomes.get((method, route)) or self.learn(method, route)
        if status is not None:
            seconds = ended - span.begun
            outcomes.observe(status, seconds, span.context)
            route = route or "unmatched"
            self.logger.request(span.context, method, route, status, seconds, request.client)
        self.record(span, sort, request, ended, status)

    def refused(self, request: Request, route: str, status: int) -> None:
        """Count a request that was refused before anything was begun for it."""
        outcomes, _ = self._outcomes.get((request.method, route)) or self.learn(
            request.method, route
        )
        outcomes.observe(status, 0.0)

    def record(
        self, span: Span, sort: SpanSort, request: Request, ended: float, status: int | None
    ) -> None:
        """Record the span of a request that has ended."""
        if self._spans is not None:
            values = (request.scheme, request.path, request.client)
            self._spans.record(_record(sort, span, ended, status, None, values))

    def learn(self, method: str, route: str) -> tuple[RouteOutcomes, SpanSort]:
        """Return what counts the ends of a route's requests, and the sort of their spans."""
        outcomes = self._metrics.route("gateway", method, route)
        sort = served(
            outcomes.method,
            route,
            slow_s=self._slow_s.get((method, route), NEVER_SLOW),
            names=_OF_REQUESTS,
        )
        if len(self._outcomes) < _REMEMBERED_MAX:
            self._outcomes[method, route] = outcomes, sort
        return outcomes, sort
