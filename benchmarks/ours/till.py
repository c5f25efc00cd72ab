"""A till that costs its loop a fixed time for each sale, so that its capacity is known."""

import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import uvloop

from benchmarks.ours.serve import serve_until_stopped
from holdfast import Gateway, Model, Service, System
from holdfast.engines.machine import MachineClock
from holdfast.observability import Logger
from holdfast.runtime.process import Options, Process

SALE_S, DEADLINE_S = 0.004, 0.5


class Done(Model):
    """What was done."""

    what: str


class Worked:
    """What all sales took of this process's CPU, in seconds."""

    cpu_s = 0.0


def work() -> None:
    """Hold the loop for as long as a sale takes."""
    begun_s, until = time.thread_time(), time.perf_counter() + SALE_S
    while time.perf_counter() < until:
        pass
    Worked.cpu_s += time.thread_time() - begun_s


def tell() -> None:
    """For each line on the standard input, say what the sales took."""
    while sys.stdin.readline():
        print(Worked.cpu_s, flush=True)


service = Service("till", tables=[])


@service.get("/v1/pay", public=True, tier="critical")
async def pay() -> Done:
    """Take the money for what is in the bag already."""
    work()
    return Done(what="pay")


@service.get("/v1/sell", public=True)
async def sell() -> Done:
    """Sell something."""
    work()
    return Done(what="sell")


@service.get("/v1/count", public=True, tier="bulk")
async def count() -> Done:
    """Count what was sold."""
    work()
    return Done(what="count")


system = System(
    "till",
    [service],
    Gateway(per_address=None, deadline_s=DEADLINE_S, wait_s=DEADLINE_S / 5),
)


async def main() -> None:
    """Serve; the log goes to /dev/null."""
    log = open(os.devnull, "wb", buffering=0)  # noqa: SIM115  # for the life of the process
    with tempfile.TemporaryDirectory() as folder:
        logger = Logger(log, MachineClock(), system.name, form="json")
        process = Process(system, Options(Path(folder), port=0), logger)
        await process.start()
        threading.Thread(target=tell, daemon=True).start()
        await serve_until_stopped({"url": process.url}, process.stop)


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
