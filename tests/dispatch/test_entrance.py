"""The entrance: who is let into a process, and who is told to come again."""

import io
from typing import Any

import msgspec
import pytest

from holdfast.contract.http import Request, Response
from holdfast.contract.tier import Tier
from holdfast.dispatch.entrance import Entrance
from holdfast.dispatch.router import Router, Target
from holdfast.observability import Logger
from holdfast.resilience import ConcurrencyLimits, Lateness, RoutePlaces
from tests.observability.fakes import SetClock


class Room(ConcurrencyLimits):
    """Remembers how long those were inside who have left; says what is to be expected, if told."""

    def __init__(self, places_max: int, wait_s: float) -> None:
        super().__init__(places_max, wait_s)
        self.were_inside_s: list[float] = []
        self.says_s: float | None = None

    @property
    def expected_s(self) -> float:
        """How long one that comes now will wait."""
        return super().expected_s if self.says_s is None else self.says_s

    def leave(self, places: RoutePlaces, inside_s: float) -> None:
        """Remember it."""
        self.were_inside_s.append(inside_s)
        super().leave(places, inside_s)


class House:
    """An entrance with a route of each tier, and places for two."""

    def __init__(self, places_max: int = 2, **more: Any) -> None:
        self.clock, self.log = SetClock(100.0), io.BytesIO()
        self.room = Room(places_max, 1.0)
        self.told: list[tuple[str, str, int]] = []
        router = Router()
        for tier in Tier:
            path = f"/{tier.name.lower()}"
            target = Target("till", path, _serve, True, None, places=RoutePlaces(tier))
            router.add("GET", target)
        self.gate = Entrance(
            router,
            self.room,
            self.clock,
            Logger(self.log, self.clock, "till", form="json"),
            pages={"/health/live"},
            **more,
            refused=lambda request, route, status: self.told.append(
                (request.method, route, status)
            ),
        )

    def enter(self, path: str, age_s: float = 0.0, **headers: str) -> Response | None:
        """Ask to come in, so long after the request came."""
        return self.gate.enter(self.request(path, age_s, **headers))

    def request(self, path: str, age_s: float = 0.0, **headers: str) -> Request:
        """Return a request that came so long ago."""
        given = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
        return Request("GET", path, headers=given, received_at=self.clock.monotonic() - age_s)


async def _serve(request: Request, path: dict[str, str]) -> Response:
    return Response(200)


def test_one_more_than_there_are_places_is_refused_and_told_when_to_come() -> None:
    """With the route that it was for, and room again when one has left."""
    house = House()
    first = house.request("/normal")
    assert house.gate.enter(first) is None
    assert house.enter("/nowhere") is None
    refused = house.enter("/normal")
    assert house.enter("/nowhere-else") is not None
    again = house.gate.is_full(first)
    house.gate.leave(first)

    assert refused is not None
    assert (refused.status, refused.header(b"retry-after")) == (503, b"1")
    assert msgspec.json.decode(refused.body) == {
        "type": "about:blank",
        "title": "Overloaded",
        "status": 503,
        "detail": "more is asked of this process than it can do",
        "code": "overloaded",
    }
    assert house.told == [("GET", "/normal", 503), ("GET", "", 503)], "of no route"
    assert again
    assert not house.gate.is_full(first)
    assert house.enter("/normal") is None
    assert first.found[0].template == "/normal"


def test_pages_of_the_gateways_own_are_let_in() -> None:
    """An orchestrator that asks a busy process must not take it for a dead one."""
    house = House(1)
    assert house.enter("/normal") is None
    page = house.request("/health/live")

    assert not house.gate.is_full(page)
    assert house.gate.enter(page) is None
    house.gate.begin(page)
    house.gate.leave(page)
    assert house.gate.stats()["normal"].inside == 1


def test_what_others_have_begun_goes_on() -> None:
    """A query of another service is critical: who asks was let in there. Clients ask none."""
    for inside in (True, False):
        house = House(1, inside=True) if inside else House(1)
        assert house.enter("/normal") is None

        assert (house.enter("/-/ask/orders/GetPrice.v1") is None) is inside
        assert house.gate.stats()["critical"].inside == inside


@pytest.mark.parametrize(
    ("path", "age_s", "refused"),
    [
        *(("/normal", 0.9, False), ("/normal", 1.1, True)),
        *(("/critical", 1.9, False), ("/critical", 2.1, True)),
        *(("/bulk", 0.4, False), ("/bulk", 0.6, True)),
    ],
)
def test_who_stood_in_line_for_too_long_is_refused(path: str, age_s: float, refused: bool) -> None:
    """Once the line has been too long for as long again; the more important it is the later."""
    house = House(100)
    answers = []
    for _ in range(4):
        house.clock.now_s += 0.6
        answers.append(house.enter(path, age_s))

    assert [answer is not None for answer in answers] == [False, False, refused, refused]
    assert house.gate.stats()[path[1:]].refused == 2 * refused


def test_whose_turn_comes_too_late_is_refused_after_all() -> None:
    """Once that has lasted for as long again; and its place is free, though nothing was done."""
    house = House(places_max=10)
    requests = [house.request("/normal") for _ in range(4)]
    for request in requests:
        assert house.gate.enter(request) is None
    house.clock.now_s += 1.5
    assert house.gate.begin(requests[0]) is None
    house.clock.now_s += 0.9
    assert house.gate.begin(requests[1]) is None
    house.clock.now_s += 0.2
    refused = house.gate.begin(requests[2])
    house.gate.leave(requests[2])

    assert refused is not None
    assert (refused.status, refused.header(b"retry-after")) == (503, b"1")
    assert house.told == [("GET", "/normal", 503)]
    assert house.gate.stats()["normal"].inside == 3
    assert house.gate.stats()["normal"].refused == 1


def test_a_critical_turn_may_come_twice_as_late() -> None:
    """And says nothing of how late others are."""
    house = House(places_max=10)
    critical, normal = house.request("/critical"), house.request("/normal")
    for request in (critical, normal):
        assert house.gate.enter(request) is None
    came = house.clock.now_s
    for waited_s, turn in ((1.5, normal), (1.9, critical), (2.4, normal), (2.6, critical)):
        house.clock.now_s = came + waited_s
        assert house.gate.begin(turn) is None

    assert house.gate.begin(normal) is not None


def test_who_will_be_gone_before_its_turn_is_refused() -> None:
    """By what it says that it waits, and how long the others waited."""
    house = House(100)
    for _ in range(30):
        house.room.waited(0.3, house.clock.now_s)
        house.clock.now_s += 0.02

    assert house.enter("/normal", holdfast_deadline_ms="400") is None
    assert house.enter("/normal", holdfast_deadline_ms="200") is not None
    assert house.enter("/normal", 0.2, holdfast_deadline_ms="400") is not None
    assert house.enter("/normal", holdfast_deadline_ms="soon") is None


@pytest.mark.parametrize("asked_ms", [1, 250, 4_000, 100_000, 999_999_999])
def test_a_deadline_is_held_against_the_wait_to_the_millisecond(asked_ms: int) -> None:
    """From when the request came; too late already is not said here, but with what it was for."""
    house, asked = House(100), {"holdfast_deadline_ms": str(asked_ms)}
    age_s, house.clock.now_s = asked_ms / 4_000, 2.0 * asked_ms
    house.gate._lateness = Lateness(float("inf"))
    answers: list[bool] = []
    for more_ms in (-0.5, 0.5, asked_ms * 2):
        house.room.says_s = asked_ms / 1_000 - age_s + more_ms / 1_000
        answers.append(house.enter("/normal", age_s, **asked) is None)

    assert answers == [True, False, False]
    assert house.enter("/normal", asked_ms / 1_000, **asked) is None


def test_how_long_those_waited_who_begin_is_what_others_will_wait() -> None:
    """From when a request came to when it is begun, each counted once."""
    house = House(100)
    house.enter("/normal")
    for number in range(40):
        house.gate.begin(house.request("/normal"))  # it was not let in, so nobody counts it
        waits = house.request("/normal", 0.25 + number % 2 / 10)
        waits.places = RoutePlaces()
        house.gate.begin(waits)
        house.clock.now_s += 0.02

    assert house.room.expected_s == pytest.approx(0.3, abs=0.02)


def test_refusals_are_logged_together() -> None:
    """A line for each would cost more than the refusal."""
    house = House(1)
    house.enter("/normal")
    for _ in range(30):
        house.enter("/normal")
        house.clock.now_s += 0.1
    lines = house.log.getvalue().decode().splitlines()

    assert 3 <= len(lines) <= 4
    assert all('"event":"requests.shed"' in line for line in lines)
    assert '"count":1}' in lines[0].replace(" ", ""), "the first is told at once"
    assert '"count":11' in lines[1]


@pytest.mark.parametrize(("waited_s", "asks"), [(3.0, "2000"), (600.0, "9000")])
def test_how_long_others_waited_once_does_not_refuse_for_ever(waited_s: float, asks: str) -> None:
    """Who would be gone before its turn is let in as soon as nobody is inside, or nobody waits."""
    house = House(100)
    stays = house.request("/normal")
    assert house.gate.enter(stays) is None
    for _ in range(30):  # the process stood still, and works off what came meanwhile
        house.room.waited(waited_s, house.clock.now_s)
        house.clock.now_s += 0.02
    refused = []
    for _ in range(100):
        house.clock.now_s += 0.1
        refused.append(house.enter("/normal", holdfast_deadline_ms=asks) is not None)
    alone = House(100)
    for _ in range(30):
        alone.room.waited(waited_s, alone.clock.now_s)
        alone.clock.now_s += 0.02

    assert refused[0]
    assert not any(refused[80:]), refused.index(False)
    assert alone.enter("/normal", holdfast_deadline_ms=asks) is None


def test_a_refusal_is_dressed_for_who_reads_it() -> None:
    """A page of another origin may read why it was refused."""

    def dress(request: Request, response: Response) -> Response:
        return Response(response.status, [(b"for", request.path.encode())], response.body)

    house = House(1, dress=dress)
    house.enter("/normal")
    refused = house.enter("/normal")

    assert refused is not None
    assert (refused.status, refused.headers) == (503, [(b"for", b"/normal")])


def test_how_long_somebody_was_inside_is_told_when_he_leaves() -> None:
    """From when his request came."""
    house = House()
    request = house.request("/normal", 0.5)
    house.gate.enter(request)
    house.clock.now_s += 2.0
    house.gate.leave(request)

    assert house.room.were_inside_s == [2.5]
