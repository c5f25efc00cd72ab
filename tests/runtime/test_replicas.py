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
from holdfast.observability import Metrics
from holdfast.runtime.replicas import (
    AWAY_CAP_S,
    AWAY_S,
    SILENT_MAX,
    Hedge,
    Replica,
    Replicas,
    in_order,
)
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
        self.hedged = Metrics("shop").hedges("gateway→orders", "/")
        self.hedge = Hedge(0.08, self.hedged.inc)
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

    async def call(self, times: int = 1, *, hedged: bool = False) -> list[str]:
        """Call so many times; return who was asked."""
        self.asked.clear()
        for _ in range(times):
            answer = await self.replicas.call("orders", GET, 1.0, self.hedge if hedged else None)
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
    many = [Origin.parse(f"http://orders-{n}:8000") for n in range(40)]
    gone = {origin: Replica(away_until=5.0) for origin in many}
    assert in_order(many, gone, 1.0, chance) == many, "no order of a set, which nobody can repeat"
    known[THREE].under_way = 9
    assert {in_order(ORIGINS, known, 10.0, chance)[0] for _ in range(50)} == {ONE, TWO}


async def test_processes_that_are_gone_are_forgotten() -> None:
    """A service whose pods come and go keeps nothing of the old ones."""
    scene = Scene()
    await scene.call(3)
    scene.origins = [TWO, Origin.parse("http://orders-4:8000")]
    await scene.call(3)

    assert list(scene.replicas._known["orders"]) == scene.origins
    kept = scene.replicas._known["orders"][TWO]
    scene.origins = [TWO, THREE]  # as many as before
    await scene.call(3)

    assert list(scene.replicas._known["orders"]) == scene.origins
    assert scene.replicas._known["orders"][TWO] is kept


def test_a_hedged_request_is_answered_by_whoever_is_first() -> None:
    """A second process is asked when the first takes long; what is late is called off."""

    async def main() -> tuple[float, list[str], list[int]]:
        scene, loop = Scene(), asyncio.get_running_loop()
        scene.takes_s = {"orders-1": 0.9}
        for _ in range(100):
            began = loop.time()
            asked = await scene.call(1, hedged=True)
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

    async def main() -> tuple[int, float]:
        scene = Scene()
        scene.takes_s = dict.fromkeys(["orders-1", "orders-2", "orders-3"], 0.3)
        return len(await scene.call(400, hedged=True)), scene.hedged.value

    asked, hedged = run_virtual(main())

    assert 430 <= asked <= 600
    assert hedged == asked - 400


def test_the_second_answer_counts_if_the_first_is_an_error() -> None:
    """And the error if there is no other."""

    async def main(down: list[str]) -> str:
        scene = Scene()
        scene.origins, scene.takes_s = [ONE, TWO], {"orders-1": 0.9, "orders-2": 0.9}
        scene.down = dict.fromkeys(down, ConnectionLost)
        try:
            answer = await scene.replicas.call("orders", GET, 1.0, scene.hedge)
        except ConnectionLost:
            return "lost"
        return answer.body.decode()

    assert run_virtual(main(["orders-1", "orders-2"])) == "lost"
    assert run_virtual(main([])) in ("orders-1", "orders-2")


def test_a_hedge_after_no_time_is_refused() -> None:
    """It would be two requests for each."""
    with pytest.raises(ValueError, match="hedge=0:00:00 of GET /v1/x: no time at all"):
        Service("x", tables=[]).get("/v1/x", hedge=timedelta(0))


def test_the_only_process_is_asked_once_and_has_all_the_time() -> None:
    """A second request to it would help nobody; that it was away keeps nobody from it."""

    async def main() -> tuple[list[str], list[float]]:
        scene, given = Scene(), list[float]()
        scene.origins, scene.takes_s = [ONE], {"orders-1": 0.5}
        send = scene.replicas._send

        async def timed(origin: Origin, request: Request, /, *, deadline_s: float) -> Response:
            given.append(deadline_s)
            return await send(origin, request, deadline_s=deadline_s)

        scene.replicas._send = timed
        return await scene.call(3, hedged=True), given

    assert run_virtual(main()) == (["orders-1"] * 3, [1.0] * 3)


@pytest.mark.parametrize("at_s", [0.99, 1.0])
def test_a_caller_who_has_waited_all_the_time_speaks_of_silence(at_s: float) -> None:
    """Whoever goes when his time is over was not answered; whoever goes before just goes."""

    async def main() -> set[int]:
        scene = Scene()
        scene.origins, scene.takes_s = [ONE, TWO], {"orders-1": 9.0, "orders-2": 9.0}

        async def deaf(origin: Origin, request: Request, /, *, deadline_s: float) -> Response:
            await asyncio.sleep(9.0)
            return Response(200)

        scene.replicas._send = deaf
        for _ in range(2 * SILENT_MAX):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(at_s):
                    await scene.replicas.call("orders", GET, 1.0)
        return {known.silent for known in scene.replicas._known["orders"].values()}

    assert (run_virtual(main()) == {0}) is (at_s < 1.0)


async def test_who_says_at_once_that_it_had_no_time_is_silent_too() -> None:
    """Its own limit was over before ours: it is let alone as one that says nothing."""
    scene = Scene()
    scene.origins = [ONE, TWO]
    scene.down["orders-1"] = DeadlineExceeded
    late = 0
    for _ in range(50):
        try:
            await scene.call()
        except DeadlineExceeded:
            late += 1

    assert late == SILENT_MAX


def test_an_answer_makes_up_for_all_that_was_before() -> None:
    """Of times in a row that it was silent, or away, none is left."""
    known = Replica()
    for now in (10.0, 20.0, 30.0):
        for _ in range(SILENT_MAX - 1):
            known.failed(now, silent=True)
        assert known.away_until <= now
        known.answered()
        known.failed(now, silent=False)
        assert known.away_until == now + AWAY_S
        known.answered()


def test_who_may_be_asked_again_is_there_to_the_moment() -> None:
    """And one of which nothing is known is there from the beginning."""
    chance = random.Random(1)
    for now in (0.0, 5.0):
        known = {ONE: Replica(9), TWO: Replica(away_until=now), THREE: Replica(away_until=now + 1)}
        fresh = {ONE: Replica(9), TWO: Replica(), THREE: Replica(away_until=now + 0.5)}

        assert {tuple(in_order(ORIGINS, known, now, chance)) for _ in range(50)} == {
            (TWO, ONE, THREE)
        }
        assert {tuple(in_order(ORIGINS, fresh, now, chance)) for _ in range(50)} == {
            (TWO, ONE, THREE)
        }


def test_any_two_are_drawn_and_the_less_busy_one_is_first() -> None:
    """Of four with 0, 1, 2 and 3 under way: a half, a third, a sixth, and never the last."""
    origins = [*ORIGINS, Origin.parse("http://orders-4:8000")]
    known = {origin: Replica(under_way=number) for number, origin in enumerate(origins)}
    chance = random.Random(3)
    drawn = [in_order(origins, known, 0.0, chance) for _ in range(6_000)]
    first = Counter(order[0] for order in drawn)

    assert all(sorted(order, key=str) == sorted(origins, key=str) for order in drawn)
    assert [first[origin] / 6_000 for origin in origins] == pytest.approx(
        [1 / 2, 1 / 3, 1 / 6, 0.0], abs=0.02
    )


class Highest:
    """A chance that always draws the upper end, as a generator may."""

    def uniform(self, low: float, high: float) -> float:
        """Return it."""
        return high


@pytest.mark.parametrize("count", range(1, 6))
def test_whatever_is_drawn_each_process_is_asked_once(count: int) -> None:
    """At the ends of what can be drawn, too."""
    origins = [Origin.parse(f"http://orders-{n}:8000") for n in range(count)]
    known = {origin: Replica() for origin in origins}

    assert sorted(in_order(origins, known, 0.0, Highest()), key=str) == origins


def test_each_time_in_a_row_that_it_is_away_it_is_let_alone_for_twice_as_long() -> None:
    """Up to half a minute."""
    known, pauses = Replica(), list[float]()
    for now in range(100, 800, 100):
        known.failed(now, silent=False)
        pauses.append(known.away_until - now)

    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_all_that_is_under_way_counts() -> None:
    """So two processes that are as fast have half of it each."""

    async def main() -> list[int]:
        scene = Scene()
        scene.origins = [ONE, TWO]
        scene.takes_s = {"orders-1": 0.5, "orders-2": 0.5}
        tasks = list[asyncio.Task[Response]]()
        for _ in range(20):
            tasks.append(asyncio.create_task(scene.replicas.call("orders", GET, 1.0)))
            await asyncio.sleep(0)
        counted = [known.under_way for known in scene.replicas._known["orders"].values()]
        await asyncio.wait(tasks)
        return counted

    assert run_virtual(main()) == [10, 10]


async def test_an_answer_between_them_makes_silences_no_row() -> None:
    """Two in a row are silent, and one is answered, again and again: it is never let alone."""
    scene, said = Scene(), [DeadlineExceeded, DeadlineExceeded, None]
    scene.origins = [ONE, TWO]
    asked = Counter[str]()

    async def wavers(origin: Origin, request: Request, /, *, deadline_s: float) -> Response:
        error = said[asked[origin.host] % 3]
        asked[origin.host] += 1
        if error is not None:
            raise error("no answer in time")
        return Response(200)

    scene.replicas._send = wavers
    for _ in range(60):
        try:
            await scene.replicas.call("orders", GET, 1.0)
        except DeadlineExceeded:
            pass

    known = scene.replicas._known["orders"].values()
    assert [(one.failures, one.away_until) for one in known] == [(0, 0.0)] * 2


def test_who_is_asked_next_has_what_is_left_of_the_time() -> None:
    """A process that took long to be unreachable has used some of it up."""

    async def main() -> list[float]:
        scene, given = Scene(), list[float]()

        async def send(origin: Origin, request: Request, /, *, deadline_s: float) -> Response:
            given.append(deadline_s)
            await asyncio.sleep(0.2)
            if len(given) == 4:
                return Response(200)
            raise Unreachable("down")

        scene.replicas._send = send
        scene.origins = [*ORIGINS, Origin.parse("http://orders-4:8000")]
        await scene.replicas.call("orders", GET, 0.5)
        return given

    assert run_virtual(main()) == pytest.approx([0.5, 0.3, 0.1, 0.001])


def test_where_the_other_process_is_gone_a_hedge_asks_the_slow_one_again() -> None:
    """It is the last that is left."""

    async def main() -> list[str]:
        while True:
            scene = Scene()
            scene.replicas._chance = drawn
            scene.origins = [ONE, TWO]
            scene.takes_s, scene.down = {"orders-1": 0.5}, {"orders-2": Unreachable}
            asked = await scene.call(1, hedged=True)
            if asked[0] == "orders-1":
                return asked

    drawn = random.Random(2)
    assert run_virtual(main()) == ["orders-1", "orders-2", "orders-1"]


def test_a_hedge_is_another_process() -> None:
    """Of two, too: to ask the slow one again would help nobody."""

    async def main() -> list[list[str]]:
        scene = Scene()
        scene.origins = [ONE, TWO]
        scene.takes_s = {"orders-1": 0.5, "orders-2": 0.5}
        return [await scene.call(1, hedged=True) for _ in range(5)]

    assert [len(set(asked)) for asked in run_virtual(main())] == [2] * 5


def test_hedges_grow_with_the_requests() -> None:
    """A thousand at once, all of them slow: a tenth of them, and a few."""

    async def main() -> int:
        scene = Scene()
        scene.takes_s = dict.fromkeys(["orders-1", "orders-2", "orders-3"], 0.5)
        await asyncio.gather(
            *(scene.replicas.call("orders", GET, 1.0, scene.hedge) for _ in range(1_000))
        )
        return len(scene.asked) - 1_000

    assert 100 <= run_virtual(main()) <= 150


def test_an_error_of_the_first_is_none_while_the_second_is_asked() -> None:
    """Whichever of them breaks: the other's answer counts."""

    async def main(breaks: str) -> bytes:
        scene = Scene()
        scene.origins = [ONE, TWO]

        async def send(origin: Origin, request: Request, /, *, deadline_s: float) -> Response:
            await asyncio.sleep(0.2 if origin.host == breaks else 0.5)
            if origin.host == breaks:
                raise ConnectionLost("broken")
            return Response(200, [], origin.host.encode())

        scene.replicas._send = send
        return (await scene.replicas.call("orders", GET, 1.0, scene.hedge)).body

    assert run_virtual(main("orders-1")) == b"orders-2"
    assert run_virtual(main("orders-2")) == b"orders-1"


async def test_who_answers_in_time_needs_no_second_one() -> None:
    """A hedge is for what takes long."""
    scene = Scene()

    assert [len(await scene.call(1, hedged=True)) for _ in range(20)] == [1] * 20


async def test_all_processes_may_be_others_at_once() -> None:
    """As many as before, and none of them known."""
    scene = Scene()
    scene.origins = [ONE, TWO]
    await scene.call(3)
    scene.origins = [THREE, Origin.parse("http://orders-4:8000")]

    assert set(await scene.call(30)) == {"orders-3", "orders-4"}


async def test_without_others_there_is_nobody_to_ask() -> None:
    """In a process that has all services, or knows no others."""
    scene = Scene()
    nobody = Replicas(None, scene.send, LoopClock(), random.Random(5))

    with pytest.raises(Unreachable, match="orders is not in this process"):
        await nobody.call("orders", GET, 1.0)
    assert scene.asked == []
