"""A four-step DBOS workflow on SQLite or Postgres: reserve, charge, confirm, notify.

The steps do nothing, and nothing comes in over HTTP: what is measured is what it costs to make four
steps durable. DBOS opens SQLite with a rollback journal and `synchronous=FULL`; here the file was
put into WAL mode before, as Holdfast's are, which is faster.

It reads lines on its standard input, each a number of seconds, and answers each with one line of
JSON: the seconds that every workflow of that time took.
"""

import argparse
import asyncio
import json
import sqlite3
import sys
import time
from pathlib import Path

import uvloop
from dbos import DBOS, DBOSConfig

CONCURRENT = 32


@DBOS.step()
async def reserve(order_id: str) -> str:
    """Set the goods aside."""
    return f"reserved {order_id}"


@DBOS.step()
async def charge(order_id: str) -> str:
    """Take the money."""
    return f"charged {order_id}"


@DBOS.step()
async def confirm(order_id: str) -> str:
    """Close the order."""
    return f"confirmed {order_id}"


@DBOS.step()
async def notify(order_id: str) -> str:
    """Tell the customer."""
    return f"told {order_id}"


@DBOS.workflow()
async def checkout(order_id: str) -> str:
    """Carry out one order."""
    await reserve(order_id)
    await charge(order_id)
    await confirm(order_id)
    return await notify(order_id)


async def one_round(seconds: float) -> dict[str, object]:
    """Keep 32 workflows running for so many seconds; those that were begun are finished."""
    latencies_s: list[float] = []
    begun = time.perf_counter()
    give_up = begun + seconds

    async def customer(number: int) -> None:
        while (now := time.perf_counter()) < give_up:
            await checkout(f"order-{number}-{now}")
            latencies_s.append(time.perf_counter() - now)

    await asyncio.gather(*(customer(number) for number in range(CONCURRENT)))
    return {"seconds": time.perf_counter() - begun, "latencies_s": latencies_s}


async def main() -> None:
    """Run rounds until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--database", help="a server's URL instead of a file in the folder")
    options = parser.parse_args()
    url = options.database
    if url is None:
        path = options.folder / "dbos.db"
        with sqlite3.connect(path) as made:
            made.execute("PRAGMA journal_mode = WAL")
        made.close()
        url = f"sqlite:///{path}"
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": url,
        "log_level": "ERROR",
    }
    DBOS(config=config)
    DBOS.launch()
    print(json.dumps({"ready": True}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await one_round(float(line))), flush=True)
    DBOS.destroy()


if __name__ == "__main__":
    uvloop.run(main())
