"""Handlers: what they send, ask and start, and the types that decorators leave alone."""

from datetime import datetime, timedelta
from typing import assert_type
from uuid import UUID

from holdfast import (
    Caller,
    ExternalAnswer,
    Model,
    Outside,
    Query,
    Read,
    Saga,
    Service,
    System,
    Tx,
    Undo,
)
from tests.typing.written.shared import (
    CardDeclined,
    Charge,
    GetPrice,
    Order,
    Paid,
    Receipt,
    Refund,
    Reserve,
    processor,
)

payments = Service("payments", calls=[GetPrice], publishes=[Paid], reaches=[processor])
wrong_calls = Service("wrong", calls=[Paid])  # E: Paid
wrong_undo = Service("wrong", calls=[Refund])  # E: Refund
wrong_events = Service("wrong", publishes=[Charge])  # E: Charge
wrong_reach = Service("wrong", reaches=["processor"])  # E: str


charged = payments.counter("charged_total", "Charges.", labels=["card"])
charged_euros = payments.histogram("charged_euros", "Their amounts.", buckets=[1, 10])
payments.counter("charged_total")  # E: argument
payments.counter("charged_total", "Charges.", labels=[1])  # E: str


async def count(tx: Tx) -> None:
    charged.inc()
    charged.inc(2, tx=tx, card="4242")
    charged_euros.observe(12.5, tx=tx)
    charged.inc("2")  # E: float
    charged.inc(card=4242)  # E: str


class Declined(Model):
    reason: str


@payments.handles
async def charge(command: Charge, outside: Outside, tx: Tx) -> Receipt:
    answer = await outside.post(processor, "/v1/charges", json={"cents": command.amount_cents})
    assert_type(answer, ExternalAnswer)
    if answer.status == 402:
        raise CardDeclined(reason=answer.parse(Declined).reason)
    return Receipt(payment_id=tx.new_id())


@payments.handles(alone=True)
async def refund(undo: Refund, tx: Tx) -> None:
    assert_type(tx.now, datetime)
    assert_type(tx.new_id(), UUID)


@payments.get("/v1/orders/{id}", scope="orders:read")
async def show(id: UUID, read: Read, caller: Caller) -> Order | None:
    assert_type(caller.subject, str)
    print(read.insert)  # E: insert
    return None


@payments.post("/v1/orders", status_code=202)
async def place(body: Order, outside: Outside, tx: Tx) -> Order:
    price = await outside.ask(GetPrice(sku=body.sku))
    assert_type(price, int)
    outside.ask(GetPrice(sku=body.sku))  # E: coroutine
    await outside.ask(Charge(order_id=body.id, amount_cents=1))  # E: Charge
    assert_type(await outside.run(blocking, 1.5), int)
    await outside.run(blocking, "1.5")  # E: float
    assert_type(await tx.start(checkout, body, key="one"), UUID)
    tx.start(checkout, Declined(reason=""))  # E: Declined
    tx.start(show, body)  # E: start
    tx.publish(Paid(order_id=body.id))
    tx.publish(Charge(order_id=body.id, amount_cents=1))  # E: Charge
    tx.send(Reserve(sku=body.sku), delay=timedelta(minutes=1))
    tx.send(Refund(order_id=body.id))  # E: Refund
    tx.send(GetPrice(sku=""))  # E: GetPrice
    return body


@payments.saga
async def checkout(saga: Saga, order: Order) -> None: ...


@payments.saga  # E: int
async def not_a_saga(saga: Saga, order: Order) -> int:
    return 1


@payments.saga  # E: saga
def sync_saga(saga: Saga, order: Order) -> None: ...


def blocking(seconds: float) -> int:
    return int(seconds)


async def handlers_keep_their_types(outside: Outside, tx: Tx, read: Read, order: Order) -> None:
    receipt = await charge(Charge(order_id=order.id, amount_cents=1), outside, tx)
    assert_type(receipt, Receipt)
    await charge(Reserve(sku=""), outside, tx)  # E: Reserve
    await refund(Refund(order_id=order.id), tx)
    await refund(Refund(order_id=order.id))  # E: tx
    assert_type(await show(order.id, read, Caller("me")), Order | None)
    assert_type(await place(order, outside, tx), Order)
    assert_type(await remind(tx), int)


@payments.every(timedelta(hours=1))
async def remind(tx: Tx) -> int:
    return 1


def messages(id: UUID) -> None:
    Charge(order_id=id)  # E: amount_cents


class NotAnUndo(Undo[GetPrice]):  # E: GetPrice
    sku: str


class Versioned(Query[list[int]], version=2, fails=[CardDeclined]): ...


async def generic_replies(outside: Outside) -> None:
    assert_type(await outside.ask(Versioned()), list[int])


system = System("shop", [payments])
System("shop", payments)  # E: Service
