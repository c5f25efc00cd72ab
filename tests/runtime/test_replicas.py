"""Which of a service's processes gets a request."""

import pytest

from holdfast.communication import Origin
from holdfast.contract.http import Request, Response
from holdfast.errors import ConnectionLost, Unreachable
from holdfast.runtime.replicas import AWAY_S, Replicas

ORIGINS = [Origin.parse(f"http://orders-{n}:8000") for n in (1, 2, 3)]
GET = Request("GET", "/", "", [], b"")


class Scene:
    """Three processes, of which some are down, and a clock that stands."""

    def __init__(self) -> None:
        self.time_s = 0.0
        self.down: dict[str, type[Exception]] = {}
        self.asked: list[str] = []
        self.replicas = Replicas(lambda service: ORIGINS, self.send, self)

    def now(self) -> float:
        """Return the time."""
        return self.time_s

    def monotonic(self) -> float:
        """Return the time."""
        return self.time_s

    async def send(self, origin: Origin, request: Request, /, *, deadline_s: float) -> Response:
        """Answer, or be down."""
        self.asked.append(origin.host)
        if origin.host in self.down:
            raise self.down[origin.host]("down")
        return Response(200)

    async def call(self, times: int = 1) -> list[str]:
        """Call so many times; return who was asked."""
        self.asked.clear()
        for _ in range(times):
            assert (await self.replicas.call("orders", GET, 1.0)).status == 200
        return list(self.asked)


async def test_each_has_its_turn() -> None:
    """One after the other."""
    assert await Scene().call(4) == ["orders-1", "orders-2", "orders-3", "orders-1"]


async def test_who_cannot_be_reached_is_passed_over() -> None:
    """The caller notices nothing; for a while it is asked last, and then again."""
    scene = Scene()
    scene.down["orders-1"] = Unreachable
    assert await scene.call(4) == ["orders-1", "orders-2", "orders-2", "orders-3", "orders-2"]
    scene.down.clear()
    scene.time_s += AWAY_S
    assert sorted(set(await scene.call(3))) == ["orders-1", "orders-2", "orders-3"]


async def test_what_may_have_had_an_effect_is_not_sent_to_another() -> None:
    """That is the caller's to decide; its next try goes elsewhere."""
    scene = Scene()
    scene.down["orders-1"] = ConnectionLost
    with pytest.raises(ConnectionLost):
        await scene.call()
    assert scene.asked == ["orders-1"]
    assert "orders-1" not in await scene.call(2)


async def test_when_all_are_down_it_says_so() -> None:
    """After each was asked once."""
    scene = Scene()
    scene.down = dict.fromkeys(["orders-1", "orders-2", "orders-3"], Unreachable)
    with pytest.raises(Unreachable, match="down"):
        await scene.call()
    assert len(scene.asked) == 3
