"""One Holdfast route with everything on: token, rate limits, metrics, JSON log, trace, deadline."""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

import uvloop

from benchmarks.ours.access import SCOPE, TOKENS, GetKeys, jwks
from holdfast import Field, Gateway, Model, Rate, Service, System
from holdfast.engines.machine import MachineClock, MachineSignals
from holdfast.observability import Logger
from holdfast.runtime.process import Options, Process
from holdfast.runtime.serve import serve
from holdfast.runtime.settings import ProcessSettings


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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without-sdk", action="store_true", help="OpenTelemetry's is not there")
    if parser.parse_args().without_sdk:
        sys.modules["opentelemetry.sdk"] = None  # type: ignore[assignment]  # not to be imported
    log = open(os.devnull, "wb", buffering=0)  # noqa: SIM115  # for the life of the process
    with tempfile.TemporaryDirectory() as folder:
        logger = Logger(log, MachineClock(), system.name, form="json")
        settings = ProcessSettings(log_kept_mb=0)
        options = Options(Path(folder), port=0, environ=os.environ, settings=settings)
        await serve(system, options, logger, MachineSignals(), announce)


def announce(process: Process) -> None:
    """Tell the one who measures where to send requests."""
    print(json.dumps({"url": process.url}), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
