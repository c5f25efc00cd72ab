"""What `/health/ready?verbose` shows beside the checks."""

from typing import Any

import msgspec
from sqlalchemy import MetaData

from holdfast import Outside, Query, Service, System
from holdfast.contract.http import Request
from holdfast.runtime.pages import OperationsPages
from holdfast.testing import running


class Count(Query[int]):
    """Count the things."""


store = Service("store", tables=MetaData())
front = Service("front", tables=MetaData(), calls=[Count])


@store.handles
async def count(query: Count) -> int:
    """Count."""
    return 3


@front.get("/v1/count", public=True)
async def counted(outside: Outside) -> int:
    """Ask for the count."""
    return await outside.ask(Count())


def stats(body: bytes) -> dict[str, Any]:
    """Return the figures of an answer."""
    found: dict[str, Any] = msgspec.json.decode(body).get("stats", {})
    return found


async def test_places_and_edges_are_shown_to_who_asks_for_them() -> None:
    """With what they have done; a probe gets the checks alone."""
    async with running(System("shop", [store, front])) as run:
        assert (await run.client.get("/v1/count")).json() == 3
        pages = OperationsPages(run.process.health, run.process.metrics)
        brief = await pages(Request("GET", "/health/ready"))
        told = stats((await pages(Request("GET", "/health/ready", "verbose"))).body)

    assert not stats(brief.body)
    assert told["places"]["normal"] == {"limit": 1_000, "inside": 0, "refused": 0}
    (edge,) = told["edges of front"].values()
    assert (edge["calls"], edge["breaker"]["state"]) == (1, "closed")
    assert edge["bulkhead"]["under_way"] == 0
