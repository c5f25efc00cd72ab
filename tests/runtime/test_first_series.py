"""The first error of everything that is declared can be seen to happen."""

from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from holdfast.system import Service, Slo, System
from holdfast.testing import Client, running
from shop.system import shop

AWAY = {"PROCESSOR_URL": "http://127.0.0.1:9"}  # nothing is asked of it


def samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return {(name, labels): value}."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def expected(system: System) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    """Return the series of errors that a system's declaration promises."""
    found: list[tuple[str, dict[str, str]]] = []
    for service in system.services:
        for route in service.routes:
            for name in (service.name, "gateway"):
                for status in ("500", "502", "503", "504"):
                    labels = {"http_request_method": route.method, "http_route": route.path}
                    labels |= {"http_response_status_code": status, "service": name}
                    found.append(("http_server_request_duration_seconds_count", labels))
        for job in service.jobs:
            labels = {"messaging_destination_name": f"{service.name}.{job.name}"}
            found.append(("holdfast_handler_errors_total", {**labels, "service": service.name}))
        for saga in service.sagas:
            for end in ("completed", "failed", "parked"):
                labels = {"service": service.name, "saga": saga.name, "outcome": end}
                found.append(("holdfast_sagas_total", labels))
        for external in service.reaches:
            edge = f"{service.name}→{external.name}"
            found.append(("holdfast_breaker_state", {"edge": edge}))
            found.append(("holdfast_retries_total", {"edge": edge}))
    return {(name, tuple(sorted(labels.items()))) for name, labels in found}


async def test_what_is_declared_is_shown_at_nought_before_the_first_request() -> None:
    """An alarm that asks for the increase of a series needs one to begin from."""
    async with running(shop, environ=AWAY) as run:
        client = Client(run.process.ops_url)
        answer = await client.get("/metrics")
        await client.close()

    found = samples(answer.body)
    promised = expected(shop)
    assert len(promised) > 50
    assert {series for series in promised if found.get(series) != 0} == set()
    handlers = {labels for name, labels in found if name == "holdfast_handler_errors_total"}
    assert (("messaging_destination_name", "payments.Charge"), ("service", "payments")) in handlers


@pytest.mark.parametrize("code", ["deadline_exceeded", "unreachable", "connection_lost"])
async def test_an_external_that_gives_no_answer_has_its_series(code: str) -> None:
    """The way to it is known from the declaration."""
    async with running(shop, environ=AWAY) as run:
        found = samples(run.process.metrics.render())

    name = "http_client_request_duration_seconds_count"
    values = [
        value
        for (sample, labels), value in found.items()
        if sample == name and ("error_type", code) in labels
    ]
    assert values == [0, 0]  # to read, and to do


async def test_what_is_promised_is_a_bucket_of_every_series() -> None:
    """So that how many kept to it can be counted, and quantiles told over all series."""
    slow = replace(shop, slo=Slo(latency_ms=333, settled_s=42.5))
    async with running(slow, environ=AWAY) as run:
        found = samples(run.process.metrics.render())

    for family, bound in (
        ("http_server_request_duration_seconds", "0.333"),
        ("holdfast_saga_duration_seconds", "42.5"),
    ):
        series = {labels for name, labels in found if name == f"{family}_count"}
        bounded = {
            tuple(pair for pair in labels if pair[0] != "le")
            for name, labels in found
            if name == f"{family}_bucket" and ("le", bound) in labels
        }
        assert series
        assert bounded == series


async def answering(scope: Any, receive: Any, send: Any) -> None:
    """An app that is asked nothing."""


async def test_a_mounted_app_is_shown_at_the_gateway_from_the_start() -> None:
    """What is promised of its service is promised of it, and counted there."""
    old = Service("old")
    old.mount("/old", answering, public=True)

    async with running(System("tiny", [old])) as run:
        found = samples(run.process.metrics.render())

    statuses = {
        dict(labels)["http_response_status_code"]
        for name, labels in found
        if name.endswith("duration_seconds_count")
        and {("http_route", "/old/"), ("service", "gateway")} <= set(labels)
    }
    assert statuses == {"200", "500", "502", "503", "504"}
