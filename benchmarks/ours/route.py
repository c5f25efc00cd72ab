"""One Holdfast route with everything on: token, rate limits, metrics, JSON log, trace, deadline."""

import os
import tempfile
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

import uvloop

from benchmarks.ours.access import SCOPE, TOKENS, GetKeys, jwks
from benchmarks.ours.serve import serve_until_stopped
from holdfast import Field, Gateway, Model, Rate, Service, System
from holdfast.engines.machine import MachineClock
from holdfast.observability import Logger
from holdfast.runtime.process import Options, Process


class PlaceOrder(Model):
    """An order of six fields."""

    order_id: UUID
    customer: Annotated[str, Field(min_length=1, max_length=64)]
    sku: Annotated[str, Field(pattern=r"^[A-Z]{3}-[0-9]{4}$")]
    quantity: Annotated[int, Field(ge=1, le=100)]
    price_cents: Annotated[int, Field(ge=1, le=10_000_000)]
    channel: Literal["web", "app", "phone"]


class Accepted(Model):
    """The answer: three fields."""

    order_id: UUID
    state: str
    total_cents: int


service = Service("orders")


@service.post("/v1/orders", scope=SCOPE)
async def place(body: PlaceOrder) -> Accepted:
    """Answer at once: what is measured is the way in and out."""
    return Accepted(
        order_id=body.order_id, state="placed", total_cents=body.quantity * body.price_cents
    )


@service.handles
async def keys(query: GetKeys) -> str:
    """Publish the key."""
    return jwks()


ENOUGH = Rate(per_s=1_000_000, burst=1_000_000)
system = System("route", [service], Gateway(tokens=TOKENS, per_caller=ENOUGH, per_address=ENOUGH))


async def main() -> None:
    """Serve; the log goes to /dev/null, as that of the peer would, if it wrote one."""
    log = open(os.devnull, "wb", buffering=0)  # noqa: SIM115  # for the life of the process
    with tempfile.TemporaryDirectory() as folder:
        logger = Logger(log, MachineClock(), system.name, form="json")
        process = Process(system, Options(Path(folder), port=0), logger)
        await process.start()
        await serve_until_stopped({"url": process.url}, process.stop)


if __name__ == "__main__":
    uvloop.run(main())
