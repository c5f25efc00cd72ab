"""RED metrics (rate, errors, duration) of every route, command, event and saga, for Prometheus.

Series are resolved once, when a route or a handler is compiled, and then observed.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from holdfast.observability import catalogue
from holdfast.observability.catalogue import Metric
from holdfast.observability.exposition import Exposition, head_text, sample_text
from holdfast.observability.instruments import (
    OTHER,
    SERIES_MAX,
    Counter,
    Family,
    Histogram,
    Outcomes,
)
from holdfast.observability.measures import MeasureFamily
from holdfast.observability.trace import NO_CONTEXT, Context
from holdfast.observability.watches import Watches
from holdfast.system import Slo
from holdfast.system.measures import Measure, Record

UNMATCHED: Final = "unmatched"
SLICE_LINES: Final = 250  # of a scrape, before others run; some 0.3 ms
EXPECTED_MAX: Final = SERIES_MAX // 2
SERVED_ERRORS: Final = (500, 502, 503, 504)
"""What every route may answer, whatever it declares."""
CALL_ERRORS: Final = ("deadline_exceeded", "unreachable", "connection_lost")
"""The codes of calls to externals that brought no answer."""
SAGA_ENDS: Final = ("completed", "failed", "parked")

_METHODS = frozenset(
    ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")
)


class RouteOutcomes(Outcomes):
    """Requests of one method and route."""

    __slots__ = ("method", "service")

    def __init__(self, family: Family[Histogram], *, service: str, method: str, route: str) -> None:
        super().__init__(lambda status: family.of(method, route, status, service))
        self.service, self.method = service, method


class SagaOutcomes(Outcomes):
    """Ended runs of one saga of one service, counted in `holdfast_sagas_total` too."""

    __slots__ = ("_ended", "_saga", "_service")

    def __init__(
        self, durations: Family[Histogram], ended: Family[Counter], *, service: str, saga: str
    ) -> None:
        super().__init__(lambda outcome: durations.of(service, saga, outcome))
        self._ended, self._service, self._saga = ended, service, saga

    def observe(self, outcome: int | str, seconds: float, context: Context = NO_CONTEXT) -> None:
        """Count the end of a run, by how it ended; `seconds` since it was started."""
        self._ended.of(self._service, self._saga, str(outcome)).inc(1, context)
        super().observe(outcome, seconds, context)

    def expect(self, *outcomes: int | str) -> None:
        """Show these at 0."""
        for outcome in outcomes:
            self._ended.of(self._service, self._saga, str(outcome))
        super().expect(*outcomes)


class HandlerOutcomes(Outcomes):
    """Runs of one handler or job; its errors are counted in `holdfast_handler_errors_total` too.

    The type of an error is known when it happens, so the histogram's series of it begins with it.
    The counter is there from the start, and does not count the failures that a message declares.
    """

    __slots__ = ("_errors", "_failures")

    def __init__(
        self, resolve: Callable[[str], Histogram], errors: Counter, failures: Collection[str]
    ) -> None:
        super().__init__(resolve)
        self._errors, self._failures = errors, failures

    def observe(self, outcome: int | str, seconds: float, context: Context = NO_CONTEXT) -> None:
        """Count the end of a run, by its error's type or its failure's name ("": none)."""
        if outcome and outcome not in self._failures:
            self._errors.inc(1, context)
        super().observe(outcome, seconds, context)


class Metrics:
    """All metrics of one process; there is no global registry.

    Attributes:
        watch: adds a gauge that is read when somebody asks; see `Watches.watch`.
    """

    def __init__(self, system: str, slos: Collection[Slo] = ()) -> None:
        """Make the families; `system` is the system's name, shown by `target_info`.

        Args:
            slos: their thresholds are bounds of every series of a family, not only of those that
                they are about: of series with other bounds no quantile can be told together.
        """
        served = with_bounds(catalogue.SERVED, {slo.latency_s for slo in slos})
        lasted = with_bounds(catalogue.SAGA_DURATION, {float(slo.settled_s) for slo in slos})
        self._system = system
        self._routes: dict[tuple[str, str, str], RouteOutcomes] = {}
        self._expected = 0
        self._watches = Watches()
        self.watch = self._watches.watch
        self._served = Family(served, Histogram)
        self._reached = Family(catalogue.REACHED, Histogram)
        self._rate_limited = Family(catalogue.RATE_LIMITED, Counter)
        self._hedges = Family(catalogue.HEDGES, Counter)
        self._unauthenticated = Family(catalogue.UNAUTHENTICATED, Counter)
        self._refused_inside = Family(catalogue.REQUESTS_REFUSED_INSIDE, Counter)
        self._transactions_refused = Family(catalogue.TRANSACTION_TOKENS_REFUSED, Counter)
        self._traces_refused = Family(catalogue.TRACE_HEADERS_REFUSED, Counter)
        self._processed = Family(catalogue.PROCESSED, Histogram)
        self._errors = Family(catalogue.HANDLER_ERRORS, Counter)
        self._sagas = Family(catalogue.SAGAS, Counter)
        self._saga_durations = Family(lasted, Histogram)
        self._commits = Family(catalogue.COMMITS, Histogram)
        self._batches = Family(catalogue.BATCHES, Histogram)
        self._loop_lag = Family(catalogue.LOOP_LAG, Histogram)
        self._gate_waits = Family(catalogue.GATE_WAIT, Histogram)
        self._declared: dict[str, MeasureFamily] = {}
        self._families: tuple[Family[Counter] | Family[Histogram], ...] = (
            *(self._served, self._reached, self._rate_limited, self._unauthenticated),
            *(self._refused_inside, self._transactions_refused),
            *(self._traces_refused, self._hedges),
            *(self._processed, self._errors, self._sagas, self._saga_durations),
            *(self._commits, self._batches, self._gate_waits, self._loop_lag),
        )

    def route(self, service: str, method: str, route: str) -> RouteOutcomes:
        """Return what to observe for a route: HTTP statuses.

        `route` is its template, never a path; "" when none matched. Unknown methods are one.
        """
        key = (service, method if method in _METHODS else OTHER, route or UNMATCHED)
        if key not in self._routes and len(self._routes) >= SERIES_MAX:
            key = (OTHER, OTHER, OTHER)
        outcomes = self._routes.get(key)
        if outcomes is None:
            service, method, route = key
            outcomes = RouteOutcomes(self._served, service=service, method=method, route=route)
            self._routes[key] = outcomes
        return outcomes

    def client(self, method: str, server_address: str) -> Outcomes:
        """Return what to observe for the requests to one server.

        Observe a status, or the code of the error when no answer came.
        """
        method = method if method in _METHODS else OTHER

        def histogram(outcome: str) -> Histogram:
            status = outcome if outcome.isdecimal() else ""
            error = "" if status and status < "400" else outcome
            return self._reached.of(method, server_address, status, error)

        return Outcomes(histogram)

    def process(
        self, service: str, operation: str, destination: str, failures: Collection[str] = ()
    ) -> HandlerOutcomes:
        """Return what to observe for a handler: the error's type, "" when it went well.

        Args:
            destination: `receiver.message`. failures: names of those that the message declares.
        """
        processed = self._processed
        return HandlerOutcomes(
            lambda error: processed.of(operation, destination, service, error),
            self._errors.of(service, destination),
            failures,
        )

    def expect(self, outcomes: Outcomes, *expected: int | str) -> None:
        """Show outcomes at 0 from the start, as long as that leaves room for what will come."""
        self._expected += len(expected)
        if self._expected <= EXPECTED_MAX:
            outcomes.expect(*expected)

    def saga(self, service: str, saga: str) -> SagaOutcomes:
        """Return what to observe for a saga: how it ended."""
        return SagaOutcomes(self._saga_durations, self._sagas, service=service, saga=saga)

    def rate_limited(self, service: str) -> Counter:
        """Return the counter of requests that a rate limit refused."""
        return self._rate_limited.of(service)

    def hedges(self, edge: str, route: str) -> Counter:
        """Return the counter of requests of a route that a second process was asked for as well."""
        return self._hedges.of(edge, route)

    def unauthenticated(self, service: str, reason: str) -> Counter:
        """Return the counter of requests that brought no token, or one that was refused."""
        return self._unauthenticated.of(service, reason)

    def refused_inside(self) -> Counter:
        """Return the counter of requests of other processes that the graph does not allow."""
        return self._refused_inside.of()

    def transaction_refused(self, reason: str) -> Counter:
        """Return the counter of requests whose transaction token was refused."""
        return self._transactions_refused.of(reason)

    def trace_refused(self, header: str) -> Counter:
        """Return the counter of trace headers that break their format."""
        return self._traces_refused.of(header)

    def commit_duration(self, service: str) -> Histogram:
        """Return the histogram of commits; observe seconds."""
        return self._commits.of(service)

    def loop_lag(self) -> Histogram:
        """Return the histogram of how late the event loop was; observe seconds."""
        return self._loop_lag.of()

    def declare(self, service: str, measure: Measure) -> Record:
        """Show a measure that a service declares; return what counts it."""
        declared = self._declared.get(measure.name)
        if declared is None:
            declared = self._declared[measure.name] = MeasureFamily(measure)
            self._families = (*self._families, declared.family)
        return declared.record_of(service)

    def measured(self, name: str, labels: Mapping[str, str]) -> float:
        """Return what a declared counter has counted, or how many values a histogram has."""
        declared = self._declared.get(name)
        return 0.0 if declared is None else declared.total(labels)

    def gate_wait(self, service: str) -> Histogram:
        """Return the histogram of waits for a transaction; observe seconds."""
        return self._gate_waits.of(service)

    def batch_size(self, service: str) -> Histogram:
        """Return the histogram of units of work in one commit."""
        return self._batches.of(service)

    def ends(self) -> dict[str, int]:
        """Return how often each declared function ended in each of the ways that it declares.

        {`handler hall.Take`: its successes, `handler hall.Take: SoldOut`: that failure,
        `saga booking: failed`: those that were undone, `route POST /v1/bookings`: its successes}.
        """
        found: dict[str, int] = {}
        for (_, destination, _, error), series in self._processed.items():
            found[f"handler {destination}{error and f': {error}'}"] = series.count
        for (_, saga, outcome), ended in self._sagas.items():
            if outcome != "parked":
                name = f"saga {saga}: {outcome}"
                found[name] = found.get(name, 0) + int(ended.value)
        for (method, route, status, service), served in self._served.items():
            if service != "gateway" and status < "400":
                name = f"route {method} {route}"
                found[name] = found.get(name, 0) + served.count
        return found

    def render(self, form: Exposition = Exposition.TEXT) -> bytes:
        """Return the text for /metrics at once."""
        return _encoded(self._pieces(form))

    async def scrape(self, form: Exposition) -> bytes:
        """Return the text for /metrics, and let others run after every few hundred lines.

        A series is told as of one moment, several as of a few rounds of the loop.
        """
        slices, pieces, lines = list[bytes](), list[str](), 0
        for piece in self._pieces(form):
            pieces.append(piece)
            lines += piece.count("\n")
            if lines >= SLICE_LINES:
                slices.append(_encoded(pieces))
                pieces, lines = [], 0
                await asyncio.sleep(0)
        return b"".join([*slices, _encoded(pieces)])

    def _pieces(self, form: Exposition) -> Iterator[str]:
        yield from self._target(form)
        for family in self._families:
            yield from family.pieces(form)
        yield from self._active(form)
        yield from self._watches.pieces(form)
        yield form.end

    def _target(self, form: Exposition) -> Iterator[str]:
        yield head_text(catalogue.TARGET, form)
        yield sample_text(catalogue.TARGET, {"service_namespace": self._system}, 1)

    def _active(self, form: Exposition) -> Iterator[str]:
        active: dict[tuple[str, str], int] = {}
        for route in self._routes.values():
            key = (route.method, route.service)
            active[key] = active.get(key, 0) + route.active
        if active:
            yield head_text(catalogue.ACTIVE, form)
        for (method, service), count in active.items():
            labels = {"http_request_method": method, "service": service}
            yield sample_text(catalogue.ACTIVE, labels, count)


def _encoded(pieces: Iterable[str]) -> bytes:
    return "".join(pieces).encode("utf-8", "replace")  # a lone surrogate hides nothing else


def with_bounds(metric: Metric, bounds: Collection[float]) -> Metric:
    """Return a histogram's metric with further bounds."""
    return replace(metric, bounds=tuple(sorted({*metric.bounds, *bounds})))
