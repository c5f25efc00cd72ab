"""A process that is asked to stop under load: what it acknowledged is kept, and exit is 0."""

import asyncio
import random
from collections import Counter
from pathlib import Path
from uuid import UUID

import pytest

from holdfast.errors import CallError
from holdfast.testing import Client
from shop.demo.audit import audit
from shop.demo.books import Files, read_books, settled, unfinished
from shop.demo.customers import wishes
from tests.children import shop_in

pytestmark = pytest.mark.chaos

STOPS = 2
AT_ONCE = 16


async def enter(client: Client, number: int) -> str:
    """Register a customer and return a token."""
    login = {"email": f"ada-{number}@example.com", "password": "a long password"}
    assert (await client.post("/v1/users", json={**login, "name": "Ada"})).status == 201
    token: str = (await client.post("/v1/tokens", json=login)).json()["access_token"]
    return token


async def test_stopping_under_load_loses_no_order_and_answers_no_5xx(tmp_path: Path) -> None:
    """Connections may end, answers may not: each accepted request gets its own, and exit is 0."""
    chance = random.Random(7)
    wanted = iter(wishes(20_000, chance))
    statuses: Counter[int] = Counter()
    taken: list[UUID] = []
    running, enough = asyncio.Event(), asyncio.Event()

    quiet = {"HOLDFAST_LOG_LEVEL": "warning"}
    async with shop_in(tmp_path, hang_s=3.0, environ=quiet) as (shop, client):

        async def order(token: str) -> None:
            for wish in wanted:
                await running.wait()
                if enough.is_set():
                    return
                try:
                    answer = await client.post("/v1/orders", json=wish.body(), token=token)
                except CallError:
                    statuses[0] += 1
                    continue
                statuses[answer.status] += 1
                if answer.status == 202:
                    taken.append(UUID(answer.json()["id"]))

        tokens = [await enter(client, number) for number in range(4)]
        async with asyncio.TaskGroup() as load:
            for number in range(AT_ONCE):
                load.create_task(order(tokens[number % len(tokens)]))
            for _ in range(STOPS):
                running.set()
                before = len(taken)
                while len(taken) < before + 50:
                    await asyncio.sleep(0.01)
                stopping = asyncio.create_task(shop.stop())
                await asyncio.sleep(0.05)
                running.clear()
                assert await stopping == 0
                await shop.start()
            enough.set()
            running.set()
        data = tmp_path / "data"
        loop = asyncio.get_running_loop()
        give_up = loop.time() + 300
        while loop.time() < give_up and (
            settled(Files(data)) < len(taken) or unfinished(Files(data))
        ):
            await asyncio.sleep(0.1)
        assert await shop.stop() == 0

    assert [status for status in statuses if status >= 500] == [], statuses
    findings = audit(taken, read_books(Files(data), tmp_path / "processor.db"))
    assert findings.stuck + findings.lost + findings.wrong == [], statuses
    assert [double for double in findings.double if "charged" in double] == []
