"""What orders tells the others: how each order ended."""

from uuid import UUID

from holdfast import Event


class OrderConfirmed(Event):
    """The goods are reserved and paid for."""

    order_id: UUID
    owner: str
    total_cents: int


class OrderCancelled(Event):
    """The order will not be carried out; what was done for it is undone."""

    order_id: UUID
    owner: str
    why: str
