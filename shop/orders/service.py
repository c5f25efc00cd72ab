"""Orders: takes an order at once, and carries it out as a saga."""

from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from sqlalchemy import select

from holdfast import Caller, Failure, Field, Model, Outside, Read, Saga, Service, Tx
from shop.inventory.messages import GetPrice, Lines, Release, Reserve
from shop.orders.messages import OrderCancelled, OrderConfirmed
from shop.orders.tables import metadata, order_line_table, order_table
from shop.payments.messages import Card, Charge, Refund


class PlaceOrder(Model):
    """What a customer wants. `card` is a token that the card processor gave to the customer."""

    lines: Lines
    card: Card = "tok_ok"


class OrderView(Model):
    """How an order stands; `why` tells why it was cancelled."""

    id: UUID
    state: Literal["placed", "confirmed", "cancelled"]
    total_cents: int
    placed_at: datetime
    why: str | None = None


class OrderLineView(Model):
    """A line at the price that was agreed."""

    sku: str
    quantity: int
    unit_cents: int


class OrderDetails(OrderView):
    """An order with its lines."""

    lines: tuple[OrderLineView, ...]


class OrderPage(Model):
    """Some of the caller's orders, newest first; `next` is the `after` of the next page."""

    orders: tuple[OrderView, ...]
    next: UUID | None


class Order(Model):
    """What `checkout` works on."""

    id: UUID
    owner: str
    lines: Lines
    total_cents: int
    card: Card


class NoSuchOrder(Failure, status=404):
    """There is no such order, or it is not the caller's."""


orders = Service(
    "orders",
    tables=metadata,
    migrations="shop.orders:migrations",
    calls=[GetPrice, Reserve, Charge],
    publishes=[OrderConfirmed, OrderCancelled],
)


@orders.post("/v1/orders", status_code=202, scope="orders:write", tier="critical")
async def place_order(body: PlaceOrder, outside: Outside, tx: Tx, caller: Caller) -> OrderView:
    """Take an order; what comes of it is seen at GET /v1/orders/{order_id}."""
    price = await outside.ask(GetPrice(lines=body.lines))
    order = Order(
        id=tx.new_id(),
        owner=caller.subject,
        lines=body.lines,
        total_cents=price.total_cents,
        card=body.card,
    )
    view = OrderView(id=order.id, state="placed", total_cents=order.total_cents, placed_at=tx.now)
    tx.insert(order_table, owner=order.owner, **view.model_dump())
    for position, (line, unit_cents) in enumerate(zip(order.lines, price.unit_cents, strict=True)):
        tx.insert(
            order_line_table,
            order_id=order.id,
            position=position,
            unit_cents=unit_cents,
            **line.model_dump(),
        )
    tx.start(checkout, order)  # starts if, and only if, this commits
    return view


@orders.get("/v1/orders/{order_id}", scope="orders:read")
async def get_order(order_id: UUID, read: Read, caller: Caller) -> OrderDetails:
    """Show one of the caller's orders."""
    found = await read.execute(
        select(order_table).where(
            order_table.c.id == order_id, order_table.c.owner == caller.subject
        )
    )
    order = found.mappings().first()
    if order is None:
        raise NoSuchOrder()
    lines = await read.execute(
        select(order_line_table)
        .where(order_line_table.c.order_id == order_id)
        .order_by(order_line_table.c.position)
    )
    return OrderDetails.model_validate({**order, "lines": lines.mappings().all()})


@orders.get("/v1/orders", scope="orders:read", tier="bulk")
async def list_orders(
    read: Read,
    caller: Caller,
    after: UUID | None = None,
    limit: Annotated[int, Field(ge=1, le=100)] = 20,
) -> OrderPage:
    """List the caller's orders, newest first."""
    wanted = select(order_table).where(order_table.c.owner == caller.subject)
    if after is not None:
        wanted = wanted.where(order_table.c.id < after)
    found = await read.execute(wanted.order_by(order_table.c.id.desc()).limit(limit + 1))
    page = tuple(OrderView.model_validate(row) for row in found.mappings())
    return OrderPage(orders=page[:limit], next=page[limit - 1].id if len(page) > limit else None)


@orders.saga
async def checkout(saga: Saga, order: Order) -> None:
    """Reserve the goods, take the money, confirm; or undo what was done, and cancel."""
    try:
        await saga.call(
            Reserve(order_id=order.id, lines=order.lines, total_cents=order.total_cents),
            undo=Release(order_id=order.id),
        )
        await saga.call(
            Charge(order_id=order.id, amount_cents=order.total_cents, card=order.card),
            undo=Refund(order_id=order.id),
            timeout=timedelta(minutes=2),  # then it counts as unanswered, and is undone
        )
    except Failure as failure:  # refused, or Unanswered
        await saga.undo()
        await saga.local(cancel, order, why=str(failure))
    else:
        await saga.local(confirm, order)


async def confirm(tx: Tx, order: Order) -> None:
    """Close an order that went well."""
    tx.update(order_table, order.id, state="confirmed")
    tx.publish(OrderConfirmed(order_id=order.id, owner=order.owner, total_cents=order.total_cents))


async def cancel(tx: Tx, order: Order, *, why: str) -> None:
    """Close an order that was refused, or that nobody answered."""
    tx.update(order_table, order.id, state="cancelled", why=why)
    tx.publish(OrderCancelled(order_id=order.id, owner=order.owner, why=why))
