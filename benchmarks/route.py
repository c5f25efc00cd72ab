"""One route with everything on, against bare FastAPI + uvicorn: the same body, the same answer.

Target: 4 times the requests a second, one process on one core each.
"""

import json
from collections.abc import Awaitable, Callable
from uuid import UUID

from benchmarks.harness import Contender, Plan, Row, Sample, compare, versus
from benchmarks.load import closed_loop, post
from benchmarks.ours import access
from benchmarks.process import Server, running
from benchmarks.tree import HERE, Tree

TARGET = 4.0
_OURS = "benchmarks.ours.route"
_BODIES = 64


def requests() -> list[bytes]:
    """Return requests for different orders; both servers get the very same bytes."""
    token = access.token()
    return [
        post("/v1/orders", json.dumps(_order(number)).encode(), token=token)
        for number in range(_BODIES)
    ]


def _order(number: int) -> dict[str, object]:
    return {
        "order_id": str(UUID(int=0x7000 << 64 | 1 << 63 | number)),
        "customer": f"customer-{number}",
        "sku": f"TEA-{number:04}",
        "quantity": 1 + number % 100,
        "price_cents": 650 + number,
        "channel": ("web", "app", "phone")[number % 3],
    }


def load(server: Server, wanted: list[bytes]) -> Callable[[float], Awaitable[tuple[int, Sample]]]:
    """Return what puts the load on a server for so many seconds."""
    return lambda seconds: closed_loop(server.url, wanted, status=200, seconds=seconds)


async def measure(plan: Plan) -> list[Row]:
    """Measure the figure."""
    ours = Server("holdfast, everything on", _OURS)
    peer = Server("FastAPI + uvicorn, bare", "benchmarks.peers.fastapi_app")
    return [versus("route", "requests/s", await _both(ours, peer, plan), target=TARGET)]


async def against(plan: Plan, tree: Tree) -> list[Row]:
    """Measure it beside the same of another commit."""
    ours, then = Server(HERE, _OURS), Server(tree.name, _OURS, tree=tree.path)
    return [versus("route", "requests/s", await _both(ours, then, plan))]


async def _both(ours: Server, other: Server, plan: Plan) -> dict[str, list[Sample]]:
    wanted = requests()
    async with running(ours, other):
        return await compare([Contender(s, load(s, wanted)) for s in (ours, other)], plan)
