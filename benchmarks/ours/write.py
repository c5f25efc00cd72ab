"""A service whose one route writes a row and starts a saga, for `benchmarks.walk`."""

import json
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import Column, MetaData, String, Table, Uuid

from benchmarks.ours.access import SCOPE, TOKENS, GetKeys, jwks, token
from holdfast import Caller, Command, Gateway, Model, Saga, Service, System, Tx

METADATA = MetaData()
ORDERS = Table(
    "orders",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("owner", String, nullable=False),
    Column("item", String, nullable=False),
)


class PlaceOrder(Model):
    """What is ordered."""

    item: str
    quantity: int


class OrderView(Model):
    """How it stands."""

    id: UUID
    state: str


class Ship(Command[None]):
    """Send it."""

    order_id: UUID
    item: str


orders = Service("orders", tables=METADATA, calls=[Ship])
stock = Service("stock")


@stock.handles
async def keys(query: GetKeys) -> str:
    """Give out the public keys."""
    return jwks()


@stock.handles
async def ship(command: Ship, tx: Tx) -> None:
    """Take it as sent."""


class Order(Model):
    """What the saga works on."""

    id: UUID
    item: str


@orders.saga
async def deliver(saga: Saga, order: Order) -> None:
    """Send what was ordered."""
    await saga.call(Ship(order_id=order.id, item=order.item))


@orders.post("/v1/orders", status_code=202, scope=SCOPE)
async def place_order(body: PlaceOrder, tx: Tx, caller: Caller) -> OrderView:
    """Take an order."""
    order = Order(id=tx.new_id(), item=body.item)
    tx.insert(ORDERS, id=order.id, owner=caller.subject, item=body.item)
    tx.start(deliver, order)
    return OrderView(id=order.id, state="placed")


system = System("write", [orders, stock], Gateway(tokens=TOKENS))


def request(url: str) -> bytes:
    """Return one request, as it travels."""
    body = json.dumps({"item": "kettle", "quantity": 2}).encode()
    head = (
        f"POST /v1/orders HTTP/1.1\r\nhost: {urlsplit(url).netloc}\r\n"
        f"authorization: Bearer {token()}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
