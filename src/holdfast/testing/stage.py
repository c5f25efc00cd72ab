"""What a system runs on in virtual time: a simulated network, and everything else as it is."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.communication import HttpServer
from holdfast.consistency.schedule import Schedule
from holdfast.dispatch.outside import Blocking
from holdfast.engines.machine import MachineClock, MachineIds, machine_random
from holdfast.engines.memory import MemoryBroker
from holdfast.engines.sqlite import SqliteDatabase
from holdfast.ports import Network
from holdfast.runtime.engines import Engines
from holdfast.runtime.variables import url_variable
from holdfast.simulation.network import SimNetwork
from holdfast.simulation.node import Node
from holdfast.system import System
from holdfast.testing.virtual import VirtualClock

HOST = "system"
SELDOM = Schedule(poll_ms=3_600_000, keep_ms=3_600_000)
"""The usual one, but for what is done now and then: in days that pass at once, once an hour."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A network, a clock that begins now, and third parties on that network.

    Attributes:
        environ: where the third parties are.
    """

    network: SimNetwork
    clock: VirtualClock
    environ: Mapping[str, str] = field(repr=False)

    def outside(self) -> Network:
        """Return the network as those see it who use the system."""
        return self.network.of(Node("outside", "outside"))

    def engines(self, folder: Path) -> Engines:
        """Return what the system runs on; its databases are files in a folder."""
        return Engines(
            clock=self.clock,
            ids=MachineIds(),
            random=machine_random(),
            network=self.network.of(Node(HOST, HOST)),
            broker=MemoryBroker(),
            database=lambda service: SqliteDatabase(folder / f"{service}.db", self.clock),
            run=_at_once,
        )


@asynccontextmanager
async def staged(system: System) -> AsyncGenerator[Stage]:
    """Yield a stage on which the stand-ins that the system declares are served."""
    network = SimNetwork.seeded(system.name)
    clock = VirtualClock(MachineClock().now())
    environ: dict[str, str] = {}
    servers: list[HttpServer] = []
    for name, make in system.simulated.stand_ins.items():
        server = HttpServer(make(clock).handle, network=network.of(Node(name, name)), clock=clock)
        await server.start(name, 80)
        servers.append(server)
        environ[url_variable(name)] = f"http://{name}"
    yield Stage(network, clock, environ)
    for server in servers:
        await server.drain(0.0)


async def _at_once(work: Blocking) -> object:
    """Run a function here: a thread would run in real time."""
    return work.function()
