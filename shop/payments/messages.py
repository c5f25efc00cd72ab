"""What payments offers to the others: taking money, and giving it back."""

from typing import Annotated
from uuid import UUID

from holdfast import Command, Failure, Field, Model, Undo

Card = Annotated[str, Field(min_length=1, max_length=64, repr=False)]
"""A token that stands for a card; numbers never come near the shop. Left out of every `repr`."""


class Receipt(Model):
    """Money was taken."""

    payment_id: UUID


class CardDeclined(Failure, status=402):
    """The card was refused; nothing was taken."""

    reason: str


class Charge(Command[Receipt], fails=[CardDeclined]):
    """Take the money for one order."""

    order_id: UUID
    amount_cents: int = Field(gt=0)
    card: Card


class Refund(Undo[Charge]):
    """Give back what Charge took for this order."""

    order_id: UUID
