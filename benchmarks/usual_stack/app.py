"""The four services in one process: `python -m benchmarks.usual_stack.app`."""

import argparse
import asyncio
import base64
import hashlib
import json
import secrets
import socket
import time
from collections import Counter
from typing import Annotated, Any
from uuid import UUID

import aiohttp
import asyncpg  # type: ignore[import-untyped]
import jwt
import nats
import uvicorn
import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from benchmarks.usual_stack import models as m
from benchmarks.usual_stack.parts import Service
from shop.inventory.tables import CATALOGUE

app = FastAPI()
key = Ed25519PrivateKey.generate()
public_key = key.public_key()
services: dict[str, Service] = {}
processor: aiohttp.ClientSession
processor_url = ""


class Login(BaseModel):
    """Who somebody says they are."""

    email: str = Field(max_length=254)
    password: str = Field(min_length=8, max_length=200)
    name: str = ""


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


def owner(given: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> str:
    """Return the caller, by a token that was verified."""
    try:
        claims = jwt.decode(given.credentials, public_key, algorithms=["EdDSA"], audience="usual")
    except jwt.InvalidTokenError as exc:
        raise HTTPException(401, str(exc)) from exc
    return str(claims["sub"])


@app.post("/v1/users", status_code=201)
async def register(body: Login) -> dict[str, str]:
    """Register a customer."""
    salt = secrets.token_bytes(16)
    digest = await asyncio.to_thread(_digest, body.password, salt)
    async with services["orders"].session.begin() as session:
        session.add(m.Customer(email=body.email, password_hash=base64.b64encode(digest).decode()))
    return {"email": body.email}


@app.post("/v1/tokens")
async def log_in(body: Login) -> dict[str, str]:
    """Give a token."""
    async with services["orders"].session() as session:
        found = await session.scalar(select(m.Customer).where(m.Customer.email == body.email))
    if found is None:
        raise HTTPException(401)
    claims = {"sub": str(found.id), "aud": "usual", "exp": int(time.time()) + 3600}
    return {"access_token": jwt.encode(claims, key, algorithm="EdDSA")}


def _digest(password: str, salt: bytes) -> bytes:
    return salt + hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1)


@app.post("/v1/orders", status_code=202)
async def place_order(body: OrderIn, caller: Annotated[str, Depends(owner)]) -> OrderOut:
    """Take an order; what comes of it happens later."""
    wanted = Counter[str]()
    for line in body.lines:
        wanted[line.sku] += line.quantity
    async with services["inventory"].session() as session:
        found = await session.scalars(select(m.Stock).where(m.Stock.sku.in_(sorted(wanted))))
        prices = {stock.sku: stock.price_cents for stock in found}
    if missing := set(wanted) - set(prices):
        raise HTTPException(404, f"unknown: {missing}")
    orders = services["orders"]
    async with orders.session.begin() as session:
        order = m.Order(
            owner=caller,
            card=body.card,
            total_cents=sum(prices[line.sku] * line.quantity for line in body.lines),
            lines=[
                m.OrderLine(position=n, unit_cents=prices[line.sku], **line.model_dump())
                for n, line in enumerate(body.lines)
            ],
        )
        session.add(order)
        await session.flush()
        orders.send(session, "inventory.reserve", order_id=str(order.id), wanted=wanted)
    return OrderOut(id=order.id, state=order.state, total_cents=order.total_cents)


# -- inventory ------------------------------------------------------------------------------------


async def reserve(session: AsyncSession, body: Any) -> None:
    """Set pieces aside, for all lines or for none."""
    inventory, wanted = services["inventory"], body["wanted"]
    found = await session.scalars(
        select(m.Stock)
        .where(m.Stock.sku.in_(sorted(wanted)))
        .order_by(m.Stock.sku)
        .with_for_update()
    )
    shelves = {stock.sku: stock for stock in found}
    short = [sku for sku, count in wanted.items() if shelves[sku].available < count]
    if short:
        inventory.send(session, "orders.refused", order_id=body["order_id"], why=f"no {short[0]}")
        return
    for sku, count in wanted.items():
        shelves[sku].available -= count
        shelves[sku].reserved += count
        session.add(m.Reservation(order_id=UUID(body["order_id"]), sku=sku, quantity=count))
    inventory.send(session, "orders.reserved", order_id=body["order_id"])


async def release(session: AsyncSession, body: Any) -> None:
    """Put what is held for an order back."""
    await _settle(session, UUID(body["order_id"]), "released")


async def sell(session: AsyncSession, body: Any) -> None:
    """What is held for an order is sold."""
    await _settle(session, UUID(body["order_id"]), "sold")


async def _settle(session: AsyncSession, order: UUID, to: str) -> None:
    held = list(
        await session.scalars(
            select(m.Reservation)
            .where(m.Reservation.order_id == order, m.Reservation.state == "held")
            .with_for_update()
        )
    )
    found = await session.scalars(
        select(m.Stock)
        .where(m.Stock.sku.in_(sorted(one.sku for one in held)))
        .order_by(m.Stock.sku)
        .with_for_update()
    )
    shelves = {stock.sku: stock for stock in found}
    for one in held:
        one.state = to
        shelves[one.sku].reserved -= one.quantity
        if to == "sold":
            shelves[one.sku].sold += one.quantity
        else:
            shelves[one.sku].available += one.quantity


# -- payments -------------------------------------------------------------------------------------


async def charge(session: AsyncSession, body: Any) -> None:
    """Charge the card; the order is the key, so that a second try is the same charge."""
    payments = services["payments"]
    order, amount = body["order_id"], body["amount_cents"]
    answer = await processor.post(
        f"{processor_url}/v1/charges",
        json={"amount_cents": amount, "card": body["card"], "reference": order},
        headers={"Idempotency-Key": order},
    )
    found = await answer.json()
    if answer.status == 402:
        payments.send(session, "orders.declined", order_id=order, why=found["reason"])
        return
    answer.raise_for_status()
    session.add(m.Payment(order_id=UUID(order), charge_id=found["id"], amount_cents=amount))
    payments.send(session, "orders.charged", order_id=order)


# -- orders ---------------------------------------------------------------------------------------


async def _order(session: AsyncSession, body: Any) -> m.Order:
    found = await session.get(m.Order, UUID(body["order_id"]), with_for_update=True)
    assert found is not None
    return found


async def reserved(session: AsyncSession, body: Any) -> None:
    """Go on with the charge."""
    order = await _order(session, body)
    order.state = "reserved"
    services["orders"].send(
        session,
        "payments.charge",
        order_id=body["order_id"],
        amount_cents=order.total_cents,
        card=order.card,
    )


async def charged(session: AsyncSession, body: Any) -> None:
    """Confirm the order."""
    order = await _order(session, body)
    order.state = "confirmed"
    facts = {"order_id": body["order_id"], "owner": order.owner, "total_cents": order.total_cents}
    services["orders"].send(session, "events.confirmed", **facts)


async def refused(session: AsyncSession, body: Any) -> None:
    """Cancel the order."""
    order = await _order(session, body)
    order.state, order.why = "cancelled", body["why"]
    facts = {"order_id": body["order_id"], "owner": order.owner, "why": body["why"]}
    services["orders"].send(session, "events.cancelled", **facts)


async def declined(session: AsyncSession, body: Any) -> None:
    """Undo the reservation, and cancel the order."""
    services["orders"].send(session, "inventory.release", order_id=body["order_id"])
    await refused(session, body)


# -- notifications --------------------------------------------------------------------------------


async def tell_confirmed(session: AsyncSession, body: Any) -> None:
    """Tell the good news."""
    euros = f"{body['total_cents'] // 100}.{body['total_cents'] % 100:02}"
    _tell(session, body, "confirmed", f"Your order is on its way: {euros} EUR.")


async def tell_cancelled(session: AsyncSession, body: Any) -> None:
    """Tell the bad news, and why."""
    _tell(session, body, "cancelled", f"Your order was cancelled: {body['why']}.")


def _tell(session: AsyncSession, body: Any, kind: str, text: str) -> None:
    session.add(
        m.Notification(
            order_id=UUID(body["order_id"]), recipient=body["owner"], kind=kind, text=text
        )
    )


TABLES: dict[str, tuple[Any, Any, Any]] = {
    "orders": (m.Orders, m.OrdersOutbox, m.OrdersInbox),
    "inventory": (m.Inventory, m.InventoryOutbox, m.InventoryInbox),
    "payments": (m.Payments, m.PaymentsOutbox, m.PaymentsInbox),
    "notifications": (m.Notifications, m.NotificationsOutbox, m.NotificationsInbox),
}
HANDLERS: dict[str, dict[str, Any]] = {
    "orders": {
        "orders.reserved": reserved,
        "orders.charged": charged,
        "orders.refused": refused,
        "orders.declined": declined,
    },
    "inventory": {
        "inventory.reserve": reserve,
        "inventory.release": release,
        "events.confirmed": sell,
    },
    "payments": {"payments.charge": charge},
    "notifications": {
        "events.confirmed": tell_confirmed,
        "events.cancelled": tell_cancelled,
    },
}


async def main() -> None:
    """Make the databases, start the services, and serve."""
    global processor, processor_url
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("postgres", "nats", "processor"):
        parser.add_argument(f"--{name}", required=True, help="its URL")
    options = parser.parse_args()
    processor_url, processor = options.processor, aiohttp.ClientSession()
    connection = await asyncpg.connect(options.postgres)
    client = await nats.connect(options.nats)
    stream = client.jetstream()
    subjects = ["orders.*", "inventory.*", "payments.*", "events.*"]
    await stream.add_stream(name="usual", subjects=subjects)
    for name, tables in TABLES.items():
        await connection.execute(f"CREATE DATABASE usual_{name}")
        url = options.postgres.replace("/postgres?", f"/usual_{name}?")
        url = url.replace("postgresql://", "postgresql+asyncpg://")
        services[name] = Service(name, url, *tables, HANDLERS[name])
        await services[name].start(stream)
    await connection.close()
    async with services["inventory"].session.begin() as session:
        for sku, (price_cents, count) in CATALOGUE.items():
            session.add(m.Stock(sku=sku, price_cents=price_cents, available=count))
    listener = socket.create_server(("127.0.0.1", 0))
    print(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
    config = uvicorn.Config(app, log_level="warning", access_log=False, http="httptools")
    await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
