"""A saga's steps: replies from commands, undos of that very command, no await forgotten."""

from datetime import timedelta
from typing import assert_type
from uuid import UUID

from holdfast import Event, Failure, Saga, Service, Tx, Unanswered
from tests.typing.written.shared import (
    Charge,
    GetPrice,
    Order,
    Paid,
    Receipt,
    Refund,
    Release,
    Reserve,
)


class Dropped(Event, topic="order_id"):
    """Never mind."""

    order_id: UUID


orders = Service("orders", calls=[Charge, Reserve], publishes=[Paid])


@orders.saga(version=2, waits=[Paid])
async def checkout(saga: Saga, order: Order) -> None:
    charge = Charge(order_id=order.id, amount_cents=100)
    try:
        await saga.call(Reserve(sku=order.sku), undo=Release(sku=order.sku))
        receipt = await saga.call(charge, undo=Refund(order_id=order.id))
        assert_type(receipt, Receipt)
    except Unanswered as failure:
        assert_type(failure.command, str)
        await saga.undo()
    except Failure as failure:
        await saga.local(cancel, order.id, why=str(failure))


@orders.saga
async def undos(saga: Saga, order: Order) -> None:
    charge = Charge(order_id=order.id, amount_cents=1)
    await saga.call(charge, undo=Release(sku=""))  # E: call
    await saga.call(Reserve(sku=""), undo=Refund(order_id=order.id))  # E: call
    await saga.call(Reserve(sku=""), Release(sku=""))  # E: positional
    await saga.call(Reserve(sku=""), undo=Reserve(sku=""))  # E: Reserve


@orders.saga
async def awaits(saga: Saga, order: Order) -> None:
    saga.call(Reserve(sku=""))  # E: coroutine
    saga.local(cancel, order.id, why="")  # E: coroutine
    saga.undo()  # E: coroutine
    saga.sleep(timedelta(hours=1))  # E: coroutine
    saga.wait(Paid, order.id, timeout=timedelta(hours=1))  # E: coroutine


@orders.saga
async def gathers(saga: Saga, order: Order) -> None:
    charge, reserve = Charge(order_id=order.id, amount_cents=1), Reserve(sku="")
    both = await saga.gather(saga.call(charge), saga.call(reserve, undo=Release(sku="")))
    assert_type(both, tuple[Receipt, None])
    three = await saga.gather(saga.call(reserve), saga.call(charge), saga.call(charge))
    assert_type(three, tuple[None, Receipt, Receipt])
    many = await saga.gather(*[saga.call(charge) for _ in range(5)])
    assert_type(many, tuple[Receipt, ...])


@orders.saga
async def waits(saga: Saga, order: Order) -> None:
    paid = await saga.wait(Paid, order.id, timeout=timedelta(days=1))
    assert_type(paid, Paid | None)
    print(paid.order_id)  # E: None
    await saga.wait(Paid, order.id)  # E: overload
    first = await saga.wait(Paid, Dropped, order.id, timeout=timedelta(days=1))
    assert_type(first, Paid | Dropped | None)
    await saga.wait(Reserve, order.id, timeout=timedelta(days=1))  # E: Reserve


@orders.saga
async def locals_(saga: Saga, order: Order) -> None:
    assert_type(await saga.local(count, order.id), int)
    await saga.local(cancel, order.id)  # E: why
    await saga.local(cancel, "order", why="")  # E: UUID
    await saga.local(cancel, order.id, why="", at=1)  # E: at
    await saga.local(without_tx, order.id)  # E: local


@orders.saga
async def wrong_verbs(saga: Saga, order: Order) -> None:
    await saga.call(GetPrice(sku=""))  # E: GetPrice
    await saga.call(Paid(order_id=order.id))  # E: Paid
    await saga.call(Refund(order_id=order.id))  # E: Refund


async def cancel(tx: Tx, id: UUID, *, why: str) -> None: ...


async def count(tx: Tx, id: UUID) -> int:
    return 1


async def without_tx(id: UUID) -> None: ...
