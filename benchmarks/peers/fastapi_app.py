"""The same route in FastAPI on uvicorn (uvloop, httptools), with nothing else on."""

import argparse
import asyncio
import json
from typing import Annotated, Literal
from uuid import UUID

import uvicorn
import uvloop
from fastapi import FastAPI
from pydantic import BaseModel, Field


class PlaceOrder(BaseModel):
    """An order of six fields."""

    order_id: UUID
    customer: Annotated[str, Field(min_length=1, max_length=64)]
    sku: Annotated[str, Field(pattern=r"^[A-Z]{3}-[0-9]{4}$")]
    quantity: Annotated[int, Field(ge=1, le=100)]
    price_cents: Annotated[int, Field(ge=1, le=10_000_000)]
    channel: Literal["web", "app", "phone"]


class Accepted(BaseModel):
    """The answer: three fields."""

    order_id: UUID
    state: str
    total_cents: int


app = FastAPI()


@app.post("/v1/orders")
async def place(body: PlaceOrder) -> Accepted:
    """Answer at once."""
    return Accepted(
        order_id=body.order_id, state="placed", total_cents=body.quantity * body.price_cents
    )


async def main() -> None:
    """Serve, and say where."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    port = parser.parse_args().port
    config = uvicorn.Config(app, port=port, http="httptools", access_log=False, log_level="warning")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    print(json.dumps({"url": f"http://127.0.0.1:{port}"}), flush=True)
    await serving


if __name__ == "__main__":
    uvloop.run(main())
