"""Which of a service's processes gets a request."""

import asyncio
import random
from collections import Counter
from datetime import timedelta

import pytest

from holdfast import Service
from holdfast.communication import Origin
from holdfast.contract.http import Request, Response
from holdfast.errors import CallError, ConnectionLost, DeadlineExceeded, Unreachable
from holdfast.runtime.replicas import AWAY_CAP_S, SILENT_MAX, Replica, Replicas, in_order
from tests.virtual_loop import LoopClock, run_virtual

ORIGINS = [Origin.parse(f"http://orders-{n}:8000") for n in (1, 2, 3)]
ONE, TWO, THREE = ORIGINS
GET = Request("GET", "/", "", [], b"")


class Scene:
    """Three processes in virtual time, of which some are down, slow or silent."""

    def __init__(self) -> None:
        self.down: dict[str, type[CallError]] = {}
        self.takes_s: dict[str, float] = {}
        self.asked: list[str] = []
        self.origins = ORIGINS
        self.replicas = Replicas(
            lambda service: self.origins,
            self.send,
            LoopClock(),
            random.Random(5),
        )

    async def send(self, origin: Origin, request: Request, /, *, deadline_s: float) -> Response:
        """Answer after a while, or be down."""
        self.asked.append(origin.host)
        if origin.host in self.down:
            raise self.down[origin.host]("down")
        takes_s = self.takes_s.get(origin.host, 0.0)
        await asyncio.sleep(min(takes_s, deadline_s))
        if takes_s > deadline_s:
            raise DeadlineExceeded("no answer in time")
        return Response(200, [], origin.host.encode())

    async def call(self, times: int = 1, hedge_s: float | None = None) -> list[str]:
        """Call so many times; return who was asked."""
        self.asked.clear()
        for _ in range(times):
            answer = await self.replicas.call("orders", GET, 1.0, hedge_s)
            assert answer.status == 200
        return list(self.asked)


async def test_each_gets_its_share() -> None:
    """Who is as busy as the other is drawn."""
    asked = Counter(await Scene().call(300))

    assert set(asked) == {"orders-1", "orders-2", "orders-3"}
    assert min(asked.values()) > 70


def test_who_is_slow_gets_less() -> None:
    """What is under way there is what tells; nobody waits for it who need not."""

    async def main() -> Counter[bytes]:
        scene, answers = Scene(), list[asyncio.Task[Response]]()
        scene.takes_s = {"orders-1": 0.9}
        for _ in range(600):
            answers.append(asyncio.create_task(scene.replicas.call("orders", GET, 1.0)))
            await asyncio.sleep(0.002)
        await asyncio.wait(answers)
        return Counter(answer.result().body for answer in answers)

    counted = run_virtual(main())

    assert counted[b"orders-1"] < 60
    assert counted[b"orders-2"] > 200
    assert counted[b"orders-3"] > 200


async def test_who_cannot_be_reached_is_passed_over() -> None:
    """The caller notices nothing; for a while it is asked last, and then again."""
    scene = Scene()
    scene.down["orders-1"] = Unreachable
    asked = await scene.call(100)
    assert asked.count("orders-1") == 1


def test_who_stays_away_is_asked_more_and_more_seldom() -> None:
    """After a second, two, four and so on; and like the others when it is back."""

    async def main() -> tuple[int, int]:
        scene = Scene()
        scene.takes_s = dict.fromkeys(["orders-1", "orders-2", "orders-3"], 0.01)
        scene.down["orders-1"] = Unreachable
        asked = await scene.call(6_000)  # a minute
        scene.down.clear()
        await asyncio.sleep(AWAY_CAP_S)
        return asked.count("orders-1"), (await scene.call(90)).count("orders-1")

    while_away, afterwards = run_virtual(main())

    assert 5 <= while_away <= 7
    assert afterwards > 15


async def test_what_may_have_had_an_effect_is_not_sent_to_another() -> None:
    """That is the caller's to decide; its next try goes elsewhere."""
    scene = Scene()
    scene.origins = [ONE, TWO]
    scene.down["orders-1"] = ConnectionLost
    with pytest.raises(ConnectionLost):
        await scene.call(20)
    assert scene.asked.count("orders-1") == 1
    assert await scene.call(20) == ["orders-2"] * 20


def test_who_says_nothing_is_let_alone_after_some_requests() -> None:
    """One that takes connections and does not answer: the others serve on."""

    async def main() -> tuple[int, int]:
        scene, late = Scene(), 0
        scene.takes_s = {"orders-1": 99.0}
        for _ in range(200):
            try:
                await scene.replicas.call("orders", GET, 0.05)
            except DeadlineExceeded:
                late += 1
        return late, scene.asked.count("orders-1")

    late, asked = run_virtual(main())

    assert late == asked
    assert SILENT_MAX <= late <= SILENT_MAX + 3


def test_a_caller_who_goes_says_nothing_of_a_process() -> None:
    """One who gives up before the time is over has not waited for it."""

    async def main() -> Replica:
        scene = Scene()
        scene.origins, scene.takes_s = [ONE, TWO], {"orders-1": 0.5, "orders-2": 0.5}
        for _ in range(20):
            task = asyncio.create_task(scene.replicas.call("orders", GET, 1.0))
            await asyncio.sleep(0.1)
            task.cancel()
            await asyncio.wait([task])
        return scene.replicas._known["orders"][ONE]

    known = run_virtual(main())

    assert (known.under_way, known.silent, known.failures) == (0, 0, 0)


async def test_when_all_are_down_it_says_so() -> None:
    """After each was asked once."""
    scene = Scene()
    scene.down = dict.fromkeys(["orders-1", "orders-2", "orders-3"], Unreachable)
    with pytest.raises(Unreachable, match="down"):
        await scene.call()
    assert sorted(scene.asked) == ["orders-1", "orders-2", "orders-3"]


def test_who_is_away_comes_last_and_first_who_is_back_soonest() -> None:
    """As long as there is nobody else."""
    known = {ONE: Replica(away_until=9.0), TWO: Replica(away_until=5.0), THREE: Replica()}
    chance = random.Random(1)

    assert in_order(ORIGINS, known, 1.0, chance) == [THREE, TWO, ONE]
    assert in_order([ONE, TWO], known, 1.0, chance) == [TWO, ONE]
    known[THREE].under_way = 9
    assert {in_order(ORIGINS, known, 10.0, chance)[0] for _ in range(50)} == {ONE, TWO}


async def test_processes_that_are_gone_are_forgotten() -> None:
    """A service whose pods come and go keeps nothing of the old ones."""
    scene = Scene()
    await scene.call(3)
    scene.origins = [TWO, Origin.parse("http://orders-4:8000")]
    await scene.call(3)

    assert list(scene.replicas._known["orders"]) == scene.origins


def test_a_hedged_request_is_answered_by_whoever_is_first() -> None:
    """A second process is asked when the first takes long; what is late is called off."""

    async def main() -> tuple[float, list[str], list[int]]:
        scene, loop = Scene(), asyncio.get_running_loop()
        scene.takes_s = {"orders-1": 0.9}
        for _ in range(100):
            began = loop.time()
            asked = await scene.call(1, hedge_s=0.08)
            if asked[0] == "orders-1":
                break
        known = scene.replicas._known["orders"]
        return loop.time() - began, asked, [one.under_way for one in known.values()]

    took_s, asked, under_way = run_virtual(main())

    assert took_s == pytest.approx(0.08)
    assert len(asked) == 2
    assert under_way == [0, 0, 0]


def test_hedges_are_a_tenth_of_the_requests() -> None:
    """When all are slow nobody is helped by twice the load."""

    async def main() -> int:
        scene = Scene()
        scene.takes_s = dict.fromkeys(["orders-1", "orders-2", "orders-3"], 0.3)
        return len(await scene.call(400, hedge_s=0.08))

    assert 430 <= run_virtual(main()) <= 600


def test_the_second_answer_counts_if_the_first_is_an_error() -> None:
    """And the error if there is no other."""

    async def main(down: list[str]) -> str:
        scene = Scene()
        scene.origins, scene.takes_s = [ONE, TWO], {"orders-1": 0.9, "orders-2": 0.9}
        scene.down = dict.fromkeys(down, ConnectionLost)
        try:
            answer = await scene.replicas.call("orders", GET, 1.0, 0.08)
        except ConnectionLost:
            return "lost"
        return answer.body.decode()

    assert run_virtual(main(["orders-1", "orders-2"])) == "lost"
    assert run_virtual(main([])) in ("orders-1", "orders-2")


def test_a_hedge_after_no_time_is_refused() -> None:
    """It would be two requests for each."""
    with pytest.raises(ValueError, match="hedge=0:00:00 of GET /v1/x: no time at all"):
        Service("x", tables=[]).get("/v1/x", hedge=timedelta(0))
