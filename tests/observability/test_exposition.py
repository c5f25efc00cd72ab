"""Metrics in OpenMetrics: what its own parser reads, with exemplars that Prometheus takes."""

import asyncio
import re

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from holdfast.observability import Context, Exposition, Metrics, catalogue, exposition_of
from holdfast.observability.metrics import SLICE_LINES

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = Context("c", TRACE, SPAN, sampled=True)


def full() -> Metrics:
    """Metrics with a family of each kind."""
    metrics = Metrics("shop")
    metrics.route("orders", "GET", "/a").observe(200, 0.1)
    metrics.rate_limited("orders").inc()
    metrics.watch(catalogue.PROCESS_RESIDENT, lambda: 7)
    metrics.watch(catalogue.PROCESS_CPU, lambda: 0.5)
    metrics.watch(catalogue.BUILD, lambda: 1, version="1")
    return metrics


def exemplars(metrics: Metrics) -> dict[tuple[str, str], tuple[dict[str, str], float]]:
    """Return {(sample, le): (labels, value)} of the exemplars that are shown."""
    text = metrics.render(Exposition.OPEN).decode()
    return {
        (sample.name, sample.labels.get("le", "")): (sample.exemplar.labels, sample.exemplar.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.exemplar is not None
    }


def test_its_own_parser_reads_it() -> None:
    """Families are named without `_total` and `_info`, units are told, and nothing is created."""
    text = full().render(Exposition.OPEN).decode()

    found = {f.name: (f.type, f.unit) for f in text_string_to_metric_families(text)}
    assert found["http_server_request_duration_seconds"] == ("histogram", "seconds")
    assert found["holdfast_rate_limited"] == ("counter", "")
    assert found["process_cpu_seconds"] == ("counter", "seconds")
    assert found["process_resident_memory_bytes"] == ("gauge", "bytes")
    assert found["holdfast_build"] == ("info", "") and found["target"] == ("info", "")
    assert text.endswith("\n# EOF\n") and "_created" not in text


def test_both_formats_tell_the_same() -> None:
    """But for comments and the end."""
    metrics = full()

    texts = [metrics.render(form).decode().splitlines() for form in Exposition]
    samples = [[line for line in text if not line.startswith("#")] for text in texts]
    assert samples[0] == samples[1] and len(samples[0]) > 20
    assert "# EOF" not in texts[0]


def test_a_recorded_trace_is_an_exemplar_of_its_bucket() -> None:
    """The last one of each bucket; with the ids that lead to it, and its value."""
    metrics = Metrics("shop")
    route = metrics.route("orders", "GET", "/a")

    route.observe(200, 0.02, Context("c", "1" * 32, "2" * 16, sampled=True))
    route.observe(200, 0.024, SAMPLED)
    route.observe(200, 99.0, SAMPLED)

    bucket, ids = (
        "http_server_request_duration_seconds_bucket",
        {"trace_id": TRACE, "span_id": SPAN},
    )
    assert exemplars(metrics) == {(bucket, "0.025"): (ids, 0.024), (bucket, "+Inf"): (ids, 99.0)}
    assert TRACE not in metrics.render().decode()


def test_an_error_of_a_handler_leads_to_its_trace() -> None:
    """The counter has an exemplar, too."""
    metrics = Metrics("shop")
    metrics.process("a", "process", "a.B").observe("KeyError", 0.1, SAMPLED)

    assert ("holdfast_handler_errors_total", "") in exemplars(metrics)


@pytest.mark.parametrize(
    "context",
    [
        Context("c", TRACE, SPAN),
        Context(),
        Context("c", TRACE.upper(), SPAN, sampled=True),
        Context("c", TRACE, SPAN + '"', sampled=True),
        Context("c", "", "", sampled=True),
        Context("c", "é" * 32, SPAN, sampled=True),
    ],
)
def test_what_is_no_recorded_trace_is_no_exemplar(context: Context) -> None:
    """One that cannot be read would make Prometheus refuse everything else."""
    metrics = Metrics("shop")
    metrics.route("orders", "GET", "/a").observe(200, 0.02, context)

    assert exemplars(metrics) == {}


def test_no_text_of_a_label_hides_the_rest() -> None:
    """Not even one that UTF-8 cannot carry."""
    metrics = full()
    metrics.rate_limited('a\ud800"\n\\').inc()

    text = metrics.render(Exposition.OPEN).decode()
    values = {
        sample.labels["service"]
        for family in text_string_to_metric_families(text)
        if family.name == "holdfast_rate_limited"
        for sample in family.samples
    }
    assert values == {"orders", 'a?"\n\\'}


PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (PROMETHEUS, Exposition.OPEN),
        ("application/openmetrics-text; version=1.0.0,text/plain;version=0.0.4;q=0.5", "open"),
        ("application/openmetrics-text", "open"),
        ('APPLICATION/OpenMetrics-Text;version="0.0.1"', "open"),
        ("application/openmetrics-text;version=2.0.0", "text"),
        ("application/openmetrics-text;q=0", "text"),
        ("application/openmetrics-text;q=0.2,text/plain;q=0.3", "text"),
        ("application/openmetrics-text;q=nonsense", "text"),
        ("text/plain", "text"),
        ("*/*", "text"),
        ("", "text"),
        (",;=,;q", "text"),
    ],
)
def test_the_scraper_says_what_it_wants(accept: str, form: Exposition | str) -> None:
    """OpenMetrics only if it is named in a version that is written."""
    assert exposition_of(accept) is (form if isinstance(form, Exposition) else _FORMS[form])


_FORMS = {"open": Exposition.OPEN, "text": Exposition.TEXT}


async def test_others_run_while_a_scrape_is_written() -> None:
    """Thousands of series are written in slices; what is added meanwhile does no harm."""
    metrics = Metrics("shop")
    for n in range(300):
        metrics.route("orders", "GET", f"/{n}").observe(200, 0.1)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            metrics.route("orders", "GET", f"/later/{turns}").observe(200, 0.1)
            metrics.watch(catalogue.OUTBOX_ROWS, lambda: 1, service=f"s{turns}")
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    text = (await metrics.scrape(Exposition.OPEN)).decode()
    task.cancel()

    assert len(list(text_string_to_metric_families(text))) > 2
    assert turns >= len(re.findall("\n", text)) // SLICE_LINES - 1 >= 8
