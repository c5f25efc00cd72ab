"""What the three services of the tests say to each other, and the tables they write."""

from pydantic import Field
from sqlalchemy import Column, Integer, MetaData, String, Table
from sqlalchemy.types import Uuid

from holdfast.contract.failure import Failure
from holdfast.contract.messages import Command, Event, Message, Undo
from holdfast.contract.model import Model

SERVICES = ("shop", "stock", "money")


class Taken(Model):
    """The reply to Take."""

    shelf: int


class SoldOut(Failure):
    """There is nothing left."""

    item: str


class Declined(Failure):
    """The card was refused."""

    why: str


class Take(Command[Taken], fails=[SoldOut]):
    """Takes one item from the shelf."""

    item: str = "kelp"


class GiveBack(Undo[Take]):
    """Puts it back."""

    item: str = "kelp"


class Pay(Command[int], fails=[Declined]):
    """Takes money; reaches the till."""

    cents: int = Field(default=5, gt=0)


class Refund(Undo[Pay]):
    """Gives the money back."""

    cents: int = 5


class Note(Command[None]):
    """Something that cannot be undone."""

    text: str = ""


class Shipped(Event, topic="order"):
    """Something left the house."""

    order: str
    by: str = "boat"


class Order(Model):
    """The input of the sagas."""

    item: str = "kelp"
    cents: int = 5


OWNERS: dict[type[Message], str] = {
    **dict.fromkeys([Take, GiveBack], "stock"),
    **dict.fromkeys([Pay, Refund, Note], "money"),
}
METADATA = {name: MetaData() for name in SERVICES}
EFFECTS = {
    name: Table(
        "effect",
        metadata,
        Column("row", Integer, primary_key=True),  # nothing here stops a second row
        Column("id", Uuid),
        Column("what", String, nullable=False),
        Column("number", Integer),
    )
    for name, metadata in METADATA.items()
}
