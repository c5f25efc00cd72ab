"""Operations: what comes in, is done, and ends in one of several ways.

A request at the door, a route, a query, a letter at its handler: each has one begin, where its
context is made, and one end, where everything hangs that tells of it: the metric, the log line and,
once they are recorded, the span.
"""

from collections.abc import Callable

import msgspec

from holdfast.observability.instruments import Outcomes
from holdfast.observability.logs import Logger
from holdfast.observability.metrics import Metrics, RouteOutcomes
from holdfast.observability.trace import Context, Tracer, current
from holdfast.ports import Clock

_REMEMBERED_MAX = 1_000

Tell = Callable[[int | str, float], None]
"""Writes a log line, in the context of what ended: its outcome, and the seconds that it took."""


class Span(msgspec.Struct, frozen=True, gc=False):
    """One run of an operation.

    Attributes:
        context: where it stands in its trace.
        begun: when, on the clock's monotonic scale.
    """

    context: Context
    begun: float


class Operation:
    """One thing that a service does for others again and again, such as a route or a query.

    Args:
        service: whose code runs.
        outcomes: what its ends are counted by.
        tell: told of each end; None: no log line.
    """

    __slots__ = ("_clock", "_outcomes", "_service", "_tell", "_tracer")

    def __init__(
        self,
        service: str,
        outcomes: Outcomes,
        *,
        tracer: Tracer,
        clock: Clock,
        tell: Tell | None = None,
    ) -> None:
        self._service = service
        self._outcomes = outcomes
        self._tracer = tracer
        self._clock = clock
        self._tell = tell

    def begin(self, trace: str, correlation_id: str) -> Span:
        """Begin work that came in from elsewhere, under `trace`; its context is the current one."""
        context = self._tracer.enter(trace, correlation_id=correlation_id, service=self._service)
        current.set(context)
        self._outcomes.active += 1
        return Span(context, self._clock.monotonic())

    def go_on(self) -> Span:
        """Begin a part of what is under way already, in its context."""
        self._outcomes.active += 1
        return Span(current.get(), self._clock.monotonic())

    def end(self, span: Span, outcome: int | str | None) -> None:
        """End a run, by how it ended: see `Outcomes.observe`; None: it was broken off."""
        self._outcomes.active -= 1
        if outcome is None:
            return
        seconds = self._clock.monotonic() - span.begun
        self._outcomes.observe(outcome, seconds, span.context)
        if self._tell is not None:
            self._tell(outcome, seconds)


class Requests:
    """The operations of a gateway: which route a request is for, its end alone knows.

    Attributes:
        clock: tells when requests begin, how long they have waited then, and when they end.
    """

    __slots__ = ("_logger", "_metrics", "_outcomes", "_tracer", "clock")

    def __init__(self, *, tracer: Tracer, clock: Clock, metrics: Metrics, logger: Logger) -> None:
        self._tracer = tracer
        self.clock = clock
        self._metrics = metrics
        self._logger = logger
        self._outcomes: dict[tuple[str, str], RouteOutcomes] = {}

    def begin(self, trace: str, correlation_id: str) -> Span:
        """Begin a request; its context is the current one."""
        context = self._tracer.enter(trace, correlation_id=correlation_id, service="gateway")
        current.set(context)
        return Span(context, self.clock.monotonic())

    def end(self, span: Span, method: str, route: str, status: int, client: str) -> None:
        """End a request with its answer's status; `route` is "" if none matched."""
        seconds = self.clock.monotonic() - span.begun
        outcomes = self._outcomes.get((method, route)) or self._learn(method, route)
        outcomes.observe(status, seconds, span.context)
        self._logger.request(span.context, method, route or "unmatched", status, seconds, client)

    def _learn(self, method: str, route: str) -> RouteOutcomes:
        outcomes = self._metrics.route("gateway", method, route)
        if len(self._outcomes) < _REMEMBERED_MAX:
            self._outcomes[method, route] = outcomes
        return outcomes
