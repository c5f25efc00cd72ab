"""The messages that the other files use."""

from uuid import UUID

from holdfast import Command, Event, External, Failure, Field, Model, Query, Undo


class Receipt(Model):
    payment_id: UUID


class CardDeclined(Failure, status=402):
    reason: str
    retry_after_s: int = 0


class Charge(Command[Receipt], fails=[CardDeclined]):
    order_id: UUID
    amount_cents: int = Field(gt=0)


class Refund(Undo[Charge]):
    order_id: UUID


class Reserve(Command[None]):
    sku: str


class Release(Undo[Reserve]):
    sku: str


class GetPrice(Query[int]):
    sku: str


class Paid(Event, topic="order_id"):
    order_id: UUID


class Order(Model):
    id: UUID
    sku: str


processor = External("processor", url="https://processor.example", key_life_s=86_400)
