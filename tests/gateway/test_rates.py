"""Rates of callers and addresses, to the digit: what is told, when it is over, what is counted."""

import asyncio
import json
import re
import time
from dataclasses import replace

import pytest

from holdfast import Gateway, Rate
from holdfast.testing import Running, running, virtual_time
from tests.gateway.test_door import OPEN, SIGNER, Desk

SLOW = Rate(per_s=0.01, burst=2)


def token(subject: str) -> str:
    """Return a token that is good for an hour."""
    return SIGNER.sign(subject, (), now=time.time(), lifetime_s=3_600, token_id="t-1")


def counted(run: Running, name: str) -> float:
    """Return what a scrape finds of the gateway's own count."""
    text = run.process.metrics.render().decode()
    [value] = re.findall(rf'^{name}{{service="gateway"}} (\S+)$', text, re.M)
    return float(value)


@virtual_time
async def test_every_answer_says_what_is_left() -> None:
    """Whole requests, and seconds until there is one more; a refusal says when to come back."""
    async with running(Desk(replace(OPEN, per_caller=SLOW)).system) as run:
        answers = [await run.client.get("/v1/me", token=token("ada")) for _ in range(3)]
        refused = answers[-1]

        assert [answer.status for answer in answers] == [200, 200, 429]
        assert [answer.headers["ratelimit"] for answer in answers] == [
            '"caller";r=1;t=100',
            '"caller";r=0;t=100',
            '"caller";r=0;t=100',
        ]
        assert refused.headers["ratelimit-policy"] == '"caller";q=2;w=200'
        assert refused.headers["retry-after"] == "100"
        assert refused.json()["detail"] == (
            "more than 0.01 requests a second of one caller (burst 2)"
        )
        assert "ratelimit-policy" not in answers[0].headers
        await asyncio.sleep(float(refused.headers["retry-after"]))
        assert (await run.client.get("/v1/me", token=token("ada"))).status == 200


@virtual_time
async def test_who_comes_back_is_told_a_second_at_least() -> None:
    """A shorter pause cannot be said in whole seconds, and none would be an invitation."""
    rate = Rate(per_s=100_000.0, burst=1)
    async with running(Desk(replace(OPEN, per_address=rate)).system) as run:
        answers = await asyncio.gather(*(run.client.get("/v1/nothing") for _ in range(50)))

    told = {answer.headers["retry-after"] for answer in answers if answer.status == 429}
    assert told <= {"1"}


@pytest.mark.parametrize(
    ("gateway", "kind"),
    [(replace(OPEN, per_address=SLOW), "address"), (replace(OPEN, per_caller=SLOW), "caller")],
)
def test_refusals_are_counted(gateway: Gateway, kind: str) -> None:
    """In the metric, each once; others are not."""

    @virtual_time
    async def count() -> None:
        async with running(Desk(gateway).system) as run:
            for turn in range(1, 6):
                answer = await run.client.get("/v1/me", token=token("ada"))
                refused = max(0, turn - 2)

                assert answer.status == (429 if refused else 200)
                assert counted(run, "holdfast_rate_limited_total") == refused
                if refused:
                    assert f'"{kind}"' in answer.headers["ratelimit"]

    count()


@virtual_time
async def test_a_public_route_has_no_callers() -> None:
    """Nobody is asked who he is, and nobody's rate is taken."""
    async with running(Desk(replace(OPEN, per_caller=SLOW)).system) as run:
        answers = [await run.client.get("/open/", token=token("ada")) for _ in range(5)]

    assert {answer.status for answer in answers} == {200}
    assert not any("ratelimit" in answer.headers for answer in answers)


@virtual_time
async def test_a_request_is_logged_and_measured_by_its_route() -> None:
    """By its template, and by one name for whatever matches none."""
    async with running(Desk(OPEN).system) as run:
        for path in ("/v1/me", "/v1/none", "/old/a", "/old/b"):
            await run.client.get(path, token=token("ada"))
        text = run.process.metrics.render().decode()
        run.process.logger.flush()
        lines = [json.loads(line) for line in run.log.getvalue().splitlines()]

    seen = [
        (line["method"], line["route"], line["status"])
        for line in lines
        if line["event"] == "request"
    ]
    assert seen == [
        ("GET", "/v1/me", 200),
        ("GET", "unmatched", 404),
        ("GET", "/old/", 200),
        ("GET", "/old/", 200),
    ]
    found = re.findall(
        r'^http_server_request_duration_seconds_count\{http_request_method="(\w+)",'
        r'http_route="([^"]*)",http_response_status_code="(\d+)",service="gateway"\} ([1-9].*)$',
        text,
        re.M,
    )
    assert sorted(found) == [
        ("GET", "/old/", "200", "2"),
        ("GET", "/v1/me", "200", "1"),
        ("GET", "unmatched", "404", "1"),
    ]
