"""A real process on SQLite, killed with SIGKILL again and again under load."""

import asyncio
import random
import sys
from pathlib import Path

from shop.demo.audit import audit
from shop.demo.books import Files, read_books, settled, unfinished
from shop.demo.customers import Customers, Placed, wishes
from tests.children import shop_in

KILLS = 20
AT_ONCE = 8
EACH = 5  # orders that are placed between two kills, at least
SETTLE_S = 300.0


async def test_twenty_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    """Whatever moment the process dies at, every acknowledged order is carried out once."""
    seed = random.randrange(2**32)
    print(f"seed {seed}", file=sys.stderr)  # shown when the test fails
    chance = random.Random(seed)
    placed: list[Placed] = []
    quiet = {"HOLDFAST_LOG_LEVEL": "warning"}
    async with shop_in(tmp_path, hang_s=3.0, environ=quiet) as (shop, client):
        customers = Customers(client, chance)
        await customers.register()
        wanted = iter(enumerate(wishes(50_000, chance)))
        enough = asyncio.Event()

        async def order() -> None:
            for number, wish in wanted:
                if enough.is_set():
                    return
                placed.append(await customers.place(number, wish))

        async with asyncio.TaskGroup() as load:
            for _ in range(AT_ONCE):
                load.create_task(order())
            for _ in range(KILLS):
                enough_placed = len(placed) + EACH
                while len(placed) < enough_placed:
                    await asyncio.sleep(0.01)  # the test's time-out is the bound
                await asyncio.sleep(chance.uniform(0, 0.5))  # any moment will do
                await shop.kill()
                await shop.start()
            enough.set()
        loop = asyncio.get_running_loop()
        give_up = loop.time() + SETTLE_S
        data = tmp_path / "data"
        while loop.time() < give_up and (
            settled(Files(data)) < len(placed) or unfinished(Files(data))
        ):
            await asyncio.sleep(0.2)
        assert await shop.stop() == 0

    findings = audit([p.id for p in placed], read_books(Files(data), tmp_path / "processor.db"))
    assert findings.all() == [], f"seed {seed}"
    assert len(placed) >= EACH * KILLS
