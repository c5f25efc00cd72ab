"""Two services in one process: one publishes events, the other hears them, each commits.

The handler does nothing; its letter is recorded in Postgres, so that it has run once, and so is the
event until it is answered. It speaks as `peers.faststream_app` does.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path

import uvloop

from holdfast import Event, Gateway, Service, System, Tx
from holdfast.engines.machine import MachineClock, MachineSignals
from holdfast.observability import Logger
from holdfast.runtime.process import Options, Process
from holdfast.runtime.serve import serve

PUBLISHERS, EACH = 4, 128
AHEAD = 2_048  # of what was heard
POISON = int(os.environ.get("POISON", "0"))  # beside each EACH


class Noted(Event):
    """The event."""

    number: int
    owner: str
    total_cents: int
    poison: bool = False


desk = Service("desk", publishes=[Noted])
shed = Service("shed")
published = heard = 0
system = System("events", services=[desk, shed], gateway=Gateway())


@shed.handles
async def hear(noted: Noted, tx: Tx) -> None:
    """Count; poison can never be handled."""
    global heard
    if noted.poison:
        raise ValueError("poison")
    heard += 1


async def count_elsewhere(process: Process) -> None:
    """Take for heard what another process has answered, if that is where events are heard."""
    global heard
    [host] = process.hosts
    while True:
        left = await host.ledger.database.backlog(host.ledger.out_edges)
        heard = published - left.out_rows
        await asyncio.sleep(0.02)


async def rounds(process: Process) -> None:
    """Run rounds until the input ends."""
    counting = asyncio.create_task(count_elsewhere(process)) if len(process.hosts) == 1 else None
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        seconds, before = float(line), heard
        begun = time.perf_counter()

        async def publish(until: float) -> None:
            global published
            while time.perf_counter() < until:
                while published - heard > AHEAD:
                    await asyncio.sleep(0.005)
                async with desk.begin() as tx:
                    for _ in range(EACH):
                        published += 1
                        tx.publish(Noted(number=published, owner="ada", total_cents=1250))
                    for _ in range(POISON):
                        tx.publish(Noted(number=0, owner="eve", total_cents=0, poison=True))

        await asyncio.gather(*(publish(begun + seconds) for _ in range(PUBLISHERS)))
        while heard < published:
            await asyncio.sleep(0.005)
        took = time.perf_counter() - begun
        print(json.dumps({"count": heard - before, "seconds": took}), flush=True)
    if counting is not None:
        counting.cancel()


async def main() -> None:
    """Serve, and run rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--services", default="desk,shed", help="those of this process")
    given = parser.parse_args()
    folder, services = given.folder, tuple(given.services.split(","))
    log = open(folder / "events.log", "wb", buffering=0)  # noqa: SIM115  # for the process's life
    logger = Logger(log, MachineClock(), system.name, "error", form="json")
    tasks: list[asyncio.Task[None]] = []

    def ready(process: Process) -> None:
        print("ready", flush=True)
        if "desk" in services:
            tasks.append(asyncio.create_task(rounds(process)))

    options = Options(folder, port=0, services=services, environ=os.environ)
    await serve(system, options, logger, MachineSignals(), ready)


if __name__ == "__main__":
    uvloop.run(main())
