"""Operations: one begin, one end, and what hangs there."""

import contextvars
import json
from io import BytesIO

import pytest

from holdfast.contract.cause import Cause
from holdfast.contract.http import Request
from holdfast.observability import (
    Logger,
    Metrics,
    Operation,
    Requests,
    Spans,
    Tracer,
    Tracing,
    current,
    served,
)
from tests.observability.fakes import SetClock, SetRandom

TRACE, SPAN = "1" * 32, "2" * 16
CAUSE = Cause(correlation="c-1", trace=f"00-{TRACE}-{SPAN}-01")


class Seen:
    """What an operation shows of itself."""

    def __init__(self) -> None:
        self.clock, self.metrics, self.lines = SetClock(10.0), Metrics("shop"), BytesIO()
        self.spans = Spans(self.clock)
        tracer = Tracer(SetRandom(range(1, 99)), ratio=1.0)
        self.tracing = Tracing(tracer, self.clock, self.spans)
        outcomes = self.metrics.route("orders", "GET", "/a")
        self.operation = Operation(
            "orders",
            outcomes,
            served("GET", "/a"),
            self.tracing,
        )

    def series(self, start: str) -> list[str]:
        """Return the values of the metrics whose line begins with `start`."""
        lines = self.metrics.render().decode().splitlines()
        return [line.rsplit(" ", 1)[1] for line in lines if line.startswith(start)]


@pytest.fixture
def seen() -> Seen:
    """An operation that nobody has begun."""
    return Seen()


def test_a_run_is_counted_once(seen: Seen) -> None:
    """From its begin to its end, by the clock."""
    span = seen.operation.begin(CAUSE)
    under_way = seen.series("http_server_active_requests{")
    seen.clock.now_s += 2.0
    seen.operation.end(span, 200)

    assert (span.context.trace_id, span.context.parent_id) == (TRACE, SPAN)
    assert under_way == ["1"]
    assert seen.series("http_server_active_requests{") == ["0"]
    assert seen.series("http_server_request_duration_seconds_sum") == ["2.0"]


def test_what_was_broken_off_is_not_under_way_and_not_counted(seen: Seen) -> None:
    """Nobody knows how it would have ended."""
    seen.operation.end(seen.operation.begin(Cause(correlation="c-1")), None)

    assert seen.series("http_server_active_requests{") == ["0"]
    assert seen.series("http_server_request_duration_seconds_sum") == []


def test_a_begin_makes_the_context_and_a_part_goes_on_in_it(seen: Seen) -> None:
    """Logs of both carry the same ids."""

    def run() -> None:
        span = seen.operation.begin(Cause(correlation="c-1"))
        assert current.get() is span.context
        assert span.context.service == "orders"
        part = seen.operation.part()
        assert (part.context.trace_id, part.context.parent_id) == (
            span.context.trace_id,
            span.context.span_id,
        )
        seen.operation.end(part, 200)
        assert current.get() is span.context

    contextvars.Context().run(run)


@pytest.mark.parametrize(("route", "shown"), [("/v1/{id}", "/v1/{id}"), ("", "unmatched")])
def test_a_request_at_the_gateway_is_counted_by_its_route(
    seen: Seen, route: str, shown: str
) -> None:
    """Which it is turns out on the way; the log line has the ids of its begin."""
    logger = Logger(seen.lines, seen.clock, "gateway", form="json")
    requests = Requests(seen.tracing, metrics=seen.metrics, logger=logger, slow_s={})
    span = contextvars.Context().run(requests.begin, Cause(correlation="c-7"))
    seen.clock.now_s += 0.5
    requests.end(span, Request("GET", "/v1/7", route=route, client="192.0.2.1"), 404)
    logger.flush()

    line = json.loads(seen.lines.getvalue())
    assert (line["correlation_id"], line["route"], line["ms"]) == ("c-7", shown, 500.0)
    name = (
        f'http_server_request_duration_seconds_sum{{http_request_method="GET",http_route="{shown}"'
    )
    assert seen.series(name) == ["0.5"]
