"""docs/metrics.md is the catalogue, and the catalogue is what a process shows."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from holdfast.observability.catalogue import CATALOGUE
from holdfast.runtime.figures import watch_process
from holdfast.testing import running
from shop.system import shop
from tests.docs import metrics

AWAY = {"PROCESSOR_URL": "http://127.0.0.1:9"}  # nothing is asked of it
ELSEWHERE = {
    "holdfast_pool_running",  # of pools that are used
    "holdfast_pool_waiting",
    "holdfast_pool_refused_total",
    "holdfast_rate_limited_total",  # from the first refusal on
    "holdfast_unauthenticated_total",
    "holdfast_stand_in_restarts_total",  # of stand-ins
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
