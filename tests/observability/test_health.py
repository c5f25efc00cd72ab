"""Probes are told the phase and the checks, nothing secret, and always in time."""

import asyncio
import json
from typing import Any

import pytest

from holdfast.contract.http import Response
from holdfast.observability import Health
from tests.virtual_loop import run_virtual


def told(response: Response) -> tuple[int, Any]:
    """Return status and document."""
    return response.status, json.loads(response.body)


async def well() -> None:
    """Be a check that finds everything in order."""


async def test_a_process_is_ready_between_start_and_drain_only() -> None:
    """The phases follow each other; being alive does not depend on them."""
    health = Health()

    starting = told(await health.ready())
    health.started()
    started = told(await health.ready())
    health.draining()
    draining = told(await health.ready())

    assert starting == (503, {"status": "starting"})
    assert started == (200, {"status": "ready", "checks": {}})
    assert draining == (503, {"status": "draining"})
    assert told(health.live()) == (200, {"status": "alive"})


async def test_a_check_is_shown_and_does_not_decide() -> None:
    """A broker that is away does not take every pod out of service; why holds no secret."""
    health = Health()
    health.watch("broker", lambda: asyncio.sleep(0, "no connection, password=hunter2"))
    health.watch("database", well)
    health.started()

    status, document = told(await health.ready())

    assert (status, document["status"]) == (200, "ready")
    assert document["checks"] == {
        "broker": {"ok": False, "why": "no connection, password=[redacted]"},
        "database": {"ok": True},
    }


async def test_a_drain_that_begins_during_the_checks_decides() -> None:
    """A probe that was asked before is answered with what is true by then."""
    health = Health()

    async def slow() -> None:
        health.draining()

    health.watch("database", slow)
    health.started()

    assert told(await health.ready()) == (
        503,
        {"status": "draining", "checks": {"database": {"ok": True}}},
    )


async def test_a_check_that_raises_is_not_well() -> None:
    """Its error is the answer."""
    health = Health()

    async def broken() -> None:
        raise ConnectionRefusedError("db:5432")

    health.watch("database", broken)
    health.started()

    status, document = told(await health.ready())

    assert status == 200
    assert document["checks"]["database"]["why"] == "ConnectionRefusedError: db:5432"


def test_checks_have_a_time_limit() -> None:
    """Checks that hang end together at the limit, not one after the other."""

    async def main() -> tuple[float, Response]:
        health = Health(limit_s=0.5)
        for name in ("a", "b"):
            health.watch(name, lambda: asyncio.sleep(3600))
        health.started()
        begun_s = asyncio.get_running_loop().time()
        response = await health.ready()
        return asyncio.get_running_loop().time() - begun_s, response

    took_s, response = run_virtual(main())
    status, document = told(response)

    assert took_s == pytest.approx(0.5)
    assert status == 200
    assert document["checks"]["b"]["why"] == "no answer within 0.5 s"


async def test_probes_at_the_same_time_share_one_check() -> None:
    """A storm of probes reaches the database once, and a probe that gives up disturbs no other."""
    health = Health(limit_s=5)
    asked, gate = 0, asyncio.Event()

    async def check() -> None:
        nonlocal asked
        asked += 1
        await gate.wait()

    health.watch("database", check)
    health.started()
    probes = [asyncio.create_task(health.ready()) for _ in range(10)]
    await asyncio.sleep(0)
    probes[0].cancel()
    await asyncio.sleep(0)
    gate.set()

    found = await asyncio.gather(*probes, return_exceptions=True)

    assert asked == 1
    assert isinstance(found[0], asyncio.CancelledError)
    assert [answer.status for answer in found[1:] if isinstance(answer, Response)] == [200] * 9


def test_answers_are_json_and_not_cached() -> None:
    """A proxy in between must not answer for us."""
    response = Health().live()

    assert response.header(b"content-type") == b"application/json"
    assert response.header(b"cache-control") == b"no-store"
