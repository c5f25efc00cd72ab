"""Orders settled a second with a process for each service, and with 1, 2 and 4 replicas of each.

All processes, Postgres, nats-server and the load share the machine's cores; nothing is pinned. What
more processes bring here is concurrency, not cores: on two cores the figure says what it costs to
be split, and that replicas do not get into each other's way.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.harness import Plan, Row, Sample
from benchmarks.orders import Customer
from benchmarks.ours import roomy
from benchmarks.process import ALL_CORES, LOAD_CORE, Server, cpu_s, disk_folder, running
from benchmarks.servers import Costs, Told
from holdfast.engines.machine import MachineClock
from holdfast.runtime.children import free_port
from holdfast.runtime.local_authority import LocalAuthority
from holdfast.runtime.servers import Servers
from holdfast.runtime.supervisor import Supervisor

COUNTS = (1, 2, 4)


async def measure(plan: Plan) -> list[Row]:
    """Measure the figure."""
    os.sched_setaffinity(0, ALL_CORES)
    rows: list[Row] = []
    try:
        for count in COUNTS:
            with disk_folder() as folder:
                samples = await _with_replicas(count, folder, plan)
            name = f"orders, split, {count} of each"
            middle = sorted(sample.rate for sample in samples)[len(samples) // 2]
            rows.append(Row(name, "orders/s", middle, samples={f"{count} of each": samples}))
    finally:
        os.sched_setaffinity(0, {LOAD_CORE})
    return rows


async def _with_replicas(count: int, folder: Path, plan: Plan) -> list[Sample]:
    async with split(folder, count=count) as run:
        samples: list[Sample] = []
        for number in range(plan.rounds + 1):
            sample = await run.order_for(plan.round_s if number else plan.warm_up_s)
            if number:
                samples.append(sample)
        return samples


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
