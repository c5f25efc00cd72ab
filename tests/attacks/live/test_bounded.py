"""Thousands of orders later: no table, set or queue has grown with them."""

import asyncio
import gc
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from holdfast import Rate
from holdfast.consistency.schedule import Schedule
from holdfast.contract.envelope import Kind, MessageRow
from holdfast.storage import MessageFilter
from holdfast.testing import Running, running
from shop.system import shop

pytestmark = pytest.mark.chaos

ORDERS = 1_500
AT_ONCE = 32
CACHES_KIB = 16 * 1024  # SQLite's page caches, which fill up during the first 5,000 orders
ROOMY = replace(
    shop,
    gateway=replace(
        shop.gateway,
        per_caller=Rate(per_s=100_000, burst=100_000),
        per_address=Rate(per_s=100_000, burst=100_000),
    ),
)
OFTEN = Schedule(transaction_ms=2_000)  # floors follow after four seconds


async def test_what_is_settled_is_forgotten() -> None:
    """Rows go by their floors, letters leave the outbox, and memory stays where it was."""
    async with running(ROOMY, schedule=OFTEN) as run:
        token = await _enter(run)
        await _order(run, token, ORDERS // 3)
        first_kib, first_objects = _resident_kib(run), _objects()
        await _order(run, token, ORDERS)
        grown_kib, grown = _resident_kib(run) - first_kib, _objects() - first_objects
        while any(len(rows) > 20 for rows in (await _left(run)).values()):
            for host in run.process.hosts:
                await host.core.relay.keep_house()
            await asyncio.sleep(0.1)  # floors travel; the test's time-out is the bound
        await run.settled()

        for host in run.process.hosts:
            assert host.core.outbox.stats().in_flight == 0
            assert host.core.writer.stats().waiting == 0
        assert grown / ORDERS < 1, "objects per order that nobody lets go"
        assert grown_kib < CACHES_KIB


async def _enter(run: Running) -> str:
    login = {"email": "ada@example.com", "password": "a long password"}
    assert (await run.client.post("/v1/users", json={**login, "name": "Ada"})).status == 201
    token: str = (await run.client.post("/v1/tokens", json=login)).json()["access_token"]
    return token


async def _order(run: Running, token: str, count: int) -> None:
    left = iter(range(count))
    body: dict[str, Any] = {"lines": [{"sku": "KETTLE", "quantity": 1}], "card": "tok_ok"}

    async def some() -> None:
        for _ in left:
            while (
                answer := await run.client.post("/v1/orders", json=body, token=token)
            ).status == 503:
                await asyncio.sleep(0.1)  # a machine that is busy with others has no room for it
            assert answer.status == 202, answer.body

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    await run.settled(within_s=300)


async def _left(run: Running) -> dict[str, list[MessageRow]]:
    """Return the letters that each service still keeps."""
    return {
        host.name: [
            row
            for row in await host.ledger.database.messages(MessageFilter(limit=100_000))
            if row.kind not in (Kind.TICK, Kind.REQUEST)
        ]
        for host in run.process.hosts
    }


def _objects() -> int:
    gc.collect()
    return len(gc.get_objects())


def _resident_kib(run: Running) -> float:
    """Return the resident memory without the log, which a test keeps."""
    gc.collect()
    run.process.logger.flush()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return (pages * os.sysconf("SC_PAGE_SIZE") - run.log.getbuffer().nbytes) / 1024
