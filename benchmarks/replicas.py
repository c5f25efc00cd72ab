"""Orders settled a second with a process for each service, and with 1, 2 and 4 replicas of each.

The peer is the shop in one process, which takes turns with them and is idle in theirs, on servers
of its own. All processes, Postgres, nats-server and the load share the machine's cores; nothing is
pinned. What more processes bring here is concurrency, not cores: on two cores the figure says what
it costs to be split, identities and mutual TLS included, and that replicas do not get into each
other's way.

Targets: 0.9 times the orders a second of one process when split, 0.6 times with two of each.
"""

import math
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.harness import Contender, Plan, Row, Sample, versus
from benchmarks.orders import Customer
from benchmarks.ours import roomy
from benchmarks.process import ALL_CORES, LOAD_CORE, Server, cpu_s, disk_folder, running
from benchmarks.servers import Costs, Told, side
from holdfast.engines.machine import MachineClock
from holdfast.runtime.children import free_port
from holdfast.runtime.local_authority import LocalAuthority
from holdfast.runtime.servers import Servers
from holdfast.runtime.supervisor import Supervisor

TARGETS = {1: 0.9, 2: 0.6, 4: math.nan}  # by the replicas of each


async def measure(plan: Plan) -> list[Row]:
    """Measure the figure."""
    os.sched_setaffinity(0, ALL_CORES)
    rows: list[Row] = []
    try:
        for count, target in TARGETS.items():
            with disk_folder() as folder:
                samples = await _beside_one(count, folder, plan)
            name = f"orders, split, {count} of each"
            rows.append(versus(name, "orders/s", samples, target=target))
    finally:
        os.sched_setaffinity(0, {LOAD_CORE})
    return rows


async def _beside_one(count: int, folder: Path, plan: Plan) -> dict[str, list[Sample]]:
    split_, one_ = f"{count} of each", "one process"
    samples: dict[str, list[Sample]] = {split_: [], one_: []}
    async with side(one_, cores=ALL_CORES) as one, split(folder, count=count) as run:
        for number in range(plan.rounds + 1):
            seconds = plan.round_s if number else plan.warm_up_s
            found = {split_: await run.order_for(seconds), one_: await _order_for(one, seconds)}
            if number:
                for name, sample in found.items():
                    samples[name].append(sample)
    return samples


async def _order_for(one: Contender, seconds: float) -> Sample:
    before_s = one.server.cpu_s()
    count, sample = await one.run(seconds)
    return replace(sample, cpu_us=(one.server.cpu_s() - before_s) / count * 1e6)


class Split:
    """A system in several processes, and a customer who orders from it."""

    def __init__(self, supervisor: Supervisor, customer: Customer) -> None:
        self._supervisor, self._customer = supervisor, customer

    async def order_for(self, seconds: float) -> Sample:
        """Order for so long; CPU is that of all processes of the system."""
        before = self._cpu_s()
        count, sample = await self._customer.order_for(seconds)
        cpu_us = (self._cpu_s() - before) / count * 1e6
        return Sample(sample.rate, sample.p50_ms, sample.p99_ms, cpu_us, more=sample.more)

    def _cpu_s(self) -> float:
        members = self._supervisor.members.values()
        return sum(cpu_s(member.pid) for member in members if member.pid is not None)


@asynccontextmanager
async def split(folder: Path, *, count: int = 1, secure: bool = True) -> AsyncIterator[Split]:
    """Yield a split system on servers of its own, with so many replicas of each service."""
    authority = None
    if secure:
        authority = LocalAuthority(folder / "identities", roomy.system.name, MachineClock())
    servers = Servers(folder / "servers", ["postgres", "nats"], roomy.system, authority=authority)
    await servers.start()
    ledger = ("--port", "0", "--ledger", str(folder / "processor.db"))
    processor = Server("processor", "shop.processor", *ledger, core=LOAD_CORE)
    try:
        async with running(processor):
            supervisor = Supervisor(
                roomy.system,
                "benchmarks.ours.roomy:system",
                folder,
                host="127.0.0.1",
                port=free_port(),
                ops_port=None,
                replicas={service.name: count for service in roomy.system.services},
                environ={
                    **os.environ,
                    **servers.environ,
                    "PROCESSOR_URL": processor.url,
                    "HOLDFAST_LOG_LEVEL": "warning",
                },
                drain_s=5.0,
                authority=authority,
            )
            await supervisor.start()
            costs, told = Costs(servers), Told(servers.environ["NOTIFICATIONS_DATABASE_URL"])
            try:
                yield Split(supervisor, Customer(supervisor.url, told, costs))
            finally:
                told.close()
                costs.close()
                await supervisor.stop()
    finally:
        await servers.stop()
