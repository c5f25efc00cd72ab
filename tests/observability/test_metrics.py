"""Metrics have the names of the conventions, bounded labels, and a text that Prometheus reads."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from holdfast.observability import SAGA_ENDS, SERVED_ERRORS, Histogram, Metrics, catalogue
from holdfast.observability.catalogue import Metric
from holdfast.observability.exposition import Exposition
from holdfast.observability.instruments import Counter, Family

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(metrics: Metrics) -> Samples:
    """Return {(name, labels): value} as Prometheus's own parser reads the text."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """Return one sample, None when there is none."""
    return samples(metrics).get((name, tuple(sorted(labels.items()))))


def test_a_route_is_counted_by_status() -> None:
    """The histogram is cumulative, in the buckets that OpenTelemetry advises."""
    metrics = Metrics("shop")
    route = metrics.route("orders", "POST", "/v1/orders")

    for seconds in (0.005, 0.006, 99.0):
        route.observe(202, seconds)

    name = "http_server_request_duration_seconds"
    labels = {
        "http_request_method": "POST",
        "http_route": "/v1/orders",
        "http_response_status_code": "202",
        "service": "orders",
    }
    assert value(metrics, f"{name}_bucket", le="0.005", **labels) == 1
    assert value(metrics, f"{name}_bucket", le="0.01", **labels) == 2
    assert value(metrics, f"{name}_bucket", le="10.0", **labels) == 2
    assert value(metrics, f"{name}_bucket", le="+Inf", **labels) == 3
    assert value(metrics, f"{name}_count", **labels) == 3
    assert value(metrics, f"{name}_sum", **labels) == pytest.approx(99.011)


def test_unknown_routes_and_methods_are_one_series() -> None:
    """A scanner cannot make labels: what it invents falls together."""
    metrics = Metrics("shop")

    found = {id(metrics.route("orders", f"M{n}", "")) for n in range(100)}
    metrics.route("orders", "M1", "").observe(404, 0.1)

    assert len(found) == 1
    assert value(
        metrics,
        "http_server_request_duration_seconds_count",
        http_request_method="_OTHER",
        http_route="unmatched",
        http_response_status_code="404",
        service="orders",
    )


def test_active_requests_are_the_sum_over_routes() -> None:
    """What the servers keep in `active` is read when asked."""
    metrics = Metrics("shop")
    metrics.route("orders", "GET", "/a").active += 2
    metrics.route("orders", "GET", "/b").active += 1

    labels = {"http_request_method": "GET", "service": "orders"}
    assert value(metrics, "http_server_active_requests", **labels) == 3


@pytest.mark.parametrize(
    ("outcome", "labels"),
    [
        (200, {"http_response_status_code": "200"}),
        (503, {"http_response_status_code": "503", "error_type": "503"}),
        ("deadline_exceeded", {"error_type": "deadline_exceeded"}),
    ],
)
def test_a_client_tells_answers_from_errors(outcome: int | str, labels: dict[str, str]) -> None:
    """A status when there was an answer; an error's type when it was none or a bad one."""
    metrics = Metrics("shop")

    metrics.client("POST", "processor.example").observe(outcome, 0.2)

    same = {"http_request_method": "POST", "server_address": "processor.example"}
    name = "http_client_request_duration_seconds_count"
    assert value(metrics, name, **same, **labels) == 1


def test_messages_sagas_and_edges_are_counted() -> None:
    """One sample of each of the other families."""
    metrics = Metrics("shop")

    metrics.process("payments", "process", "payments.Charge").observe("", 0.01)
    metrics.process("payments", "process", "payments.Charge").observe("KeyError", 0.01)
    metrics.saga("orders", "checkout").observe("completed", 0.3)
    metrics.rate_limited("orders").inc()
    metrics.commit_duration("orders").observe(0.002)
    metrics.batch_size("orders").observe(12)

    charge = {"messaging_destination_name": "payments.Charge", "service": "payments"}
    process = "messaging_process_duration_seconds_count"
    operation = {"messaging_operation_name": "process"}
    ended = {"service": "orders", "saga": "checkout", "outcome": "completed"}
    assert value(metrics, process, **charge, **operation) == 1
    assert value(metrics, process, **charge, **operation, error_type="KeyError") == 1
    assert value(metrics, "holdfast_sagas_total", **ended) == 1
    assert value(metrics, "holdfast_saga_duration_seconds_bucket", le="0.5", **ended) == 1
    assert value(metrics, "holdfast_rate_limited_total", service="orders") == 1
    assert value(metrics, "holdfast_commit_duration_seconds_bucket", le="0.0025", service="orders")
    assert value(metrics, "holdfast_batch_size_bucket", le="16.0", service="orders") == 1
    assert value(metrics, "target_info", service_namespace="shop") == 1


def test_outcomes_are_bounded() -> None:
    """The sixty-fifth outcome and all after it share one series."""
    metrics = Metrics("shop")
    handler = metrics.process("a", "process", "a.B")

    for n in range(100):
        handler.observe(f"Error{n}", 0.1)

    found = [n for n, _ in samples(metrics) if n == "messaging_process_duration_seconds_count"]
    assert len(found) == 65
    name = "messaging_process_duration_seconds_count"
    labels = {"messaging_operation_name": "process", "messaging_destination_name": "a.B"}
    assert value(metrics, name, **labels, service="a", error_type="_OTHER") == 36


def test_a_family_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the maximum, new label values share one series."""
    monkeypatch.setattr("holdfast.observability.instruments.SERIES_MAX", 2)
    family = Family(Metric("x_total", "counter", "x", "X.", ("a",)), Counter)

    for name in ("a", "b", "c", "d"):
        family.of(name).inc()

    assert "".join(family.pieces(Exposition.TEXT)).splitlines()[2:] == [
        'x_total{a="a"} 1.0',
        'x_total{a="b"} 1.0',
        'x_total{a="_OTHER"} 2.0',
    ]


def test_label_values_are_escaped() -> None:
    """Quotes, backslashes and line ends come back as they were."""
    metrics = Metrics("shop")
    odd = 'a"b\\c\nd'

    metrics.rate_limited(odd).inc()

    assert value(metrics, "holdfast_rate_limited_total", service=odd) == 1


def test_what_is_watched_is_read_when_asked() -> None:
    """Not when it is declared."""
    metrics = Metrics("shop")
    rows = [1]
    metrics.watch(catalogue.OUTBOX_ROWS, lambda: rows[0], service="orders")

    rows[0] = 7

    assert value(metrics, "holdfast_outbox_rows", service="orders") == 7


def test_a_broken_watch_hides_nothing_else() -> None:
    """Its error is counted; the other gauges are shown."""
    metrics = Metrics("shop")
    metrics.watch(catalogue.BROKER_UP, lambda: 1 / 0)
    metrics.watch(catalogue.DEAD_LETTERS, lambda: 0, service="orders")

    assert value(metrics, "holdfast_watch_errors_total") == 1
    assert value(metrics, "holdfast_dead_letters", service="orders") == 0


def test_a_watch_is_replaced() -> None:
    """A component that starts again takes its gauge over."""
    metrics = Metrics("shop")

    metrics.watch(catalogue.DEAD_LETTERS, lambda: 1, service="orders")
    metrics.watch(catalogue.DEAD_LETTERS, lambda: 2, service="orders")

    assert value(metrics, "holdfast_dead_letters", service="orders") == 2


def test_labels_that_are_another_metrics_are_refused() -> None:
    """The catalogue says which a metric has."""
    metrics = Metrics("shop")

    with pytest.raises(
        ValueError, match=r"holdfast_outbox_rows has the labels \('service',\), not"
    ):
        metrics.watch(catalogue.OUTBOX_ROWS, lambda: 1, edge="orders")


def test_families_and_types_are_what_prometheus_expects() -> None:
    """Types come back from the parser as they were declared."""
    metrics = Metrics("shop")
    metrics.route("orders", "GET", "/a").observe(200, 0.1)
    metrics.rate_limited("e").inc()
    metrics.watch(catalogue.LOG_LINES_DROPPED, lambda: 3)
    metrics.watch(catalogue.BREAKER, lambda: float("nan"), edge="e")

    families = text_string_to_metric_families(metrics.render().decode())
    types = {family.name: family.type for family in families}
    assert types["http_server_request_duration_seconds"] == "histogram"
    assert types["http_server_active_requests"] == "gauge"
    assert types["holdfast_rate_limited"] == "counter"
    assert types["holdfast_log_lines_dropped"] == "counter"
    assert types["holdfast_breaker_state"] == "gauge"
    assert types["target_info"] == "gauge"


def test_a_histogram_counts() -> None:
    """`count` and `sum` are readable without rendering."""
    histogram = Histogram(Metric("x", "histogram", "x", "X.", bounds=(1.0, 2.0)), {})

    histogram.observe(1.0)
    histogram.observe(5.0)

    assert (histogram.count, histogram.sum) == (2, 6.0)


def test_what_is_expected_is_shown_at_nought() -> None:
    """A series that its first error makes cannot be seen to grow."""
    metrics = Metrics("shop")

    metrics.expect(metrics.route("orders", "GET", "/a"), 200, 503)
    metrics.expect(metrics.saga("orders", "checkout"), "failed")
    handler = metrics.process("orders", "process", "orders.Ship", ["Refused"])
    metrics.expect(handler, "", "Refused")

    served = {"http_request_method": "GET", "http_route": "/a", "service": "orders"}
    name = "http_server_request_duration_seconds_count"
    assert value(metrics, name, **served, http_response_status_code="503") == 0
    ended = {"service": "orders", "saga": "checkout", "outcome": "failed"}
    assert value(metrics, "holdfast_sagas_total", **ended) == 0
    errors = {"service": "orders", "messaging_destination_name": "orders.Ship"}
    assert value(metrics, "holdfast_handler_errors_total", **errors) == 0
    handler.observe("KeyError", 0.1)
    handler.observe("", 0.1)
    handler.observe("Refused", 0.1)
    assert value(metrics, "holdfast_handler_errors_total", **errors) == 1


def test_expectations_leave_room_for_what_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system of thousands of routes shows the first of them at 0, and counts all."""
    monkeypatch.setattr("holdfast.observability.metrics.EXPECTED_MAX", 4)
    metrics = Metrics("shop")

    for n in range(5):
        metrics.expect(metrics.route("orders", "GET", f"/{n}"), 200, 500)

    name = "http_server_request_duration_seconds_count"
    assert len([found for found, _ in samples(metrics) if found == name]) == 4


def test_how_often_what_is_declared_ended() -> None:
    """Each way that is declared is there at 0; what the platform answers is none of them."""
    metrics = Metrics("shop")
    take = metrics.process("hall", "process", "hall.Take", ["SoldOut"])
    metrics.expect(take, "", "SoldOut")
    booking = metrics.saga("desk", "booking")
    metrics.expect(booking, *SAGA_ENDS)
    for service in ("desk", "gateway"):
        metrics.expect(metrics.route(service, "POST", "/v1/bookings"), 202, *SERVED_ERRORS)
    take.observe("SoldOut", 0.1)
    booking.observe("completed", 1.0)
    metrics.route("gateway", "POST", "/v1/bookings").observe(202, 0.1)

    assert metrics.ends() == {
        "handler hall.Take": 0,
        "handler hall.Take: SoldOut": 1,
        "saga booking: completed": 1,
        "saga booking: failed": 0,
        "route POST /v1/bookings": 0,
    }
