"""A route's own CPU, without sockets, beside the floor: the same work written straight by hand.

All take turns in blocks of some milliseconds, each in a process of its own; what is compared is the
CPU of one request, so that others on the machine disturb little. Beside it is what of ours is the
HTTP server's reading and writing (the server with a handler that answers at once) and what is the
door's and the route's (the rest).

Target: at most 2.5 times the floor.
"""

import json
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.harness import Plan, Row
from benchmarks.process import Server, running
from benchmarks.tree import HERE, Tree

TARGET = 2.5
_BLOCKS, _WARM_UP = 20, 10  # for each round of the plan; not counted
_OURS, _FLOOR = "benchmarks.ours.bare", "benchmarks.floor.program"
_PARTS = {"reading": "reading", "routed": "door and route", "writing": "writing"}


async def measure(plan: Plan) -> list[Row]:
    """Measure the figure."""
    ours, floor = Server("ours", _OURS), Server("the floor", _FLOOR)
    pydantic = Server("the floor on pydantic", _FLOOR, "--pydantic")
    found = await _blocks([ours, floor, pydantic], plan)
    parts = found[ours.name]
    whole = [part["whole"] for part in parts]
    times = [a / b for a, b in zip(whole, found[floor.name], strict=True)]
    times_pydantic = [a / b for a, b in zip(whole, found[pydantic.name], strict=True)]
    name = "a route without sockets"
    return [
        Row(f"{name}, beside the floor", "×", median(times), target=TARGET, at_most=True),
        _beside(name, whole, floor.name, found[floor.name]),
        _beside(name, whole, pydantic.name, found[pydantic.name]),
        Row(f"{name}, beside the floor on pydantic", "×", median(times_pydantic)),
        *(
            Row(f"{name}: {called}", "µs CPU", median(part[key] for part in parts))
            for key, called in _PARTS.items()
        ),
    ]


async def against(plan: Plan, tree: Tree) -> list[Row]:
    """Measure it beside the same of another commit."""
    ours, then = Server(HERE, _OURS), Server(tree.name, _OURS, tree=tree.path)
    found = await _blocks([ours, then], plan)
    return [
        _beside(
            f"without sockets: {called}",
            [part[key] for part in found[ours.name]],
            then.name,
            [part[key] for part in found[then.name]],
        )
        for key, called in {"whole": "a route", **_PARTS}.items()
    ]


async def _blocks(servers: Sequence[Server], plan: Plan) -> Mapping[str, list[Any]]:
    """Return {server: what it answered, block by block}."""
    found: dict[str, list[Any]] = {server.name: [] for server in servers}
    async with running(*servers):
        for number in range(_WARM_UP + _BLOCKS * plan.rounds):
            for server in servers:
                answer = json.loads(await server.ask("", 60))
                if number >= _WARM_UP:
                    found[server.name].append(answer)
    return found


def _beside(figure: str, ours: Sequence[float], peer: str, theirs: Sequence[float]) -> Row:
    """Return a row whose ratio is how much less ours takes."""
    ratio = median(b / a for a, b in zip(ours, theirs, strict=True))
    return Row(figure, "µs CPU", median(ours), peer, median(theirs), cpu_ratio=ratio)
