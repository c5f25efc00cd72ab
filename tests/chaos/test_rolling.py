"""A deployment: every process of every service is replaced under load, and nobody notices."""

import asyncio
import os
import random
import sys
from pathlib import Path

import pytest

from holdfast.engines.machine import MachineClock
from holdfast.runtime.children import free_port
from holdfast.runtime.local_authority import IDENTITIES, LocalAuthority
from holdfast.runtime.servers import Servers
from holdfast.runtime.supervisor import GATEWAY, Supervisor
from holdfast.testing import Client
from shop.demo.audit import audit
from shop.demo.books import read_books, settled, unfinished
from shop.demo.customers import Customers, Placed, Wish
from shop.system import shop
from tests.chaos.books import Tables

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1_800)]

SERVICES = [service.name for service in shop.services]
AT_ONCE = 4
SETTLE_S = 600.0


async def test_a_rolling_restart_fails_no_request(tmp_path: Path) -> None:
    """Two of each service; the gateway tries the other one when it has to."""
    chance = random.Random(1)
    authority = LocalAuthority(tmp_path / IDENTITIES, shop.name, MachineClock())
    servers = Servers(tmp_path / "servers", ["postgres", "nats"], shop, authority=authority)
    await servers.start()
    system = Supervisor(
        shop,
        "shop",
        tmp_path,
        host="127.0.0.1",
        port=free_port(),
        ops_port=None,
        replicas=dict.fromkeys(SERVICES, 2),
        environ={**os.environ, **servers.environ, "HOLDFAST_LOG_LEVEL": "error"},
        drain_s=60.0,
        authority=authority,
    )
    placed: list[Placed] = []
    try:
        await system.start()
        client = Client(system.url)
        customers = Customers(client, chance)
        await customers.register()
        enough = asyncio.Event()

        async def order(customer: int) -> None:
            number = 0
            while not enough.is_set():
                number += 1
                wish = Wish(f"{customer}-{number}", "tok_ok", (("LANTERN", 1),))
                placed.append(await customers.place(customer, wish))
                await asyncio.sleep(chance.uniform(0, 0.2))

        async with asyncio.TaskGroup() as load:
            for customer in range(AT_ONCE):
                load.create_task(order(customer))
            for name in [name for name in system.members if name != GATEWAY]:
                await system.restart(name)
            enough.set()
        tables = Tables.of(servers, SERVICES)
        give_up = asyncio.get_running_loop().time() + SETTLE_S
        while asyncio.get_running_loop().time() < give_up:
            done = await asyncio.to_thread(settled, tables)
            if done >= len(placed) and not await asyncio.to_thread(unfinished, tables):
                break
            await asyncio.sleep(1)
        books = await asyncio.to_thread(read_books, tables, tmp_path / "processor.db")
        await client.close()
    finally:
        await system.stop()
        await servers.stop()

    again = [p.wish.key for p in placed if p.tries > 1]
    print(f"{len(placed)} orders, {len(again)} of them sent again", file=sys.stderr)
    assert audit([p.id for p in placed], books).all() == []
    assert again == [], "a customer's request failed"
    assert len(placed) > 50
