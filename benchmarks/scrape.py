"""How long a scrape holds the event loop, beside `prometheus_client.generate_latest`.

Both tell the same histograms of requests, in this process, in turns. What counts is the longest
time without a turn for others: ours is written in slices, the peer's at once. The first scrape,
which makes the fixed parts of all lines, is among the rounds. Time is CPU of the thread, since on a
shared machine a clock on the wall measures the others.

Target: 2,000 series hold the loop for less than 5 ms.
"""

import gc
import math
import time
from collections.abc import Callable
from statistics import median

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from benchmarks.harness import Plan, Row
from holdfast.observability import Exposition, Metrics, catalogue

TARGET_MS = 5.0
SERIES = {"2,000 series": 2_000 // 17, "34,000 series": 2_000}
"""{what is told: histograms, of 17 series each}."""


async def measure(plan: Plan) -> list[Row]:
    """Measure both sizes."""
    return [_row(plan, told, histograms) for told, histograms in SERIES.items()]


def _row(plan: Plan, told: str, histograms: int) -> Row:
    ours: list[float] = []
    peers: list[float] = []
    for _ in range(plan.rounds):
        metrics, registry = _ours(histograms), _peers(histograms)
        gc.collect()
        gc.freeze()  # as a serving process does
        for _ in range(3):
            ours.append(_longest_ms(metrics))
            peers.append(_took_ms(lambda registry=registry: generate_latest(registry)))
    ratio = median(peer / our for our, peer in zip(ours, peers, strict=True))
    return Row(
        f"longest hold of the loop by a scrape of {told}",
        "ms CPU",
        max(ours),
        "prometheus_client",
        median(peers),
        ratio=ratio,
        target=TARGET_MS if histograms < 1_000 else math.nan,
        at_most=True,
    )


def _longest_ms(metrics: Metrics) -> float:
    """Drive a scrape by hand; return the longest of its steps."""
    scrape = metrics.scrape(Exposition.OPEN)
    steps: list[float] = []
    while True:
        begun = time.thread_time()
        try:
            scrape.send(None)
        except StopIteration:
            steps.append(time.thread_time() - begun)
            return max(steps) * 1_000
        steps.append(time.thread_time() - begun)


def _took_ms(work: Callable[[], object]) -> float:
    begun = time.thread_time()
    work()
    return (time.thread_time() - begun) * 1_000


def _ours(histograms: int) -> Metrics:
    metrics = Metrics("bench")
    for n in range(histograms):
        metrics.route("orders", "GET", f"/v1/things/{n}").observe(200, 0.01 * (n % 9))
    return metrics


def _peers(histograms: int) -> CollectorRegistry:
    registry = CollectorRegistry()
    served = catalogue.SERVED
    histogram = Histogram(
        served.name, served.help, served.labels, buckets=served.bounds, registry=registry
    )
    for n in range(histograms):
        histogram.labels("GET", f"/v1/things/{n}", "200", "orders").observe(0.01 * (n % 9))
    return registry
