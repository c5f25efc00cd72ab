"""docs/metrics.md is the catalogue, and the catalogue is what a process shows."""

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families

from holdfast.observability import Exposition
from holdfast.observability.catalogue import CATALOGUE
from holdfast.runtime.figures import watch_process
from holdfast.testing import Client, running
from shop.system import shop
from tests.docs import metrics

AWAY = {"PROCESSOR_URL": "http://127.0.0.1:9"}  # nothing is asked of it
ELSEWHERE = {
    *("holdfast_certificate_expires_seconds", "holdfast_peers_refused_total"),
    "holdfast_certificate_trouble",  # of one that clients see
    "holdfast_handshakes_failed_total",
    *("holdfast_inner_requests_refused_total", "holdfast_transaction_tokens_refused_total"),
    *("holdfast_signer_certificate_expires_seconds", "holdfast_parcels_lost_total"),
    "holdfast_hedges_total",  # of a gateway apart, to routes that have a hedge
    "holdfast_pool_running",  # of pools that are used
    "holdfast_pool_waiting",
    "holdfast_pool_refused_total",
    "holdfast_rate_limited_total",  # from the first refusal on
    "holdfast_unauthenticated_total",
    "holdfast_stand_in_restarts_total",  # of stand-ins
    "holdfast_trace_headers_refused_total",  # from the first of a proxy on
    "holdfast_spans_dropped_total",  # where a receiver is named
    "holdfast_spans_held",
    "otel_sdk_exporter_span_exported_total",
    "otel_sdk_processor_span_queue_size",
    "holdfast_event_loop_lag_seconds",  # while the command serves
}
"""What the shop does not show right after its start, in a test's own process."""


def test_the_page_is_the_catalogue() -> None:
    """Whoever adds a metric writes the page again."""
    same = metrics.PAGE.read_text() == metrics.page()

    assert same, "docs/metrics.md is older than the code: run `make reference`, and commit it"


@pytest.fixture(name="shown")
async def _shown() -> dict[str, str]:
    """{name: type} of what a running shop shows."""
    async with running(shop, environ=AWAY) as run:
        watch_process(run.process.metrics)
        text = run.process.metrics.render().decode()
    return {
        family.name + "_total" * (family.type == "counter"): family.type
        for family in text_string_to_metric_families(text)
    }


async def test_a_running_system_shows_what_the_page_promises(shown: dict[str, str]) -> None:
    """By its type; nothing else is shown, and only what needs an occasion is missing."""
    assert shown.items() <= {name: metric.kind for name, metric in CATALOGUE.items()}.items()
    assert set(CATALOGUE) - set(shown) <= ELSEWHERE


async def test_the_listener_speaks_the_format_that_is_asked_for() -> None:
    """With exemplars of requests whose trace is recorded, and the content type of the format."""
    async with running(shop, environ=AWAY | {"OTEL_TRACES_SAMPLER": "always_on"}) as run:
        client = Client(run.process.ops_url)
        await run.client.get("/v1/orders")
        asked = {"accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
        opened, plain = await client.get("/metrics", headers=asked), await client.get("/metrics")
        await client.close()

    types = [dict(answer.headers)["content-type"] for answer in (opened, plain)]
    assert types == [form.value for form in (Exposition.OPEN, Exposition.TEXT)]
    families = parse_openmetrics(opened.body.decode())
    seen = [s for f in families for s in f.samples if s.exemplar is not None]
    assert {sample.labels.get("service") for sample in seen} >= {"gateway"}
    assert b"trace_id" not in plain.body
