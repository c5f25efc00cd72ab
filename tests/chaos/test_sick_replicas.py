"""One of three replicas is sick: callers keep their deadlines, and the others serve on.

Real sockets. What is sick stands before its process (`tests.chaos.sick`) and sees what comes to it.
Clients ask the gateway for a route of the replicas, or for one whose service asks them a query.
"""

import asyncio
import io
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from time import monotonic

import pytest

from holdfast import Gateway, Model, Outside, Query, Service, System
from holdfast.communication import Origin
from holdfast.engines.machine import MachineClock
from holdfast.gateway.forward import GRACE_S
from holdfast.observability import Logger
from holdfast.runtime.engines import embedded
from holdfast.runtime.process import Options, Process
from holdfast.runtime.replicas import SILENT_MAX
from holdfast.testing import Client
from holdfast.testing.run import Answer
from tests.chaos.sick import Health, Ward, ward

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

CLIENTS, TURNS = 8, 100
DEADLINE_S = 5.0
SLACK_S = 5.0  # of a machine that has other things to do
WAYS = ["/v1/own", "/v1/asked"]


class WhoAnswers(Query[str]):
    """Ask a replica for its name."""


class Named(Model):
    """Which replica has answered."""

    name: str


@dataclass
class Three:
    """The gateway, a service in front, three replicas behind, one of which may be sick.

    Attributes:
        served: requests and queries that each replica has answered, whoever heard it.
        asking: requests of clients that are under way.
        written: by which replica something was written.
    """

    served: Counter[str] = field(default_factory=Counter[str])
    asking: int = 0
    written: list[str] = field(default_factory=list[str])

    def system(self, name: str) -> System:
        """Return the system as one process has it."""
        front, back = Service("front", tables=[], calls=[WhoAnswers]), Service("back", tables=[])

        async def own() -> Named:
            self.served[name] += 1
            return Named(name=name)

        async def write() -> Named:
            self.written.append(name)
            return Named(name=name)

        async def answer(query: WhoAnswers) -> str:
            self.served[name] += 1
            return name

        async def asked(outside: Outside) -> Named:
            return Named(name=await outside.ask(WhoAnswers()))

        back.get("/v1/own", public=True)(own)
        back.post("/v1/written", public=True, record=False)(write)
        back.handles(answer)
        front.get("/v1/asked", public=True)(asked)
        gateway = Gateway(per_address=None, deadline_s=DEADLINE_S)
        return System("sick", services=[front, back], gateway=gateway)


@dataclass
class Clinic:
    """What runs: the first replica is the one that may be sick.

    Attributes:
        took_s: how long each request took. answers: what came of it.
    """

    three: Three
    client: Client
    sick: Ward
    took_s: list[float] = field(default_factory=list[float])
    answers: list[Answer] = field(default_factory=list[Answer])

    async def ask(self, method: str, path: str) -> None:
        """Send one request; whatever comes of it is an answer."""
        began = monotonic()
        self.three.asking += 1
        self.answers.append(await self.client.request(method, path))
        self.three.asking -= 1
        self.took_s.append(monotonic() - began)

    async def crowd(self, path: str, method: str = "GET", turns: int = TURNS) -> None:
        """Let some clients ask again and again, each after its answer."""

        async def one() -> None:
            for _ in range(turns):
                await self.ask(method, path)

        self.took_s.clear()
        self.answers.clear()
        await asyncio.gather(*(one() for _ in range(CLIENTS)))

    def statuses(self) -> Counter[int]:
        """Return how often each status came."""
        return Counter(answer.status for answer in self.answers)

    async def gets_well(self, path: str) -> None:
        """Let the sick one be well; it is in use again, and has its share like the others."""
        self.sick.health = Health.WELL
        before = self.three.served["back-0"]
        while self.three.served["back-0"] < before + 20:
            await self.ask("GET", path)
        served = Counter(self.three.served)
        await self.crowd(path)
        shares = self.three.served - served
        assert self.statuses() == {200: CLIENTS * TURNS}
        assert min(shares[f"back-{n}"] for n in range(3)) > CLIENTS * TURNS / 10, shares


@asynccontextmanager
async def clinic(folder: Path) -> AsyncIterator[Clinic]:
    """Run all of it."""
    three = Three()
    places: dict[str, list[Origin]] = {"front": [], "back": []}
    async with AsyncExitStack() as stack:

        async def start(name: str, *services: str) -> Process:
            engines = embedded(lambda service: folder / f"{name}-{service}.db", threads=2)
            options = Options(data=None, port=0, services=services, gateway=not services)
            logger = Logger(io.BytesIO(), MachineClock(), "sick", form="json")
            found = replace(engines, discover=places.__getitem__)
            process = Process(three.system(name), options, logger, found)
            await process.start()
            stack.push_async_callback(process.stop)
            return process

        backs = [await start(f"back-{n}", "back") for n in range(3)]
        origins = [Origin.parse(one.url) for one in backs]

        def progress() -> float:
            """Return what the others have done; endless when everybody waits for the sick one."""
            return inf if three.asking <= sick.waiting else three.served.total()

        sick = await stack.enter_async_context(ward(origins[0], progress))
        places["back"] = [sick.origin, *origins[1:]]
        places["front"] = [Origin.parse((await start("front", "front")).url)]
        client = Client((await start("gateway")).url)
        stack.push_async_callback(client.close)
        yield Clinic(three, client, sick)


@pytest.mark.parametrize("path", WAYS)
async def test_one_that_answers_slowly_is_asked_seldom(path: str, tmp_path: Path) -> None:
    """Each of its answers takes as long as many of the others'; nobody is refused for that."""
    async with clinic(tmp_path) as run:
        run.sick.health = Health.SLOW
        await run.crowd(path)
        statuses, asked = run.statuses(), run.sick.asked
        await run.gets_well(path)

    assert statuses == {200: CLIENTS * TURNS}
    assert 0 < asked < CLIENTS * TURNS / 8


@pytest.mark.parametrize("path", WAYS)
async def test_what_is_cut_off_is_asked_of_another(path: str, tmp_path: Path) -> None:
    """Nobody notices, and the one that cuts off is asked again after a second at the earliest."""
    async with clinic(tmp_path) as run:
        run.sick.health = Health.RESETS
        await run.crowd(path)
        statuses, asked = run.statuses(), run.sick.asked
        await run.gets_well(path)

    assert statuses == {200: CLIENTS * TURNS}
    assert 0 < asked <= 2 * CLIENTS


async def test_what_may_have_been_done_is_not_asked_of_another(tmp_path: Path) -> None:
    """A POST without a key that is cut off: its client is told so, and it is written nowhere."""
    async with clinic(tmp_path) as run:
        run.sick.health = Health.RESETS
        await run.crowd("/v1/written", "POST")
        statuses, asked = run.statuses(), run.sick.asked
        await run.gets_well("/v1/own")

    assert statuses == {200: CLIENTS * TURNS - asked, 502: asked}
    assert 0 < asked <= 2 * CLIENTS
    assert len(run.three.written) == statuses[200]


@pytest.mark.parametrize("path", WAYS)
async def test_one_that_says_nothing_costs_nobody_more_than_the_deadline(
    path: str, tmp_path: Path
) -> None:
    """After a few requests in a row it counts as away; what it kept silent about is let go."""
    async with clinic(tmp_path) as run:
        run.sick.health = Health.SILENT
        await run.crowd(path)
        statuses, asked, slowest_s = run.statuses(), run.sick.asked, max(run.took_s)
        while run.sick.open:
            await asyncio.sleep(0.01)
        await run.gets_well(path)

    assert slowest_s < DEADLINE_S + GRACE_S + SLACK_S
    assert 0 < asked <= SILENT_MAX * CLIENTS
    if path == "/v1/own":  # the try takes all the time that there is
        assert statuses == {200: CLIENTS * TURNS - asked, 504: asked}
    else:  # a query's try has two seconds, and the next one goes elsewhere
        assert statuses == {200: CLIENTS * TURNS}
