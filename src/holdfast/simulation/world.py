"""The world of one run: nodes, clocks, engines, and what befalls them.

Each service has its database and one or more nodes; there is one gateway, one broker, one client,
and a node for each External. Every node runs the production process on simulated engines.
"""

import asyncio
import io
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Column, Executable, Integer, MetaData, String, Table, Uuid

from holdfast.communication import PORT, HttpServer, Origin
from holdfast.consistency.safeguards import ALL_ON, Safeguards
from holdfast.consistency.schedule import Schedule
from holdfast.consistency.transitions import requeued
from holdfast.consistency.unit import Unit
from holdfast.contract.envelope import State
from holdfast.engines.joined import JoinedTransaction
from holdfast.engines.machine import MachineIds
from holdfast.engines.near import NearBroker
from holdfast.errors import UnknownName
from holdfast.observability import Logger, Metrics, troubles
from holdfast.runtime.engines import Engines
from holdfast.runtime.process import Options, Process
from holdfast.runtime.settings import ProcessSettings
from holdfast.runtime.variables import url_variable
from holdfast.simulation.broker import SimBroker
from holdfast.simulation.client import Client
from holdfast.simulation.clock import SimClock
from holdfast.simulation.database import SimDatabase
from holdfast.simulation.fence import Fence
from holdfast.simulation.history import History
from holdfast.simulation.identity import SimIdentity
from holdfast.simulation.joinable import Join
from holdfast.simulation.loop import SimLoop
from holdfast.simulation.network import SimNetwork
from holdfast.simulation.node import NODE, Node
from holdfast.simulation.signing import sim_signer
from holdfast.simulation.store import SimStore
from holdfast.simulation.waits import Waits
from holdfast.system import System

GATEWAY = "gateway"
ALL = "all"
"""The service of a node that hosts everything."""

SETTINGS = ProcessSettings(log_level="error", log_form="json")
SCHEDULE = Schedule(poll_ms=2_000)

effect_metadata = MetaData()
effect_table = Table(
    "holdfast_effect",
    effect_metadata,
    Column("number", Integer, primary_key=True),
    Column("seed", Uuid, nullable=False),
    Column("what", String, nullable=False),
    Column("correlation", String, nullable=False),
)
"""One row for each unit of work, written by the simulator in that unit's transaction."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Setup:
    """How a world is made.

    Attributes:
        replicas: {service: number of its nodes}; 1 for those that are not named.
        joined: services whose databases join what the turns of a batch write, as Postgres does;
            on the others each statement is made at once, as on SQLite.
        join: what joins it.
        together: nodes that host all services and the gateway, as one process does, so that their
            letters go past the broker; 0: each service has nodes of its own.
        size: how much the workload is asked to do.
        older: the release of the system that the first node of each service still runs.
        deployed: the release that nodes run once they were restarted; it is rolled back when
            things are calm.
        dead_letters: some are expected: the system has poison in it.
        operator: somebody retries parked sagas and replays dead letters, once things are calm.
    """

    safe: Safeguards = ALL_ON
    schedule: Schedule = SCHEDULE
    replicas: Mapping[str, int] = field(default_factory=dict[str, int])
    joined: Sequence[str] = ()
    join: Join = JoinedTransaction
    together: int = 0
    size: int = 10
    older: System | None = None
    deployed: System | None = None
    dead_letters: bool = False
    operator: bool = False


class World:
    """One simulated world. Invariants look at it; faults change it.

    Attributes:
        nodes: {name: the node that is alive, or was killed last}.
        stand_ins: {External's name: what the system declared to stand for it}.
        answers: the final answers that the client got.
        steps: how often each step was passed, by `service step`.
        waits: lets long waits pass at once.
        breaches: what an intruder got that no edge allows.
        forged: the ids of letters that were written in another's name, or without an edge.
    """

    def __init__(
        self, system: System, seed: str, setup: Setup, loop: SimLoop, fence: Fence
    ) -> None:
        self.system, self.seed, self.setup, self.loop = system, seed, setup, loop
        self.fence = fence
        fence.on_exit = self._exited
        self.history = History()
        self.nodes: dict[str, Node] = {}
        self.processes: dict[str, Process] = {}
        self.clocks: dict[str, SimClock] = {}
        self.stand_ins: dict[str, Any] = {}
        self.steps: Counter[str] = Counter()
        self.breaches: list[str] = []
        self.forged: list[UUID] = []
        self.log = io.BytesIO()
        self._loggers: list[Logger] = []
        self.struck: list[str] = []
        self._restarted: Counter[str] = Counter()
        self._calm = False
        self._armed: list[tuple[str, str, int, float, bool]] = []
        self._levers: dict[tuple[str, str], object] = {}
        self.on_commit: Callable[[], None] | None = None
        self.commits = 0
        self._clients: list[Client] = []
        self._metrics: list[Metrics] = []
        self.crashes = 0
        self._hosts: dict[str, list[str]] = {GATEWAY: [GATEWAY]}
        self._led: dict[str, str] = {}  # {service: the node that its name leads to instead}
        self.stores = {
            service.name: SimStore(
                service.name,
                SimClock(),
                self.chance(f"database {service.name}"),
                record=self.record,
                extra=(effect_metadata,),
                seeding=lambda: fence.opened(random.Random(0)),  # noqa: S311  # the same for all
            )
            for service in system.services
        }
        self.waits = Waits(
            loop, self.stores, lambda: any(client.asking for client in self._clients)
        )
        self.broker = SimBroker(self.chance("broker"), record=self.record)
        self.network = SimNetwork(self.chance("network"), record=self.record)
        self.network.names = self._nodes_behind
        for name in (GATEWAY, *self.services) if setup.together else self.services:
            host, count = ALL, setup.together
            if not count:
                host, count = name, setup.replicas.get(name, 1)
            self._hosts[name] = [f"{host}-{n}" for n in range(1, count + 1)]

    def _nodes_behind(self, name: str) -> list[str]:
        return [self._led[name]] if name in self._led else self._hosts.get(name, [name])

    def chance(self, name: str) -> random.Random:
        """Return a stream of chance of its own: to draw more from one does not change another."""
        return random.Random(f"{self.seed} {name}")  # noqa: S311  # a seed decides everything here

    def record(self, kind: str, **fields: object) -> None:
        """Take down what happened, in the node whose code runs."""
        node = NODE.get()
        self.history.add(self.loop.time(), node.name if node else "", kind, fields)

    def close(self) -> None:
        """Give back what is kept for other worlds, and let nothing outlive this one."""
        for process in self.processes.values():
            for host in process.hosts:
                host.leave()
        for store in self.stores.values():
            store.give_back()

    # -- what invariants look at ------------------------------------------------------------------

    def rows(self, service: str, statement: Executable) -> list[Any]:
        """Return the rows of a SELECT on what one service has committed."""
        return self.stores[service].query(statement)

    def ends(self) -> Counter[str]:
        """Return how often each declared function ended in each of its ways, 0 included."""
        found: Counter[str] = Counter()
        for metrics in self._metrics:
            found.update(metrics.ends())
        return found

    def errors(self) -> list[str]:
        """Return the latest errors that were logged."""
        for logger in self._loggers:
            logger.flush()
        return troubles(self.log.getvalue())

    # -- nodes ----------------------------------------------------------------------------------

    @property
    def services(self) -> list[str]:
        """The names of all services."""
        return [service.name for service in self.system.services]

    @property
    def node_names(self) -> list[str]:
        """The names of all nodes of services."""
        names = [name for service in self.services for name in self.replicas(service)]
        return list(dict.fromkeys(names))

    def replicas(self, service: str) -> list[str]:
        """Return the names of a service's nodes."""
        return self._hosts[service]

    async def start(self) -> None:
        """Start everything; when this returns, the gateway is ready."""
        for external in self._externals():
            await self._stand_in(external)
        for name in self.node_names:
            await self.start_node(name)
        if not self.setup.together:
            await self.start_node(GATEWAY)

    def _externals(self) -> list[str]:
        names = {e.name: None for service in self.system.services for e in service.reaches}
        return list(names)

    async def _stand_in(self, name: str) -> None:
        make = self.system.simulated.stand_ins.get(name)
        if make is None:
            return  # nobody there: it is unreachable
        node = self._node(name, name)
        made = self.stand_ins[name] = make(self.clocks[name])
        server = HttpServer(made.handle, network=self.network.of(node), clock=self.clocks[name])
        await self.within(node, server.start(name, 80))

    def _node(self, name: str, service: str) -> Node:
        node = Node(name, service, self._step)
        self.nodes[name] = node
        self.clocks.setdefault(name, SimClock())
        return node

    async def within(self, node: Node, work: Awaitable[T]) -> T | None:
        """Run something inside a node, and wait for it; None if the node dies of it."""

        async def run() -> T:
            return await work

        task = self.loop.create_task(run(), context=node.context.copy())
        died = self.loop.create_future()
        node.mourners.append(died)
        await asyncio.wait((task, died), return_when=asyncio.FIRST_COMPLETED)
        node.mourners.remove(died)
        return task.result() if task.done() else None

    async def start_node(self, name: str) -> None:
        """Start a node, or start it again."""
        service = name.rpartition("-")[0] if name != GATEWAY else GATEWAY
        self._restarted[name] += 1
        node = self._node(name, service)
        process = self.processes[name] = self._process(node)
        joins = service in self.setup.joined
        self.record("start", node=name, on=" on a database that joins turns" if joins else "")
        await self.within(node, process.start())

    def _process(self, node: Node) -> Process:
        clock = self.clocks[node.name]
        chance = self.chance(f"{node.name} {self.crashes}")
        engines = Engines(
            clock=clock,
            ids=MachineIds(chance.randbytes),
            random=chance,
            network=self.network.of(node),
            broker=self.broker.client(node),
            database=lambda service: self._database(service, node),
            run=self.fence.run,
            discover=lambda service: [Origin(service, PORT, tls=True, workload=service)],
            identity=SimIdentity(node.service, system=self.system.name),
        )
        gateway, together = node.service == GATEWAY, node.service == ALL
        if together:
            engines = replace(engines, broker=NearBroker(engines.broker), identity=None)
        elif gateway:
            engines = replace(engines, signer=lambda: sim_signer(self.system.name))
        urls = {url_variable(name): f"http://{name}" for name in self._externals()}
        options = Options(
            data=None,
            host=node.name,
            services=self._services_of(node),
            gateway=gateway or together,
            environ={**urls, **self.system.simulated.environ},
            settings=SETTINGS,
            schedule=self.setup.schedule,
            safe=self.setup.safe,
        )
        logger = Logger(self.log, clock, node.name, "error", form="json")
        self._loggers.append(logger)
        release = self._release(node.name)
        process = Process(release, options, logger, engines, witness=self._witness)
        self._metrics.append(process.metrics)
        return process

    def _services_of(self, node: Node) -> tuple[str, ...]:
        if node.service == ALL:
            return tuple(self.services)
        return () if node.service == GATEWAY else (node.service,)

    def _database(self, service: str, node: Node) -> SimDatabase:
        join = self.setup.join if service in self.setup.joined else None
        return SimDatabase(self.stores[service], node, join)

    def _release(self, name: str) -> System:
        """Return the release of the system that a node runs."""
        setup = self.setup
        if setup.deployed is not None and self._restarted[name] > 1 and not self._calm:
            return setup.deployed
        if setup.older is not None and name.endswith("-1"):
            return setup.older
        return self.system

    def _witness(self, unit: Unit) -> None:
        """Count one effect of a unit, in its own transaction."""
        unit.insert(
            effect_table, seed=unit.seed, what=unit.what, correlation=unit.cause.correlation
        )

    def _step(self, node: Node, name: str) -> None:
        self.steps[f"{node.service} {name}"] += 1
        if name == "commit.after":
            self.commits += 1
            if self.on_commit is not None:
                self.on_commit()
        if self._armed:
            self._strike(node, name)

    def crash(self, name: str, why: str = "") -> None:
        """Kill a node, as kill -9 does."""
        node = self.nodes[name]
        if not node.alive:
            return
        self.record("crash", node=name, why=why)
        self.end(node)

    def end(self, node: Node) -> None:
        """Let nothing of a node run any more."""
        node.alive = False
        for waiting in node.mourners:
            if not waiting.done():
                waiting.set_result(None)
        self.crashes += 1
        self.network.crashed(node)
        self.broker.crashed(node)
        for store in self.stores.values():
            store.crashed(node)

    def _exited(self) -> None:
        """A node ended itself, as by `os._exit`; its supervisor starts the next one."""
        node = NODE.get()
        assert node is not None, "only nodes run user code"
        self.crash(node.name, "it ended itself")
        self.restart_later(node.name, 1.0)

    def restart_later(self, name: str, seconds: float) -> None:
        """Start a node again after a while."""

        async def again() -> None:
            await asyncio.sleep(seconds)
            if not self.nodes[name].alive:
                await self.start_node(name)

        self.loop.create_task(again(), context=_WORLD)

    async def revive(self, name: str) -> None:
        """Start a node again if it is dead."""
        if not self.nodes[name].alive:
            await self.start_node(name)

    async def stop_node(self, name: str) -> None:
        """Ask a node to stop, and let it drain."""
        node, process = self.nodes[name], self.processes[name]
        if not node.alive:
            return
        self.record("stop", node=name)
        try:
            await self.within(node, process.stop())
        except ExceptionGroup as group:  # it exits with 1, and its supervisor starts the next one
            self.record("drain", node=name, unclean="; ".join(map(str, group.exceptions)))
        if self.nodes[name] is node:
            self.end(node)

    def arm(self, service: str, step: str, nth: int, down_s: float, *, lost: bool = False) -> None:
        """Kill the node that passes a step of a service as the n-th, and start it again later.

        Args:
            lost: let what it does there be lost instead.
        """
        nth += self.passed(self._where(service), step)
        self._armed.append((service, step, nth, down_s, lost))

    def _where(self, service: str) -> str:
        """Return what the nodes that host a service are called after."""
        return ALL if self.setup.together else service

    def watch(self) -> None:
        """Count steps from here on: what starts a world is none of them."""
        self.steps.clear()
        self.loop.watch = self._watch_callbacks

    def passed(self, service: str, step: str) -> int:
        """Return how often a step was passed."""
        return self.steps[f"{service} {step}"]

    def _strike(self, node: Node, step: str) -> None:
        for armed in self._armed:
            service, at, nth, down_s, lost = armed
            where = self._where(service)
            if at == step and where == node.service and self.passed(where, step) >= nth:
                self._armed.remove(armed)
                self.struck.append(f"{service} {step}")
                if lost and step.startswith("commit"):
                    self.stores[service].lose_next = True
                elif lost:
                    self.broker.lose_next = True
                if lost:
                    return
                self.crash(node.name, f"at {step}, the {nth}th")
                self.restart_later(node.name, down_s)
                return

    def _watch_callbacks(self, node: Node) -> None:
        self.steps[node.awaits] += 1
        if self._armed:
            self._strike(node, "await")

    def clocks_of(self, name: str) -> list[SimClock]:
        """Return a node's clock, that of `database orders`, or with `database` those of all."""
        if name == "database":
            return [store.clock for store in self.stores.values()]
        if name.startswith("database "):
            return [self.stores[name.removeprefix("database ")].clock]
        return [self.clocks[name]]

    def set_lever(self, engine: str, lever: str, value: object) -> None:
        """Let an engine misbehave in one of its ways."""
        owner = self._engine(engine)
        if not hasattr(owner, lever):
            raise UnknownName(f"{engine} has no lever {lever!r}")
        self._levers.setdefault((engine, lever), getattr(owner, lever))
        setattr(owner, lever, value)

    def reset_lever(self, engine: str, lever: str) -> None:
        """Let an engine behave again."""
        if (engine, lever) in self._levers:
            setattr(self._engine(engine), lever, self._levers[engine, lever])

    def _engine(self, name: str) -> object:
        if name.startswith("database "):
            return self.stores[name.removeprefix("database ")]
        return {"broker": self.broker, "network": self.network}[name]

    async def calm(self) -> None:
        """Let everything that is wrong be over, and start what is down."""
        self._calm = True
        self._armed.clear()
        for engine, lever in self._levers:
            self.reset_lever(engine, lever)
        self.network.heal_all()
        self._led.clear()
        for name, node in list(self.nodes.items()):
            if node.paused:
                self.go_on(name)
        for name, node in list(self.nodes.items()):
            if node.alive and self.setup.deployed is not None and self._restarted[name] > 1:
                await self.stop_node(name)
            await self.revive(name)

    async def operate(self) -> None:
        """Retry what is parked, and requeue what is dead."""
        for name, process in self.processes.items():
            if not self.nodes[name].alive:
                continue
            for host in process.hosts:
                store = self.stores[host.name]
                for saga in store.sagas():
                    if saga.state == "parked":
                        await self.within(self.nodes[name], host.interventions.retry_saga(saga.id))
                for row in store.open_rows():
                    if row.state is State.DEAD:
                        change = host.interventions.change_dead(row.id, requeued)
                        await self.within(self.nodes[name], change)

    def pause(self, name: str) -> None:
        """Stop a node where it is, as SIGSTOP does."""
        self.nodes[name].paused += 1
        self.record("pause", node=name)

    def go_on(self, name: str) -> None:
        """Let a paused node go on, as SIGCONT does."""
        self.nodes[name].go_on()
        self.record("go on", node=name)

    def lead(self, service: str, node: str) -> None:
        """Let the name of a service lead to another node."""
        self._led[service] = node

    def lead_back(self, service: str) -> None:
        """Let the name of a service lead to its own nodes again."""
        self._led.pop(service, None)

    def visitor(self, name: str) -> Node:
        """Return a node that is none of the system's: it is killed by nobody."""
        return self.nodes[name] if name in self.nodes else self._node(name, name)

    def client(self) -> Client:
        """Return the client that the workload uses."""
        node = self.visitor("client")
        clock, chance = self.clocks["client"], self.chance("client")
        network, size, waits = self.network.of(node), self.setup.size, self.waits
        made = Client(network, clock, chance, size, self.record, waits.pass_time)
        self._clients.append(made)
        return made


_WORLD = Context()
