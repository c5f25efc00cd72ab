"""A surge that ends, through three processes in a row, with clients who try again.

First is found what the three can do (a closed loop). Then clients come at a rate of their own,
whatever became of those before, wait a second, and try four times: 0.8 of it, 3 times of it for ten
seconds, and 0.8 again. What counts is how many of those who came got what they wanted, tries
included, by when they came. The peer is the same three processes without their defences.

Targets: within 5 s of the surge's end 95 % get what they want; and without the defences at most
half of them do, since a run that nothing breaks would prove nothing.
"""

import asyncio
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.harness import Plan, Row
from benchmarks.ours.hop import HOPS, PATIENCE_S, system
from benchmarks.process import LOAD_CORE, SERVER_CORE, Server, running
from holdfast.communication import Origin
from holdfast.engines.machine import MachineClock
from holdfast.load.course import Course, LoadPlan
from holdfast.load.offer import Offer
from holdfast.load.offered import mix_of
from holdfast.load.pace import paces
from holdfast.load.wire import Wire

TRIES, PAUSE_S = 4, 0.1
CALM, SURGE = 0.8, 3.0  # of what can be done
RECOVERY_S = 5.0
PAGE, CONNECTIONS_MAX = "/v1/go", 100


@dataclass(frozen=True, slots=True)
class Phases:
    """When the surge begins and ends, and the run ends, in seconds from its beginning."""

    begins: float
    ends: float
    over: float

    @classmethod
    def of(cls, plan: Plan) -> "Phases":
        """Return those of a plan; of the one for the record the surge is ten seconds."""
        surge_s = 5 * plan.round_s
        return cls(5.0, 5.0 + surge_s, 5.0 + surge_s + RECOVERY_S + 10.0)

    def load(self, at: float) -> float:
        """Return how much is asked at a time, of what can be done."""
        return SURGE if self.begins <= at < self.ends else CALM


@dataclass(slots=True)
class Seen:
    """What became of the clients.

    Attributes:
        came, good: how many came in each tenth of a second, and got what they wanted.
        tries: requests that they sent. behind_s: the latest that one came after its time.
        starved: share of the time that the last process waited for its core, which others had.
    """

    came: Counter[int] = field(default_factory=Counter[int])
    good: Counter[int] = field(default_factory=Counter[int])
    tries: int = 0
    behind_s: float = 0.0
    starved: float = 0.0

    def share(self, begin: float, end: float) -> float:
        """Return how many of those who came from then to then got what they wanted."""
        tenths = range(round(begin * 10), round(end * 10))
        return sum(self.good[t] for t in tenths) / max(1, sum(self.came[t] for t in tenths))


class Clients:
    """Whoever comes, in a task each, over connections that are kept while they are answered."""

    def __init__(self, origin: Origin, chance: random.Random, seen: Seen) -> None:
        self._origin, self._chance, self._seen = origin, chance, seen
        self._request = f"GET {PAGE} HTTP/1.1\r\nhost: {origin.authority}\r\n\r\n".encode()
        self._free: list[Wire] = []
        self._waiting: dict[Wire, asyncio.Future[int]] = {}

    async def come(self, tenth: int) -> None:
        """Be one client."""
        seen = self._seen
        seen.came[tenth] += 1
        for number in range(TRIES):
            seen.tries += 1
            if await self._try() == 200:
                seen.good[tenth] += 1
                return
            await asyncio.sleep(self._chance.uniform(0, PAUSE_S * 2**number))

    def close(self) -> None:
        """Close the connections that are kept."""
        for wire in self._free:
            wire.close()

    async def _try(self) -> int:
        """Return the status of one try; 0: none in time."""
        loop = asyncio.get_running_loop()
        dial = partial(self._dial, loop)
        wire = self._free.pop() if self._free else Wire(dial, self._answered, self._lost)
        future = self._waiting[wire] = loop.create_future()
        wire.send(self._request)
        late = loop.call_later(PATIENCE_S, self._give_up, wire)
        try:
            return await future
        finally:
            late.cancel()

    async def _dial(self, loop: asyncio.AbstractEventLoop, wire: Wire) -> object:
        return await loop.create_connection(lambda: wire, self._origin.host, self._origin.port)

    def _answered(self, wire: Wire, status: int, body: bytes) -> None:
        self._free.append(wire)
        self._waiting.pop(wire).set_result(status)

    def _lost(self, wire: Wire, error: Exception) -> None:
        self._waiting.pop(wire).set_result(0)

    def _give_up(self, wire: Wire) -> None:
        waiting = self._waiting.pop(wire, None)
        if waiting is not None:  # else its answer came in the same round
            wire.close()
            waiting.set_result(0)


@asynccontextmanager
async def three(*, bare: bool) -> AsyncIterator[tuple[str, Server]]:
    """Run the three processes: where the first is, and the last, which works on its own core."""
    options, behind = ["--bare"] if bare else [], list[str]()
    async with AsyncExitStack() as stack:
        core, made = SERVER_CORE, list[Server]()
        for name in reversed(HOPS):
            server = Server(name, "benchmarks.ours.hop", name, *options, *behind, core=core)
            await stack.enter_async_context(running(server))
            made.append(server)
            behind, core = ["--behind", server.url], LOAD_CORE
        yield made[-1].url, made[0]


def starved_s(pid: int) -> float:
    """Return how long a process has waited for its core. Source: proc(5), schedstat."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


async def capacity_per_s(plan: Plan) -> float:
    """Return what the three answer in a second when they are always asked."""
    async with three(bare=False) as (url, _):
        origin = Origin.parse(url)
        mix = mix_of(system(bare=False), (Offer("GET", PAGE),), host=origin.authority, keys="surge")
        rounds = LoadPlan(paces("1x"), plan.round_s, PATIENCE_S, CONNECTIONS_MAX)
        return await Course(origin, mix, rounds, MachineClock(), quiet=None).capacity_per_s()


async def surge(phases: Phases, per_s: float, *, bare: bool) -> Seen:
    """Let them come, by what can be done in a second; return what became of them."""
    seen, chance, loop = Seen(), random.Random(11), asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()
    async with three(bare=bare) as (url, last):
        clients = Clients(Origin.parse(url), chance, seen)
        began, at, before_s = loop.time(), 0.0, starved_s(last.pid)
        while at < phases.over:
            at += chance.expovariate(phases.load(at) * per_s)
            if (left_s := began + at - loop.time()) > 0:
                await asyncio.sleep(left_s)
            seen.behind_s = max(seen.behind_s, loop.time() - began - at)
            task = asyncio.create_task(clients.come(int(at * 10)))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.wait(tasks)
        seen.starved = (starved_s(last.pid) - before_s) / (loop.time() - began)
        clients.close()
    return seen


async def measure(plan: Plan) -> list[Row]:
    """Measure the figures."""
    phases = Phases.of(plan)
    per_s = await capacity_per_s(plan)
    ours, bare = await surge(phases, per_s, bare=False), await surge(phases, per_s, bare=True)
    ends = phases.ends
    spans = {
        "before a surge": (1.0, phases.begins),
        "in it": (phases.begins, ends),
        f"in the {RECOVERY_S:g} s after it": (ends, ends + RECOVERY_S),
        "from then on": (ends + RECOVERY_S, phases.over),
    }
    rows = [_row(name, ours.share(*span), bare.share(*span)) for name, span in spans.items()]
    after = spans["from then on"]
    back, broken = ours.share(*after), bare.share(*after)
    rows.append(Row("surge, back after 5 s", "served", back, ratio=back, target=0.95))
    rows.append(Row("surge, without defences", "served", broken, target=0.5, at_most=True))
    for name, seen in (("with", ours), ("without", bare)):
        print(
            f"{per_s:.0f}/s can be done; {name} defences: {seen.came.total()} clients, "
            f"{seen.tries} tries, at most {seen.behind_s * 1e3:.0f} ms late, "
            f"{seen.starved:.0%} of the time something else had the core",
            file=sys.stderr,
        )
    return rows


def _row(name: str, ours: float, bare: float) -> Row:
    return Row(f"surge: {name}", "served", ours, "without defences", bare)
