"""Everything in one file, as in a test, with every verb used as it should be."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import MetaData

from holdfast import (
    Caller,
    Command,
    Event,
    External,
    Failure,
    Field,
    Gateway,
    Header,
    Model,
    Outside,
    Query,
    Read,
    Saga,
    Service,
    Settings,
    System,
    Tokens,
    Tx,
    Undo,
)


class Receipt(Model):
    payment_id: UUID


class CardDeclined(Failure, status=402):
    reason: str


class Unknown(Failure, status=404): ...


class Charge(Command[Receipt], fails=[CardDeclined]):
    order_id: UUID
    amount_cents: int = Field(gt=0)


class Refund(Undo[Charge]):
    order_id: UUID


class Remind(Command[None]):
    order_id: UUID


class GetKeys(Query[str]): ...


class GetPrice(Query[int | None], fails=[Unknown]):
    sku: str


class Confirmed(Event, topic="order_id"):
    order_id: UUID


class Order(Model):
    id: UUID
    sku: str


class PaymentSettings(Settings):
    key: SecretStr


@dataclass
class Mailer:
    sender: str


processor = External("processor", url="https://processor.example:8443")
payments = Service("payments", tables=MetaData(), reaches=[processor])
orders = Service(
    "orders",
    tables=[MetaData(), MetaData()],
    calls=[Charge, GetPrice, Remind],
    publishes=[Confirmed],
)


@payments.provides
async def mailer(settings: PaymentSettings) -> Mailer:
    return Mailer(sender=settings.key.get_secret_value())


@payments.handles
async def charge(command: Charge, outside: Outside, tx: Tx, settings: PaymentSettings) -> Receipt:
    answer = await outside.post(processor, "/v1/charges", json={"order": str(command.order_id)})
    if answer.status == 402:
        raise CardDeclined(reason="limit")
    return Receipt(payment_id=tx.new_id())


@payments.handles
async def refund(undo: Refund, outside: Outside, tx: Tx) -> None:
    await outside.post(processor, "/v1/refunds")


@payments.handles
async def price(query: GetPrice, read: Read, outside: Outside) -> int | None:
    if not query.sku:
        raise Unknown
    answer = await outside.request("GET", processor, f"/v1/prices/{query.sku}")
    return answer.status


@payments.handles
async def keys(query: GetKeys, mailer: Mailer) -> str:
    return mailer.sender


@orders.handles(alone=True)
async def remind(command: Remind, tx: Tx) -> None:
    tx.send(Remind(order_id=command.order_id), delay=timedelta(days=1))


@orders.handles
async def hear_myself(event: Confirmed, tx: Tx) -> None:
    tx.start(chase, event)


@orders.post("/v1/orders", status_code=202, scope="orders:write")
async def place(
    body: Order, outside: Outside, tx: Tx, caller: Caller, agent: Annotated[str, Header()] = ""
) -> Order:
    if await outside.ask(GetPrice(sku=body.sku)) is None:
        raise Unknown
    tx.start(checkout, body, key=str(body.id))
    return body


@orders.get("/v1/orders/{id}")
async def show(id: UUID, read: Read, caller: Caller, after: int | None = None) -> Order | None:
    return None


@orders.delete("/v1/orders/{id}")
async def drop(id: UUID, tx: Tx) -> None: ...


@orders.every(timedelta(minutes=5))
async def sweep(tx: Tx, outside: Outside) -> None:
    tx.publish(Confirmed(order_id=tx.new_id()))


@orders.saga
async def checkout(saga: Saga, order: Order) -> None:
    try:
        await saga.gather(
            saga.call(Charge(order_id=order.id, amount_cents=1), undo=Refund(order_id=order.id)),
            saga.sleep(timedelta(hours=1)),
        )
    except Failure as failure:
        await saga.undo()
        await saga.local(cancel, order.id, why=str(failure))
        raise


async def cancel(tx: Tx, id: UUID, *, why: str) -> None:
    if not why:
        raise CardDeclined(reason=why)


@orders.saga(version=2, waits=[Confirmed])
async def chase(saga: Saga, event: Confirmed) -> None:
    await saga.wait(Confirmed, event.order_id, timeout=timedelta(days=1))


system = System(
    "shop",
    [payments, orders],
    gateway=Gateway(tokens=Tokens(issuer="users", audience="shop", keys=GetKeys)),
)


def made(name: str) -> Service:
    """Return one more service, with ten functions."""
    service = Service(name, calls=[Charge, GetPrice], publishes=[Confirmed])

    async def show(id: UUID, read: Read, caller: Caller) -> Order | None:
        return None

    async def write(id: UUID, body: Order, outside: Outside, tx: Tx) -> Order:
        await outside.ask(GetPrice(sku=body.sku))
        tx.publish(Confirmed(order_id=id))
        return body

    for n in range(5):
        service.get(f"/v1/{name}/{n}/{{id}}")(show)
        service.post(f"/v1/{name}/{n}/{{id}}")(write)
    return service
