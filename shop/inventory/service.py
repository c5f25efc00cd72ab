"""Inventory: what there is, what it costs, and for whom it is set aside."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal
from uuid import UUID

from sqlalchemy import select

from holdfast import Field, Model, Read, Service, Tx
from shop.inventory.messages import (
    GetPrice,
    Line,
    OutOfStock,
    Price,
    PriceChanged,
    Release,
    Reserve,
    Restock,
    UnknownSku,
)
from shop.inventory.tables import (
    END_RESERVATIONS,
    FIND_SHELVES,
    RELEASE_PIECES,
    SELL_PIECES,
    metadata,
    reservation_table,
    stock_table,
)
from shop.orders.messages import OrderConfirmed

inventory = Service("inventory", tables=metadata, migrations="shop.inventory:migrations")


class StockItem(Model):
    """An article as customers see it."""

    sku: str
    price_cents: int
    available: int


class StockPage(Model):
    """Some of the stock by sku; `next` is the `after` of the next page, None at the end."""

    items: tuple[StockItem, ...]
    next: str | None


class Shelf(Model):
    """One article as the row in the table has it."""

    sku: str
    price_cents: int
    available: int
    reserved: int


@inventory.get("/v1/stock", public=True)
async def list_stock(
    read: Read,
    after: Annotated[str, Field(max_length=40)] = "",
    limit: Annotated[int, Field(ge=1, le=100)] = 50,
) -> StockPage:
    """List what can be ordered."""
    wanted = select(stock_table).where(stock_table.c.sku > after).order_by(stock_table.c.sku)
    found = await read.execute(wanted.limit(limit + 1))
    items = tuple(StockItem.model_validate(row) for row in found.mappings())
    more = len(items) > limit
    return StockPage(items=items[:limit], next=items[limit - 1].sku if more else None)


@inventory.handles
async def get_price(query: GetPrice, read: Read) -> Price:
    """Price some lines; prices may change right after, so Reserve looks again."""
    shelves = await find_shelves(read, query.lines)
    return Price(
        total_cents=total_cents(query.lines, shelves),
        unit_cents=tuple(shelves[line.sku].price_cents for line in query.lines),
    )


@inventory.handles
async def reserve(command: Reserve, tx: Tx) -> None:
    """Move pieces from available to reserved, for all lines or for none."""
    shelves = await find_shelves(tx, command.lines)
    total = total_cents(command.lines, shelves)
    if total != command.total_cents:
        raise PriceChanged(total_cents=total)
    for sku, quantity in pieces(command.lines).items():
        shelf = shelves[sku]
        if shelf.available < quantity:
            raise OutOfStock(sku=sku, available=shelf.available)
        tx.update(
            stock_table,
            sku,
            available=shelf.available - quantity,
            reserved=shelf.reserved + quantity,
        )
        tx.insert(
            reservation_table, order_id=command.order_id, sku=sku, quantity=quantity, state="held"
        )


@inventory.handles
async def release(undo: Release, tx: Tx) -> None:
    """Move what is held for the order back to available."""
    await settle(tx, undo.order_id, to="released")


@inventory.handles
async def sell(event: OrderConfirmed, tx: Tx) -> None:
    """Move what is held for the order to sold."""
    await settle(tx, event.order_id, to="sold")


@inventory.handles
async def restock(command: Restock, tx: Tx) -> None:
    """Put pieces on the shelf: `holdfast send shop Restock '{"sku": …}'`."""
    found = await tx.execute(select(stock_table).where(stock_table.c.sku == command.sku))
    shelf = found.first()
    if shelf is None:
        tx.insert(
            stock_table,
            sku=command.sku,
            price_cents=command.price_cents,
            received=command.quantity,
            available=command.quantity,
        )
    else:
        tx.update(
            stock_table,
            command.sku,
            price_cents=command.price_cents,
            received=shelf.received + command.quantity,
            available=shelf.available + command.quantity,
        )


async def settle(tx: Tx, order_id: UUID, *, to: Literal["released", "sold"]) -> None:
    """End what is held for an order; both statements take all its articles at once."""
    await tx.execute(RELEASE_PIECES if to == "released" else SELL_PIECES, {"order": order_id})
    await tx.execute(END_RESERVATIONS, {"order": order_id, "ended": to})


async def find_shelves(read: Read, lines: Iterable[Line]) -> dict[str, Shelf]:
    """Return {sku: shelf} of some lines. Raises UnknownSku."""
    skus = sorted({line.sku for line in lines})
    found = await read.execute(FIND_SHELVES, {"skus": skus})
    shelves = {row["sku"]: Shelf.model_validate(row) for row in found.mappings()}
    for sku in skus:
        if sku not in shelves:
            raise UnknownSku(sku=sku)
    return shelves


def total_cents(lines: Iterable[Line], shelves: Mapping[str, Shelf]) -> int:
    """Return what the lines cost together."""
    return sum(shelves[line.sku].price_cents * line.quantity for line in lines)


def pieces(lines: Iterable[Line]) -> Counter[str]:
    """Return {sku: quantity}; two lines may name the same article."""
    wanted = Counter[str]()
    for line in lines:
        wanted[line.sku] += line.quantity
    return wanted
