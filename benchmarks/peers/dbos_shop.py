"""The shop's order flow in DBOS, as its users would write it: FastAPI in front, a durable workflow.

One process and one Postgres database for all of it, DBOS's own tables beside those of the shop. An
order is a workflow of five transactional steps (place, reserve, pay, confirm, tell) and one over
HTTP (charge). The steps are those of a datasource: what a step writes and that it is done commit
together. What the shop has besides (rate limits, deadlines, metrics, traces, log lines, databases
of its own for each service) is not here. Tables are those of the usual stack.
"""

import argparse
import asyncio
import json
import secrets
import time
from collections import Counter
from typing import Annotated, Any
from uuid import UUID, uuid4

import aiohttp
import jwt
import psycopg
import uvicorn
import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from dbos import DBOS, AsyncSQLAlchemyDatasource, DBOSConfig, SetWorkflowID
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from benchmarks.usual_stack import models as m
from shop.inventory.tables import CATALOGUE

app = FastAPI()
key = Ed25519PrivateKey.generate()
public_key = key.public_key()
source: AsyncSQLAlchemyDatasource
processor: aiohttp.ClientSession
processor_url = ""
TABLES = [m.Customer, m.Order, m.OrderLine, m.Stock, m.Reservation, m.Payment, m.Notification]


class Login(BaseModel):
    """Who somebody says they are; passwords are not what is measured."""

    email: str = Field(max_length=254)
    password: str = Field(min_length=8, max_length=200)


class LineIn(BaseModel):
    """What a customer wants."""

    sku: str = Field(pattern=r"^[A-Z0-9-]{1,40}$")
    quantity: int = Field(ge=1, le=100)


class OrderIn(BaseModel):
    """An order as it comes in."""

    lines: list[LineIn] = Field(min_length=1, max_length=50)
    card: str = Field(default="tok_ok", max_length=64)


class OrderOut(BaseModel):
    """An order as it is answered."""

    id: UUID
    state: str
    total_cents: int


class Refused(Exception):
    """There is not enough of something, or the card was declined."""


async def owner(given: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> str:
    """Return the caller, by a token that was verified."""
    try:
        claims = jwt.decode(given.credentials, public_key, algorithms=["EdDSA"], audience="dbos")
    except jwt.InvalidTokenError as exc:
        raise HTTPException(401, str(exc)) from exc
    return str(claims["sub"])


def session() -> AsyncSession:
    """Begin a session beside the workflows."""
    return AsyncSession(source.engine, expire_on_commit=False)


@app.post("/v1/users", status_code=201)
async def register(body: Login) -> dict[str, str]:
    """Register a customer."""
    async with session() as new, new.begin():
        new.add(m.Customer(email=body.email, password_hash=secrets.token_hex(16)))
    return {"email": body.email}


@app.post("/v1/tokens")
async def log_in(body: Login) -> dict[str, str]:
    """Give a token."""
    async with session() as new:
        found = await new.scalar(select(m.Customer).where(m.Customer.email == body.email))
    if found is None:
        raise HTTPException(401)
    claims = {"sub": str(found.id), "aud": "dbos", "exp": int(time.time()) + 3600}
    return {"access_token": jwt.encode(claims, key, algorithm="EdDSA")}


@app.post("/v1/orders", status_code=202)
async def place_order(body: OrderIn, caller: Annotated[str, Depends(owner)]) -> OrderOut:
    """Take an order: it is carried out from here on, whatever happens."""
    skus = sorted({line.sku for line in body.lines})
    async with session() as new:
        found = await new.scalars(select(m.Stock).where(m.Stock.sku.in_(skus)))
        prices = {stock.sku: stock.price_cents for stock in found}
    if missing := set(skus) - set(prices):
        raise HTTPException(404, f"unknown: {missing}")
    id_ = str(uuid4())
    total_cents = sum(prices[line.sku] * line.quantity for line in body.lines)
    order = {
        "id": id_,
        "owner": caller,
        "card": body.card,
        "total_cents": total_cents,
        "lines": [{"unit_cents": prices[line.sku], **line.model_dump()} for line in body.lines],
    }
    with SetWorkflowID(id_):
        await DBOS.start_workflow_async(checkout, order)
    return OrderOut(id=UUID(id_), state="placed", total_cents=total_cents)


# -- the workflow ---------------------------------------------------------------------------------


@DBOS.workflow()
async def checkout(order: dict[str, Any]) -> None:
    """Carry out one order, or undo it."""
    await step(place, order)
    try:
        await step(reserve, order)
    except Refused as exc:
        await step(cancel, order, str(exc), False)
        return
    charge_id, declined = await charge(order)
    if declined:
        await step(cancel, order, declined, True)
        return
    await step(pay, order, charge_id)
    await step(confirm, order)
    await step(tell, order)


async def step(work: Any, *words: Any) -> None:
    """Run one transaction: what it writes, and that it is done, commit together."""
    options: Any = {"name": work.__name__, "isolation_level": "READ COMMITTED"}
    await source.run_tx_step_async(options, work, *words)


async def place(order: dict[str, Any]) -> None:
    """Write the order down."""
    lines = [m.OrderLine(position=n, **line) for n, line in enumerate(order["lines"])]
    source.sql_session().add(
        m.Order(
            id=UUID(order["id"]),
            owner=order["owner"],
            card=order["card"],
            total_cents=order["total_cents"],
            lines=lines,
        )
    )


async def reserve(order: dict[str, Any]) -> None:
    """Set pieces aside, for all lines or for none."""
    wanted = Counter[str]()
    for line in order["lines"]:
        wanted[line["sku"]] += line["quantity"]
    shelves = await locked(wanted)
    for sku, count in wanted.items():
        if shelves[sku].available < count:
            raise Refused(f"no {sku}")
        shelves[sku].available -= count
        shelves[sku].reserved += count
        held = m.Reservation(order_id=UUID(order["id"]), sku=sku, quantity=count)
        source.sql_session().add(held)


@DBOS.step()
async def charge(order: dict[str, Any]) -> tuple[str, str]:
    """Charge the card; return the charge, or why not. The order is the key of a second try."""
    answer = await processor.post(
        f"{processor_url}/v1/charges",
        json={
            "amount_cents": order["total_cents"],
            "card": order["card"],
            "reference": order["id"],
        },
        headers={"Idempotency-Key": order["id"]},
    )
    found = await answer.json()
    if answer.status == 402:
        return "", str(found["reason"])
    answer.raise_for_status()
    return str(found["id"]), ""


async def pay(order: dict[str, Any], charge_id: str) -> None:
    """Write the charge down."""
    paid = m.Payment(
        order_id=UUID(order["id"]), charge_id=charge_id, amount_cents=order["total_cents"]
    )
    source.sql_session().add(paid)


async def confirm(order: dict[str, Any]) -> None:
    """Close the order; what was held is sold."""
    await close(order, "confirmed", None)
    await settle(order, "sold")


async def cancel(order: dict[str, Any], why: str, held: bool) -> None:
    """Close an order that was refused, tell why, and put back what was held."""
    await close(order, "cancelled", why)
    if held:
        await settle(order, "released")
    keep(order, "cancelled", f"Your order was cancelled: {why}.")


async def tell(order: dict[str, Any]) -> None:
    """Tell the good news."""
    euros = f"{order['total_cents'] // 100}.{order['total_cents'] % 100:02}"
    keep(order, "confirmed", f"Your order is on its way: {euros} EUR.")


async def close(order: dict[str, Any], state: str, why: str | None) -> None:
    """Say how an order ended."""
    found = await source.sql_session().get(m.Order, UUID(order["id"]), with_for_update=True)
    assert found is not None
    found.state, found.why = state, why


async def settle(order: dict[str, Any], to: str) -> None:
    """End what is held for an order."""
    held = await source.sql_session().scalars(
        select(m.Reservation)
        .where(m.Reservation.order_id == UUID(order["id"]), m.Reservation.state == "held")
        .with_for_update()
    )
    reservations = {one.sku: one for one in held}
    shelves = await locked(reservations)
    for sku, one in reservations.items():
        one.state = to
        shelves[sku].reserved -= one.quantity
        if to == "sold":
            shelves[sku].sold += one.quantity
        else:
            shelves[sku].available += one.quantity


async def locked(skus: Any) -> dict[str, m.Stock]:
    """Return {sku: its shelf}, locked in the order of their names."""
    found = await source.sql_session().scalars(
        select(m.Stock).where(m.Stock.sku.in_(sorted(skus))).order_by(m.Stock.sku).with_for_update()
    )
    return {stock.sku: stock for stock in found}


def keep(order: dict[str, Any], kind: str, text: str) -> None:
    """Keep one notification."""
    source.sql_session().add(
        m.Notification(order_id=UUID(order["id"]), recipient=order["owner"], kind=kind, text=text)
    )


async def main() -> None:
    """Make the database, start DBOS, and serve."""
    global source, processor, processor_url
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("database", "postgres", "processor"):
        parser.add_argument(f"--{name}", required=True, help="its URL")
    options = parser.parse_args()
    processor_url, processor = options.processor, aiohttp.ClientSession()
    with psycopg.connect(options.postgres, autocommit=True) as connection:
        connection.execute("CREATE DATABASE dbos_shop")
    source = await AsyncSQLAlchemyDatasource.create(
        options.database, engine_kwargs={"pool_size": 32, "max_overflow": 0}
    )
    async with source.engine.begin() as made:
        for table in TABLES:
            await made.run_sync(table.__table__.create)  # type: ignore[attr-defined]  # a Table
    async with session() as new, new.begin():
        for sku, (price_cents, count) in CATALOGUE.items():
            new.add(m.Stock(sku=sku, price_cents=price_cents, available=count))
    config: DBOSConfig = {
        "name": "shop",
        "system_database_url": options.database,
        "log_level": "ERROR",
    }
    DBOS(config=config)
    DBOS.launch()
    served = uvicorn.Config(app, port=0, http="httptools", access_log=False, log_level="warning")
    server = uvicorn.Server(served)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    print(json.dumps({"url": f"http://127.0.0.1:{port}"}), flush=True)
    await serving
    DBOS.destroy()


if __name__ == "__main__":
    uvloop.run(main())
