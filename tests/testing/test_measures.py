"""A service's own counters and histograms: what they count, and when."""

import asyncio
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from holdfast import Command, Failure, Model, Outside, Service, System, Tx
from holdfast.observability import Exposition
from holdfast.observability.catalogue import CATALOGUE
from holdfast.system.checks.measures import RESERVED
from holdfast.testing import running


class SoldOut(Failure):
    """Nothing is left."""


class Take(Command[None]):
    """Take a thing."""

    what: str
    fails = (SoldOut,)


class Thing(Model):
    """What is asked for."""

    what: str


def hall() -> tuple[System, dict[str, Any]]:
    """Return a system with a counter of runs, one of commits, and a histogram."""
    service = Service("hall")
    runs = service.counter("runs_total", "Runs of the handler.", labels=("what",))
    taken = service.counter("taken_total", "Things that were taken.", labels=("what",))
    plain = service.counter("plain_total", "Never counted.")
    sizes = service.histogram("size_meters", "Their sizes.", buckets=(1, 5))
    seen: dict[str, Any] = {"tries": 0, "taken": taken, "sizes": sizes, "plain": plain}

    @service.handles
    async def take(message: Take, tx: Tx, outside: Outside) -> None:
        runs.inc(what=message.what)
        taken.inc(tx=tx, what=message.what)
        seen["tries"] += 1
        if message.what == "late" and seen["tries"] < 3:
            raise LookupError("not yet")
        if message.what == "gone":
            raise SoldOut()
        sizes.observe(3, tx=tx)

    @service.post("/v1/savepoints", public=True)
    async def savepoints(tx: Tx) -> None:
        try:
            async with tx.savepoint():
                taken.inc(tx=tx, what="undone")
                raise LookupError
        except LookupError:
            taken.inc(2, tx=tx, what="kept")

    @service.post("/v1/threads", public=True)
    async def threads(tx: Tx, outside: Outside) -> None:
        def block() -> None:
            for _ in range(2_000):
                taken.inc(what="thread")

        await asyncio.gather(*(outside.run(block) for _ in range(4)))

    return System("hall", [service]), seen


async def test_a_handler_that_is_tried_again_counts_once() -> None:
    """With its transaction; without it every run counts."""
    system, _ = hall()
    async with running(system) as run:
        await run.send(Take(what="late"))
        await run.settled()

        assert run.measured("runs_total", what="late") == 3
        assert run.measured("taken_total", what="late") == 1
        assert run.measured("size_meters") == 1


async def test_what_is_refused_is_not_counted_with_its_transaction() -> None:
    """A declared failure keeps nothing of what the handler did; a run is a run."""
    system, _ = hall()
    async with running(system) as run:
        await run.send(Take(what="gone"))
        await run.settled()

        assert run.measured("runs_total", what="gone") == 1
        assert run.measured("taken_total") == 0


async def test_a_savepoint_takes_its_counts_back() -> None:
    """What is counted after it stays."""
    system, _ = hall()
    async with running(system) as run:
        await run.client.post("/v1/savepoints")

        assert run.measured("taken_total", what="undone") == 0
        assert run.measured("taken_total", what="kept", service="hall") == 2


async def test_threads_lose_no_count() -> None:
    """Blocking functions may count, many at once."""
    system, _ = hall()
    async with running(system) as run:
        answer = await run.client.post("/v1/threads")

        assert answer.status < 300
        assert run.measured("taken_total", what="thread") == 8_000


async def test_they_are_shown_with_the_others() -> None:
    """With a service label; without labels of their own from the start, at 0."""
    system, _ = hall()
    async with running(system) as run:
        await run.send(Take(what="now"))
        await run.settled()
        text = run.process.metrics.render(Exposition.OPEN).decode()

    found = {f.name: f for f in text_string_to_metric_families(text)}
    shown = {(s.name, *sorted(s.labels.items())): s.value for s in found["taken"].samples}
    assert shown == {("taken_total", ("service", "hall"), ("what", "now")): 1}
    assert [s.value for s in found["plain"].samples] == [0]
    assert (found["size_meters"].type, found["taken"].documentation) == (
        "histogram",
        "Things that were taken.",
    )
    buckets = {s.labels["le"]: s.value for s in found["size_meters"].samples if "le" in s.labels}
    assert buckets == {"1": 0, "5": 1, "+Inf": 1}


async def test_labels_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An id as a label costs detail, not memory."""
    monkeypatch.setattr("holdfast.observability.instruments.SERIES_MAX", 3)
    system, seen = hall()
    async with running(system) as run:
        for n in range(10):
            seen["taken"].inc(what=f"{n}" * 1_000)

        assert run.measured("taken_total", what="_OTHER") == 7
        assert run.measured("taken_total", what="2" * 200) == 1


async def test_wrong_labels_and_amounts_are_refused() -> None:
    """In the line that has them, also while no process runs the service."""
    _, seen = hall()

    with pytest.raises(TypeError, match=r"taken_total has the labels \('what',\), not \('kind',\)"):
        seen["taken"].inc(kind="a")
    for amount in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="taken_total counts what is not negative"):
            seen["taken"].inc(amount, what="a")


async def test_nothing_is_counted_where_the_service_does_not_run() -> None:
    """A function that is tested alone may count; after the process, nothing keeps it."""
    system, seen = hall()
    seen["plain"].inc()
    async with running(system) as run:
        seen["plain"].inc()
        assert run.measured("plain_total") == 1
    seen["plain"].inc()

    assert run.measured("plain_total") == 1


def test_no_name_of_ours_is_one_of_a_service() -> None:
    """The check refuses what begins like a metric of the catalogue."""
    assert {name.split("_")[0] for name in CATALOGUE} <= set(RESERVED)
