"""Events a second that four replicas of a service commit, beside one replica of it.

Their batches take turns at the gate of one database, so four commit no more than one could; without
the gate they would end in deadlocks. All share the machine's cores; nothing is pinned.

Target: 90 % of what one replica commits.
"""

import json
import os
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

from benchmarks.harness import Plan, Row, Sample
from benchmarks.ours.events import system
from benchmarks.process import ALL_CORES, LOAD_CORE, Server, disk_folder, running
from holdfast.runtime.servers import Servers

TARGET = 0.9
SETTLE_S = 300.0


async def measure(plan: Plan) -> list[Row]:
    """Measure the figure."""
    os.sched_setaffinity(0, ALL_CORES)
    try:
        found = {}
        for count in (4, 1):
            with disk_folder() as folder:
                found[f"{count} replicas"] = await _heard_by(count, folder, plan)
    finally:
        os.sched_setaffinity(0, {LOAD_CORE})
    four, one = (median(sample.rate for sample in samples) for samples in found.values())
    name = "events heard by four replicas"
    return [Row(name, "events/s", four, "1 replica", one, four / one, target=TARGET, samples=found)]


async def _heard_by(count: int, folder: Path, plan: Plan) -> list[Sample]:
    servers = Servers(folder / "servers", ["postgres", "nats"], system)
    samples: list[Sample] = []
    async with AsyncExitStack() as stack:
        stack.push_async_callback(servers.stop)
        await servers.start()

        def server(name: str, service: str) -> Server:
            words = (str(folder / name), "--services", service)
            (folder / name).mkdir()
            made = Server(name, "benchmarks.ours.events", *words, environ=servers.environ)
            made.cores = ALL_CORES
            return made

        sheds = [server(f"shed-{n}", "shed") for n in range(count)]
        desk = server("desk", "desk")
        await stack.enter_async_context(running(*sheds, desk))
        for number in range(plan.rounds + 1):
            seconds = plan.round_s if number else plan.warm_up_s
            heard = json.loads(await desk.ask(str(seconds), seconds + SETTLE_S))
            if number:
                samples.append(Sample(heard["count"] / heard["seconds"], 0.0, 0.0))
    return samples
