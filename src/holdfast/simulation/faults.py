"""Faults as values: each has a name, a time and a place; a seed draws a schedule of them.

A schedule is plain data: it can be printed, kept in a file, and shrunk to the few that matter.
"""

import random
from collections.abc import Callable, Sequence

import msgspec

from holdfast.contract.envelope import Kind, Letter
from holdfast.engines.machine import MachineIds
from holdfast.simulation.intruder import Intruder, forge_letter
from holdfast.simulation.world import GATEWAY, World

FIRST_S, LAST_S = 0.0, 8.0  # when faults begin, after the start of the workload
TAKEN_OVER = 0.25  # of all seeds, in which a service is
STEPS = (
    "begin",
    "commit.before",
    "commit.after",
    "publish.before",
    "publish.after",
    "ack.before",
    "ack.after",
    "await",
)
"""Where a node can be struck; each of them is a crash point."""


class Fault(msgspec.Struct, frozen=True, tag_field="fault", kw_only=True):
    """Something that goes wrong, from `at_s` on, for `for_s` virtual seconds."""

    at_s: float = 0.0
    for_s: float = 0.0

    @property
    def name(self) -> str:
        """Its kind, as tables count it."""
        return type(self).__name__.lower()

    async def begin(self, world: World) -> None:
        """Let it happen."""
        raise NotImplementedError

    async def end(self, world: World) -> None:
        """Let it be over."""


class Crash(Fault, frozen=True, tag="crash"):
    """A node is killed, and started again after `for_s`."""

    node: str

    async def begin(self, world: World) -> None:
        world.crash(self.node, "fault")

    async def end(self, world: World) -> None:
        await world.revive(self.node)


class Strike(Fault, frozen=True, tag="strike"):
    """A node of a service dies at its n-th passage of a step; it comes back after `for_s`.

    Attributes:
        service: its nodes are counted together; "gateway" is one too.
        step: one of STEPS; `await` is any callback that runs in the node.
        nth: from 1.
        lost: the node lives, and what it does there is lost on its way, or the answer is.
    """

    service: str
    step: str
    nth: int
    lost: bool = False

    @property
    def name(self) -> str:
        return f"{'lost' if self.lost else 'crash'} at {self.step}"

    async def begin(self, world: World) -> None:
        world.arm(self.service, self.step, self.nth, self.for_s, lost=self.lost)


class Pause(Fault, frozen=True, tag="pause"):
    """A node stops where it is, as after SIGSTOP, and goes on after `for_s`."""

    node: str

    async def begin(self, world: World) -> None:
        world.pause(self.node)

    async def end(self, world: World) -> None:
        world.go_on(self.node)


class Restart(Fault, frozen=True, tag="restart"):
    """A node is asked to stop, drains, and is started again: a deployment."""

    node: str

    async def begin(self, world: World) -> None:
        await world.stop_node(self.node)

    async def end(self, world: World) -> None:
        await world.revive(self.node)


class Jump(Fault, frozen=True, tag="clock jump"):
    """A wall clock is set by `by_s`; `database` is that of all database servers.

    Attributes:
        node: a node, `database orders`, or `database`.
    """

    node: str
    by_s: float

    @property
    def name(self) -> str:
        return "clock jump"

    async def begin(self, world: World) -> None:
        for clock in world.clocks_of(self.node):
            clock.skew_s += self.by_s


class Cut(Fault, frozen=True, tag="cut"):
    """Nothing travels from one node to another; the way back may be open."""

    source: str
    target: str

    @property
    def name(self) -> str:
        return "partition"

    async def begin(self, world: World) -> None:
        world.network.cut(self.source, self.target)

    async def end(self, world: World) -> None:
        world.network.heal(self.source, self.target)


class Amnesia(Fault, frozen=True, tag="amnesia"):
    """The broker forgets: all that it holds, a share of it, or what came in the last seconds."""

    how: str = "all"
    share: float = 0.5
    seconds: float = 120.0

    async def begin(self, world: World) -> None:
        if self.how == "all":
            world.broker.forget_all()
        elif self.how == "holes":
            world.broker.forget(self.share)
        else:
            world.broker.forget_since(self.seconds)


class Lever(Fault, frozen=True, tag="lever"):
    """An engine misbehaves in one of its ways.

    Attributes:
        engine: `broker`, `network`, or `database <service>`.
        lever: the attribute that is set. value: to what, a number or a (low, high) pair.
    """

    engine: str
    lever: str
    value: float | tuple[float, float] | bool

    @property
    def name(self) -> str:
        return f"{self.engine.partition(' ')[0]} {self.lever.removesuffix('_s').replace('_', ' ')}"

    async def begin(self, world: World) -> None:
        world.set_lever(self.engine, self.lever, self.value)

    async def end(self, world: World) -> None:
        world.reset_lever(self.engine, self.lever)


class Forge(Fault, frozen=True, tag="forge"):
    """A service that was taken over publishes a forged letter: the broker knows who it is.

    Attributes:
        service: who publishes it. says: whom the parcel says that it is from.
        to, message, body: who gets it, the wire name of a command, and its JSON.
    """

    service: str
    says: str
    to: str
    message: str
    body: str

    async def begin(self, world: World) -> None:
        ids = MachineIds(world.chance(f"forged {self.at_s}").randbytes)
        id_ = ids.uuid7(int(world.clocks[world.replicas(self.service)[0]].now() * 1000))
        letter = Letter(id_, Kind.COMMAND, self.message, msgspec.Raw(self.body.encode()))
        forge_letter(world, letter, self.says, self.to, self.service)


class Takeover(Fault, frozen=True, tag="takeover"):
    """A service is taken over: somebody tries with its identity what its edges do not allow.

    Attributes:
        service: the one that is taken over. attempts: how many, of all that there are.
        poses: the service whose name leads to him for `for_s`; "": none.
    """

    service: str
    attempts: int = 8
    poses: str = ""

    async def begin(self, world: World) -> None:
        chance = world.chance(f"intruder {self.at_s} {self.service}")
        intruder = Intruder(world, self.service, chance)
        if self.poses:
            await intruder.pose(self.poses)
        await intruder.attempt(self.attempts)

    async def end(self, world: World) -> None:
        world.lead_back(self.poses)


AnyFault = Crash | Strike | Pause | Restart | Jump | Cut | Amnesia | Lever | Forge | Takeover

DATABASE_LEVERS: dict[str, tuple[float, float]] = {
    "conflict": (0.05, 0.5),
    "drop": (0.05, 0.4),
    "void": (0.05, 0.4),
    "lose_reply": (0.1, 0.6),
    "lose_commit": (0.1, 0.6),
}
BROKER_LEVERS: dict[str, tuple[float, float]] = {
    "drop": (0.05, 0.6),
    "duplicate": (0.1, 0.8),
    "lose_ack": (0.1, 0.8),
    "reorder_s": (0.01, 5.0),
}


def draw(chance: random.Random, nodes: Sequence[str], services: Sequence[str]) -> list[AnyFault]:
    """Draw a schedule: some crashes, and some of everything else; at times a calm one."""
    makers: list[Callable[[random.Random, Sequence[str], Sequence[str]], AnyFault]] = [
        *[_strike] * 5,
        *[_crash] * 2,
        *[_pause] * 2,
        _restart,
        _jump,
        *[_cut] * 2,
        _amnesia,
        *[_database] * 4,
        *[_broker] * 4,
        _network,
    ]
    return [chance.choice(makers)(chance, nodes, services) for _ in range(chance.randint(0, 7))]


def draw_takeover(chance: random.Random, services: Sequence[str]) -> list[AnyFault]:
    """Draw whether a service is taken over, by a chance of its own: other faults stay as drawn."""
    if len(services) < 2 or chance.random() >= TAKEN_OVER:
        return []
    service, other = chance.sample(services, 2)
    poses = other if chance.random() < 0.3 else ""
    at_s = round(chance.uniform(FIRST_S, LAST_S) * chance.random(), 3)
    for_s = round(chance.uniform(0.2, 15), 3) if poses else 0.0
    return [Takeover(service=service, poses=poses, at_s=at_s, for_s=for_s)]


def _when(chance: random.Random, for_s: tuple[float, float]) -> dict[str, float]:
    return {
        "at_s": round(chance.uniform(FIRST_S, LAST_S) * chance.random(), 3),
        "for_s": round(chance.uniform(*for_s), 3),
    }


def _strike(chance: random.Random, nodes: Sequence[str], services: Sequence[str]) -> AnyFault:
    service = chance.choice([*services, GATEWAY])
    step = "await" if service == GATEWAY else chance.choice(STEPS)
    nth = int(10 ** chance.uniform(0, 3.2 if step == "await" else 1.5))
    for_s = round(chance.uniform(0.1, 8), 3)
    return Strike(service=service, step=step, nth=nth, for_s=for_s)


def _crash(chance: random.Random, nodes: Sequence[str], services: Sequence[str]) -> AnyFault:
    return Crash(node=chance.choice(nodes), **_when(chance, (0.1, 40)))


def _pause(chance: random.Random, nodes: Sequence[str], services: Sequence[str]) -> AnyFault:
    return Pause(node=chance.choice(nodes), **_when(chance, chance.choice([(0.1, 5), (30, 60)])))


def _restart(chance: random.Random, nodes: Sequence[str], services: Sequence[str]) -> AnyFault:
    return Restart(node=chance.choice(nodes), **_when(chance, (0.1, 5)))


def _jump(chance: random.Random, nodes: Sequence[str], services: Sequence[str]) -> AnyFault:
    by_s = chance.choice([-600, -60, -1, 1, 60, 600]) * chance.random()
    node = chance.choice([*nodes, "database", *(f"database {name}" for name in services)])
    return Jump(node=node, by_s=round(by_s, 3), **_when(chance, (0, 0)))


def _cut(chance: random.Random, nodes: Sequence[str], services: Sequence[str]) -> AnyFault:
    source, target = chance.sample([*nodes, "client", "*"], 2)
    return Cut(source=source, target=target, **_when(chance, (0.1, 30)))


def _amnesia(chance: random.Random, nodes: Sequence[str], services: Sequence[str]) -> AnyFault:
    how = chance.choice(["all", "holes", "tail"])
    return Amnesia(how=how, share=0.5, seconds=120.0, **_when(chance, (0, 0)))


def _database(chance: random.Random, nodes: Sequence[str], services: Sequence[str]) -> AnyFault:
    engine = f"database {chance.choice(services)}"
    if chance.random() < 0.1:  # a storm in which few transactions come through
        share, at_s = round(chance.uniform(0.8, 0.98), 3), round(chance.random(), 3)
        for_s = round(chance.uniform(60, 240), 3)
        return Lever(engine=engine, lever="conflict", value=share, at_s=at_s, for_s=for_s)
    when = _when(chance, (0.2, 20))
    lever = chance.choice([*DATABASE_LEVERS, "down", "slow_commit_s", "late_commit_s"])
    if lever == "down":
        return Lever(engine=engine, lever=lever, value=True, **when)
    if lever.endswith("_s"):
        high = round(chance.uniform(0.05, 5), 3)
        return Lever(engine=engine, lever=lever, value=(0.01, high), **when)
    share = round(chance.uniform(*DATABASE_LEVERS[lever]), 3)
    return Lever(engine=engine, lever=lever, value=share, **when)


def _broker(chance: random.Random, nodes: Sequence[str], services: Sequence[str]) -> AnyFault:
    lever = chance.choice([*BROKER_LEVERS, "down", "latency_s"])
    when = _when(chance, (0.5, 40))
    if lever == "down":
        return Lever(engine="broker", lever=lever, value=True, **when)
    if lever == "latency_s":
        slow = (0.01, round(chance.uniform(0.1, 8), 3))
        return Lever(engine="broker", lever=lever, value=slow, **when)
    value = round(chance.uniform(*BROKER_LEVERS[lever]), 3)
    return Lever(engine="broker", lever=lever, value=value, **when)


def _network(chance: random.Random, nodes: Sequence[str], services: Sequence[str]) -> AnyFault:
    when = _when(chance, (0.2, 20))
    if chance.random() < 0.5:
        share = round(chance.uniform(0.02, 0.3), 3)
        return Lever(engine="network", lever="reset", value=share, **when)
    slow = (0.001, round(chance.uniform(0.01, 2), 3))
    return Lever(engine="network", lever="latency_s", value=slow, **when)
