"""The floor: it does the work that it is compared by, and the wire without sockets counts it."""

import asyncio
import json
from collections.abc import Callable

import pytest

from benchmarks.floor.program import Bucket, Floor, State, place_by_msgspec, place_by_pydantic
from benchmarks.floor.wire import CONNECTIONS, TURNS, Unplugged, Wires
from benchmarks.load import post
from benchmarks.ours import access
from benchmarks.route import requests

pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
BODY = requests()[0].partition(b"\r\n\r\n")[2]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACED = f"\r\ntraceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n".encode()


class Asked:
    """A floor, and what it wrote."""

    def __init__(self, place: Callable[[bytes], bytes]) -> None:
        self.log: list[bytes] = []
        self.state = State(place, self.log.append)
        self.wire = Unplugged()
        self.floor = Floor(self.state)
        self.floor.connection_made(self.wire)

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request; return the status and the body."""
        self.floor.data_received(request)
        await asyncio.sleep(0)
        head, _, body = self.wire.last.partition(b"\r\n\r\n")
        return int(head[9:12]), body


@pytest.fixture(params=[place_by_msgspec, place_by_pydantic])
def asked(request: pytest.FixtureRequest) -> Asked:
    """Return a floor, of each of both libraries."""
    return Asked(request.param())


async def test_it_answers_as_the_route_does(asked: Asked) -> None:
    """The body is that of Holdfast's route, byte for byte."""
    status, body = await asked.ask(requests()[3])

    assert status == 200
    assert body == (
        b'{"order_id":"00000000-0000-7000-8000-000000000003","state":"placed","total_cents":2612}'
    )


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (post("/v1/orders", BODY, token="a.b.c"), 401),
        (post("/v1/orders", BODY), 401),
        (post("/v1/others", BODY, token=access.token()), 404),
        (post("/v1/orders", BODY, token=access.token()).replace(b"POST", b"PUT"), 404),
        (post("/v1/orders", b"{}", token=access.token()), 422),
    ],
    ids=["a wrong token", "no token", "another path", "another method", "a wrong body"],
)
async def test_it_refuses_what_the_route_refuses(
    asked: Asked, request_: bytes, status: int
) -> None:
    """So that its checks are real ones."""
    assert (await asked.ask(request_))[0] == status


async def test_it_limits_rates(asked: Asked) -> None:
    """A caller whose bucket is empty gets 429."""
    asked.state.buckets["customer-1"] = empty = Bucket(1e12)  # which no time fills again
    empty.tokens = 0.0

    assert (await asked.ask(requests()[0]))[0] == 429


async def test_it_accounts_for_each_request(asked: Asked) -> None:
    """A line with the ids of its trace, a count, and a span of one that is sampled."""
    await asked.ask(requests()[0].replace(b"\r\n", TRACED, 1))

    [line] = map(json.loads, asked.log)
    assert (line["trace_id"], line["caller"], line["status"]) == (TRACE, "customer-1", 200)
    assert asked.state.series[200].count == sum(asked.state.series[200].buckets) == 1
    assert [span[0] for span in asked.state.spans] == [TRACE]
    assert not asked.state.in_flight


async def test_a_block_is_all_connections_in_turns() -> None:
    """Each request is answered before the next turn."""
    state = State(place_by_msgspec(), lambda line: None)
    wires = Wires(lambda: Floor(state), requests())

    assert await wires.block() > 0
    assert state.series[200].count == CONNECTIONS * TURNS


async def test_a_program_that_refuses_is_not_measured() -> None:
    """A figure of errors would be a good one."""
    state = State(place_by_msgspec(), lambda line: None)
    wires = Wires(lambda: Floor(state), [post("/v1/orders", BODY)])

    with pytest.raises(RuntimeError, match="401 Unauthorized"):
        await wires.block()
