"""What inventory offers to the others: prices, reservations, and a way to stock up."""

from typing import Annotated
from uuid import UUID

from holdfast import Command, Failure, Field, Model, Query, Undo

Sku = Annotated[str, Field(pattern=r"^[A-Z0-9][A-Z0-9-]{0,39}$")]


class Line(Model):
    """So many pieces of one article."""

    sku: Sku
    quantity: int = Field(ge=1, le=100)


Lines = Annotated[tuple[Line, ...], Field(min_length=1, max_length=20)]


class UnknownSku(Failure, status=409):
    """The catalogue has no such article."""

    sku: str


class OutOfStock(Failure, status=409):
    """There are fewer pieces than were asked for; nothing was reserved."""

    sku: str
    available: int


class PriceChanged(Failure, status=409):
    """The lines cost something else by now; nothing was reserved."""

    total_cents: int


class Price(Model):
    """What the lines of a `GetPrice` cost; `unit_cents` has one piece's price for each line."""

    total_cents: int
    unit_cents: tuple[int, ...]


class GetPrice(Query[Price], fails=[UnknownSku]):
    """Ask what some lines cost now."""

    lines: Lines


class Reserve(Command[None], fails=[UnknownSku, OutOfStock, PriceChanged]):
    """Set the lines of one order aside, if they still cost what the customer saw."""

    order_id: UUID
    lines: Lines
    total_cents: int


class Release(Undo[Reserve]):
    """Put back what Reserve set aside for this order."""

    order_id: UUID


class Restock(Command[None]):
    """Add pieces of an article, new or known, and set its price."""

    sku: Sku
    quantity: int = Field(ge=0, le=10_000_000)
    price_cents: int = Field(ge=1, le=10_000_000)
